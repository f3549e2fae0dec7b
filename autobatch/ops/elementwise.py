"""Elementwise ops: one declaration each, from which every kernel is rendered.

A declaration holds the NumPy formula and the C expression of the value side by side,
and the same two for each local derivative. The gradient of operand ``j`` is
``dy * derivative[j]``, summed over the axes along which the operand was broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import OperandError, ShapeError
from .declare import Call, Form, Op, Operand, Sample, Shape, declare, double_bits


def broadcast_shape(op: str, shapes: Sequence[Shape]) -> Shape:
    """The shape to which `shapes` broadcast under NumPy's rules.

    Raises:
        ShapeError: they do not broadcast; the message names `op` and the shapes.
    """
    if shapes and shapes.count(shapes[0]) == len(shapes):
        return shapes[0]
    ndim = max(map(len, shapes), default=0)
    result = [1] * ndim
    for shape in shapes:
        for axis, dim in enumerate(shape, ndim - len(shape)):
            if dim == 1 or dim == result[axis]:
                continue
            if result[axis] != 1:
                got = " and ".join(map(str, shapes))
                raise ShapeError(
                    f"{op}: expected shapes that broadcast (aligned at the last axis, sizes "
                    f"equal or 1), got {got}; reshape an operand, or insert an axis with "
                    f"x[:, None]"
                )
            result[axis] = dim
    return tuple(result)


def collapse(shapes: Sequence[Shape], result: Shape) -> tuple[Shape, tuple[Shape, ...]]:
    """Loop dimensions of a broadcast, as few as possible, and each operand's strides.

    Axes of size 1 vanish, and neighbours merge where every operand walks through both
    with one stride. At least one dimension remains.

    Args:
        shapes: shapes of contiguous row-major operands.
        result: the shape to which they broadcast.

    Returns:
        ``(dims, strides)``; ``strides[j]`` is in elements, 0 where operand ``j`` is
        repeated.

    Example:
        >>> collapse([(5, 3, 4), (3, 4)], (5, 3, 4))
        ((5, 12), ((12, 1), (0, 1)))
    """
    if shapes.count(result) == len(shapes):  # mostly
        size = math.prod(result)
        return (size,), ((1 if size > 1 else 0,),) * len(shapes)
    dims: list[int] = []
    strides: list[list[int]] = []
    steps = [1] * len(shapes)
    for back in range(1, len(result) + 1):
        dim = result[-back]
        if dim == 1:
            continue
        here = [0] * len(shapes)
        for j, shape in enumerate(shapes):
            if back <= len(shape) and shape[-back] != 1:
                here[j] = steps[j]
                steps[j] *= shape[-back]
        if dims and here == [stride * dims[-1] for stride in strides[-1]]:
            dims[-1] *= dim
        else:
            dims.append(dim)
            strides.append(here)
    if not dims:
        return (1,), tuple((0,) for _ in shapes)
    if 0 in dims:
        return (0,), tuple((0,) for _ in shapes)
    return tuple(reversed(dims)), tuple(zip(*reversed(strides), strict=True))


def elementwise_params(
    shapes: Sequence[Shape], result: Shape, attrs: Sequence[float] = ()
) -> tuple[int, ...]:
    """Parameters of an elementwise kernel: ndim, dims, strides by operand, attributes."""
    dims, strides = collapse(shapes, result)
    flat = [stride for operand in strides for stride in operand]
    return (len(dims), *dims, *flat, *map(double_bits, attrs))


def align(xp: Any, x: Any, ndim: int) -> Any:
    """Rows `x` with axes of size 1 after the row axis, so that each row has `ndim` axes."""
    missing = ndim - (x.ndim - 1)
    return x.reshape(x.shape[:1] + (1,) * missing + x.shape[1:]) if missing else x


UNARY_SHAPES: tuple[Shape, ...] = ((), (5,), (3, 4), (2, 1, 3), (0,), (37,))
BINARY_SHAPES: tuple[tuple[Shape, Shape], ...] = (
    ((), ()),
    ((5,), (5,)),
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((), (5,)),
    ((3, 1), (1, 4)),
    ((2, 3, 4), (3, 1)),
    ((4,), (2, 3, 1)),
    ((0, 3), (3,)),
    ((37,), (37,)),
)

Range = tuple[float, float]


def unary_samples(ranges: Sequence[Range], attrs: Sequence[dict[str, float]]) -> tuple[Sample, ...]:
    """Samples of a unary op: every range and attribute setting, scalars to batches."""
    cases = [
        Sample((shape,), dict(attrs[0]), low=ranges[0][0], high=ranges[0][1])
        for shape in UNARY_SHAPES
    ]
    for low, high in ranges:
        for setting in attrs:
            cases.append(Sample(((4, 3),), dict(setting), low=low, high=high))
            cases.append(Sample(((6,),), dict(setting), low=low, high=high, batches=(3,)))
    return tuple(cases)


def binary_samples(
    ranges: Sequence[Range], attrs: Sequence[dict[str, float]] = ({},)
) -> tuple[Sample, ...]:
    """Samples of a binary op: equal shapes, every kind of broadcast, manual minibatches."""
    low, high = ranges[0]
    cases = [Sample(shapes, dict(attrs[0]), low=low, high=high) for shapes in BINARY_SHAPES]
    for low, high in ranges:
        for setting in attrs:
            cases += [
                Sample(((4,), (4,)), dict(setting), low=low, high=high, batches=(3, 3)),
                Sample(((4,), (2, 4)), dict(setting), low=low, high=high, batches=(3, 1)),
                Sample(((3, 1), (4,)), dict(setting), low=low, high=high, batches=(1, 2)),
            ]
    return tuple(cases)


def elementwise(
    name: str,
    inputs: tuple[str, ...],
    *,
    formula: Callable[..., Any],
    expression: str,
    derivatives: tuple[Callable[..., Any] | None, ...],
    gradients: tuple[str | None, ...],
    summary: str,
    example: tuple[str, str],
    attrs: tuple[str, ...] = (),
    settings: Sequence[dict[str, float]] = ({},),
    check: Callable[..., None] | None = None,
    ranges: Sequence[Range] = ((-2.0, 2.0),),
    cost: int = 1,
    errors: tuple[tuple[Any, ...], ...] = (),
    surrogate: bool = False,
    alike: bool = False,
    public: bool = True,
) -> Op:
    """Declares an elementwise op.

    Args:
        formula: ``formula(xp, *xs, *attrs)``, the value.
        expression: the same in C.
        derivatives: per operand ``derivative(xp, y, *xs, *attrs)``.
        gradients: the same in C.
        summary: first paragraph of the docstring.
        example: a call and its value, rounded to four digits.
        attrs: names of the float attributes.
        settings: attribute values to test.
        check: ``check(*attrs)`` raises for attributes outside the op's domain.
        ranges: intervals of operand values to test, inside the domain, away from kinks.
        cost: floating-point operations per element.
        errors: further cases that must raise.
        surrogate: `derivatives` are on purpose not those of the value.
        alike: a loss, whose operands have one shape: more often than not it is a mistake where
            a target would broadcast.
    """

    def rule(values: dict[str, Any], operands: Sequence[Operand]) -> Form:
        shapes = [x.shape for x in operands]
        shape = broadcast_shape(name, shapes)
        if alike and any(other != shape for other in shapes):
            raise ShapeError(
                f"{name}: expected operands of one shape, got {' and '.join(map(str, shapes))}; "
                f"reshape one of them"
            )
        numbers = [values[attr] for attr in attrs]
        if check is not None:
            check(*numbers)
        params = elementwise_params(shapes, shape, numbers)
        return Form(shape, kernel=name, params=params, flops=cost * math.prod(shape))

    def forward(call: Call, *xs: Any) -> Any:
        xp = call.xp
        rows = (align(xp, x, len(call.shape)) for x in xs)
        return formula(xp, *rows, *(call.attrs[attr] for attr in attrs))

    def gradient(call: Call, j: int, dy: Any, y: Any, *xs: Any) -> Any:
        xp = call.xp
        derivative = derivatives[j]
        assert derivative is not None
        rows = (align(xp, x, len(call.shape)) for x in xs)
        return dy * derivative(xp, y, *rows, *(call.attrs[attr] for attr in attrs))

    if len(inputs) == 1:
        samples = unary_samples(ranges, settings)
        shapes_doc = f"{inputs[0]}: any shape; the result has the same."
        own_errors: tuple[tuple[Any, ...], ...] = ()
        errors_doc = ""
    else:
        samples = binary_samples(ranges, settings)
        how, problem = "that broadcast as in NumPy", "broadcast"
        if alike:
            samples = tuple(one for one in samples if one.shapes[0] == one.shapes[1])
            how, problem = "which are one and the same", "agree"
        shapes_doc = f"{', '.join(inputs)}: shapes {how}."
        mismatches: tuple[tuple[Shape, ...], ...] = (((3,), (4,)), ((2, 3), (2,)))
        mismatches += (((3,), (3, 1)), ((3,), ())) if alike else ()
        own_errors = tuple(
            (shapes, dict(settings[0]), None, f"{name}: expected") for shapes in mismatches
        )
        errors_doc = f"\nRaises:\n    ShapeError: the shapes do not {problem}.\n"
    doc = (
        f"{summary}\n\nArgs:\n    {shapes_doc}\n{errors_doc}\nExample:\n"
        f"    >>> import autobatch as ab\n"
        f"    >>> round({example[0]}.item(), 4)\n    {example[1]}\n"
    )
    return declare(
        Op(
            name=name,
            inputs=inputs,
            rule=rule,
            forward=forward,
            gradient=gradient,
            attrs=tuple((attr, "float") for attr in attrs),
            expression=expression,
            gradients=gradients,
            cost=cost,
            doc=doc,
            samples=samples,
            errors=own_errors + errors,
            surrogate=surrogate,
            alike=alike,
            public=public,
        )
    )


# ---------------------------------------------------------------- functions NumPy lacks


def sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)) without overflow and without cancellation at either end."""
    e = xp.exp(-xp.abs(x))
    return xp.where(x < 0, e, 1) / (1 + e)


