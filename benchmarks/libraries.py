"""What differs between the libraries around a program: start-up, one training step, one recording.

A program is a class with ``__init__(sample, dim)`` and ``loss(minibatch)``, which answers an
expression of the minibatch's mean loss. Everything here runs in a contender's own process, and a
library is imported when its class below is made, not before.
"""

from __future__ import annotations

import gc
import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

LEARNING_RATE = 1e-3

Step = Callable[[list], float]


class Clock:
    """Seconds by phase, summed over steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = 0.0

    def start(self) -> None:
        self.last = time.perf_counter()

    def stop(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self.last
        self.last = now


class Autobatch:
    """autobatch, as its README shows it. Phases below ``backward()`` are the engine's own."""

    package = "autobatch"
    folder = "programs."

    def __init__(self, module: str, program: str, sample: Any, dim: int, threads: int) -> None:
        import autobatch as ab
        from autobatch import engine

        self.ab, self.engine = ab, engine
        ab.configure(threads=threads, seed=1)
        self.model = load(self, module, program)(sample, dim)
        self.trainer = ab.Adam(self.model, learning_rate=LEARNING_RATE)

    @property
    def version(self) -> str:
        return self.ab.__version__

    def step(self, minibatch: list) -> float:
        self.ab.new_graph()
        loss = self.model.loss(minibatch)
        loss.backward()
        self.trainer.update()
        return loss.item()

    def record(self, minibatch: list) -> float:
        self.ab.new_graph()
        self.model.loss(minibatch)
        return 0.0

    def export(self, file: str) -> None:
        """Parameters by the names that the DyNet programs give them."""
        ab, arrays = self.ab, {}

        def lstm(name: str, layers: Any) -> None:
            (layer,) = layers.layers
            dim = layers.hidden_dim
            bias = layer.bias.value()
            bias[dim : 2 * dim] -= 1.0  # DyNet adds the forget gates' 1 when it runs
            weights = (layer.weight_x.value(), layer.weight_h.value(), bias)
            arrays.update({f"{name}.{i}": array for i, array in enumerate(weights)})

        for name, value in vars(self.model).items():
            if isinstance(value, (ab.Parameter, ab.Lookup)):
                arrays[name] = value.value()
            elif isinstance(value, ab.BiLSTM):
                lstm(f"{name}_forward", value.forward[0])
                lstm(f"{name}_backward", value.backward[0])
            elif isinstance(value, ab.LSTM):
                lstm(name, value)
        np.savez(file, **arrays)

    def split(self, minibatches: list[list]) -> dict[str, float]:
        """Seconds by phase over some steps; the engine measures what happens inside a call."""
        clock = Clock()
        self.ab.configure(profile=True)
        self.engine.reset_timings()
        for minibatch in minibatches:
            clock.start()
            self.ab.new_graph()
            loss = self.model.loss(minibatch)
            clock.stop("record")
            loss.backward()
            clock.stop("run")
            self.trainer.update()
            clock.stop("update")
            loss.item()
        inside = self.engine.timings()
        self.ab.configure(profile=False)
        phases = {"record": clock.seconds["record"]}
        for phase in ("schedule", "forward", "backward"):
            phases[phase] = inside[phase]
        phases["other"] = max(0.0, clock.seconds["run"] - sum(list(phases.values())[1:]))
        return phases | {"update": clock.seconds["update"]}


