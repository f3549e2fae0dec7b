"""What the families share: arguments as DyNet takes them, and ops under DyNet's names."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import functions as F
from ..._core import Op
from ...errors import AutobatchError, OperandError, ShapeError
from ...recording import _DECLARATIONS, INDEXED_BY_INTS, ONLY_LISTS, _make, recorder
from ..expressions import _dims, _operand, _shape
from ..graph import Node


class EmptyListError(OperandError, AssertionError):
    """A list of expressions that is empty."""


def _listed(op: str, xs: Any) -> list[Any]:
    """A list of operands that is one, and not empty."""
    if type(xs) is not list:
        raise OperandError(f"{op}: expected a list of expressions, got {type(xs).__name__}")
    if not xs:
        raise EmptyListError(f"{op}: the list is empty")
    return xs


def _labels(op: str, vs: Any, x: Any) -> list[int]:
    labels = [int(v) for v in vs]
    if len(labels) != _batch(x):
        raise ShapeError(
            f"{op}: expected an index for each of {_batch(x)} elements of the minibatch, got "
            f"{len(labels)}"
        )
    return labels


def _whole(op: str, number: Any) -> int:
    """A size, an index or a dimension; of floats the whole part, as DyNet takes them."""
    if isinstance(number, (float, np.floating)) and np.isfinite(number):
        return int(number)
    try:
        return operator.index(number)
    except TypeError:
        raise OperandError(f"{op}: expected an int, got {number!r}") from None


def _axis(op: str, x: Any, d: Any) -> int:
    """Our axis of DyNet's dimension d, counted from the end."""
    d = _whole(op, d)
    count = len(_shape(x)) or 1
    if not 0 <= d < count:
        raise ShapeError(f"{op}: expected a dimension from 0 to {count - 1}, got {d}")
    return -1 - d


def _full_shape(x: Any) -> tuple[int, ...]:
    """The shape of an operand with at least one axis."""
    return _shape(x) or (1,)


def _spread(x: Any) -> Any:
    """An operand with at least one axis."""
    return _operand(x) if _shape(x) else F.reshape(_operand(x), (1,))


def _flat(op: str, x: Any) -> Any:
    """A vector; a column is one, too."""
    shape = _shape(x)
    if len(shape) == 1:
        return _operand(x)
    if math.prod(shape[:-1]) == 1:
        return F.reshape(_operand(x), shape[-1:] or (1,))
    raise ShapeError(f"{op}: expected a vector, got dimensions {_dims(x)}")


def _vectors(op: str, x: Any, y: Any) -> tuple[Any, Any]:
    """Two operands of one size, in one form."""
    left, right = _shape(x), _shape(y)
    x, y = _operand(x), _operand(y)
    if left == right:
        return x, y
    if math.prod(left) != math.prod(right):
        raise ShapeError(f"{op}: got dimensions {_dims(x)} and {_dims(y)}")
    return x, F.reshape(y, left)


def _alike(xs: list[Any]) -> list[Any]:
    """Operands with scalars in one form: () and (1,) are both DyNet's (1,)."""
    return [F.reshape(_operand(x), (1,)) if _shape(x) == () else _operand(x) for x in xs]


def _batch(x: Any) -> int:
    return x.batch_size if type(x) is Node else 1


def _of_dim(op: str, dim: Any) -> tuple[int, ...]:
    """Our shape of DyNet's dimensions, an int or a tuple."""
    if hasattr(dim, "__index__") or isinstance(dim, (float, np.floating)):
        return (_whole(op, dim),)
    if not isinstance(dim, (tuple, list)):
        raise OperandError(f"{op}: expected dimensions, an int or a tuple, got {dim!r}")
    return tuple(_whole(op, d) for d in reversed(dim))


# Ops under DyNet's names: the common calls do not leave C.


def _op_of_its_own(ours: str) -> Op:
    """Another callable of an op: `short_calls` changes the one that it is asked of."""
    number = recorder(ours).id
    return _make(number, _DECLARATIONS[number])


def _indexed(ours: str, attrs: tuple[int, ...], by: int = INDEXED_BY_INTS) -> Callable[[Any], Any]:
    """A decorator: calls with a vector and an int (by lists: with a minibatch of vectors and a
    list of ints) record the op in C, others run the function."""

    def decorate(function: Any) -> Any:
        return _op_of_its_own(ours).short_calls(function, None, by, attrs, True)

    return decorate


def _of_lists(ours: str) -> Callable[[Any], Any]:
    """A decorator: calls with a list that the op takes record it in C, others run the function.
    To trace such a function would take a trace for every length."""

    def decorate(function: Any) -> Any:
        return _op_of_its_own(ours).short_calls(function, AutobatchError, ONLY_LISTS, ())

    return decorate


def _renamed(name: str, ours: str, doc: str) -> Any:
    """An op without attributes under DyNet's name for it."""
    record = recorder(ours)

    def function(*args: Any, **named: Any) -> Any:
        return record(*args, *named.values())

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return _op_of_its_own(ours).short_calls(function, None, 0, ())
