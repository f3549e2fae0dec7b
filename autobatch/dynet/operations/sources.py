"""What a graph begins with: constants and rows of tables. Inputs stand beside `Expression`."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import _core
from ... import functions as F
from ...engine import direct
from ...errors import OperandError
from ...recording import recorder, traced
from ..expressions import _operand
from ..graph import _CG
from ..parameters import LookupParameters
from ._shared import _of_dim

__all__ = [
    "constant",
    "lookup",
    "lookup_batch",
    "one_hot",
    "ones",
    "zeroes",
    "zeros",
]

_lookup_again = recorder("lookup_again").record


@traced
def constant(dim: Any, val: float, batch_size: int = 1) -> Any:
    """A tensor of one number.

    Args:
        dim: an int or a tuple.
        val: the number.
        batch_size: default 1.

    >>> import autobatch.dynet as dy
    >>> dy.constant((2,), 3).value()
    [3.0, 3.0]
    """
    shape = _of_dim("constant", dim)
    if batch_size == 1:
        return F.full(shape, float(val))
    return F.input(np.full((int(batch_size), *shape), float(val)), batched=True)


@traced
def zeros(dim: Any, batch_size: int = 1) -> Any:
    """A tensor of zeros; arguments as in `constant`.

    >>> import autobatch.dynet as dy
    >>> dy.zeros(2).value()
    [0.0, 0.0]
    """
    return constant(dim, 0.0, batch_size)


zeroes = zeros


@traced
def ones(dim: Any, batch_size: int = 1) -> Any:
    """A tensor of ones; arguments as in `constant`.

    >>> import autobatch.dynet as dy
    >>> dy.ones(2).value()
    [1.0, 1.0]
    """
    return constant(dim, 1.0, batch_size)


@traced
def one_hot(d: int, idx: int | Sequence[int], device: str = "") -> Any:
    """A vector of zeros with a 1.

    Args:
        d: its length.
        idx: where the 1 stands; a list makes a minibatch.

    >>> import autobatch.dynet as dy
    >>> dy.one_hot(3, 1).value()
    [0.0, 1.0, 0.0]
    """
    return F.one_hot(idx, d)


@direct
def lookup(p: Any, index: int | None = None, update: bool = True) -> Any:
    """A row of a table.

    Args:
        p: LookupParameters.
        index: the row. Default: 0, which `Expression.set` may change. Others it may change in a
            program's first graphs, and where it has done so; elsewhere lookups of one row are
            one node.
        update: whether it is trained. Default: True.

    Raises:
        IndexRangeError: no such row.

    >>> import autobatch.dynet as dy
    >>> p = dy.ParameterCollection().add_lookup_parameters((5, 2), init=1)
    >>> dy.lookup(p, 3).value()
    [1.0, 1.0]
    """
    if not isinstance(p, LookupParameters):
        raise OperandError(f"lookup: expected LookupParameters, got {type(p).__name__}")
    _core.columns_begin()
    if index is None or _CG.movable:
        row = _lookup_again((_operand(p),), (1,), (operator.index(index or 0),))
    else:
        row = _operand(p)[index]
    return row if update else F.stop_gradient(row)


@direct
def lookup_batch(p: Any, indices: Sequence[int], update: bool = True) -> Any:
    """Rows of a table as a minibatch; `Expression.set` may change them.

    >>> import autobatch.dynet as dy
    >>> p = dy.ParameterCollection().add_lookup_parameters((5, 2), init=1)
    >>> dy.lookup_batch(p, [3, 0]).dim()
    ((2,), 2)
    """
    if not isinstance(p, LookupParameters):
        raise OperandError(f"lookup_batch: expected LookupParameters, got {type(p).__name__}")
    rows = p.batch(indices)
    return rows if update else F.stop_gradient(rows)
