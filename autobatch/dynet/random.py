"""DyNet's random stream: one Mersenne Twister, drawn from as libstdc++ does.

Programs that start from the same seed draw the same numbers in both libraries. All tensors
are drawn in memory order, that is column-major, the elements of a minibatch one after the
other. The generator and how floats are made from it are in kernels/cpu/twister.c.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from ..backends._cpu import ffi, lib

__all__ = ["Draw", "bernoulli", "gumbel", "normal", "reset", "uniform"]

_UNIFORM, _BERNOULLI, _NORMAL, _GUMBEL = range(4)
_buffer, _draw = ffi.from_buffer, lib.ab_twister_draw


class Draw(NamedTuple):
    """What is drawn, as ``ab_twister_draw`` of kernels/include/ab_api.h takes it.

    >>> reset(1)
    >>> Draw.bernoulli(0.5, factor=2.0).array(3)
    array([0., 0., 2.], dtype=float32)
    """

    kind: int
    a: float
    b: float
    factor: float = 1.0
    term: float = 0.0

    @classmethod
    def uniform(cls, low: float, high: float) -> Draw:
        """Floats in [low, high), one raw number each."""
        return tuple.__new__(cls, (_UNIFORM, low, high, 1.0, 0.0))  # a third of the time

    @classmethod
    def bernoulli(cls, p: float, factor: float = 1.0) -> Draw:
        """`factor` with probability `p`, else 0; two raw numbers each."""
        return cls(_BERNOULLI, p, 0.0, factor)

    @classmethod
    def mask(cls, rate: float) -> Draw:
        """Dropout's: 0 with probability `rate`, else ``1 / (1 - rate)``.

        Reckoned in float32, as DyNet does: of numbers beside the threshold, others are kept
        where it is a double. At a rate of 1 all are 0.

        >>> Draw.mask(0.1).a
        0.8999999761581421
        """
        one = np.float32(1.0)
        keep = one - np.float32(rate)
        return cls.bernoulli(float(keep), float(one / keep) if keep else 0.0)

    @classmethod
    def normal(cls, mean: float, std: float) -> Draw:
        """Normally distributed floats by the polar method (Marsaglia and Bray 1964).

        A pair of raw numbers makes two of them, or is rejected; the spare one of an odd count
        is not kept for the next call.
        """
        return cls(_NORMAL, mean, std)

    @classmethod
    def gumbel(cls, location: float, scale: float) -> Draw:
        """Floats of the Gumbel distribution, ``location - scale * log(-log(u))``."""
        return cls(_GUMBEL, 0.0, 0.0, scale, location)

    def array(self, size: int) -> np.ndarray:
        """The next numbers of the stream, float32."""
        numbers = np.empty(size, np.float32)
        self.into(numbers)
        return numbers

    def into(self, numbers: np.ndarray) -> None:
        """Writes the next numbers into a contiguous array of either number type."""
        _draw(_stream, *self, numbers.size, _buffer(numbers), numbers.itemsize)


def _begun(seed: int) -> Any:
    stream = lib.ab_twister_new(seed)
    if stream == ffi.NULL:
        raise MemoryError
    return stream


# There is one, for good: the core, too, draws from it.
_stream = _begun(1)
_core.set_stream(int(ffi.cast("intptr_t", _stream)))


def reset(seed: int) -> None:
    """Begins the stream of a seed; 0 stands for a seed that differs from run to run."""
    lib.ab_twister_begin(_stream, (seed or time.time_ns()) & 0xFFFFFFFF or 1)


def untouched() -> bool:
    """Whether nothing was drawn since the stream began."""
    return bool(lib.ab_twister_untouched(_stream))


def uniform(size: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Floats in [low, high).

    >>> reset(1)
    >>> uniform(2)
    array([0.417022 , 0.9971848], dtype=float32)
    """
    return Draw.uniform(low, high).array(size)


def bernoulli(size: int, p: float) -> np.ndarray:
    """Booleans that are True with probability `p`.

    >>> reset(1)
    >>> bernoulli(3, 0.5)
    array([False, False,  True])
    """
    return Draw.bernoulli(p).array(size) != 0


def normal(size: int, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """Normally distributed floats.

    >>> reset(1)
    >>> normal(2)
    array([0.3063995, 0.1560656], dtype=float32)
    """
    return Draw.normal(mean, std).array(size)


def gumbel(size: int) -> np.ndarray:
    """Floats of the standard Gumbel distribution.

    >>> reset(1)
    >>> gumbel(1)
    array([0.13396998], dtype=float32)
    """
    return Draw.gumbel(0.0, 1.0).array(size)
