"""An LSTM language model over sentences of any length."""

import autobatch as ab


class Loop(ab.Module):
    def __init__(self, sample, dim):
        self.embed = ab.Lookup(sample.words, dim)
        self.lstm = ab.LSTM(dim, dim)
        self.V, self.b = ab.Parameter((sample.words, dim)), ab.Parameter(sample.words, init=0)

    def sentence(self, words, losses):
        state = self.lstm.start()
        for word, following in zip(words, words[1:], strict=False):
            state = self.lstm.step(self.embed[word], state)
            scores = ab.affine(self.b, self.V, state.h)
            losses.append(ab.cross_entropy(scores, following))

    def loss(self, minibatch):
        losses = []
        for words in minibatch:
            self.sentence(words, losses)
        return ab.sum(losses) * (1.0 / len(minibatch))