def erf(xp: Any, x: Any) -> Any:
    """The error function to the precision of `x`.

    NumPy has none. Below 2 the series exp(-x^2) sum 2^i x^(2i+1) / (2i+1)!!, whose terms
    are all positive; from 2 on the continued fraction of the complement, which 32 levels
    settle to double precision there (Abramowitz and Stegun 1964, 7.1.6 and 7.1.14).
    """
    small = xp.clip(x, -2, 2)
    square = 2 * small * small
    total = term = small
    for i in range(1, 36):
        term = term * square / (2 * i + 1)
        total = total + term
    near = total * xp.exp(-small * small) * (2 / math.sqrt(math.pi))
    large = xp.maximum(xp.abs(x), 2)
    fraction = large
    for i in range(32, 0, -1):
        fraction = large + (0.5 * i) / fraction
    far = 1 - xp.exp(-large * large) / (fraction * math.sqrt(math.pi))
    return xp.where(xp.abs(x) < 2, near, xp.copysign(far, x))


# ---------------------------------------------------------------------------- arithmetic

elementwise(
    "add",
    ("x", "y"),
    formula=lambda xp, a, b: a + b,
    expression="a + b",
    derivatives=(lambda xp, y, a, b: 1, lambda xp, y, a, b: 1),
    gradients=("(real)1", "(real)1"),
    summary="x + y, elementwise (the operator ``+``).",
    example=("ab.add(1.5, 2.0)", "3.5"),
)

