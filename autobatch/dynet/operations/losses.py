"""Losses, distances and norms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ... import functions as F
from ... import losses
from ...errors import ShapeError
from ...recording import INDEXED_BY_LISTS, recorder, traced
from ..expressions import _dims, _operand, _shape
from ..graph import Node
from ._shared import _axis, _batch, _flat, _indexed, _labels, _vectors

__all__ = [
    "binary_log_loss",
    "hinge",
    "hinge_batch",
    "hinge_dim",
    "huber_distance",
    "l1_distance",
    "l2_norm",
    "pairwise_rank_loss",
    "pickneglogsoftmax",
    "pickneglogsoftmax_batch",
    "poisson_loss",
    "squared_distance",
    "squared_norm",
]

_cross_entropy = F.cross_entropy
_cross_entropy_record = recorder("cross_entropy").record


@_indexed("cross_entropy", (0,))
def pickneglogsoftmax(x: Any, v: Any) -> Any:
    """``-log(softmax(x)[v])``.

    Args:
        x: a vector of scores.
        v: the true class.

    Raises:
        IndexRangeError: no such class.

    >>> import autobatch.dynet as dy
    >>> f"{dy.pickneglogsoftmax(dy.inputVector([1, 1]), 0).value():.4f}"
    '0.6931'
    """
    if type(v) is not int:
        if hasattr(v, "__len__"):
            return pickneglogsoftmax_batch(x, v)
        v = int(v)
    if type(x) is Node and len(x.shape) == 1:
        return _cross_entropy(x, v)
    return _cross_entropy(_flat("pickneglogsoftmax", x), v)


@_indexed("cross_entropy", (0,), INDEXED_BY_LISTS)
def pickneglogsoftmax_batch(x: Any, vs: Sequence[int]) -> Any:
    """`pickneglogsoftmax` with a class for every element of the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> x = dy.inputTensor(np.zeros((2, 3)), batched=True)
    >>> [f"{loss:.4f}" for loss in dy.pickneglogsoftmax_batch(x, [0, 1, 1]).value()]
    ['0.6931', '0.6931', '0.6931']
    """
    labels = _labels("pickneglogsoftmax_batch", vs, x)
    if type(x) is Node and len(x.shape) == 1:
        return _cross_entropy_record((x,), (0,), tuple(labels))
    return _cross_entropy(_flat("pickneglogsoftmax", x), labels)


@traced
def hinge(x: Any, v: int, m: float = 1.0) -> Any:
    """The sum over the wrong classes j of ``max(0, m - x[v] + x[j])``.

    >>> import autobatch.dynet as dy
    >>> dy.hinge(dy.inputVector([0, 1, 1.5]), 2).value()
    0.5
    """
    return F.hinge(_flat("hinge", x), int(v), float(m))


@traced
def hinge_batch(x: Any, vs: Sequence[int], m: float = 1.0) -> Any:
    """`hinge` with a class for every element of the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.hinge_batch(dy.inputTensor(np.zeros((2, 2)), batched=True), [0, 1]).value()
    [1.0, 1.0]
    """
    return F.hinge(_flat("hinge_batch", x), _labels("hinge_batch", vs, x), float(m))


@traced
def hinge_dim(x: Any, v: Sequence[int], d: int = 0, m: float = 1.0) -> Any:
    """`hinge` along a dimension of a matrix.

    Args:
        x: a matrix of scores.
        v: the true class for each index of the other dimension.
        d: the dimension of the classes.
        m: the margin.

    >>> import autobatch.dynet as dy
    >>> dy.hinge_dim(dy.inputTensor([[0, 1], [3, 1]]), [0, 1]).value()
    [4.0, 1.0]
    """
    if len(_shape(x)) != 2 or _batch(x) > 1:
        raise ShapeError(
            f"hinge_dim: expected a matrix without a minibatch, got dimensions {_dims(x)} in a "
            f"minibatch of {_batch(x)}"
        )
    x = _operand(x)
    if _axis("hinge_dim", x, d) == -2:
        x = F.transpose(x)
    return F.hinge(x, [int(label) for label in v], float(m))


@traced
def binary_log_loss(x: Any, y: Any) -> Any:
    """The sum of ``-y * log(x) - (1 - y) * log(1 - x)``.

    >>> import autobatch.dynet as dy
    >>> f"{dy.binary_log_loss(dy.scalarInput(0.8), dy.scalarInput(1)).value():.4f}"
    '0.2231'
    """
    return F.binary_cross_entropy(*_vectors("binary_log_loss", x, y))


@traced
def squared_distance(x: Any, y: Any) -> Any:
    """The sum of the squared differences.

    >>> import autobatch.dynet as dy
    >>> dy.squared_distance(dy.inputVector([1, 2]), dy.inputVector([1, 4])).value()
    4.0
    """
    try:
        return F.squared_error(x, y)
    except ShapeError:
        return F.squared_error(*_vectors("squared_distance", x, y))


@traced
def l1_distance(x: Any, y: Any) -> Any:
    """The sum of the absolute differences.

    >>> import autobatch.dynet as dy
    >>> dy.l1_distance(dy.inputVector([1, 2]), dy.inputVector([1, 4])).value()
    2.0
    """
    try:
        return losses.absolute_error(x, y)
    except ShapeError:
        return losses.absolute_error(*_vectors("l1_distance", x, y))


@traced
def huber_distance(x: Any, y: Any, c: float = 1.345) -> Any:
    """The sum of d^2 / 2 of differences d up to c, and of ``c * (abs(d) - c / 2)`` beyond.

    Args:
        x, y: expressions of the same dimensions.
        c: default 1.345.

    >>> import autobatch.dynet as dy
    >>> dy.huber_distance(dy.inputVector([1, 2]), dy.inputVector([1, 4]), c=1).value()
    1.5
    """
    return losses.huber(*_vectors("huber_distance", x, y), float(c))


@traced
def l2_norm(x: Any) -> Any:
    """The square root of the sum of squares.

    >>> import autobatch.dynet as dy
    >>> dy.l2_norm(dy.inputVector([3, 4])).value()
    5.0
    """
    return F.norm(_operand(x))


@traced
def squared_norm(x: Any) -> Any:
    """The sum of squares.

    >>> import autobatch.dynet as dy
    >>> dy.squared_norm(dy.inputVector([3, 4])).value()
    25.0
    """
    return F.dot(x, x)


@traced
def pairwise_rank_loss(x: Any, y: Any, m: float = 1.0) -> Any:
    """``max(0, m - x + y)``, elementwise.

    >>> import autobatch.dynet as dy
    >>> dy.pairwise_rank_loss(dy.scalarInput(1), dy.scalarInput(0.5)).value()
    0.5
    """
    return losses.margin_ranking(_operand(x), _operand(y), float(m))


@traced
def poisson_loss(log_lambda: Any, x: int) -> Any:
    """Minus the logarithm of the Poisson probability of x.

    Args:
        log_lambda: the logarithm of the distribution's mean, a scalar.
        x: a count.

    >>> import autobatch.dynet as dy
    >>> f"{dy.poisson_loss(dy.scalarInput(2), 3).value():.4f}"
    '3.1808'
    """
    if math.prod(_shape(log_lambda)) != 1:
        raise ShapeError(f"poisson_loss: expected a scalar, got dimensions {_dims(log_lambda)}")
    return losses.poisson_nll(_operand(log_lambda), F.full(_shape(log_lambda), float(x)))
