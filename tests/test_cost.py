"""Costs that must not grow by the square: counted in processor time, with room for noise."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import autobatch as ab


def grows_linearly(seconds: Callable[[int], float], small: int = 2000) -> None:
    """Eight times as much takes far less than the 64 times that a square would take."""
    seconds(small // 4)
    for _ in range(3):
        first, second = seconds(small), seconds(8 * small)
        if second < 24 * max(first, 0.002):
            return
    raise AssertionError(f"{small}: {first:.4f} s, {8 * small}: {second:.4f} s")


JOINS: dict[str, Callable[[list[Any]], Any]] = {
    "concat": ab.concat,
    "stack": ab.stack,
    "max": ab.max,
    "sum": ab.sum,
    "mean": ab.mean,
    "concat_batch": lambda xs: ab.sum_batch(ab.concat_batch(xs)),
    "logsumexp": lambda xs: ab.logsumexp(ab.stack(xs), axis=0),
}


@pytest.mark.parametrize("name", JOINS)
def test_the_gradient_of_many_operands(name: str) -> None:
    def seconds(n: int) -> float:
        ab.new_graph()
        p = ab.Parameter(2, init=0.5)
        loss = ab.sum(JOINS[name]([p * float(i) for i in range(n)]))
        loss.item()
        start = time.process_time()
        loss.backward()
        return time.process_time() - start

    grows_linearly(seconds)


@pytest.mark.parametrize("kind", ["parameters", "tables"])
def test_many_parameters(kind: str) -> None:
    def seconds(n: int) -> float:
        ab.new_graph()
        make = (lambda: ab.Parameter(2)) if kind == "parameters" else (lambda: ab.Lookup(2, 2)[1])
        made: list[Any] = [make() for _ in range(n)]
        loss = ab.sum([ab.sum(p) for p in made])
        loss.item()
        start = time.process_time()
        loss.backward()
        return time.process_time() - start

    grows_linearly(seconds, 1000)


@pytest.mark.parametrize("at_once", [False, True])
def test_many_losses_in_one_graph(at_once: bool) -> None:
    """A backward pass costs what its loss depends on, not the graph."""

    def seconds(n: int) -> float:
        ab.new_graph()
        p = ab.Parameter(init=[0.5])
        start = time.process_time()
        losses = []
        for i in range(n):
            losses.append(ab.sum(p * float(i) + 1.0))
            if not at_once:
                losses.pop().backward()
        for loss in losses:
            loss.backward()
        assert p.gradient()[0] == pytest.approx(n * (n - 1) / 2, rel=1e-4)
        return time.process_time() - start

    grows_linearly(seconds)
