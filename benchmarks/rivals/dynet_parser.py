"""A stack-LSTM parser (Dyer et al. 2015) following gold actions, in DyNet.

The stack of states is the list of the LSTM's states: popping is dropping the last one. A reduction
joins the two topmost words into one vector, which is pushed in their place.
"""

import dynet as dy


class Usual:
    builder = dy.VanillaLSTMBuilder

    def __init__(self, sample, dim):
        self.pc = pc = dy.ParameterCollection()
        self.words = pc.add_lookup_parameters((sample.words, dim))
        self.labels = pc.add_lookup_parameters((sample.classes, dim))
        self.stack = self.builder(1, dim, dim, pc)
        self.buffer = self.builder(1, dim, dim, pc)
        self.bottom = pc.add_parameters(dim)
        self.end = pc.add_parameters(dim)
        self.C = pc.add_parameters((dim, 3 * dim))
        self.bc = pc.add_parameters(dim, init=0.0)
        self.H = pc.add_parameters((dim, 2 * dim))
        self.bh = pc.add_parameters(dim, init=0.0)
        self.A = pc.add_parameters((sample.classes, dim))
        self.ba = pc.add_parameters(sample.classes, init=0.0)

    def compose(self, head, dependent, action):
        x = dy.concatenate([head, dependent, dy.lookup(self.labels, action)])
        return dy.tanh(self.C * x + self.bc)

    def score(self, stack, buffer):
        hidden = dy.rectify(self.H * dy.concatenate([stack, buffer]) + self.bh)
        return self.A * hidden + self.ba

    def sentence(self, parse, losses):
        words = [dy.lookup(self.words, word) for word in parse.words]
        buffer = [self.buffer.initial_state().add_input(self.end)]
        for word in reversed(words):
            buffer.append(buffer[-1].add_input(word))
        words.reverse()
        vectors = [self.bottom]
        stack = [self.stack.initial_state().add_input(self.bottom)]
        for action in parse.actions:
            scores = self.score(stack[-1].output(), buffer[-1].output())
            losses.append(dy.pickneglogsoftmax(scores, action))
            if action == 0:
                buffer.pop()
                vector = words.pop()
            else:
                top, below = vectors.pop(), vectors.pop()
                stack.pop(), stack.pop()
                head, dependent = (top, below) if action % 2 else (below, top)
                vector = self.compose(head, dependent, action)
            vectors.append(vector)
            stack.append(stack[-1].add_input(vector))

    def loss(self, minibatch):
        losses = []
        for parse in minibatch:
            self.sentence(parse, losses)
        return dy.esum(losses) * (1.0 / len(minibatch))


class Autobatching(Usual):
    """As DyNet's notes advise: few nodes a step, products with their bias in one node."""

    builder = dy.CompactVanillaLSTMBuilder

    def compose(self, head, dependent, action):
        x = dy.concatenate([head, dependent, dy.lookup(self.labels, action)])
        return dy.tanh(dy.affine_transform([self.bc, self.C, x]))

    def score(self, stack, buffer):
        x = dy.concatenate([stack, buffer])
        hidden = dy.rectify(dy.affine_transform([self.bh, self.H, x]))
        return dy.affine_transform([self.ba, self.A, hidden])
