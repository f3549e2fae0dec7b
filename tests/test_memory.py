"""Memory: the limit, what stays after it, and that nothing leaks."""

from __future__ import annotations

import gc
import resource
import tracemalloc

import numpy as np
import pytest

import autobatch as ab
from autobatch import _core


def small_program(draw: np.random.Generator, w: ab.Parameter, table: ab.Lookup) -> float:
    ab.new_graph()
    losses = []
    for length in (3, 5, 2):
        h = ab.input(draw.normal(size=16))
        for word in draw.integers(0, 20, size=length):
            h = ab.tanh(w @ ab.concat([h, table[int(word)]]))
        losses.append(ab.cross_entropy(h[2:9], 3))
    loss = ab.mean(losses)
    loss.backward()
    return loss.item()


@pytest.fixture
def model() -> tuple[ab.Parameter, ab.Lookup]:
    return ab.Parameter((16, 32)), ab.Lookup(20, 16)


def test_recording_stops_at_the_limit_and_goes_on_after_it(model) -> None:
    w, _ = model
    before = w.value()

    def fill() -> None:
        ab.new_graph()
        h = ab.input(np.ones(16))
        for i in range(1_000_000):
            h = ab.tanh(h + float(i))

    with ab.configure(memory_limit=4 << 20):
        for _ in range(3):
            with pytest.raises(ab.MemoryLimitError, match="memory limit of 4,194,304 bytes"):
                fill()
        ab.new_graph()
        assert ab.sum(w @ ab.input(np.ones(32))).item() == pytest.approx(before.sum(), rel=1e-4)
    np.testing.assert_array_equal(w.value(), before)


def test_running_stops_at_the_limit_and_leaves_parameters_alone() -> None:
    w = ab.Parameter(init=np.ones(100_000))
    with ab.configure(memory_limit=8 << 20):
        ab.new_graph()
        x = w * 1.0
        for _ in range(50):
            x = ab.tanh(x)
        with pytest.raises(ab.MemoryLimitError):
            x.value()
        with pytest.raises(ab.MemoryLimitError):
            ab.sum(x).backward()
        assert w.gradient() is None
        y = w * 2.0  # what fits still runs, in the same graph
        assert y.value()[0] == 2
    np.testing.assert_array_equal(w.value(), 1)


def test_the_backward_pass_stops_at_the_limit_too() -> None:
    w = ab.Parameter(init=np.ones(100_000))
    with ab.configure(memory_limit=6 << 20):
        ab.new_graph()
        x = w * 1.0
        for _ in range(8):
            x = ab.tanh(x)
        loss = ab.sum(x)
        assert np.isfinite(loss.item())
        with pytest.raises(ab.MemoryLimitError):
            loss.backward()
        assert w.gradient() is None or not w.gradient().any()


def test_a_large_input_is_refused_whole() -> None:
    with ab.configure(memory_limit=1 << 20):
        ab.new_graph()
        with pytest.raises(ab.MemoryLimitError):
            ab.input(np.ones(1_000_000))
        assert ab.input([1.0]).item() == 1


def test_python_memory_does_not_grow(model) -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        small_program(draw, *model)
    gc.collect()
    tracemalloc.start()
    try:
        small_program(draw, *model)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            small_program(draw, *model)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000


def resident() -> int:
    """Bytes of memory that the process holds now."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def loops(model) -> dict[str, object]:
    """Things done over and over; none may take memory for good."""
    draw = np.random.default_rng(0)
    x_data = np.ones(1000)

    def errors() -> None:
        ab.new_graph()
        x = ab.input([1.0, 2.0])
        for attempt in (
            lambda: x + np.ones(3),
            lambda: ab.tanh("a"),
            lambda: ab.cross_entropy(x, 5),
            lambda: ab.tanh(x, x),
        ):
            with pytest.raises(ab.AutobatchError):
                attempt()

    def nested() -> None:
        with ab.new_graph():
            ab.tanh(ab.input(x_data)).value()

    def parameters() -> None:
        ab.new_graph()
        w = ab.Parameter((30, 30))
        ab.sum(w @ ab.input(np.ones(30))).backward()

    def fill() -> None:
        for i in range(10_000):
            ab.input(x_data) + float(i)

    def limits() -> None:
        with ab.configure(memory_limit=1 << 17):
            ab.new_graph()
            with pytest.raises(ab.MemoryLimitError):
                fill()

    return {
        "train": lambda: small_program(draw, *model),
        "errors": errors,
        "nested": nested,
        "parameters": parameters,
        "limits": limits,
    }


@pytest.mark.parametrize("name", ["train", "errors", "nested", "parameters", "limits"])
def test_resident_memory_does_not_grow(name: str, model) -> None:
    loop = loops(model)[name]
    for _ in range(100):
        loop()
    gc.collect()
    before = resident()
    for _ in range(400):
        loop()
    gc.collect()
    assert resident() - before < 4 << 20


def test_expressions_may_outlive_their_graph() -> None:
    kept = []
    for i in range(1000):
        ab.new_graph()
        kept.append(ab.input([float(i)]) * 2)
    with pytest.raises(ab.StaleExpressionError):
        kept[0].value()
    assert kept[-1].item() == 2 * 999
    del kept


@pytest.mark.slow
def test_a_million_nodes() -> None:
    ab.new_graph()
    h = ab.input(np.zeros(4))
    lanes = [h + float(i) for i in range(1000)]
    for _ in range(500):
        lanes = [ab.tanh(x * 0.5) for x in lanes]
    loss = ab.sum(lanes)
    total = ab.sum(loss)
    assert len(_core.current_graph()) > 1_000_000
    total.backward(wrt=[h])
    assert np.isfinite(total.item())
    assert np.isfinite(h.gradient()).all()
    ab.new_graph()
    assert ab.input([1.0]).item() == 1


@pytest.mark.slow
def test_a_deep_chain() -> None:
    ab.new_graph()
    x = start = ab.input(np.ones(2))
    for _ in range(300_000):
        x = x * 0.999999
    loss = ab.sum(x)
    loss.backward(wrt=[start])
    np.testing.assert_allclose(start.gradient(), 0.999999**300_000, rtol=0.1)
