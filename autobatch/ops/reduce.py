"""Reductions over axes, and over lists of expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import OperandError, ShapeError
from .declare import Call, Form, Op, Operand, Sample, Shape, declare, double_bits
from .shapes import added, averaged, outer_inner

ATTRS = (("axis", "int"), ("count", "int"), ("keepdims", "int"))


def reduced(shape: Shape, axis: int, count: int, keepdims: int) -> Shape:
    """The shape without `count` axes from `axis` on, or with them at size 1."""
    return shape[:axis] + (1,) * (count if keepdims else 0) + shape[axis + count :]


def split(x: Any, call: Call) -> Any:
    """Rows as (n, outer, length, inner)."""
    parts = outer_inner(x.shape[1:], call.attrs["axis"], call.attrs["count"])
    return x.reshape(x.shape[:1] + parts)


def joined(y: Any) -> Any:
    """(n, outer, inner) or a result of that size as (n, outer, 1, inner)."""
    return y[:, :, None, :]


def reduction_samples(low: float, high: float, empty: bool) -> tuple[Sample, ...]:
    """Samples of a reduction; `empty`: a length of 0 has a value."""

    def case(shape: Shape, axis: int, count: int, keepdims: int = 0, batch: int = 1) -> Sample:
        attrs = {"axis": axis, "count": count, "keepdims": keepdims}
        return Sample((shape,), attrs, low=low, high=high, batches=(batch,))

    cases = [
        case((5,), 0, 1),
        case((5,), 0, 1, 1),
        case((67,), 0, 1),
        case((3, 4), 0, 1),
        case((3, 4), 1, 1),
        case((3, 4), 1, 1, 1),
        case((3, 4), 0, 2),
        case((2, 3, 4), 1, 1),
        case((2, 3, 4), 0, 2, 1),
        case((2, 3, 4), 1, 2),
        case((), 0, 0),
        case((0, 4), 1, 1),
        case((6,), 0, 1, 0, 3),
        case((3, 4), 0, 1, 0, 3),
    ]
    return (*cases, case((0,), 0, 1), case((3, 0), 1, 1)) if empty else tuple(cases)


def axis_rule(
    name: str, kernel: str, empty: bool
) -> Callable[[dict[str, Any], Sequence[Operand]], Form]:
    """The rule of a reduction; `empty`: a length of 0 has a value."""

    def rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
        (x,) = operands
        axis, count, keepdims = attrs["axis"], attrs["count"], attrs["keepdims"]
        if axis < 0 or count < 0 or axis + count > len(x.shape):
            raise ShapeError(
                f"{name}: expected axes of an operand with {len(x.shape)} of them, got "
                f"{tuple(range(axis, axis + count))} for shape {x.shape}"
            )
        outer, length, inner = outer_inner(x.shape, axis, count)
        if length == 0 and outer * inner and not empty:
            raise ShapeError(
                f"{name}: expected at least one element to reduce, got shape {x.shape} over axes "
                f"{tuple(range(axis, axis + count))}; an empty {name} has no value"
            )
        return Form(
            reduced(x.shape, axis, count, keepdims),
            kernel=kernel,
            params=(outer, length, inner),
            flops=x.size,
        )

    return rule


def _reduction(
    name: str,
    *,
    formula: Callable[[Any, Any], Any],
    derivative: Callable[..., Any] | None,
    empty: bool,
    doc: str,
    ranges: tuple[float, float] = (-2.0, 2.0),
    integer: bool = False,
) -> None:
    """Declares a reduction.

    Args:
        formula: ``formula(xp, x)``: (n, outer, length, inner) to (n, outer, inner).
        derivative: ``derivative(xp, y, x)``, with ``y`` as (n, outer, 1, inner).
        empty: whether a length of 0 has a value.
    """

    rule = axis_rule(name, f"reduce_{name}", empty)

    def forward(call: Call, x: Any) -> Any:
        parts = split(x, call)
        if parts.shape[1] * parts.shape[3] == 0:
            return call.xp.zeros(x.shape[:1] + tuple(call.shape), x.dtype)
        return formula(call.xp, parts).reshape(x.shape[:1] + tuple(call.shape))

    def gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
        assert derivative is not None
        parts = split(x, call)
        shape = (x.shape[0], parts.shape[1], 1, parts.shape[3])
        local = derivative(call.xp, y.reshape(shape), parts)
        return call.xp.broadcast_to(dy.reshape(shape) * local, parts.shape).reshape(x.shape)

    errors: list[tuple[Any, ...]] = [
        (((3,),), {"axis": 1, "count": 1, "keepdims": 0}, None, f"{name}: expected axes"),
    ]
    if not empty:
        wrong = {"axis": 0, "count": 1, "keepdims": 0}
        errors.append((((0,),), wrong, None, f"{name}: expected at least one element"))
    declare(
        Op(
            name=name,
            inputs=("x",),
            rule=rule,
            forward=forward,
            gradient=gradient if derivative is not None else None,
            attrs=ATTRS,
            integer=integer,
            doc=doc,
            samples=reduction_samples(*ranges, empty=empty),
            errors=tuple(errors),
        )
    )


def _first_of(xp: Any, x: Any, index: Any) -> Any:
    """Mask of the elements that `index` (n, outer, inner) picks along axis 2."""
    return xp.arange(x.shape[2])[:, None] == joined(index)


def _logsumexp(xp: Any, x: Any) -> Any:
    top = x.max(axis=2, keepdims=True)
    # An infinite maximum would give inf - inf.
    top = xp.where(xp.isfinite(top), top, 0)
    return (xp.log(added(xp, xp.exp(x - top), 2, True)) + top)[:, :, 0]


def _norm(xp: Any, x: Any) -> Any:
    # In units of the largest: its square may leave the range of numbers where the norm does not.
    unit = xp.abs(x).max(axis=2, keepdims=True, initial=0)
    unit = xp.where((unit > 0) & xp.isfinite(unit), unit, 1)
    return xp.sqrt(added(xp, xp.square(x / unit), 2)) * unit[:, :, 0]


def _norm_derivative(xp: Any, y: Any, x: Any) -> Any:
    return xp.where(y == 0, 0, x / xp.where(y == 0, 1, y))


_reduction(
    "sum",
    formula=lambda xp, x: added(xp, x, 2),
    derivative=lambda xp, y, x: 1,
    empty=True,
    doc="Sum over axes; see ``autobatch.sum``.",
)
_reduction(
    "mean",
    formula=lambda xp, x: averaged(xp, x, 2),
    derivative=lambda xp, y, x: 1 / x.shape[2],
    empty=False,
    doc="Mean over axes; see ``autobatch.mean``.",
)
_reduction(
    "max",
    formula=lambda xp, x: x.max(axis=2),
    derivative=lambda xp, y, x: _first_of(xp, x, x.argmax(axis=2)),
    empty=False,
    doc="Maximum over axes, NaN if any is; the gradient goes to the first; ``autobatch.max``.",
)
_reduction(
    "min",
    formula=lambda xp, x: x.min(axis=2),
    derivative=lambda xp, y, x: _first_of(xp, x, x.argmin(axis=2)),
    empty=False,
    doc="Minimum over axes, NaN if any is; the gradient goes to the first; ``autobatch.min``.",
)
_reduction(
    "logsumexp",
    formula=_logsumexp,
    derivative=lambda xp, y, x: xp.where(xp.isinf(y), 0, xp.exp(x - xp.where(xp.isinf(y), 0, y))),
    empty=False,
    doc="log of the sum of exp over axes, without overflow; see ``autobatch.logsumexp``.",
)
_reduction(
    "norm",
    formula=_norm,
    derivative=_norm_derivative,
    empty=True,
    doc="Euclidean norm over axes, with gradient 0 at 0; see ``autobatch.norm``.",
)
_reduction(
    "argmax",
    formula=lambda xp, x: x.argmax(axis=2).astype(x.dtype),
    derivative=None,
    empty=False,
    integer=True,
    doc="Index of the first maximum over axes; see ``autobatch.argmax``.",
)


# ------------------------------------------------------------------------- over a list


def _equal_shapes(name: str, operands: Sequence[Operand]) -> Operand:
    if not operands:
        raise OperandError(f"{name}: expected at least one expression, got an empty list")
    first = operands[0]
    if operands.count(first) == len(operands):
        return first
    shape = first.shape
    for i, x in enumerate(operands):
        if x.shape != shape:
            raise ShapeError(
                f"{name}: expected expressions of one shape, got {shape} and, at place {i}, "
                f"{x.shape}; reshape them, or add them with +"
            )
    return first


def _nary_samples() -> tuple[Sample, ...]:
    return (
        Sample(((5,),)),
        Sample(((5,), (5,))),
        Sample(((),) * 7),
        Sample(((3, 4),) * 3),
        Sample(((2,),) * 10),  # more operands than the engine looks at one by one
        Sample(((0,), (0,))),
        Sample(((5,),) * 3, batches=(3, 1, 3)),
    )


_NARY_ERRORS: tuple[tuple[Any, ...], ...] = (
    (((3,), (4,)), {}, None, "expected expressions of one shape"),
)


def _scaled_sum(name: str, mean: bool, doc: str) -> None:
    def rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
        first = _equal_shapes(name, operands)
        scale = 1 / len(operands) if mean else 1.0
        return Form(
            first.shape,
            kernel="nary_sum",
            params=(first.size, double_bits(scale)),
            flops=first.size * len(operands),
        )

    def forward(call: Call, *xs: Any) -> Any:
        total = xs[0].astype(call.xp.float64)
        for x in xs[1:]:
            total = total + x
        return (total / len(xs) if mean else total).astype(xs[0].dtype)

    def gradient(call: Call, j: int, dy: Any, y: Any, *xs: Any) -> Any:
        return dy * (1 / len(xs)) if mean else dy

    declare(
        Op(
            name=name,
            inputs=("*xs",),
            rule=rule,
            forward=forward,
            gradient=gradient,
            doc=doc,
            samples=_nary_samples(),
            errors=_NARY_ERRORS,
            public=False,
        )
    )


_scaled_sum("nary_sum", mean=False, doc="Sum of a list of expressions; see ``autobatch.sum``.")
_scaled_sum("nary_mean", mean=True, doc="Mean of a list of expressions; see ``autobatch.mean``.")


def _nary_max_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    first = _equal_shapes("nary_max", operands)
    return Form(
        first.shape,
        kernel="nary_max",
        params=(first.size,),
        flops=first.size * len(operands),
    )


def _nary_max_forward(call: Call, *xs: Any) -> Any:
    top = xs[0] * 1
    for x in xs[1:]:
        top = call.xp.maximum(top, x)
    return top


def _nary_max_gradient(call: Call, j: int, dy: Any, y: Any, *xs: Any) -> Any:
    def wins(x: Any) -> Any:
        return (x == y) | (x != x)

    chosen = wins(xs[j])
    for x in xs[:j]:
        chosen = chosen & ~wins(x)
    return dy * chosen


declare(
    Op(
        name="nary_max",
        inputs=("*xs",),
        rule=_nary_max_rule,
        forward=_nary_max_forward,
        gradient=_nary_max_gradient,
        doc="Elementwise maximum of a list of expressions; see ``autobatch.max``.",
        samples=_nary_samples(),
        errors=_NARY_ERRORS,
        public=False,
    )
)