elementwise(
    "subtract",
    ("x", "y"),
    formula=lambda xp, a, b: a - b,
    expression="a - b",
    derivatives=(lambda xp, y, a, b: 1, lambda xp, y, a, b: -1),
    gradients=("(real)1", "(real)-1"),
    summary="x - y, elementwise (the operator ``-``).",
    example=("ab.subtract(1.5, 2.0)", "-0.5"),
)

elementwise(
    "multiply",
    ("x", "y"),
    formula=lambda xp, a, b: a * b,
    expression="a * b",
    derivatives=(lambda xp, y, a, b: b, lambda xp, y, a, b: a),
    gradients=("b", "a"),
    summary="x * y, elementwise (the operator ``*``). The matrix product is ``@``.",
    example=("ab.multiply(1.5, 2.0)", "3.0"),
)

elementwise(
    "divide",
    ("x", "y"),
    formula=lambda xp, a, b: a / b,
    expression="a / b",
    derivatives=(lambda xp, y, a, b: 1 / b, lambda xp, y, a, b: -y / b),
    gradients=("(real)1 / b", "-y / b"),
    summary="x / y, elementwise (the operator ``/``). Division by 0 gives inf or NaN.",
    example=("ab.divide(1.5, 2.0)", "0.75"),
    ranges=((0.5, 2.0), (-2.0, -0.5)),
)


def _power_slope(xp: Any, y: Any, a: Any, b: Any) -> Any:
    slope = xp.power(a, b - 1)
    # Where only the power overflows, b / a times the value does not.
    slope = xp.where(xp.isinf(slope) & (a != 0), y * (b / xp.where(a == 0, 1, a)), b * slope)
    return xp.where(b == 0, 0, xp.where(xp.isnan(y), y, slope))


