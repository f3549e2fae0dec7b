"""Variational autoencoder of binary patterns, in minibatches."""

import argparse
import random
import sys
import time

import dynet as dy
import numpy as np

flags = argparse.ArgumentParser()
flags.add_argument("--updates", type=int, default=30)
flags.add_argument("--batch", type=int, default=8)
flags.add_argument("--hidden", type=int, default=32)
flags.add_argument("--dynet-seed", type=int)
flags.add_argument("--dynet-autobatch", type=int)
args = flags.parse_args()

random.seed(4)
PIXELS, LATENT = 40, 4
prototypes = [[random.random() < 0.5 for _ in range(PIXELS)] for _ in range(5)]


def pattern():
    return [float(pixel != (random.random() < 0.1)) for pixel in random.choice(prototypes)]


class VAE:
    def __init__(self, model):
        H = args.hidden
        self.W_in = model.add_parameters((H, PIXELS))
        self.b_in = model.add_parameters(H)
        self.W_mean = model.add_parameters((LATENT, H))
        self.b_mean = model.add_parameters(LATENT)
        self.W_var = model.add_parameters((LATENT, H))
        self.b_var = model.add_parameters(LATENT)
        self.W_hid = model.add_parameters((H, LATENT))
        self.b_hid = model.add_parameters(H)
        self.W_out = model.add_parameters((PIXELS, H))
        self.b_out = model.add_parameters(PIXELS)

    def loss(self, x, batch):
        h = dy.rectify(self.W_in * x + self.b_in)
        mean = self.W_mean * h + self.b_mean
        log_var = self.W_var * h + self.b_var
        z = mean + dy.cmult(dy.exp(log_var * 0.5), dy.random_normal((LATENT,), batch_size=batch))
        out = self.W_out * dy.rectify(self.W_hid * z + self.b_hid) + self.b_out
        right = dy.cmult(x, dy.log_sigmoid(out)) + dy.cmult(-x + 1, dy.log_sigmoid(-out))
        reconstruction = -dy.sum_elems(right)
        divergence = dy.sum_elems(dy.exp(log_var) + dy.square(mean) - log_var - 1) * 0.5
        return dy.mean_batches(reconstruction + divergence)


model = dy.ParameterCollection()
vae = VAE(model)
trainer = dy.AdamTrainer(model, alpha=0.005)

start = time.time()
for _ in range(args.updates):
    dy.renew_cg()
    x = np.array([pattern() for _ in range(args.batch)]).T
    loss = vae.loss(dy.inputTensor(x, batched=True), args.batch)
    print(repr(loss.value()))
    loss.backward()
    trainer.update()
print("seconds", time.time() - start, file=sys.stderr)
