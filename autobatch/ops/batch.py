"""From a manual minibatch back to one value: sum, mean, one element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .declare import Call, Form, Op, Operand, Sample, declare, double_bits

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
            forward=lambda call, x: x.sum(axis=1) * scale(call),
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
