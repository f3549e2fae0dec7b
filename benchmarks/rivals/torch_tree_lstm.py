"""Tree-LSTM (Tai et al. 2015), a loss at every node, in PyTorch."""

import torch
from torch import nn
from torch.nn import functional as F


class Eager(nn.Module):
    """One node after the other, as the recursion meets them."""

    def __init__(self, sample, dim):
        super().__init__()
        self.embed = nn.Embedding(sample.words, dim, sparse=True)
        self.leaf = nn.Linear(dim, 3 * dim)
        self.join = nn.Linear(2 * dim, 3 * dim)
        self.forget_left = nn.Linear(dim, dim)
        self.forget_right = nn.Linear(dim, dim)
        self.score = nn.Linear(dim, sample.classes)

    def state(self, gates, kept=None):
        i, o, u = gates.chunk(3, -1)
        c = torch.sigmoid(i) * torch.tanh(u)
        if kept is not None:
            c = c + kept
        return torch.sigmoid(o) * torch.tanh(c), c

    def node(self, tree, losses):
        if tree.left is None:
            h, c = self.state(self.leaf(self.embed(torch.tensor(tree.word))))
        else:
            hl, cl = self.node(tree.left, losses)
            hr, cr = self.node(tree.right, losses)
            kept = torch.sigmoid(self.forget_left(hl)) * cl
            kept = kept + torch.sigmoid(self.forget_right(hr)) * cr
            h, c = self.state(self.join(torch.cat([hl, hr])), kept)
        losses.append(F.cross_entropy(self.score(h), torch.tensor(tree.label)))
        return h, c

    def loss(self, minibatch):
        losses = []
        for tree in minibatch:
            self.node(tree, losses)
        return torch.stack(losses).sum() / len(minibatch)


class Embedded(Eager):
    """One node after the other; words looked up and losses computed once a minibatch."""

    def walk(self, tree, leaves, hidden, labels):
        if tree.left is None:
            h, c = self.state(next(leaves))
        else:
            hl, cl = self.walk(tree.left, leaves, hidden, labels)
            hr, cr = self.walk(tree.right, leaves, hidden, labels)
            kept = torch.sigmoid(self.forget_left(hl)) * cl
            kept = kept + torch.sigmoid(self.forget_right(hr)) * cr
            h, c = self.state(self.join(torch.cat([hl, hr])), kept)
        hidden.append(h)
        labels.append(tree.label)
        return h, c

    def loss(self, minibatch):
        words = []
        pending = list(reversed(minibatch))
        while pending:
            tree = pending.pop()
            if tree.left is None:
                words.append(tree.word)
            else:
                pending += [tree.right, tree.left]
        leaves = iter(self.leaf(self.embed(torch.tensor(words))).unbind())
        hidden, labels = [], []
        for tree in minibatch:
            self.walk(tree, leaves, hidden, labels)
        scores = self.score(torch.stack(hidden))
        return F.cross_entropy(scores, torch.tensor(labels), reduction="sum") / len(minibatch)


class Levels(Eager):
    """Batched by hand: all nodes of one height at once.

    Nodes of a level are sorted by the level of their parents, so a level is cut into slices, each
    read once: no state is copied more often than it is used.
    """

    def loss(self, minibatch):
        levels = []

        def place(tree):
            """Height of the tree; its node goes to ``levels`` with the places of its children."""
            if tree.left is None:
                height, children = 0, None
            else:
                left, right = place(tree.left), place(tree.right)
                height = 1 + max(left[0], right[0])
                left[1][1] = right[1][1] = height
                children = left[1], right[1]
            # tree, level of the parent, children, row in what the parent's level reads
            node = [tree, 0, children, 0]
            if height == len(levels):
                levels.append([])
            levels[height].append(node)
            return height, node

        for tree in minibatch:
            place(tree)
        waiting = [[] for _ in levels]
        rows = [0] * len(levels)
        hidden, labels = [], []
        for height, level in enumerate(levels):
            level.sort(key=lambda node: node[1])
            labels += [node[0].label for node in level]
            if height == 0:
                words = torch.tensor([node[0].word for node in level])
                h, c = self.state(self.leaf(self.embed(words)))
            else:
                left = [node[2][0][3] for node in level]
                right = [node[2][1][3] for node in level]
                state = torch.cat(waiting[height])
                state = state.index_select(0, torch.tensor(left + right))
                h, c = state.chunk(2, 1)
                (hl, hr), (cl, cr) = h.chunk(2), c.chunk(2)
                kept = torch.sigmoid(self.forget_left(hl)) * cl
                kept = kept + torch.sigmoid(self.forget_right(hr)) * cr
                h, c = self.state(self.join(torch.cat([hl, hr], 1)), kept)
            hidden.append(h)
            sizes = [0] * len(levels)
            for node in level:
                parent = node[1]
                sizes[parent] += 1
                node[3] = rows[parent]
                rows[parent] += 1
            pieces = torch.cat([h, c], 1).split([size for size in sizes if size])
            parents = [parent for parent, size in enumerate(sizes) if size]
            for parent, piece in zip(parents, pieces, strict=True):
                waiting[parent].append(piece)
        scores = self.score(torch.cat(hidden))
        return F.cross_entropy(scores, torch.tensor(labels), reduction="sum") / len(minibatch)
