"""An LSTM written out in single operations, to time what recording one costs."""

import autobatch as ab


class Chain(ab.Module):
    def __init__(self, sample, dim):
        self.embed = ab.Lookup(sample.words, dim)
        self.W, self.U = ab.Parameter((dim, dim)), ab.Parameter((dim, dim))
        self.b = ab.Parameter((dim,))
        self.h0, self.c0 = ab.Parameter((dim,)), ab.Parameter((dim,))

    def loss(self, minibatch):
        embed, W, U, b = self.embed, self.W, self.U, self.b
        losses = []
        for words, label in minibatch:
            h, c = self.h0, self.c0
            for word in words:
                x = embed[word]
                a = W @ x + U @ h + b
                i = ab.sigmoid(a)
                g = ab.tanh(a)
                c = i * c + i * g
                h = i * ab.tanh(c)
            losses.append(ab.cross_entropy(h + c, label))
        return ab.sum(losses)
