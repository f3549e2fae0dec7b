"""Along an axis: cumulative sums, deviations, moments, the largest few, layer normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import OperandError, ShapeError
from .declare import Call, Form, Op, Operand, Sample, declare, double_bits
from .reduce import ATTRS, axis_rule, joined, reduction_samples, split
from .shapes import added, averaged, outer_inner


def _along(name: str, x: Operand, axis: int) -> tuple[int, int, int]:
    if not 0 <= axis < len(x.shape):
        raise ShapeError(
            f"{name}: expected an axis of an operand with {len(x.shape)} of them, got {axis} for "
            f"shape {x.shape}"
        )
    return outer_inner(x.shape, axis)


def _lanes(call: Call, x: Any, axis: int | None = None) -> Any:
    """Rows as (n, outer, length, inner)."""
    axis = call.attrs["axis"] if axis is None else axis
    return x.reshape(x.shape[:1] + outer_inner(x.shape[1:], axis))


# ------------------------------------------------------------------------------- cumsum


def _cumsum_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    params = _along("cumsum", x, attrs["axis"])
    return Form(x.shape, kernel="cumsum", params=params, flops=x.size)


def _running(xp: Any, x: Any, axis: int) -> Any:
    return xp.cumsum(x, axis=axis, dtype=xp.float64).astype(x.dtype)


def _cumsum_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    axis = call.attrs["axis"] + 1
    xp = call.xp
    return xp.flip(_running(xp, xp.flip(dy, axis), axis), axis)


declare(
    Op(
        name="cumsum",
        inputs=("x",),
        rule=_cumsum_rule,
        forward=lambda call, x: _running(call.xp, x, call.attrs["axis"] + 1),
        gradient=_cumsum_gradient,
        attrs=(("axis", "int"),),
        doc="Cumulative sum along an axis; see ``autobatch.cumsum``.",
        samples=(
            Sample(((5,),), {"axis": 0}),
            Sample(((67,),), {"axis": 0}),
            Sample(((3, 4),), {"axis": 0}),
            Sample(((3, 4),), {"axis": 1}),
            Sample(((2, 3, 70),), {"axis": 1}),
            Sample(((0, 4),), {"axis": 0}),
            Sample(((3, 0),), {"axis": 0}),
            Sample(((3, 4),), {"axis": 0}, batches=(3,)),
        ),
        errors=((((3,),), {"axis": 1}, None, "cumsum: expected an axis"),),
    )
)

# --------------------------------------------------------------------------- deviations


def _deviation(xp: Any, x: Any) -> tuple[Any, Any, Any]:
    """The largest magnitude along axis 2, and in units of it distances from the mean and their
    root mean square: squares of large or small numbers would leave the range.

    Distances are taken from the first number first, so that equal numbers have none.
    """
    unit = xp.abs(x).max(axis=2, keepdims=True)
    unit = xp.where((unit > 0) & xp.isfinite(unit), unit, 1)
    scaled = x / unit
    off = scaled - scaled[:, :, :1]
    off = off - averaged(xp, off, 2, True)
    return unit, off, xp.sqrt(averaged(xp, xp.square(off), 2, True))


def _std_forward(call: Call, x: Any) -> Any:
    parts = split(x, call)
    if parts.shape[1] * parts.shape[3] == 0:
        return call.xp.zeros(x.shape[:1] + tuple(call.shape), x.dtype)
    unit, _, deviation = _deviation(call.xp, parts)
    return (unit * deviation).reshape(x.shape[:1] + tuple(call.shape))


def _std_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    xp, parts = call.xp, split(x, call)
    if parts.size == 0:
        return xp.zeros(x.shape, dy.dtype)
    shape = (x.shape[0], parts.shape[1], 1, parts.shape[3])
    _, off, deviation = _deviation(xp, parts)
    same = deviation == 0
    local = xp.where(same, 0, off / xp.where(same, 1, deviation) / parts.shape[2])
    return (dy.reshape(shape) * local).reshape(x.shape)


declare(
    Op(
        name="std",
        inputs=("x",),
        rule=axis_rule("std", "reduce_std", empty=False),
        forward=_std_forward,
        gradient=_std_gradient,
        attrs=ATTRS,
        doc="Standard deviation over axes, gradient 0 where it is 0; see ``autobatch.std``.",
        samples=reduction_samples(-2.0, 2.0, empty=False),
        errors=(
            (((3,),), {"axis": 1, "count": 1, "keepdims": 0}, None, "std: expected axes"),
            (((0,),), {"axis": 0, "count": 1, "keepdims": 0}, None, "std: expected at least one"),
        ),
    )
)


def _moment_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    order = attrs["order"]
    if order < 1:
        raise OperandError(f"moment: expected an order of at least 1, got {order}")
    form = axis_rule("moment", "reduce_moment", empty=False)(attrs, operands)
    return Form(
        form.shape, kernel=form.kernel, params=(*form.params, order), flops=order * form.flops
    )


def _moment_forward(call: Call, x: Any) -> Any:
    parts = split(x, call)
    if parts.shape[1] * parts.shape[3] == 0:
        return call.xp.zeros(x.shape[:1] + tuple(call.shape), x.dtype)
    powers = (parts.astype(call.xp.float64) ** call.attrs["order"]).mean(axis=2)
    return powers.astype(x.dtype).reshape(x.shape[:1] + tuple(call.shape))


def _moment_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    parts, order = split(x, call), call.attrs["order"]
    if parts.size == 0:
        return call.xp.zeros(x.shape, dy.dtype)
    dy = dy.reshape((x.shape[0], parts.shape[1], 1, parts.shape[3]))
    slope = parts.astype(call.xp.float64) ** (order - 1) * (order / parts.shape[2])
    return (dy * slope).astype(x.dtype).reshape(x.shape)


def _moment_case(shape: tuple[int, ...], axis: int, count: int, order: int, batch: int = 1) -> Any:
    attrs = {"axis": axis, "count": count, "keepdims": 0, "order": order}
    return Sample((shape,), attrs, batches=(batch,))


declare(
    Op(
        name="moment",
        inputs=("x",),
        rule=_moment_rule,
        forward=_moment_forward,
        gradient=_moment_gradient,
        attrs=(*ATTRS, ("order", "int")),
        doc="Mean of the powers over axes; see ``autobatch.moment``.",
        samples=(
            _moment_case((5,), 0, 1, 1),
            _moment_case((5,), 0, 1, 2),
            _moment_case((3, 4), 0, 1, 3),
            _moment_case((2, 3, 70), 1, 1, 2),
            _moment_case((3, 4), 0, 2, 4),
            _moment_case((), 0, 0, 2),
            _moment_case((0, 4), 1, 1, 2),
            _moment_case((3, 4), 1, 1, 3, 3),
        ),
        errors=(
            (
                ((3,),),
                {"axis": 1, "count": 1, "keepdims": 0, "order": 2},
                None,
                "moment: expected axes",
            ),
            (
                ((3,),),
                {"axis": 0, "count": 1, "keepdims": 0, "order": 0},
                None,
                "moment: expected an order",
            ),
        ),
    )
)

# ------------------------------------------------------------------------ hardmax, kmax


def _hardmax_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    params = _along("hardmax", x, attrs["axis"])
    return Form(x.shape, kernel="hardmax", params=params, flops=x.size)


def _hardmax_forward(call: Call, x: Any) -> Any:
    if not x.size:
        return x
    lanes = _lanes(call, x)
    first = call.xp.arange(lanes.shape[2])[:, None] == joined(lanes.argmax(axis=2))
    return first.astype(x.dtype).reshape(x.shape)


declare(
    Op(
        name="hardmax",
        inputs=("x",),
        rule=_hardmax_rule,
        forward=_hardmax_forward,
        attrs=(("axis", "int"),),
        doc="1 at the first maximum along an axis, 0 elsewhere; see ``autobatch.hardmax``.",
        samples=(
            Sample(((5,),), {"axis": 0}),
            Sample(((67,),), {"axis": 0}),
            Sample(((3, 4),), {"axis": 0}),
            Sample(((2, 3, 70),), {"axis": 1}),
            Sample(((0,),), {"axis": 0}),
            Sample(((3, 4),), {"axis": 1}, batches=(3,)),
        ),
        errors=((((3,),), {"axis": 1}, None, "hardmax: expected an axis"),),
    )
)


def _kmax_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    axis, count = attrs["axis"], attrs["count"]
    outer, length, inner = _along("kmax", x, axis)
    if not 1 <= count <= length:
        raise ShapeError(
            f"kmax: expected a count from 1 to the {length} entries of axis {axis} of shape "
            f"{x.shape}, got {count}"
        )
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    params = (outer, length, inner, count)
    return Form(shape, kernel="kmax", params=params, flops=2 * x.size * length)


def _kmax_places(call: Call, lanes: Any) -> Any:
    """(n, outer, count, inner): places of the largest, in their order."""
    xp = call.xp
    # A stable sort of the negatives takes the first of equals; NaN comes before everything.
    keys = xp.where(xp.isnan(lanes), -math.inf, -lanes)
    order = xp.argsort(keys, axis=2, kind="stable")[:, :, : call.attrs["count"]]
    return xp.sort(order, axis=2)


def _kmax_forward(call: Call, x: Any) -> Any:
    lanes = _lanes(call, x)
    taken = call.xp.take_along_axis(lanes, _kmax_places(call, lanes), axis=2)
    return taken.reshape(x.shape[:1] + tuple(call.shape))


def _kmax_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    lanes = _lanes(call, x)
    places = _kmax_places(call, lanes)
    here = call.xp.arange(lanes.shape[2])[:, None, None] == places[:, :, None]
    return (here * dy.reshape(places.shape)[:, :, None]).sum(axis=3).reshape(x.shape)


declare(
    Op(
        name="kmax",
        inputs=("x",),
        rule=_kmax_rule,
        forward=_kmax_forward,
        gradient=_kmax_gradient,
        attrs=(("axis", "int"), ("count", "int")),
        doc="The largest few along an axis, in their order; see ``autobatch.kmax``.",
        samples=(
            Sample(((5,),), {"axis": 0, "count": 2}),
            Sample(((5,),), {"axis": 0, "count": 5}),
            Sample(((3, 6),), {"axis": 1, "count": 3}),
            Sample(((6, 70),), {"axis": 0, "count": 2}),
            Sample(((4, 0),), {"axis": 0, "count": 2}),
            Sample(((3, 6),), {"axis": 0, "count": 1}, batches=(3,)),
        ),
        errors=(
            (((3,),), {"axis": 1, "count": 1}, None, "kmax: expected an axis"),
            (((3,),), {"axis": 0, "count": 4}, None, "kmax: expected a count"),
        ),
    )
)

# --------------------------------------------------------------------------- layer_norm


def _layer_norm_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    x, gain, bias = operands
    last = x.shape[len(x.shape) - len(gain.shape) :]
    if not gain.shape or gain.shape != last or bias.shape != last:
        raise ShapeError(
            f"layer_norm: expected gain and bias of the shape of the last axes of x, "
            f"{x.shape}, got {gain.shape} and {bias.shape}"
        )
    epsilon = attrs["epsilon"]
    if not epsilon >= 0:
        raise OperandError(f"layer_norm: expected an epsilon of at least 0, got {epsilon}")
    if not gain.size and x.shape != gain.shape:
        raise ShapeError(f"layer_norm: expected numbers to normalise, got shape {x.shape}")
    vectors = x.size // gain.size if gain.size else 0
    params = (vectors, gain.size, double_bits(epsilon))
    return Form(x.shape, kernel="layer_norm", params=params, flops=8 * x.size)


def _normalised(call: Call, x: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """(x - mean) / deviation, 1 / deviation, and the axes."""
    xp = call.xp
    axes = tuple(range(x.ndim - len(call.operands[1].shape), x.ndim))
    lanes = x.reshape((1, -1, math.prod(x.shape[axes[0] :]), 1))
    unit, off, deviation = _deviation(xp, lanes)
    epsilon = call.attrs["epsilon"]
    if epsilon:
        # hypot squares nothing
        deviation = xp.hypot(deviation, math.sqrt(epsilon) / unit)
    same = deviation == 0  # equal numbers without epsilon become 0 rather than 0 / 0
    h = xp.where(same, 0, off / xp.where(same, 1, deviation))
    scale = xp.where(same, 0, 1 / (unit * xp.where(same, 1, deviation)))
    return h.reshape(x.shape), scale.reshape(x.shape[: axes[0]] + (1,) * len(axes)), axes


def _rows_of(v: Any, x: Any) -> Any:
    """Rows of gain or bias with the axes of rows of x."""
    return v.reshape(v.shape[:1] + (1,) * (x.ndim - v.ndim) + v.shape[1:])


def _layer_norm_forward(call: Call, x: Any, gain: Any, bias: Any) -> Any:
    if not x.size:
        return x
    return _rows_of(gain, x) * _normalised(call, x)[0] + _rows_of(bias, x)


def _layer_norm_gradient(call: Call, j: int, dy: Any, y: Any, x: Any, gain: Any, bias: Any) -> Any:
    if not x.size:
        return call.xp.zeros_like((x, gain, bias)[j])
    h, scale, axes = _normalised(call, x)
    if j == 0:
        a = dy * _rows_of(gain, x)
        along = averaged(call.xp, a * h, axes, True)
        return scale * (a - averaged(call.xp, a, axes, True) - h * along)
    dy = dy * h if j == 1 else dy
    return added(call.xp, dy, tuple(range(1, axes[0]))) if axes[0] > 1 else dy


declare(
    Op(
        name="layer_norm",
        inputs=("x", "gain", "bias"),
        rule=_layer_norm_rule,
        forward=_layer_norm_forward,
        gradient=_layer_norm_gradient,
        attrs=(("epsilon", "float"),),
        doc="gain (x - mean) / sqrt(variance + epsilon) + bias; see ``autobatch.layer_norm``.",
        samples=(
            Sample(((5,), (5,), (5,)), {"epsilon": 1e-5}),
            Sample(((67,), (67,), (67,)), {"epsilon": 0.0}),
            Sample(((3, 6), (6,), (6,)), {"epsilon": 1e-5}),
            Sample(((3, 4), (3, 4), (3, 4)), {"epsilon": 0.1}),
            Sample(((2, 3, 4), (4,), (4,)), {"epsilon": 1e-3}),
            Sample(((0,), (0,), (0,)), {"epsilon": 1e-5}),
            Sample(((5,), (5,), (5,)), {"epsilon": 1e-5}, batches=(3, 1, 1)),
            Sample(((3, 5), (5,), (5,)), {"epsilon": 1e-5}, weights=(False, True, True)),
        ),
        errors=(
            (((4,), (3,), (3,)), {"epsilon": 1e-5}, None, "layer_norm: expected gain and bias"),
            (((3,), (3,), (3,)), {"epsilon": -1.0}, None, "layer_norm: expected an epsilon"),
        ),
    )
)
