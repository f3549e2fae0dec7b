"""Language model: two layers of LSTM with dropout, sentences in padded minibatches."""

import argparse
import random
import sys
import time

import dynet as dy

flags = argparse.ArgumentParser()
flags.add_argument("--updates", type=int, default=30)
flags.add_argument("--batch", type=int, default=4)
flags.add_argument("--hidden", type=int, default=20)
flags.add_argument("--dropout", type=float, default=0.1)
args, _ = flags.parse_known_args()

random.seed(8)
WORDS, EMBED = 40, 16
END = 0


def sentence():
    words = [random.randrange(1, WORDS)]
    while random.random() < 0.85 and len(words) < 12:
        words.append((words[-1] * 3 + random.randrange(3)) % (WORDS - 1) + 1)
    return [*words, END]


class LanguageModel:
    def __init__(self, model, builder):
        self.embeddings = model.add_lookup_parameters((WORDS, EMBED))
        self.R = model.add_parameters((WORDS, args.hidden))
        self.bias = model.add_parameters((WORDS,))
        self.builder = builder(2, EMBED, args.hidden, model)
        self.builder.set_dropout(args.dropout)

    def batch_loss(self, sentences):
        longest = max(map(len, sentences))
        state = self.builder.initial_state()
        state = state.add_input(dy.lookup_batch(self.embeddings, [END] * len(sentences)))
        losses = []
        for place in range(longest):
            words = [words[place] if place < len(words) else END for words in sentences]
            mask = [float(place < len(words)) for words in sentences]
            scores = dy.affine_transform([self.bias, self.R, state.output()])
            loss = dy.pickneglogsoftmax_batch(scores, words)
            if not all(mask):
                loss = loss * dy.reshape(dy.inputVector(mask), (1,), len(sentences))
            losses.append(loss)
            state = state.add_input(dy.lookup_batch(self.embeddings, words))
        return dy.sum_batches(dy.esum(losses))


model = dy.Model()
trainer = dy.SimpleSGDTrainer(model, learning_rate=0.5)
lm = LanguageModel(model, dy.LSTMBuilder)

start = time.time()
for _ in range(args.updates):
    dy.renew_cg()
    sentences = [sentence() for _ in range(args.batch)]
    loss = lm.batch_loss(sentences) / sum(map(len, sentences))
    print(repr(loss.value()))
    loss.backward()
    trainer.update()
print("seconds", time.time() - start, file=sys.stderr)
