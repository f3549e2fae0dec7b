"""What programs see of graphs and expressions: values, inputs that change, errors, flags."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autobatch as ab
import autobatch.dynet as dy
from autobatch import _core
from autobatch.dynet import config, random
from autobatch.errors import OperandError, ShapeError
from autobatch.recording import recorder


@pytest.fixture(autouse=True)
def graph() -> None:
    dy.renew_cg()


# ------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("make", "value", "dims"),
    [
        (lambda: dy.scalarInput(2), 2.0, ((1,), 1)),
        (lambda: dy.inputVector([1, 2]), [1.0, 2.0], ((2,), 1)),
        (lambda: dy.inputVector([1]), 1.0, ((1,), 1)),
        (lambda: dy.ones((1,), batch_size=3), [1.0, 1.0, 1.0], ((1,), 3)),
        (
            lambda: dy.inputTensor(np.array([[1, 2, 3], [4, 5, 6]]), batched=True),
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0],
            ((2,), 3),
        ),
        (lambda: dy.sum_elems(dy.ones((2, 2), batch_size=2)), [4.0, 4.0], ((1,), 2)),
    ],
)
def test_value_types(make: Any, value: Any, dims: Any) -> None:
    x = make()
    assert x.value() == value
    assert x.dim() == dims


def test_values_of_matrices_are_arrays_of_doubles() -> None:
    for shape in ((1, 1), (2, 3), (3, 1)):
        value = dy.ones(shape).value()
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.float64
        assert value.shape == shape


def test_arrays_have_the_minibatch_last() -> None:
    numbers = np.arange(24.0).reshape(2, 3, 4)
    x = dy.inputTensor(numbers, batched=True)
    np.testing.assert_array_equal(x.npvalue(), numbers)
    assert dy.sum_elems(x).npvalue().shape == (1, 4)
    assert x.vec_value() == numbers.reshape(-1, order="F").tolist()
    np.testing.assert_array_equal(x.tensor_value().as_numpy(), numbers)


def test_inputs_of_a_number_type_chosen_after_the_graph_began() -> None:
    dy.renew_cg()
    with ab.configure(dtype="float64"):
        made = [dy.vecInput(3), dy.matInput(1, 3), dy.inputVector((1, 2, 3)), dy.zeros(3)]
        assert [x.vec_value() for x in made] == [[0] * 3, [0] * 3, [1, 2, 3], [0] * 3]
        assert dy.scalarInput(0.1).value() == 0.1
        dy.renew_cg()
        assert dy.random_normal((3,)).npvalue().shape == (3,)
    dy.renew_cg()
    with pytest.raises(ValueError, match="placeholder: expected 3 numbers of 4 bytes, got 8"):
        recorder("placeholder").record((), (1, 3), bytes(8))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_of_every_layout(dtype: str) -> None:
    """Those read in C, and those that NumPy has to bring into a usual form."""
    whole = np.arange(2 * 3 * 4).reshape(2, 3, 4) / 7
    packed = np.zeros(3, [("a", "i1"), ("b", "f8")])
    packed["b"] = [1, 2, 3]
    arrays = [
        whole, whole.T, whole[::-1, 1:, ::2], whole[0], whole[0].T, whole[:, 0, 0], whole[0, 0, :1],
        np.asfortranarray(whole), whole.astype("f4"), whole.astype(">f8"), whole.astype("f2"),
        np.broadcast_to(whole[0, 0], (3, 4)), packed["b"], np.array(2.5), np.zeros((0, 3)),
        np.zeros((3, 0)), np.arange(-3, 3), np.arange(3, dtype="i4"), np.arange(3) > 1,
        np.array([1.5, 2], object), np.float64(whole[0]).view(np.matrix),
    ]  # fmt: skip
    with ab.configure(dtype=dtype):
        dy.renew_cg()
        for array in arrays:
            expected = np.asarray(array, np.float64).astype(dtype).astype(np.float64)
            x = dy.inputTensor(array)
            assert x.dim() == (array.shape or (1,), 1)
            np.testing.assert_array_equal(x.npvalue(), expected.reshape(array.shape or (1,)))
            if array.ndim:
                x = dy.inputTensor(array, batched=True)
                assert x.dim() == (array.shape[:-1] or (1,), array.shape[-1])
                assert x.vec_value() == expected.reshape(-1, order="F").tolist()
                flat = dy.inputVector(array)
                assert flat.dim() == ((array.size,), 1)
                assert flat.vec_value() == expected.reshape(-1, order="F").tolist()
        first, second = dy.inputTensor(whole), dy.inputTensor(whole)
        second.set(whole + 1)  # they are nodes of their own
        np.testing.assert_array_equal(first.npvalue(), whole.astype(dtype))
        assert dy.inputTensor([1, 2.5]).value() == [1.0, 2.5]
        assert dy.inputTensor([[1, 2], [3, 4]], batched=True).value() == [1.0, 3.0, 2.0, 4.0]
        assert dy.inputTensor([1, 2], batched=True).dim() == ((1,), 2)
        with pytest.raises(ShapeError, match="needs at least one axis"):
            dy.inputTensor(np.array(1.0), batched=True)
        for wrong in (np.array(["a"]), np.array(["2000-01-01"], "M8[D]"), np.ones(2, complex)):
            with pytest.raises(OperandError, match="inputVector: expected numbers"):
                dy.inputVector(wrong)
    dy.renew_cg()


@pytest.mark.parametrize("given", [["1"], [None, 1.0], b"12", np.array(["1"]), {}])
def test_what_is_no_number(given: object) -> None:
    for make in (dy.inputVector, dy.scalarInput):
        with pytest.raises(OperandError, match=f"{make.__name__}: expected"):
            make(given)


def test_expressions_where_a_number_is_expected() -> None:
    """As on the wheel: no number is taken from one, which would lose its gradient."""
    x, half = dy.inputVector([-1, 2]), dy.scalarInput(0.5)
    for call in (
        lambda: dy.elu(x, half),
        lambda: dy.inputVector(x),
        lambda: dy.scalarInput(half),
        lambda: dy.inputTensor([half, half]),
        lambda: dy.inputTensor(x),
        lambda: float(half),
        lambda: int(half),
        lambda: np.exp(x),
    ):
        with pytest.raises((TypeError, ValueError)):
            call()
    for name in ("array", "array_function", "array_ufunc", "len", "float", "iter", "dlpack"):
        assert not hasattr(x, f"__{name}__")
        assert not hasattr(type(x), f"__{name}__")


def test_vectors_and_columns_stay_apart() -> None:
    vector, column, matrix = dy.ones((3,)), dy.ones((3, 1)), dy.ones((2, 3))
    assert (matrix * vector).dim() == ((2,), 1)
    assert (matrix * column).dim() == ((2, 1), 1)
    assert (vector * dy.ones((1, 4))).dim() == ((3, 4), 1)
    assert (dy.ones((1, 3)) * vector).dim() == ((1,), 1)
    assert dy.transpose(vector).dim() == ((1, 3), 1)
    assert (column + vector).dim() == ((3, 1), 1)
    with pytest.raises(ValueError, match="product"):
        dy.ones((1,)) * vector


def test_reflected_operators_and_numpy_numbers() -> None:
    x = dy.inputVector([1, 2])
    assert (2 * x).value() == [2.0, 4.0]
    assert (1 - x).value() == [0.0, -1.0]
    assert (1 + x).value() == [2.0, 3.0]
    assert (2 / x).value() == [2.0, 1.0]
    assert sum([x, x]).value() == [2.0, 4.0]
    for two in (np.float32(2), np.int64(2), np.float64(2)):
        assert (two * x).value() == (x * two).value() == [2.0, 4.0]
        assert (x + two).value() == (two + x).value() == [3.0, 4.0]
        assert (x**two).value() == [1.0, 4.0]
    assert x[np.int64(1)].value() == 2.0


def test_indexing() -> None:
    x = dy.inputVector([1, 2, 3])
    assert x[-1].value() == 3.0
    assert [y.value() for y in x] == [1.0, 2.0, 3.0]
    assert x[1:].value() == [2.0, 3.0]
    with pytest.raises(IndexError):
        x[3]
    with pytest.raises(ValueError, match="from"):
        x[0:-1]
    with pytest.raises(TypeError):
        x["a"]
    numbers = np.arange(24.0).reshape(2, 3, 4)
    y = dy.inputTensor(numbers, batched=True)
    np.testing.assert_array_equal(y[:1, ::2, 1:3].npvalue(), numbers[:1, ::2, 1:3])


def test_expressions_are_expressions() -> None:
    p = dy.ParameterCollection().add_parameters((2, 2))
    assert isinstance(dy.tanh(p), dy.Expression)
    assert isinstance(p, dy.Expression)
    assert not isinstance(2, dy.Expression)
    assert bool(dy.zeros(1))
    assert ab.input([1.0]).dim() == ((1,), 1)  # of this graph, whoever records it
    with ab.new_graph():
        assert not isinstance(ab.input([1.0]), dy.Expression)
    with pytest.raises(TypeError):
        len(dy.zeros(2))


def test_lists_must_be_lists() -> None:
    x = dy.ones(2)
    for name in ("esum", "average", "emax", "logsumexp", "concatenate", "concatenate_cols"):
        with pytest.raises(TypeError):
            getattr(dy, name)((x, x))
        with pytest.raises(AssertionError):
            getattr(dy, name)([])
    with pytest.raises(TypeError):
        dy.affine_transform((x, x, x))
    with pytest.raises(TypeError):
        dy.inputTensor((1, 2))
    with pytest.raises(TypeError):
        dy.reshape(x, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: dy.inputTensor(np.ones((2, 3))) * x,
        lambda x: x + dy.ones(3),
        lambda x: dy.esum([x, dy.ones(3)]),
        lambda x: dy.concatenate_cols([x, dy.ones(3)]),
        lambda x: dy.pickneglogsoftmax(x, 2),
        lambda x: dy.pickneglogsoftmax(x, -1),
        lambda x: dy.pick(x, -1),
        lambda x: dy.pick_range(x, 1, 5),
        lambda x: dy.reshape(x, (3,)),
        lambda x: dy.softmax(dy.ones((2, 2, 2))),
        lambda x: dy.affine_transform([x, x]),
        lambda x: x.backward(),
        lambda x: dy.round(x, "none"),
    ],
)
def test_errors_are_value_errors_at_once(call: Any) -> None:
    with pytest.raises(ValueError, match=r"\w: "):
        call(dy.ones(2))


# ------------------------------------------------------------------------------- graphs


def test_stale_expressions_raise() -> None:
    x = dy.inputVector([1, 2])
    dy.renew_cg()
    for use in (
        lambda: x.value(),
        lambda: x.npvalue(),
        lambda: x.dim(),
        lambda: dy.tanh(x),
        lambda: dy.ones(2) + x,
        lambda: x.backward(),
    ):
        with pytest.raises(RuntimeError, match="graph that is gone"):
            use()


def test_inputs_that_change() -> None:
    """The graph of the tutorials: recorded once, its inputs set, run again and again."""
    dy.reset_random_seed(1)
    m = dy.ParameterCollection()
    W, V = m.add_parameters((8, 2)), m.add_parameters((1, 8))
    b = m.add_parameters(8)
    trainer = dy.SimpleSGDTrainer(m, 0.1)
    dy.renew_cg()
    x, y = dy.vecInput(2), dy.scalarInput(0)
    loss = dy.binary_log_loss(dy.logistic(V * dy.tanh(W * x + b)), y)
    questions = [([0, 1], 1), ([1, 0], 1), ([0, 0], 0), ([1, 1], 0)] * 400
    total = []
    for question, answer in questions:
        x.set(question)
        y.set(answer)
        total.append(loss.value())
        loss.backward()
        trainer.update()
    assert np.mean(total[-100:]) < 0.1 < np.mean(total[:100])


def test_setting_forgets_what_was_computed() -> None:
    x = dy.vecInput(2)
    y = dy.sum_elems(dy.square(x))
    assert y.value() == 0
    x.set([3, 4])
    assert y.value() == 25
    y.backward(full=True)
    np.testing.assert_array_equal(x.gradient(), [6, 8])
    x.set([1, 2])
    y.backward(full=True)
    np.testing.assert_array_equal(x.gradient(), [2, 4])
    with pytest.raises(ValueError, match="2 numbers"):
        x.set([1])
    with pytest.raises(TypeError, match="expected an input"):
        y.set([1])


def test_each_input_is_its_own() -> None:
    x, y = dy.inputVector([1, 2]), dy.inputVector([1, 2])
    both = dy.concatenate([x, y])
    x.set([3, 4])
    assert both.value() == [3.0, 4.0, 1.0, 2.0]
    matrix = dy.inputTensor([[1, 2], [3, 4]])
    matrix.set(np.array([[5, 6], [7, 8]]))
    np.testing.assert_array_equal(matrix.npvalue(), [[5, 6], [7, 8]])


@pytest.mark.parametrize("batched", [False, True])
@given(rows=st.integers(1, 4), columns=st.integers(1, 4), data=st.data())
def test_lists_of_numbers_are_read_as_their_array(batched, rows, columns, data) -> None:
    number = st.one_of(st.integers(-9, 9), st.floats(-9, 9, width=32), st.booleans())
    lists = [[data.draw(number) for _ in range(columns)] for _ in range(rows)]
    dy.renew_cg()
    made = dy.inputTensor(lists, batched=batched)
    expected = dy.inputTensor(np.array(lists, np.float64), batched=batched)
    assert made.dim() == expected.dim()
    np.testing.assert_array_equal(made.npvalue(), expected.npvalue())


@pytest.mark.parametrize(
    "wrong", [[[1, 2], [3]], [[1], ["a"]], [[1], None], [[10**400]], [[1, [2]]], [1, [2]]]
)
def test_lists_that_are_no_array(wrong) -> None:
    before = len(ab.current_graph())
    with pytest.raises((ab.OperandError, OverflowError)):
        dy.inputTensor(wrong)
    assert len(ab.current_graph()) == before


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first graphs, of a program that sets no rows."""
    monkeypatch.setattr(dy.cg(), "movable", False)
    monkeypatch.setattr(dy.cg(), "moved", False)
    _core.redirect_directly(False)


