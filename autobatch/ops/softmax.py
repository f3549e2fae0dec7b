"""Softmax and its logarithm, along one axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ShapeError
from .declare import Call, Form, Op, Operand, Sample, declare
from .shapes import added, outer_inner


def _along_axis(
    name: str,
    formula: Callable[[Any, Any], Any],
    vector_jacobian: Callable[[Any, Any, Any], Any],
    doc: str,
) -> None:
    """Declares an op from its formula along axis 2 of (n, outer, length, inner)."""

    def rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
        (x,) = operands
        axis = attrs["axis"]
        if not 0 <= axis < len(x.shape):
            raise ShapeError(
                f"{name}: expected an axis of an operand with {len(x.shape)} of them, got {axis} "
                f"for shape {x.shape}"
            )
        params = outer_inner(x.shape, axis)
        return Form(x.shape, kernel=name, params=params, flops=15 * x.size)

    def split(call: Call, x: Any) -> Any:
        return x.reshape(x.shape[:1] + outer_inner(x.shape[1:], call.attrs["axis"]))

    def forward(call: Call, x: Any) -> Any:
        return formula(call.xp, split(call, x)).reshape(x.shape) if x.size else x

    def gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
        return vector_jacobian(call.xp, split(call, dy), split(call, y)).reshape(dy.shape)

    declare(
        Op(
            name=name,
            inputs=("x",),
            rule=rule,
            forward=forward,
            gradient=gradient,
            attrs=(("axis", "int"),),
            doc=doc,
            samples=(
                Sample(((5,),), {"axis": 0}),
                Sample(((67,),), {"axis": 0}),
                Sample(((1,),), {"axis": 0}),
                Sample(((3, 4),), {"axis": 0}),
                Sample(((3, 4),), {"axis": 1}),
                Sample(((2, 3, 4),), {"axis": 1}),
                Sample(((0,),), {"axis": 0}),
                Sample(((3, 0),), {"axis": 1}),
                Sample(((5,),), {"axis": 0}, batches=(3,)),
                Sample(((5,),), {"axis": 0}, low=-50.0, high=50.0),
            ),
            errors=(
                (((3,),), {"axis": 1}, None, f"{name}: expected an axis"),
                (((),), {"axis": 0}, None, f"{name}: expected an axis"),
            ),
        )
    )


def _softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x - x.max(axis=2, keepdims=True))
    return e / added(xp, e, 2, True)


def _log_softmax(xp: Any, x: Any) -> Any:
    shifted = x - x.max(axis=2, keepdims=True)
    return shifted - xp.log(added(xp, xp.exp(shifted), 2, True))


_along_axis(
    "softmax",
    _softmax,
    lambda xp, dy, y: y * (dy - added(xp, dy * y, 2, True)),
    doc="exp(x) / sum(exp(x)) along an axis; see ``autobatch.softmax``.",
)
_along_axis(
    "log_softmax",
    _log_softmax,
    lambda xp, dy, y: dy - xp.exp(y) * added(xp, dy, 2, True),
    doc="The logarithm of softmax along an axis; see ``autobatch.log_softmax``.",
)
