"""Entries taken out, along dimensions or of a minibatch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import functions as F
from ... import selection
from ...engine import direct
from ...errors import IndexRangeError, ShapeError
from ...recording import INDEXED_BY_LISTS, entries, entry, recorder, traced
from ..expressions import _dims, _getitem, _operand, _shape
from ..graph import _CG
from ._shared import _axis, _batch, _full_shape, _indexed, _labels, _spread, _whole

__all__ = [
    "pick",
    "pick_batch",
    "pick_batch_elem",
    "pick_batch_elems",
    "pick_range",
    "pickrange",
    "select_cols",
    "select_rows",
    "strided_select",
]

_pick_again = recorder("pick_again").record


def _index(op: str, index: Any, length: int) -> int:
    index = int(index)
    if not 0 <= index < length:
        raise IndexRangeError(f"{op}: expected an index from 0 to {length - 1}, got {index}")
    return index


def _leading(op: str, e: Any, dim: int) -> tuple[Any]:
    """An operand whose leading axis is DyNet's dimension `dim`."""
    axis, count, x = _axis(op, e, dim), len(_full_shape(e)), _spread(e)
    if axis % count:
        x = F.transpose(x, [axis % count, *(i for i in range(count) if i != axis % count)])
    return (x,)


@direct
def pick(e: Any, index: int | None = None, dim: int = 0) -> Any:
    """The entry at an index of a dimension, which is dropped.

    Args:
        e: an expression.
        index: default 0, which `Expression.set_index` may change; negative ones are out of
            range. Others it may change in a program's first graphs, and where it has done so;
            elsewhere equal picks are one node.
        dim: default 0.

    >>> import autobatch.dynet as dy
    >>> dy.pick(dy.inputTensor([[1, 2], [3, 4]]), 1).value()
    [3.0, 4.0]
    """
    if type(dim) is not int:
        dim = _whole("pick", dim)
    if not _CG.movable:
        if type(index) is int and index >= 0 and dim >= 0:
            made = entry(e, index, -1 - dim)
            if made is not None:
                return made
    elif hasattr(index, "__index__"):
        place = _index("pick", index, _full_shape(e)[_axis("pick", e, dim)])
        return _pick_again(_leading("pick", e, dim), (0,), (place,) * _batch(e))
    shape = _full_shape(e)
    if not isinstance(index, int):
        if index is None:
            return _pick_again(_leading("pick", e, dim), (0,), (0,) * _batch(e))
        if hasattr(index, "__len__"):
            return pick_batch(e, index, dim)
        index = int(index)
    axis = _axis("pick", e, dim)
    return F.pick(_spread(e), _index("pick", index, shape[axis]), axis)


@_indexed("pick_again", (0,), INDEXED_BY_LISTS)
def pick_batch(e: Any, indices: Sequence[int], dim: int = 0) -> Any:
    """`pick` with an index for every element of the minibatch.

    `Expression.set_index` may change the indices. Of what is no minibatch, a minibatch of as many
    entries as there are indices is picked.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> e = dy.inputTensor(np.array([[1, 2], [3, 4]]), batched=True)
    >>> dy.pick_batch(e, [0, 1]).value()
    [1.0, 4.0]
    """
    axis = _axis("pick_batch", e, dim)
    length = _full_shape(e)[axis]
    if _batch(e) == 1 and len(indices) > 1:  # one element, picked of again and again
        e = selection.pick_batch_elements(_spread(e), [0] * len(indices))
    places = [_index("pick_batch", i, length) for i in _labels("pick_batch", indices, e)]
    return _pick_again(_leading("pick_batch", e, dim), (0,), tuple(places))


def pick_range(x: Any, s: int, e: int, d: int = 0) -> Any:
    """The entries s, ..., e - 1 along a dimension.

    >>> import autobatch.dynet as dy
    >>> dy.pick_range(dy.inputVector([1, 2, 3]), 1, 3).value()
    [2.0, 3.0]
    """
    if d >= 0:
        made = entries(x, s, e, -1 - d)
        if made is not None:
            return made
    axis = _axis("pick_range", x, d)
    shape = _full_shape(x)
    length = shape[axis]
    if not 0 <= s < e <= length:
        raise ShapeError(f"pick_range: expected 0 <= from < to <= {length}, got {s} and {e}")
    return F._part(_spread(x), int(s), int(e), len(shape) + axis)


def pickrange(x: Any, s: int, e: int) -> Any:
    """The old name of `pick_range`."""
    return pick_range(x, s, e)


@traced
def pick_batch_elem(x: Any, v: int) -> Any:
    """One element of the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> e = dy.inputTensor(np.array([[1, 2], [3, 4]]), batched=True)
    >>> dy.pick_batch_elem(e, 1).value()
    [2.0, 4.0]
    """
    return F.pick_batch_element(_operand(x), _index("pick_batch_elem", v, _batch(x)))


@traced
def pick_batch_elems(x: Any, vs: Sequence[int]) -> Any:
    """Several elements of the minibatch, in any order.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> e = dy.inputTensor(np.array([[1, 2], [3, 4]]), batched=True)
    >>> dy.pick_batch_elems(e, [1, 0]).npvalue()
    array([[2., 1.],
           [4., 3.]])
    """
    places = [_index("pick_batch_elems", v, _batch(x)) for v in vs]
    return selection.pick_batch_elements(_operand(x), places)


@traced
def select_rows(x: Any, rs: Sequence[int]) -> Any:
    """Rows in any order: entries of dimension 0.

    >>> import autobatch.dynet as dy
    >>> dy.select_rows(dy.inputTensor([[1, 2], [3, 4]]), [1]).npvalue()
    array([[3., 4.]])
    """
    length = _full_shape(x)[-1]
    places = [_index("select_rows", r, length) for r in rs]
    if len(_full_shape(x)) == 1:
        return F.select_rows(_spread(x), places)
    return selection.take(_spread(x), places, axis=-1)


@traced
def select_cols(x: Any, cs: Sequence[int]) -> Any:
    """Columns of a matrix in any order.

    >>> import autobatch.dynet as dy
    >>> dy.select_cols(dy.inputTensor([[1, 2], [3, 4]]), [1]).npvalue()
    array([[2.],
           [4.]])
    """
    shape = _shape(x)
    if len(shape) != 2:
        raise ShapeError(f"select_cols: expected a matrix, got dimensions {_dims(x)}")
    return F.select_rows(_operand(x), [_index("select_cols", c, shape[0]) for c in cs])


@traced
def strided_select(
    x: Any, strides: Sequence[int], range_from: Sequence[int], range_to: Sequence[int]
) -> Any:
    """Every n-th entry of ranges of the dimensions.

    Args:
        x: an expression.
        strides: for each dimension, at least 1; left out: 1. One for the minibatch may follow.
        range_from: first indices; left out: 0.
        range_to: one after the last indices; left out: the sizes.

    >>> import autobatch.dynet as dy
    >>> dy.strided_select(dy.inputTensor([[1, 2, 3], [4, 5, 6]]), [1, 2], [], []).npvalue()
    array([[1., 3.],
           [4., 6.]])
    """
    count = max(len(strides), len(range_from), len(range_to))

    def entry(given: Sequence[int], i: int) -> int | None:
        return int(given[i]) if i < len(given) else None

    slices = [
        slice(entry(range_from, i), entry(range_to, i), entry(strides, i)) for i in range(count)
    ]
    return _getitem(x, tuple(slices)) if count else x
