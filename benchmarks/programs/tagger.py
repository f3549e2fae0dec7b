"""A tagger: characters to word vectors by a BiLSTM, words to tags by another."""

import autobatch as ab


class Tagger(ab.Module):
    def __init__(self, sample, dim):
        self.words = ab.Lookup(sample.words, 128)
        self.letters = ab.Lookup(sample.characters, 20)
        self.spell = ab.BiLSTM(20, 64)
        self.read = ab.BiLSTM(128, dim)
        self.H = ab.Parameter((32, 2 * dim))
        self.O = ab.Parameter((sample.classes, 32))

    def word(self, row, letters):
        if row:
            return self.words[row]
        return self.spell.last([self.letters[letter] for letter in letters])

    def sentence(self, sentence):
        x = [self.word(row, letters) for row, letters, _ in sentence]
        losses = []
        for h, (_, _, tag) in zip(self.read(x), sentence, strict=True):
            losses.append(ab.cross_entropy(self.O @ ab.tanh(self.H @ h), tag))
        return ab.sum(losses)

    def loss(self, minibatch):
        return ab.sum([self.sentence(s) for s in minibatch]) * (1.0 / len(minibatch))
