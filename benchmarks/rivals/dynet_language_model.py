"""An LSTM language model over sentences of any length, in DyNet."""

from itertools import zip_longest

import dynet as dy
import numpy as np


class Loop:
    builder = dy.CompactVanillaLSTMBuilder

    def __init__(self, sample, dim):
        self.pc = pc = dy.ParameterCollection()
        self.embed = pc.add_lookup_parameters((sample.words, dim))
        self.lstm = self.builder(1, dim, dim, pc)
        self.V = pc.add_parameters((sample.words, dim))
        self.b = pc.add_parameters(sample.words, init=0.0)

    def sentence(self, words, losses):
        state = self.lstm.initial_state()
        for word, following in zip(words, words[1:], strict=False):
            state = state.add_input(dy.lookup(self.embed, word))
            scores = dy.affine_transform([self.b, self.V, state.output()])
            losses.append(dy.pickneglogsoftmax(scores, following))

    def loss(self, minibatch):
        losses = []
        for words in minibatch:
            self.sentence(words, losses)
        return dy.esum(losses) * (1.0 / len(minibatch))


class VanillaLoop(Loop):
    builder = dy.VanillaLSTMBuilder


class Padded(Loop):
    """The whole minibatch in one expression, short sentences padded and their losses masked."""

    def loss(self, minibatch):
        state = self.lstm.initial_state()
        columns = list(zip_longest(*minibatch, fillvalue=-1))
        losses = []
        for words, following in zip(columns, columns[1:], strict=False):
            rows = [max(word, 0) for word in words]
            state = state.add_input(dy.lookup_batch(self.embed, rows))
            scores = dy.affine_transform([self.b, self.V, state.output()])
            loss = dy.pickneglogsoftmax_batch(scores, [max(word, 0) for word in following])
            if -1 in following:
                mask = np.array([[float(word >= 0) for word in following]])
                loss = dy.cmult(loss, dy.inputTensor(mask, batched=True))
            losses.append(dy.sum_batches(loss))
        return dy.esum(losses) * (1.0 / len(minibatch))
