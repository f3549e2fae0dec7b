"""Inverse, hyperbolic and gamma functions, rounding, and losses by element."""

from __future__ import annotations

import math
from typing import Any

from .elementwise import elementwise

# ---------------------------------------------------------------- functions NumPy lacks

# Coefficients of Stirling's series of log gamma: B_2k / (2k (2k - 1)).
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
_SHIFT = 8  # from here on six terms of the series are exact to double precision


def _lgamma_positive(xp: Any, x: Any) -> Any:
    small = x < _SHIFT
    product: Any = 1
    for i in range(_SHIFT):
        product = product * xp.where(small, x + i, 1)
    z = xp.where(small, x + _SHIFT, x)
    series: Any = 0
    for coefficient in reversed(_STIRLING):
        series = series / (z * z) + coefficient
    value = (z - 0.5) * (xp.log(z) - 1) - 0.5 + 0.5 * math.log(2 * math.pi) + series / z
    return value - xp.log(product)


def lgamma(xp: Any, x: Any) -> Any:
    """log of the absolute value of the gamma function (Abramowitz and Stegun 1964, 6.1.40).

    Arguments below 8 are shifted up by the recurrence, negative ones reflected (6.1.17).
    """
    positive = x > 0
    mirrored = xp.where(positive, x, 1 - x)
    value = _lgamma_positive(xp, mirrored)
    part = xp.abs(x - xp.rint(x))
    # sin(pi part) / pi by its two factors: pi times a small part would round.
    reflected = -xp.log(part) - xp.log(xp.sinc(part)) - value
    return xp.where(xp.isinf(x), math.inf, xp.where(positive, value, reflected))


def digamma(xp: Any, x: Any) -> Any:
    """The derivative of log gamma, by the same steps (Abramowitz and Stegun 1964, 6.3.18).

    NaN at the negative integers, where it has poles of two sides; at 0 the zero's sign tells which.
    """
    positive = x > 0
    mirrored = xp.where(positive, x, 1 - x)
    shifted: Any = 0
    small = mirrored < _SHIFT
    for i in range(_SHIFT):
        shifted = shifted + xp.where(small, 1 / (mirrored + i), 0)
    z = xp.where(small, mirrored + _SHIFT, mirrored)
    series: Any = 0
    for k in range(len(_STIRLING), 0, -1):
        series = series / (z * z) + (2 * k - 1) * _STIRLING[k - 1]
    value = xp.log(z) - 0.5 / z - series / (z * z) - shifted
    # From the nearest integer the distance is exact; from the one below that of a small x is not.
    part = x - xp.rint(x)
    pole = part == 0
    reflected = value - math.pi / xp.tan(math.pi * xp.where(pole, 0.5, part))
    at_pole = xp.where(x == 0, -1 / x, math.nan)
    return xp.where(positive, value, xp.where(pole, at_pole, reflected))


# ------------------------------------------------------------------------- trigonometric

elementwise(
    "tan",
    ("x",),
    formula=lambda xp, a: xp.tan(a),
    expression="ab_sin(a) / ab_cos(a)",
    derivatives=(lambda xp, y, a: 1 + y * y,),
    gradients=("(real)1 + y * y",),
    summary="Tangent of x in radians, elementwise.",
    example=("ab.tan(0.5)", "0.5463"),
    ranges=((-1.2, 1.2), (2.0, 4.0)),
    cost=30,
)

elementwise(
    "asin",
    ("x",),
    formula=lambda xp, a: xp.arcsin(a),
    expression="ab_asin(a)",
    derivatives=(lambda xp, y, a: 1 / xp.sqrt((1 - a) * (1 + a)),),
    gradients=("(real)1 / ab_sqrt(((real)1 - a) * ((real)1 + a))",),
    summary="Inverse sine in radians, elementwise; NaN outside [-1, 1].",
    example=("ab.asin(0.5)", "0.5236"),
    ranges=((-0.9, 0.9),),
    cost=30,
)