class DyNet:
    """DyNet with automatic batching; lookups are updated sparsely, as it does by default."""

    package = "dynet"
    folder = "rivals.dynet_"

    def __init__(self, module: str, program: str, sample: Any, dim: int, threads: int) -> None:
        # DyNet reads the command line when it is imported. A seed of 0 would be drawn at random.
        sys.argv[1:] = ["--dynet-autobatch", "1", "--dynet-mem", "4096", "--dynet-seed", "1"]
        import dynet

        self.dy = dynet
        self.model = load(self, module, program)(sample, dim)
        self.trainer = dynet.AdamTrainer(self.model.pc, LEARNING_RATE)
        # The others do not clip either. A threshold of 0 turns it off.
        self.trainer.set_clip_threshold(0)

    @property
    def version(self) -> str:
        from importlib.metadata import version

        return version("dyNET38")

    def step(self, minibatch: list) -> float:
        self.dy.renew_cg()
        loss = self.model.loss(minibatch)
        value = loss.value()
        loss.backward()
        self.trainer.update()
        return value

    def record(self, minibatch: list) -> float:
        self.dy.renew_cg()
        self.model.loss(minibatch)
        return 0.0

    def adopt(self, file: str) -> None:
        """Takes over parameters written by :meth:`Autobatch.export`; each must have its twin."""
        dy, seen = self.dy, set()
        with np.load(file) as arrays:

            def take(name: str, parameter: Any) -> None:
                seen.add(name)
                if isinstance(parameter, dy.LookupParameters):
                    parameter.init_from_array(arrays[name])
                else:
                    parameter.set_value(arrays[name])

            for name, value in vars(self.model).items():
                if isinstance(value, (dy.Parameters, dy.LookupParameters)):
                    take(name, value)
                elif hasattr(value, "initial_state"):
                    for i, weight in enumerate(value.get_parameters()[0]):
                        take(f"{name}.{i}", weight)
            if seen != set(arrays.files):
                raise ValueError(f"parameters differ: {sorted(seen ^ set(arrays.files))}")

    def split(self, minibatches: list[list]) -> dict[str, float]:
        """Seconds by phase; DyNet schedules inside ``forward``."""
        clock = Clock()
        for minibatch in minibatches:
            clock.start()
            self.dy.renew_cg()
            loss = self.model.loss(minibatch)
            clock.stop("record")
            loss.value()
            clock.stop("forward")
            loss.backward()
            clock.stop("backward")
            self.trainer.update()
            clock.stop("update")
        return clock.seconds


class Torch:
    """PyTorch on the CPU: fused Adam, embeddings with sparse gradients and sparse Adam."""

    package = "torch"
    folder = "rivals.torch_"

    def __init__(self, module: str, program: str, sample: Any, dim: int, threads: int) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        torch.manual_seed(1)
        self.model = load(self, module, program)(sample, dim)
        tables = [
            layer.weight
            for layer in self.model.modules()
            if isinstance(layer, torch.nn.Embedding) and layer.sparse
        ]
        dense = [p for p in self.model.parameters() if all(p is not table for table in tables)]
        self.trainers = [torch.optim.Adam(dense, lr=LEARNING_RATE, fused=True)]
        if tables:
            self.trainers.append(torch.optim.SparseAdam(tables, lr=LEARNING_RATE))

    @property
    def version(self) -> str:
        return self.torch.__version__

    def step(self, minibatch: list) -> float:
        for trainer in self.trainers:
            trainer.zero_grad()
        loss = self.model.loss(minibatch)
        loss.backward()
        for trainer in self.trainers:
            trainer.step()
        return loss.item()

    def split(self, minibatches: list[list]) -> dict[str, float]:
        """Seconds by phase; eager, so recording and computing are one phase."""
        clock = Clock()
        for minibatch in minibatches:
            clock.start()
            for trainer in self.trainers:
                trainer.zero_grad()
            loss = self.model.loss(minibatch)
            clock.stop("forward")
            loss.backward()
            clock.stop("backward")
            for trainer in self.trainers:
                trainer.step()
            clock.stop("update")
        return clock.seconds


LIBRARIES: dict[str, Any] = {"autobatch": Autobatch, "dynet": DyNet, "torch": Torch}


def load(library: Any, module: str, program: str) -> Any:
    """The class of a program."""
    return getattr(importlib.import_module(f"benchmarks.{library.folder}{module}"), program)


def settle() -> None:
    """Leaves what was built so far out of the garbage collector's rounds."""
    gc.collect()
    gc.freeze()
