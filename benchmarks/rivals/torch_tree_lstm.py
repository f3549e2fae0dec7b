"""Tree-LSTM (Tai et al. 2015), a loss at every node, in PyTorch."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Eager(nn.Module):
    """One node after the other; words looked up and losses computed once a minibatch."""

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

    Trees are turned into arrays once, as a data loader would. Nodes of a level are sorted by the
    level of their parents, so a level is cut into slices, each read once: no state is copied more
    often than it is used.
    """

    def __init__(self, sample, dim):
        super().__init__(sample, dim)
        self.arrays = {id(tree): self.flat(tree) for tree in sample.examples}

    @staticmethod
    def flat(tree):
        """A column per node: height, that of its parent, numbers of its children, word, label."""
        rows = []

        def place(tree):
            if tree.left is None:
                children, height = (0, 0), 0
            else:
                children = place(tree.left), place(tree.right)
                height = 1 + max(rows[children[0]][0], rows[children[1]][0])
                for child in children:
                    rows[child][1] = height
            rows.append([height, 0, *children, tree.word, tree.label])
            return len(rows) - 1

        place(tree)
        return np.array(rows).T

    def loss(self, minibatch):
        trees = [self.arrays[id(tree)] for tree in minibatch]
        starts = np.cumsum([0] + [tree.shape[1] for tree in trees])
        height, parent, left, right, words, labels = np.concatenate(trees, axis=1)
        offset = np.repeat(starts[:-1], np.diff(starts))
        left, right = left + offset, right + offset
        top = int(height.max())
        # Nodes by level, and within one by the level that reads them (roots, read by none, first).
        order = np.lexsort((parent, height))
        counts = np.zeros((top + 1, top + 1), dtype=np.int64)
        np.add.at(counts, (height, parent), 1)
        # A level reads slices of the levels below, one after the other: the place of each node.
        read = np.lexsort((np.argsort(order), parent))
        place = np.empty(len(order), dtype=np.int64)
        begins = np.cumsum(np.concatenate([[0], counts.sum(0)]))
        place[read] = np.arange(len(order)) - begins[parent[read]]
        ends = np.cumsum(counts.sum(1))

        waiting = [[] for _ in range(top + 1)]
        hidden = []
        for level in range(top + 1):
            nodes = order[ends[level] - counts[level].sum() : ends[level]]
            if level == 0:
                h, c = self.state(self.leaf(self.embed(torch.from_numpy(words[nodes]))))
            else:
                rows = np.concatenate([place[left[nodes]], place[right[nodes]]])
                state = torch.cat(waiting[level]).index_select(0, torch.from_numpy(rows))
                h, c = state.chunk(2, 1)
                (hl, hr), (cl, cr) = h.chunk(2), c.chunk(2)
                kept = torch.sigmoid(self.forget_left(hl)) * cl
                kept = kept + torch.sigmoid(self.forget_right(hr)) * cr
                h, c = self.state(self.join(torch.cat([hl, hr], 1)), kept)
            hidden.append(h)
            parents = counts[level].nonzero()[0]
            pieces = torch.cat([h, c], 1).split(counts[level][parents].tolist())
            for piece, reader in zip(pieces, parents, strict=True):
                waiting[reader].append(piece)
        scores = self.score(torch.cat(hidden))
        labels = torch.from_numpy(labels[order])
        return F.cross_entropy(scores, labels, reduction="sum") / len(minibatch)
