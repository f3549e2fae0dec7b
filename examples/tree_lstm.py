"""Sentiment, or arithmetic: a binary Tree-LSTM (Tai et al. 2015) with a label at every node.

The model walks one tree by plain recursion. Trees of all shapes learn together, because autobatch
finds the nodes that can run at once.

    python examples/tree_lstm.py                     # ListOps trees made here, about a minute
    python examples/tree_lstm.py --data DIR          # train.txt, dev.txt: Sentiment Treebank
"""

from __future__ import annotations

import sys

from common import grammars, readers, training
from common.readers import Tree
from common.vocabulary import Vocabulary, majority

import autobatch as ab

# ---- data


def load(options) -> tuple[list[Tree], list[Tree]]:
    """Training and development trees."""
    if options.data is None:
        return grammars.listops(train=4000, dev=500, seed=options.seed)
    train, dev = (readers.find_split(options.data, name) for name in ("train.txt", "dev.txt"))
    return readers.read_trees(train), readers.read_trees(dev)


# ---- model


class TreeLSTM(ab.Module):
    """Scores of the classes at every node of one tree."""

    def __init__(self, words: Vocabulary, dim: int, classes: int, dropout: float) -> None:
        self.words, self.dropout = words, dropout
        self.embed = ab.Lookup(len(words), dim)
        self.leaf = ab.Linear(dim, 3 * dim)
        self.left = ab.Parameter((5 * dim, dim))
        self.right = ab.Parameter((5 * dim, dim))
        self.bias = ab.Parameter((5 * dim,))
        self.out = ab.Linear(dim, classes)

    def __call__(self, tree: Tree, rng=None) -> list[tuple[Tree, ab.Expression]]:
        """Every node with its scores, the root last; `rng` is given in training."""
        scored = []

        def encode(node: Tree):
            if node.word is not None:
                x = self.embed[self.words.row(node.word, rng)]
                i, o, u = ab.split(self.leaf(x), 3)
                c = ab.sigmoid(i) * ab.tanh(u)
            else:
                (h1, c1), (h2, c2) = map(encode, node.children)
                gates = ab.affine(self.bias, self.left, h1, self.right, h2)
                i, f1, f2, o, u = ab.split(gates, 5)
                c = ab.sigmoid(f1) * c1 + ab.sigmoid(f2) * c2 + ab.sigmoid(i) * ab.tanh(u)
            h = ab.sigmoid(o) * ab.tanh(c)
            scored.append((node, self.out(ab.dropout(h, self.dropout) if self.training else h)))
            return h, c

        encode(tree)
        return scored


# ---- what is learned, and what is measured


def losses(model: TreeLSTM, tree: Tree, rng, root_only: bool) -> list[ab.Expression]:
    """The loss at every node, or at the root alone."""
    scored = model(tree, rng)
    chosen = scored[-1:] if root_only else scored
    return [ab.cross_entropy(scores, node.label) for node, scores in chosen]


def evaluate(model: TreeLSTM, batches) -> dict[str, float]:
    """The share of roots, and of all nodes, whose label is found."""
    hits, roots = [], []
    for trees in batches:
        ab.new_graph()
        scored = [model(tree) for tree in trees]
        found = iter(ab.values([ab.argmax(scores) for tree in scored for _, scores in tree]))
        for tree in scored:
            right = [int(next(found)) == node.label for node, _ in tree]
            hits += right
            roots.append(right[-1])
    return {"dev_accuracy": sum(roots) / len(roots), "dev_accuracy_nodes": sum(hits) / len(hits)}


# ---- main


def main(arguments=None) -> None:
    flags = training.Flags(__doc__, "trees, one s-expression a line", epochs=10, batch_size=32,
                           dim=64, learning_rate=5e-3)  # fmt: skip
    flags.add_argument("--root-only", action="store_true", help="learn from the root's label alone")
    flags.add_argument("--dropout", metavar="P", type=training.share, default=0.0)
    options = flags.parse(arguments)
    train, dev = training.limited(options, *load(options))

    words = Vocabulary(word for tree in train for word in tree.words())
    labels = [node.label for tree in train for node in tree.nodes()]
    model = TreeLSTM(words, options.dim, max(labels) + 1, options.dropout)
    common_root, _ = majority(tree.label for tree in train)
    common_node, _ = majority(labels)
    dev_nodes = [node.label for tree in dev for node in tree.nodes()]
    training.train(
        training.Task(
            name="tree_lstm",
            model=model,
            train=train,
            dev=dev,
            losses=lambda tree, rng: losses(model, tree, rng, options.root_only),
            evaluate=lambda batches: evaluate(model, batches),
            baseline={
                "dev_accuracy": sum(tree.label == common_root for tree in dev) / len(dev),
                "dev_accuracy_nodes": dev_nodes.count(common_node) / len(dev_nodes),
            },
            baseline_name="the most frequent label",
            vocabulary=words,
        ),
        options,
    )


if __name__ == "__main__":
    sys.exit(training.run(main))
