"""Indexing in C and its twin in Python record the same nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import autobatch as ab
from autobatch import _core, functions, recording

KEYS: dict[tuple[int, ...], list[Any]] = {
    (6,): [
        *(0, -1, np.int64(2), np.int32(-2), (3,), slice(None), slice(1, 4), slice(-3, None)),
        *(slice(None, None, 2), slice(None, None, -1), slice(4, 0, -2), slice(5, 2), slice(2, 3)),
        *(slice(3, 4, 7), slice(2, 3, -5), None, ..., (None, slice(1, 3)), (..., 1), ()),
        *(slice(np.int64(1), np.int64(3)), slice(0, 2**80), slice(0, 1, 2**40)),
    ],
    (3, 4): [
        *(0, -3, (1, 2), (slice(None), 1), (slice(None), -1), (..., 3), (1, ...), slice(1, 3)),
        *((slice(1, 3), slice(0, 2)), (slice(None), slice(None)), (slice(None), slice(1, 2))),
        *((slice(None, None, -1), slice(None, None, -1)), (slice(None, None, 2), None, 1)),
        *((None, 2, None, slice(3, 0, -1), None), (slice(2, 1), 1), (slice(0, 1), slice(1, 3))),
        *((slice(None), slice(3, 3)), (np.int8(2), np.uint16(3)), (slice(1, 2), slice(None, 2))),
    ],
    (2, 3, 4): [
        *((slice(None), 1), (..., 2), (1, slice(None), 2), (slice(None), slice(1, 3)), (0, 1, 2)),
        *((slice(None), slice(None), slice(1, 3)), (..., None), (None, ..., slice(None, None, 3))),
        *((slice(None, None, -1), ..., slice(None, None, -2)), (1, slice(0, 2), slice(None))),
    ],
    (4, 0): [1, (slice(None), slice(None)), slice(1, 3), (slice(3, 0, -2), slice(None))],
    (1, 1): [(0, 0), (slice(None, None, -1), 0), (None, 0)],
}
CASES = [(shape, key) for shape, keys in KEYS.items() for key in keys]
WRONG = [
    *((2, 0, 0), (0, 4), (-4,), 3, (..., ...), True, (0, np.True_), 1.0, "a", [0, 1]),
    *(
        np.array([0]),
        np.array(1.5),
        slice(0, 2, 0),
        slice(0.5, 1),
        (slice(None), "a"),
        2**70,
        (slice(0, 1, 2**62), slice(None, None, 2)),
    ),
]


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape) + 1


@pytest.fixture
def no_python() -> Iterator[None]:
    """Indexing that C does not do is an error."""

    def asked(x: Any, key: Any) -> Any:
        raise AssertionError(f"C left {key} of {x.shape} to Python")

    recording.set_getitem(asked)
    yield
    recording.set_getitem(functions._getitem)


@pytest.mark.parametrize("kind", ["expression", "batched", "parameter", "view"])
@pytest.mark.parametrize(("shape", "key"), CASES, ids=str)
def test_c_and_python_record_the_same(
    shape: tuple[int, ...], key: Any, kind: str, request: pytest.FixtureRequest
) -> None:
    array, batch = numbers(shape), 1
    x: Any = ab.input(array)
    if kind == "batched":
        array = np.stack([array, 2 * array, 3 * array])
        x, batch = ab.input(array, batched=True), 3
    elif kind == "parameter" and array.size:  # which is never empty
        x = ab.Parameter(init=array)
    elif kind == "view":
        x = ab.input(np.stack([0 * array, array]))[1]
    if key != slice(0, 1, 2**40):  # steps as long are not C's
        request.getfixturevalue("no_python")
    found = x[key]
    known = len(ab.current_graph())
    twin = functions._getitem(x, key)
    assert found.node == twin.node
    assert len(ab.current_graph()) == known
    assert found.batch_size == batch
    if kind == "batched":
        key = (slice(None), *(key if isinstance(key, tuple) else (key,)))
    np.testing.assert_array_equal(found.value(), array[key])


@pytest.mark.parametrize("key", WRONG, ids=repr)
def test_errors_are_the_same(key: Any) -> None:
    x = ab.input(numbers((3, 4)))
    with pytest.raises(ab.AutobatchError) as twin:
        functions._getitem(x, key)
    with pytest.raises(type(twin.value)) as found:
        x[key]
    assert str(found.value) == str(twin.value)


def test_large_minibatches_and_scalars_are_left_to_python() -> None:
    x = ab.input(numbers((300, 2, 3)), batched=True)
    np.testing.assert_array_equal(x[:, 1].value(), numbers((300, 2, 3))[:, :, 1])
    assert ab.input(2.0)[...].item() == 2.0
    with pytest.raises(IndexError):
        ab.input(2.0)[0]


def test_a_view_of_a_graph_that_is_gone() -> None:
    x = ab.input(numbers((3, 4)))
    ab.new_graph()
    with pytest.raises(ab.StaleExpressionError):
        x[:, 1]


def test_gradients_of_copies() -> None:
    w = ab.Parameter(init=numbers((3, 4)))
    factors = numbers((3,))
    ab.dot(w[::-1, 2], ab.input(factors)).backward()
    expected = np.zeros((3, 4), np.float32)
    expected[:, 2] = factors[::-1]
    np.testing.assert_array_equal(w.gradient(), expected)


@pytest.mark.usefixtures("no_python")
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_entries_and_parts_of_an_axis(axis: int) -> None:
    array = numbers((2, 3, 4))
    x = ab.input(array)
    for index in (0, 1, -1):
        key = (slice(None),) * (axis % 3) + (index,)
        found = ab.pick(x, index, axis)
        assert found.node == functions._getitem(x, key if axis % 3 else index).node
        np.testing.assert_array_equal(found.value(), array[key])
    for i, part in enumerate(ab.split(x, array.shape[axis], axis)):
        np.testing.assert_array_equal(part.value(), np.take(array, [i], axis))
    with pytest.raises(IndexError, match="pick: expected an index from"):
        ab.pick(x, array.shape[axis], axis)


@pytest.mark.skipif(not hasattr(_core, "entry"), reason="the limited API has no short path")
def test_short_paths_answer_none() -> None:
    x = ab.input(numbers((3, 4)))
    for arguments in ((x, 3, 0), (x, 0, 2), (x, 0.5, 0), (x, True, 0), (x, 0, None), (2.0, 0, 0)):
        assert _core.entry(*arguments) is None
    for arguments in ((x, 1, 1, 0), (x, -1, 1, 0), (x, 0, 4, 0), (x, 0, 1, 2), (x, 0.0, 1, 0)):
        assert _core.range(*arguments) is None


@pytest.mark.parametrize("labels", [[0, 2, 1], [np.int64(0), 2, 1], (0, 2, 1), np.array([0, 2, 1])])
def test_lists_of_labels(labels: Any) -> None:
    array = numbers((3, 4))
    x = ab.input(array, batched=True)
    found = ab.cross_entropy(x, labels)
    assert found.batch_size == 3
    expected = np.log(np.exp(array).sum(1)) - array[np.arange(3), [0, 2, 1]]
    np.testing.assert_allclose(found.value(), expected, rtol=1e-5)
    assert found.node == ab.cross_entropy(x, (0, 2, 1)).node


def test_wrong_lists_of_labels() -> None:
    x = ab.input(numbers((3, 4)), batched=True)
    for labels in ([0, 1, 4], [0, 1, -1], [0, 1], [], [0, 1, 2.0]):
        with pytest.raises(ab.AutobatchError):
            ab.cross_entropy(x, labels)
    rows = ab.cross_entropy(ab.input(numbers((3, 4))), [0, 1, 2])
    assert rows.shape == (3,)
    assert ab.cross_entropy(ab.input(numbers((4,))), [0, 1, 2]).batch_size == 3
