"""A tagger: characters to word vectors by a BiLSTM, words to tags by another, in PyTorch."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence, pad_sequence


class Packed(nn.Module):
    """Both BiLSTMs on packed sequences; a rare word is spelled once a minibatch."""

    def __init__(self, sample, dim):
        super().__init__()
        self.words = nn.Embedding(sample.words, 128, sparse=True)
        self.letters = nn.Embedding(sample.characters, 20, sparse=True)
        self.spell = nn.LSTM(20, 64, bidirectional=True)
        self.read = nn.LSTM(128, dim, bidirectional=True)
        self.H = nn.Linear(2 * dim, 32, bias=False)
        self.O = nn.Linear(32, sample.classes, bias=False)

    def vectors(self, sentences):
        """Word vectors of all sentences, one row a word."""
        rare = {tuple(letters) for s in sentences for row, letters, _ in s if not row}
        spelled = sorted(rare, key=len, reverse=True)
        known = sorted({row for s in sentences for row, _, _ in s if row})
        place = {row: i for i, row in enumerate(known)}
        place |= {letters: len(known) + i for i, letters in enumerate(spelled)}
        table = self.words(torch.tensor(known, dtype=torch.long))
        if spelled:
            table = torch.cat([table, self.spelled(spelled)])
        rows = [torch.tensor([place[row or tuple(word)] for row, word, _ in s]) for s in sentences]
        return table, rows

    def spelled(self, words):
        letters = pack_sequence([torch.tensor(letters) for letters in words])
        _, (h, _) = self.spell(letters._replace(data=self.letters(letters.data)))
        return torch.cat([h[0], h[1]], 1)

    def cost(self, hidden, labels, count):
        scores = self.O(torch.tanh(self.H(hidden)))
        return F.cross_entropy(scores, labels, reduction="sum") / count

    def loss(self, minibatch):
        sentences = sorted(minibatch, key=len, reverse=True)
        labels = pack_sequence([torch.tensor([tag for _, _, tag in s]) for s in sentences])
        table, rows = self.vectors(sentences)
        rows = pack_sequence(rows)
        hidden, _ = self.read(rows._replace(data=table.index_select(0, rows.data)))
        return self.cost(hidden.data, labels.data, len(minibatch))


class Padded(Packed):
    """Both BiLSTMs on rectangles, a layer per direction: the backward one reads reversed lines."""

    def __init__(self, sample, dim):
        super().__init__(sample, dim)
        self.spell = nn.ModuleList([nn.LSTM(20, 64), nn.LSTM(20, 64)])
        self.read = nn.ModuleList([nn.LSTM(128, dim), nn.LSTM(128, dim)])

    def spelled(self, words):
        columns = torch.arange(len(words))
        last = torch.tensor([len(letters) - 1 for letters in words])
        ends = []
        for layer, step in zip(self.spell, (1, -1), strict=True):
            letters = pad_sequence([torch.tensor(letters[::step]) for letters in words])
            ends.append(layer(self.letters(letters))[0][last, columns])
        return torch.cat(ends, 1)

    def loss(self, minibatch):
        table, rows = self.vectors(minibatch)
        count = len(rows)
        cells, outputs = [], []
        for layer, step in zip(self.read, (1, -1), strict=True):
            lines = pad_sequence([line if step > 0 else line.flip(0) for line in rows])
            x = table.index_select(0, lines.flatten()).view(*lines.shape, -1)
            outputs.append(layer(x)[0].flatten(0, 1))
            lines = enumerate(range(len(line))[::step] for line in rows)
            cells.append(torch.tensor([t * count + i for i, line in lines for t in line]))
        hidden = torch.cat([o.index_select(0, c) for o, c in zip(outputs, cells, strict=True)], 1)
        labels = torch.tensor([tag for sentence in minibatch for _, _, tag in sentence])
        return self.cost(hidden, labels, count)


class Loop(Packed):
    """``nn.LSTM`` on one word and one sentence after the other."""

    def word(self, row, letters):
        if row:
            return self.words(torch.tensor(row))
        _, (h, _) = self.spell(self.letters(torch.tensor(letters)))
        return h.flatten()

    def sentence(self, sentence):
        x = torch.stack([self.word(row, letters) for row, letters, _ in sentence])
        return self.cost(self.read(x)[0], torch.tensor([tag for _, _, tag in sentence]), 1)

    def loss(self, minibatch):
        return torch.stack([self.sentence(s) for s in minibatch]).sum() / len(minibatch)
