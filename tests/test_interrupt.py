"""Ctrl-C during a long run ends it soon, and leaves everything usable."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

import autobatch as ab


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
