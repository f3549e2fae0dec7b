"""Gradients other than the formula's: none, scaled, or straight through a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import functions as F
from ... import gradients
from ...errors import ShapeError
from ...recording import traced
from ..expressions import _operand

__all__ = [
    "flip_gradient",
    "nobackprop",
    "scale_gradient",
]


@traced
def nobackprop(x: Any) -> Any:
    """x, with no gradient passed back.

    >>> import autobatch.dynet as dy
    >>> dy.nobackprop(dy.scalarInput(2)).value()
    2.0
    """
    return F.stop_gradient(x)


@traced
def scale_gradient(x: Any, lambd: float = 1.0) -> Any:
    """x, with its gradient multiplied by `lambd`.

    >>> import autobatch.dynet as dy
    >>> dy.scale_gradient(dy.scalarInput(2), 0.5).value()
    2.0
    """
    return gradients.scale_gradient(_operand(x), float(lambd))


@traced
def flip_gradient(x: Any) -> Any:
    """x, with its gradient negated.

    >>> import autobatch.dynet as dy
    >>> dy.flip_gradient(dy.scalarInput(2)).value()
    2.0
    """
    return gradients.reverse_gradient(_operand(x))


_MODES = {"zero_gradient": False, "straight_through_gradient": True}


def _mode(op: str, gradient_mode: str) -> bool:
    try:
        return _MODES[gradient_mode]
    except (KeyError, TypeError):
        raise ShapeError(
            f"{op}: unknown gradient mode {gradient_mode!r}; there are {', '.join(_MODES)}"
        ) from None


def _stepped(op: str, function: Callable[[Any], Any], x: Any, gradient_mode: str) -> Any:
    x = _operand(x)
    straight = _mode(op, gradient_mode)
    y = function(x)
    return gradients.straight_through(y, x) if straight else y
