"""An LSTM language model over sentences of any length, in PyTorch."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence, pad_sequence


class Packed(nn.Module):
    """The minibatch as one packed sequence: no step is computed for a sentence that has ended."""

    def __init__(self, sample, dim):
        super().__init__()
        self.embed = nn.Embedding(sample.words, dim, sparse=True)
        self.lstm = nn.LSTM(dim, dim)
        self.score = nn.Linear(dim, sample.words)

    def loss(self, minibatch):
        lines = [torch.tensor(words) for words in sorted(minibatch, key=len, reverse=True)]
        words = pack_sequence([line[:-1] for line in lines])
        following = pack_sequence([line[1:] for line in lines])
        output, _ = self.lstm(words._replace(data=self.embed(words.data)))
        scores = self.score(output.data)
        return F.cross_entropy(scores, following.data, reduction="sum") / len(minibatch)


class Padded(Packed):
    """The minibatch as one rectangle, short sentences padded."""

    def loss(self, minibatch):
        lines = [torch.tensor(words) for words in minibatch]
        words = pad_sequence([line[:-1] for line in lines])
        following = pad_sequence([line[1:] for line in lines], padding_value=-100).flatten()
        output, _ = self.lstm(self.embed(words))
        real = (following >= 0).nonzero().flatten()
        scores = self.score(output.flatten(0, 1).index_select(0, real))
        return F.cross_entropy(scores, following[real], reduction="sum") / len(minibatch)


class Loop(Packed):
    """``nn.LSTM`` on one sentence after the other."""

    def sentence(self, words):
        words = torch.tensor(words)
        output, _ = self.lstm(self.embed(words[:-1]))
        return F.cross_entropy(self.score(output), words[1:], reduction="sum")

    def loss(self, minibatch):
        return torch.stack([self.sentence(words) for words in minibatch]).sum() / len(minibatch)
