"""Arithmetic on shapes that several families of ops share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .declare import Operand, Shape


def outer_inner(shape: Shape, axis: int, count: int = 1) -> tuple[int, int, int]:
    """``(outer, length, inner)``: sizes before, of and after `count` axes from `axis` on.

    Example:
        >>> outer_inner((2, 3, 4, 5), 1, 2)
        (2, 12, 5)
    """
    return (
        math.prod(shape[:axis]),
        math.prod(shape[axis : axis + count]),
        math.prod(shape[axis + count :]),
    )


def contiguous_strides(shape: Shape) -> tuple[int, ...]:
    """Element strides of a contiguous row-major array.

    Example:
        >>> contiguous_strides((2, 3, 4))
        (12, 4, 1)
    """
    strides, step = [], 1
    for dim in reversed(shape):
        strides.append(step)
        step *= dim
    return tuple(reversed(strides))


def merge_axes(dims: Sequence[int], strides: Sequence[int]) -> tuple[Shape, Shape]:
    """The same walk over memory with as few axes as possible, at least one.

    Example:
        >>> merge_axes((2, 3, 4), (12, 4, 1))
        ((24,), (1,))
    """
    sizes: list[int] = []
    steps: list[int] = []
    for dim, stride in zip(dims, strides, strict=True):
        if dim == 1:
            continue
        if sizes and steps[-1] == dim * stride:
            sizes[-1] *= dim
            steps[-1] = stride
        else:
            sizes.append(dim)
            steps.append(stride)
    if 0 in sizes:
        return (0,), (1,)
    if not sizes:
        return (1,), (1,)
    return tuple(sizes), tuple(steps)


def added(xp: Any, x: Any, axis: Any, keepdims: bool = False) -> Any:
    """The sum over axes, added in double: a running sum in float errs by its length."""
    total = x.sum(axis=axis, keepdims=keepdims, dtype=xp.float64)
    return total if x.dtype == bool else total.astype(x.dtype)


def averaged(xp: Any, x: Any, axis: Any, keepdims: bool = False) -> Any:
    """The mean over axes, added in double."""
    return x.mean(axis=axis, keepdims=keepdims, dtype=xp.float64).astype(x.dtype)


def is_matrix(x: Operand) -> bool:
    """Whether an operand can be the packed weight of a matrix product."""
    return x.weight and x.batch == 1 and len(x.shape) == 2 and x.size > 0
