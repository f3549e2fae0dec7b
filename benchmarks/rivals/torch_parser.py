"""A stack-LSTM parser (Dyer et al. 2015) following gold actions, in PyTorch."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence


class Loop(nn.Module):
    """One sentence after the other, one action after the other."""

    def __init__(self, sample, dim):
        super().__init__()
        self.words = nn.Embedding(sample.words, dim, sparse=True)
        self.labels = nn.Embedding(sample.classes, dim, sparse=True)
        self.stack = nn.LSTMCell(dim, dim)
        self.buffer = nn.LSTMCell(dim, dim)
        self.bottom = nn.Parameter(0.1 * torch.randn(dim))
        self.end = nn.Parameter(0.1 * torch.randn(dim))
        self.compose = nn.Linear(3 * dim, dim)
        self.hidden = nn.Linear(2 * dim, dim)
        self.action = nn.Linear(dim, sample.classes)

    def score(self, stack, buffer):
        return self.action(torch.relu(self.hidden(torch.cat([stack, buffer], -1))))

    def sentence(self, parse, losses):
        words = list(self.words(torch.tensor(parse.words)).unbind())
        labels = self.labels(torch.tensor(parse.actions)).unbind()
        buffer = [self.buffer(self.end)]
        for word in reversed(words):
            buffer.append(self.buffer(word, buffer[-1]))
        words.reverse()
        vectors = [self.bottom]
        stack = [self.stack(self.bottom)]
        for action, label in zip(parse.actions, labels, strict=True):
            scores = self.score(stack[-1][0], buffer[-1][0])
            losses.append(F.cross_entropy(scores, torch.tensor(action)))
            if action == 0:
                buffer.pop()
                vector = words.pop()
            else:
                top, below = vectors.pop(), vectors.pop()
                stack.pop(), stack.pop()
                head, dependent = (top, below) if action % 2 else (below, top)
                vector = torch.tanh(self.compose(torch.cat([head, dependent, label])))
            vectors.append(vector)
            stack.append(self.stack(vector, stack[-1]))

    def loss(self, minibatch):
        losses = []
        for parse in minibatch:
            self.sentence(parse, losses)
        return torch.stack(losses).sum() / len(minibatch)


class Stepwise(Loop):
    """Batched by hand over the sentences: the t-th actions of all at once.

    The buffers run as one packed LSTM and all scores are computed at the end; only the stacks go
    step by step, their rows gathered from and cut into one tensor a row.
    """

    def __init__(self, sample, dim):
        super().__init__(sample, dim)
        self.buffer = nn.LSTM(dim, dim)

    def buffers(self, parses):
        """Outputs of all buffers: row ``t`` of a sentence has read ``t`` words, last word first."""
        lines = [torch.tensor([0, *reversed(p.words)]) for p in parses]
        packed = pack_sequence(lines, enforce_sorted=False)
        ends = torch.zeros(packed.data.shape[0], 1)
        ends[: len(parses)] = 1.0
        data = torch.lerp(self.words(packed.data), self.end, ends)
        output, _ = self.buffer(packed._replace(data=data))
        return pad_packed_sequence(output)[0]

    def loss(self, minibatch):
        parses = sorted(minibatch, key=lambda p: -len(p.actions))
        count = len(parses)
        buffers = self.buffers(parses)
        words = [list(self.words(torch.tensor(p.words)).unbind()) for p in parses]
        shifted = [0] * count
        h, c = self.stack(self.bottom[None])
        vectors = [[self.bottom] for _ in parses]
        states = [[(h[0], c[0])] for _ in parses]
        tops, nexts, golds = [], [], []
        for t in range(len(parses[0].actions)):
            active = [i for i in range(count) if t < len(parses[i].actions)]
            reduced, heads, dependents = [], [], []
            for i in active:
                action = parses[i].actions[t]
                tops.append(states[i][-1][0])
                nexts.append((len(parses[i].words) - shifted[i]) * count + i)
                golds.append(action)
                if action == 0:
                    vectors[i].append(words[i][shifted[i]])
                    shifted[i] += 1
                else:
                    top, below = vectors[i].pop(), vectors[i].pop()
                    del states[i][-2:]
                    reduced.append(i)
                    heads.append(top if action % 2 else below)
                    dependents.append(below if action % 2 else top)
            if reduced:
                labels = self.labels(torch.tensor([parses[i].actions[t] for i in reduced]))
                x = torch.cat([torch.stack(heads), torch.stack(dependents), labels], 1)
                composed = torch.tanh(self.compose(x)).unbind()
                for i, vector in zip(reduced, composed, strict=True):
                    vectors[i].append(vector)
            before = [states[i][-1] for i in active]
            h = torch.stack([state[0] for state in before])
            c = torch.stack([state[1] for state in before])
            h, c = self.stack(torch.stack([vectors[i][-1] for i in active]), (h, c))
            for i, *state in zip(active, h.unbind(), c.unbind(), strict=True):
                states[i].append(state)
        buffer = buffers.flatten(0, 1).index_select(0, torch.tensor(nexts))
        scores = self.score(torch.stack(tops), buffer)
        return F.cross_entropy(scores, torch.tensor(golds), reduction="sum") / count