elementwise(
    "power",
    ("x", "y"),
    formula=lambda xp, a, b: xp.power(a, b),
    expression="ab_pow(a, b)",
    derivatives=(
        # b = 0: the value is 1 whatever a is, also at a = 0 where pow(a, -1) is infinite.
        _power_slope,
        # a = 0, b >= 0: the value stays 0 (or 1 at b = 0); y log a would be 0 * -inf.
        lambda xp, y, a, b: xp.where((a == 0) & (b >= 0), 0, y * xp.log(a)),
    ),
    gradients=(
        "ab_power_slope(a, b, y)",
        "(a == (real)0 && b >= (real)0 ? (real)0 : y * ab_log(a))",
    ),
    summary=(
        "x to the power y, elementwise (the operator ``**``). A negative x with a y that is\n"
        "not an integer gives NaN; so does the derivative by y where x is negative."
    ),
    example=("ab.power(2.0, 3.0)", "8.0"),
    ranges=((0.5, 2.0),),
    cost=20,
)

elementwise(
    "negative",
    ("x",),
    formula=lambda xp, a: -a,
    expression="-a",
    derivatives=(lambda xp, y, a: -1,),
    gradients=("(real)-1",),
    summary="-x, elementwise (unary minus).",
    example=("ab.negative(1.5)", "-1.5"),
)

elementwise(
    "maximum",
    ("x", "y"),
    formula=lambda xp, a, b: xp.maximum(a, b),
    # NaN wins on either side, as in NumPy; the gradient of a tie goes to x.
    expression="(a < b || b != b ? b : a)",
    derivatives=(
        lambda xp, y, a, b: ~((a < b) | (b != b)),
        lambda xp, y, a, b: (a < b) | (b != b),
    ),
    gradients=(
        "(a < b || b != b ? (real)0 : (real)1)",
        "(a < b || b != b ? (real)1 : (real)0)",
    ),
    summary=(
        "The larger of x and y, elementwise; NaN where either is NaN. Of equal operands the\n"
        "first gets the gradient."
    ),
    example=("ab.maximum(1.5, 2.0)", "2.0"),
)

elementwise(
    "minimum",
    ("x", "y"),
    formula=lambda xp, a, b: xp.minimum(a, b),
    expression="(a > b || b != b ? b : a)",
    derivatives=(
        lambda xp, y, a, b: ~((a > b) | (b != b)),
        lambda xp, y, a, b: (a > b) | (b != b),
    ),
    gradients=(
        "(a > b || b != b ? (real)0 : (real)1)",
        "(a > b || b != b ? (real)1 : (real)0)",
    ),
    summary=(
        "The smaller of x and y, elementwise; NaN where either is NaN. Of equal operands the\n"
        "first gets the gradient."
    ),
    example=("ab.minimum(1.5, 2.0)", "1.5"),
)

# ------------------------------------------------------------------------ plain functions

elementwise(
    "exp",
    ("x",),
    formula=lambda xp, a: xp.exp(a),
    expression="ab_exp(a)",
    derivatives=(lambda xp, y, a: y,),
    gradients=("y",),
    summary="e to the power x, elementwise.",
    example=("ab.exp(1.0)", "2.7183"),
    cost=10,
)

elementwise(
    "log",
    ("x",),
    formula=lambda xp, a: xp.log(a),
    expression="ab_log(a)",
    derivatives=(lambda xp, y, a: xp.where(a < 0, math.nan, 1 / a),),
    gradients=("(y != y ? y : (real)1 / a)",),
    summary="Natural logarithm, elementwise; -inf at 0, NaN below.",
    example=("ab.log(2.0)", "0.6931"),
    ranges=((0.1, 3.0),),
    cost=10,
)

elementwise(
    "sqrt",
    ("x",),
    formula=lambda xp, a: xp.sqrt(a),
    expression="ab_sqrt(a)",
    derivatives=(lambda xp, y, a: 0.5 / y,),
    gradients=("(real)0.5 / y",),
    summary="Square root, elementwise; NaN below 0. The derivative at 0 is infinite.",
    example=("ab.sqrt(2.0)", "1.4142"),
    ranges=((0.1, 3.0),),
    cost=4,
)

