"""The value of an op by its formula, one minibatch element at a time, with no engine at all."""

from __future__ import annotations

import numpy as np
from samples import Case

from autobatch.ops import Operand
from autobatch.ops.declare import Call
from autobatch.twin import words


def form_of(case: Case):
    """The form of a sample."""
    operands = [
        Operand(*about) for about in zip(case.shapes, case.batches, case.weights, strict=True)
    ]
    return case.declaration.rule(dict(case.attrs), operands)


def batch_of(case: Case) -> int:
    """The minibatch of a sample's result."""
    form = form_of(case)
    return max(case.batches, default=1) if form.batch is None else form.batch


def formula(case: Case, arrays: list[np.ndarray]) -> np.ndarray:
    """The value of a sample; its first axis is the minibatch if that is larger than 1."""
    op, form, batch = case.declaration, form_of(case), batch_of(case)
    data = np.array(words(op, case.data), np.int64).reshape(batch, -1)
    operands = [Operand(*about) for about in zip(case.shapes, case.batches, case.weights)]
    if form.view is not None and batch > max(case.batches, default=1):
        call = Call(np, case.attrs, data, form.shape, operands)
        return op.forward(call, *(array[None] for array in arrays))
    rows = []
    for b in range(batch):
        xs = []
        for array, size in zip(arrays, case.batches):
            if form.view_batch:
                xs.append(array if size > 1 else array[None])
            elif form.batch_aware:
                xs.append(array[None] if size > 1 else array[None, None])
            else:
                xs.append((array[b] if size > 1 else array)[None])
        call = Call(np, case.attrs, data[b : b + 1], form.shape, operands)
        with np.errstate(all="ignore"):
            row = np.asarray(op.forward(call, *xs))
        rows.append(np.broadcast_to(row, (1, *form.shape)))
    value = np.concatenate(rows)
    return value if batch > 1 else value[0]


def directional(case: Case, arrays: list[np.ndarray], j: int, weights, direction) -> float:
    """The derivative of sum(weights * value) along a direction of operand ``j``, measured."""
    step = 1e-6
    ends = []
    for sign in (1, -1):
        moved = list(arrays)
        moved[j] = arrays[j] + sign * step * direction
        value = formula(case, moved)
        ends.append((np.where(np.isfinite(value), value, 0) * weights).sum())
    return float(ends[0] - ends[1]) / (2 * step)
