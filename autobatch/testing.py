"""Helpers for tests of models: gradients checked, batches counted.

>>> import autobatch as ab
>>> with ab.configure(dtype="float64"):
...     w = ab.Parameter(init=[1.0, 2.0])
...     check_gradient(lambda: ab.sum(ab.square(w)), w)
>>> count_batches(ab.tanh(ab.input([1.0])), ab.tanh(ab.input([2.0])))
1
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import config, engine
from .calls import guarded
from .errors import ConfigurationError, GradientError
from .parameters import Lookup, Parameter
from .recording import Expression, new_graph


def check_gradient(
    function: Callable[[], Expression],
    *parameters: Parameter | Lookup,
    step: float = 1e-5,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> None:
    """Compares the gradient of a scalar with central differences along random directions.

    Every parameter is moved on its own, along one direction drawn for all its numbers
    together; its numbers and its gradient are afterwards as before.

    Args:
        function: records and returns the scalar; called several times, each time in a new
            graph. Random ops draw the same numbers every time.
        parameters: those to check, in float64.
        step: how far to move, along a direction of length 1.
        tolerance: of the difference, relative to the larger of 1 and the derivative.
        seed: of the directions.

    Raises:
        AssertionError: a gradient is wrong; says which, and both numbers.
        ConfigurationError: a parameter is not in float64, in which differences drown.
        GradientError: a parameter got no gradient.

    Example:
        >>> import autobatch as ab
        >>> with ab.configure(dtype="float64"):
        ...     w = ab.Parameter(init=[3.0, 4.0])
        ...     check_gradient(lambda: ab.norm(w), w)
    """
    for parameter in parameters:
        if parameter.dtype != np.float64:
            raise ConfigurationError(
                f"check_gradient needs float64, got {parameter!r}; make the parameters under "
                'ab.configure(dtype="float64")'
            )
    draw = np.random.default_rng(seed)

    def run() -> Expression:
        with config.configure(dtype="float64", seed=seed):
            new_graph()
            return function()

    kept = [parameter.gradient() for parameter in parameters]
    for parameter in parameters:
        parameter.zero_grad()
    run().backward()
    gradients = [parameter.gradient() for parameter in parameters]
    for i, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        if gradient is None:
            raise GradientError(f"check_gradient: {parameter!r} got no gradient; is it used?")
        held = parameter.value()
        direction = draw.normal(size=held.shape)
        direction /= np.linalg.norm(direction)
        try:
            ends = []
            for sign in (1, -1):
                parameter.set_value(held + sign * step * direction)
                ends.append(run().item())
        finally:
            parameter.set_value(held)
        measured = (ends[0] - ends[1]) / (2 * step)
        computed = float((gradient * direction).sum())
        assert abs(computed - measured) <= tolerance * max(1.0, abs(measured)), (
            f"parameter {i} ({parameter!r}): the gradient along a direction is {computed:.10g}, "
            f"measured {measured:.10g}"
        )
    for parameter, gradient in zip(parameters, kept, strict=True):
        parameter.zero_grad()
        if gradient is not None:
            into = parameter._ensure_grad()
            into += gradient


def count_batches(*expressions: Expression) -> int:
    """How many batches would run now for the expressions' values; runs nothing.

    Example:
        >>> import autobatch as ab
        >>> x, y = ab.input([1.0, 2.0]), ab.input([3.0, 4.0])
        >>> count_batches(ab.tanh(x), ab.tanh(y), x + y)
        2
    """
    return len(engine.schedule_of(list(expressions)))


check_gradient = guarded(check_gradient, "check_gradient")
count_batches = guarded(count_batches, "count_batches")
