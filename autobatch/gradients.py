"""Gradients that are not the derivative: scaled, reversed, passed straight through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import plain
from ._core import Expression
from .recording import recorder

if TYPE_CHECKING:
    from .functions import Binary, Like

__all__ = ["reverse_gradient", "scale_gradient", "straight_through"]

_scale_gradient = recorder("scale_gradient")
straight_through: Binary = recorder("straight_through")


def scale_gradient(x: Like, factor: float) -> Expression:
    """x itself; on the way back its gradient is multiplied by a factor.

    Args:
        x: any shape; the result has the same.
        factor: any number.

    Example:
        >>> import autobatch as ab
        >>> x = ab.input([1.0, 2.0])
        >>> ab.sum(ab.scale_gradient(x, 0.5)).backward(wrt=[x])
        >>> x.gradient()
        array([0.5, 0.5], dtype=float32)
    """
    return _scale_gradient.record((x,), (plain.number("scale_gradient", "factor", factor),), ())


def reverse_gradient(x: Like) -> Expression:
    """x itself; on the way back its gradient changes its sign.

    Source: Ganin and Lempitsky 2015, "Unsupervised domain adaptation by backpropagation".

    Args:
        x: any shape; the result has the same.

    Example:
        >>> import autobatch as ab
        >>> x = ab.input([1.0, 2.0])
        >>> ab.sum(ab.reverse_gradient(x)).backward(wrt=[x])
        >>> x.gradient()
        array([-1., -1.], dtype=float32)
    """
    return scale_gradient(x, -1.0)
