"""Joining, slicing and picking.

What lies contiguous inside its operand is a view and costs nothing: reshape, a range of the
leading axis, an element of it. Where it begins is data, not form, so that slices of one
shape batch together wherever they begin.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from ..errors import IndexRangeError, OperandError, ShapeError
from .declare import Call, Form, Op, Operand, Sample, Shape, declare
from .linear import strided_form
from .loss import label_batch
from .shapes import added, outer_inner

# ------------------------------------------------------------------------ concat, stack


def _joint(name: str, operands: Sequence[Operand]) -> Shape:
    if not operands:
        raise OperandError(f"{name}: expected at least one expression, got an empty list")
    return operands[0].shape


def _concat_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    axis = attrs["axis"]
    first = _joint("concat", operands)
    if not 0 <= axis < len(first):
        if not first:
            raise ShapeError("concat: expected operands with axes; use ab.stack for scalars")
        raise ShapeError(
            f"concat: expected an axis from 0 to {len(first) - 1} for shape {first}, got {axis}"
        )
    rest = math.prod(first[axis + 1 :])
    total, inner = 0, []
    for i, x in enumerate(operands):
        shape = x.shape
        if shape != first and (
            len(shape) != len(first)
            or shape[:axis] != first[:axis]
            or shape[axis + 1 :] != first[axis + 1 :]
        ):
            raise ShapeError(
                f"concat: expected shapes equal except along axis {axis}, got {first} and, at "
                f"place {i}, {shape}"
            )
        total += shape[axis]
        inner.append(shape[axis] * rest)
    return Form(
        (*first[:axis], total, *first[axis + 1 :]),
        kernel="concat",
        params=(math.prod(first[:axis]), *itertools.accumulate(inner)),
    )


def _repeat_rows(xp: Any, xs: Sequence[Any]) -> list[Any]:
    """Operands with one row brought to the number of rows of the others."""
    n = max(x.shape[0] for x in xs)
    return [x if x.shape[0] == n else xp.broadcast_to(x, (n, *x.shape[1:])) for x in xs]


def _concat_gradient(call: Call, j: int, dy: Any, y: Any, *xs: Any) -> Any:
    axis = call.attrs["axis"] + 1
    start = sum(x.shape[axis] for x in xs[:j])
    return dy[(slice(None),) * axis + (slice(start, start + xs[j].shape[axis]),)]


declare(
    Op(
        name="concat",
        inputs=("*xs",),
        rule=_concat_rule,
        forward=lambda call, *xs: call.xp.concatenate(
            _repeat_rows(call.xp, xs), axis=call.attrs["axis"] + 1
        ),
        gradient=_concat_gradient,
        attrs=(("axis", "int"),),
        doc="Joins along an axis; see ``autobatch.concat``.",
        samples=(
            Sample(((5,),), {"axis": 0}),
            Sample(((5,), (3,)), {"axis": 0}),
            Sample(((5,), (0,), (3,)), {"axis": 0}),
            Sample(((2, 3), (4, 3)), {"axis": 0}),
            Sample(((1,), (2,)) * 5, {"axis": 0}),
            Sample(((2, 3), (2, 4), (2, 1)), {"axis": 1}),
            Sample(((2, 3, 2), (2, 1, 2)), {"axis": 1}),
            Sample(((5,), (3,)), {"axis": 0}, batches=(3, 3)),
            Sample(((5,), (3,)), {"axis": 0}, batches=(1, 3)),
        ),
        errors=(
            (((2, 3), (3, 4)), {"axis": 0}, None, "concat: expected shapes equal except"),
            (((2, 3), (2,)), {"axis": 0}, None, "concat: expected shapes equal except"),
            (((3,), ()), {"axis": 0}, None, "concat: expected shapes equal except"),
            (((3,), (3,)), {"axis": 1}, None, "concat: expected an axis"),
            (((), ()), {"axis": 0}, None, "use ab.stack for scalars"),
        ),
    )
)


def _stack_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    axis = attrs["axis"]
    first = _joint("stack", operands)
    if not 0 <= axis <= len(first):
        raise ShapeError(
            f"stack: expected an axis of a result with {len(first) + 1} of them, got {axis}"
        )
    for i, x in enumerate(operands):
        if x.shape != first:
            raise ShapeError(
                f"stack: expected expressions of one shape, got {first} and, at place {i}, "
                f"{x.shape}; use ab.concat to join along an axis that exists"
            )
    inner = math.prod(first[axis:])
    return Form(
        (*first[:axis], len(operands), *first[axis:]),
        kernel="concat",
        params=(math.prod(first[:axis]), *(inner * (j + 1) for j in range(len(operands)))),
    )


declare(
    Op(
        name="stack",
        inputs=("*xs",),
        rule=_stack_rule,
        forward=lambda call, *xs: call.xp.stack(
            _repeat_rows(call.xp, xs), axis=call.attrs["axis"] + 1
        ),
        gradient=lambda call, j, dy, y, *xs: call.xp.take(dy, j, axis=call.attrs["axis"] + 1),
        attrs=(("axis", "int"),),
        doc="Joins along a new axis; see ``autobatch.stack``.",
        samples=(
            Sample(((5,),), {"axis": 0}),
            Sample(((), (), ()), {"axis": 0}),
            Sample(((5,), (5,)), {"axis": 1}),
            Sample(((2, 3), (2, 3), (2, 3)), {"axis": 1}),
            Sample(((2, 3), (2, 3)), {"axis": 2}),
            Sample(((0,), (0,)), {"axis": 0}),
            Sample(((5,), (5,)), {"axis": 0}, batches=(3, 1)),
        ),
        errors=(
            (((3,), (4,)), {"axis": 0}, None, "stack: expected expressions of one shape"),
            (((3,), (3,)), {"axis": 2}, None, "stack: expected an axis"),
        ),
    )
)

# ------------------------------------------------------------------------------- views


def _reshape_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    shape = attrs["shape"]
    if any(dim < 0 for dim in shape) or math.prod(shape) != x.size:
        raise ShapeError(
            f"reshape: expected a shape with the {x.size} elements of {x.shape}, got {shape}; at "
            f"most one size may be -1, which is then worked out"
        )
    return Form(shape, view=(0, 0))


declare(
    Op(
        name="reshape",
        inputs=("x",),
        rule=_reshape_rule,
        forward=lambda call, x: x.reshape(x.shape[:1] + tuple(call.shape)),
        gradient=lambda call, j, dy, y, x: dy.reshape(dy.shape[:1] + x.shape[1:]),
        attrs=(("shape", "ints"),),
        doc="The same elements in another shape; see ``autobatch.reshape``.",
        samples=(
            Sample(((6,),), {"shape": (2, 3)}),
            Sample(((2, 3),), {"shape": (6,)}),
            Sample(((1,),), {"shape": ()}),
            Sample(((0, 3),), {"shape": (0,)}),
            Sample(((2, 3),), {"shape": (3, 2)}, batches=(3,)),
        ),
        errors=(
            (((6,),), {"shape": (4,)}, None, "reshape: expected a shape with the 6 elements"),
            (((6,),), {"shape": (-1, -1)}, None, "reshape: expected a shape"),
        ),
    )
)

declare(
    Op(
        name="stop_gradient",
        inputs=("x",),
        rule=lambda attrs, operands: Form(operands[0].shape, view=(0, 0), block_gradient=True),
        forward=lambda call, x: x,
        doc="""The operand itself, through which no gradient passes.