def test_given_rows_and_entries_that_change(late: None) -> None:
    table = dy.ParameterCollection().add_lookup_parameters((5, 2), init=np.arange(10).reshape(5, 2))
    x = dy.inputVector([1, 2, 3])
    with pytest.raises(TypeError, match="without an index"):
        dy.lookup(table, 1).set(2)
    with pytest.raises(TypeError, match="pick again"):
        dy.pick(x, 1).set_index(2)
    dy.pick(x).set_index(2)
    dy.renew_cg()
    row, same = dy.lookup(table, 1), dy.lookup(table, 1)
    row.set(2)
    assert (row.value(), same.value()) == ([4.0, 5.0], [2.0, 3.0])
    entry = dy.pick(dy.inputVector([1, 2, 3]), 1)
    entry.set_index(0)
    assert entry.value() == 1.0
    with pytest.raises(IndexError):
        dy.lookup(table, 5)
    with pytest.raises(IndexError, match="from 0 to 1"):
        dy.pick(row, -1)


def test_rows_that_change(late: None) -> None:
    table = dy.ParameterCollection().add_lookup_parameters((5, 2), init=np.arange(10).reshape(5, 2))
    x, y = dy.lookup(table), dy.lookup(table)
    loss = dy.dot_product(x, y)
    assert loss.value() == 1.0
    x.set(3)
    assert (x.value(), y.value(), loss.value()) == ([6.0, 7.0], [0.0, 1.0], 7.0)
    loss.backward()
    np.testing.assert_array_equal(table.grad_as_array()[[0, 3]], [[6, 7], [0, 1]])
    fixed = dy.lookup(table, update=False)
    fixed.set(np.int64(4))
    assert fixed.value() == [8.0, 9.0]
    for rows in (dy.lookup_batch(table, [1, 2]), table.batch([1, 2])):
        rows.set([4, 0])
        assert rows.value() == [8.0, 9.0, 0.0, 1.0]
        with pytest.raises(ValueError, match="expected 2 numbers"):
            rows.set([1])
    with pytest.raises(IndexError, match="from 0 to 4"):
        x.set(5)


