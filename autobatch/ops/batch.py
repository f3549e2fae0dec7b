"""From a manual minibatch back to one value: sum, mean, one element."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ..errors import OperandError, ShapeError
from .declare import Call, Form, Op, Operand, Sample, declare, double_bits
from .shapes import added

_SAMPLES = (
    Sample(((5,),), batches=(3,)),
    Sample(((),), batches=(4,)),
    Sample(((2, 3),), batches=(2,)),
    Sample(((5,),)),
    Sample(((0,),), batches=(3,)),
)


def _over_batch(name: str, mean: bool, doc: str) -> None:
    def scale(call: Call) -> float:
        return 1 / call.operands[0].batch if mean else 1.0

    def rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
        (x,) = operands
        factor = 1 / x.batch if mean else 1.0
        return Form(
            x.shape,
            batch=1,
            kernel="batch_sum",
            params=(x.batch, x.size, double_bits(factor)),
            batch_aware=True,
            flops=x.batch * x.size,
        )

    def gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
        return call.xp.broadcast_to(scale(call) * dy[:, None], x.shape)

    declare(
        Op(
            name=name,
            inputs=("x",),
            rule=rule,
            forward=lambda call, x: added(call.xp, x, 1) * scale(call),
            gradient=gradient,
            doc=doc,
            samples=_SAMPLES,
        )
    )


_over_batch(
    "sum_batch",
    mean=False,
    doc="""Sum over the manual minibatch.

Args:
    x: any shape, any minibatch; the result has the same shape and no minibatch.

Example:
    >>> import numpy as np
    >>> import autobatch as ab
    >>> ab.sum_batch(ab.input(np.array([[1.0, 2.0], [3.0, 4.0]]), batched=True)).value()
    array([4., 6.], dtype=float32)
""",
)
_over_batch(
    "mean_batch",
    mean=True,
    doc="""Mean over the manual minibatch.

Args:
    x: any shape, any minibatch; the result has the same shape and no minibatch.

Example:
    >>> import numpy as np
    >>> import autobatch as ab
    >>> ab.mean_batch(ab.input(np.array([[1.0, 2.0], [3.0, 4.0]]), batched=True)).value()
    array([2., 3.], dtype=float32)
""",
)


def _element_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    chosen = call.xp.arange(x.shape[0]) == call.data[0, 0]
    return chosen.reshape((-1,) + (1,) * (x.ndim - 1)) * dy


declare(
    Op(
        name="pick_batch_element",
        inputs=("x",),
        rule=lambda attrs, operands: Form(
            operands[0].shape,
            batch=1,
            view=(0, 0),
            view_batch=True,
            index_limit=operands[0].batch,
        ),
        forward=lambda call, x: x[call.data[0, 0]][None],
        gradient=_element_gradient,
        data=("index",),
        doc="One element of a manual minibatch, a view; ``autobatch.pick_batch_element``.",
        samples=(
            Sample(((5,),), {}, (2,), batches=(3,)),
            Sample(((2, 3),), {}, (0,), batches=(2,)),
            Sample(((5,),), {}, (0,)),
        ),
        errors=((((5,),), {}, (1,), "pick_batch_element"),),
    )
)


# ------------------------------------------------------- between minibatches and axes


def _batch_stack_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    if not operands:
        raise OperandError("concat_batch: expected at least one expression, got an empty list")
    first = operands[0]
    for i, x in enumerate(operands):
        if x.shape != first.shape:
            raise ShapeError(
                f"concat_batch: expected expressions of one shape, got {first.shape} and, at "
                f"place {i}, {x.shape}"
            )
    batches = [x.batch for x in operands]
    return Form(
        (sum(batches), *first.shape),
        batch=1,
        kernel="batch_stack",
        params=(first.size, *itertools.accumulate(batches)),
        batch_aware=True,
    )


def _batch_stack_gradient(call: Call, j: int, dy: Any, y: Any, *xs: Any) -> Any:
    start = sum(x.shape[1] for x in xs[:j])
    return dy[:, start : start + xs[j].shape[1]]


declare(
    Op(
        name="batch_stack",
        inputs=("*xs",),
        rule=_batch_stack_rule,
        forward=lambda call, *xs: call.xp.concatenate(xs, axis=1),
        gradient=_batch_stack_gradient,
        doc="Minibatch elements along a new leading axis; see ``autobatch.batch_to_axis``.",
        samples=(
            Sample(((5,),), batches=(3,)),
            Sample(((5,), (5,)), batches=(3, 2)),
            Sample(((2, 3), (2, 3), (2, 3)), batches=(1, 4, 1)),
            Sample(((), ()), batches=(2, 1)),
            Sample(((5,),)),
            Sample(((0,),), batches=(3,)),
        ),
        errors=((((3,), (4,)), {}, None, "concat_batch: expected expressions of one shape"),),
        public=False,
    )
)


def _axis_to_batch_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    if not x.shape or not x.shape[0]:
        raise ShapeError(
            f"axis_to_batch: expected a leading axis with at least one entry, got shape {x.shape}"
        )
    if x.batch != 1:
        raise ShapeError(
            f"axis_to_batch: expected an operand without a minibatch, got one of {x.batch}; take "
            f"it up into the axis with ab.batch_to_axis"
        )
    return Form(x.shape[1:], batch=x.shape[0], view=(0, 0))


declare(
    Op(
        name="axis_to_batch",
        inputs=("x",),
        rule=_axis_to_batch_rule,
        forward=lambda call, x: x.reshape((-1, *x.shape[2:])),
        gradient=lambda call, j, dy, y, x: dy.reshape(x.shape),
        doc="""The entries of the leading axis as the elements of a minibatch; a view.

Args:
    x: (n, ...) without a minibatch.

Returns:
    (...) with a minibatch of n.

Raises:
    ShapeError: a scalar, no entries, or an x that has a minibatch.

Example:
    >>> import autobatch as ab
    >>> x = ab.axis_to_batch(ab.input([[1, 2, 3], [4, 5, 6]]))
    >>> x.shape, x.batch_size
    ((3,), 2)
""",
        samples=(
            Sample(((5,),)),
            Sample(((3, 4),)),
            Sample(((1, 4),)),
            Sample(((2, 3, 4),)),
        ),
        errors=(
            (((),), {}, None, "axis_to_batch: expected a leading axis"),
            (((0, 2),), {}, None, "axis_to_batch: expected a leading axis"),
        ),
    )
)
