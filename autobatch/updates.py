"""The update rules in NumPy, one function each, in place.

These are the twins of the compiled updates: same names, arguments as `Updates.run` is given,
same numbers within rounding. Trainers use them where no compiled kernel is to be had, and the
tests compare the two.

A rule takes the rate, the count `t` of the update from 1, and its settings. It changes
``update.w`` and its state; every number of the gradient is multiplied by
``update.factor`` first, and below ``g`` is that product. With ``update.rows`` only these
rows of ``w`` and of the state are touched, and ``update.g`` holds one row for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Update:
    """What an update works on.

    Attributes:
        w: the parameter.
        g: its gradient; shaped as `w`, or ``(len(rows), *dim)`` with `rows`.
        m: first state of the method, shaped as `w`; None if it has none.
        v: second state, shaped as `w`; None if it has none.
        x: third state, shaped as `w`; None if it has none.
        rows: int64, the rows to update, each once; None: all.
        factor: what the gradient is multiplied by.
    """

    w: np.ndarray
    g: np.ndarray
    m: np.ndarray | None = None
    v: np.ndarray | None = None
    rows: np.ndarray | None = None
    factor: float = 1.0
    x: np.ndarray | None = None

    def gradient(self) -> np.ndarray:
        """The gradient times the factor."""
        return self.g if self.factor == 1.0 else self.g * self.factor

    def read(self, state: np.ndarray | None) -> np.ndarray:
        """The rows of `w` or of a state that this update walks."""
        assert state is not None, "this rule keeps a state that was not given"
        return state if self.rows is None else state[self.rows]

    def write(self, state: np.ndarray | None, values: np.ndarray) -> None:
        """Puts rows back where :meth:`read` took them."""
        assert state is not None
        state[... if self.rows is None else self.rows] = values


def sgd(update: Update, rate: float, t: float) -> None:
    """``w -= rate * g``

    >>> w = np.array([1.0, 2.0])
    >>> sgd(Update(w, np.array([1.0, -1.0])), 0.5, 1)
    >>> w
    array([0.5, 2.5])
    """
    update.write(update.w, update.read(update.w) - rate * update.gradient())


def momentum(update: Update, rate: float, t: float, momentum: float, nesterov: bool) -> None:
    """``m = momentum * m + g``; ``w -= rate * m``, or with Nesterov's look ahead
    ``w -= rate * (g + momentum * m)`` (Polyak 1964; Sutskever et al. 2013)."""
    g = update.gradient()
    m = momentum * update.read(update.m) + g
    update.write(update.m, m)
    step = g + momentum * m if nesterov else m
    update.write(update.w, update.read(update.w) - rate * step)


def adagrad(update: Update, rate: float, t: float, epsilon: float) -> None:
    """``v += g^2``; ``w -= rate * g / (sqrt(v) + epsilon)`` (Duchi et al. 2011)."""
    g = update.gradient()
    v = update.read(update.v) + g * g
    update.write(update.v, v)
    update.write(update.w, update.read(update.w) - rate * g / (np.sqrt(v) + epsilon))


def rmsprop(
    update: Update, rate: float, t: float, rho: float, epsilon: float, inside: bool
) -> None:
    """``v = rho * v + (1 - rho) * g^2``; ``w -= rate * g / (sqrt(v) + epsilon)``
    (Tieleman and Hinton 2012). With `inside`, epsilon stands under the root."""
    g = update.gradient()
    v = rho * update.read(update.v) + (1 - rho) * g * g
    update.write(update.v, v)
    root = np.sqrt(v + epsilon) if inside else np.sqrt(v) + epsilon
    update.write(update.w, update.read(update.w) - rate * g / root)


def _corrected(
    rate: float, t: float, beta1: float, beta2: float, folded: bool
) -> tuple[float, float]:
    """The step and the scale of sqrt(v) that undo the bias of means that began at 0."""
    first, second = 1.0 - beta1**t, math.sqrt(1.0 - beta2**t)
    return (rate * second / first, 1.0) if folded else (rate / first, 1.0 / second)


def _means(update: Update, beta1: float, beta2: float) -> tuple[np.ndarray, np.ndarray]:
    """Moves the running means of the gradient and of its square on, and answers them."""
    g = update.gradient()
    m = beta1 * update.read(update.m) + (1 - beta1) * g
    v = beta2 * update.read(update.v) + (1 - beta2) * g * g
    update.write(update.m, m)
    update.write(update.v, v)
    return m, v


def adam(
    update: Update,
    rate: float,
    t: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    folded: bool,
) -> None:
    """``m = beta1 * m + (1 - beta1) * g``; ``v = beta2 * v + (1 - beta2) * g^2``;
    ``w -= rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon)``
    (Kingma and Ba 2015). `folded`: ``sqrt(v) + epsilon`` is divided as a whole by
    ``sqrt(1 - beta2^t)``, as in the more efficient order of that paper's section 2.
    """
    adamw(update, rate, t, beta1, beta2, epsilon, folded, 0.0)


def adamw(
    update: Update,
    rate: float,
    t: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    folded: bool,
    decay: float,
) -> None:
    """``w *= 1 - rate * decay``, then as :func:`adam` (Loshchilov and Hutter 2019)."""
    step, scale = _corrected(rate, t, beta1, beta2, folded)
    m, v = _means(update, beta1, beta2)
    w = update.read(update.w)
    if decay:
        w = w * (1 - rate * decay)
    update.write(update.w, w - step * m / (np.sqrt(v) * scale + epsilon))


def amsgrad(
    update: Update,
    rate: float,
    t: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    folded: bool,
) -> None:
    """As :func:`adam`, but divided by the largest `v` so far: ``x = max(x, v)`` stands for `v`
    in the last line (Reddi et al. 2018)."""
    step, scale = _corrected(rate, t, beta1, beta2, folded)
    m, v = _means(update, beta1, beta2)
    x = np.maximum(update.read(update.x), v)
    update.write(update.x, x)
    update.write(update.w, update.read(update.w) - step * m / (np.sqrt(x) * scale + epsilon))


def adadelta(update: Update, rate: float, t: float, rho: float, epsilon: float) -> None:
    """``v = rho * v + (1 - rho) * g^2``; ``d = g * sqrt(m + epsilon) / sqrt(v + epsilon)``;
    ``m = rho * m + (1 - rho) * d^2``; ``w -= rate * d`` (Zeiler 2012)."""
    g = update.gradient()
    m = update.read(update.m)
    v = rho * update.read(update.v) + (1 - rho) * g * g
    d = g * np.sqrt(m + epsilon) / np.sqrt(v + epsilon)
    update.write(update.v, v)
    update.write(update.m, rho * m + (1 - rho) * d * d)
    update.write(update.w, update.read(update.w) - rate * d)


# Numbers that are widened to double at a time: fits the first cache beside the source.
BLOCK = 4096


def squared_norm(g: np.ndarray) -> float:
    """The sum of the squares, in double. Not finite if any of the numbers is not.

    >>> squared_norm(np.array([3.0, 4.0], np.float32))
    25.0
    """
    flat, total = g.reshape(-1), 0.0
    with np.errstate(over="ignore"):  # the caller asks whether the sum is finite
        for start in range(0, flat.size, BLOCK):
            block = flat[start : start + BLOCK].astype(np.float64)
            total += float(block @ block)
    return total


def clip(g: np.ndarray, low: float, high: float) -> None:
    """``g = min(max(g, low), high)``; NaN stays NaN."""
    np.clip(g, low, high, out=g)
