"""Random arrays, noise, and dropout that spares or drops more than single numbers.

Every call draws anew, from the seed of the configuration; a random node is never shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from . import config, functions, plain, recording
from ._core import Expression
from .errors import MemoryLimitError, OperandError
from .functions import _batch, _dims, _shape
from .recording import recorder

if TYPE_CHECKING:
    from .functions import Like

__all__ = [
    "block_dropout",
    "categorical",
    "dropout_axes",
    "dropout_batch",
    "noise",
    "random_bernoulli",
    "random_gumbel",
    "random_normal",
    "random_uniform",
]


def _draw(name: str, shape: Any, more: Any, batch_size: int, **settings: float) -> Expression:
    first = next(iter(settings))
    plain.only_by_name(name, more, f"{name}((4, 4)) has two axes; settings have names: {first}=...")
    batch = plain.whole(name, "batch_size", batch_size)
    numbers = [plain.number(name, setting, value) for setting, value in settings.items()]
    if batch < 1:
        raise OperandError(f"{name}: expected a batch size of at least 1, got {batch}")
    if 16 * batch > config.current().memory_limit:  # bytes of what each element draws from
        raise MemoryLimitError(f"{name}: a minibatch of {batch} is beyond the memory limit")
    words: list[int] = []
    for _ in range(batch):
        words += recording.next_serial()
    return recorder(name).record((), (batch, *numbers, *_dims(name, shape)), tuple(words))


def random_uniform(
    shape: int | Sequence[int],
    *more: NoReturn,
    low: float = 0.0,
    high: float = 1.0,
    batch_size: int = 1,
) -> Expression:
    """Numbers drawn uniformly from [low, high).

    Args:
        shape: an int or a sequence of ints; ``()`` for a scalar.
        more: nothing; the others are given by name.
        low, high: the interval. Default: 0 and 1.
        batch_size: of the manual minibatch, every element of which is drawn. Default: 1.

    Raises:
        OperandError: `low` is above `high`.
        ShapeError: a negative size.

    Example:
        >>> import autobatch as ab
        >>> x = ab.random_uniform(1000, low=-1.0, high=1.0).value()
        >>> bool(-1 <= x.min() < -0.9), bool(0.9 < x.max() < 1)
        (True, True)
    """
    return _draw("random_uniform", shape, more, batch_size, low=low, high=high)


def random_normal(
    shape: int | Sequence[int],
    *more: NoReturn,
    mean: float = 0.0,
    deviation: float = 1.0,
    batch_size: int = 1,
) -> Expression:
    """Numbers drawn from a normal distribution.

    Args:
        shape, batch_size: as in `random_uniform`.
        mean, deviation: of the distribution. Default: 0 and 1.

    Raises:
        OperandError: a negative deviation.
        ShapeError: a negative size.

    Example:
        >>> import autobatch as ab
        >>> x = ab.random_normal(1000).value()
        >>> bool(abs(x.mean()) < 0.2), bool(0.8 < x.std() < 1.2)
        (True, True)
    """
    return _draw("random_normal", shape, more, batch_size, mean=mean, deviation=deviation)


def random_gumbel(
    shape: int | Sequence[int],
    *more: NoReturn,
    location: float = 0.0,
    scale: float = 1.0,
    batch_size: int = 1,
) -> Expression:
    """Numbers drawn from a Gumbel distribution: ``location - scale * log(-log(u))``.

    The index of the largest of ``log_probabilities + gumbel`` is a sample; see `categorical`.

    Args:
        shape, batch_size: as in `random_uniform`.
        location, scale: of the distribution. Default: 0 and 1.

    Raises:
        OperandError: a negative scale.
        ShapeError: a negative size.

    Example:
        >>> import autobatch as ab
        >>> bool(0.3 < ab.random_gumbel(1000).value().mean() < 0.8)
        True
    """
    return _draw("random_gumbel", shape, more, batch_size, location=location, scale=scale)


def random_bernoulli(
    shape: int | Sequence[int],
    *more: NoReturn,
    probability: float = 0.5,
    value: float = 1.0,
    batch_size: int = 1,
) -> Expression:
    """`value` with a probability, else 0.

    Args:
        shape, batch_size: as in `random_uniform`.
        probability: from 0 to 1. Default: 0.5.
        value: default 1.

    Raises:
        OperandError: a probability outside its range.
        ShapeError: a negative size.

    Example:
        >>> import autobatch as ab
        >>> x = ab.random_bernoulli(1000, value=2.0).value()
        >>> sorted(set(x.tolist()))
        [0.0, 2.0]
    """
    return _draw("random_bernoulli", shape, more, batch_size, probability=probability, value=value)


def noise(x: Like, deviation: float) -> Expression:
    """x with normal noise of mean 0 added to every element.

    Args:
        x: any shape; the result has the same.
        deviation: at least 0.

    Raises:
        OperandError: a negative deviation.

    Example:
        >>> import autobatch as ab
        >>> y = ab.noise(ab.ones(1000), 0.1).value()
        >>> bool(0.9 < y.mean() < 1.1), bool(0.05 < y.std() < 0.15)
        (True, True)
    """
    deviation = plain.number("noise", "deviation", deviation)
    return functions.add(
        x, random_normal(_shape("noise", x), deviation=deviation, batch_size=_batch(x))
    )


def _masked(name: str, x: Any, rate: float, shape: Any, batch: int) -> Expression:
    rate = plain.number(name, "rate", rate)
    if not 0 <= rate < 1:
        raise OperandError(f"{name}: expected a rate of at least 0 and below 1, got {rate}")
    if rate == 0 and isinstance(x, Expression):
        return x
    return functions.multiply(
        x, random_bernoulli(shape, probability=1 - rate, value=1 / (1 - rate), batch_size=batch)
    )


def dropout_axes(x: Like, rate: float, axes: int | Sequence[int]) -> Expression:
    """`dropout` in which one draw serves all entries of some axes: whole rows or columns fall.

    Args:
        x: at least one axis; the result has the same shape.
        rate: at least 0 and below 1.
        axes: an axis or several, along which the draw is repeated; negative ones count from
            the end.

    Raises:
        OperandError: a rate outside its range.
        ShapeError: no such axis.

    Example:
        >>> import autobatch as ab
        >>> y = ab.dropout_axes(ab.ones((100, 3)), 0.5, axes=1).value()
        >>> sorted(set(y.sum(axis=1).tolist()))
        [0.0, 6.0]
    """
    shape = _shape("dropout_axes", x)
    given = functions._several("dropout_axes", "axes", axes)
    shared = {functions._axis("dropout_axes", a, len(shape), shape) for a in given}
    mask = tuple(1 if a in shared else dim for a, dim in enumerate(shape))
    return _masked("dropout_axes", x, rate, mask, _batch(x))


def dropout_batch(x: Like, rate: float) -> Expression:
    """`dropout` of whole elements of a minibatch.

    Args:
        x: any shape, any minibatch.
        rate: at least 0 and below 1.

    Raises:
        OperandError: a rate outside its range.

    Example:
        >>> import numpy as np
        >>> import autobatch as ab
        >>> y = ab.dropout_batch(ab.input(np.ones((100, 3)), batched=True), 0.5).value()
        >>> sorted(set(y.sum(axis=1).tolist()))
        [0.0, 6.0]
    """
    return _masked("dropout_batch", x, rate, (), _batch(x))


def block_dropout(x: Like, rate: float) -> Expression:
    """`dropout` of everything or nothing, minibatch included.

    Args:
        x: any shape; the result has the same.
        rate: at least 0 and below 1.

    Raises:
        OperandError: a rate outside its range.

    Example:
        >>> import autobatch as ab
        >>> float(ab.block_dropout(ab.ones(3), 0.5).value().sum()) in (0.0, 6.0)
        True
    """
    return _masked("block_dropout", x, rate, (), 1)


def categorical(logits: Like, axis: int = -1) -> Expression:
    """Draws an index along an axis with the probabilities ``softmax(logits)``.

    By the largest of logits plus Gumbel noise. The result has no gradient; its ``value()``
    holds integers.

    Args:
        logits: at least one axis. Log-probabilities are logits, too.
        axis: default -1, the last.

    Returns:
        The shape without the axis.

    Raises:
        ShapeError: no such axis, or nothing to choose from.

    Example:
        >>> import autobatch as ab
        >>> int(ab.categorical(ab.input([0.0, 100.0, 0.0])).value())
        1
    """
    shape = _shape("categorical", logits)
    axis = functions._axis("categorical", axis, len(shape), shape)
    gumbel = random_gumbel(shape, batch_size=_batch(logits))
    return functions.argmax(functions.add(logits, gumbel), axis)
