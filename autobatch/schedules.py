"""Learning-rate schedules: factors of a trainer's learning rate, by the number of updates.

A schedule is any function from the number of updates made so far (0 at the first) to a
factor: ``ab.Adam(model, learning_rate=1e-3, schedule=Warmup(100, Cosine(10_000)))``. It
keeps no state, so training resumes at the same rate without anything being saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from . import plain
from .errors import ConfigurationError

Schedule = Callable[[int], float]

__all__ = [
    "ConstantRate",
    "Cosine",
    "Exponential",
    "InverseSqrt",
    "Schedule",
    "Step",
    "Warmup",
]


def _count(owner: str, name: str, value: int) -> int:
    number = plain.number(owner, name, value, ConfigurationError)
    if not number.is_integer() or number < 1:
        raise ConfigurationError(f"{owner}: {name} must be a whole number above 0, got {value!r}")
    return int(number)


def _factor(owner: str, name: str, value: float) -> float:
    number = plain.number(owner, name, value, ConfigurationError)
    if not (math.isfinite(number) and number >= 0):
        raise ConfigurationError(f"{owner}: {name} must be a finite number >= 0, got {value!r}")
    return number


class _Schedule:
    def __call__(self, step: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(step)")

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


class ConstantRate(_Schedule):
    """The same factor at every step; default 1.

    >>> ConstantRate()(1000)
    1.0
    """

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = _factor("ConstantRate", "factor", factor)

    def __call__(self, step: int) -> float:
        return self.factor


class Step(_Schedule):
    """``factor ** (step // every)``: a drop every so many updates.

    >>> [Step(10, 0.5)(step) for step in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """

    def __init__(self, every: int, factor: float = 0.1) -> None:
        self.every = _count("Step", "every", every)
        self.factor = _factor("Step", "factor", factor)

    def __call__(self, step: int) -> float:
        return self.factor ** (step // self.every)


class Exponential(_Schedule):
    """``factor ** (step / every)``: the same drop, spread over the updates.

    >>> [Exponential(0.25, every=10)(step) for step in (0, 5, 10)]
    [1.0, 0.5, 0.25]
    """

    def __init__(self, factor: float, every: int = 1) -> None:
        self.factor = _factor("Exponential", "factor", factor)
        self.every = _count("Exponential", "every", every)

    def __call__(self, step: int) -> float:
        return self.factor ** (step / self.every)


class InverseSqrt(_Schedule):
    """``sqrt(flat / max(step, flat))``: 1 for `flat` updates, then falling as 1/sqrt(step).

    >>> [InverseSqrt(100)(step) for step in (0, 100, 400)]
    [1.0, 1.0, 0.5]
    """

    def __init__(self, flat: int = 1) -> None:
        self.flat = _count("InverseSqrt", "flat", flat)

    def __call__(self, step: int) -> float:
        return math.sqrt(self.flat / max(step, self.flat))


class Cosine(_Schedule):
    """Half a cosine wave from 1 to `final` over `steps` updates, `final` from then on
    (Loshchilov and Hutter 2017, without restarts).

    >>> [round(Cosine(100)(step), 12) for step in (0, 50, 100, 200)]
    [1.0, 0.5, 0.0, 0.0]
    """

    def __init__(self, steps: int, final: float = 0.0) -> None:
        self.steps = _count("Cosine", "steps", steps)
        self.final = _factor("Cosine", "final", final)

    def __call__(self, step: int) -> float:
        done = min(step / self.steps, 1.0)
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * done))


class Warmup(_Schedule):
    """Rises in a straight line over `steps` updates, then follows another schedule.

    The first update has the factor ``1 / steps`` (not 0, which would waste it); the schedule
    that follows counts from the end of the rise.

    Args:
        steps: updates until the full rate.
        then: the schedule to follow; default: the full rate for good.

    >>> [Warmup(4, Step(10, 0.5))(step) for step in (0, 1, 3, 4, 14)]
    [0.25, 0.5, 1.0, 1.0, 0.5]
    """

    def __init__(self, steps: int, then: Schedule | None = None) -> None:
        self.steps = _count("Warmup", "steps", steps)
        self.then = ConstantRate() if then is None else then

    def __call__(self, step: int) -> float:
        start = self.then(0)
        if step < self.steps:
            return start * (step + 1) / self.steps
        return self.then(step - self.steps)
