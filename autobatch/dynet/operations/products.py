"""Products of vectors, matrices and tensors; inverses and determinants."""

from __future__ import annotations

import math
from typing import Any

from ... import algebra
from ... import functions as F
from ...errors import OperandError, ShapeError
from ...recording import traced
from ..expressions import _dims, _node, _operand, _shape, product
from ._shared import _full_shape, _listed, _vectors

__all__ = [
    "affine_transform",
    "circ_conv",
    "circ_corr",
    "contract3d_1d",
    "contract3d_1d_1d",
    "contract3d_1d_1d_bias",
    "contract3d_1d_bias",
    "dot_product",
    "inverse",
    "logdet",
    "trace_of_product",
]


@traced
def affine_transform(exprs: list[Any]) -> Any:
    """``b + W1 * x1 + W2 * x2 + ...`` in one kernel.

    Args:
        exprs: [b, W1, x1, W2, x2, ...].

    >>> import autobatch.dynet as dy
    >>> W = dy.inputTensor([[1, 2], [3, 4]])
    >>> dy.affine_transform([dy.inputVector([1, 1]), W, dy.inputVector([1, 0])]).value()
    [2.0, 4.0]
    """
    if type(exprs) is not list or not exprs:
        _listed("affine_transform", exprs)
    if len(exprs) % 2 and len(exprs) > 1:
        try:
            return F.affine_transposed(*exprs)
        except (ShapeError, OperandError):
            pass  # other layouts of the bias and of vectors, below; or a true mistake
    elif len(exprs) == 1:
        return _node(exprs[0])
    else:
        raise ShapeError(
            f"affine_transform: expected an odd number of expressions, got {len(exprs)}"
        )
    total = product(exprs[1], exprs[2])
    for w, x in zip(exprs[3::2], exprs[4::2], strict=True):
        total = F.add(total, product(w, x))
    bias, shape = exprs[0], _full_shape(total)
    own = _full_shape(bias)
    if own[-1] != shape[-1]:
        raise ShapeError(
            f"affine_transform: expected a bias of {shape[-1]} rows, got dimensions {_dims(bias)}"
        )
    if math.prod(own) == math.prod(shape):
        bias = F.reshape(_operand(bias), shape)
    return F.add(total, bias)


@traced
def dot_product(x: Any, y: Any) -> Any:
    """The sum of the elementwise product.

    >>> import autobatch.dynet as dy
    >>> dy.dot_product(dy.inputVector([1, 2]), dy.inputVector([3, 4])).value()
    11.0
    """
    try:
        return F.dot(x, y)
    except ShapeError:
        return F.dot(*_vectors("dot_product", x, y))


@traced
def trace_of_product(x: Any, y: Any) -> Any:
    """The trace of ``x * transpose(y)``: the sum of the elementwise product.

    >>> import autobatch.dynet as dy
    >>> dy.trace_of_product(dy.inputTensor([[1, 2]]), dy.inputTensor([[3, 4]])).value()
    11.0
    """
    try:
        return F.dot(x, y)
    except ShapeError:
        return F.dot(*_vectors("trace_of_product", x, y))


@traced
def inverse(x: Any) -> Any:
    """The inverse of a square matrix.

    >>> import autobatch.dynet as dy
    >>> dy.inverse(dy.inputTensor([[2, 0], [0, 4]])).npvalue()
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return algebra.inverse(_operand(x))


@traced
def logdet(x: Any) -> Any:
    """The logarithm of the determinant of a square matrix.

    >>> import autobatch.dynet as dy
    >>> f"{dy.logdet(dy.inputTensor([[2, 0], [0, 4]])).value():.4f}"
    '2.0794'
    """
    return algebra.logdet(_operand(x))


@traced
def circ_conv(u: Any, v: Any) -> Any:
    """The circular convolution of two vectors.

    >>> import autobatch.dynet as dy
    >>> dy.circ_conv(dy.inputVector([1, 2, 0]), dy.inputVector([1, 0, 1])).value()
    [3.0, 2.0, 1.0]
    """
    return algebra.circular_convolution(_operand(u), _operand(v))


@traced
def circ_corr(u: Any, v: Any) -> Any:
    """The circular correlation of two vectors.

    >>> import autobatch.dynet as dy
    >>> dy.circ_corr(dy.inputVector([1, 2, 0]), dy.inputVector([1, 0, 1])).value()
    [1.0, 2.0, 3.0]
    """
    return algebra.circular_correlation(_operand(u), _operand(v))


@traced
def contract3d_1d(x: Any, y: Any) -> Any:
    """The sum over k of ``x[i, j, k] * y[k]``: a matrix.

    Args:
        x: dimensions (m, n, k).
        y: dimensions (k,).

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.contract3d_1d(dy.inputTensor(np.ones((1, 2, 3))), dy.inputVector([1, 2, 3])).npvalue()
    array([[6., 6.]])
    """
    shape = _shape(x)
    if len(shape) != 3 or _shape(y) != shape[:1]:
        raise ShapeError(
            f"contract3d_1d: expected dimensions (m, n, k) and (k,), got {_dims(x)} and {_dims(y)}"
        )
    return algebra.tensordot(_operand(y), _operand(x))


@traced
def contract3d_1d_bias(x: Any, y: Any, b: Any) -> Any:
    """`contract3d_1d` plus a bias of dimensions (m, n)."""
    return F.add(contract3d_1d(x, y), b)


@traced
def contract3d_1d_1d(x: Any, y: Any, z: Any) -> Any:
    """The sum over j and k of ``x[i, j, k] * y[k] * z[j]``: a vector.

    Args:
        x: dimensions (m, n, k).
        y: dimensions (k,).
        z: dimensions (n,).

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> x = dy.inputTensor(np.ones((1, 2, 3)))
    >>> dy.contract3d_1d_1d(x, dy.inputVector([1, 2, 3]), dy.inputVector([1, 1])).value()
    12.0
    """
    return product(contract3d_1d(x, y), z)


@traced
def contract3d_1d_1d_bias(x: Any, y: Any, z: Any, b: Any) -> Any:
    """`contract3d_1d_1d` plus a bias of dimensions (m,)."""
    return F.add(contract3d_1d_1d(x, y, z), b)
