"""Indexing of columns: C and its twin in Python record the same nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autobatch.dynet as dy
from autobatch import _core
from autobatch.dynet.expressions import _getitem, product
from autobatch.errors import AutobatchError

KEYS: dict[tuple[int, ...], list[Any]] = {
    (6,): [
        0,
        -1,
        np.int64(3),
        slice(None),
        slice(0, 6),
        slice(1, 4),
        slice(None, None, 2),
        (slice(2),),
    ],
    (3, 4): [
        *(0, 2, -3, np.int32(1), slice(0, 3), slice(1, 3), slice(None, None, 2)),
        *((slice(None), slice(1, 3)), (slice(1, 3), slice(0, 4, 3)), (slice(1, 2), slice(2, 3))),
    ],
    (2, 3, 4): [1, slice(1), (slice(None), slice(1, 3)), (slice(2), slice(3), slice(1, 4, 2))],
}
CASES = [(shape, key) for shape, keys in KEYS.items() for key in keys]
WRONG = [
    *(3, -4, 2**70, slice(0, 4), slice(-1, 2), slice(2, 2), slice(0, 2, -1), slice(0, 2, 0)),
    *((slice(None),) * 4, (0, 1), None, ..., 1.0, "a", slice(0.5, 2), slice(0, 2**80)),
]


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape) + 1


@pytest.fixture
def no_python() -> Iterator[None]:
    """What C does not do is an error."""

    def asked(*arguments: Any) -> Any:
        raise AssertionError(f"C left {arguments} to Python")

    _core.set_columns(asked, asked)
    yield
    _core.set_columns(product, _getitem)


@pytest.mark.usefixtures("no_python")
@pytest.mark.parametrize("kind", ["expression", "batched", "parameter"])
@pytest.mark.parametrize(("shape", "key"), CASES, ids=str)
def test_c_and_python_record_the_same(shape: tuple[int, ...], key: Any, kind: str) -> None:
    dy.renew_cg()
    array = numbers(shape)
    x: Any = dy.tanh(dy.inputTensor(array / 100))
    if kind == "batched":
        array = np.stack([array, 2 * array], axis=-1)
        x = dy.tanh(dy.inputTensor(array / 100, batched=True))
    elif kind == "parameter":
        x = dy.ParameterCollection().add_parameters(shape, init=np.tanh(array / 100))
    found = x[key]
    twin = _getitem(x, key)
    assert found.node == twin.node
    assert (found is x) is (twin is x)
    assert found.dim() == twin.dim()
    expected = np.tanh(array / 100)[key]
    np.testing.assert_allclose(found.npvalue().reshape(expected.shape), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["expression", "parameter"])
@pytest.mark.parametrize("key", WRONG, ids=repr)
def test_errors_are_the_same(key: Any, kind: str) -> None:
    dy.renew_cg()
    x: Any = dy.inputTensor(numbers((3, 4)))
    if kind == "parameter":
        x = dy.ParameterCollection().add_parameters((3, 4))
    with pytest.raises(AutobatchError) as twin:
        _getitem(x, key)
    with pytest.raises(type(twin.value)) as found:
        x[key]
    assert str(found.value) == str(twin.value)


def test_ranges_of_the_minibatch() -> None:
    dy.renew_cg()
    array = numbers((3, 4, 5))
    x = dy.inputTensor(array, batched=True)
    np.testing.assert_array_equal(x[:2, 1:3, ::2].npvalue(), array[:2, 1:3, ::2])


def test_parameters_are_iterable() -> None:
    dy.renew_cg()
    p = dy.ParameterCollection().add_parameters((3, 4), init=numbers((3, 4)))
    rows = [row.value() for row in p]
    np.testing.assert_array_equal(rows, numbers((3, 4)))
    with pytest.raises(IndexError):
        p[3]


@pytest.mark.usefixtures("no_python")
@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("parameter", [True, False])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_picks(again: bool, parameter: bool, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dy.renew_cg()
    monkeypatch.setattr(dy.cg(), "movable", again)
    array = numbers((2, 3, 4))
    x: Any = dy.inputTensor(array)
    if parameter:
        x = dy.ParameterCollection().add_parameters((2, 3, 4), init=array)
    for index in (1, np.int64(1)):
        found = dy.pick(x, index, dim)
        np.testing.assert_array_equal(found.npvalue(), np.take(array, 1, dim))
    for s, v in ((0, 1), (0, array.shape[dim]), (np.int64(1), np.int64(2)), (1.0, 2.0)):
        found = dy.pick_range(x, s, v, dim)
        np.testing.assert_array_equal(found.npvalue(), np.take(array, range(int(s), int(v)), dim))
    with pytest.raises(IndexError, match="pick: expected an index from 0 to"):
        dy.pick(x, -1, dim)
    with pytest.raises(IndexError, match="pick: expected an index from 0 to"):
        dy.pick(x, array.shape[dim], dim)
    for s, v in ((0, 0), (-1, 1), (0, 5)):
        with pytest.raises(ValueError, match="pick_range: expected 0 <= from < to"):
            dy.pick_range(x, s, v, dim)
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match="dimension"):
            dy.pick(x, 0, wrong)
        with pytest.raises(ValueError, match="dimension"):
            dy.pick_range(x, 0, 1, wrong)


def test_picks_of_scalars() -> None:
    dy.renew_cg()
    x = dy.scalarInput(3)
    assert dy.pick(x, 0).value() == 3.0
    assert dy.pick_range(x, 0, 1).dim() == ((1,), 1)


@pytest.mark.parametrize("given", [[1, 0, 2], (1, 0, 2), np.array([1, 0, 2])])
def test_indices_of_a_minibatch(given: Any) -> None:
    dy.renew_cg()
    array = numbers((4, 3))
    x = dy.inputTensor(array, batched=True)
    picked = dy.pick_batch(x, given)
    assert picked.value() == array[[1, 0, 2], range(3)].tolist()
    picked.set_index([0, 0, 0])
    assert picked.value() == array[0].tolist()
    losses = dy.pickneglogsoftmax_batch(x, given)
    assert losses.node == dy.pickneglogsoftmax_batch(x, (1, 0, 2)).node
    assert dy.pick_batch(e=x, indices=[1, 0, 2]).value() == array[[1, 0, 2], range(3)].tolist()
    for function in (dy.pick_batch, dy.pickneglogsoftmax_batch):
        with pytest.raises(IndexError):
            function(x, [0, 0, 4])
        with pytest.raises(IndexError):
            function(x, [0, 0, -1])
        with pytest.raises(ValueError, match="for each of 3 elements"):
            function(x, [0, 0])
        with pytest.raises(TypeError):
            function(x, 1)


@pytest.mark.usefixtures("no_python")
def test_a_vector_times_a_number() -> None:
    dy.renew_cg()
    x = dy.inputVector([1, 2, 3])
    p = dy.ParameterCollection().add_parameters(3, init=1)
    for two in (dy.scalarInput(2), dy.inputVector([2])):
        for vector in (x, p, two):
            assert (vector * two).node == product(vector, two).node
            assert (vector * two).dim() == product(vector, two).dim()
        assert (x * two).value() == [2.0, 4.0, 6.0]
