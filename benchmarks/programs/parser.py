"""A stack-LSTM parser (Dyer et al. 2015) following gold actions.

The stack of states is a list of the LSTM's states: popping is dropping the last one. A reduction
joins the two topmost words into one vector, which is pushed in their place.
"""

import autobatch as ab


class Parser(ab.Module):
    def __init__(self, sample, dim):
        self.words = ab.Lookup(sample.words, dim)
        self.labels = ab.Lookup(sample.classes, dim)
        self.stack = ab.LSTM(dim, dim)
        self.buffer = ab.LSTM(dim, dim)
        self.bottom = ab.Parameter(dim, init=ab.Uniform(0.1))
        self.end = ab.Parameter(dim, init=ab.Uniform(0.1))
        self.C, self.bc = ab.Parameter((dim, 3 * dim)), ab.Parameter(dim, init=0)
        self.H, self.bh = ab.Parameter((dim, 2 * dim)), ab.Parameter(dim, init=0)
        self.A, self.ba = ab.Parameter((sample.classes, dim)), ab.Parameter(sample.classes, init=0)

    def compose(self, head, dependent, action):
        x = ab.concat([head, dependent, self.labels[action]])
        return ab.tanh(ab.affine(self.bc, self.C, x))

    def score(self, stack, buffer):
        hidden = ab.relu(ab.affine(self.bh, self.H, ab.concat([stack, buffer])))
        return ab.affine(self.ba, self.A, hidden)

    def sentence(self, parse, losses):
        words = [self.words[word] for word in parse.words]
        buffer = [self.buffer.step(self.end)]
        for word in reversed(words):
            buffer.append(self.buffer.step(word, buffer[-1]))
        words.reverse()
        vectors = [self.bottom]
        stack = [self.stack.step(self.bottom)]
        for action in parse.actions:
            scores = self.score(stack[-1].h, buffer[-1].h)
            losses.append(ab.cross_entropy(scores, action))
            if action == 0:
                buffer.pop()
                vector = words.pop()
            else:
                top, below = vectors.pop(), vectors.pop()
                stack.pop(), stack.pop()
                head, dependent = (top, below) if action % 2 else (below, top)
                vector = self.compose(head, dependent, action)
            vectors.append(vector)
            stack.append(self.stack.step(vector, stack[-1]))

    def loss(self, minibatch):
        losses = []
        for parse in minibatch:
            self.sentence(parse, losses)
        return ab.sum(losses) * (1.0 / len(minibatch))


@ab.cell
def compose(weights, head, dependent, label):
    bias, C = weights
    return ab.tanh(ab.affine(bias, C, ab.concat([head, dependent, label])))


@ab.cell
def score(weights, stack, buffer):
    bh, H, ba, A = weights
    return ab.affine(ba, A, ab.relu(ab.affine(bh, H, ab.concat([stack, buffer]))))


class Cells(Parser):
    """The same, with composition and scores as cells."""

    def __init__(self, sample, dim):
        super().__init__(sample, dim)
        self.of_composition = self.bc, self.C
        self.of_scores = self.bh, self.H, self.ba, self.A

    def compose(self, head, dependent, action):
        return compose(self.of_composition, head, dependent, self.labels[action])

    def score(self, stack, buffer):
        return score(self.of_scores, stack, buffer)
