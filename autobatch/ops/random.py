"""Random ops. Their numbers come from a counter, so that the backward pass can repeat them.

The generator is SplitMix64's finaliser (Steele, Lea, Flood 2014, "Fast splittable
pseudorandom number generators") applied twice: to seed and serial number of the node, then
to that and the number of the element. The C kernels draw the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import OperandError, ShapeError
from .declare import Call, Form, Op, Operand, Sample, declare, double_bits

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def mix(xp: Any, z: Any) -> Any:
    """SplitMix64's finaliser on an array of uint64, with wrap-around."""
    z = (z ^ (z >> xp.uint64(30))) * xp.uint64(_MIX_1)
    z = (z ^ (z >> xp.uint64(27))) * xp.uint64(_MIX_2)
    return z ^ (z >> xp.uint64(31))


def hashes(xp: Any, seed: Any, serial: Any, size: int) -> Any:
    """(n, size): 64 random bits for every number of every row; see `uniform`."""
    counter = (serial.astype(xp.uint64) + xp.uint64(1)) * xp.uint64(_GOLDEN)
    start = mix(xp, seed.astype(xp.uint64) ^ counter)
    return mix(xp, start[:, None] + xp.arange(size, dtype=xp.uint64))


def _unit(xp: Any, h: Any) -> Any:
    """Multiples of 2^-24 in [0, 1)."""
    return (h >> xp.uint64(40)).astype(xp.float64) * 2.0**-24


def uniform(xp: Any, seed: Any, serial: Any, size: int) -> Any:
    """Numbers in [0, 1), multiples of 2^-24, as doubles.

    Args:
        seed, serial: int64 arrays (n,).
        size: numbers per row.

    Returns:
        (n, size): row i depends on seed[i] and serial[i] only.
    """
    return _unit(xp, hashes(xp, seed, serial, size))


def _dropout_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    rate = attrs["rate"]
    if not 0 <= rate < 1:
        raise OperandError(f"dropout: expected a rate of at least 0 and below 1, got {rate}")
    return Form(x.shape, kernel="dropout", params=(x.size, double_bits(rate)), flops=8 * x.size)


def _kept(call: Call, like: Any) -> Any:
    """The factor of each element: 0, or 1 / (1 - rate)."""
    xp, rate = call.xp, call.attrs["rate"]
    size = math.prod(like.shape[1:])
    keep = uniform(xp, call.data[:, 0], call.data[:, 1], size) >= rate
    return keep.reshape(like.shape) * like.dtype.type(1 / (1 - rate))


declare(
    Op(
        name="dropout",
        inputs=("x",),
        rule=_dropout_rule,
        forward=lambda call, x: x * _kept(call, x),
        gradient=lambda call, j, dy, y, x: dy * _kept(call, dy),
        attrs=(("rate", "float"),),
        data=("seed", "serial"),
        random=True,
        doc="Zeroes elements at random and scales the others; see ``autobatch.dropout``.",
        samples=(
            Sample(((50,),), {"rate": 0.3}, (7, 0)),
            Sample(((3, 4),), {"rate": 0.5}, (-1, 12345678901)),
            Sample(((),), {"rate": 0.5}, (7, 1)),
            Sample(((5,),), {"rate": 0.0}, (7, 1)),
            Sample(((0,),), {"rate": 0.5}, (7, 1)),
            Sample(((5,),), {"rate": 0.5}, (7, 0, 7, 1, 7, 2), batches=(3,)),
        ),
        errors=(
            (((3,),), {"rate": 1.0}, (0, 0), "dropout: expected a rate"),
            (((3,),), {"rate": -0.1}, (0, 0), "dropout: expected a rate"),
        ),
    )
)


# ------------------------------------------------------------------------- random arrays


