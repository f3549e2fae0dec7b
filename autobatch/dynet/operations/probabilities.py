"""Scores made probabilities, by softmax and its kin, or a choice, by argmax."""

from __future__ import annotations

import functools
from typing import Any

from ... import functions as F
from ... import losses, statistics
from ...errors import ShapeError
from ...recording import recorder, traced
from ..expressions import _dims, _shape
from ..graph import Node
from ._shared import _axis, _flat, _spread
from .gradients import _stepped

__all__ = [
    "argmax",
    "constrained_softmax",
    "log_softmax",
    "softmax",
    "sparsemax",
]

_softmax = recorder("softmax").record
_log_softmax = recorder("log_softmax").record


def _two_at_most(op: str, x: Any) -> None:
    if len(_shape(x)) > 2:
        raise ShapeError(f"{op}: expected at most 2 dimensions, got {_dims(x)}")


@traced
def softmax(x: Any, d: int = 0) -> Any:
    """``exp(x) / sum(exp(x))`` along a dimension.

    >>> import autobatch.dynet as dy
    >>> dy.softmax(dy.inputVector([1, 1])).value()
    [0.5, 0.5]
    """
    if type(x) is Node and len(x.shape) == 1 and d == 0:
        return _softmax((x,), (0,), ())
    _two_at_most("softmax", x)
    axis = _axis("softmax", x, d)
    return F.softmax(_spread(x), axis)


@traced
def log_softmax(x: Any, restrict: list[int] | None = None) -> Any:
    """The logarithm of `softmax`, by column.

    Args:
        x: a vector or a matrix.
        restrict: the elements of a vector to take into account; the others are -inf.

    >>> import autobatch.dynet as dy
    >>> dy.log_softmax(dy.inputVector([1, 1, 1]), [0]).value()
    [0.0, -inf, -inf]
    """
    if type(x) is Node and restrict is None and len(x.shape) == 1:
        return _log_softmax((x,), (0,), ())
    _two_at_most("log_softmax", x)
    if restrict is None:
        return F.log_softmax(_spread(x), -1)
    if len(_shape(x)) > 1:
        raise ShapeError(f"log_softmax: restrict expects a vector, got dimensions {_dims(x)}")
    return F.log_softmax(_spread(x), restrict=restrict)


@traced
def sparsemax(x: Any) -> Any:
    """The Euclidean projection onto the probability simplex (Martins and Astudillo 2016).

    >>> import autobatch.dynet as dy
    >>> dy.sparsemax(dy.inputVector([1, 2, 3])).value()
    [0.0, 0.0, 1.0]
    """
    return losses.sparsemax(_flat("sparsemax", x))


@traced
def constrained_softmax(x: Any, y: Any) -> Any:
    """`softmax` with an upper bound for every probability (Martins and Kreutzer 2017).

    Args:
        x: a vector of scores.
        y: a vector of bounds.

    >>> import autobatch.dynet as dy
    >>> x, y = dy.inputVector([1, 1]), dy.inputVector([0.25, 1])
    >>> dy.constrained_softmax(x, y).value()
    [0.25, 0.75]
    """
    return losses.constrained_softmax(
        _flat("constrained_softmax", x), _flat("constrained_softmax", y)
    )


def argmax(x: Any, gradient_mode: str) -> Any:
    """A vector of zeros with a 1 where x is largest; arguments as in `round`.

    >>> import autobatch.dynet as dy
    >>> dy.argmax(dy.inputVector([1, 3, 2]), "zero_gradient").value()
    [0.0, 1.0, 0.0]
    """
    if len(_shape(x)) > 1:
        raise ShapeError(f"argmax: expected a vector, got dimensions {_dims(x)}")
    return _stepped(
        "argmax", functools.partial(statistics.hardmax, axis=-1), _spread(x), gradient_mode
    )
