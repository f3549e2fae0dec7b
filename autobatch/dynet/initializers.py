"""How parameters get their first values: DyNet's initializers, on DyNet's random stream.

Each answers the numbers of a tensor as one flat array in column-major order, which is how
the drop-in stores them. Formulas are those of DyNet's reference documentation; a lookup's
numbers are drawn for the whole table at once, with the table's rows as the last dimension.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import Param
from . import random

__all__ = [
    "ConstInitializer",
    "FromFileInitializer",
    "GlorotInitializer",
    "IdentityInitializer",
    "NormalInitializer",
    "NumpyInitializer",
    "PyInitializer",
    "SaxeInitializer",
    "UniformInitializer",
]

Dims = tuple[int, ...]


def _square(dims: Dims, what: str) -> int:
    if len(dims) != 2 or dims[0] != dims[1]:
        raise RuntimeError(
            f"Attempt to set a tensor that is not a square matrix to {what}: its dimensions "
            f"are {dims}"
        )
    return dims[0]


class PyInitializer:
    """Base class of the initializers."""

    def __init__(self) -> None:
        raise AssertionError("Do not create PyInitializer directly.")

    def numbers(self, dims: Dims, lookup: bool = False) -> np.ndarray:
        """The numbers of a tensor of these dimensions, flat, in column-major order.

        Args:
            dims: DyNet's dimensions; of a lookup those of a row, then the number of rows.
            lookup: the tensor is a table.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define numbers(dims)")

    def fill(self, param: Param, dims: Dims, lookup: bool = False) -> None:
        """Gives a parameter the numbers of a tensor of these dimensions."""
        data = param._data
        data[...] = self.numbers(dims, lookup).reshape(data.shape)


class _Drawn(PyInitializer):
    """The next numbers of the random stream, drawn right into the parameter's memory."""

    def draw(self, dims: Dims) -> random.Draw:
        """What is drawn for a tensor of these dimensions."""
        raise NotImplementedError

    def numbers(self, dims: Dims, lookup: bool = False) -> np.ndarray:
        return self.draw(dims).array(math.prod(dims))

    def fill(self, param: Param, dims: Dims, lookup: bool = False) -> None:
        param._draw(self.draw(dims))


class ConstInitializer(PyInitializer):
    """Every number the same.

    Args:
        c: the number.

    >>> ConstInitializer(0.5).numbers((2,))
    array([0.5, 0.5], dtype=float32)
    """

    def __init__(self, c: float) -> None:
        self.c = float(c)

    def numbers(self, dims: Dims, lookup: bool = False) -> np.ndarray:
        return np.full(math.prod(dims), self.c, np.float32)

    def fill(self, param: Param, dims: Dims, lookup: bool = False) -> None:
        param._fill(self.c)


class UniformInitializer(_Drawn):
    """Uniform in ``[-scale, scale)``.

    Args:
        scale: half the width.
    """

    def __init__(self, scale: float) -> None:
        self.scale = float(scale)

    def draw(self, dims: Dims) -> random.Draw:
        return random.Draw.uniform(-self.scale, self.scale)


class NormalInitializer(_Drawn):
    """Normal with a mean and a variance.

    Args:
        mean: default 0.
        var: the variance, not the standard deviation; default 1.
    """

    def __init__(self, mean: float = 0.0, var: float = 1.0) -> None:
        self.mean, self.var = float(mean), float(var)

    def draw(self, dims: Dims) -> random.Draw:
        return random.Draw.normal(self.mean, math.sqrt(self.var))


class GlorotInitializer(_Drawn):
    """Uniform with the width of Glorot and Bengio 2010: ``gain * sqrt(3 k) / sqrt(sum of the
    k dimensions)``; of a filter of four dimensions, ``gain * sqrt(6 / ((d2 + d3) * d0 * d1))``.

    Args:
        is_lookup: leave the last dimension, a table's number of rows, out of the count;
            default False: a table's width depends on its number of rows.
        gain: default 1.
    """

    def __init__(self, is_lookup: bool = False, gain: float = 1.0) -> None:
        self.is_lookup, self.gain = bool(is_lookup), float(gain)

    def draw(self, dims: Dims) -> random.Draw:
        counted = dims[:-1] if self.is_lookup else dims
        count = len(counted)
        if count == 4:
            field = counted[0] * counted[1]
            width = math.sqrt(6.0) / math.sqrt((counted[2] + counted[3]) * field or 1)
        else:
            width = math.sqrt(3.0 * count) / math.sqrt(sum(counted) or 1)
        width *= self.gain
        return random.Draw.uniform(-width, width)


