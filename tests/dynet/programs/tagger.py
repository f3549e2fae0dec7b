"""Part-of-speech tagger: words and characters read by LSTMs in both directions."""

import argparse
import random
import sys
import time

import dynet as dy

flags = argparse.ArgumentParser()
flags.add_argument("--updates", type=int, default=30)
flags.add_argument("--batch", type=int, default=4)
flags.add_argument("--hidden", type=int, default=24)
flags.add_argument("--dynet-seed", type=int)
flags.add_argument("--dynet-autobatch", type=int)
args = flags.parse_args()

random.seed(1)
WORDS, CHARS, TAGS = 60, 12, 6
spelling = [[random.randrange(CHARS) for _ in range(random.randint(1, 6))] for _ in range(WORDS)]
frequent = [random.random() < 0.7 for _ in range(WORDS)]


def sentence():
    words = [random.randrange(WORDS) for _ in range(random.randint(3, 9))]
    return words, [(word + before) % TAGS for word, before in zip(words, [0, *words])]


model = dy.Model()
trainer = dy.AdamTrainer(model)
H = args.hidden
word_lookup = model.add_lookup_parameters((WORDS, 16))
char_lookup = model.add_lookup_parameters((CHARS, 8))
p_hidden = model.add_parameters((16, H))
p_out = model.add_parameters((TAGS, 16))
fwd = dy.LSTMBuilder(1, 16, H // 2, model)
bwd = dy.LSTMBuilder(1, 16, H // 2, model)
char_fwd = dy.LSTMBuilder(1, 8, 8, model)
char_bwd = dy.LSTMBuilder(1, 8, 8, model)


def word_vector(word, cf, cb):
    if frequent[word]:
        return word_lookup[word]
    embedded = [char_lookup[c] for c in spelling[word]]
    forwards = cf.transduce(embedded)
    backwards = cb.transduce(reversed(embedded))
    return dy.concatenate([forwards[-1], backwards[-1]])


def sentence_loss(words, tags):
    f, b, cf, cb = (builder.initial_state() for builder in (fwd, bwd, char_fwd, char_bwd))
    vectors = [dy.noise(word_vector(word, cf, cb), 0.1) for word in words]
    forwards = [state.output() for state in f.add_inputs(vectors)]
    backwards = [state.output() for state in b.add_inputs(reversed(vectors))]
    losses = []
    for left, right, tag in zip(forwards, reversed(backwards), tags):
        scores = p_out * dy.tanh(p_hidden * dy.concatenate([left, right]))
        losses.append(dy.pickneglogsoftmax(scores, tag))
    return dy.esum(losses)


start = time.time()
for _ in range(args.updates):
    dy.renew_cg()
    loss = dy.esum([sentence_loss(*sentence()) for _ in range(args.batch)])
    print(repr(loss.scalar_value()))
    loss.backward()
    trainer.update()
print("seconds", time.time() - start, file=sys.stderr)
