"""Sums, means, moments and extremes, and what is normalised by them.

Of a list, of all elements, of a minibatch, or along dimensions.
"""

from __future__ import annotations

import math
from typing import Any

from ... import functions as F
from ... import selection, statistics
from ...errors import OperandError
from ...recording import recorder, traced
from ..expressions import _operand
from ._shared import _alike, _axis, _batch, _flat, _full_shape, _listed, _of_lists, _spread

__all__ = [
    "average",
    "cumsum",
    "emax",
    "esum",
    "layer_norm",
    "logsumexp",
    "logsumexp_dim",
    "max_dim",
    "mean_batches",
    "mean_dim",
    "mean_elems",
    "min_dim",
    "moment_batches",
    "moment_dim",
    "moment_elems",
    "std_batches",
    "std_dim",
    "std_elems",
    "sum_batches",
    "sum_dim",
    "sum_elems",
    "weight_norm",
]


def _elementwise(ours: str, xs: Any) -> Any:
    """The long way, of lists that the op itself does not take."""
    record = recorder(ours)
    same = _alike(xs)
    return record(same if any(a is not b for a, b in zip(same, xs, strict=True)) else xs)


@_of_lists("nary_sum")
def esum(xs: list[Any]) -> Any:
    """The sum of a list of expressions of the same dimensions.

    >>> import autobatch.dynet as dy
    >>> dy.esum([dy.scalarInput(1), dy.scalarInput(2)]).value()
    3.0
    """
    return _elementwise("nary_sum", _listed("esum", xs))


@_of_lists("nary_mean")
def average(xs: list[Any]) -> Any:
    """The mean of a list of expressions of the same dimensions.

    >>> import autobatch.dynet as dy
    >>> dy.average([dy.scalarInput(1), dy.scalarInput(2)]).value()
    1.5
    """
    return _elementwise("nary_mean", _listed("average", xs))


@_of_lists("nary_max")
def emax(xs: list[Any]) -> Any:
    """The elementwise maximum of a list of expressions of the same dimensions.

    >>> import autobatch.dynet as dy
    >>> dy.emax([dy.scalarInput(1), dy.scalarInput(2)]).value()
    2.0
    """
    return _elementwise("nary_max", _listed("emax", xs))


@traced
def logsumexp(xs: list[Any]) -> Any:
    """The logarithm of the sum of exponentials of a list of expressions, elementwise.

    >>> import autobatch.dynet as dy
    >>> f"{dy.logsumexp([dy.scalarInput(0), dy.scalarInput(0)]).value():.4f}"
    '0.6931'
    """
    return F.logsumexp(_alike(_listed("logsumexp", xs)))


@traced
def sum_elems(x: Any) -> Any:
    """The sum of all elements.

    >>> import autobatch.dynet as dy
    >>> dy.sum_elems(dy.inputVector([1, 2])).value()
    3.0
    """
    return F.sum(_operand(x))


@traced
def mean_elems(x: Any) -> Any:
    """The mean of all elements.

    >>> import autobatch.dynet as dy
    >>> dy.mean_elems(dy.inputVector([1, 2])).value()
    1.5
    """
    return F.mean(_operand(x))


@traced
def moment_elems(x: Any, r: int) -> Any:
    """The mean of the r-th powers of all elements.

    >>> import autobatch.dynet as dy
    >>> dy.moment_elems(dy.inputVector([1, 3]), 2).value()
    5.0
    """
    return statistics.moment(_operand(x), int(r))


@traced
def std_elems(x: Any) -> Any:
    """The standard deviation of all elements, their number in the denominator.

    >>> import autobatch.dynet as dy
    >>> dy.std_elems(dy.inputVector([1, 3])).value()
    1.0
    """
    return statistics.std(_operand(x))


@traced
def sum_batches(x: Any) -> Any:
    """The sum over the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.sum_batches(dy.inputTensor(np.ones((2, 3)), batched=True)).value()
    [3.0, 3.0]
    """
    return F.sum_batch(x)


@traced
def mean_batches(x: Any) -> Any:
    """The mean over the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.mean_batches(dy.inputTensor(np.ones((2, 3)), batched=True)).value()
    [1.0, 1.0]
    """
    return F.mean_batch(x)


@traced
def moment_batches(x: Any, r: int) -> Any:
    """The mean of the r-th powers over the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.moment_batches(dy.inputTensor(np.array([[1.0, 3.0]]), batched=True), 2).value()
    5.0
    """
    return statistics.moment_batch(_operand(x), int(r))


@traced
def std_batches(x: Any) -> Any:
    """The standard deviation over the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.std_batches(dy.inputTensor(np.array([[1.0, 3.0]]), batched=True)).value()
    1.0
    """
    return statistics.std_batch(_operand(x))


def _over(op: str, x: Any, d: Any, b: Any) -> tuple[Any, tuple[int, ...], int]:
    """An operand, the axes to reduce, and how many numbers each result is made of."""
    if not isinstance(d, list):
        raise OperandError(f"{op}: expected a list of dimensions, got {type(d).__name__}")
    axes = tuple(sorted({_axis(op, x, i) for i in d}))
    shape = _full_shape(x)
    count = math.prod(shape[axis] for axis in axes)
    if not b:
        return _spread(x), axes, count
    stacked = selection.batch_to_axis(_spread(x))
    return stacked, (0, *(len(shape) + 1 + axis for axis in axes)), count * _batch(x)