elementwise(
    "square",
    ("x",),
    formula=lambda xp, a: a * a,
    expression="a * a",
    derivatives=(lambda xp, y, a: 2 * a,),
    gradients=("(real)2 * a",),
    summary="x * x, elementwise.",
    example=("ab.square(-1.5)", "2.25"),
)

elementwise(
    "abs",
    ("x",),
    formula=lambda xp, a: xp.abs(a),
    expression="ab_fabs(a)",
    derivatives=(lambda xp, y, a: xp.sign(a),),
    # NaN stays NaN, as in sign.
    gradients=("(a > (real)0 ? (real)1 : (a < (real)0 ? (real)-1 : a))",),
    summary="Absolute value, elementwise. The derivative at 0 is 0.",
    example=("ab.abs(-1.5)", "1.5"),
    ranges=((0.1, 2.0), (-2.0, -0.1)),
)

elementwise(
    "sin",
    ("x",),
    formula=lambda xp, a: xp.sin(a),
    expression="ab_sin(a)",
    derivatives=(lambda xp, y, a: xp.cos(a),),
    gradients=("ab_cos(a)",),
    summary="Sine of x in radians, elementwise.",
    example=("ab.sin(1.0)", "0.8415"),
    cost=15,
)

elementwise(
    "cos",
    ("x",),
    formula=lambda xp, a: xp.cos(a),
    expression="ab_cos(a)",
    derivatives=(lambda xp, y, a: -xp.sin(a),),
    gradients=("-ab_sin(a)",),
    summary="Cosine of x in radians, elementwise.",
    example=("ab.cos(1.0)", "0.5403"),
    cost=15,
)

elementwise(
    "erf",
    ("x",),
    formula=erf,
    expression="ab_erf(a)",
    derivatives=(lambda xp, y, a: 2 / math.sqrt(math.pi) * xp.exp(-a * a),),
    gradients=("(real)1.1283791670955126 * ab_exp(-a * a)",),
    summary="Error function 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x, elementwise.",
    example=("ab.erf(0.5)", "0.5205"),
    ranges=((-3.5, 3.5),),
    cost=20,
)


def _check_clip(low: float, high: float) -> None:
    if not low <= high:
        raise OperandError(
            f"clip: expected low <= high, got low={low} and high={high}; swap the bounds"
        )


elementwise(
    "clip",
    ("x",),
    formula=lambda xp, a, low, high: xp.minimum(xp.maximum(a, low), high),
    expression="(a < p0 ? p0 : (a > p1 ? p1 : a))",
    derivatives=(
        lambda xp, y, a, low, high: xp.where(
            (a < low) | (a > high), 0, xp.where(xp.isnan(a), a, 1)
        ),
    ),
    gradients=("(a < p0 || a > p1 ? (real)0 : (a != a ? a : (real)1))",),
    attrs=("low", "high"),
    settings=({"low": -0.5, "high": 0.7}, {"low": -math.inf, "high": 1.0}),
    check=_check_clip,
    summary=(
        "x limited to the interval from low to high, elementwise. The derivative is 1 inside\n"
        "the closed interval and 0 outside."
    ),
    example=("ab.clip(1.5, -1.0, 1.0)", "1.0"),
    errors=((((3,),), {"low": 1.0, "high": 0.0}, None, "clip: expected low <= high"),),
)

# ---------------------------------------------------------------------------- activations

elementwise(
    "tanh",
    ("x",),
    formula=lambda xp, a: xp.tanh(a),
    expression="ab_tanh(a)",
    derivatives=(lambda xp, y, a: 1 - y * y,),
    gradients=("(real)1 - y * y",),
    summary="Hyperbolic tangent, elementwise.",
    example=("ab.tanh(0.5)", "0.4621"),
    cost=10,
)

elementwise(
    "sigmoid",
    ("x",),
    formula=sigmoid,
    expression="ab_sigmoid(a)",
    derivatives=(lambda xp, y, a: y * (1 - y),),
    gradients=("y * ((real)1 - y)",),
    summary="1 / (1 + exp(-x)), elementwise.",
    example=("ab.sigmoid(0.5)", "0.6225"),
    ranges=((-2.0, 2.0), (-9.0, 9.0)),
    cost=10,
)

elementwise(
    "log_sigmoid",
    ("x",),
    formula=lambda xp, a: xp.minimum(a, 0) - xp.log1p(xp.exp(-xp.abs(a))),
    expression="(a < (real)0 ? a : (real)0) - ab_log1p(ab_exp(-ab_fabs(a)))",
    derivatives=(lambda xp, y, a: sigmoid(xp, -a),),
    gradients=("ab_sigmoid(-a)",),
    summary="log(1 / (1 + exp(-x))), elementwise, without overflow.",
    example=("ab.log_sigmoid(0.5)", "-0.4741"),
    ranges=((-2.0, 2.0), (-9.0, 9.0)),
    cost=20,
)

