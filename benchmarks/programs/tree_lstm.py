"""Tree-LSTM (Tai et al. 2015), a loss at every node."""

import autobatch as ab


class Plain(ab.Module):
    """One product per gate, written with plain operators."""

    def __init__(self, sample, dim):
        self.embed = ab.Lookup(sample.words, dim)
        self.Wi, self.Wo, self.Wu = (ab.Parameter((dim, dim)) for _ in range(3))
        self.Ui, self.Uo, self.Uu = (ab.Parameter((dim, 2 * dim)) for _ in range(3))
        self.Ul, self.Ur = (ab.Parameter((dim, dim)) for _ in range(2))
        self.bi, self.bo, self.bu, self.bf = (ab.Parameter(dim, init=0) for _ in range(4))
        self.V = ab.Parameter((sample.classes, dim))
        self.bv = ab.Parameter(sample.classes, init=0)

    def leaf(self, x):
        i = ab.sigmoid(self.Wi @ x + self.bi)
        o = ab.sigmoid(self.Wo @ x + self.bo)
        u = ab.tanh(self.Wu @ x + self.bu)
        c = i * u
        return o * ab.tanh(c), c

    def join(self, hl, cl, hr, cr):
        h = ab.concat([hl, hr])
        i = ab.sigmoid(self.Ui @ h + self.bi)
        o = ab.sigmoid(self.Uo @ h + self.bo)
        fl = ab.sigmoid(self.Ul @ hl + self.bf)
        fr = ab.sigmoid(self.Ur @ hr + self.bf)
        u = ab.tanh(self.Uu @ h + self.bu)
        c = i * u + fl * cl + fr * cr
        return o * ab.tanh(c), c

    def score(self, h):
        return self.V @ h + self.bv

    def node(self, tree, losses):
        if tree.left is None:
            h, c = self.leaf(self.embed[tree.word])
        else:
            hl, cl = self.node(tree.left, losses)
            hr, cr = self.node(tree.right, losses)
            h, c = self.join(hl, cl, hr, cr)
        losses.append(ab.cross_entropy(self.score(h), tree.label))
        return h, c

    def loss(self, minibatch):
        losses = []
        for tree in minibatch:
            self.node(tree, losses)
        return ab.sum(losses) * (1.0 / len(minibatch))


class Affine(Plain):
    """One ``affine`` per gate."""

    def leaf(self, x):
        i = ab.sigmoid(ab.affine(self.bi, self.Wi, x))
        o = ab.sigmoid(ab.affine(self.bo, self.Wo, x))
        u = ab.tanh(ab.affine(self.bu, self.Wu, x))
        c = i * u
        return o * ab.tanh(c), c

    def join(self, hl, cl, hr, cr):
        h = ab.concat([hl, hr])
        i = ab.sigmoid(ab.affine(self.bi, self.Ui, h))
        o = ab.sigmoid(ab.affine(self.bo, self.Uo, h))
        fl = ab.sigmoid(ab.affine(self.bf, self.Ul, hl))
        fr = ab.sigmoid(ab.affine(self.bf, self.Ur, hr))
        u = ab.tanh(ab.affine(self.bu, self.Uu, h))
        c = i * u + fl * cl + fr * cr
        return o * ab.tanh(c), c

    def score(self, h):
        return ab.affine(self.bv, self.V, h)


class Fused(Affine):
    """One product for the gates that read the same input."""

    def __init__(self, sample, dim):
        self.embed = ab.Lookup(sample.words, dim)
        self.W = ab.Parameter((3 * dim, dim))
        self.U = ab.Parameter((3 * dim, 2 * dim))
        self.Ul, self.Ur = (ab.Parameter((dim, dim)) for _ in range(2))
        self.b = ab.Parameter(3 * dim, init=0)
        self.bf = ab.Parameter(dim, init=0)
        self.V = ab.Parameter((sample.classes, dim))
        self.bv = ab.Parameter(sample.classes, init=0)

    def split(self, gates):
        d = self.bf.shape[0]
        io = ab.sigmoid(gates[: 2 * d])
        return io[:d], io[d:], ab.tanh(gates[2 * d :])

    def leaf(self, x):
        i, o, u = self.split(ab.affine(self.b, self.W, x))
        c = i * u
        return o * ab.tanh(c), c

    def join(self, hl, cl, hr, cr):
        i, o, u = self.split(ab.affine(self.b, self.U, ab.concat([hl, hr])))
        fl = ab.sigmoid(ab.affine(self.bf, self.Ul, hl))
        fr = ab.sigmoid(ab.affine(self.bf, self.Ur, hr))
        c = i * u + fl * cl + fr * cr
        return o * ab.tanh(c), c