elementwise(
    "acos",
    ("x",),
    formula=lambda xp, a: xp.arccos(a),
    expression="ab_acos(a)",
    derivatives=(lambda xp, y, a: -1 / xp.sqrt((1 - a) * (1 + a)),),
    gradients=("(real)-1 / ab_sqrt(((real)1 - a) * ((real)1 + a))",),
    summary="Inverse cosine in radians, elementwise; NaN outside [-1, 1].",
    example=("ab.acos(0.5)", "1.0472"),
    ranges=((-0.9, 0.9),),
    cost=30,
)

elementwise(
    "atan",
    ("x",),
    formula=lambda xp, a: xp.arctan(a),
    expression="ab_atan(a)",
    derivatives=(lambda xp, y, a: 1 / (1 + a * a),),
    gradients=("(real)1 / ((real)1 + a * a)",),
    summary="Inverse tangent in radians, elementwise.",
    example=("ab.atan(0.5)", "0.4636"),
    cost=30,
)

# ---------------------------------------------------------------------------- hyperbolic

elementwise(
    "sinh",
    ("x",),
    formula=lambda xp, a: xp.sinh(a),
    expression="ab_sinh(a)",
    derivatives=(lambda xp, y, a: xp.cosh(a),),
    gradients=("ab_cosh(a)",),
    summary="Hyperbolic sine, elementwise.",
    example=("ab.sinh(0.5)", "0.5211"),
    cost=30,
)

elementwise(
    "cosh",
    ("x",),
    formula=lambda xp, a: xp.cosh(a),
    expression="ab_cosh(a)",
    derivatives=(lambda xp, y, a: xp.sinh(a),),
    gradients=("ab_sinh(a)",),
    summary="Hyperbolic cosine, elementwise.",
    example=("ab.cosh(0.5)", "1.1276"),
    cost=30,
)

elementwise(
    "asinh",
    ("x",),
    formula=lambda xp, a: xp.arcsinh(a),
    expression="ab_asinh(a)",
    # The square of a large number would overflow.
    derivatives=(lambda xp, y, a: 1 / xp.hypot(a, xp.ones_like(a)),),
    gradients=("(real)1 / ab_hypot(a, (real)1)",),
    summary="Inverse hyperbolic sine, elementwise.",
    example=("ab.asinh(0.5)", "0.4812"),
    cost=30,
)

elementwise(
    "acosh",
    ("x",),
    formula=lambda xp, a: xp.arccosh(a),
    expression="ab_acosh(a)",
    # Root by root: the product of large numbers would overflow, that of two below -1 be positive.
    derivatives=(lambda xp, y, a: 1 / (xp.sqrt(a - 1) * xp.sqrt(a + 1)),),
    gradients=("(real)1 / (ab_sqrt(a - (real)1) * ab_sqrt(a + (real)1))",),
    summary="Inverse hyperbolic cosine, elementwise; NaN below 1.",
    example=("ab.acosh(2.0)", "1.317"),
    ranges=((1.2, 3.0),),
    cost=30,
)

elementwise(
    "atanh",
    ("x",),
    formula=lambda xp, a: xp.arctanh(a),
    expression="ab_atanh(a)",
    # NaN where the value is.
    derivatives=(lambda xp, y, a: xp.where(xp.isnan(y), y, 1 / ((1 - a) * (1 + a))),),
    gradients=("(y != y ? y : (real)1 / (((real)1 - a) * ((real)1 + a)))",),
    summary="Inverse hyperbolic tangent, elementwise; infinite at -1 and 1, NaN beyond.",
    example=("ab.atanh(0.5)", "0.5493"),
    ranges=((-0.9, 0.9),),
    cost=30,
)

# -------------------------------------------------------------------------- gamma, powers

elementwise(
    "lgamma",
    ("x",),
    formula=lgamma,
    expression="ab_lgamma(a)",
    derivatives=(lambda xp, y, a: digamma(xp, a),),
    gradients=("ab_digamma(a)",),
    summary=(
        "log of the absolute value of the gamma function, elementwise: log((x - 1)!) for a\n"
        "whole x above 0; infinite at 0 and at negative integers."
    ),
    example=("ab.lgamma(5.0)", "3.1781"),
    ranges=((0.3, 12.0), (-0.9, -0.2), (-3.8, -3.1)),
    cost=50,
)