def test_entries_that_change(late: None) -> None:
    x = dy.inputTensor(np.arange(12).reshape(3, 4))
    row, column = dy.pick(x), dy.pick(x, dim=1)
    row.set_index(2)
    column.set_index(3)
    assert row.value() == [8.0, 9.0, 10.0, 11.0]
    assert column.value() == [3.0, 7.0, 11.0]
    dy.sum_elems(dy.pick(x) + row).backward(full=True)
    np.testing.assert_array_equal(x.gradient()[:, 0], [1, 0, 1])
    batch = dy.inputTensor(np.arange(6).reshape(3, 2), batched=True)
    entries, same = dy.pick_batch(batch, [0, 1]), dy.pick(batch)
    entries.set_index([1, 2])
    same.set_index(2)
    assert (entries.value(), same.value()) == ([2.0, 5.0], [4.0, 5.0])
    with pytest.raises(IndexError, match="from 0 to 2"):
        entries.set_index([1, 3])


def test_gradients_add_up_until_an_update() -> None:
    m = dy.ParameterCollection()
    p = m.add_parameters(2, init=1)
    trainer = dy.SimpleSGDTrainer(m, 0.1)
    for _ in range(2):
        dy.renew_cg()
        loss = dy.sum_elems(p)
        loss.backward()
        loss.backward()
    np.testing.assert_array_equal(p.grad_as_array(), [4, 4])
    trainer.update()
    np.testing.assert_array_equal(p.grad_as_array(), [0, 0])


def _after_an_update(updates: int = 1) -> tuple[Any, Any, Any, Any]:
    m = dy.ParameterCollection()
    w, table = m.add_parameters((2, 2), init=2), m.add_lookup_parameters((3, 2), init=1)
    trainer = dy.SimpleSGDTrainer(m, 0.1)
    trainer.set_clip_threshold(0)
    for _ in range(updates):
        dy.renew_cg()
        x = table[1]
        y = w * x
        dy.sum_elems(y).backward()
        trainer.update()
    return w, table, x, y


def test_a_graph_keeps_the_parameters_that_it_read() -> None:
    """As DyNet's does: generators and critics are trained by two updates in one graph."""
    w, table, _, y = _after_an_update()
    np.testing.assert_allclose(w.as_array(), 1.9, rtol=1e-6)
    np.testing.assert_array_equal(w.npvalue(), np.full((2, 2), 2.0))
    assert (w * dy.ones(2)).value() == [4.0, 4.0]
    np.testing.assert_allclose(table[1].value(), 0.6, rtol=1e-6)  # looked up anew
    np.testing.assert_allclose(w.as_array(), 1.9, rtol=1e-6)
    dy.sum_elems(y).backward()
    np.testing.assert_allclose(w.grad_as_array(), 1.0)
    np.testing.assert_allclose(table.grad_as_array(), [[0, 0], [4, 4], [0, 0]])
    np.testing.assert_allclose(table.as_array()[1], 0.6, rtol=1e-6)
    dy.renew_cg()
    np.testing.assert_allclose((w * dy.ones(2)).value(), 3.8, rtol=1e-6)


def test_a_parameter_that_a_graph_had_not_read_is_new() -> None:
    m = dy.ParameterCollection()
    w, v = m.add_parameters(2, init=1), m.add_parameters(2, init=1)
    trainer = dy.SimpleSGDTrainer(m, 0.1)
    dy.sum_elems(v).backward()
    dy.renew_cg()
    x = dy.vecInput(2)
    x.set([1, 2])
    loss = dy.dot_product(w, x)
    loss.backward()
    trainer.update()
    np.testing.assert_allclose((v + 0.0).value(), 1 - 0.1 * 1.0, rtol=1e-6)
    assert (w + 0.0).value() == [1.0, 1.0]
    x.set([1, 1])  # everything is computed anew
    np.testing.assert_allclose(loss.value(), 1.7, rtol=1e-6)


def test_what_stands_behind_all_that_was_asked_for_is_read_after_the_update() -> None:
    """Numbers of DyNet 2.2: a loss recorded before the update, with a parameter of its own."""
    m = dy.ParameterCollection()
    a, b = m.add_parameters(1, init=1.0), m.add_parameters(1, init=2.0)
    trainer = dy.AdamTrainer(m, 0.1)
    values = []
    for _ in range(6):
        dy.renew_cg()
        first = dy.square(a * 2.0)
        second = dy.square(dy.cmult(a, b) - 1.0)
        first.backward()
        trainer.update()
        second.backward()
        trainer.update()
        values.append(second.value())
    np.testing.assert_allclose(values[1], 0.24668, rtol=1e-4)
    np.testing.assert_allclose(a.as_array(), 0.05862, rtol=1e-3)


def test_a_parameter_that_a_program_changes_stays_as_it_was_read() -> None:
    m = dy.ParameterCollection()
    w, table = m.add_parameters(2, init=3.0), m.add_lookup_parameters((3, 2), init=1.0)
    assert dy.sum_elems(w * 2 + table[1]).value() == 14.0
    w.set_value(np.array([7.0, 7.0]))
    table.init_row(1, [5.0, 5.0])
    assert dy.sum_elems(w * 3).value() == 18.0
    assert w.value() == [3.0, 3.0]
    assert w.as_array().tolist() == [7.0, 7.0]
    assert table[1].value() == [5.0, 5.0]  # looked up anew
    for change in (w.zero, lambda: w.scale(2.0), lambda: w.clip_inplace(0.0, 1.0)):
        dy.renew_cg()
        before = w.value()
        change()
        assert w.value() == before
    dy.renew_cg()
    assert w.value() == w.as_array().tolist() == [0.0, 0.0]


