"""Dropout, noise and random tensors, drawn when their values are needed."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ... import functions as F
from ...errors import ShapeError
from ..expressions import _shape
from ..graph import _CG, Node
from ..random import Draw
from ._shared import _axis, _batch, _full_shape, _of_dim

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


def _mask(op: str, x: Any, p: Any, shape: tuple[int, ...], batch: int) -> Any:
    """x times a mask of zeros, with probability p, and ``1 / (1 - p)``."""
    return F.multiply(x, _CG.delayed(shape, batch, _mask_draw(op, p)))


@functools.lru_cache(maxsize=256)
def _mask_draw(op: str, p: Any) -> Draw:
    return Draw.mask(_probability(op, p))


def dropout(x: Any, p: float) -> Any:
    """Zeroes elements with probability p and multiplies the others by ``1 / (1 - p)``.

    >>> import autobatch.dynet as dy
    >>> sorted(set(dy.dropout(dy.ones(100), 0.5).value()))
    [0.0, 2.0]
    """
    if type(x) is Node:
        return _mask("dropout", x, p, x.shape, x.batch_size)
    return _mask("dropout", x, p, _shape(x), 1)


def dropout_dim(x: Any, d: int, p: float) -> Any:
    """`dropout` of whole lines along a dimension.

    >>> import autobatch.dynet as dy
    >>> x = dy.dropout_dim(dy.ones((2, 50)), 0, 0.5).npvalue()
    >>> bool((x[0] == x[1]).all())
    True
    """
    axis = _axis("dropout_dim", x, d)
    shape = list(_full_shape(x))
    shape[axis] = 1
    return _mask("dropout_dim", x, p, tuple(shape), _batch(x))


def dropout_batch(x: Any, p: float) -> Any:
    """`dropout` of whole elements of the minibatch.

    >>> import autobatch.dynet as dy
    >>> x = dy.dropout_batch(dy.ones((2,), batch_size=50), 0.5).npvalue()
    >>> bool((x[0] == x[1]).all())
    True
    """
    return _mask("dropout_batch", x, p, (), _batch(x))


def block_dropout(x: Any, p: float) -> Any:
    """`dropout` of all of x at once.

    >>> import autobatch.dynet as dy
    >>> len(set(dy.block_dropout(dy.ones(100), 0.5).value()))
    1
    """
    return _mask("block_dropout", x, p, (), 1)


def noise(x: Any, stddev: float) -> Any:
    """x plus normally distributed numbers of mean 0.

    >>> import autobatch.dynet as dy
    >>> dy.noise(dy.ones(2), 0.0).value()
    [1.0, 1.0]
    """
    shape, batch, stddev = _shape(x), _batch(x), float(stddev)
    return F.add(x, _CG.delayed(shape, batch, Draw.normal(0.0, stddev)))


def _drawn(op: str, dim: Any, batch_size: int, draw: Draw) -> Any:
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
    return _drawn("random_normal", dim, batch_size, Draw.normal(float(mean), float(stddev)))


def random_uniform(dim: Any, left: float, right: float, batch_size: int = 1) -> Any:
    """Numbers from ``[left, right)``, all equally likely.

    >>> import autobatch.dynet as dy
    >>> 1 <= dy.random_uniform(1, 1, 2).value() < 2
    True
    """
    return _drawn("random_uniform", dim, batch_size, Draw.uniform(float(left), float(right)))


def random_bernoulli(dim: Any, p: float, scale: float = 1.0, batch_size: int = 1) -> Any:
    """`scale` with probability p, else 0.

    >>> import autobatch.dynet as dy
    >>> sorted(set(dy.random_bernoulli(100, 0.5, 2.0).value()))
    [0.0, 2.0]
    """
    keep = float(np.float32(_probability("random_bernoulli", p)))  # DyNet's is a float
    draw = Draw.bernoulli(keep, float(scale))
    return _drawn("random_bernoulli", dim, batch_size, draw)


def random_gumbel(dim: Any, mu: float = 0.0, beta: float = 1.0, batch_size: int = 1) -> Any:
    """Numbers of the Gumbel distribution, of location mu and scale beta.

    >>> import autobatch.dynet as dy
    >>> dy.random_gumbel(3).dim()
    ((3,), 1)
    """
    return _drawn("random_gumbel", dim, batch_size, Draw.gumbel(float(mu), float(beta)))
