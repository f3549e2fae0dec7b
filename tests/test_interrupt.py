"""Ctrl-C, limits and errors in the middle of a run end it, and leave everything usable."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

import autobatch as ab
from autobatch import engine


def long_program() -> ab.Expression:
    """Seconds of work in many batches."""
    w = ab.Parameter(init=np.eye(512) * 0.999)
    h = w @ ab.input(np.ones((512, 64)))
    for _ in range(4000):
        h = w @ h
    return ab.sum(h)


@pytest.fixture
def interrupt_soon():
    """Sends the process SIGINT 0.3 seconds from now."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    yield timer.start
    timer.cancel()
    signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("phase", ["forward", "backward"])
def test_a_long_run_is_interrupted(phase: str, interrupt_soon) -> None:
    loss = long_program()
    if phase == "backward":
        loss.item()
    interrupt_soon()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        (loss.item if phase == "forward" else loss.backward)()
    assert time.perf_counter() - start < 3  # seconds, on a busy machine, too
    assert (ab.input([1.0, 2.0]) * 2).value()[1] == 4  # in the same graph
    ab.new_graph()
    w = ab.Parameter(init=np.eye(3))
    value = ab.sum(w @ ab.input(np.ones(3)))
    value.backward()
    assert value.item() == 3
    np.testing.assert_array_equal(w.gradient(), np.ones((3, 3)))


def test_an_interrupted_value_can_be_asked_for_again(interrupt_soon) -> None:
    loss = long_program()
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        loss.item()
    again = loss.item()
    assert again == pytest.approx(512 * 64 * 0.999**4001, rel=1e-2)


class Stopped(Exception):
    pass


def stops_at(call: int, function: Any) -> Any:
    """A function that raises when it is called so often."""
    calls = iter(range(1, 1 << 20))

    def counted(*arguments: Any) -> Any:
        if next(calls) == call:
            raise Stopped
        return function(*arguments)

    return counted


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize(
    "how", ["slices", "formula", "rows", "limit", "delivery", "delivery later"]
)
def test_a_pass_that_stops_leaves_gradients_as_they_were(
    how: str, graded: bool, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    W, b = ab.Parameter(init=0.9 * np.eye(96)), ab.Parameter(init=rng.normal(size=96))
    table = ab.Lookup(init=rng.normal(size=(600, 96)))
    if graded:
        ab.sum(b * 3.0 + table[4]).backward()
    before = [p.gradient() for p in (W, b, table)]

    def loss_of() -> ab.Expression:
        losses = []
        for row in range(600 if how == "slices" else 40):
            x = table[row]
            if how == "formula" and row % 10 == 0:  # the last that a backward pass comes to
                inverse = ab.inverse(ab.stack([x[:70]] * 70) * 1e-3 + ab.input(np.eye(70)))
                x = x + ab.concat([inverse[0], ab.zeros(26)])
            for _ in range(12):
                x = x + ab.tanh(W @ x + b)
            losses.append(ab.sum(x))
        return ab.sum(losses)

    ab.new_graph()
    loss = loss_of()
    numpy = how.startswith("delivery")
    with ab.configure(backend="numpy" if numpy else "cpu"):
        loss.value()
        if how == "limit":
            with ab.configure(memory_limit=1 << 30):  # another limit: memory is taken anew
                graph = ab.new_graph()
                loss_of().value()
                used = engine.cpu.lib.ab_graph_size(engine.cpu.pointer(graph))
            with ab.configure(memory_limit=used + 4096):
                ab.new_graph()
                loss = loss_of()
                loss.value()
                with pytest.raises(ab.MemoryLimitError):
                    loss.backward()
        else:
            if how == "slices":
                monkeypatch.setattr(engine.cpu, "SLICE", 1e-9)
                monkeypatch.setattr(engine.cpu, "check", stops_at(4, engine.cpu.check))
            elif how == "rows":
                monkeypatch.setattr(engine.cpu, "_reserve_rows", stops_at(1, None))
            elif how == "formula":
                stopping = stops_at(1, engine.cpu._backward_formula)
                monkeypatch.setattr(engine.cpu, "_backward_formula", stopping)
            else:
                sparse = ab.parameters.SparseGradient
                stopping = stops_at(1 if how == "delivery" else 9, sparse.add)
                monkeypatch.setattr(sparse, "add", stopping)
            with pytest.raises(Stopped):
                engine._backward(loss)
        monkeypatch.undo()
        for found, was in zip([p.gradient() for p in (W, b, table)], before, strict=True):
            assert (found is None) == (was is None)
            if was is not None:
                np.testing.assert_array_equal(found, was)
        assert table._slots == graded
        ab.new_graph()
        loss_of().backward()
        again = [p.gradient() for p in (W, b, table)]
        for p in (W, b, table):
            p.zero_grad()
        ab.new_graph()
        if graded:
            ab.sum(b * 3.0 + table[4]).backward()
        ab.new_graph()
        loss_of().backward()
        for found, want in zip(again, [p.gradient() for p in (W, b, table)], strict=True):
            np.testing.assert_array_equal(found, want)
