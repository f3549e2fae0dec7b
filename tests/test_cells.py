"""Cells record what their functions would."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections import Counter, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autobatch as ab
import autobatch.dynet as dy
from autobatch import _core
from autobatch.backends import cpu
from autobatch.errors import GraphError, OperandError, ShapeError
from autobatch.recording import forms, traced

pytestmark = pytest.mark.skipif(
    not hasattr(_core, "Cell"), reason="built for the limited API, where a cell is its function"
)

Pair = namedtuple("Pair", "h c")


def lstm(x, state, W, b):
    h, c = state
    i, f, o, g = ab.split(W @ ab.concat([x, h]) + b, 4)
    c = ab.sigmoid(f) * c + 0.5 * ab.sigmoid(i) * ab.tanh(g)
    return Pair(ab.sigmoid(o) * ab.tanh(c), c)


def ops_of(graph):
    """How often each op was recorded."""
    return Counter(forms[form].op.name for form in cpu.node_table(graph)["form"].tolist())


def run(step, words, sharing=True):
    """Sequences through an LSTM: ops, value and gradients."""
    rng = np.random.default_rng(3)
    W = ab.Parameter(init=rng.normal(size=(12, 5)))
    b = ab.Parameter(init=rng.normal(size=12))
    table = ab.Lookup(init=rng.normal(size=(4, 2)))
    with ab.configure(sharing=sharing):
        graph = ab.new_graph()
        losses = []
        for sequence in words:
            state = Pair(ab.zeros(3), ab.zeros(3))
            for word in sequence:
                state = step(table[word], state, W, b)
            losses.append(ab.sum(state.h * state.c))
        loss = ab.sum(losses)
        loss.backward()
        return ops_of(graph), loss.item(), [p.gradient() for p in (W, b, table)]


@given(
    words=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=5),
    sharing=st.booleans(),
)
def test_a_cell_records_the_nodes_of_its_function(words, sharing):
    step = ab.cell(lstm)
    ops, value, gradients = run(lstm, words, sharing)
    for _ in range(2):  # traced, then from the trace alone
        nodes, again, others = run(step, words, sharing)
        assert nodes == ops
        assert again == pytest.approx(value, rel=1e-5)
        for mine, theirs in zip(others, gradients):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_operands_that_are_one_node_when_traced_may_differ_later():
    @ab.cell
    def difference(x, y):
        return x - y

    x, y = ab.input([1.0, 2.0]), ab.input([3.0, 5.0])
    assert difference(x, x).value().tolist() == [0, 0]
    assert difference(x, y).value().tolist() == [-2, -3]
    assert difference(y, x).value().tolist() == [2, 3]


def test_an_operand_may_be_what_the_function_computes():
    @ab.cell
    def step(x, y):
        return x * ab.tanh(y)

    y = ab.input([0.5])
    x = ab.tanh(y)  # shared with what the trace records
    expected = np.tanh(0.5)
    assert step(x, y).item() == pytest.approx(expected**2)
    other = ab.input([3.0])
    assert step(other, y).item() == pytest.approx(3 * expected)


def test_one_trace_for_each_types_of_operands():
    @ab.cell
    def double(x):
        """Twice x."""
        return x + x

    assert double.__doc__ == "Twice x."
    for size in (1, 2, 1, 2):
        assert double(ab.ones(size)).value().tolist() == [2] * size
    assert double.traces == 2
    assert double(ab.input([[1.0], [2.0]], batched=True)).value().tolist() == [[2], [4]]
    assert double(ab.Parameter(init=[4.0])).item() == 8
    assert double.traces == 4
    with ab.configure(dtype="float64"):
        ab.new_graph()
        assert double(ab.ones(1)).value().dtype == np.float64
    ab.new_graph()
    assert double.traces == 5


def test_results_have_the_structure_of_the_functions():
    x = ab.ones(2)
    assert ab.cell(lambda x: x)(x).value().tolist() == [1, 1]
    for make in (list, tuple, lambda parts: Pair(*parts)):
        function = ab.cell(lambda x, make=make: make([x + 1, x * 3]))
        for _ in range(2):
            result = function(x)
            assert type(result) is type(make([x, x]))
            assert [part.value().tolist() for part in result] == [[2, 2], [3, 3]]


def test_cells_within_cells():
    @ab.cell
    def inner(x):
        return ab.tanh(x) + 1

    @ab.cell
    def outer(x, y):
        return inner(x) * inner(y)

    x, y = ab.input([0.5]), ab.input([-2.0])
    for _ in range(2):
        expected = (np.tanh(0.5) + 1) * (np.tanh(-2.0) + 1)
        assert outer(x, y).item() == pytest.approx(expected, rel=1e-6)


def test_random_numbers_are_drawn_by_every_call():
    function = ab.cell(lambda x: ab.dropout(x, 0.5))
    x = ab.ones(1000)
    first, second = (function(x).value() for _ in range(2))
    assert function.traces == 0
    assert not np.array_equal(first, second)


def test_errors_of_the_function_come_from_the_call():
    @ab.cell
    def product(W, x):
        return W @ x

    W = ab.Parameter((2, 3))
    with pytest.raises(ShapeError):
        product(W, ab.ones(4))
    assert product(W, ab.ones(3)).shape == (2,)


@pytest.mark.parametrize("wrong", [3, "x", None, [1.0], np.ones(2)])
def test_what_is_no_operand_of_a_cell(wrong):
    function = ab.cell(lambda x, y: x)
    with pytest.raises(OperandError, match="takes expressions and parameters by position"):
        function(ab.ones(1), wrong)
    with pytest.raises(OperandError, match="by position"):
        function(ab.ones(1), y=ab.ones(1))


def test_parameters_are_operands():
    W = ab.Parameter(2)
    with pytest.raises(OperandError, match="parameter that is not among its operands"):
        ab.cell(lambda x: x * W)(ab.ones(2))


@pytest.mark.parametrize("result", [None, 3.0, [1.0], "x"])
def test_what_is_no_result_of_a_cell(result):
    with pytest.raises(OperandError, match="expected the function to return an expression"):
        ab.cell(lambda x: result)(ab.ones(2))


def test_an_expression_from_outside_is_no_result():
    x = ab.ones(2)
    with pytest.raises(OperandError, match="made or was given"):
        ab.cell(lambda y: x)(ab.zeros(2))


@pytest.mark.parametrize("ask", [lambda x: x.value(), lambda x: ab.sum(x).item()])
def test_a_cell_may_not_ask_for_values(ask):
    @ab.cell
    def function(x):
        ask(x)
        return x

    with pytest.raises(GraphError, match="may not ask for values"):
        function(ab.ones(2))
    assert (ab.ones(2) + 1).value().tolist() == [2, 2]  # the graph outside goes on


def test_a_cell_may_not_begin_a_graph():
    @ab.cell
    def function(x):
        ab.new_graph()
        return x

    x = ab.ones(2)
    with pytest.raises(GraphError, match="may not begin a graph"):
        function(x)
    assert (x + 1).value().tolist() == [2, 2]


def test_cells_are_collected():
    def function(x):
        return x + 1

    cell = ab.cell(function)
    cell(ab.ones(2))
    cell.itself = cell
    gone = weakref.ref(function)
    del cell, function
    gc.collect()
    assert gone() is None


def test_tracing_leaves_nothing_behind():
    x = ab.ones(2)

    def trace(times):
        for _ in range(times):
            ab.cell(lambda x: x * 2)(x)
        gc.collect()
        return sys.getallocatedblocks()

    before = trace(10)
    assert trace(400) - before < 100  # a graph, or a handle, that stayed would count each time


def test_memory_does_not_grow_with_the_calls_of_a_cell():
    cell = ab.cell(lambda x, y: (x * y, ab.tanh(x)))
    x, y = ab.ones(2), ab.zeros(2)

    def calls():
        for _ in range(1000):
            cell(x, y)

    calls()
    tracemalloc.start()
    try:
        calls()
        first = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            calls()
        assert tracemalloc.get_traced_memory()[0] - first < 10_000
    finally:
        tracemalloc.stop()


def test_arguments_by_name_are_part_of_what_a_trace_is_found_by():
    calls = []

    @traced
    def scaled(x, by=1, plus=0.0):
        calls.append((by, plus))
        return x * float(by) + plus

    dy.renew_cg()  # whose names are traced so
    x = ab.input([1.0, 2.0])
    for _ in range(2):
        np.testing.assert_array_equal(scaled(x).value(), [1, 2])
        np.testing.assert_array_equal(scaled(x, by=3).value(), [3, 6])
        np.testing.assert_array_equal(scaled(x, plus=3).value(), [4, 5])
        np.testing.assert_array_equal(scaled(x, plus=1.0, by=2).value(), [3, 5])
        np.testing.assert_array_equal(scaled(x, by=2, plus=1.0).value(), [3, 5])
        np.testing.assert_array_equal(scaled(by=2, x=x).value(), [2, 4])
        np.testing.assert_array_equal(scaled(x, 2, plus=x).value(), [3, 6])
    assert len(calls) == scaled.traces == 7


def test_names_that_are_made_at_run_time():
    @traced
    def scaled(x, by=1):
        return x * float(by)

    dy.renew_cg()  # whose names are traced so
    x = ab.input([1.0, 2.0])
    for by in (2, 3):
        name = "".join(["b", "y"])  # another object than the "by" of the source
        np.testing.assert_array_equal(scaled(x, **{name: by}).value(), [by, 2 * by])
    with pytest.raises(TypeError, match="unexpected keyword argument 'times'"):
        scaled(x, times=2)
    np.testing.assert_array_equal(scaled(x, by=4).value(), [4, 8])


def test_a_cell_draws_what_its_function_draws() -> None:
    def noisy(x):
        return ab.dropout(x, 0.5)

    drawn = []
    for step in (noisy, ab.cell(noisy)):
        for _ in range(2):  # the cell traces first
            ab.configure(seed=3)
            ab.new_graph()
            drawn.append(step(ab.ones(64)).value())
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])


def test_a_whole_slice_of_a_parameter_is_its_node_in_a_cell_and_outside() -> None:
    def parts(x):
        return x[:2], x[0] + x[-1], x[...], x[:,] if len(x.shape) > 1 else x[:]

    found = []
    for step in (parts, ab.cell(parts)):
        ab.new_graph()
        p = ab.Parameter(init=[1.0])
        a, c, *_ = step(p)
        (ab.sum(a * 2.0) + ab.sum(c * 3.0)).backward(wrt=[a])
        found.append((a.gradient().tolist(), p.gradient().tolist()))
    assert found[0] == found[1]
