"""The same elements in another shape, and expressions joined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ... import functions as F
from ... import selection
from ...errors import OperandError, ShapeError
from ...recording import recorder, traced
from ..expressions import _dims, _operand, _shape
from ._shared import _alike, _batch, _full_shape, _listed, _whole

__all__ = [
    "concatenate",
    "concatenate_cols",
    "concatenate_to_batch",
    "reshape",
    "transpose",
]

_reshape = recorder("reshape").record
_transpose = recorder("transpose").record
_concat = recorder("concat").record


@traced
def reshape(x: Any, d: tuple[int, ...], batch_size: int = 1) -> Any:
    """The same elements, in column-major order, in other dimensions.

    Args:
        x: an expression.
        d: a tuple. Of the size of x: the minibatch stays. Otherwise of the size of all its
            elements together.
        batch_size: of the result. Default: 1.

    >>> import autobatch.dynet as dy
    >>> dy.reshape(dy.inputVector([1, 2, 3, 4]), (2, 2)).npvalue()
    array([[1., 3.],
           [2., 4.]])
    """
    if not isinstance(d, tuple):
        raise OperandError(f"reshape: expected a tuple of dimensions, got {type(d).__name__}")
    shape = d[::-1]
    if batch_size == 1:
        try:
            return _reshape((x,), shape, ())
        except (ShapeError, OperandError, TypeError):
            pass  # the minibatch is to be joined, below; or floats are sizes; or a true mistake
    shape = tuple([_whole("reshape", size) for size in shape])
    own, batch = math.prod(_shape(x)), _batch(x)
    x = _operand(x)
    if math.prod(shape) == own and batch_size in (1, batch):
        return F.reshape(x, shape)
    if math.prod(shape) * batch_size != own * batch:
        raise ShapeError(
            f"reshape: {d} in a minibatch of {batch_size} has another size than {_dims(x)} in a "
            f"minibatch of {batch}"
        )
    if batch > 1:
        x = selection.batch_to_axis(x)
    if batch_size == 1:
        return F.reshape(x, shape)
    return selection.axis_to_batch(F.reshape(x, (int(batch_size), *shape)))


@traced
def transpose(x: Any, dims: Sequence[int] = (1, 0)) -> Any:
    """Permutes the dimensions.

    Args:
        x: an expression; a vector counts as a column.
        dims: dimension i of the result is dimension ``dims[i]`` of x. Default: [1, 0].

    >>> import autobatch.dynet as dy
    >>> dy.transpose(dy.inputVector([1, 2])).dim()
    ((1, 2), 1)
    """
    shape = _full_shape(x)
    if dims == (1, 0) and len(shape) <= 2:
        return _transpose((x,), (1, 0), ()) if len(shape) == 2 else _reshape((x,), (*shape, 1), ())
    count = len(dims)
    x = _operand(x)
    if count < len(shape):
        raise ShapeError(
            f"transpose: expected {len(shape)} dimensions for {_dims(x)}, got {list(dims)}"
        )
    if count > len(shape):
        x = F.reshape(x, (1,) * (count - len(shape)) + shape)
    return F.transpose(x, [count - 1 - dims[count - 1 - axis] for axis in range(count)])


@traced
def concatenate(xs: list[Any], d: int = 0) -> Any:
    """Joins expressions along a dimension.

    Args:
        xs: a list; sizes are equal but along the dimension.
        d: default 0.

    >>> import autobatch.dynet as dy
    >>> dy.concatenate([dy.inputVector([1, 2]), dy.scalarInput(3)]).value()
    [1.0, 2.0, 3.0]
    """
    if type(xs) is not list or not xs:
        _listed("concatenate", xs)
    axis = len(_shape(xs[0])) - 1 - d
    if axis >= 0:
        try:
            return _concat(tuple(xs), (axis,), ())
        except ShapeError:
            pass  # dimensions of 1 to be added or dropped, below; or a true mistake
    shapes = [_shape(x) for x in xs]
    # Missing dimensions are of size 1; what has one too many keeps it if the first has it.
    count = max(len(shapes[0]), d + 1, 1)
    joined = []
    for x, shape in zip(xs, shapes, strict=True):
        if len(shape) > count and all(dim == 1 for dim in shape[: len(shape) - count]):
            x = F.reshape(_operand(x), shape[len(shape) - count :])
        elif len(shape) < count:
            x = F.reshape(_operand(x), (1,) * (count - len(shape)) + shape)
        joined.append(x)
    return _concat(tuple(joined), (count - 1 - d,), ())


@traced
def concatenate_cols(xs: list[Any]) -> Any:
    """Joins columns, or matrices, side by side.

    >>> import autobatch.dynet as dy
    >>> dy.concatenate_cols([dy.inputVector([1, 2]), dy.inputVector([3, 4])]).npvalue()
    array([[1., 3.],
           [2., 4.]])
    """
    _listed("concatenate_cols", xs)
    first = _full_shape(xs[0])
    if len(first) == 1 and all(_shape(x) == first for x in xs):
        return F.stack(xs)
    return concatenate(xs, 1)


@traced
def concatenate_to_batch(xs: list[Any]) -> Any:
    """Joins the minibatches of expressions of the same dimensions.

    >>> import autobatch.dynet as dy
    >>> dy.concatenate_to_batch([dy.inputVector([1, 2]), dy.inputVector([3, 4])]).npvalue()
    array([[1., 3.],
           [2., 4.]])
    """
    return selection.concat_batch(_alike(_listed("concatenate_to_batch", xs)))