elementwise(
    "softplus",
    ("x",),
    formula=lambda xp, a: xp.maximum(a, 0) + xp.log1p(xp.exp(-xp.abs(a))),
    expression="(a > (real)0 ? a : (real)0) + ab_log1p(ab_exp(-ab_fabs(a)))",
    derivatives=(lambda xp, y, a: sigmoid(xp, a),),
    gradients=("ab_sigmoid(a)",),
    summary="log(1 + exp(x)), elementwise, without overflow.",
    example=("ab.softplus(0.5)", "0.9741"),
    ranges=((-2.0, 2.0), (-9.0, 9.0)),
    cost=20,
)

elementwise(
    "relu",
    ("x",),
    formula=lambda xp, a: xp.maximum(a, 0),
    expression="(a < (real)0 ? (real)0 : a)",
    derivatives=(lambda xp, y, a: xp.where(a > 0, 1, xp.where(a < 0, 0, a)),),
    # At 0 it is 0, and NaN stays NaN.
    gradients=("(a > (real)0 ? (real)1 : (a < (real)0 ? (real)0 : a))",),
    summary="max(x, 0), elementwise; NaN stays NaN. The derivative at 0 is 0.",
    example=("ab.relu(-0.5)", "0.0"),
    ranges=((0.1, 2.0), (-2.0, -0.1)),
)

elementwise(
    "leaky_relu",
    ("x",),
    formula=lambda xp, a, slope: xp.where(a > 0, a, slope * a),
    expression="(a > (real)0 ? a : p0 * a)",
    derivatives=(
        lambda xp, y, a, slope: xp.where(a > 0, xp.ones_like(a), xp.where(xp.isnan(a), a, slope)),
    ),
    gradients=("(a > (real)0 ? (real)1 : (a != a ? a : p0))",),
    attrs=("slope",),
    settings=({"slope": 0.01}, {"slope": 0.3}),
    summary="x where positive, slope * x elsewhere. The derivative at 0 is the slope.",
    example=("ab.leaky_relu(-0.5, 0.1)", "-0.05"),
    ranges=((0.1, 2.0), (-2.0, -0.1)),
)

elementwise(
    "elu",
    ("x",),
    formula=lambda xp, a, alpha: xp.where(a > 0, a, alpha * xp.expm1(xp.minimum(a, 0))),
    expression="(a > (real)0 ? a : p0 * ab_expm1(a))",
    derivatives=(
        lambda xp, y, a, alpha: xp.where(a > 0, xp.ones_like(a), alpha * xp.exp(xp.minimum(a, 0))),
    ),
    gradients=("(a > (real)0 ? (real)1 : p0 * ab_exp(a))",),
    attrs=("alpha",),
    settings=({"alpha": 1.0}, {"alpha": 0.3}),
    summary=(
        "x where positive, alpha * (exp(x) - 1) elsewhere (Clevert, Unterthiner, Hochreiter\n2016)."
    ),
    example=("ab.elu(-0.5, 2.0)", "-0.7869"),
    ranges=((0.1, 2.0), (-2.0, -0.1)),
    cost=10,
)

SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772

elementwise(
    "selu",
    ("x",),
    formula=lambda xp, a: xp.where(
        a > 0, SELU_SCALE * a, SELU_SCALE * SELU_ALPHA * xp.expm1(xp.minimum(a, 0))
    ),
    expression=(
        "(a > (real)0 ? (real)1.0507009873554805 * a : (real)1.7580993408473768 * ab_expm1(a))"
    ),
    derivatives=(
        lambda xp, y, a: xp.where(
            a > 0,
            SELU_SCALE * xp.ones_like(a),
            SELU_SCALE * SELU_ALPHA * xp.exp(xp.minimum(a, 0)),
        ),
    ),
    gradients=("(a > (real)0 ? (real)1.0507009873554805 : (real)1.7580993408473768 * ab_exp(a))",),
    summary=(
        "The exponential unit whose activations keep mean 0 and variance 1: 1.0507 x where\n"
        "positive, 1.0507 * 1.6733 * (exp(x) - 1) elsewhere (Klambauer and others 2017)."
    ),
    example=("ab.selu(-0.5)", "-0.6918"),
    ranges=((0.1, 2.0), (-2.0, -0.1)),
    cost=10,
)

