"""How layers make their weights, and check what they are given."""

from __future__ import annotations

import numpy as np

from .. import plain
from ..errors import ConfigurationError
from ..initializers import Glorot, Initializer
from ..parameters import Parameter


def stacked(gates: int, rows: int, columns: int, init: Initializer | None = None) -> Parameter:
    """The matrices of several gates, one above the other, so that one product serves all.

    Each is initialised by itself: the fans are those of one gate. Default: Glorot.
    """
    init = Glorot() if init is None else init
    parts = [init((rows, columns), np.float64) for _ in range(gates)]
    return Parameter(init=np.concatenate(parts))


def bias(*blocks: tuple[int, float]) -> Parameter:
    """A bias made of blocks of a length and a value each."""
    return Parameter(init=np.concatenate([np.full(length, value) for length, value in blocks]))


def whole(owner: str, name: str, value: int) -> int:
    """A size: a whole number above 0."""
    size = plain.whole(owner, name, value, ConfigurationError)
    if size < 1:
        raise ConfigurationError(f"{owner}: {name} must be a whole number above 0, got {value!r}")
    return size


def dropout_rate(owner: str, value: float) -> float:
    """A rate of dropout: at least 0 and below 1."""
    rate = plain.number(owner, "dropout", value, ConfigurationError)
    if not 0.0 <= rate < 1.0:
        raise ConfigurationError(f"{owner}: dropout must be at least 0 and below 1, got {value!r}")
    return rate
