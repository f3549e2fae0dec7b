"""Several Python threads record and run at once; the engine's threads change no number."""

from __future__ import annotations

import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import autobatch as ab
from autobatch.engine import gradients_turn


def chain(seed: int, steps: int = 30) -> np.ndarray:
    """Records and runs a small recurrent program of the thread's own."""
    draw = np.random.default_rng(seed)
    with ab.new_graph():
        w = ab.Parameter(init=draw.normal(size=(8, 8)))
        h = ab.input(draw.normal(size=8))
        for _ in range(steps):
            h = ab.tanh(w @ h + draw.normal(size=8))
        loss = ab.sum(ab.square(h))
        loss.backward()
        return np.concatenate([h.value(), w.gradient().ravel()])


def test_threads_have_graphs_of_their_own() -> None:
    expected = [chain(seed) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for got, want in zip(pool.map(chain, range(16)), expected):
                np.testing.assert_array_equal(got, want)


def test_threads_share_parameters_while_they_read() -> None:
    w = ab.Parameter(init=np.eye(4) * 2)

    def run(i: int) -> float:
        ab.new_graph()
        total = ab.sum([ab.sum(w @ ab.input(np.full(4, i + k))) for k in range(20)])
        return total.item()

    expected = [8.0 * sum(i + k for k in range(20)) for i in range(50)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(50))) == expected


def test_turns_exclude_each_other() -> None:
    count = 0

    def work(_: int) -> None:
        nonlocal count
        for _ in range(100):
            with gradients_turn, gradients_turn:
                seen = count
                time.sleep(0)  # lets another thread run
                count = seen + 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert count == 800


def test_who_waits_for_a_turn_is_called() -> None:
    taken, given = threading.Event(), threading.Event()

    def hold() -> None:
        with gradients_turn:
            taken.set()
            given.wait(10)

    start = time.perf_counter()
    for _ in range(20):
        taken.clear()
        given.clear()
        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait(10)
        threading.Timer(0.005, given.set).start()
        with gradients_turn:
            assert given.is_set()
        thread.join()
    assert time.perf_counter() - start < 1.5, "a tenth of a second each if they had to look"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_child_does_not_wait_for_threads_it_has_not() -> None:
    taken, end = threading.Event(), threading.Event()

    def hold() -> None:
        with gradients_turn:
            taken.set()
            end.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forking beside threads
        child = os.fork()
    if not child:
        threading.Timer(10, os._exit, [1]).start()
        with gradients_turn:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    end.set()
    thread.join()


def test_new_forms_from_many_threads_at_once() -> None:
    barrier = threading.Barrier(8)

    def run(i: int) -> float:
        barrier.wait()
        with ab.new_graph():
            total = [ab.sum(ab.tanh(ab.input(np.ones((n, 3))))) for n in range(1, 60)]
            return ab.sum(total).item()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(run, range(8)))) == 1


def test_settings_of_a_block_are_the_threads_own() -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(ab.config.current().strategy)

    with ab.configure(strategy="depth"):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == [ab.config.current().strategy]


def test_a_graph_ends_with_its_thread() -> None:
    kept: list[ab.Expression] = []

    def record() -> None:
        ab.new_graph()
        kept.append(ab.input([1.0, 2.0]) * 2)

    thread = threading.Thread(target=record)
    thread.start()
    thread.join()
    x = ab.input([1.0, 2.0])
    with pytest.raises(ab.GraphError):
        x + kept[0]
    del kept[:]
    assert (x * 2).value()[0] == 2


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_one_count_of_threads_gives_the_same_bits(threads: int) -> None:
    def run() -> list[np.ndarray]:
        draw = np.random.default_rng(0)
        ab.new_graph()
        w = ab.Parameter(init=draw.normal(size=(70, 70)))
        table = ab.Lookup(init=draw.normal(size=(50, 70)))
        losses = []
        for length in draw.integers(1, 9, size=40):
            h = ab.input(draw.normal(size=70))
            for word in draw.integers(0, 50, size=length):
                h = ab.tanh(w @ h + table[int(word)])
            losses.append(ab.cross_entropy(h, int(length)))
        loss = ab.mean(losses)
        loss.backward()
        return [loss.value(), w.gradient(), table.gradient()]

    with ab.configure(threads=threads):
        first = run()
        for _ in range(3):
            for got, want in zip(run(), first):
                np.testing.assert_array_equal(got, want)
    with ab.configure(threads=1):
        for got, want in zip(run(), first):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def wide_program() -> list[np.ndarray]:
    """Batches large enough to be cut into parts, whose gradients meet in every way."""
    draw = np.random.default_rng(1)
    ab.new_graph()
    w, u = (ab.Parameter(init=draw.normal(size=(64, 64)) / 8) for _ in range(2))
    bias = ab.Parameter(init=draw.normal(size=64))
    scale = ab.Parameter(init=draw.normal(size=(4, 16)))
    table = ab.Lookup(init=draw.normal(size=(30, 64)))
    context = ab.input(draw.normal(size=(5, 64)))
    x = ab.input(draw.normal(size=64))
    losses = []
    for i in range(300):
        h = table[int(draw.integers(30))]
        for _ in range(3):
            h = ab.tanh(ab.affine(bias, w, h, u, x))
        attention = ab.softmax(context @ h)
        h = h + attention @ context
        parts = ab.split(ab.reshape(h, (4, 16)) * scale, 2)
        h = ab.concat([ab.reshape(part, 32) for part in parts]) * x[i % 64]
        rows = table.batch(draw.integers(30, size=4).tolist())
        near = ab.sum_batch(ab.dot(rows, h))
        losses += [ab.cross_entropy(h, i % 64), ab.logsumexp(h[i % 32 : i % 32 + 20]), near]
    loss = ab.mean(losses)
    loss.backward(wrt=[context, x])
    held = (w, u, bias, scale, table, context, x)
    return [loss.value(), *(p.gradient() for p in held)]


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_large_batches_equal_the_formulas(threads: int) -> None:
    with ab.configure(dtype="float64", threads=threads):
        with ab.use("numpy"):
            expected = wide_program()
        for _ in range(2):
            for got, want in zip(wide_program(), expected, strict=True):
                size = np.abs(want).max()
                np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-11 * size)
