"""Classifier of texts: windows of words through convolutions, then maxima over time."""

import argparse
import random
import sys
import time

import dynet as dy

flags = argparse.ArgumentParser()
flags.add_argument("--updates", type=int, default=30)
flags.add_argument("--batch", type=int, default=4)
flags.add_argument("--hidden", type=int, default=12)
args, _ = flags.parse_known_args()

random.seed(6)
WORDS, CLASSES, EMBED = 40, 3, 16
WINDOWS = (2, 3)

model = dy.ParameterCollection()
trainer = dy.AdamTrainer(model)
W_emb = model.add_lookup_parameters((WORDS, 1, 1, EMBED))
W_cnn = [model.add_parameters((1, window, EMBED, args.hidden)) for window in WINDOWS]
b_cnn = [model.add_parameters(args.hidden) for window in WINDOWS]
W_sm = model.add_parameters((CLASSES, args.hidden * len(WINDOWS)))
b_sm = model.add_parameters(CLASSES)


def scores(words):
    text = dy.concatenate([dy.lookup(W_emb, word) for word in words], d=1)
    pooled = []
    for W, b in zip(W_cnn, b_cnn):
        found = dy.conv2d_bias(text, W, b, stride=(1, 1), is_valid=False)
        halved = dy.maxpooling2d(dy.rectify(found), (1, 2), (1, 2), is_valid=True)
        pooled.append(dy.reshape(dy.max_dim(halved, d=1), (args.hidden,)))
    features = dy.dropout(dy.concatenate(pooled), 0.2)
    return W_sm * features + b_sm


start = time.time()
for _ in range(args.updates):
    dy.renew_cg()
    losses = []
    for _ in range(args.batch):
        words = [random.randrange(WORDS) for _ in range(random.randint(4, 12))]
        losses.append(dy.pickneglogsoftmax(scores(words), max(words) % CLASSES))
    loss = dy.esum(losses)
    print(repr(loss.value()))
    loss.backward()
    trainer.update()
print("seconds", time.time() - start, file=sys.stderr)