def test_rows_stay_as_they_were_read() -> None:
    """Whether the nodes of equal lookups are one or not, as in the first graphs of a program."""
    for graphs in (0, 5):
        m = dy.ParameterCollection()
        table = m.add_lookup_parameters((4, 2), init=1.0)
        w = m.add_parameters((2, 2), init=1.0)
        trainer = dy.SimpleSGDTrainer(m, 0.5)
        trainer.set_clip_threshold(0)
        for _ in range(graphs):
            dy.renew_cg()
            _ = table[2] + table[2]
        dy.renew_cg()
        old, batch = table[2], dy.lookup_batch(table, [2, 3])
        dy.sum_elems(w * old).backward()
        trainer.update()
        row = table.as_array()[2].copy()
        assert (row != 1.0).all()
        assert table[2].value() == row.tolist()  # another node than `old`
        assert (old + 0.0).value() == [1.0, 1.0]
        assert batch.npvalue().tolist() == [[1.0, 1.0], [1.0, 1.0]]
        dy.sum_elems(w * old).backward()
        np.testing.assert_array_equal(w.grad_as_array(), np.ones((2, 2)))


def test_late_computations_of_every_update_are_exact() -> None:
    """Also of updates after those whose numbers are kept on trial."""
    m = dy.ParameterCollection()
    w = m.add_parameters(1, init=1.0)
    trainer = dy.SimpleSGDTrainer(m, 0.1)
    for _ in range(12):
        dy.renew_cg()
        before = w.as_array()[0]
        dy.squared_norm(w).backward()
        trainer.update()
        assert (w * 2).value() == pytest.approx(2 * before)
        assert w.as_array()[0] < before


def test_the_rows_of_an_update_stay_those_of_the_update() -> None:
    """Another loss of the same graph uses others, before the old numbers are taken back."""
    collection = dy.ParameterCollection()
    table = collection.add_lookup_parameters((40, 2), init=1.0)
    trainer = dy.SimpleSGDTrainer(collection, 0.5)
    trainer.set_clip_threshold(0)
    losses = [dy.esum([dy.squared_norm(table[i]) for i in rows]) for rows in ((1, 2), (7, 8))]
    for loss in losses:
        loss.backward()
        trainer.update()
    changed = table.as_array() != 1.0
    assert np.flatnonzero(changed.all(axis=1)).tolist() == [1, 2, 7, 8]
    assert not table.as_array()[changed].any()


def test_graphs_that_are_used_after_late_updates_are_noticed() -> None:
    dy.renew_cg()
    _core.keep_updates(0)
    w, *_ = _after_an_update(6)
    np.testing.assert_allclose((w * dy.ones(2)).value(), 2 * w.as_array()[0, 0])
    before = w.as_array()
    dy.renew_cg()
    dy.sum_elems(w).backward()
    dy.SimpleSGDTrainer(w._collection, 0.1).update()
    assert (w.as_array() < before).all()
    np.testing.assert_allclose((w * dy.ones(2)).value(), 2 * before[0, 0])


def test_gradient_before_backward() -> None:
    x = dy.inputVector([1, 2])
    dy.sum_elems(x).forward()
    with pytest.raises(RuntimeError):
        x.gradient()


def test_gradients_of_what_is_not_trained_are_zero() -> None:
    p = dy.ParameterCollection().add_parameters((2, 3), init=1)
    x, zeros = dy.inputTensor(np.ones((3, 2)), batched=True), dy.zeros((2, 2))
    apart = dy.tanh(x)
    loss = dy.sum_batches(dy.sum_elems(p * x + x[:2]))
    for _ in range(2):
        loss.backward()
        for node in (x, zeros, apart):
            np.testing.assert_array_equal(node.gradient(), np.zeros_like(node.npvalue()))
        loss.backward(full=True)
        np.testing.assert_array_equal(x.gradient(), [[3, 3], [3, 3], [2, 2]])
    assert loss.gradient() == [1.0]
    with pytest.raises(RuntimeError, match="recorded after the loss"):
        dy.square(loss).gradient()


def test_gradients_of_a_loss_without_parameters() -> None:
    x = dy.inputVector([1, 2])
    loss = dy.squared_norm(x)
    loss.backward()
    assert loss.gradient() == [1.0]
    np.testing.assert_array_equal(x.gradient(), [0, 0])


@pytest.mark.parametrize(
    ("make", "gradient"),
    [
        (lambda p, table: dy.const_parameter(p), [6, 6]),
        (lambda p, table: dy.nobackprop(2 * p), [12, 12]),
        (lambda p, table: dy.tanh(dy.nobackprop(p - 3)) + 3, [6, 6]),
        (lambda p, table: dy.lookup(table, 1, update=False), [6, 6]),
        (lambda p, table: dy.constant(2, 3), [6, 6]),
        (lambda p, table: dy.one_hot(2, 1), [0, 2]),
    ],
)
def test_full_gradients_of_all_that_is_not_trained(make: Any, gradient: Any) -> None:
    m = dy.ParameterCollection()
    p, table = m.add_parameters(2, init=3), m.add_lookup_parameters((2, 2), init=3)
    x = make(p, table)
    loss = dy.squared_norm(x)
    loss.backward()
    if x.op not in ("full", "one_hot"):
        with pytest.raises(RuntimeError, match=r"use backward\(full=True\)"):
            x.gradient()
    loss.backward(full=True)
    np.testing.assert_allclose(x.gradient(), gradient)
    np.testing.assert_array_equal(p.grad_as_array(), [0, 0])


def test_backward_of_scalars_in_every_form() -> None:
    p = dy.ParameterCollection().add_parameters((1, 1), init=3)
    for loss in (p, p * dy.ones((1, 1)), dy.sum_elems(p), dy.reshape(p, (1,))):
        loss.backward()
    np.testing.assert_array_equal(p.grad_as_array(), [[4]])
    with pytest.raises(ValueError, match="sum_batches"):
        dy.ones((1,), batch_size=2).backward()


def test_checkpoints_are_a_stack() -> None:
    dy.cg_revert()  # without one: nothing
    x = dy.scalarInput(2)
    dy.cg_checkpoint()
    assert (x * 3).value() == 6.0
    dy.cg_checkpoint()
    dy.dropout(x, 0.5)
    dy.cg_revert()
    dy.cg_revert()
    assert (x * 4).value() == 8.0
    assert x.value() == 2.0


def test_nodes_by_number() -> None:
    g = dy.renew_cg()
    p = dy.ParameterCollection().add_parameters((2, 3), init=0.5)
    x = dy.inputVector([1, 2, 3])
    y = p * x
    total = dy.sum_elems(y)
    dy.square(total)
    assert [g.forward_scalar(3), g.inc_forward_scalar(index=4)] == [6.0, 36.0]
    assert [g.forward_vec(0), g.inc_forward_vec(2)] == [[1.0, 2.0, 3.0], [3.0, 3.0]]
    assert [g.forward(4), g.inc_forward(1), g.forward()] == [None] * 3
    g.backward(3)
    np.testing.assert_array_equal(y.gradient(), [1, 1])
    g.backward(index=4, full=True)
    np.testing.assert_array_equal(x.gradient(), [12, 12, 12])
    g.backward()
    np.testing.assert_array_equal(p.grad_as_array()[:, 0], [25, 25])
    for number in (5, -1):
        with pytest.raises(IndexError, match="the number of a node, from 0 to 4"):
            g.forward(number)
    with pytest.raises(ValueError, match="expected a scalar"):
        g.backward(2)