def _distribution(
    name: str,
    attrs: tuple[str, str],
    draw: Callable[[Any, Any, float, float], Any],
    settings: tuple[tuple[float, float], ...],
    check: Callable[[float, float], str | None],
    wrong: tuple[float, float],
    doc: str,
) -> None:
    """Declares an op that draws arrays.

    Args:
        attrs: names of its two numbers.
        draw: ``draw(xp, h, *numbers)``: from 64 random bits to the value.
        settings: numbers to test; `wrong`: some that must raise.
        check: what is expected of the numbers, where they are not as expected.
    """

    def rule(values: dict[str, Any], operands: Sequence[Operand]) -> Form:
        shape, numbers = values["shape"], (values[attrs[0]], values[attrs[1]])
        if any(dim < 0 for dim in shape):
            raise ShapeError(f"{name}: expected sizes of at least 0, got shape {shape}")
        expected = check(*numbers)
        if expected is not None:
            raise OperandError(f"{name}: expected {expected}, got {numbers[0]} and {numbers[1]}")
        size = math.prod(shape)
        return Form(
            shape,
            batch=values["batch"],
            kernel=name,
            params=(size, double_bits(numbers[0]), double_bits(numbers[1])),
            flops=30 * size,
        )

    def forward(call: Call) -> Any:
        numbers = (call.attrs[attrs[0]], call.attrs[attrs[1]])
        h = hashes(call.xp, call.data[:, 0], call.data[:, 1], math.prod(call.shape))
        return draw(call.xp, h, *numbers).reshape((len(call.data), *call.shape))

    def sample(shape: tuple[int, ...], numbers: tuple[float, float], batch: int = 1) -> Sample:
        words: tuple[int, ...] = ()
        for b in range(batch):
            words += (-7 - b, 12345678901 * b)
        return Sample(
            (), {"batch": batch, **dict(zip(attrs, numbers, strict=True)), "shape": shape}, words
        )

    declare(
        Op(
            name=name,
            inputs=(),
            rule=rule,
            forward=forward,
            attrs=(
                ("batch", "int"),
                (attrs[0], "float"),
                (attrs[1], "float"),
                ("shape", "ints"),
            ),
            data=("seed", "serial"),
            random=True,
            doc=doc,
            samples=(
                *(sample((67,), numbers) for numbers in settings),
                sample((), settings[0]),
                sample((0,), settings[0]),
                sample((3, 4), settings[0], 3),
            ),
            errors=(
                (
                    (),
                    {"batch": 1, attrs[0]: wrong[0], attrs[1]: wrong[1], "shape": (2,)},
                    (0, 0),
                    f"{name}: expected",
                ),
                (
                    (),
                    {
                        "batch": 1,
                        attrs[0]: settings[0][0],
                        attrs[1]: settings[0][1],
                        "shape": (-1,),
                    },
                    (0, 0),
                    f"{name}: expected sizes",
                ),
            ),
        )
    )


def _normal(xp: Any, h: Any, mean: float, deviation: float) -> Any:
    u = _unit(xp, h) + 2.0**-24
    turn = ((h >> xp.uint64(8)) & xp.uint64(0xFFFFFFFF)).astype(xp.float64) * 2.0**-32
    return mean + deviation * xp.sqrt(-2 * xp.log(u)) * xp.cos(2 * math.pi * turn)


def _gumbel(xp: Any, h: Any, location: float, scale: float) -> Any:
    u = _unit(xp, h) + 2.0**-25
    return location - scale * xp.log(-xp.where(u < 0.5, xp.log(u), xp.log1p(u - 1)))


_distribution(
    "random_uniform",
    ("low", "high"),
    lambda xp, h, low, high: low + (high - low) * _unit(xp, h),
    ((0.0, 1.0), (-2.5, 1.5)),
    lambda low, high: None if low <= high else "a low of at most the high",
    (1.0, 0.0),
    "Numbers drawn from an interval; see ``autobatch.random_uniform``.",
)
_distribution(
    "random_normal",
    ("mean", "deviation"),
    _normal,
    ((0.0, 1.0), (-2.5, 0.5)),
    lambda mean, deviation: None if deviation >= 0 else "a deviation of at least 0",
    (0.0, -1.0),
    "Normal numbers (Box and Muller 1958); see ``autobatch.random_normal``.",
)
_distribution(
    "random_gumbel",
    ("location", "scale"),
    _gumbel,
    ((0.0, 1.0), (-2.5, 0.5)),
    lambda location, scale: None if scale >= 0 else "a scale of at least 0",
    (0.0, -1.0),
    "Gumbel numbers, location - scale log(-log u); see ``autobatch.random_gumbel``.",
)
_distribution(
    "random_bernoulli",
    ("probability", "value"),
    lambda xp, h, probability, value: (_unit(xp, h) < probability) * value,
    ((0.5, 1.0), (0.0, 1.0), (1.0, 2.0), (0.3, 2.5)),
    lambda probability, value: None if 0 <= probability <= 1 else "a probability from 0 to 1",
    (1.5, 1.0),
    "A value with a probability, else 0; see ``autobatch.random_bernoulli``.",
)
