"""Weights in every layout that a graph asks for, and the packed copies of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autobatch as ab
from autobatch import engine

SIZES = st.sampled_from([1, 3, 6, 17, 40])
WAYS = ("W @ x", "y @ W", "reshaped", "columns")
SETS = (None, "baseline", "avx2", "avx512")


def _available(name):
    try:
        with ab.configure(instruction_set=name):
            ab.input([1.0]).item()
    except ab.ConfigurationError:
        return False
    return True


AVAILABLE = [name for name in SETS if _available(name)]


def _use(way, W, V, x, y):
    """A product with W, of what depends on V if it is not None: gradients of x are wanted then."""
    x, y = (x, y) if V is None else (x * V[0], y * V[1])
    if way == "W @ x":
        return ab.tanh(W @ x * 0.1)
    if way == "y @ W":
        return ab.tanh(y @ W * 0.1)
    if way == "reshaped":
        return ab.tanh(ab.reshape(W, W.shape[::-1]) @ y * 0.1)
    return ab.tanh(W @ ab.stack([x, x], axis=1) * 0.1)


def _history(backend, shape, uses):
    """What is computed, in one graph or several, of uses with settings between them."""
    draw = np.random.default_rng(5)
    W = ab.Parameter(init=draw.normal(size=shape))
    V = [ab.Parameter(init=draw.normal(size=n)) for n in shape[::-1]]
    seen = []
    with ab.configure(backend=backend, threads=1):
        ab.new_graph()
        for ways, rows, deep, isa, fresh, batched in uses:
            if backend == "cpu":
                ab.configure(instruction_set=isa)
            if fresh:
                ab.new_graph()
            made = []
            for _ in range(1 if batched else rows):
                lead = (rows,) if batched and rows > 1 else ()
                x, y = (
                    ab.input(draw.normal(size=(*lead, n)), batched=bool(lead)) for n in shape[::-1]
                )
                for way in ways:
                    made.append(ab.sum(_use(way, W, V if deep else None, x, y)))
            loss = ab.sum([ab.sum_batch(one) for one in made])
            seen.append(loss.item())
            loss.backward()
            for p in (W, *V):
                seen.append(None if p.gradient() is None else p.gradient())
                p.zero_grad()
    return seen


USES = st.lists(
    st.tuples(
        st.lists(st.sampled_from(WAYS), min_size=1, max_size=3),
        st.sampled_from([1, 3, 6, 18]),
        st.booleans(),
        st.sampled_from(AVAILABLE),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


@given(shape=st.tuples(SIZES, SIZES), uses=USES)
def test_weights_in_all_layouts_equal_the_formulas(shape, uses):
    for one, other in zip(
        _history("cpu", shape, uses), _history("numpy", shape, uses), strict=True
    ):
        if one is None or other is None:
            assert one is other
        else:
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


def test_the_same_matrix_from_the_left_and_from_the_right():
    W = ab.Parameter(init=np.arange(15.0).reshape(3, 5) / 7)
    x = np.arange(5.0) / 5
    ab.sum((W @ ab.input(x)) @ W).backward()
    expected = np.outer(W.value().sum(1), x) + np.outer(W.value() @ x, np.ones(5))
    np.testing.assert_allclose(W.gradient(), expected, rtol=1e-5)


def test_a_weight_that_an_update_changes_between_runs_of_a_graph():
    """Of a second layout, whose packed copies are the graph's own."""
    W = ab.Parameter(init=np.ones((4, 6)))
    seen = []
    for scale in (1, 2):
        X, Y = np.full((8, 6), scale), np.full((8, 4), scale)
        turned = ab.reshape(W, (6, 4))
        made = [W @ ab.input(x) for x in X] + [turned @ ab.input(y) for y in Y]
        seen.append(ab.sum([ab.sum(one) for one in made]).item())
        W.set_value(2 * W.value())
    assert seen == [8 * 24 * 2, 8 * 24 * 4 * 2]


def test_the_gradient_of_a_minibatch_that_was_not_computed_is_zero():
    p, q = ab.Parameter(init=np.ones(3)), ab.Parameter(init=np.ones(3))
    unused = ab.tanh(p * ab.input(np.ones((4, 3)), batched=True))
    ab.sum(q * q).backward()
    np.testing.assert_array_equal(unused.gradient(), np.zeros((4, 3)))


def test_results_larger_than_any_memory_are_refused():
    a, b = ab.zeros((2**60, 0)), ab.zeros((0, 2**60))
    with pytest.raises(ab.AutobatchError):
        a @ b


def test_products_of_many_weights_run_together_only_if_all_are_the_same(
    rng, dtype, backend
) -> None:
    """A batch shares every weight of its products, not the first two."""
    weights = [ab.Parameter(init=rng.normal(size=(3, 4))) for _ in range(5)]
    bias, xs = ab.Parameter(init=rng.normal(size=3)), [rng.normal(size=4) for _ in range(8)]
    inputs = [ab.input(x) for x in xs]
    made, expected = [], []
    for i in range(8):
        places = [0, 1, 2, 3 + i % 2]  # the last differs
        used = [weights[k] for k in places]
        made.append(ab.affine(bias, *(t for W in used for t in (W, inputs[i]))))
        expected.append(bias.value() + sum(W.value() for W in used) @ xs[i])
    batches = engine.schedule_of(made)
    assert sorted(map(len, batches)) == [4, 4]
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(ab.values(made), expected, rtol=tolerance, atol=tolerance)


def test_computed_weights_are_packed_anew_for_a_run_of_other_numbers(rng) -> None:
    W = ab.Parameter(init=rng.normal(size=(20, 30)))
    xs = rng.normal(size=(40, 30))
    graph = ab.new_graph()
    twice = W * 2.0
    made = [twice @ ab.input(x) for x in xs]  # so many rows that the weight is packed
    np.testing.assert_allclose(ab.values(made), 2 * xs @ W.value().T, rtol=1e-4, atol=1e-5)
    for factor in (3.0, -0.5):
        W.set_value(W.value() * factor)
        engine.forget(graph)
        np.testing.assert_allclose(ab.values(made), 2 * xs @ W.value().T, rtol=1e-4, atol=1e-5)


@given(sizes=st.lists(st.integers(1, 300), min_size=2, max_size=3), runs=st.integers(2, 5))
def test_runs_that_are_kept_notice_that_work_space_has_moved(sizes: list[int], runs: int) -> None:
    """A pass between two runs of one tape takes more of it; the sanitizers see what was freed."""
    rng = np.random.default_rng(sum(sizes))
    weights = [ab.Parameter(init=rng.normal(size=s) * 0.1) for s in zip(sizes[1:], sizes)]
    graph = ab.new_graph()
    x = ab.recording.placeholder((sizes[0],))
    y = x
    for W in weights:
        y = ab.tanh(W @ y)
    loss = ab.sum(y)
    for run in range(3 * runs):
        numbers = rng.normal(size=sizes[0])
        engine.write(x, numbers)
        engine.forget(graph)
        expected = numbers
        for W in weights:
            expected = np.tanh(W.value() @ expected)
        np.testing.assert_allclose(loss.item(), expected.sum(), rtol=1e-3, atol=1e-4)
        if run % runs == runs - 1:
            loss.backward()