class SaxeInitializer(PyInitializer):
    """A random orthogonal matrix (Saxe et al. 2014); square matrices only, and tables of as many
    rows as a row has numbers.

    Args:
        scale: factor of the matrix; default 1.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = float(scale)

    def numbers(self, dims: Dims, lookup: bool = False) -> np.ndarray:
        side = _square(dims, "an orthogonal matrix")
        drawn = random.uniform(side * side, -1.0, 1.0).reshape(side, side).T.astype(np.float64)
        return (self.scale * _left_vectors(drawn)).astype(np.float32).T.reshape(-1)


def _left_vectors(a: np.ndarray) -> np.ndarray:
    """The left singular vectors of a square matrix by two-sided Jacobi rotations.

    A library's decomposition would do, but for the signs of the vectors, which it leaves
    open; DyNet's come from these rotations, in this order.
    """
    n = len(a)
    a, u = a / np.abs(a).max(), np.eye(n)
    for _ in range(100):
        finished = True
        for p in range(1, n):
            for q in range(p):
                small = 2 * np.finfo(np.float32).eps * np.abs(np.diag(a)).max()
                if max(abs(a[p, q]), abs(a[q, p])) <= small:
                    continue
                finished = False
                left, right = _rotations(a[np.ix_([p, q], [p, q])])
                a[[p, q]] = left @ a[[p, q]]
                u[:, [p, q]] = u[:, [p, q]] @ left.T
                a[:, [p, q]] = a[:, [p, q]] @ right
        if finished:
            break
    values = np.diag(a)
    u = u * np.where(values < 0, -1.0, 1.0)
    return u[:, np.argsort(-np.abs(values), kind="stable")]


def _rotations(m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations l and r such that ``l @ m @ r`` is diagonal, m of shape (2, 2)."""
    t, d = m[0, 0] + m[1, 1], m[1, 0] - m[0, 1]
    if abs(d) < np.finfo(np.float32).tiny:
        first = np.eye(2)
    else:
        c = t / d
        s = 1 / math.sqrt(1 + c * c)
        first = np.array([[c * s, s], [-s, c * s]])
    m = first @ m
    y = abs(m[0, 1])
    if 2 * y < np.finfo(np.float32).tiny:
        second = np.eye(2)
    else:
        tau = (m[0, 0] - m[1, 1]) / (2 * y)
        w = math.sqrt(tau * tau + 1)
        tangent = 1 / (tau + w) if tau > 0 else 1 / (tau - w)
        cosine = 1 / math.sqrt(tangent * tangent + 1)
        sine = -math.copysign(1, tangent) * m[0, 1] / y * abs(tangent) * cosine
        second = np.array([[cosine, sine], [-sine, cosine]])
    return second.T @ first, second


class IdentityInitializer(PyInitializer):
    """The identity matrix; square matrices only, and tables of as many rows as a row has numbers.

    >>> IdentityInitializer().numbers((2, 2))
    array([1., 0., 0., 1.], dtype=float32)
    """

    def __init__(self) -> None:
        pass

    def numbers(self, dims: Dims, lookup: bool = False) -> np.ndarray:
        return np.eye(_square(dims, "identity"), dtype=np.float32).reshape(-1)


class NumpyInitializer(PyInitializer):
    """The numbers of an array; the shape is the parameter's, the size must fit.

    Args:
        array: the numbers.

    >>> NumpyInitializer(np.array([[1, 2], [3, 4]])).numbers((2, 2))
    array([1., 3., 2., 4.], dtype=float32)
    """

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array, np.float32)

    def numbers(self, dims: Dims, lookup: bool = False) -> np.ndarray:
        if lookup:
            raise ValueError(
                "Do not use NumpyInitializer with add_lookup_parameters, "
                "use lookup_parameters_from_numpy instead"
            )
        if self.array.size < math.prod(dims):
            raise ValueError(
                f"NumpyInitializer: an array of {self.array.size} numbers cannot fill dimensions "
                f"{dims}"
            )
        return self.array.flatten(order="F")[: math.prod(dims)]


class FromFileInitializer(PyInitializer):
    """The numbers in a text file, in column-major order, separated by blanks.

    Args:
        fname: the file's path.
    """

    def __init__(self, fname: str | bytes) -> None:
        self.fname = fname

    def numbers(self, dims: Dims, lookup: bool = False) -> np.ndarray:
        with open(self.fname, encoding="ascii") as file:
            numbers = np.array(file.read().split(), np.float32)
        if numbers.size != math.prod(dims):
            raise RuntimeError(
                f"FromFileInitializer: expected {math.prod(dims)} numbers in {self.fname!r} for "
                f"dimensions {dims}, got {numbers.size}"
            )
        return numbers
