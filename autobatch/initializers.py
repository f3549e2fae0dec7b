"""How parameters get their first values.

An initializer is called with a shape and a number type and answers an array. All random
ones draw from the generator of the configuration (``ab.configure(seed=...)``), in double
precision whatever the parameter's type, so that a float32 and a float64 model of one seed
begin with the same numbers.

The fans of a weight follow the convention of ``W @ x``: the leading axis counts the
outputs, the second the inputs, and further axes (a receptive field) multiply both. A vector
is taken as a map of its elements to one number.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NoReturn

import numpy as np

from . import config, plain
from .errors import ConfigurationError, ShapeError

Shape = tuple[int, ...]

__all__ = [
    "Constant",
    "FromArray",
    "Glorot",
    "He",
    "Identity",
    "Initializer",
    "Normal",
    "Orthogonal",
    "Uniform",
    "Zeros",
]


def fans(shape: Shape) -> tuple[int, int]:
    """The inputs and outputs that one element of a weight of this shape connects.

    >>> fans((3, 5)), fans((7,)), fans((3, 5, 2, 2))
    ((5, 3), (7, 1), (20, 12))
    """
    if len(shape) == 0:
        return 1, 1
    if len(shape) == 1:
        return shape[0], 1
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


class Initializer:
    """Base class: a subclass answers the values of a shape in double precision.

    >>> class Ramp(Initializer):
    ...     def values(self, shape):
    ...         return np.arange(math.prod(shape)).reshape(shape)
    >>> Ramp()((2, 2), np.float32)
    array([[0., 1.],
           [2., 3.]], dtype=float32)
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls).get("values")
        if own is None:
            return

        @functools.wraps(own)
        def values(self: Initializer, shape: Shape) -> np.ndarray:
            # A tuple of its own: a list could change while NumPy walks through it.
            dims = plain.wholes(type(self).__name__, "shape", shape)
            found: np.ndarray = own(self, dims)
            return found

        cls.values = values  # type: ignore[method-assign]

    def values(self, shape: Shape) -> np.ndarray:
        """The values of one parameter, an array of `shape`."""
        raise NotImplementedError(f"{type(self).__name__} does not define values(shape)")

    def __call__(self, shape: Shape, dtype: Any = None) -> np.ndarray:
        """The values in the number type asked for; default: the configuration's.

        Raises:
            ShapeError: the initializer cannot fill this shape, or answered another one.
        """
        shape = plain.wholes(type(self).__name__, "shape", shape)
        values = plain.array(type(self).__name__, self.values(shape))
        if values.shape != shape:
            raise ShapeError(f"{self!r}: expected values of shape {shape}, got {values.shape}")
        return values.astype(config.current().dtype if dtype is None else dtype)

    def __repr__(self) -> str:
        settings = ", ".join(
            f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_")
        )
        return f"{type(self).__name__}({settings})"


def _finite(owner: str, name: str, value: float) -> float:
    number = plain.number(owner, name, value, ConfigurationError)
    if not math.isfinite(number):
        raise ConfigurationError(f"{owner}: {name} must be a finite number, got {value!r}")
    return number


def _positive(owner: str, name: str, value: float) -> float:
    number = _finite(owner, name, value)
    if number <= 0:
        raise ConfigurationError(f"{owner}: {name} must be positive, got {value!r}")
    return number


class Constant(Initializer):
    """Every element the same number.

    >>> Constant(0.5)((2,), np.float64)
    array([0.5, 0.5])
    """

    def __init__(self, value: float) -> None:
        self.value = plain.number("Constant", "value", value, ConfigurationError)

    def values(self, shape: Shape) -> np.ndarray:
        return np.full(shape, self.value)


class Zeros(Initializer):
    """Every element 0, as biases usually begin.

    >>> Zeros()((2,), np.float64)
    array([0., 0.])
    """

    def values(self, shape: Shape) -> np.ndarray:
        return np.zeros(shape)


class Uniform(Initializer):
    """Uniform in ``[low, high)``; one argument means ``[-scale, scale)``.

    >>> values = Uniform(0.1)((100,), np.float64)
    >>> bool((abs(values) <= 0.1).all())
    True
    """

    def __init__(self, low: float, high: float | None = None) -> None:
        low = _finite("Uniform", "low", low)
        self.low, self.high = (
            (-abs(low), abs(low))
            if high is None
            else (
                low,
                _finite("Uniform", "high", high),
            )
        )
        if self.low > self.high:
            raise ConfigurationError(f"Uniform: low {self.low} is above high {self.high}")

    def values(self, shape: Shape) -> np.ndarray:
        return config.rng().uniform(self.low, self.high, shape)


