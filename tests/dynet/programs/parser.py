"""Transition parser: the stack and the buffer are read by LSTMs, one step at a time."""

import argparse
import random
import sys
import time

import dynet as dy

flags = argparse.ArgumentParser()
flags.add_argument("--updates", type=int, default=30)
flags.add_argument("--batch", type=int, default=2)
flags.add_argument("--hidden", type=int, default=16)
args, _ = flags.parse_known_args()

random.seed(9)
WORDS, EMBED = 30, 12
SHIFT, REDUCE_LEFT, REDUCE_RIGHT = range(3)


def oracle(words):
    """Actions of a made-up grammar: the greater word governs its smaller neighbour."""
    stack, actions = [], []
    for word in words:
        stack.append(word)
        actions.append(SHIFT)
        while len(stack) > 1 and stack[-2] <= stack[-1]:
            actions.append(REDUCE_LEFT)
            del stack[-2]
    return actions + [REDUCE_RIGHT] * (len(stack) - 1)


class TransitionParser:
    def __init__(self, model, hidden):
        self.lookup = model.add_lookup_parameters((WORDS, EMBED))
        self.W_comp = model.add_parameters((hidden, 2 * hidden))
        self.b_comp = model.add_parameters(hidden)
        self.W_s2h = model.add_parameters((hidden, 2 * hidden))
        self.b_s2h = model.add_parameters(hidden)
        self.W_act = model.add_parameters((3, hidden))
        self.b_act = model.add_parameters(3)
        self.buffer = dy.LSTMBuilder(1, EMBED, hidden, model)
        self.stack = dy.LSTMBuilder(1, hidden, hidden, model)
        self.empty = model.add_parameters(hidden)

    def loss(self, words, actions):
        state = self.buffer.initial_state()
        buffer = []
        for word in reversed(words):
            state = state.add_input(self.lookup[word])
            buffer.append(state.output())
        bottom = self.stack.initial_state().add_input(self.empty)
        stack = [(bottom, self.empty)]
        losses = []
        for action in actions:
            valid = [SHIFT] if buffer else []
            if len(stack) > 2:
                valid += [REDUCE_LEFT, REDUCE_RIGHT]
            if len(valid) > 1:
                seen = dy.concatenate([buffer[-1] if buffer else self.empty, stack[-1][0].output()])
                h = dy.rectify(self.W_s2h * seen + self.b_s2h)
                scores = dy.log_softmax(self.W_act * h + self.b_act)
                losses.append(-dy.pick(scores, action))
            if action == SHIFT:
                token = buffer.pop()
            else:
                right, left = stack.pop()[1], stack.pop()[1]
                head, modifier = (right, left) if action == REDUCE_LEFT else (left, right)
                both = dy.concatenate([head, modifier])
                token = dy.tanh(self.W_comp * both + self.b_comp)
            stack.append((stack[-1][0].add_input(token), token))
        return losses


model = dy.ParameterCollection()
trainer = dy.AdamTrainer(model)
parser = TransitionParser(model, args.hidden)

start = time.time()
for _ in range(args.updates):
    dy.renew_cg()
    losses = []
    for _ in range(args.batch):
        words = [random.randrange(WORDS) for _ in range(random.randint(4, 8))]
        losses += parser.loss(words, oracle(words))
    loss = dy.esum(losses)
    print(repr(loss.value()))
    loss.backward()
    trainer.update()
print("seconds", time.time() - start, file=sys.stderr)