Args:
    x: any shape; the result has the same.

Example:
    >>> import autobatch as ab
    >>> x = ab.input([1.0, 2.0])
    >>> loss = ab.sum(ab.stop_gradient(x) * x)
    >>> loss.backward(wrt=[x])
    >>> x.gradient()
    array([1., 2.], dtype=float32)
""",
        samples=(
            Sample(((5,),)),
            Sample(((3, 4),), batches=(3,)),
        ),
    )
)


def _flat(x: Any) -> Any:
    return x.reshape((x.shape[0], math.prod(x.shape[1:])))


def _positions(call: Call, size: int) -> Any:
    """(n, size): the elements that a view starting at data[0] covers."""
    return call.data[:, :1] + call.xp.arange(size)


def _slice_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    shape = attrs["shape"]
    size = math.prod(shape)
    if size > x.size:
        raise ShapeError(f"slice: expected at most {x.size} elements of {x.shape}, got {shape}")
    return Form(shape, view=(0, 1), index_limit=x.size - size + 1)


def _view_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    xp = call.xp
    dx = xp.zeros((dy.shape[0], math.prod(x.shape[1:])), dy.dtype)
    at = _positions(call, math.prod(dy.shape[1:]))
    dx[xp.arange(dy.shape[0])[:, None], at] = _flat(dy)
    return dx.reshape(dy.shape[:1] + x.shape[1:])


declare(
    Op(
        name="slice",
        inputs=("x",),
        rule=_slice_rule,
        forward=lambda call, x: call.xp.take_along_axis(
            _flat(x), _positions(call, math.prod(call.shape)), axis=1
        ).reshape(x.shape[:1] + tuple(call.shape)),
        gradient=_view_gradient,
        attrs=(("shape", "ints"),),
        data=("offset",),
        doc="Contiguous elements from an offset on, in a shape of their own: ``x[a:b]``.",
        samples=(
            Sample(((6,),), {"shape": (2,)}, (3,)),
            Sample(((6,),), {"shape": (6,)}, (0,)),
            Sample(((4, 3),), {"shape": (2, 3)}, (3,)),
            Sample(((4, 3),), {"shape": (0, 3)}, (6,)),
            Sample(((4, 3),), {"shape": ()}, (7,)),
            Sample(((6,),), {"shape": (2,)}, (3, 3, 3), batches=(3,)),
        ),
        errors=((((3,),), {"shape": (4,)}, (0,), "slice: expected at most 3 elements"),),
        public=False,
    )
)


def _leading(name: str, x: Operand) -> tuple[int, int]:
    """Length of the leading axis, and elements of one of its entries."""
    if not x.shape:
        raise ShapeError(f"{name}: expected an operand with at least one axis, got a scalar")
    if not x.shape[0]:
        raise ShapeError(f"{name}: expected entries to pick from, got shape {x.shape}")
    return x.shape[0], math.prod(x.shape[1:])


def _pick_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    length, inner = _leading("pick", x)
    return Form(x.shape[1:], view=(0, inner), index_limit=length)


def _pick_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    xp = call.xp
    chosen = xp.arange(x.shape[1]) == call.data[:, :1]
    return chosen.reshape(chosen.shape + (1,) * (x.ndim - 2)) * dy[:, None]


def _pick_forward(call: Call, x: Any) -> Any:
    if x.shape[0] != len(call.data):
        x = call.xp.broadcast_to(x, (len(call.data), *x.shape[1:]))
    return x[call.xp.arange(len(call.data)), call.data[:, 0]]


declare(
    Op(
        name="pick",
        inputs=("x",),
        rule=_pick_rule,
        forward=_pick_forward,
        gradient=_pick_gradient,
        data=("index",),
        doc="x[index] along the leading axis, a view; see ``autobatch.pick``.",
        samples=(
            Sample(((5,),), {}, (3,)),
            Sample(((4, 3),), {}, (3,)),
            Sample(((2, 3, 4),), {}, (0,)),
            Sample(((4, 0),), {}, (1,)),
            Sample(((4, 3),), {}, (2, 2, 2), batches=(3,)),
        ),
        errors=(
            (((),), {}, (0,), "pick: expected an operand with at least one axis"),
            (((0, 3),), {}, (0,), "pick: expected entries"),
            (((3,),), {}, (3,), "pick"),
            (((3,),), {}, (-1,), "pick"),
        ),
    )
)

# ------------------------------------------------------------------------------ copies


def _pick_each_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    length, inner = _leading("pick", x)
    return Form(
        x.shape[1:],
        batch=label_batch("pick", attrs, x),
        kernel="gather_rows",
        params=(1, inner),
        index_limit=length,
    )


declare(
    Op(
        name="pick_each",
        inputs=("x",),
        rule=_pick_each_rule,
        forward=_pick_forward,
        gradient=_pick_gradient,
        attrs=(("batch", "int"),),
        data=("index",),
        doc="x[index] with an index for every minibatch element; see ``autobatch.pick``.",
        samples=(
            Sample(((5,),), {"batch": 3}, (3, 0, 3)),
            Sample(((4, 3),), {"batch": 0}, (3, 0, 3), batches=(3,)),
        ),
        errors=(
            (((),), {"batch": 2}, (0, 0), "pick: expected an operand with at least one axis"),
            (((3,),), {"batch": 2}, (0, 3), "pick"),
        ),
        public=False,
    )
)

declare(
    Op(
        name="pick_again",
        inputs=("x",),
        rule=_pick_each_rule,
        forward=_pick_forward,
        gradient=_pick_gradient,
        attrs=(("batch", "int"),),
        data=("index",),
        random=True,  # never shared: its indices may change
        doc="x[index] with indices that may be changed later; see ``autobatch.engine.redirect``.",
        samples=(
            Sample(((5,),), {"batch": 3}, (3, 0, 3)),
            Sample(((4, 3),), {"batch": 0}, (3, 0, 3), batches=(3,)),
        ),
        errors=((((3,),), {"batch": 2}, (0, 3), "pick"),),
        public=False,
    )
)


def _select_rows_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    length, inner = _leading("select_rows", x)
    count = attrs["count"]
    return Form(
        (count, *x.shape[1:]),
        kernel="gather_rows",
        params=(count, inner),
        index_limit=length,
    )


def _select_rows_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    xp = call.xp
    dx = xp.zeros(dy.shape[:1] + x.shape[1:], dy.dtype)
    rows = xp.arange(dy.shape[0])
    for i in range(dy.shape[1]):  # one at a time: an index may occur twice
        dx[rows, call.data[:, i]] += dy[:, i]
    return dx


declare(
    Op(
        name="select_rows",
        inputs=("x",),
        rule=_select_rows_rule,
        forward=lambda call, x: x[call.xp.arange(x.shape[0])[:, None], call.data],
        gradient=_select_rows_gradient,
        attrs=(("count", "int"),),
        data=("*index",),
        doc="Entries of the leading axis in any order; see ``autobatch.select_rows``.",
        samples=(
            Sample(((4, 3),), {"count": 3}, (3, 0, 3)),
            Sample(((5,),), {"count": 2}, (4, 4)),
            Sample(((4, 2, 3),), {"count": 1}, (2,)),
            Sample(((4, 3),), {"count": 0}, ()),
            Sample(((4, 3),), {"count": 2}, (3, 0, 1, 2, 2, 2), batches=(3,)),
        ),
        errors=(
            (((),), {"count": 1}, (0,), "select_rows: expected an operand with at least one"),
            (((3, 2),), {"count": 2}, (0, 3), "select_rows"),
        ),
    )
)


def _strided_layout(attrs: dict[str, Any]) -> tuple[Shape, tuple[int, ...]]:
    layout = attrs["layout"]
    half = len(layout) // 2
    return layout[:half], layout[half:]


def _strided_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    shape, strides = _strided_layout(attrs)
    first = last = attrs["offset"]
    for dim, stride in zip(shape, strides, strict=True):
        reach = (dim - 1) * stride
        first, last = first + min(reach, 0), last + max(reach, 0)
    if math.prod(shape) and (first < 0 or last >= x.size):
        raise IndexRangeError(
            f"strided: expected elements 0 to {x.size - 1} of shape {x.shape}, got {first} to "
            f"{last}"
        )
    return strided_form(x, shape, strides, attrs["offset"])


def _strided_index(call: Call, shape: Shape, strides: Sequence[int]) -> Any:
    """Element numbers of a strided walk, in the given shape."""
    index = call.xp.full((1,) * len(shape), call.attrs["offset"])
    for axis, (dim, stride) in enumerate(zip(shape, strides, strict=True)):
        steps = call.xp.arange(dim) * stride
        index = index + steps.reshape((1,) * axis + (dim,) + (1,) * (len(shape) - axis - 1))
    return index.reshape(-1)


def _strided_forward(call: Call, x: Any) -> Any:
    shape, strides = _strided_layout(call.attrs)
    return _flat(x)[:, _strided_index(call, shape, strides)].reshape((x.shape[0], *shape))


def _strided_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    xp = call.xp
    shape, strides = _strided_layout(call.attrs)
    # Summed over repeated axes, the walk meets every element at most once.
    repeated = tuple(i for i, stride in enumerate(strides, 1) if stride == 0)
    once = tuple(1 if i in repeated else dim for i, dim in enumerate(shape, 1))
    dy = added(xp, dy, repeated, True) if repeated else dy
    dx = xp.zeros((dy.shape[0], math.prod(x.shape[1:])), dy.dtype)
    dx[:, _strided_index(call, once, strides)] = _flat(dy)
    return dx.reshape(dy.shape[:1] + x.shape[1:])


declare(
    Op(
        name="strided",
        inputs=("x",),
        rule=_strided_rule,
        forward=_strided_forward,
        gradient=_strided_gradient,
        attrs=(("offset", "int"), ("layout", "ints")),
        doc="""A walk over the operand with strides: slices with steps, repeated axes.

