"""DyNet's random stream: one Mersenne Twister, drawn from as libstdc++ does.

Programs that start from the same seed draw the same numbers in both libraries. All tensors
are drawn in memory order, that is column-major, the elements of a minibatch one after the
other. The generator is that of Matsumoto and Nishimura 1998, "Mersenne Twister", whose raw
output NumPy and libstdc++ share; how floats are made from it is probed.
"""

from __future__ import annotations

import time

import numpy as np

__all__ = ["bernoulli", "gumbel", "normal", "reset", "uniform"]

_CHUNK = 4096  # raw numbers made at a time


class Stream:
    """Raw 32-bit numbers of one generator, in order.

    >>> Stream(1).take(2)
    array([1791095845, 4282876139], dtype=uint32)
    """

    def __init__(self, seed: int) -> None:
        self._twister = np.random.RandomState(seed & 0xFFFFFFFF)
        self._ahead = np.zeros(0, np.uint32)
        self._at = 0
        self.untouched = True

    def peek(self, count: int) -> np.ndarray:
        """The next `count` numbers, which stay the next ones."""
        missing = self._at + count - len(self._ahead)
        if missing > 0:
            fresh = self._twister.randint(0, 1 << 32, max(missing, _CHUNK), np.uint32)
            self._ahead = np.concatenate([self._ahead[self._at :], fresh])
            self._at = 0
        return self._ahead[self._at : self._at + count]

    def take(self, count: int) -> np.ndarray:
        """The next `count` numbers."""
        numbers = self.peek(count)
        self._at += count
        self.untouched = False
        return numbers


_stream = Stream(1)


def reset(seed: int) -> None:
    """Begins the stream of a seed; 0 stands for a seed that differs from run to run."""
    global _stream
    _stream = Stream(seed or (time.time_ns() & 0xFFFFFFFF) or 1)


def untouched() -> bool:
    """Whether nothing was drawn since the stream began."""
    return _stream.untouched


def _canonical(raw: np.ndarray) -> np.ndarray:
    """Floats in [0, 1): u / 2^32, rounded to float32, never 1."""
    floats = raw.astype(np.float32) * np.float32(2.0**-32)
    return np.minimum(floats, np.float32(1.0 - 2.0**-24))


def _multiply_add(x: np.ndarray, factor: np.float32, term: np.float32) -> np.ndarray:
    """x * factor + term rounded once to float32, as a fused instruction does it.

    The product of two float32 is exact in float64. The sum is rounded to odd there, so that
    the second rounding, to float32, is that of the exact sum (Boldo and Melquiond 2008,
    "Emulation of FMA and correctly rounded sums").
    """
    a, b = x.astype(np.float64) * np.float64(factor), np.float64(term)
    total = a + b
    back = total - a
    error = (a - (total - back)) + (b - back)
    bits = total.view(np.int64)
    inexact = (error != 0) & (bits & 1 == 0)
    # One step towards the exact sum: away from zero where the error has the sum's sign.
    step = np.where((error > 0) == (total > 0), 1, -1)
    return np.where(inexact, bits + step, bits).view(np.float64).astype(np.float32)


def uniform(size: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Floats in [low, high), one raw number each.

    >>> reset(1)
    >>> uniform(2)
    array([0.417022 , 0.9971848], dtype=float32)
    """
    a, b = np.float32(low), np.float32(high)
    return _multiply_add(_canonical(_stream.take(size)), b - a, a)


def bernoulli(size: int, p: float) -> np.ndarray:
    """Booleans that are True with probability `p`, two raw numbers each.

    >>> reset(1)
    >>> bernoulli(3, 0.5)
    array([False, False,  True])
    """
    raw = _stream.take(2 * size).astype(np.float64)
    return (raw[::2] + raw[1::2] * 2.0**32) * 2.0**-64 < p


def normal(size: int, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """Normally distributed floats by the polar method (Marsaglia and Bray 1964).

    A pair of raw numbers makes two of them, or is rejected; the spare one of an odd count is
    not kept for the next call.

    >>> reset(1)
    >>> normal(2)
    array([0.3063995, 0.1560656], dtype=float32)
    """
    found: list[np.ndarray] = []
    wanted = (size + 1) // 2
    one = np.float32(1.0)
    while wanted:
        pairs = wanted + wanted // 2 + 4  # 0.785 of them are kept
        raw = _canonical(_stream.peek(2 * pairs)).reshape(pairs, 2)
        points = raw + raw - one
        x, y = points[:, 0], points[:, 1]
        # Fused, as the compiler of the wheel wrote it: y * y is not rounded.
        radius = (y.astype(np.float64) ** 2 + x * x).astype(np.float32)
        kept = np.flatnonzero((radius <= 1) & (radius != 0))[:wanted]
        _stream.take(2 * int(kept[-1] + 1 if len(kept) == wanted else pairs))
        r = radius[kept]
        log = np.log(r.astype(np.float64)).astype(np.float32)
        scale = np.sqrt(np.float32(-2.0) * log / r)
        found.append(np.stack([y[kept] * scale, x[kept] * scale], axis=1).reshape(-1))
        wanted -= len(kept)
    drawn = np.concatenate(found)[:size] if found else np.zeros(0, np.float32)
    return _multiply_add(drawn, np.float32(std), np.float32(mean))


def gumbel(size: int) -> np.ndarray:
    """Floats of the standard Gumbel distribution, -log(-log(u)) of uniform ones.

    >>> reset(1)
    >>> gumbel(1)
    array([0.13396998], dtype=float32)
    """
    least = np.float32(1e-20)
    drawn = np.maximum(uniform(size), least)
    return -np.log(np.maximum(-np.log(drawn), least))
