"""Taking entries, and moving between minibatches and axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import functions, plain
from ._core import Expression
from .errors import OperandError, ShapeError
from .functions import _axis, _batch, _dims, _index, _labels, _operands, _shape
from .recording import recorder

if TYPE_CHECKING:
    from .functions import Like, Unary

__all__ = [
    "axis_to_batch",
    "batch_to_axis",
    "concat_batch",
    "pick_batch_elements",
    "sparse_input",
    "take",
]

axis_to_batch: Unary = recorder("axis_to_batch")
_batch_stack = recorder("batch_stack")
_take = recorder("take")


def take(x: Like, ids: Sequence[int], axis: int = 0) -> Expression:
    """Entries of an axis, in any order, any number of times: ``numpy.take``.

    The ids are data: selections of one length batch together.

    Args:
        x: at least one axis.
        ids: a sequence of ints; negative ones count from the end.
        axis: negative ones count from the end. Default: 0.

    Returns:
        The shape of x with ``len(ids)`` entries along the axis.

    Raises:
        IndexRangeError: an id outside its range.
        OperandError: an empty sequence, or not a sequence of ints.
        ShapeError: no such axis.

    Example:
        >>> import autobatch as ab
        >>> ab.take(ab.input([[1, 2, 3], [4, 5, 6]]), [2, 0], axis=1).value()
        array([[3., 1.],
               [6., 4.]], dtype=float32)
    """
    shape = _shape("take", x)
    axis = _axis("take", axis, len(shape), shape)
    places = functions._indices("take", ids, shape[axis])
    if axis == 0:
        return functions._select_rows.record((x,), (len(places),), places * _batch(x))
    return _take.record((x,), (axis, len(places)), places * _batch(x))


def batch_to_axis(x: Like) -> Expression:
    """The elements of a minibatch as entries of a new leading axis.

    Args:
        x: any shape, a minibatch of n (1 where there is none).

    Returns:
        (n, ...) without a minibatch.

    Example:
        >>> import autobatch as ab
        >>> ab.batch_to_axis(ab.input([[1, 2], [3, 4]], batched=True)).shape
        (2, 2)
    """
    return _batch_stack.record((x,), (), ())


def concat_batch(xs: Iterable[Like]) -> Expression:
    """Joins expressions of one shape to a minibatch; minibatches are joined end to end.

    Args:
        xs: a list of operands of one shape, with minibatches of any size.

    Returns:
        That shape, with a minibatch of all elements.

    Raises:
        OperandError: an empty list, or no list.
        ShapeError: shapes that differ.

    Example:
        >>> import autobatch as ab
        >>> x = ab.concat_batch([ab.zeros(2), ab.ones(2)])
        >>> x.shape, x.batch_size
        ((2,), 2)
        >>> ab.sum_batch(x).value()
        array([1., 1.], dtype=float32)
    """
    return axis_to_batch(_batch_stack.record(tuple(_operands("concat_batch", xs)), (), ()))


def pick_batch_elements(x: Like, ids: Sequence[int]) -> Expression:
    """Some elements of a manual minibatch, in any order, as a minibatch.

    Args:
        x: any shape, any minibatch.
        ids: a sequence of ints; negative ones count from the end.

    Returns:
        The shape of x, with a minibatch of ``len(ids)``.

    Raises:
        IndexRangeError: an id outside the minibatch.
        OperandError: an empty sequence, or not a sequence of ints.

    Example:
        >>> import autobatch as ab
        >>> x = ab.input([[1, 2], [3, 4], [5, 6]], batched=True)
        >>> ab.pick_batch_elements(x, [2, 0]).value()
        array([[5., 6.],
               [1., 2.]], dtype=float32)
    """
    places = _labels("pick_batch_elements", ids)
    return axis_to_batch(functions.stack([functions.pick_batch_element(x, i) for i in places]))


def sparse_input(
    indices: Sequence[Sequence[int]],
    values: Sequence[float],
    shape: int | Sequence[int],
    default: float = 0.0,
    batched: bool = False,
) -> Expression:
    """Records an array that holds one number everywhere but at some places.

    Args:
        indices: for every axis a sequence of ints, all of one length.
        values: the numbers at those places, of that length; of equal places the last counts.
        shape: of the array.
        default: the number elsewhere. Default: 0.
        batched: the first axis is a manual minibatch, as in `input`. Default: False.

    Raises:
        OperandError: another number of axes, or lengths that differ.
        IndexRangeError: a place outside the array.

    Example:
        >>> import autobatch as ab
        >>> ab.sparse_input([[0, 1], [2, 0]], [5.0, 7.0], (2, 3)).value()
        array([[0., 0., 5.],
               [7., 0., 0.]], dtype=float32)
    """
    dims = _dims("sparse_input", shape)
    plain.refuse_operands("sparse_input", indices, "indices must be sequences of ints")
    if not (isinstance(indices, Sequence) or getattr(indices, "ndim", 0)):
        raise OperandError(
            f"sparse_input: indices must be sequences of ints, got {type(indices).__name__}"
        )
    places = [plain.wholes("sparse_input", "indices", axis) for axis in indices]
    numbers = plain.array("sparse_input", values)
    fill = plain.number("sparse_input", "default", default)
    batched = plain.flag("sparse_input", "batched", batched)
    if len(places) != len(dims) or any((len(axis),) != numbers.shape for axis in places):
        raise OperandError(
            f"sparse_input: expected {len(dims)} sequences of {numbers.size} indices for shape "
            f"{dims}, got {[len(axis) for axis in places]}"
        )
    if any(dim < 0 for dim in dims):
        raise ShapeError(f"sparse_input: expected sizes of at least 0, got shape {dims}")
    array: Any = np.full(dims, fill)
    inside = [[_index("sparse_input", i, dim) for i in axis] for axis, dim in zip(places, dims)]
    array[tuple(inside)] = numbers
    return functions.input(array, batched)
