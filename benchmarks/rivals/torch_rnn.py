"""An LSTM over sequences of one length, one class each, in PyTorch."""

import torch
from torch import nn
from torch.nn import functional as F


class Loop(nn.Module):
    """One sequence after the other, one step after the other."""

    def __init__(self, sample, dim):
        super().__init__()
        self.embed = nn.Embedding(sample.words, dim, sparse=True)
        self.cell = nn.LSTMCell(dim, dim)
        self.score = nn.Linear(dim, sample.classes)

    def sequence(self, words, label):
        state = None
        for x in self.embed(torch.tensor(words)).unbind():
            state = self.cell(x, state)
        return F.cross_entropy(self.score(state[0]), torch.tensor(label))

    def loss(self, minibatch):
        return torch.stack([self.sequence(*example) for example in minibatch]).mean()


class Batched(nn.Module):
    """``nn.LSTM`` on the whole minibatch."""

    def __init__(self, sample, dim):
        super().__init__()
        self.embed = nn.Embedding(sample.words, dim, sparse=True)
        self.lstm = nn.LSTM(dim, dim)
        self.score = nn.Linear(dim, sample.classes)

    def loss(self, minibatch):
        words = torch.tensor([words for words, _ in minibatch]).t().contiguous()
        _, (h, _) = self.lstm(self.embed(words))
        labels = torch.tensor([label for _, label in minibatch])
        return F.cross_entropy(self.score(h[0]), labels)