# The parts of a node as cells: all parameters are operands, and Python runs once for each part.


def gates(pre, dim):
    io = ab.sigmoid(pre[: 2 * dim])
    return io[:dim], io[dim:], ab.tanh(pre[2 * dim :])


@ab.cell
def leaf(weights, x):
    b, W = weights
    i, o, u = gates(ab.affine(b, W, x), W.shape[0] // 3)
    c = i * u
    return o * ab.tanh(c), c


@ab.cell
def join(weights, left, right):
    b, U, bf, Ul, Ur = weights
    (hl, cl), (hr, cr) = left, right
    i, o, u = gates(ab.affine(b, U, ab.concat([hl, hr])), bf.shape[0])
    fl = ab.sigmoid(ab.affine(bf, Ul, hl))
    fr = ab.sigmoid(ab.affine(bf, Ur, hr))
    c = i * u + fl * cl + fr * cr
    return o * ab.tanh(c), c


@ab.cell
def score(weights, h):
    return ab.affine(*weights, h)


class Cells(Fused):
    """`Fused`, written with cells."""

    def __init__(self, sample, dim):
        super().__init__(sample, dim)
        self.of_leaf = self.b, self.W
        self.of_join = self.b, self.U, self.bf, self.Ul, self.Ur
        self.of_score = self.bv, self.V

    def node(self, tree, losses):
        if tree.left is None:
            state = leaf(self.of_leaf, self.embed[tree.word])
        else:
            left, right = self.node(tree.left, losses), self.node(tree.right, losses)
            state = join(self.of_join, left, right)
        losses.append(ab.cross_entropy(score(self.of_score, state[0]), tree.label))
        return state


@ab.cell
def plain_leaf(weights, x):
    Wi, bi, Wo, bo, Wu, bu = weights
    i = ab.sigmoid(Wi @ x + bi)
    o = ab.sigmoid(Wo @ x + bo)
    u = ab.tanh(Wu @ x + bu)
    c = i * u
    return o * ab.tanh(c), c


@ab.cell
def plain_join(weights, left, right):
    Ui, bi, Uo, bo, Uu, bu, Ul, Ur, bf = weights
    (hl, cl), (hr, cr) = left, right
    h = ab.concat([hl, hr])
    i = ab.sigmoid(Ui @ h + bi)
    o = ab.sigmoid(Uo @ h + bo)
    fl = ab.sigmoid(Ul @ hl + bf)
    fr = ab.sigmoid(Ur @ hr + bf)
    u = ab.tanh(Uu @ h + bu)
    c = i * u + fl * cl + fr * cr
    return o * ab.tanh(c), c


@ab.cell
def plain_score(weights, h):
    V, bv = weights
    return V @ h + bv


class PlainCells(Plain):
    """`Plain`, written with cells: the same operations are recorded."""

    def __init__(self, sample, dim):
        super().__init__(sample, dim)
        self.of_leaf = self.Wi, self.bi, self.Wo, self.bo, self.Wu, self.bu
        self.of_join = self.Ui, self.bi, self.Uo, self.bo, self.Uu, self.bu
        self.of_join += self.Ul, self.Ur, self.bf
        self.of_score = self.V, self.bv

    def node(self, tree, losses):
        if tree.left is None:
            state = plain_leaf(self.of_leaf, self.embed[tree.word])
        else:
            left, right = self.node(tree.left, losses), self.node(tree.right, losses)
            state = plain_join(self.of_join, left, right)
        losses.append(ab.cross_entropy(plain_score(self.of_score, state[0]), tree.label))
        return state
