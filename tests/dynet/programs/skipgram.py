"""Skip-gram with negative samples."""

import argparse
import random
import sys
import time

import dynet as dy

flags = argparse.ArgumentParser()
flags.add_argument("--updates", type=int, default=30)
flags.add_argument("--batch", type=int, default=6)
flags.add_argument("--hidden", type=int, default=16)
flags.add_argument("--dynet-seed", type=int)
flags.add_argument("--dynet-autobatch", type=int)
args = flags.parse_args()

random.seed(7)
WORDS, WINDOW, NEGATIVES = 80, 2, 3

model = dy.Model()
W_word = model.add_lookup_parameters((WORDS, args.hidden), init=dy.UniformInitializer(0.5))
W_context = model.add_lookup_parameters((WORDS, args.hidden))
trainer = dy.SimpleSGDTrainer(model)


def pair_loss(vector, context):
    positive = dy.log(dy.logistic(dy.dot_product(vector, W_context[context])))
    negatives = [W_context[random.randrange(WORDS)] for _ in range(NEGATIVES)]
    scores = dy.transpose(dy.concatenate_cols(negatives)) * vector
    return -(positive + dy.sum_elems(dy.log_sigmoid(-scores)))


def sentence_loss(words):
    losses = []
    for place, word in enumerate(words):
        vector = W_word[word]
        around = words[max(0, place - WINDOW) : place] + words[place + 1 : place + 1 + WINDOW]
        losses += [pair_loss(vector, context) for context in around]
    return dy.average(losses)


start = time.time()
for _ in range(args.updates):
    dy.renew_cg()
    first = [random.randrange(WORDS) for _ in range(args.batch)]
    sentences = [[(word + 3 * step) % WORDS for step in range(5)] for word in first]
    loss = dy.esum([sentence_loss(words) for words in sentences])
    print(repr(loss.value()))
    loss.backward()
    trainer.update()
print("seconds", time.time() - start, file=sys.stderr)