def test_forward_by_number_draws_anew() -> None:
    g = dy.renew_cg()
    dy.random_normal(1)
    first = g.inc_forward_scalar(0)
    assert g.inc_forward_vec(0) == [first]
    second = g.forward_scalar(0)
    assert first != second == g.inc_forward_scalar(0)
    assert g.forward_vec(0) != [second]


def test_inputs_of_the_graph() -> None:
    g = dy.cg()
    x = g.inputMatrixLiteral([1, 2, 3, 4], (2,), batch_size=2)
    np.testing.assert_array_equal(x.npvalue(), [[1, 3], [2, 4]])
    x.set([5, 6, 7, 8])
    np.testing.assert_array_equal(x.npvalue(), [[5, 7], [6, 8]])
    x = g.inputSparseTensor([0, 3], [5, 6], (2,), batch_size=2, defval=-1)
    np.testing.assert_array_equal(x.npvalue(), [[5, -1], [-1, 6]])
    with pytest.raises(IndexError, match="from 0 to 1"):
        g.inputSparseTensor([2], [5], (2,))
    with pytest.raises(ValueError, match="2 places, 1 numbers"):
        g.inputSparseTensor([0, 1], [5], (2,))


def test_dumps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dy.log(dy.inputVector([-1, 1]))
    dy.dump_cg(show_gradients=False)
    dy.dump_cg("", True, True, nan_check_only=True)
    dy.dump_cg(show_values=False, filename=str(tmp_path / "dump"))
    assert capsys.readouterr().out == (
        "Node 0\nValue:\n[-1.  1.]\nNode 1\nValue:\n[nan  0.]\n"
        "Node 0\nValue: valid\nGradient: (not computed)\n"
        "Node 1\nValue: invalid\nGradient: (not computed)\n"
    )
    written = (tmp_path / "dump").read_text()
    assert written == "Node 0\nGradient: (not computed)\nNode 1\nGradient: (not computed)\n"


def test_validity_is_checked_on_demand() -> None:
    assert np.isnan(dy.log(dy.scalarInput(-1)).value())
    dy.renew_cg(immediate_compute=True, check_validity=True)
    with pytest.raises(RuntimeError, match="NaN"):
        dy.log(dy.scalarInput(-1)).value()
    assert dy.renew_cg() is dy.cg()
    assert np.isnan(dy.log(dy.scalarInput(-1)).value())


def test_nobackprop() -> None:
    p = dy.ParameterCollection().add_parameters(2, init=1)
    dy.sum_elems(dy.nobackprop(p) + dy.flip_gradient(p) + dy.scale_gradient(p, 3.0)).backward()
    np.testing.assert_array_equal(p.grad_as_array(), [2, 2])


def test_several_constants_are_a_list() -> None:
    m = dy.ParameterCollection()
    p, q = m.add_parameters(2, init=1), m.add_parameters(3, init=2)
    assert [c.value() for c in dy.const_parameter(p, q)] == [[1.0, 1.0], [2.0, 2.0, 2.0]]
    assert dy.const_parameter(q).dim() == ((3,), 1)


def test_parameters_as_expressions() -> None:
    m = dy.ParameterCollection()
    W, b = m.add_parameters((2, 3), init=2), m.add_parameters(2, init=1)
    table = m.add_lookup_parameters((4, 3), init=1)
    y = W * table[1] + b
    assert y.value() == [7.0, 7.0]
    assert (b + y).value() == (y + b).value() == [8.0, 8.0]
    assert (-b).value() == [-1.0, -1.0]
    assert (b[0] - 3).value() == -2.0
    assert W[0].value() == [2.0, 2.0, 2.0]
    assert dy.softmax(b).value() == [0.5, 0.5]
    assert dy.concatenate([b, dy.lookup(table, 2)]).dim() == ((5,), 1)
    assert dy.dot_product(b, b).value() == 2.0
    assert dy.transpose(W).dim() == ((3, 2), 1)
    assert dy.esum([b, b]).value() == [2.0, 2.0]
    assert dy.pick(b, 1).value() == dy.max_dim(b).value() == 1.0
    with pytest.raises(IndexError):
        table[4]


def test_expr_is_a_constant_by_default() -> None:
    m = dy.ParameterCollection()
    p = m.add_parameters(2, init=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dy.sum_elems(p.expr()).backward()
    np.testing.assert_array_equal(p.grad_as_array(), [0, 0])
    dy.sum_elems(p.expr(update=True)).backward()
    np.testing.assert_array_equal(p.grad_as_array(), [1, 1])


# ------------------------------------------------------------------------------- random numbers


def test_numbers_are_drawn_in_the_order_of_their_nodes() -> None:
    random.reset(3)
    first, second = random.uniform(4), random.uniform(4)
    dy.reset_random_seed(3)
    a = dy.random_uniform(4, 0, 1)
    b = dy.random_uniform(4, 0, 1)
    np.testing.assert_array_equal(b.npvalue(), second)  # evaluates what stands before it
    np.testing.assert_array_equal(a.npvalue(), first)
    np.testing.assert_array_equal(b.npvalue(), second)  # and not again
    assert not np.array_equal(a.npvalue(recalculate=True), first)


def test_masks_are_drawn_when_run() -> None:
    random.reset(5)
    first, mask = random.uniform(3, -1, 1), random.bernoulli(8, 0.5) * 2.0
    dy.reset_random_seed(5)
    x = dy.dropout(dy.ones(8), 0.5)
    parameter = dy.ParameterCollection().add_parameters(3)  # drawn before the mask
    np.testing.assert_allclose(parameter.as_array(), first, rtol=1e-6)
    np.testing.assert_array_equal(x.npvalue(), mask)


def test_dropout_of_everything_is_zero() -> None:
    assert dy.dropout(dy.ones(3), 1.0).value() == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="probability"):
        dy.dropout(dy.ones(3), 1.5)


# A seed, how many pairs of raw numbers come before, and a rate: the next pair lies between the
# threshold as a double and as DyNet has it, a float32.
BESIDE_THE_THRESHOLD = [(14, 623, 0.15, True), (750, 1362, 0.35, False)]


@pytest.mark.parametrize(("seed", "before", "rate", "kept"), BESIDE_THE_THRESHOLD)
@pytest.mark.parametrize(
    "draw",
    [
        lambda x, rate: dy.dropout(x, rate),
        lambda x, rate: dy.dropout_dim(x, 0, rate),
        lambda x, rate: dy.dropout_batch(x, rate),
        lambda x, rate: dy.block_dropout(x, rate),
        lambda x, rate: dy.random_bernoulli(1, 1 - rate, 1 / (1 - rate)),
    ],
)
def test_probabilities_are_float32(
    draw: Any, seed: int, before: int, rate: float, kept: bool
) -> None:
    dy.reset_random_seed(seed)
    random.uniform(2 * before)
    expected = 1 / (1 - rate) if kept else 0.0
    assert draw(dy.inputVector([1]), rate).value() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("seed", "before", "rate", "kept"), BESIDE_THE_THRESHOLD)
def test_rates_of_builders_are_float32(seed: int, before: int, rate: float, kept: bool) -> None:
    m = dy.ParameterCollection()
    builder = dy.SimpleRNNBuilder(1, 1, 1, m)
    for p in m.parameters_list():
        p.set_value(np.ones(p.shape()))
    builder.set_dropout(rate)
    dy.reset_random_seed(seed)
    random.uniform(2 * before)
    output = builder.initial_state().add_input(dy.inputVector([1])).output()
    expected = np.tanh(1 + (1 / (1 - rate) if kept else 0))
    assert output.value() == pytest.approx(expected, rel=1e-5)