elementwise(
    "gelu",
    ("x",),
    formula=lambda xp, a: 0.5 * a * (1 + erf(xp, a * math.sqrt(0.5))),
    expression="(real)0.5 * a * ((real)1 + ab_erf((real)0.7071067811865476 * a))",
    derivatives=(
        lambda xp, y, a: (
            0.5 * (1 + erf(xp, a * math.sqrt(0.5)))
            + a * xp.exp(-0.5 * a * a) / math.sqrt(2 * math.pi)
        ),
    ),
    gradients=(
        "(real)0.5 * ((real)1 + ab_erf((real)0.7071067811865476 * a))"
        " + (real)0.3989422804014327 * a * ab_exp((real)-0.5 * a * a)",
    ),
    summary=(
        "x times the normal distribution function of x (Hendrycks and Gimpel 2016); see\n"
        "``approximate`` for the cheaper forms."
    ),
    example=("ab.gelu(0.5)", "0.3457"),
    ranges=((-3.0, 3.0),),
    cost=30,
)

_GELU_SCALE = math.sqrt(8 / math.pi)  # 2 sqrt(2 / pi): (1 + tanh u) / 2 = sigmoid(2 u)
_GELU_ARGUMENT = "ab_sigmoid((real)1.5957691216057308 * a * ((real)1 + (real)0.044715 * a * a))"


def _gelu_gate(xp: Any, a: Any) -> Any:
    return sigmoid(xp, _GELU_SCALE * a * (1 + 0.044715 * a * a))


def _gelu_slope(xp: Any, a: Any) -> Any:
    # Beyond 100 the gate is 0 or 1, whatever this is, but not if it overflows.
    return a * _GELU_SCALE * (1 + 0.134145 * a * a)


elementwise(
    "gelu_tanh",
    ("x",),
    formula=lambda xp, a: a * _gelu_gate(xp, a),
    expression=f"a * {_GELU_ARGUMENT}",
    derivatives=(
        lambda xp, y, a: (
            _gelu_gate(xp, a)
            * (1 + (1 - _gelu_gate(xp, a)) * _gelu_slope(xp, xp.clip(a, -100, 100)))
        ),
    ),
    gradients=(
        f"{_GELU_ARGUMENT} * ((real)1 + ((real)1 - {_GELU_ARGUMENT})"
        " * ab_gelu_slope(a < (real)-100 ? (real)-100 : (a > (real)100 ? (real)100 : a)))",
    ),
    summary=(
        "x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, elementwise: the first\n"
        "approximation of `gelu` (Hendrycks and Gimpel 2016)."
    ),
    example=("ab.gelu(0.5, approximate='tanh')", "0.3457"),
    ranges=((-3.0, 3.0),),
    cost=20,
    public=False,
)

elementwise(
    "gelu_sigmoid",
    ("x",),
    formula=lambda xp, a: a * sigmoid(xp, 1.702 * a),
    expression="a * ab_sigmoid((real)1.702 * a)",
    derivatives=(
        lambda xp, y, a: (
            sigmoid(xp, 1.702 * a) + a * sigmoid(xp, 1.702 * a) * (1.702 * sigmoid(xp, -1.702 * a))
        ),
    ),
    gradients=(
        "ab_sigmoid((real)1.702 * a) + a * ab_sigmoid((real)1.702 * a)"
        " * ((real)1.702 * ((real)1 - ab_sigmoid((real)1.702 * a)))",
    ),
    summary=(
        "x sigmoid(1.702 x), elementwise: the second approximation of `gelu` (Hendrycks and\n"
        "Gimpel 2016)."
    ),
    example=("ab.gelu(0.5, approximate='sigmoid')", "0.3504"),
    ranges=((-3.0, 3.0),),
    cost=15,
    public=False,
)

elementwise(
    "silu",
    ("x",),
    formula=lambda xp, a: a * sigmoid(xp, a),
    expression="a * ab_sigmoid(a)",
    derivatives=(lambda xp, y, a: sigmoid(xp, a) * (1 + a * sigmoid(xp, -a)),),
    gradients=("ab_sigmoid(a) * ((real)1 + a * ((real)1 - ab_sigmoid(a)))",),
    summary="x sigmoid(x), elementwise (Elfwing, Uchibe, Doya 2018).",
    example=("ab.silu(0.5)", "0.3112"),
    ranges=((-3.0, 3.0),),
    cost=12,
)

