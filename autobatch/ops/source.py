"""Where values come from: inputs, parameters, tables, constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import ShapeError
from .declare import Call, Form, Op, Operand, Sample, declare

declare(
    Op(
        name="constant",
        inputs=(),
        rule=lambda attrs, operands: Form(attrs["shape"], batch=attrs["batch"]),
        forward=None,
        attrs=(("batch", "int"), ("shape", "ints")),
        source=True,
        doc="Numbers that are shared and have no gradient; see ``autobatch.constant``.",
    )
)

declare(
    Op(
        name="input",
        inputs=(),
        rule=lambda attrs, operands: Form(attrs["shape"], batch=attrs["batch"]),
        forward=None,
        attrs=(("batch", "int"), ("shape", "ints")),
        source=True,
        random=True,  # never shared: each has a gradient of its own
        doc="An array from outside; see ``autobatch.input``.",
    )
)

declare(
    Op(
        name="placeholder",
        inputs=(),
        rule=lambda attrs, operands: Form(attrs["shape"], batch=attrs["batch"]),
        forward=None,
        attrs=(("batch", "int"), ("shape", "ints")),
        source=True,
        random=True,  # never shared: its content may change
        doc="An input whose content may be written later; see ``autobatch.engine.write``.",
        public=False,
    )
)

declare(
    Op(
        name="parameter",
        inputs=(),
        rule=lambda attrs, operands: Form(attrs["shape"], batch=1),
        forward=None,
        attrs=(("shape", "ints"),),
        source=True,
        doc="A parameter; see ``autobatch.Parameter``.",
        public=False,
    )
)


def _table(name: str, operands: Sequence[Operand]) -> Operand:
    (table,) = operands
    if not table.shape:
        raise ShapeError(f"{name}: expected a table of rows, got a scalar")
    return table


def _lookup_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    table = _table("lookup", operands)
    return Form(table.shape[1:], batch=1, index_limit=table.shape[0])


def _lookup_forward(call: Call, table: Any) -> Any:
    return table[0, call.data[:, 0]]


def _lookup_gradient(call: Call, j: int, dy: Any, y: Any, table: Any) -> Any:
    """The dense gradient. Backends that know the rows keep it sparse."""
    xp = call.xp
    used = (xp.arange(table.shape[1])[:, None] == call.data[:, 0]).astype(dy.dtype)
    flat = xp.matmul(used, dy.reshape((dy.shape[0], math.prod(dy.shape[1:]))))
    return flat.reshape(table.shape)


declare(
    Op(
        name="lookup",
        inputs=("table",),
        rule=_lookup_rule,
        forward=_lookup_forward,
        gradient=_lookup_gradient,
        data=("row",),
        source=True,
        table=True,
        doc="A row of a table; see ``autobatch.Lookup``.",
        public=False,
    )
)


def _lookup_batch_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    table = _table("lookup", operands)
    shape = table.shape[1:]
    return Form(
        shape,
        batch=attrs["batch"],
        kernel="copy",
        params=(math.prod(shape),),
        same=(True,),
        index_limit=table.shape[0],
    )


declare(
    Op(
        name="lookup_batch",
        inputs=("table",),
        rule=_lookup_batch_rule,
        forward=_lookup_forward,
        gradient=_lookup_gradient,
        attrs=(("batch", "int"),),
        data=("row",),
        table=True,
        doc="Rows of a table as a manual minibatch; see ``autobatch.Lookup.batch``.",
        samples=(
            Sample(((6, 3),), {"batch": 4}, (5, 0, 5, 2), weights=(True,)),
            Sample(((6, 2, 3),), {"batch": 2}, (1, 4), weights=(True,)),
        ),
        errors=((((6, 3),), {"batch": 2}, (5, 6), "lookup"),),
        public=False,
    )
)

declare(
    Op(
        name="lookup_again",
        inputs=("table",),
        rule=_lookup_batch_rule,
        forward=_lookup_forward,
        gradient=_lookup_gradient,
        attrs=(("batch", "int"),),
        data=("row",),
        table=True,
        random=True,  # never shared: its rows may change
        doc="Rows of a table that may be changed later; see ``autobatch.engine.redirect``.",
        samples=(Sample(((6, 3),), {"batch": 4}, (5, 0, 5, 2), weights=(True,)),),
        errors=((((6, 3),), {"batch": 2}, (5, 6), "lookup"),),
        public=False,
    )
)


def _full_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    shape = attrs["shape"]
    if any(dim < 0 for dim in shape):
        raise ShapeError(f"full: expected sizes of at least 0, got shape {shape}")
    if math.prod(shape) >= 1 << 48:
        raise ShapeError(f"full: shape {shape} has more elements than an address space holds")
    return Form(shape, kernel="fill", params=(math.prod(shape),))


def _full_forward(call: Call) -> Any:
    values = call.floats()[:, 0]
    column = values.reshape((len(values),) + (1,) * len(call.shape))
    return call.xp.broadcast_to(column, (len(values), *call.shape))


declare(
    Op(
        name="full",
        inputs=(),
        rule=_full_rule,
        forward=_full_forward,
        attrs=(("shape", "ints"),),
        data=("value:float",),
        doc="An array of one number; see ``autobatch.full``.",
        samples=(
            Sample((), {"shape": ()}, (1.5,)),
            Sample((), {"shape": (5,)}, (-0.25,)),
            Sample((), {"shape": (3, 4)}, (0.0,)),
            Sample((), {"shape": (0,)}, (1.0,)),
        ),
        errors=(
            ((), {"shape": (-1,)}, (0.0,), "full: expected sizes"),
            ((), {"shape": (1 << 40, 1 << 40)}, (0.0,), "more elements than an address space"),
        ),
    )
)


def _one_hot_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    size = attrs["size"]
    if size < 1:
        raise ShapeError(f"one_hot: expected a size of at least 1, got {size}")
    return Form(
        (size,), batch=attrs["batch"] or None, kernel="one_hot", params=(size,), index_limit=size
    )


def _one_hot_forward(call: Call) -> Any:
    return 1.0 * (call.xp.arange(call.attrs["size"]) == call.data[:, :1])


declare(
    Op(
        name="one_hot",
        inputs=(),
        rule=_one_hot_rule,
        forward=_one_hot_forward,
        attrs=(("batch", "int"), ("size", "int")),
        data=("index",),
        doc="A vector of zeros with a single 1; see ``autobatch.one_hot``.",
        samples=(
            Sample((), {"batch": 0, "size": 5}, (3,)),
            Sample((), {"batch": 0, "size": 1}, (0,)),
            Sample((), {"batch": 3, "size": 4}, (3, 0, 3)),
        ),
        errors=(
            ((), {"batch": 0, "size": 0}, (0,), "one_hot: expected a size"),
            ((), {"batch": 0, "size": 3}, (3,), "one_hot"),
        ),
    )
)
