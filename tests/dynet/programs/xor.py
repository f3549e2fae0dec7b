"""XOR with every trainer; the graph is built once and its inputs are set."""

import argparse
import random
import sys
import time

import dynet as dy

flags = argparse.ArgumentParser()
flags.add_argument("--updates", type=int, default=30)
flags.add_argument("--hidden", type=int, default=8)
args, _ = flags.parse_known_args()

random.seed(10)
TRAINERS = [
    lambda m: dy.SimpleSGDTrainer(m),
    lambda m: dy.CyclicalSGDTrainer(m, learning_rate_min=0.01, learning_rate_max=0.1, step_size=5),
    lambda m: dy.MomentumSGDTrainer(m),
    lambda m: dy.AdagradTrainer(m),
    lambda m: dy.AdadeltaTrainer(m),
    lambda m: dy.RMSPropTrainer(m),
    lambda m: dy.AdamTrainer(m),
    lambda m: dy.AmsgradTrainer(m),
]

start = time.time()
for make in TRAINERS:
    m = dy.Model()
    W = m.add_parameters((args.hidden, 2))
    b = m.add_parameters(args.hidden)
    V = m.add_parameters((1, args.hidden))
    a = m.add_parameters(1)
    trainer = make(m)

    dy.renew_cg()
    x = dy.vecInput(2)
    y = dy.scalarInput(0)
    h = dy.tanh(W * x + b)
    y_pred = dy.logistic(V * h + a)
    loss = dy.binary_log_loss(y_pred, y)

    for _ in range(args.updates):
        first, second = random.random() < 0.5, random.random() < 0.5
        x.set([float(first), float(second)])
        y.set(float(first != second))
        print(repr(loss.scalar_value()))
        loss.backward()
        trainer.update()
    trainer.status()
print("seconds", time.time() - start, file=sys.stderr)
