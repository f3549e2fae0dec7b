"""Dropout, noise and random tensors, drawn when their values are needed."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import _core
from ... import functions as F
from ...errors import ShapeError
from ...recording import recorder
from ..graph import _CG
from ..random import Draw
from ._shared import _axis, _batch, _of_dim

__all__ = [
    "block_dropout",
    "dropout",
    "dropout_batch",
    "dropout_dim",
    "noise",
    "random_bernoulli",
    "random_gumbel",
    "random_normal",
    "random_uniform",
]


def _probability(op: str, p: Any) -> float:
    p = float(p)
    if not 0 <= p <= 1:
        raise ShapeError(f"{op}: expected a probability from 0 to 1, got {p}")
    return p


# How many numbers a mask has, as `_core.with_drawn` takes it, if not one for each line along a
# dimension: as many as x has, one for each element of the minibatch, one.
_EACH, _ELEMENTS, _ONE = -1, -2, -3

_with_drawn, _drawn = _core.with_drawn, _core.drawn
_multiply, _add = recorder("multiply"), recorder("add")


def _mask_draw(op: str, p: Any) -> Draw:
    return Draw.mask(_probability(op, p))


class _Draws(dict[Any, Draw]):
    """What an op draws, by its numbers: a program repeats few of them, and making a `Draw` takes
    longer than recording it."""

    def __init__(self, make: Callable[[Any], Draw]) -> None:
        self._make = make

    def of(self, *numbers: Any) -> Draw:
        """For numbers that may be arrays, which are no keys."""
        try:
            return self[numbers]
        except TypeError:
            return self._make(numbers)

    def __missing__(self, numbers: Any) -> Draw:
        made = self._make(numbers)
        given = numbers if type(numbers) is tuple else (numbers,)
        if len(self) < _MOST and all(isinstance(number, (float, int)) for number in given):
            self[numbers] = made
        return made


_MOST = 256

_DROPOUT, _DROPOUT_DIM, _DROPOUT_BATCH, _BLOCK_DROPOUT = (
    _Draws(functools.partial(_mask_draw, op))
    for op in ("dropout", "dropout_dim", "dropout_batch", "block_dropout")
)
_NORMAL = _Draws(lambda given: Draw.normal(float(given[0]), float(given[1])))
_UNIFORM = _Draws(lambda given: Draw.uniform(float(given[0]), float(given[1])))
_GUMBEL = _Draws(lambda given: Draw.gumbel(float(given[0]), float(given[1])))


def _bernoulli_draw(given: tuple[Any, Any]) -> Draw:
    keep = float(np.float32(_probability("random_bernoulli", given[0])))  # DyNet's is a float
    return Draw.bernoulli(keep, float(given[1]))


_BERNOULLI = _Draws(_bernoulli_draw)


def dropout(x: Any, p: float) -> Any:
    """Zeroes elements with probability p and multiplies the others by ``1 / (1 - p)``.

    >>> import autobatch.dynet as dy
    >>> sorted(set(dy.dropout(dy.ones(100), 0.5).value()))
    [0.0, 2.0]
    """
    return _with_drawn(_multiply, x, _DROPOUT[p], _EACH)


def dropout_dim(x: Any, d: int, p: float) -> Any:
    """`dropout` of whole lines along a dimension.

    >>> import autobatch.dynet as dy
    >>> x = dy.dropout_dim(dy.ones((2, 50)), 0, 0.5).npvalue()
    >>> bool((x[0] == x[1]).all())
    True
    """
    draw, lines = _DROPOUT_DIM[p], operator.index(d)
    made = _with_drawn(_multiply, x, draw, lines) if lines >= 0 else None
    if made is None:
        _axis("dropout_dim", x, d)  # raises, unless x is a scalar
        return F.multiply(x, _CG.delayed((1,), _batch(x), draw))
    return made


def dropout_batch(x: Any, p: float) -> Any:
    """`dropout` of whole elements of the minibatch.

    >>> import autobatch.dynet as dy
    >>> x = dy.dropout_batch(dy.ones((2,), batch_size=50), 0.5).npvalue()
    >>> bool((x[0] == x[1]).all())
    True
    """
    return _with_drawn(_multiply, x, _DROPOUT_BATCH[p], _ELEMENTS)


def block_dropout(x: Any, p: float) -> Any:
    """`dropout` of all of x at once.

    >>> import autobatch.dynet as dy
    >>> len(set(dy.block_dropout(dy.ones(100), 0.5).value()))
    1
    """
    return _with_drawn(_multiply, x, _BLOCK_DROPOUT[p], _ONE)


def noise(x: Any, stddev: float) -> Any:
    """x plus normally distributed numbers of mean 0.

    >>> import autobatch.dynet as dy
    >>> dy.noise(dy.ones(2), 0.0).value()
    [1.0, 1.0]
    """
    return _with_drawn(_add, x, _NORMAL.of(0.0, stddev), _EACH)


def _of_any_dim(op: str, dim: Any, batch_size: Any, draw: Draw) -> Any:
    """Random numbers whose dimensions are not plain ints, or wrong."""
    return _CG.delayed(_of_dim(op, dim), int(batch_size), draw)


def random_normal(dim: Any, mean: float = 0.0, stddev: float = 1.0, batch_size: int = 1) -> Any:
    """Normally distributed numbers.

    Args:
        dim: an int or a tuple.
        mean, stddev: default 0 and 1.
        batch_size: default 1.

    >>> import autobatch.dynet as dy
    >>> dy.random_normal((2, 3)).dim()
    ((2, 3), 1)
    """
    draw = _NORMAL.of(mean, stddev)
    made = _drawn(draw, dim, batch_size)
    return _of_any_dim("random_normal", dim, batch_size, draw) if made is None else made


def random_uniform(dim: Any, left: float, right: float, batch_size: int = 1) -> Any:
    """Numbers from ``[left, right)``, all equally likely.

    >>> import autobatch.dynet as dy
    >>> 1 <= dy.random_uniform(1, 1, 2).value() < 2
    True
    """
    draw = _UNIFORM.of(left, right)
    made = _drawn(draw, dim, batch_size)
    return _of_any_dim("random_uniform", dim, batch_size, draw) if made is None else made


def random_bernoulli(dim: Any, p: float, scale: float = 1.0, batch_size: int = 1) -> Any:
    """`scale` with probability p, else 0.

    >>> import autobatch.dynet as dy
    >>> sorted(set(dy.random_bernoulli(100, 0.5, 2.0).value()))
    [0.0, 2.0]
    """
    draw = _BERNOULLI.of(p, scale)
    made = _drawn(draw, dim, batch_size)
    return _of_any_dim("random_bernoulli", dim, batch_size, draw) if made is None else made


def random_gumbel(dim: Any, mu: float = 0.0, beta: float = 1.0, batch_size: int = 1) -> Any:
    """Numbers of the Gumbel distribution, of location mu and scale beta.

    >>> import autobatch.dynet as dy
    >>> dy.random_gumbel(3).dim()
    ((3,), 1)
    """
    draw = _GUMBEL.of(mu, beta)
    made = _drawn(draw, dim, batch_size)
    return _of_any_dim("random_gumbel", dim, batch_size, draw) if made is None else made
