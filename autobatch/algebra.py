"""Products and functions of whole matrices, and circular products of vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from . import functions, plain
from ._core import Expression
from .errors import ShapeError
from .functions import _shape
from .recording import recorder

if TYPE_CHECKING:
    from .functions import Binary, Like, Unary

__all__ = [
    "circular_convolution",
    "circular_correlation",
    "inverse",
    "logdet",
    "tensordot",
    "trace_of_product",
]

inverse: Unary = recorder("inverse")
logdet: Unary = recorder("logdet")
circular_convolution: Binary = recorder("circular_convolution")
circular_correlation: Binary = recorder("circular_correlation")


def trace_of_product(a: Like, b: Like) -> Expression:
    """The trace of ``a @ b``, without the product.

    Args:
        a: (m, n).
        b: (n, m).

    Returns:
        A scalar.

    Raises:
        ShapeError: the shapes do not fit together.

    Example:
        >>> import numpy as np
        >>> import autobatch as ab
        >>> ab.trace_of_product(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])).item()
        11.0
    """
    shape, other = _shape("trace_of_product", a), _shape("trace_of_product", b)
    if len(shape) != 2 or other != shape[::-1]:
        raise ShapeError(
            f"trace_of_product: expected matrices of shapes (m, n) and (n, m), got {shape} and "
            f"{other}"
        )
    return functions.dot(a, functions.transpose(b))


def tensordot(a: Like, b: Like, axes: int = 1) -> Expression:
    """Sum over the last axes of `a` with the first axes of `b`.

    Args:
        a: (..., k1, k2, ...).
        b: (k1, k2, ..., ...).
        axes: over how many axes to sum. Default: 1.

    Returns:
        The other axes of a, then those of b.

    Raises:
        ShapeError: the axes differ in size, or there are fewer.

    Example:
        >>> import numpy as np
        >>> import autobatch as ab
        >>> cube = np.arange(8.0).reshape(2, 2, 2)
        >>> ab.tensordot(np.array([1.0, 10.0]), cube).value()
        array([[40., 51.],
               [62., 73.]], dtype=float32)
    """
    left, right = _shape("tensordot", a), _shape("tensordot", b)
    count = plain.whole("tensordot", "axes", axes)
    if not 0 <= count <= len(left) or left[len(left) - count :] != right[:count]:
        raise ShapeError(
            f"tensordot: expected the last {count} axes of the left operand to equal the first of "
            f"the right one, got shapes {left} and {right}"
        )
    outer, rest = left[: len(left) - count], right[count:]
    inner = math.prod(right[:count])
    # One row stays a vector: matrix products with weights take it as it is.
    rows = (math.prod(outer), inner) if outer else (inner,)
    product = functions.matmul(
        functions.reshape(a, rows), functions.reshape(b, (inner, math.prod(rest)))
    )
    return functions.reshape(product, (*outer, *rest))
