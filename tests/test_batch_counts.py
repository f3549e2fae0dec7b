"""Counts of batches for programs whose best schedule is known; nothing runs."""

from __future__ import annotations

import numpy as np
import pytest
from recorded import lower_bound_of

import autobatch as ab
from autobatch.testing import count_batches

DIM = 4
BATCHING = ("depth", "agenda", "frontier")


def inputs(count: int, seed: int = 0) -> list[ab.Expression]:
    draw = np.random.default_rng(seed)
    return [ab.input(draw.normal(size=DIM)) for _ in range(count)]


@pytest.fixture
def weight() -> ab.Parameter:
    return ab.Parameter((DIM, DIM))


@pytest.mark.parametrize("strategy", BATCHING)
def test_independent_nodes_of_one_profile(strategy: str) -> None:
    with ab.configure(strategy=strategy):
        assert count_batches(*(ab.tanh(x) for x in inputs(100))) == 1


def test_without_batching_every_node_is_a_batch() -> None:
    with ab.configure(strategy="none"):
        assert count_batches(*(ab.tanh(x) for x in inputs(100))) == 100


@pytest.mark.parametrize("strategy", BATCHING)
def test_one_weight_one_batch(strategy: str, weight: ab.Parameter) -> None:
    other = ab.Parameter((DIM, DIM))
    with ab.configure(strategy=strategy):
        assert count_batches(*(weight @ x for x in inputs(10))) == 1
        xs = inputs(10)
        assert count_batches(*(w @ x for x in xs for w in (weight, other))) == 2
        assert count_batches(*(weight @ x + other @ x for x in xs)) == 3


def test_what_only_looks_alike_stays_apart() -> None:
    x, y = inputs(2)
    assert count_batches(ab.elu(x), ab.relu(y)) == 2
    assert count_batches(ab.elu(x), ab.elu(y, alpha=5.0)) == 2
    assert count_batches(ab.elu(x), ab.elu(y)) == 1
    m, n = ab.reshape(x, (2, 2)), ab.reshape(y, (2, 2))
    assert count_batches(ab.softmax(m, axis=0), ab.softmax(n, axis=1)) == 2
    assert count_batches(ab.sum(x), ab.sum(ab.input(np.ones(DIM + 1)))) == 2


def test_what_differs_in_data_only_goes_together() -> None:
    xs = inputs(DIM)
    table = ab.Lookup(10, DIM)
    assert count_batches(*(ab.cross_entropy(x, i) for i, x in enumerate(xs))) == 1
    assert count_batches(*(x * float(i) for i, x in enumerate(xs))) == 1
    assert count_batches(*(ab.tanh(table[i]) for i in range(10))) == 1
    assert count_batches(*(ab.dropout(x, 0.5) for x in xs)) == 1


def test_views_and_sources_cost_nothing() -> None:
    (x,) = inputs(1)
    table = ab.Lookup(10, DIM)
    assert count_batches(x, table[3], x[1], x[1:3], ab.reshape(x, (2, 2)), *ab.split(x, 2)) == 0
    assert count_batches(*(ab.tanh(x[i]) for i in range(DIM))) == 1


@pytest.mark.parametrize("strategy", ["agenda", "frontier"])
def test_a_recurrent_layer_over_uneven_sequences(strategy: str, weight: ab.Parameter) -> None:
    """One product for all words, then a product, a sum and a tanh for every step."""
    recurrent = ab.Parameter((DIM, DIM))
    lengths = (7, 3, 12, 1, 9)
    xs = iter(inputs(sum(lengths)))
    ends = []
    for length in lengths:
        h = ab.zeros(DIM)
        for _ in range(length):
            h = ab.tanh(weight @ next(xs) + recurrent @ h)
        ends.append(h)
    with ab.configure(strategy=strategy):
        # `zeros` is one node, recorded once for all.
        assert count_batches(*ends) == 1 + 1 + 3 * max(lengths)
    assert lower_bound_of(ends) == 1 + 1 + 3 * max(lengths)


@pytest.mark.parametrize("strategy", BATCHING)
def test_trees_of_different_shapes(strategy: str, weight: ab.Parameter) -> None:
    """A balanced and a right-branching tree: leaves at once, then as deep as the deepest."""
    other = ab.Parameter((DIM, DIM))

    def inner(left: ab.Expression, right: ab.Expression) -> ab.Expression:
        return ab.tanh(weight @ left + other @ right)

    leaves = [ab.tanh(x) for x in inputs(8)]
    level = leaves
    while len(level) > 1:
        level = [inner(a, b) for a, b in zip(level[::2], level[1::2])]
    chain = leaves[0]
    for leaf in leaves[1:]:
        chain = inner(leaf, chain)
    bound = lower_bound_of([level[0], chain])
    with ab.configure(strategy=strategy):
        count = count_batches(level[0], chain)
    assert bound <= count
    if strategy != "depth":
        assert count <= 1 + 4 * 7


@pytest.mark.parametrize("strategy", ["none", *BATCHING])
def test_what_has_run_is_not_run_again(strategy: str) -> None:
    with ab.configure(strategy=strategy):
        xs = [ab.tanh(x) for x in inputs(5)]
        total = ab.sum(xs)
        total.value()
        assert count_batches(total, *xs) == 0
        more = ab.sum([total, ab.tanh(total)])
        assert count_batches(more) == 2


def test_common_prefixes_are_recorded_once(weight: ab.Parameter) -> None:
    table = ab.Lookup(10, DIM)

    def encode(word: list[int]) -> ab.Expression:
        h = ab.zeros(DIM)
        for letter in word:
            h = ab.tanh(weight @ h + table[letter])
        return h

    with ab.configure(strategy="none"):
        together = count_batches(encode([1, 2, 3, 4]), encode([1, 2, 3, 5]), encode([1, 2]))
    # zeros; five different steps, two of which begin with the same product
    assert together == 1 + 3 * 5 - 1
