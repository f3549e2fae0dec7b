"""A tagger: characters to word vectors by a BiLSTM, words to tags by another, in PyTorch."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence


class Loop(nn.Module):
    """One sentence after the other, one step after the other."""

    def __init__(self, sample, dim):
        super().__init__()
        self.words = nn.Embedding(sample.words, 128, sparse=True)
        self.letters = nn.Embedding(sample.characters, 20, sparse=True)
        self.spell_forward = nn.LSTMCell(20, 64)
        self.spell_backward = nn.LSTMCell(20, 64)
        self.read_forward = nn.LSTMCell(128, dim)
        self.read_backward = nn.LSTMCell(128, dim)
        self.H = nn.Linear(2 * dim, 32, bias=False)
        self.O = nn.Linear(32, sample.classes, bias=False)

    def run(self, cell, x):
        state = None
        outputs = []
        for vector in x:
            state = cell(vector, state)
            outputs.append(state[0])
        return outputs

    def word(self, row, letters):
        if row:
            return self.words(torch.tensor(row))
        x = self.letters(torch.tensor(letters)).unbind()
        forward = self.run(self.spell_forward, x)
        backward = self.run(self.spell_backward, x[::-1])
        return torch.cat([forward[-1], backward[-1]])

    def sentence(self, sentence):
        x = [self.word(row, letters) for row, letters, _ in sentence]
        forward = self.run(self.read_forward, x)
        backward = self.run(self.read_backward, x[::-1])
        losses = []
        for f, b, (_, _, tag) in zip(forward, backward[::-1], sentence, strict=True):
            scores = self.O(torch.tanh(self.H(torch.cat([f, b]))))
            losses.append(F.cross_entropy(scores, torch.tensor(tag)))
        return torch.stack(losses).sum()

    def loss(self, minibatch):
        return torch.stack([self.sentence(s) for s in minibatch]).sum() / len(minibatch)


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
            letters = pack_sequence([torch.tensor(letters) for letters in spelled])
            _, (h, _) = self.spell(letters._replace(data=self.letters(letters.data)))
            table = torch.cat([table, torch.cat([h[0], h[1]], 1)])
        rows = [torch.tensor([place[row or tuple(word)] for row, word, _ in s]) for s in sentences]
        return table, rows

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
