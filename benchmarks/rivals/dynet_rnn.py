"""An LSTM over sequences of one length, one class each, in DyNet."""

import dynet as dy


class Loop:
    builder = dy.CompactVanillaLSTMBuilder

    def __init__(self, sample, dim):
        self.pc = pc = dy.ParameterCollection()
        self.embed = pc.add_lookup_parameters((sample.words, dim))
        self.lstm = self.builder(1, dim, dim, pc)
        self.V = pc.add_parameters((sample.classes, dim))
        self.b = pc.add_parameters(sample.classes, init=0.0)

    def sequence(self, words, label):
        state = self.lstm.initial_state()
        for word in words:
            state = state.add_input(dy.lookup(self.embed, word))
        scores = dy.affine_transform([self.b, self.V, state.output()])
        return dy.pickneglogsoftmax(scores, label)

    def loss(self, minibatch):
        losses = [self.sequence(words, label) for words, label in minibatch]
        return dy.esum(losses) * (1.0 / len(minibatch))


class VanillaLoop(Loop):
    builder = dy.VanillaLSTMBuilder


class Batched(Loop):
    """The same model on one expression that holds the whole minibatch."""

    def loss(self, minibatch):
        state = self.lstm.initial_state()
        for words in zip(*(words for words, _ in minibatch), strict=True):
            state = state.add_input(dy.lookup_batch(self.embed, words))
        scores = dy.affine_transform([self.b, self.V, state.output()])
        losses = dy.pickneglogsoftmax_batch(scores, [label for _, label in minibatch])
        return dy.sum_batches(losses) * (1.0 / len(minibatch))