def test_what_waits_to_be_drawn_leaves_the_short_way_open() -> None:
    random.reset(7)
    first, second = random.uniform(3).tolist(), random.uniform(2).tolist()
    dy.reset_random_seed(7)
    x = dy.scalarInput(2)
    a, b = dy.random_uniform(3, 0, 1), dy.random_uniform(2, 0, 1)
    assert dy.cg().direct
    assert x.value() == 2.0
    assert b.value() == second
    assert a.value() == first
    assert dy.cg().direct


def test_numbers_are_drawn_up_to_the_node_that_is_asked_for() -> None:
    random.reset(8)
    first, between, second = random.uniform(2), random.uniform(3, -1, 1), random.uniform(2)
    dy.reset_random_seed(8)
    a, b = dy.random_uniform(2, 0, 1), dy.random_uniform(2, 0, 1)
    assert a.value() == first.tolist()
    parameter = dy.ParameterCollection().add_parameters(3)
    np.testing.assert_allclose(parameter.as_array(), between, rtol=1e-6)
    assert b.value() == second.tolist()


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x.value(),
        lambda x: x.vec_value(),
        lambda x: x.npvalue().tolist(),
        lambda x: x.tensor_value().as_numpy().tolist(),
        lambda x: ab.values([x])[0].tolist(),
        lambda x: ab.recording.Expression.value(x).tolist(),
        lambda x: [dy.pick(x, i).scalar_value() for i in range(70)],
        lambda x: [dy.pick(x, i).backward() or dy.pick(x, i).value() for i in range(70)],
        lambda x: (x.forward(), x.value())[1],
    ],
)
def test_whatever_is_asked_for_is_drawn_before(ask: Any) -> None:
    random.reset(9)
    expected = random.uniform(70).tolist()
    dy.reset_random_seed(9)
    assert ask(dy.random_uniform(70, 0, 1)) == expected


def test_what_was_reverted_is_not_drawn() -> None:
    random.reset(10)
    first, second, third = (random.uniform(2).tolist() for _ in range(3))
    dy.reset_random_seed(10)
    dy.cg_checkpoint()
    a, gone = dy.random_uniform(2, 0, 1), dy.random_uniform(2, 0, 1)
    assert a.value() == first
    dy.cg_revert()
    b = dy.random_uniform(2, 0, 1)
    assert b.value() == second
    assert gone.value() == [0.0, 0.0]
    assert b.value(recalculate=True) == third


def test_setting_an_input_draws_again() -> None:
    random.reset(11)
    first, second = random.uniform(2), random.uniform(2)
    dy.reset_random_seed(11)
    x = dy.scalarInput(1)
    y = dy.random_uniform(2, 0, 1) * x
    np.testing.assert_array_equal(y.npvalue(), first)
    x.set(2)
    np.testing.assert_array_equal(y.npvalue(), 2 * second)


def test_graphs_draw_for_themselves() -> None:
    random.reset(12)
    first, second, third = (random.uniform(2).tolist() for _ in range(3))
    dy.reset_random_seed(12)
    outer = dy.random_uniform(2, 0, 1)
    with ab.new_graph() as inner:
        inner.expression_type = type(outer)
        assert dy.random_uniform(2, 0, 1).value() == first
        dy.random_uniform(2, 0, 1)  # never asked for
    assert outer.value() == second
    dy.random_uniform(2, 0, 1)
    dy.renew_cg()
    assert dy.random_uniform(2, 0, 1).value() == third

    found = []

    def work() -> None:
        ab.new_graph()
        found.append(ab.values([dy.random_uniform(2, 0, 1)])[0].tolist())

    dy.reset_random_seed(12)
    dy.random_uniform(2, 0, 1)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [first]


def test_dropout_of_all_kinds_of_operands() -> None:
    table = dy.ParameterCollection().add_parameters((2, 3), init=1)
    for x in (table, 2.0, np.ones(3), dy.ones((2, 3), batch_size=2)):
        kept = dy.dropout(x, 0.0).npvalue()
        np.testing.assert_array_equal(kept, dy.expressions.as_expression(x).npvalue())
    assert dy.dropout_dim(dy.scalarInput(3), np.int64(0), 0.0).value() == 3.0
    assert dy.dropout_dim(table, np.int64(1), 1.0).npvalue().tolist() == [[0] * 3] * 2
    for d in (-1, 2):
        with pytest.raises(ShapeError, match="dropout_dim: expected a dimension from 0 to 1"):
            dy.dropout_dim(table, d, 0.5)
    stale = dy.ones(2)
    dy.renew_cg()
    with pytest.raises(ab.StaleExpressionError):
        dy.dropout(stale, 0.5)


@pytest.mark.parametrize(
    ("drop", "numbers"),
    [
        (lambda x: dy.dropout(x, 0.5), (3, 4, 5)),
        (lambda x: dy.dropout_dim(x, 0, 0.5), (1, 4, 5)),
        (lambda x: dy.dropout_dim(x, 1, 0.5), (3, 1, 5)),
        (lambda x: dy.dropout_batch(x, 0.5), (1, 1, 5)),
        (lambda x: dy.block_dropout(x, 0.5), (1, 1, 1)),
    ],
)
def test_what_a_number_of_a_mask_is_for(drop: Any, numbers: tuple[int, ...]) -> None:
    random.reset(16)
    mask = random.bernoulli(math.prod(numbers), 0.5).reshape(numbers, order="F") * 2.0
    dy.reset_random_seed(16)
    x = np.arange(1.0, 61.0).reshape(3, 4, 5)
    np.testing.assert_array_equal(drop(dy.inputTensor(x, batched=True)).npvalue(), x * mask)


def test_dimensions_of_random_tensors() -> None:
    assert dy.random_normal(np.int64(3)).dim() == ((3,), 1)
    assert dy.random_normal([2, np.int64(3)], batch_size=np.int64(4)).dim() == ((2, 3), 4)
    assert dy.random_normal(()).dim() == ((1,), 1)
    assert dy.random_normal((0, 3)).npvalue().shape == (0, 3)
    for dims in ((-1,), -1, (2,) * 17):
        with pytest.raises(ShapeError, match="16 dimensions of at least 0"):
            dy.random_normal(dims)
    for dims in ((2**20, 2**20), (2**40, 2**40)):
        with pytest.raises(ab.MemoryLimitError):
            dy.random_normal(dims)
    with pytest.raises(OperandError, match="random_normal: expected dimensions"):
        dy.random_normal("3")
    assert len({dy.random_normal(2, std, 0.0).value()[0] for std in range(300)}) == 300


