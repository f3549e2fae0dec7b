"""Convolution, pooling, and sums of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import convolution, statistics
from ... import functions as F
from ...errors import ShapeError
from ...recording import traced
from ..expressions import _dims, _operand, _shape
from ._shared import _axis, _spread

__all__ = [
    "conv2d",
    "conv2d_bias",
    "filter1d_narrow",
    "fold_rows",
    "kmax_pooling",
    "kmh_ngram",
    "maxpooling2d",
]


def _image(op: str, x: Any) -> Any:
    """(channels, width, height) of an image that may lack channels."""
    shape = _shape(x)
    if len(shape) == 2:
        return F.reshape(_operand(x), (1, *shape))
    if len(shape) != 3:
        raise ShapeError(f"{op}: expected (height, width, channels), got {_dims(x)}")
    return _operand(x)


def _window(op: str, stride: Any) -> tuple[int, int]:
    if len(stride) != 2:
        raise ShapeError(f"{op}: expected two numbers, of height and width, got {stride}")
    return int(stride[1]), int(stride[0])


def _convolve(x: Any, f: Any, b: Any, stride: Any, is_valid: bool) -> Any:
    image = _image("conv2d", x)
    if len(_shape(f)) != 4:
        raise ShapeError(
            f"conv2d: expected filters (height, width, channels, filters), got {_dims(f)}"
        )
    # Ours are (channels, height, width): the two sides of the image change places.
    padding = "valid" if is_valid else "same"
    step = _window("conv2d", stride)
    return convolution.conv2d(image, _operand(f), bias=_operand(b), stride=step, padding=padding)


@traced
def conv2d(x: Any, f: Any, stride: Sequence[int], is_valid: bool = True) -> Any:
    """Convolution (correlation) of an image with filters.

    Args:
        x: dimensions (height, width, channels), or (height, width).
        f: dimensions (height, width, channels, filters).
        stride: of the height and of the width.
        is_valid: filters stay inside the image; False: as many results as
            ``ceil(size / stride)``, with zeros around the image.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> x, f = dy.inputTensor(np.ones((4, 4, 1))), dy.inputTensor(np.ones((2, 2, 1, 3)))
    >>> dy.conv2d(x, f, [1, 1]).dim()
    ((3, 3, 3), 1)
    """
    return _convolve(x, f, None, stride, is_valid)


@traced
def conv2d_bias(x: Any, f: Any, b: Any, stride: Sequence[int], is_valid: bool = True) -> Any:
    """`conv2d` plus a number for every filter.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> x, f = dy.inputTensor(np.ones((4, 4, 1))), dy.inputTensor(np.ones((2, 2, 1, 1)))
    >>> dy.conv2d_bias(x, f, dy.inputVector([1]), [2, 2]).npvalue()[:, :, 0]
    array([[5., 5.],
           [5., 5.]])
    """
    return _convolve(x, f, b, stride, is_valid)


@traced
def maxpooling2d(x: Any, ksize: Sequence[int], stride: Sequence[int], is_valid: bool = True) -> Any:
    """The maximum of each window of an image.

    Args:
        x: dimensions (height, width, channels), or (height, width).
        ksize: the window's height and width.
        stride, is_valid: as in `conv2d`.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> x = dy.inputTensor(np.arange(16.0).reshape(4, 4))
    >>> dy.maxpooling2d(x, [2, 2], [2, 2]).npvalue()
    array([[ 5.,  7.],
           [13., 15.]])
    """
    size, step = _window("maxpooling2d", ksize), _window("maxpooling2d", stride)
    padding = "valid" if is_valid else "same"
    pooled = convolution.max_pool2d(_image("maxpooling2d", x), size, stride=step, padding=padding)
    return F.reshape(pooled, pooled.shape[1:]) if len(_shape(x)) == 2 else pooled


@traced
def filter1d_narrow(x: Any, y: Any) -> Any:
    """Convolution along the columns, without padding.

    Args:
        x: dimensions (rows, columns).
        y: dimensions (rows, width) or (rows, width, filters).

    Returns:
        (filters, columns - width + 1).

    >>> import autobatch.dynet as dy
    >>> x, y = dy.inputTensor([[0, 1, 2], [3, 4, 5]]), dy.inputTensor([[1, 1], [1, 1]])
    >>> dy.filter1d_narrow(x, y).npvalue()
    array([[ 8., 12.]])
    """
    window = _shape(y)
    if len(window) == 2:
        y = F.reshape(_operand(y), (1, *window))
    return convolution.filter1d(_operand(x), _operand(y))


@traced
def kmax_pooling(x: Any, k: int, d: int = 1) -> Any:
    """The k largest entries along a dimension, in their order.

    >>> import autobatch.dynet as dy
    >>> dy.kmax_pooling(dy.inputTensor([[3, 1, 2]]), 2).npvalue()
    array([[3., 2.]])
    """
    axis = _axis("kmax_pooling", x, d)
    return statistics.kmax(_operand(x), int(k), axis=axis)


@traced
def kmh_ngram(x: Any, v: int) -> Any:
    """Sums of v neighbouring columns.

    >>> import autobatch.dynet as dy
    >>> dy.kmh_ngram(dy.inputTensor([[0, 1, 2]]), 2).npvalue()
    array([[1., 3.]])
    """
    if len(_shape(x)) != 2:
        raise ShapeError(f"kmh_ngram: expected a matrix, got dimensions {_dims(x)}")
    return convolution.sliding_sum(_operand(x), int(v), axis=0)


@traced
def fold_rows(x: Any, nrows: int = 2) -> Any:
    """Sums of `nrows` neighbouring rows.

    >>> import autobatch.dynet as dy
    >>> dy.fold_rows(dy.inputTensor([[0, 1], [2, 3]])).npvalue()
    array([[2., 4.]])
    """
    return convolution.fold(_spread(x), int(nrows), axis=-1)
