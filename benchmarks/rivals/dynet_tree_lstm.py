"""Tree-LSTM (Tai et al. 2015), a loss at every node, in DyNet."""

import dynet as dy


class Plain:
    """One product per gate, written with plain operators."""

    def __init__(self, sample, dim):
        self.pc = pc = dy.ParameterCollection()
        self.embed = pc.add_lookup_parameters((sample.words, dim))
        self.Wi, self.Wo, self.Wu = (pc.add_parameters((dim, dim)) for _ in range(3))
        self.Ui, self.Uo, self.Uu = (pc.add_parameters((dim, 2 * dim)) for _ in range(3))
        self.Ul, self.Ur = (pc.add_parameters((dim, dim)) for _ in range(2))
        self.bi, self.bo, self.bu, self.bf = (pc.add_parameters(dim, init=0.0) for _ in range(4))
        self.V = pc.add_parameters((sample.classes, dim))
        self.bv = pc.add_parameters(sample.classes, init=0.0)

    def leaf(self, x):
        i = dy.logistic(self.Wi * x + self.bi)
        o = dy.logistic(self.Wo * x + self.bo)
        u = dy.tanh(self.Wu * x + self.bu)
        c = dy.cmult(i, u)
        return dy.cmult(o, dy.tanh(c)), c

    def join(self, hl, cl, hr, cr):
        h = dy.concatenate([hl, hr])
        i = dy.logistic(self.Ui * h + self.bi)
        o = dy.logistic(self.Uo * h + self.bo)
        fl = dy.logistic(self.Ul * hl + self.bf)
        fr = dy.logistic(self.Ur * hr + self.bf)
        u = dy.tanh(self.Uu * h + self.bu)
        c = dy.cmult(i, u) + dy.cmult(fl, cl) + dy.cmult(fr, cr)
        return dy.cmult(o, dy.tanh(c)), c

    def score(self, h):
        return self.V * h + self.bv

    def node(self, tree, losses):
        if tree.left is None:
            h, c = self.leaf(dy.lookup(self.embed, tree.word))
        else:
            hl, cl = self.node(tree.left, losses)
            hr, cr = self.node(tree.right, losses)
            h, c = self.join(hl, cl, hr, cr)
        losses.append(dy.pickneglogsoftmax(self.score(h), tree.label))
        return h, c

    def loss(self, minibatch):
        losses = []
        for tree in minibatch:
            self.node(tree, losses)
        return dy.esum(losses) * (1.0 / len(minibatch))


class Affine(Plain):
    """One ``affine_transform`` per gate."""

    def leaf(self, x):
        i = dy.logistic(dy.affine_transform([self.bi, self.Wi, x]))
        o = dy.logistic(dy.affine_transform([self.bo, self.Wo, x]))
        u = dy.tanh(dy.affine_transform([self.bu, self.Wu, x]))
        c = dy.cmult(i, u)
        return dy.cmult(o, dy.tanh(c)), c

    def join(self, hl, cl, hr, cr):
        h = dy.concatenate([hl, hr])
        i = dy.logistic(dy.affine_transform([self.bi, self.Ui, h]))
        o = dy.logistic(dy.affine_transform([self.bo, self.Uo, h]))
        fl = dy.logistic(dy.affine_transform([self.bf, self.Ul, hl]))
        fr = dy.logistic(dy.affine_transform([self.bf, self.Ur, hr]))
        u = dy.tanh(dy.affine_transform([self.bu, self.Uu, h]))
        c = dy.cmult(i, u) + dy.cmult(fl, cl) + dy.cmult(fr, cr)
        return dy.cmult(o, dy.tanh(c)), c

    def score(self, h):
        return dy.affine_transform([self.bv, self.V, h])


class Fused(Affine):
    """One product for the gates that read the same input."""

    def __init__(self, sample, dim):
        self.dim = dim
        self.pc = pc = dy.ParameterCollection()
        self.embed = pc.add_lookup_parameters((sample.words, dim))
        self.W = pc.add_parameters((3 * dim, dim))
        self.U = pc.add_parameters((3 * dim, 2 * dim))
        self.Ul, self.Ur = (pc.add_parameters((dim, dim)) for _ in range(2))
        self.b = pc.add_parameters(3 * dim, init=0.0)
        self.bf = pc.add_parameters(dim, init=0.0)
        self.V = pc.add_parameters((sample.classes, dim))
        self.bv = pc.add_parameters(sample.classes, init=0.0)

    def split(self, gates):
        d = self.dim
        io = dy.logistic(dy.pickrange(gates, 0, 2 * d))
        u = dy.tanh(dy.pickrange(gates, 2 * d, 3 * d))
        return dy.pickrange(io, 0, d), dy.pickrange(io, d, 2 * d), u

    def leaf(self, x):
        i, o, u = self.split(dy.affine_transform([self.b, self.W, x]))
        c = dy.cmult(i, u)
        return dy.cmult(o, dy.tanh(c)), c

    def join(self, hl, cl, hr, cr):
        gates = dy.affine_transform([self.b, self.U, dy.concatenate([hl, hr])])
        i, o, u = self.split(gates)
        fl = dy.logistic(dy.affine_transform([self.bf, self.Ul, hl]))
        fr = dy.logistic(dy.affine_transform([self.bf, self.Ur, hr]))
        c = dy.cmult(i, u) + dy.cmult(fl, cl) + dy.cmult(fr, cr)
        return dy.cmult(o, dy.tanh(c)), c
