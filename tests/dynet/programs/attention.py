"""Encoder-decoder with attention: strings are to be given back reversed."""

import argparse
import random
import sys
import time

import dynet as dy

flags = argparse.ArgumentParser()
flags.add_argument("--updates", type=int, default=30)
flags.add_argument("--batch", type=int, default=2)
flags.add_argument("--hidden", type=int, default=16)
args, _ = flags.parse_known_args()

random.seed(3)
SYMBOLS = 12  # 0 ends a string
EMBED = 10
H = args.hidden

model = dy.ParameterCollection()
enc_fwd = dy.LSTMBuilder(1, EMBED, H, model)
enc_bwd = dy.LSTMBuilder(1, EMBED, H, model)
dec = dy.LSTMBuilder(1, 2 * H + EMBED, H, model)
input_lookup = model.add_lookup_parameters((SYMBOLS, EMBED))
output_lookup = model.add_lookup_parameters((SYMBOLS, EMBED))
attention_w1 = model.add_parameters((H, 2 * H))
attention_w2 = model.add_parameters((H, 2 * H))
attention_v = model.add_parameters((1, H))
decoder_w = model.add_parameters((SYMBOLS, H))
decoder_b = model.add_parameters((SYMBOLS,))
trainer = dy.SimpleSGDTrainer(model, learning_rate=0.1)


def encode(string):
    embedded = [input_lookup[symbol] for symbol in string]
    forwards = enc_fwd.initial_state().transduce(embedded)
    backwards = enc_bwd.initial_state().transduce(reversed(embedded))
    return [dy.concatenate([f, b]) for f, b in zip(forwards, reversed(backwards))]


def attend(encoded, w1dt, state):
    w2dt = attention_w2 * dy.concatenate(list(state.s()))
    weights = dy.softmax(dy.transpose(attention_v * dy.tanh(dy.colwise_add(w1dt, w2dt))))
    return encoded * weights


def decode(vectors, string):
    encoded = dy.concatenate_cols(vectors)
    w1dt = attention_w1 * encoded
    last = output_lookup[0]
    state = dec.initial_state().add_input(dy.concatenate([dy.vecInput(2 * H), last]))
    losses = []
    for symbol in string:
        context = attend(encoded, w1dt, state)
        state = state.add_input(dy.concatenate([context, last]))
        probabilities = dy.softmax(decoder_w * state.output() + decoder_b)
        last = output_lookup[symbol]
        losses.append(-dy.log(dy.pick(probabilities, symbol)))
    return dy.esum(losses)


start = time.time()
for _ in range(args.updates):
    dy.renew_cg()
    losses = []
    for _ in range(args.batch):
        string = [random.randrange(1, SYMBOLS) for _ in range(random.randint(2, 7))]
        losses.append(decode(encode([*string, 0]), [*reversed(string), 0]))
    loss = dy.esum(losses)
    print(repr(loss.value()))
    loss.backward()
    trainer.update()
print("seconds", time.time() - start, file=sys.stderr)
