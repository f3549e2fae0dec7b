"""Random ops. Their numbers come from a counter, so that the backward pass can repeat them.

The generator is SplitMix64's finaliser (Steele, Lea, Flood 2014, "Fast splittable
pseudorandom number generators") applied twice: to seed and serial number of the node, then
to that and the number of the element. The C kernels draw the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import OperandError
from .declare import Call, Form, Op, Operand, Sample, declare, double_bits

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def mix(xp: Any, z: Any) -> Any:
    """SplitMix64's finaliser on an array of uint64, with wrap-around."""
    z = (z ^ (z >> xp.uint64(30))) * xp.uint64(_MIX_1)
    z = (z ^ (z >> xp.uint64(27))) * xp.uint64(_MIX_2)
    return z ^ (z >> xp.uint64(31))


def uniform(xp: Any, seed: Any, serial: Any, size: int) -> Any:
    """Numbers in [0, 1), multiples of 2^-24, as doubles.

    Args:
        seed, serial: int64 arrays (n,).
        size: numbers per row.

    Returns:
        (n, size): row i depends on seed[i] and serial[i] only.
    """
    counter = (serial.astype(xp.uint64) + xp.uint64(1)) * xp.uint64(_GOLDEN)
    start = mix(xp, seed.astype(xp.uint64) ^ counter)
    h = mix(xp, start[:, None] + xp.arange(size, dtype=xp.uint64))
    return (h >> xp.uint64(40)).astype(xp.float64) * 2.0**-24


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
