"""Graphs that go on with parameters as they read them, though these were changed since."""

from __future__ import annotations

import numpy as np
import pytest

import autobatch as ab
from autobatch import engine
from autobatch.backends import cpu


@pytest.fixture(autouse=True)
def graph_that_keeps(graph: None) -> None:
    """As the drop-in makes them."""
    ab.new_graph()._versioned = False


def _change(*parameters: ab.Parameter | ab.Lookup) -> None:
    for parameter in parameters:
        numbers = parameter._data
        numbers += 1.0
        parameter._touch()


def test_a_graph_goes_on_with_the_numbers_that_it_read(backend: str, dtype: str, rng) -> None:
    W, b = ab.Parameter(init=rng.normal(size=(5, 7))), ab.Parameter(init=rng.normal(size=5))
    V, xs = ab.Parameter(init=rng.normal(size=(5, 5))), rng.normal(size=(9, 7))
    W0, b0, V0 = W.value(), b.value(), V.value()
    inputs = [ab.input(x) for x in xs]
    early = [W @ x + b for x in inputs]  # so many rows that the weight is packed
    ab.values(early)
    graph = ab.current_graph()
    _ = V[0]  # recorded, but nothing behind it was asked for
    graph._keep([W, b, V], False)
    _change(W, b, V)
    late = [ab.tanh(V @ (W @ x) + b) * W[1, 2] for x in inputs]
    V1, x = V0 + 1, xs.T
    expected = (np.tanh(V1 @ (W0 @ x) + b0[:, None]) * W0[1, 2]).T
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(ab.values(late), expected, rtol=tolerance, atol=tolerance)
    ab.sum(ab.sum(late)).backward(inputs)
    local = (1 - np.tanh(V1 @ (W0 @ x) + b0[:, None]) ** 2) * W0[1, 2]
    dx = (W0.T @ (V1.T @ local)).T
    for one, wanted in zip(inputs, dx, strict=True):
        np.testing.assert_allclose(engine.gradient(one), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(b.gradient(), local.sum(axis=1), rtol=1e-4, atol=1e-5)
    engine.forget(graph)
    again = ab.values(late)
    expected = (np.tanh(V1 @ ((W0 + 1) @ x) + b0[:, None] + 1) * (W0[1, 2] + 1)).T
    np.testing.assert_allclose(again, expected, rtol=10 * tolerance, atol=10 * tolerance)


def test_other_graphs_have_the_new_numbers(rng) -> None:
    """Also where the old ones were packed for many rows in between."""
    W, xs = ab.Parameter(init=rng.normal(size=(5, 7))), rng.normal(size=(9, 7))
    old = W.value()
    ab.values([W @ ab.input(x) for x in xs])
    ab.current_graph()._keep([W], False)
    _change(W)
    found = ab.values([W @ ab.input(2 * x) for x in xs])
    np.testing.assert_allclose(found, 2 * xs @ old.T, rtol=1e-5, atol=1e-5)
    ab.new_graph()
    found = ab.values([W @ ab.input(x) for x in xs])
    np.testing.assert_allclose(found, xs @ (old + 1).T, rtol=1e-5, atol=1e-5)


def test_rows_that_were_changed_are_looked_up_anew(dtype: str, rng) -> None:
    table, w = ab.Lookup(6, 4, init=rng.normal(size=(6, 4))), ab.Parameter(init=rng.normal(size=4))
    before = table.value()
    old, other = table[2], table[3]
    ab.sum(old * w).backward()
    ab.current_graph()._keep([table], False)
    _change(table)
    np.testing.assert_allclose(old.value(), before[2])
    np.testing.assert_allclose(table[2].value(), before[2] + 1)
    np.testing.assert_allclose(
        ab.dot(old[1:3], w[1:3]).item(), before[2, 1:3] @ w.value()[1:3], 1e-5
    )
    assert table[2].node != old.node
    assert table[3].node == other.node  # it had no gradient: an update leaves it as it is
    np.testing.assert_allclose(other.value(), before[3] + 1)
    product = old * w  # of a kept row: neither a weight nor a constant
    assert product.value().shape == (4,)


def test_memory_of_copies_is_used_again(rng) -> None:
    W = ab.Parameter(init=rng.normal(size=(100, 100)))
    y = W @ ab.input(rng.normal(size=100))
    graph = ab.current_graph()
    sizes = []
    for _ in range(5):
        y.value()
        graph._keep([W], False)
        graph._keep([W], False)
        _change(W)
        engine.forget(graph)
        sizes.append(cpu.lib.ab_graph_size(cpu.pointer(graph)))
    assert len(set(sizes)) == 1
