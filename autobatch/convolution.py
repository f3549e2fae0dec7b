"""Convolution and pooling of images, and filters over sequences.

An image is (channels, height, width). The product runs in the matrix kernel on the packed
weight, over the image's windows as rows, so that convolutions with one weight batch as any
product with it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import functions, plain
from ._core import Expression
from .errors import OperandError, ShapeError
from .functions import _axis, _several, _shape
from .recording import recorder

if TYPE_CHECKING:
    from .functions import Like

__all__ = ["conv2d", "filter1d", "fold", "max_pool2d", "sliding_sum"]

_unfold2d = recorder("unfold2d")
_max_pool2d = recorder("max_pool2d")


def _pair(op: str, name: str, value: int | Sequence[int]) -> tuple[int, int]:
    """A number for each of height and width, of at least 1."""
    dims = _several(op, name, value)
    if len(dims) not in (1, 2) or min(dims) < 1:
        raise OperandError(f"{op}: {name} must be an int or two, at least 1, got {value!r}")
    return dims[0], dims[-1]


def _places(size: int, window: int, step: int, padding: str) -> tuple[int, int]:
    """Padding before the first entry, and how many windows there are."""
    if padding == "valid":
        return 0, (size - window) // step + 1 if size >= window else -1
    count = -(-size // step)
    return max((count - 1) * step + window - size, 0) // 2, count


def _windows(
    op: str, x: Any, size: tuple[int, int], stride: int | Sequence[int], padding: str
) -> tuple[int, ...]:
    """The attributes of ops over windows."""
    if padding not in ("valid", "same"):
        raise OperandError(f'{op}: expected padding to be "valid" or "same", got {padding!r}')
    shape = _shape(op, x)
    if len(shape) != 3:
        raise ShapeError(
            f"{op}: expected an image of shape (channels, height, width), got {shape}; "
            f"reshape a matrix to one channel"
        )
    steps = _pair(op, "stride", stride)
    top, oh = _places(shape[1], size[0], steps[0], padding)
    left, ow = _places(shape[2], size[1], steps[1], padding)
    if min(oh, ow) < 0:
        raise ShapeError(
            f"{op}: expected windows that fit into the image, got windows of {size[0]} x "
            f"{size[1]} in shape {shape}; use padding='same'"
        )
    return (*size, *steps, top, left, oh, ow)


def conv2d(
    x: Like,
    weight: Like,
    bias: Like | None = None,
    stride: int | Sequence[int] = 1,
    padding: str = "valid",
) -> Expression:
    """Two-dimensional convolution (without reversing the filters, as everywhere).

    Args:
        x: (channels, height, width).
        weight: (filters, channels, window height, window width).
        bias: (filters,); None for none. Default: None.
        stride: steps down and right, or one number for both. Default: 1.
        padding: "valid": windows lie inside the image; "same": the result has
            ``ceil(size / stride)`` entries along each axis, with zeros around the image, one
            more below and right where their number is odd. Default: "valid".

    Returns:
        (filters, height', width').

    Raises:
        ShapeError: the shapes do not fit together.
        OperandError: a stride below 1, or another padding.

    Example:
        >>> import numpy as np
        >>> import autobatch as ab
        >>> image = np.arange(9.0).reshape(1, 3, 3)
        >>> ab.conv2d(image, np.ones((1, 1, 2, 2))).value()
        array([[[ 8., 12.],
                [20., 24.]]], dtype=float32)
    """
    shape, image = _shape("conv2d", weight), _shape("conv2d", x)
    if len(shape) != 4 or image[:1] != shape[1:2]:
        raise ShapeError(
            f"conv2d: expected a weight of shape (filters, channels, height, width) with the "
            f"channels of the image {image}, got {shape}"
        )
    offsets = shape[:1] if bias is None else _shape("conv2d", bias)
    if offsets != shape[:1]:
        raise ShapeError(
            f"conv2d: expected a bias of shape {shape[:1]}, a number for every filter, got "
            f"{offsets}"
        )
    size = _pair("conv2d", "window", shape[2:])
    attrs = _windows("conv2d", x, size, stride, padding)
    rows = _unfold2d.record((x,), attrs, ())
    inner = shape[1] * size[0] * size[1]
    product = functions.linear(rows, functions.reshape(weight, (shape[0], inner)), bias)
    return functions.reshape(functions.transpose(product), (shape[0], *attrs[-2:]))


def max_pool2d(
    x: Like,
    size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: str = "valid",
) -> Expression:
    """The largest number of every window of an image, NaN if any is.

    Of equal numbers the first gets the gradient.

    Args:
        x: (channels, height, width).
        size: height and width of the windows, or one number for both.
        stride: steps down and right, or one number for both. Default: None, the size.
        padding: "valid" or "same", as in `conv2d`; padding never is the largest.

    Returns:
        (channels, height', width').

    Raises:
        ShapeError: no image, or windows that do not fit into it.
        OperandError: a size or stride below 1, or another padding.

    Example:
        >>> import numpy as np
        >>> import autobatch as ab
        >>> ab.max_pool2d(np.arange(16.0).reshape(1, 4, 4), 2).value()
        array([[[ 5.,  7.],
                [13., 15.]]], dtype=float32)
    """
    window = _pair("max_pool2d", "size", size)
    steps = window if stride is None else stride
    return _max_pool2d.record((x,), _windows("max_pool2d", x, window, steps, padding), ())


def filter1d(x: Like, weight: Like, bias: Like | None = None) -> Expression:
    """Filters over all windows of neighbouring rows of a sequence ("narrow" convolution).

    Args:
        x: (length, dim), a sequence of vectors.
        weight: (filters, width, dim).
        bias: (filters,); None for none. Default: None.

    Returns:
        (length - width + 1, filters).

    Raises:
        ShapeError: the shapes do not fit together, or the sequence is shorter than a window.

    Example:
        >>> import numpy as np
        >>> import autobatch as ab
        >>> x = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 1.0]])
        >>> ab.filter1d(x, np.ones((1, 2, 2))).value()
        array([[3.],
               [6.]], dtype=float32)
    """
    shape, own = _shape("filter1d", weight), _shape("filter1d", x)
    if len(own) != 2 or len(shape) != 3 or own[1] != shape[2]:
        raise ShapeError(
            f"filter1d: expected a sequence (length, dim) and a weight (filters, width, dim), "
            f"got {own} and {shape}"
        )
    if not 1 <= shape[1] <= own[0]:
        raise ShapeError(
            f"filter1d: expected a sequence of at least {shape[1]} vectors, the width of the "
            f"filters, got {own[0]}"
        )
    count = own[0] - shape[1] + 1
    image = functions.reshape(x, (1, *own))
    if own[1]:
        rows = _unfold2d.record((image,), (shape[1], own[1], 1, 1, 0, 0, count, 1), ())
    else:
        rows = functions.zeros((count, 0))
    return functions.linear(rows, functions.reshape(weight, (shape[0], shape[1] * own[1])), bias)


def fold(x: Like, count: int = 2, axis: int = -1) -> Expression:
    """Sums of every `count` neighbours along an axis, without overlap.

    Source: Kalchbrenner, Grefenstette, Blunsom 2014, "A convolutional neural network for
    modelling sentences" (folding, with 2).

    Args:
        x: at least one axis.
        count: divides the size of the axis. Default: 2.
        axis: default -1, the last.

    Returns:
        The shape of x with 1 / count as many entries along the axis.

    Raises:
        ShapeError: no such axis, or a count that does not divide its size.

    Example:
        >>> import autobatch as ab
        >>> ab.fold(ab.input([1, 2, 3, 4])).value()
        array([3., 7.], dtype=float32)
    """
    shape = _shape("fold", x)
    axis = _axis("fold", axis, len(shape), shape)
    number = plain.whole("fold", "count", count)
    if number < 1 or shape[axis] % number:
        raise ShapeError(
            f"fold: expected a count that divides the {shape[axis]} entries of axis {axis} of "
            f"shape {shape}, got {number}"
        )
    parts = (*shape[:axis], shape[axis] // number, number, *shape[axis + 1 :])
    return functions.sum(functions.reshape(x, parts), axis=axis + 1)


def sliding_sum(x: Like, width: int, axis: int = 0) -> Expression:
    """Sums of every `width` neighbours along an axis, with overlap.

    Entry i is the sum of entries i to ``i + width - 1``.

    Args:
        x: at least one axis.
        width: from 1 to the size of the axis.
        axis: negative ones count from the end. Default: 0.

    Returns:
        The shape of x with ``width - 1`` entries less along the axis.

    Raises:
        ShapeError: no such axis, or another width.

    Example:
        >>> import autobatch as ab
        >>> ab.sliding_sum(ab.input([1, 2, 3, 4]), 2).value()
        array([3., 5., 7.], dtype=float32)
    """
    shape = _shape("sliding_sum", x)
    axis = _axis("sliding_sum", axis, len(shape), shape)
    number = plain.whole("sliding_sum", "width", width)
    if not 1 <= number <= shape[axis]:
        raise ShapeError(
            f"sliding_sum: expected a width from 1 to the {shape[axis]} entries of axis {axis} of "
            f"shape {shape}, got {number}"
        )
    count = shape[axis] - number + 1
    return functions.sum([functions._part(x, i, i + count, axis) for i in range(number)])
