"""Distances and losses beside `cross_entropy`, and distributions with zeros or bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import plain
from ._core import Expression
from .errors import OperandError
from .functions import _axis, _shape
from .recording import recorder

if TYPE_CHECKING:
    from .functions import Binary, Like

__all__ = [
    "absolute_error",
    "constrained_softmax",
    "huber",
    "margin_ranking",
    "poisson_nll",
    "sparsemax",
]

absolute_error: Binary = recorder("absolute_error")
poisson_nll: Binary = recorder("poisson_nll")
_huber = recorder("huber")
_margin_ranking = recorder("margin_ranking")
_sparsemax = recorder("sparsemax")
_constrained_softmax = recorder("constrained_softmax")


def huber(x: Like, target: Like, delta: float = 1.0) -> Expression:
    """Sum over all elements of a loss that is square near 0 and linear beyond, a scalar.

    With d = abs(x - target): ``d**2 / 2`` where d is at most `delta`, else
    ``delta * (d - delta / 2)``. Source: Huber 1964, "Robust estimation of a location parameter".

    Args:
        x, target: any shape, the same. Both get a gradient.
        delta: above 0. Default: 1.

    Raises:
        ShapeError: the shapes differ.
        OperandError: a delta of 0 or below.

    Example:
        >>> import numpy as np
        >>> import autobatch as ab
        >>> ab.huber(np.array([1.0, 2.0]), np.array([0.0, 4.0])).item()
        2.0
    """
    return _huber.record((x, target), (plain.number("huber", "delta", delta),), ())


def margin_ranking(x: Like, y: Like, margin: float = 1.0) -> Expression:
    """``max(0, margin - x + y)``, elementwise: x should exceed y by the margin.

    Args:
        x, y: any shape, the same.
        margin: at least 0. Default: 1.

    Raises:
        ShapeError: the shapes differ.
        OperandError: a negative margin.

    Example:
        >>> import autobatch as ab
        >>> ab.margin_ranking(ab.input([2.0, 1.0]), ab.input([0.5, 0.5])).value()
        array([0. , 0.5], dtype=float32)
    """
    margin = plain.number("margin_ranking", "margin", margin)
    if not margin >= 0:
        raise OperandError(f"margin_ranking: expected a margin of at least 0, got {margin}")
    return _margin_ranking.record((x, y), (margin,), ())


def sparsemax(x: Like, axis: int = -1) -> Expression:
    """The distribution that lies next to x along an axis; many of its entries are 0.

    Source: Martins and Astudillo 2016, "From softmax to sparsemax".

    Args:
        x: at least one axis; the result has the same shape.
        axis: default -1, the last.

    Raises:
        ShapeError: no such axis.

    Example:
        >>> import autobatch as ab
        >>> ab.sparsemax(ab.input([1.0, 0.5, -1.0])).value()
        array([0.75, 0.25, 0.  ], dtype=float32)
    """
    shape = _shape("sparsemax", x)
    return _sparsemax.record((x,), (_axis("sparsemax", axis, len(shape), shape),), ())


def constrained_softmax(x: Like, bound: Like, axis: int = -1) -> Expression:
    """`softmax` whose probabilities do not exceed upper bounds.

    What exceeds its bound is set to it; the others share the rest in proportion to exp(x).
    Where all bounds together leave less than 1, the result is the bounds. Source: Martins and
    Kreutzer 2017, "Learning what's easy: fully differentiable neural easy-first taggers".

    Args:
        x: at least one axis; the result has the same shape.
        bound: the shape of x, not negative. Both get a gradient.
        axis: default -1, the last.

    Raises:
        ShapeError: no such axis, or another shape of the bounds.

    Example:
        >>> import autobatch as ab
        >>> ab.constrained_softmax(ab.input([5.0, 0.0, 0.0]), ab.full(3, 0.5)).value()
        array([0.5 , 0.25, 0.25], dtype=float32)
    """
    shape = _shape("constrained_softmax", x)
    attrs = (_axis("constrained_softmax", axis, len(shape), shape),)
    return _constrained_softmax.record((x, bound), attrs, ())
