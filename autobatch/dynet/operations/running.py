"""Values of several expressions together, and the device that computes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..expressions import NotSupportedError, _node
from ..graph import _CG

__all__ = [
    "forward",
    "npvalues",
    "to_device",
    "values",
]


def forward(exps: list[Any], recalculate: bool = False) -> None:
    """Computes several expressions together.

    >>> import autobatch.dynet as dy
    >>> dy.forward([dy.scalarInput(1)])
    """
    _CG.values([_node(e) for e in exps], recalculate)


def values(exps: list[Any], recalculate: bool = False) -> list[Any]:
    """The values of several expressions, computed together.

    >>> import autobatch.dynet as dy
    >>> dy.values([dy.scalarInput(1), dy.inputVector([2, 3])])
    [1.0, [2.0, 3.0]]
    """
    forward(exps, recalculate)
    return [e.value() for e in exps]


def npvalues(exps: list[Any], recalculate: bool = False) -> list[np.ndarray]:
    """The values of several expressions as arrays, computed together.

    >>> import autobatch.dynet as dy
    >>> dy.npvalues([dy.scalarInput(1), dy.inputVector([2, 3])])
    [array([1.]), array([2., 3.])]
    """
    forward(exps, recalculate)
    return [e.npvalue() for e in exps]


def to_device(e: Any, device_str: str) -> Any:
    """The expression itself: devices are not placed one by one.

    Raises:
        NotSupportedError: a device other than the CPU.
    """
    if device_str not in ("", "CPU"):
        raise NotSupportedError(
            f"to_device: there is no device {device_str!r}; a whole program of autobatch runs on "
            f"a GPU by autobatch.use('cuda')"
        )
    return e