``layout`` is the result's shape followed by its strides in elements, which may be negative
or, for a repeated axis, 0; all others must not meet an element twice.
""",
        samples=(
            Sample(((6,),), {"offset": 0, "layout": (3, 2)}),
            Sample(((6,),), {"offset": 5, "layout": (6, -1)}),
            Sample(((4, 3),), {"offset": 1, "layout": (4, 3)}),
            Sample(((4, 3),), {"offset": 0, "layout": (4, 2, 3, 1)}),
            Sample(((4, 3),), {"offset": 11, "layout": (4, 3, -3, -1)}),
            Sample(((3,),), {"offset": 0, "layout": (4, 3, 0, 1)}),
            Sample(((2, 3, 4),), {"offset": 2, "layout": (2, 3, 12, 4)}),
            Sample(((6,),), {"offset": 0, "layout": (0, 2)}),
            Sample(((4, 3),), {"offset": 1, "layout": (4, 3)}, batches=(3,)),
        ),
        errors=((((3,),), {"offset": 0, "layout": (4, 1)}, None, "strided: expected elements"),),
        public=False,
    )
)


def _take_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    axis, count = attrs["axis"], attrs["count"]
    if not 0 <= axis < len(x.shape):
        raise ShapeError(
            f"take: expected an axis of an operand with {len(x.shape)} of them, got {axis} for "
            f"shape {x.shape}"
        )
    if not x.shape[axis]:
        raise ShapeError(f"take: expected entries to take, got shape {x.shape}")
    outer, length, inner = outer_inner(x.shape, axis)
    return Form(
        (*x.shape[:axis], count, *x.shape[axis + 1 :]),
        kernel="gather_axis",
        params=(outer, length, inner, count),
        index_limit=length,
    )


def _take_lanes(call: Call, x: Any) -> Any:
    """Rows as (n, length, outer, inner): the axis to take from first."""
    parts = x.reshape(x.shape[:1] + outer_inner(x.shape[1:], call.attrs["axis"]))
    return call.xp.swapaxes(parts, 1, 2)


def _take_forward(call: Call, x: Any) -> Any:
    lanes = _take_lanes(call, x)
    taken = lanes[call.xp.arange(len(lanes))[:, None], call.data]
    return call.xp.swapaxes(taken, 1, 2).reshape(x.shape[:1] + tuple(call.shape))


def _take_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    xp, given = call.xp, _take_lanes(call, dy)
    dx = xp.zeros(_take_lanes(call, x).shape, dy.dtype)
    rows = xp.arange(len(dx))
    for i in range(given.shape[1]):  # one at a time: an index may occur twice
        dx[rows, call.data[:, i]] += given[:, i]
    return xp.swapaxes(dx, 1, 2).reshape(x.shape)


declare(
    Op(
        name="take",
        inputs=("x",),
        rule=_take_rule,
        forward=_take_forward,
        gradient=_take_gradient,
        attrs=(("axis", "int"), ("count", "int")),
        data=("*index",),
        doc="Entries of an axis in any order; see ``autobatch.take``.",
        samples=(
            Sample(((3, 4),), {"axis": 1, "count": 3}, (3, 0, 3)),
            Sample(((2, 3, 4),), {"axis": 1, "count": 2}, (2, 0)),
            Sample(((2, 3, 4),), {"axis": 2, "count": 1}, (1,)),
            Sample(((3, 4),), {"axis": 1, "count": 0}, ()),
            Sample(((3, 4),), {"axis": 1, "count": 2}, (3, 0, 1, 2, 2, 2), batches=(3,)),
        ),
        errors=(
            (((3,),), {"axis": 1, "count": 1}, (0,), "take: expected an axis"),
            (((3, 0),), {"axis": 1, "count": 1}, (0,), "take: expected entries"),
            (((3, 2),), {"axis": 1, "count": 1}, (2,), "take"),
        ),
    )
)
