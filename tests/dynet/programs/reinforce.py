"""REINFORCE on a walk along a line: go to the goal, with a learned baseline."""

import argparse
import random
import sys
import time

import dynet as dy

flags = argparse.ArgumentParser()
flags.add_argument("--updates", type=int, default=30)
flags.add_argument("--batch", type=int, default=3)
flags.add_argument("--hidden", type=int, default=16)
args, _ = flags.parse_known_args()

random.seed(5)
CELLS, ACTIONS, LIMIT = 7, 3, 10


class Walk:
    def __init__(self):
        self.goal = random.randrange(CELLS)
        self.place = random.randrange(CELLS)

    def seen(self):
        seen = [0.0] * (2 * CELLS)
        seen[self.place] = seen[CELLS + self.goal] = 1.0
        return seen

    def step(self, action):
        self.place = min(max(self.place + action - 1, 0), CELLS - 1)
        return 1.0 if self.place == self.goal else -0.1


class Policy:
    def __init__(self, model, hidden):
        self.W1 = model.add_parameters((hidden, 2 * CELLS))
        self.b1 = model.add_parameters(hidden, init=dy.ConstInitializer(0))
        self.W2 = model.add_parameters((ACTIONS, hidden))
        self.b2 = model.add_parameters(ACTIONS, init=dy.ConstInitializer(0))
        self.v = model.add_parameters((1, hidden))

    def __call__(self, seen):
        h = dy.tanh(self.W1 * dy.inputVector(seen) + self.b1)
        return dy.softmax(self.W2 * h + self.b2), self.v * h


def draw(probabilities):
    threshold = random.random()
    for action, p in enumerate(probabilities):
        threshold -= p
        if threshold < 0:
            return action
    return len(probabilities) - 1


model = dy.ParameterCollection()
trainer = dy.RMSPropTrainer(model, 0.01)
policy = Policy(model, args.hidden)

start = time.time()
for _ in range(args.updates):
    dy.renew_cg()
    losses = []
    for _ in range(args.batch):
        walk, steps = Walk(), []
        for _ in range(LIMIT):
            probabilities, value = policy(walk.seen())
            action = draw(probabilities.npvalue())
            reward = walk.step(action)
            steps.append((probabilities, value, action, reward))
            if reward > 0:
                break
        gain = 0.0
        for probabilities, value, action, reward in reversed(steps):
            gain = reward + 0.9 * gain
            advantage = gain - value.scalar_value()
            losses.append(dy.log(dy.pick(probabilities, action)) * -advantage)
            losses.append(dy.squared_distance(value, dy.scalarInput(gain)) * 0.5)
    loss = dy.esum(losses)
    print(repr(loss.value()))
    loss.backward()
    trainer.update()
print("seconds", time.time() - start, file=sys.stderr)
