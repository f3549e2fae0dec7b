"""Along axes: cumulative sums, deviations, moments, the largest few, normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import functions, plain
from ._core import Expression
from .errors import ShapeError
from .functions import _axis, _several, _shape
from .recording import recorder
from .selection import batch_to_axis

if TYPE_CHECKING:
    from .functions import Like

__all__ = [
    "cumsum",
    "hardmax",
    "kmax",
    "layer_norm",
    "moment",
    "moment_batch",
    "std",
    "std_batch",
    "weight_norm",
]

_cumsum = recorder("cumsum")
_std = recorder("std")
_moment = recorder("moment")
_hardmax = recorder("hardmax")
_kmax = recorder("kmax")
_layer_norm = recorder("layer_norm")


def cumsum(x: Like, axis: int = 0) -> Expression:
    """Cumulative sum along an axis: entry i is the sum of entries 0 to i.

    Args:
        x: at least one axis; the result has the same shape.
        axis: negative ones count from the end. Default: 0.

    Raises:
        ShapeError: no such axis.

    Example:
        >>> import autobatch as ab
        >>> ab.cumsum(ab.input([1, 2, 3])).value()
        array([1., 3., 6.], dtype=float32)
    """
    shape = _shape("cumsum", x)
    return _cumsum.record((x,), (_axis("cumsum", axis, len(shape), shape),), ())


def _together(name: str, x: Any, axis: Any) -> tuple[Any, int, int, list[int]]:
    """`x` with the axes to reduce side by side: x, the first, their number, and the axes."""
    shape = _shape(name, x)
    if axis is None:
        return x, 0, len(shape), list(range(len(shape)))
    given = _several(name, "axis", axis)
    axes = sorted(_axis(name, a, len(shape), shape) for a in given)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: expected different axes, got {tuple(given)}")
    if axes != list(range(axes[0], axes[0] + len(axes))) if axes else False:
        kept = [a for a in range(len(shape)) if a not in axes]
        return functions.transpose(x, kept + axes), len(kept), len(axes), axes
    return x, axes[0] if axes else 0, len(axes), axes


def _reduced(op: Any, name: str, x: Any, axis: Any, keepdims: bool, more: tuple[int, ...]) -> Any:
    shape = _shape(name, x)
    keepdims = plain.flag(name, "keepdims", keepdims)
    x, first, count, axes = _together(name, x, axis)
    y = op.record((x,), (first, count, 0, *more), ())
    if keepdims:
        y = functions.reshape(y, tuple(1 if a in axes else d for a, d in enumerate(shape)))
    return y


def std(x: Like, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Expression:
    """Standard deviation over axes: ``sqrt(mean((x - mean(x))**2))``.

    Divides by the number of elements, as ``numpy.std`` does. The gradient where the
    deviation is 0 is 0.

    Args:
        x: any shape.
        axis: an axis or several; negative ones count from the end. Default: None, all.
        keepdims: keeps the reduced axes with size 1. Default: False.

    Raises:
        ShapeError: no such axis, or an empty one.

    Example:
        >>> import autobatch as ab
        >>> ab.std(ab.input([[1, 2], [3, 6]]), axis=0).value()
        array([1., 2.], dtype=float32)
    """
    return _reduced(_std, "std", x, axis, keepdims, ())


def moment(
    x: Like, order: int, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Expression:
    """Mean of ``x**order`` over axes: the statistical moment about 0.

    Args:
        x: any shape.
        order: an int of at least 1.
        axis, keepdims: as in `std`.

    Raises:
        OperandError: an order below 1, or none.
        ShapeError: no such axis, or an empty one.

    Example:
        >>> import autobatch as ab
        >>> ab.moment(ab.input([1, 2, 3]), 2).value().round(4)
        np.float32(4.6667)
    """
    power = plain.whole("moment", "order", order)
    return _reduced(_moment, "moment", x, axis, keepdims, (power,))


def std_batch(x: Like) -> Expression:
    """Standard deviation over the manual minibatch; see `std`.

    Args:
        x: any shape, any minibatch; the result has the same shape and no minibatch.

    Example:
        >>> import autobatch as ab
        >>> ab.std_batch(ab.input([[1, 2], [3, 6]], batched=True)).value()
        array([1., 2.], dtype=float32)
    """
    return std(batch_to_axis(x), axis=0)


def moment_batch(x: Like, order: int) -> Expression:
    """Mean of ``x**order`` over the manual minibatch; see `moment`.

    Args:
        x: any shape, any minibatch; the result has the same shape and no minibatch.
        order: an int of at least 1.

    Raises:
        OperandError: an order below 1, or none.

    Example:
        >>> import autobatch as ab
        >>> ab.moment_batch(ab.input([[1, 2], [3, 6]], batched=True), 2).value()
        array([ 5., 20.], dtype=float32)
    """
    power = plain.whole("moment_batch", "order", order)
    return moment(batch_to_axis(x), power, axis=0)


def hardmax(x: Like, axis: int = -1) -> Expression:
    """1 at the largest element along an axis (the first of several), 0 elsewhere.

    No gradient passes; ``straight_through(hardmax(x), x)`` gives it that of x.

    Args:
        x: at least one axis; the result has the same shape.
        axis: default -1, the last.

    Raises:
        ShapeError: no such axis.

    Example:
        >>> import autobatch as ab
        >>> ab.hardmax(ab.input([1.0, 5.0, 2.0])).value()
        array([0., 1., 0.], dtype=float32)
    """
    shape = _shape("hardmax", x)
    return _hardmax.record((x,), (_axis("hardmax", axis, len(shape), shape),), ())


def kmax(x: Like, count: int, axis: int = 0) -> Expression:
    """The `count` largest entries along an axis, in the order in which they stand there.

    Source: Kalchbrenner, Grefenstette, Blunsom 2014, "A convolutional neural network for
    modelling sentences" (k-max pooling). NaN counts as the largest; of equals the first are
    taken.

    Args:
        x: at least one axis.
        count: from 1 to the size of the axis.
        axis: negative ones count from the end. Default: 0.

    Returns:
        The shape of x with `count` entries along the axis.

    Raises:
        ShapeError: no such axis, or another count.

    Example:
        >>> import autobatch as ab
        >>> ab.kmax(ab.input([3.0, 1.0, 4.0, 1.5]), 2).value()
        array([3., 4.], dtype=float32)
    """
    shape = _shape("kmax", x)
    number = plain.whole("kmax", "count", count)
    return _kmax.record((x,), (_axis("kmax", axis, len(shape), shape), number), ())


def layer_norm(
    x: Like, gain: Like | None = None, bias: Like | None = None, epsilon: float = 1e-5
) -> Expression:
    """``gain * (x - mean) / sqrt(variance + epsilon) + bias`` over the last axes.

    Source: Ba, Kiros, Hinton 2016, "Layer normalization".

    Args:
        x: at least one axis.
        gain, bias: the shape of the last axis or axes of x, over which mean and variance are
            taken. Default: None, ones and zeros along the last axis.
        epsilon: at least 0; with 0, equal numbers become 0. Default: 1e-5.

    Returns:
        The shape of x.

    Raises:
        ShapeError: gain or bias do not fit.
        OperandError: a negative epsilon.

    Example:
        >>> import autobatch as ab
        >>> ab.layer_norm(ab.input([1.0, 2.0, 3.0]), epsilon=0).value().round(4)
        array([-1.2247,  0.    ,  1.2247], dtype=float32)
    """
    shape, attrs = _shape("layer_norm", x), (plain.number("layer_norm", "epsilon", epsilon),)
    given = gain if gain is not None else bias
    last = shape[-1:] if given is None else _shape("layer_norm", given)
    gain = functions.ones(last) if gain is None else gain
    bias = functions.zeros(last) if bias is None else bias
    return _layer_norm.record((x, gain, bias), attrs, ())


def weight_norm(weight: Like, gain: Like) -> Expression:
    """``gain * weight / norm(weight)``: direction and length of a weight apart.

    Source: Salimans and Kingma 2016, "Weight normalization".

    Args:
        weight: any shape.
        gain: a scalar, or one number.

    Returns:
        The shape of the weight.

    Raises:
        ShapeError: a gain that does not broadcast with the weight.

    Example:
        >>> import autobatch as ab
        >>> ab.weight_norm(ab.input([3.0, 4.0]), 10.0).value()
        array([6., 8.], dtype=float32)
    """
    return functions.multiply(functions.divide(gain, functions.norm(weight)), weight)