def _named_axes(axes: tuple[int, ...], x: Any) -> tuple[int, ...]:
    count = len(x.shape)
    return tuple(axis % count for axis in axes)


@traced
def sum_dim(x: Any, d: list[int], b: bool = False, n: int = 0) -> Any:
    """The sum over dimensions, which are dropped.

    Args:
        x: an expression.
        d: a list of dimensions.
        b: over the minibatch, too. Default: False.
        n: accepted.

    >>> import autobatch.dynet as dy
    >>> dy.sum_dim(dy.inputTensor([[1, 2], [3, 4]]), [0]).value()
    [4.0, 6.0]
    """
    if b and not d:
        return F.sum_batch(x)
    x, axes, _ = _over("sum_dim", x, d, b)
    return F.sum(x, axis=_named_axes(axes, x)) if axes else x


@traced
def mean_dim(x: Any, d: list[int], b: bool, n: int = 0) -> Any:
    """The mean over dimensions, which are dropped.

    Args:
        x: an expression.
        d: a list of dimensions.
        b: over the minibatch, too.
        n: divides by this number instead of their size, if above 0.

    >>> import autobatch.dynet as dy
    >>> dy.mean_dim(dy.inputTensor([[1, 2], [3, 4]]), [0], False).value()
    [2.0, 3.0]
    """
    return moment_dim(x, d, 1, b, n)


@traced
def moment_dim(x: Any, d: list[int], r: int, b: bool, n: int = 0) -> Any:
    """The mean of the r-th powers over dimensions; arguments as in `mean_dim`.

    >>> import autobatch.dynet as dy
    >>> dy.moment_dim(dy.inputTensor([[1, 2], [3, 4]]), [0], 2, False).value()
    [5.0, 10.0]
    """
    x, axes, count = _over("moment_dim", x, d, b)
    if not axes:
        return statistics.moment(F.stack([x]), int(r), axis=0)
    y = statistics.moment(x, int(r), axis=_named_axes(axes, x))
    return F.multiply(y, count / n) if n > 0 else y


@traced
def std_dim(x: Any, d: list[int], b: bool, n: int = 0) -> Any:
    """The standard deviation over dimensions, which are dropped.

    Args:
        x: an expression.
        d: a list of dimensions.
        b: over the minibatch, too.
        n: accepted; DyNet divides by the size, too.

    >>> import autobatch.dynet as dy
    >>> dy.std_dim(dy.inputTensor([[1, 2], [3, 4]]), [0], False).value()
    [1.0, 1.0]
    """
    x, axes, _ = _over("std_dim", x, d, b)
    if not axes:
        return F.multiply(x, 0.0)
    return statistics.std(x, axis=_named_axes(axes, x))


@traced
def max_dim(x: Any, d: int = 0) -> Any:
    """The maximum over a dimension, which is dropped.

    >>> import autobatch.dynet as dy
    >>> dy.max_dim(dy.inputTensor([[1, 2], [3, 4]])).value()
    [3.0, 4.0]
    """
    axis = _axis("max_dim", x, d)
    return F.max(_spread(x), axis=axis)


@traced
def min_dim(x: Any, d: int = 0) -> Any:
    """The minimum over a dimension, which is dropped.

    >>> import autobatch.dynet as dy
    >>> dy.min_dim(dy.inputTensor([[1, 2], [3, 4]])).value()
    [1.0, 2.0]
    """
    axis = _axis("min_dim", x, d)
    return F.min(_spread(x), axis=axis)


@traced
def logsumexp_dim(x: Any, d: int = 0) -> Any:
    """The logarithm of the sum of exponentials over a dimension, which is dropped.

    >>> import autobatch.dynet as dy
    >>> f"{dy.logsumexp_dim(dy.inputVector([0, 0])).value():.4f}"
    '0.6931'
    """
    axis = _axis("logsumexp_dim", x, d)
    return F.logsumexp(_spread(x), axis=axis)


@traced
def cumsum(x: Any, d: int = 0) -> Any:
    """The cumulative sum along a dimension.

    >>> import autobatch.dynet as dy
    >>> dy.cumsum(dy.inputVector([1, 2, 3])).value()
    [1.0, 3.0, 6.0]
    """
    axis = _axis("cumsum", x, d)
    return statistics.cumsum(_spread(x), axis=axis)


@traced
def layer_norm(x: Any, g: Any, b: Any) -> Any:
    """``g * (x - mean) / std + b`` over the elements of x (Ba, Kiros, Hinton 2016).

    >>> import autobatch.dynet as dy
    >>> g, b = dy.ones(2), dy.zeros(2)
    >>> [f"{v:.4f}" for v in dy.layer_norm(dy.inputVector([1, 3]), g, b).value()]
    ['-1.0000', '1.0000']
    """
    # DyNet adds 1e-8 to the deviation; the variance is that of the vector.
    return statistics.layer_norm(
        _flat("layer_norm", x), _flat("layer_norm", g), _flat("layer_norm", b), epsilon=1e-16
    )


@traced
def weight_norm(w: Any, g: Any) -> Any:
    """``g * w / norm(w)`` (Salimans and Kingma 2016).

    Args:
        w: any dimensions.
        g: a scalar.

    >>> import autobatch.dynet as dy
    >>> dy.weight_norm(dy.inputVector([3, 4]), dy.scalarInput(10)).value()
    [6.0, 8.0]
    """
    return statistics.weight_norm(_operand(w), _operand(g))
