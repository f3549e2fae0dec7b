"""An LSTM over sequences of one length, one class each."""

import autobatch as ab


class Loop(ab.Module):
    def __init__(self, sample, dim):
        self.embed = ab.Lookup(sample.words, dim)
        self.lstm = ab.LSTM(dim, dim)
        self.V, self.b = ab.Parameter((sample.classes, dim)), ab.Parameter(sample.classes, init=0)

    def sequence(self, words, label):
        state = self.lstm.start()
        for word in words:
            state = self.lstm.step(self.embed[word], state)
        return ab.cross_entropy(ab.affine(self.b, self.V, state.h), label)

    def loss(self, minibatch):
        return ab.mean([self.sequence(words, label) for words, label in minibatch])


class Batched(Loop):
    """The same model on one expression that holds the whole minibatch."""

    def loss(self, minibatch):
        state = self.lstm.start()
        for words in zip(*(words for words, _ in minibatch), strict=True):
            state = self.lstm.step(self.embed.batch(words), state)
        scores = ab.affine(self.b, self.V, state.h)
        losses = ab.cross_entropy(scores, [label for _, label in minibatch])
        return ab.mean_batch(losses)
