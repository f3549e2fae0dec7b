"""Ops whose gradient is, on purpose, not the derivative of their value."""

from __future__ import annotations

from .elementwise import elementwise

elementwise(
    "scale_gradient",
    ("x",),
    formula=lambda xp, a, factor: a * 1,
    expression="a",
    derivatives=(lambda xp, y, a, factor: factor,),
    gradients=("p0",),
    summary="x itself; its gradient is multiplied by `factor`.",
    example=("ab.scale_gradient(1.5, 2.0)", "1.5"),
    attrs=("factor",),
    settings=({"factor": 0.5}, {"factor": -1.0}),
    surrogate=True,
)

elementwise(
    "straight_through",
    ("value", "x"),
    formula=lambda xp, a, b: xp.where(b == b, a, a),
    expression="a",
    derivatives=(lambda xp, y, a, b: 0, lambda xp, y, a, b: 1),
    gradients=("(real)0", "(real)1"),
    summary=(
        "The value of the first operand with the gradient of the second, elementwise: the\n"
        "straight-through estimator (Bengio, Leonard, Courville 2013) of anything. The gradient\n"
        "of ``straight_through(round(x), x)`` by x is 1."
    ),
    example=("ab.straight_through(2.0, 1.7)", "2.0"),
    surrogate=True,
)