elementwise(
    "cube",
    ("x",),
    formula=lambda xp, a: a * a * a,
    expression="a * a * a",
    derivatives=(lambda xp, y, a: 3 * a * a,),
    gradients=("(real)3 * a * a",),
    summary="x * x * x, elementwise.",
    example=("ab.cube(-1.5)", "-3.375"),
    cost=2,
)

# ------------------------------------------------------------------------------- rounding

# Constant between jumps, at which they are given the derivative 0 too.
_BETWEEN_JUMPS = ((0.1, 0.4), (-0.4, -0.1), (2.6, 2.9), (-2.9, -2.6))

elementwise(
    "round",
    ("x",),
    formula=lambda xp, a: xp.rint(a),
    expression="ab_rint(a)",
    derivatives=(lambda xp, y, a: 0,),
    gradients=("(real)0",),
    summary=(
        "The nearest whole number, elementwise; of two, the even one (as NumPy). The\n"
        "derivative is 0; see `straight_through` for another."
    ),
    example=("ab.round(1.7)", "2.0"),
    ranges=_BETWEEN_JUMPS,
)

elementwise(
    "floor",
    ("x",),
    formula=lambda xp, a: xp.floor(a),
    expression="ab_floor(a)",
    derivatives=(lambda xp, y, a: 0,),
    gradients=("(real)0",),
    summary=(
        "The largest whole number not above x, elementwise. The derivative is 0; see\n"
        "`straight_through` for another."
    ),
    example=("ab.floor(-1.5)", "-2.0"),
    ranges=_BETWEEN_JUMPS,
)

elementwise(
    "ceil",
    ("x",),
    formula=lambda xp, a: xp.ceil(a),
    expression="ab_ceil(a)",
    derivatives=(lambda xp, y, a: 0,),
    gradients=("(real)0",),
    summary=(
        "The smallest whole number not below x, elementwise. The derivative is 0; see\n"
        "`straight_through` for another."
    ),
    example=("ab.ceil(-1.5)", "-1.0"),
    ranges=_BETWEEN_JUMPS,
)

elementwise(
    "sign",
    ("x",),
    formula=lambda xp, a: xp.sign(a),
    # NaN stays NaN.
    expression="(a > (real)0 ? (real)1 : (a < (real)0 ? (real)-1 : a))",
    derivatives=(lambda xp, y, a: 0,),
    gradients=("(real)0",),
    summary="-1, 0 or 1, elementwise; NaN for NaN. The derivative is 0.",
    example=("ab.sign(-1.5)", "-1.0"),
    ranges=((0.1, 2.0), (-2.0, -0.1)),
)

elementwise(
    "margin_ranking",
    ("x", "y"),
    formula=lambda xp, a, b, margin: xp.maximum(margin - a + b, 0),
    # NaN stays NaN, as in maximum.
    expression="(p0 - a + b < (real)0 ? (real)0 : p0 - a + b)",
    derivatives=(
        lambda xp, y, a, b, margin: xp.where(y == 0, 0, -1),
        lambda xp, y, a, b, margin: xp.where(y == 0, 0, 1),
    ),
    gradients=("(y == (real)0 ? (real)0 : (real)-1)", "(y == (real)0 ? (real)0 : (real)1)"),
    summary="max(0, margin - x + y), elementwise: x should exceed y by the margin.",
    example=("ab.margin_ranking(1.0, 0.5)", "0.5"),
    attrs=("margin",),
    settings=({"margin": 1.0},),
    alike=True,
    cost=3,
)

elementwise(
    "poisson_nll",
    ("log_rate", "target"),
    formula=lambda xp, a, b: xp.exp(a) - b * a + lgamma(xp, b + 1),
    expression="ab_exp(a) - b * a + ab_lgamma(b + (real)1)",
    derivatives=(
        lambda xp, y, a, b: xp.exp(a) - b,
        lambda xp, y, a, b: digamma(xp, b + 1) - a,
    ),
    gradients=("ab_exp(a) - b", "ab_digamma(b + (real)1) - a"),
    summary=(
        "exp(log_rate) - target * log_rate + log(target!), elementwise: minus the log of the\n"
        "Poisson probability of a count."
    ),
    example=("ab.poisson_nll(0.5, 3.0)", "1.9405"),
    ranges=((0.1, 3.0),),
    alike=True,
    cost=60,
)
