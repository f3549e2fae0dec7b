"""Distributions with zeros or with bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import ShapeError
from .declare import Call, Form, Op, Operand, Sample, declare
from .shapes import added, outer_inner


def _along(name: str, x: Operand, axis: int) -> tuple[int, int, int]:
    if not 0 <= axis < len(x.shape):
        raise ShapeError(
            f"{name}: expected an axis of an operand with {len(x.shape)} of them, got {axis} for "
            f"shape {x.shape}"
        )
    return outer_inner(x.shape, axis)


def _lanes(call: Call, x: Any) -> Any:
    """Rows as (n, outer, length, inner)."""
    return x.reshape(x.shape[:1] + outer_inner(x.shape[1:], call.attrs["axis"]))


# ---------------------------------------------------------------------------- sparsemax


def _sparsemax_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    params = _along("sparsemax", x, attrs["axis"])
    return Form(x.shape, kernel="sparsemax", params=params, flops=20 * x.size)


def _sparsemax_forward(call: Call, x: Any) -> Any:
    if not x.size:
        return x
    xp, z = call.xp, _lanes(call, x)
    z = z - z.max(axis=2, keepdims=True)
    falling = -xp.sort(-z, axis=2)
    total = xp.cumsum(falling, axis=2, dtype=xp.float64)
    place = xp.arange(1, z.shape[2] + 1).reshape(-1, 1)
    size = (1 + place * falling > total).sum(axis=2, keepdims=True)
    at = xp.maximum(size, 1) - 1
    threshold = (xp.take_along_axis(total, at, axis=2) - 1) / (at + 1)
    return xp.maximum(z - threshold, 0).reshape(x.shape).astype(x.dtype)


def _sparsemax_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    xp = call.xp
    dy, support = _lanes(call, dy), _lanes(call, y) > 0
    size = xp.maximum(support.sum(axis=2, keepdims=True), 1)
    mean = xp.where(support, dy, 0).sum(axis=2, keepdims=True, dtype=xp.float64) / size
    return xp.where(support, dy - mean, 0).reshape(x.shape)


declare(
    Op(
        name="sparsemax",
        inputs=("x",),
        rule=_sparsemax_rule,
        forward=_sparsemax_forward,
        gradient=_sparsemax_gradient,
        attrs=(("axis", "int"),),
        doc="The distribution next to x along an axis; see ``autobatch.sparsemax``.",
        samples=(
            Sample(((5,),), {"axis": 0}),
            Sample(((67,),), {"axis": 0}),
            Sample(((1,),), {"axis": 0}),
            Sample(((3, 4),), {"axis": 0}),
            Sample(((2, 3, 4),), {"axis": 1}, low=-0.3, high=0.3),
            Sample(((0,),), {"axis": 0}),
            Sample(((3, 0),), {"axis": 1}),
            Sample(((5,),), {"axis": 0}, low=-0.5, high=0.5, batches=(3,)),
        ),
        errors=(
            (((3,),), {"axis": 1}, None, "sparsemax: expected an axis"),
            (((),), {"axis": 0}, None, "sparsemax: expected an axis"),
        ),
    )
)

# ------------------------------------------------------------------- constrained_softmax


def _constrained_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    x, bound = operands
    if x.shape != bound.shape:
        raise ShapeError(
            f"constrained_softmax: expected a bound for every score, got shapes {x.shape} and "
            f"{bound.shape}"
        )
    params = _along("constrained_softmax", x, attrs["axis"])
    return Form(x.shape, kernel="constrained_softmax", params=params, flops=30 * x.size)


def _constrained_forward(call: Call, x: Any, bound: Any) -> Any:
    if not x.size:
        return x
    xp, z, u = call.xp, _lanes(call, x), _lanes(call, bound)
    e = xp.exp(z - z.max(axis=2, keepdims=True))
    held = xp.zeros(e.shape, bool)
    scale: Any = 0
    # Each round sets at least one more to its bound, or is the last.
    for _ in range(e.shape[2]):
        rest = 1 - added(xp, xp.where(held, u, 0), 2, True)
        free = added(xp, xp.where(held, 0, e), 2, True)
        scale = xp.where(free > 0, rest / xp.where(free > 0, free, 1), math.inf)
        held = held | (e * scale > u)
    y = xp.where(held, u, e * xp.where(xp.isinf(scale), 0, scale))
    return y.reshape(x.shape)


def _constrained_gradient(call: Call, j: int, dy: Any, y: Any, x: Any, bound: Any) -> Any:
    xp = call.xp
    d, p, u = _lanes(call, dy), _lanes(call, y), _lanes(call, bound)
    free = p < u
    mass = added(xp, xp.where(free, p, 0), 2, True)
    total = added(xp, xp.where(free, p * d, 0), 2, True)
    mean = xp.where(mass > 0, total / xp.where(mass > 0, mass, 1), 0)
    if j == 0:
        return xp.where(free, p * (d - mean), 0).reshape(x.shape)
    return xp.where(free, 0, d - mean).reshape(x.shape)


declare(
    Op(
        name="constrained_softmax",
        inputs=("x", "bound"),
        rule=_constrained_rule,
        forward=_constrained_forward,
        gradient=_constrained_gradient,
        attrs=(("axis", "int"),),
        doc="softmax with an upper bound for each probability; ``autobatch.constrained_softmax``.",
        samples=(
            Sample(((5,), (5,)), {"axis": 0}, low=0.15, high=0.5),
            Sample(((40,), (40,)), {"axis": 0}, low=0.02, high=0.1),
            Sample(((3, 9), (3, 9)), {"axis": 1}, low=0.1, high=0.3),
            Sample(((9, 3), (9, 3)), {"axis": 0}, low=0.1, high=0.3),
            Sample(((0,), (0,)), {"axis": 0}),
            Sample(((9,), (9,)), {"axis": 0}, low=0.1, high=0.3, batches=(3, 1)),
        ),
        errors=(
            (((3,), (4,)), {"axis": 0}, None, "constrained_softmax: expected a bound"),
            (((3,), (3,)), {"axis": 1}, None, "constrained_softmax: expected an axis"),
        ),
    )
)

# ----------------------------------------------------------------- restricted log softmax


def _restricted_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    if len(x.shape) != 1:
        raise ShapeError(
            f"log_softmax: expected a vector of scores where the classes are restricted, got "
            f"shape {x.shape}"
        )
    classes, count = x.shape[0], attrs["count"]
    return Form(
        x.shape,
        kernel="log_softmax_restricted",
        params=(classes, count),
        index_limit=classes,
        flops=15 * count,
    )


def _chosen(call: Call, x: Any) -> Any:
    """(n, classes): whether a class takes part."""
    return (call.xp.arange(x.shape[1])[:, None] == call.data[:, None, :]).any(axis=2)


def _restricted_forward(call: Call, x: Any) -> Any:
    xp = call.xp
    scores = xp.where(_chosen(call, x), x, -math.inf)
    scores = scores - scores.max(axis=1, keepdims=True)
    return scores - xp.log(added(xp, xp.exp(scores), 1, True))


def _restricted_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    # What the other classes' -inf gets of dy goes nowhere.
    given = call.xp.where(_chosen(call, x), dy, 0)
    return given - call.xp.exp(y) * added(call.xp, given, 1, True)


declare(
    Op(
        name="log_softmax_restricted",
        inputs=("x",),
        rule=_restricted_rule,
        forward=_restricted_forward,
        gradient=_restricted_gradient,
        attrs=(("count", "int"),),
        data=("*class",),
        doc="log_softmax over some classes, -inf elsewhere; see ``autobatch.log_softmax``.",
        samples=(
            Sample(((5,),), {"count": 5}, (3, 0, 1, 4, 2)),
            Sample(((5,),), {"count": 2}, (3, 1)),
            Sample(((67,),), {"count": 1}, (66,)),
            Sample(((5,),), {"count": 2}, (3, 1, 0, 4, 2, 1), batches=(3,)),
        ),
        errors=(
            (((3, 4),), {"count": 1}, (0,), "log_softmax: expected a vector"),
            (((3,),), {"count": 1}, (3,), "log_softmax"),
        ),
        public=False,
    )
)
