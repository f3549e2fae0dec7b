"""Inverse and determinant of square matrices; of large ones by LAPACK through NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from .declare import Call, Form, Op, Operand, Sample, declare


def _square(name: str, x: Operand) -> int:
    if len(x.shape) != 2 or x.shape[0] != x.shape[1]:
        raise ShapeError(f"{name}: expected a square matrix, got shape {x.shape}")
    return x.shape[0]


_LARGE = 64  # from here on LAPACK's blocks are worth the way to it


def _kernel(name: str, n: int) -> str | None:
    return name if n < _LARGE else None


def inverses(xp: Any, x: Any) -> Any:
    """The inverse of every matrix; NaN for a singular one."""
    try:
        return xp.linalg.inv(x)
    except np.linalg.LinAlgError:
        if len(x) == 1:
            return xp.full(x.shape, math.nan, x.dtype)
        return xp.concatenate([inverses(xp, x[i : i + 1]) for i in range(len(x))])


_SAMPLES = (
    Sample(((3, 3),), diagonal=5.0),
    Sample(((1, 1),), low=0.5, high=2.0),
    Sample(((12, 12),), diagonal=15.0),
    Sample(((0, 0),)),
    Sample(((3, 3),), diagonal=5.0, batches=(4,)),
    Sample(((_LARGE, _LARGE),), diagonal=80.0),
)


def _errors(name: str) -> tuple[tuple[Any, ...], ...]:
    return (
        (((3, 4),), {}, None, f"{name}: expected a square matrix"),
        (((3,),), {}, None, f"{name}: expected a square matrix"),
    )


def _inverse_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    n = _square("inverse", x)
    return Form(x.shape, kernel=_kernel("inverse", n), params=(n,), flops=2 * n**3)


def _inverse_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    turned = call.xp.swapaxes(y, 1, 2)
    return -call.xp.matmul(turned, call.xp.matmul(dy, turned))


declare(
    Op(
        name="inverse",
        inputs=("x",),
        rule=_inverse_rule,
        forward=lambda call, x: inverses(call.xp, x),
        gradient=_inverse_gradient,
        doc="""The inverse of a square matrix; NaN where it has none.

Args:
    x: (n, n); the result has the same shape.

Raises:
    ShapeError: not a square matrix.

Example:
    >>> import numpy as np
    >>> import autobatch as ab
    >>> ab.inverse(np.array([[2.0, 0.0], [0.0, 4.0]])).value()
    array([[0.5 , 0.  ],
           [0.  , 0.25]], dtype=float32)
""",
        samples=_SAMPLES,
        errors=_errors("inverse"),
    )
)


def _logdet_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    n = _square("logdet", operands[0])
    return Form((), kernel=_kernel("logdet", n), params=(n,), flops=n**3)


def _logdet_forward(call: Call, x: Any) -> Any:
    sign, value = call.xp.linalg.slogdet(x)
    return call.xp.where(sign < 0, math.nan, value)


def _logdet_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    return dy[:, None, None] * call.xp.swapaxes(inverses(call.xp, x), 1, 2)


declare(
    Op(
        name="logdet",
        inputs=("x",),
        rule=_logdet_rule,
        forward=_logdet_forward,
        gradient=_logdet_gradient,
        doc="""log of the determinant of a square matrix: -inf where it is 0, NaN where negative.

Args:
    x: (n, n); the result is a scalar.

Raises:
    ShapeError: not a square matrix.

Example:
    >>> import numpy as np
    >>> import autobatch as ab
    >>> round(ab.logdet(np.array([[2.0, 0.0], [0.0, 4.0]])).item(), 4)
    2.0794
""",
        samples=_SAMPLES,
        errors=_errors("logdet"),
    )
)
