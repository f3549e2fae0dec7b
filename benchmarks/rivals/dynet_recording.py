"""An LSTM written out in single operations, to time what recording one costs, in DyNet."""

import dynet as dy


class Chain:
    def __init__(self, sample, dim):
        self.pc = pc = dy.ParameterCollection()
        self.embed = pc.add_lookup_parameters((sample.words, dim))
        self.W, self.U = pc.add_parameters((dim, dim)), pc.add_parameters((dim, dim))
        self.b = pc.add_parameters(dim, init=0.0)
        self.h0, self.c0 = pc.add_parameters(dim), pc.add_parameters(dim)

    def loss(self, minibatch):
        embed, W, U, b = self.embed, self.W, self.U, self.b
        losses = []
        for words, label in minibatch:
            h, c = self.h0, self.c0
            for word in words:
                x = dy.lookup(embed, word)
                a = W * x + U * h + b
                i = dy.logistic(a)
                g = dy.tanh(a)
                c = dy.cmult(i, c) + dy.cmult(i, g)
                h = dy.cmult(i, dy.tanh(c))
            losses.append(dy.pickneglogsoftmax(h + c, label))
        return dy.esum(losses)
