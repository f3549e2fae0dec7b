"""A tagger: characters to word vectors by a BiLSTM, words to tags by another, in DyNet."""

import dynet as dy


class Vanilla:
    builder = dy.VanillaLSTMBuilder

    def __init__(self, sample, dim):
        self.pc = pc = dy.ParameterCollection()
        self.words = pc.add_lookup_parameters((sample.words, 128))
        self.letters = pc.add_lookup_parameters((sample.characters, 20))
        self.spell_forward = self.builder(1, 20, 64, pc)
        self.spell_backward = self.builder(1, 20, 64, pc)
        self.read_forward = self.builder(1, 128, dim, pc)
        self.read_backward = self.builder(1, 128, dim, pc)
        self.H = pc.add_parameters((32, 2 * dim))
        self.O = pc.add_parameters((sample.classes, 32))

    def word(self, row, letters):
        if row:
            return dy.lookup(self.words, row)
        x = [dy.lookup(self.letters, letter) for letter in letters]
        forward = self.spell_forward.initial_state().transduce(x)
        backward = self.spell_backward.initial_state().transduce(x[::-1])
        return dy.concatenate([forward[-1], backward[-1]])

    def sentence(self, sentence):
        x = [self.word(row, letters) for row, letters, _ in sentence]
        forward = self.read_forward.initial_state().transduce(x)
        backward = self.read_backward.initial_state().transduce(x[::-1])
        losses = []
        for f, b, (_, _, tag) in zip(forward, backward[::-1], sentence, strict=True):
            hidden = dy.tanh(self.H * dy.concatenate([f, b]))
            losses.append(dy.pickneglogsoftmax(self.O * hidden, tag))
        return dy.esum(losses)

    def loss(self, minibatch):
        return dy.esum([self.sentence(s) for s in minibatch]) * (1.0 / len(minibatch))


class Compact(Vanilla):
    builder = dy.CompactVanillaLSTMBuilder