def polar(raw: Any, n: int) -> list[float]:
    """The polar method, one pair at a time."""
    numbers: list[float] = []
    while len(numbers) < n:
        x, y = (2 * min(raw() / 2**32, 1 - 2**-24) - 1 for _ in range(2))
        r = x * x + y * y
        if 0 < r <= 1:
            scale = np.sqrt(-2 * np.log(r) / r)
            numbers += [y * scale, x * scale]
    return numbers[:n]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_stream_is_a_mersenne_twister(dtype: Any) -> None:
    """Numbers that are made together take what one after the other would."""
    random.reset(15)
    raw = np.random.RandomState(15)._bit_generator.random_raw
    for n in (1, 2, 127, 128, 129, 1, 1000, 3, 0, 311, 624, 5):
        found = np.empty(n, dtype)
        random.Draw.normal(0.0, 1.0).into(found)
        np.testing.assert_allclose(found, polar(raw, n), rtol=1e-4, atol=1e-6)
        random.Draw.uniform(0.0, 1.0).into(found)
        np.testing.assert_allclose(found, [raw() / 2**32 for _ in range(n)], rtol=1e-6)
        random.Draw.bernoulli(0.3).into(found)
        expected = [(raw() + raw() * 2**32) / 2**64 < 0.3 for _ in range(n)]
        assert found.tolist() == expected


# ------------------------------------------------------------------------------- flags, programs


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["p", "--dynet-seed", "3"], {"seed": "3"}),
        (["p", "--dynet_seed=3", "x"], {"seed": "3"}),
        (["p", "--dynet-weight-decay", "1e-3"], {"weight-decay": "1e-3"}),
        (["p", "--dynet_weight_decay=0", "--epochs", "2"], {"weight-decay": "0"}),
        (["p", "--dynet-mem", "512,512,512", "--dynet-autobatch", "1"],
         {"mem": "512,512,512", "autobatch": "1"}),
        (["p", "--dynet-unknown", "3"], {}),
    ],
)  # fmt: skip
def test_flags(argv: list[str], found: dict[str, str]) -> None:
    assert config._read(argv) == found


def test_flags_without_a_value_or_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["p", "--dynet-seed"])
    with pytest.raises(ValueError, match="expected a value"):
        dy.init()
    monkeypatch.setattr(sys, "argv", ["p", "--dynet-gpu"])
    with pytest.raises(RuntimeError, match="GPU"):
        dy.init()
    monkeypatch.setattr(sys, "argv", ["p", "--dynet-gpus", "0"])
    dy.init()