elementwise(
    "softsign",
    ("x",),
    formula=lambda xp, a: a / (1 + xp.abs(a)),
    expression="a / ((real)1 + ab_fabs(a))",
    derivatives=(lambda xp, y, a: 1 / xp.square(1 + xp.abs(a)),),
    gradients=("(real)1 / (((real)1 + ab_fabs(a)) * ((real)1 + ab_fabs(a)))",),
    summary="x / (1 + abs(x)), elementwise.",
    example=("ab.softsign(0.5)", "0.3333"),
    ranges=((0.1, 2.0), (-2.0, -0.1)),
    cost=3,
)

# --------------------------------------------------- losses of independent probabilities


# Of single precision, in both: a loss is the same number whatever the type.
_LEAST, _STEP = 2.0**-126, 2.0**-23


def _surely(xp: Any, log: Any) -> Any:
    """The logarithm of a probability: at least that of the smallest normal number."""
    return xp.maximum(log, math.log(_LEAST))


def _probable(xp: Any, p: Any, number: Any) -> Any:
    """NaN where p is no probability."""
    return xp.where((p >= 0) & (p <= 1), number, math.nan)


def _binary_cross_entropy_slope(xp: Any, y: Any, p: Any, t: Any) -> Any:
    rest = xp.where(p == 1, _STEP, 1 - p)
    least = xp.where(p < _LEAST, _LEAST, p)
    slope = xp.where(t == 1, 0, (1 - t) / rest) - xp.where(t == 0, 0, t / least)
    return _probable(xp, p, xp.where(p == t, 0, slope))


elementwise(
    "binary_cross_entropy",
    ("x", "y"),
    # A target of exactly 0 or 1 takes only its own logarithm.
    formula=lambda xp, p, t: _probable(
        xp,
        p,
        -xp.where(t == 0, 0, t * _surely(xp, xp.log(p)))
        - xp.where(t == 1, 0, (1 - t) * _surely(xp, xp.log1p(-p))),
    ),
    expression=(
        "ab_probable(a, -(b == (real)0 ? (real)0 : b * ab_at_least_smallest(ab_log(a)))"
        " - (b == (real)1 ? (real)0 : ((real)1 - b) * ab_at_least_smallest(ab_log1p(-a))))"
    ),
    derivatives=(
        _binary_cross_entropy_slope,
        lambda xp, y, p, t: _probable(xp, p, _surely(xp, xp.log1p(-p)) - _surely(xp, xp.log(p))),
    ),
    gradients=(
        "ab_probable(a, a == b ? (real)0"
        " : (b == (real)1 ? (real)0 : ((real)1 - b) / ab_complement(a))"
        " - (b == (real)0 ? (real)0 : b / ab_probability(a)))",
        "ab_probable(a, ab_at_least_smallest(ab_log1p(-a)) - ab_at_least_smallest(ab_log(a)))",
    ),
    summary=(
        "-y log x - (1 - y) log(1 - x), elementwise, for probabilities x and targets y.\n\n"
        "Logarithms are at least that of the smallest number of single precision, -87.3, in both\n"
        "types, so that a probability of exactly 0 or 1 has a finite loss and gradient, as in\n"
        "DyNet. What lies outside [0, 1] is no probability: NaN."
    ),
    example=("ab.binary_cross_entropy(0.8, 1.0)", "0.2231"),
    ranges=((0.1, 0.9),),
    alike=True,
    cost=25,
)

elementwise(
    "binary_cross_entropy_logits",
    ("x", "y"),
    formula=lambda xp, a, t: a * ((a > 0) - t) + xp.log1p(xp.exp(-xp.abs(a))),
    expression="a * ((a > (real)0 ? (real)1 : (real)0) - b) + ab_log1p(ab_exp(-ab_fabs(a)))",
    derivatives=(
        lambda xp, y, a, t: sigmoid(xp, a) - t,
        lambda xp, y, a, t: -a,
    ),
    gradients=("ab_sigmoid(a) - b", "-a"),
    summary=(
        "-y log s(x) - (1 - y) log(1 - s(x)), elementwise, where s is the sigmoid, without\n"
        "overflow."
    ),
    example=("ab.binary_cross_entropy(2.0, 1.0, from_logits=True)", "0.1269"),
    ranges=((0.1, 0.9), (-3.0, 3.0)),
    alike=True,
    cost=25,
    public=False,
)