class Normal(Initializer):
    """Normally distributed with the given standard deviation and mean 0 (or `mean`).

    >>> Normal(0.01)((3, 4), np.float32).shape
    (3, 4)
    """

    def __init__(self, deviation: float = 1.0, *more: NoReturn, mean: float = 0.0) -> None:
        plain.only_by_name("Normal", more, "Normal(0.1, mean=0.5): the deviation, then the mean")
        self.deviation = _finite("Normal", "deviation", deviation)
        self.mean = _finite("Normal", "mean", mean)
        if self.deviation < 0:
            raise ConfigurationError(f"Normal: deviation must not be negative, got {deviation!r}")

    def values(self, shape: Shape) -> np.ndarray:
        return config.rng().normal(self.mean, self.deviation, shape)


class _Scaled(Initializer):
    """Zero mean and a variance that depends on the fans."""

    def __init__(self, gain: float, distribution: str) -> None:
        self.gain = _positive(type(self).__name__, "gain", gain)
        if distribution not in ("uniform", "normal"):
            raise ConfigurationError(
                f"{type(self).__name__}: distribution must be 'uniform' or 'normal', "
                f"got {plain.show(distribution)}"
            )
        self.distribution = distribution

    def variance(self, shape: Shape) -> float:
        """The variance of an element at gain 1."""
        raise NotImplementedError

    def values(self, shape: Shape) -> np.ndarray:
        deviation = self.gain * math.sqrt(self.variance(shape))
        if self.distribution == "normal":
            return config.rng().normal(0.0, deviation, shape)
        # A uniform variable on [-b, b] has variance b^2 / 3.
        bound = math.sqrt(3.0) * deviation
        return config.rng().uniform(-bound, bound, shape)


class Glorot(_Scaled):
    """Variance ``gain^2 * 2 / (inputs + outputs)`` (Glorot and Bengio 2010).

    Args:
        gain: factor of the standard deviation; default 1.
        distribution: "uniform" (default) or "normal".

    >>> values = Glorot()((2, 4), np.float64)
    >>> bool((abs(values) <= 1).all())                  # sqrt(6 / (2 + 4))
    True
    """

    def __init__(self, gain: float = 1.0, distribution: str = "uniform") -> None:
        super().__init__(gain, distribution)

    def variance(self, shape: Shape) -> float:
        inputs, outputs = fans(shape)
        return 2.0 / (inputs + outputs)


class He(_Scaled):
    """Variance ``gain^2 * 2 / inputs``, for layers before a ReLU (He et al. 2015).

    Args:
        gain: factor of the standard deviation; default 1.
        distribution: "normal" (default) or "uniform".

    >>> He()((2, 4), np.float64).shape
    (2, 4)
    """

    def __init__(self, gain: float = 1.0, distribution: str = "normal") -> None:
        super().__init__(gain, distribution)

    def variance(self, shape: Shape) -> float:
        return 2.0 / fans(shape)[0]


class Orthogonal(Initializer):
    """A random matrix with orthonormal rows or columns, whichever are fewer, times `gain`.

    Axes after the first are taken together. The triangular factor's signs are folded in, so
    that the matrix is uniformly distributed (Mezzadri 2007; Saxe et al. 2014).

    Raises:
        ShapeError: the shape has fewer than two axes.

    >>> q = Orthogonal()((3, 5), np.float64)
    >>> bool(np.allclose(q @ q.T, np.eye(3)))
    True
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = _finite("Orthogonal", "gain", gain)

    def values(self, shape: Shape) -> np.ndarray:
        if len(shape) < 2:
            raise ShapeError(f"Orthogonal: expected at least two axes, got shape {shape}")
        rows, columns = shape[0], math.prod(shape[1:])
        tall = config.rng().normal(size=(max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


class Identity(Initializer):
    """`gain` on the main diagonal of a matrix, 0 elsewhere.

    Raises:
        ShapeError: the shape is not that of a matrix.

    >>> Identity(2.0)((2, 3), np.float64)
    array([[2., 0., 0.],
           [0., 2., 0.]])
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = _finite("Identity", "gain", gain)

    def values(self, shape: Shape) -> np.ndarray:
        if len(shape) != 2:
            raise ShapeError(f"Identity: expected a matrix, got shape {shape}")
        return self.gain * np.eye(*shape)


class FromArray(Initializer):
    """The values of an array, copied.

    Raises:
        ShapeError: the parameter has another shape than the array.

    >>> FromArray([[1, 2], [3, 4]])((2, 2), np.float64)
    array([[1., 2.],
           [3., 4.]])
    """

    def __init__(self, array: Any) -> None:
        self._array = plain.array("FromArray", array).copy()

    def values(self, shape: Shape) -> np.ndarray:
        return self._array

    def __repr__(self) -> str:
        return f"FromArray({self._array.shape})"
