"""An LSTM over sequences of one length, one class each, in PyTorch."""

import torch
from torch import nn
from torch.nn import functional as F


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


class Loop(Batched):
    """``nn.LSTM`` on one sequence after the other."""

    def loss(self, minibatch):
        return torch.stack([super(Loop, self).loss([example]) for example in minibatch]).mean()
