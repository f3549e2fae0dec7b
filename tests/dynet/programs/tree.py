"""Sentiment of trees: a binary TreeLSTM, one loss at every node."""

import argparse
import random
import sys
import time

import dynet as dy

flags = argparse.ArgumentParser()
flags.add_argument("--updates", type=int, default=30)
flags.add_argument("--batch", type=int, default=3)
flags.add_argument("--hidden", type=int, default=20)
args, _ = flags.parse_known_args()

random.seed(2)
WORDS, LABELS = 50, 5


def tree(leaves):
    if leaves == 1:
        word = random.randrange(WORDS)
        return (word % LABELS, word)
    left = random.randint(1, leaves - 1)
    children = tree(left), tree(leaves - left)
    return ((children[0][0] + children[1][0]) // 2, *children)


class TreeLSTM:
    def __init__(self, model, words, dim, hidden):
        self.embeddings = model.add_lookup_parameters((words, dim))
        self.leaf = [model.add_parameters((hidden, dim)) for _ in "iou"]
        self.leaf_bias = [model.add_parameters(hidden, init=0) for _ in "iou"]
        self.gates = [model.add_parameters((hidden, 2 * hidden)) for _ in "iou"]
        self.bias = [model.add_parameters(hidden, init=0) for _ in "iou"]
        self.forget = [model.add_parameters((hidden, 2 * hidden)) for _ in range(2)]
        self.forget_bias = model.add_parameters(hidden, dy.ConstInitializer(1.0))

    def states(self, node, found):
        label, *children = node
        if len(children) == 1:
            x = self.embeddings[children[0]]
            i, o, u = (dy.affine_transform([b, W, x]) for W, b in zip(self.leaf, self.leaf_bias))
            c = dy.cmult(dy.logistic(i), dy.tanh(u))
        else:
            (h1, c1), (h2, c2) = (self.states(child, found) for child in children)
            h = dy.concatenate([h1, h2])
            i, o, u = (dy.affine_transform([b, W, h]) for W, b in zip(self.gates, self.bias))
            f1, f2 = (
                dy.logistic(dy.affine_transform([self.forget_bias, W, h])) for W in self.forget
            )
            c = dy.cmult(dy.logistic(i), dy.tanh(u)) + dy.cmult(f1, c1) + dy.cmult(f2, c2)
        h = dy.cmult(dy.logistic(o), dy.tanh(c))
        found.append((label, h))
        return h, c


model = dy.ParameterCollection()
trainer = dy.AdamTrainer(model, alpha=0.01)
encoder = TreeLSTM(model, WORDS, 16, args.hidden)
W_out = model.add_parameters((LABELS, args.hidden))

start = time.time()
for _ in range(args.updates):
    dy.renew_cg()
    losses = []
    for _ in range(args.batch):
        found = []
        encoder.states(tree(random.randint(3, 9)), found)
        losses += [dy.pickneglogsoftmax(W_out * h, label) for label, h in found]
    loss = dy.average(losses)
    print(repr(loss.value()))
    loss.backward()
    trainer.update()
print("seconds", time.time() - start, file=sys.stderr)