def _run(*arguments: str, cwd: Path) -> str:
    path = {"PYTHONPATH": str(Path(ab.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_programs_run_unchanged(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("NAME = 'helper'\n")
    (tmp_path / "program.py").write_text(
        "import sys, random\n"
        "import helper\n"
        "import dynet as dy\n"
        "from dynet import *\n"
        "import _dynet\n"
        "assert __name__ == '__main__' and helper.NAME == 'helper'\n"
        "assert _dynet.tanh is dy.tanh is tanh and random.random() < 1\n"
        "p = dy.ParameterCollection().add_parameters(2)\n"
        "print(sys.argv[1:], p.as_array().tolist())\n"
    )
    arguments = ("program.py", "x", "--dynet-seed", "1")
    printed = _run("-m", "autobatch.dynet", *arguments, cwd=tmp_path)
    random.reset(1)
    values = random.uniform(2, -np.sqrt(1.5), np.sqrt(1.5)).tolist()
    assert printed.startswith("['x', '--dynet-seed', '1'] [")
    found = eval(printed.partition("] ")[2])
    np.testing.assert_allclose(found, values, rtol=1e-6)
    before = _run("-m", "autobatch.dynet", "--dynet-seed", "1", "program.py", "x", cwd=tmp_path)
    assert before == printed
    (tmp_path / "program" / "__main__.py").parent.mkdir()
    (tmp_path / "program.py").rename(tmp_path / "program" / "__main__.py")
    assert _run("-m", "autobatch.dynet", "-m", "program", *arguments[1:], cwd=tmp_path) == printed


def test_dynet_config_replaces_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import dynet_config\n"
        "dynet_config.set(mem=128, random_seed=7)\n"
        "import dynet as dy\n"
        "dynet_config.set(random_seed=9)\n"
        "print(dy.random_uniform(3, 0, 1).value(), dynet_config.get()['seed'])\n"
    )
    printed = _run("-m", "autobatch.dynet", "program.py", "--dynet-seed", "1", cwd=tmp_path)
    random.reset(7)
    assert printed.strip() == f"{random.uniform(3).tolist()} 9"


def test_settings_under_our_own_name(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import autobatch.dynet as dy\n"
        "dy.dynet_config.set(random_seed=7)\n"
        "print(dy.random_uniform(3, 0, 1).value())\n"
    )
    random.reset(7)
    expected = f"{random.uniform(3).tolist()}\n"
    assert _run("program.py", "--dynet-seed", "3", cwd=tmp_path) == expected


def test_params_objects() -> None:
    params = dy.DynetParams()
    params.set_random_seed(4)
    params.set_mem(100)
    params.set_weight_decay(0.5)
    dy.init_from_params(params)
    try:
        assert dy.ParameterCollection().get_weight_decay() == 0.5
        random_value = dy.random_uniform(1, 0, 1).value()
        random.reset(4)
        assert random_value == random.uniform(1).item()
        params.set_requested_gpus(1)
        with pytest.raises(RuntimeError, match="GPU"):
            params.init()
    finally:
        dy.DynetParams().init()


def test_names_for_star_imports() -> None:
    names = set(dy.__all__)
    assert {"abs", "pow", "round", "np", "sys", "os", "pickle", "tanh", "Model"} <= names
    assert "random" not in names
    assert "config" not in names
    assert all(hasattr(dy, name) for name in names)


@pytest.mark.parametrize("dims", [(), (1,), (3,), (2, 3), (2, 1, 3)])
@pytest.mark.parametrize("batch", [1, 2])
def test_values_asked_for_directly_are_those_of_the_long_way(dims: tuple, batch: int) -> None:
    dy.renew_cg()
    if not dims:
        x = dy.scalarInput(0.5)
    else:
        numbers = np.random.default_rng(4).normal(size=(*dims, batch))
        x = dy.inputTensor(numbers, batched=True)
    y = dy.tanh(x)
    array = y.npvalue()
    np.testing.assert_array_equal(array, y.npvalue(recalculate=True), strict=True)
    assert array.dtype == np.float64
    assert y.vec_value() == y.vec_value(recalculate=True) == array.flatten("F").tolist()
    assert np.array_equal(y.value(), y.value(recalculate=True))
    if array.size == 1:
        assert y.scalar_value() == y.scalar_value(recalculate=True) == array.item()
    else:
        with pytest.raises(ShapeError, match="expected a scalar"):
            y.scalar_value()


def test_inputs_have_dimensions_of_at_least_nothing() -> None:
    dy.renew_cg()
    assert dy.vecInput(0).npvalue().shape == (0,)
    for make in (lambda: dy.vecInput(-1), lambda: dy.matInput(-2, -3)):
        with pytest.raises(ShapeError, match=r"at least 0, got \(-"):
            make()


# ---------------------------------------------------------------------- what was kept


def test_rows_that_were_read_before_their_table_had_a_gradient() -> None:
    m = dy.ParameterCollection()
    table, p = m.add_lookup_parameters((4, 3), init=1.0), m.add_parameters(3, init=1.0)
    trainer = dy.SimpleSGDTrainer(m)
    assert table[0].value() == [1.0, 1.0, 1.0]
    dy.squared_norm(p).backward()
    trainer.update()
    assert (p.as_array() < 1).all()


@pytest.mark.parametrize("make", [lambda a, b: a + b, lambda a, b: a[0:3], lambda a, b: a])
def test_weights_of_a_graph_that_is_run_again(make: Any) -> None:
    """Computed ones, and parts of parameters, are packed anew when they are computed anew."""
    m = dy.ParameterCollection()
    a, b = m.add_parameters((5, 5)), m.add_parameters((5, 5))
    trainer = dy.SimpleSGDTrainer(m, 0.1)
    x = dy.inputTensor(np.zeros((5, 8)), batched=True)
    weight = make(a, b)
    y = weight * x
    loss = dy.sum_batches(dy.sum_elems(dy.tanh(y)))
    for step in range(8):
        x.set(list(np.arange(40) * 0.01 + step * 0.1))
        np.testing.assert_allclose(
            y.npvalue(), weight.npvalue() @ x.npvalue(), rtol=1e-4, atol=1e-5
        )
        loss.backward()
        trainer.update()


def test_weights_packed_for_other_processors() -> None:
    m, rng = dy.ParameterCollection(), np.random.default_rng(3)
    w = m.parameters_from_numpy(rng.normal(size=(40, 40)))
    given = rng.normal(size=(40, 64))
    for weight in (lambda: w, lambda: w + w):
        dy.renew_cg()
        y = weight() * dy.inputTensor(given, batched=True)
        expected = weight().npvalue() @ given
        for instruction_set in ("baseline", None, "baseline"):
            with ab.configure(instruction_set=instruction_set):
                np.testing.assert_allclose(y.npvalue(True), expected, rtol=1e-3, atol=1e-3)


def test_a_table_used_whole_and_by_rows_in_a_graph_that_is_run_again() -> None:
    def gradients(again: bool) -> list[np.ndarray]:
        m = dy.ParameterCollection()
        table = m.lookup_parameters_from_numpy(np.arange(12.0).reshape(4, 3))
        trainer, found = dy.SimpleSGDTrainer(m, 0.0001), []
        for step in range(5):
            if not step or not again:
                dy.renew_cg()
                x = dy.scalarInput(0.0)
                loss = dy.sum_elems(table) * x + dy.sum_elems(table[1]) * x * x
            x.set(step + 1.0)
            loss.value()
            loss.backward()
            found.append(table.grad_as_array())
            trainer.update()
        return found

    np.testing.assert_allclose(gradients(True), gradients(False), rtol=1e-5)


def test_a_parameter_that_a_graph_within_recorded_too() -> None:
    m = dy.ParameterCollection()
    p = m.add_parameters(3, init=1.0)
    trainer = dy.SimpleSGDTrainer(m, 0.5)
    dy.squared_norm(p).backward()
    with ab.inference():
        assert ab.sum(p._stored * 1).item() == 3.0
    trainer.update()
    assert dy.sum_elems(p * 2).value() == 6.0


def test_rows_without_a_gradient_decay() -> None:
    m = dy.ParameterCollection()
    table = m.add_lookup_parameters((4, 2), init=1.0)
    m.set_weight_decay_lambda(0.1)
    trainer = dy.SimpleSGDTrainer(m, 0.5)
    read, used = table[2], table[1]
    assert read.value() == [1.0, 1.0]
    dy.sum_elems(used).backward()
    trainer.update()
    assert read.npvalue().tolist() == used.npvalue().tolist() == [1.0, 1.0]


def test_all_is_read_again_where_nothing_was_computed() -> None:
    p = dy.ParameterCollection().add_parameters(3, init=1.0)
    assert p.npvalue().tolist() == [1.0] * 3
    p.set_value(np.full(3, 2.0))
    assert p.npvalue(True).tolist() == [2.0] * 3
    w = dy.ParameterCollection().add_parameters((2, 2), init=1.0)
    x = dy.vecInput(2)
    w.npvalue()
    w.set_value(np.full((2, 2), 3.0))
    x.set(np.array([1.0, 2.0]))
    assert (w * x).value() == [9.0, 9.0]


def test_gradients_of_a_graph_that_is_gone() -> None:
    x = dy.inputVector([1, 2])
    dy.squared_norm(x).backward(True)
    dy.renew_cg()
    with pytest.raises(ab.StaleExpressionError):
        x.gradient()
    with pytest.raises(ab.StaleExpressionError):
        x.set([3, 4])


def test_an_update_after_a_run_that_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    m = dy.ParameterCollection()
    p, table = m.add_parameters(2, init=1.0), m.add_lookup_parameters((3, 2), init=1.0)
    trainer = dy.SimpleSGDTrainer(m)
    dy.squared_norm(p).backward()
    rows = dy.lookup_batch(table, [0, 1])
    y = dy.inverse(dy.inputTensor(np.eye(70))) + 1

    def interrupted(graph: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("autobatch.backends.cpu._forward_formula", interrupted)
        with pytest.raises(KeyboardInterrupt):
            y.npvalue()
    trainer.update()
    assert (p.as_array() < 1).all()
    assert y.npvalue()[0].tolist() == [2.0] + [1.0] * 69
    assert rows.npvalue().tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_minibatches_of_none() -> None:
    assert dy.random_normal(3, batch_size=0).npvalue().size == 0
    assert (dy.inputTensor(np.zeros((5, 0)), batched=True) + 1).npvalue().size == 0


def test_numbers_of_random_ops_may_be_arrays() -> None:
    assert dy.random_normal(3, np.array(1.0), np.array(0.0)).value() == [1.0] * 3
    assert dy.noise(dy.ones(2), np.array(0.0)).value() == [1.0, 1.0]
    with pytest.raises(ShapeError, match="dropout_dim: expected a dimension"):
        dy.dropout_dim(dy.ones(2), 10**30, 0.5)


class Restless:
    """An index that begins a graph when it is asked for."""

    def __index__(self) -> int:
        dy.renew_cg()
        dy.scalarInput(1.0)
        return 1


class RestlessNumber(np.int64):
    __index__ = Restless.__index__


@pytest.mark.parametrize(
    "use",
    [
        lambda x, p, table: x[Restless() : 3],
        lambda x, p, table: x[RestlessNumber(2)],
        lambda x, p, table: p[Restless() : 3],
        lambda x, p, table: p[RestlessNumber(1)],
        lambda x, p, table: dy.pick_range(x, RestlessNumber(1), 3),
        lambda x, p, table: dy.pickneglogsoftmax_batch(
            dy.reshape(x, (2,), 2), [RestlessNumber(1), 0]
        ),
        lambda x, p, table: table[Restless()],
        lambda x, p, table: table[RestlessNumber(1)],
    ],
)
def test_indices_that_begin_a_graph(use: Any) -> None:
    m = dy.ParameterCollection()
    p, table = m.add_parameters(4, init=1.0), m.add_lookup_parameters((3, 2), init=1.0)
    dy.renew_cg()
    try:
        found = use(dy.inputVector([1, 2, 3, 4]), p, table)
        found.value()
    except ab.AutobatchError:
        pass


def test_numbers_of_numpy_stand_for_their_value() -> None:
    x, number = dy.inputVector([1.0, 2.0]), np.float64(1.5)
    for made, expected in (
        (x * number, [1.5, 3.0]),
        (number * x, [1.5, 3.0]),
        (x + number, [2.5, 3.5]),
        (x / number, [1 / 1.5, 2 / 1.5]),
        (x - np.float32(0.5), [0.5, 1.5]),
        (x * np.int64(2), [2.0, 4.0]),
    ):
        np.testing.assert_allclose(made.value(), expected, rtol=1e-6)
    before = len(ab.current_graph())
    assert (x * number).value() == (x * 1.5).value()
    assert len(ab.current_graph()) == before, "they are the number's node"
