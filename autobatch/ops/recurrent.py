"""The elementwise part of recurrent cells in one op each: one node and one pass over memory
where the single operations would be nine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ShapeError
from .declare import Call, Form, Op, Operand, Sample, declare


def _sigmoid(xp: Any, x: Any) -> Any:
    return (1 + xp.tanh(x / 2)) / 2


def _lstm_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    gates, c = operands
    if len(c.shape) != 1 or gates.shape != (4 * c.shape[0],):
        raise ShapeError(
            f"lstm_cell: expected gates of shape (4 d,) and c of shape (d,), got {gates.shape} "
            f"and {c.shape}; the gates are i, f, o, g, one after the other"
        )
    (d,) = c.shape
    return Form((2 * d,), kernel="lstm_cell", params=(d,), flops=60 * d)


def _lstm_parts(call: Call, gates: Any, c: Any) -> tuple[Any, ...]:
    xp, d = call.xp, c.shape[1]
    i, f, o = (_sigmoid(xp, gates[:, k * d : (k + 1) * d]) for k in range(3))
    g = xp.tanh(gates[:, 3 * d :])
    return i, f, o, g, xp.tanh(f * c + i * g)


def _lstm_forward(call: Call, gates: Any, c: Any) -> Any:
    i, f, o, g, t = _lstm_parts(call, gates, c)
    return call.xp.concatenate([o * t, f * c + i * g], axis=1)


def _lstm_gradient(call: Call, j: int, dy: Any, y: Any, gates: Any, c: Any) -> Any:
    xp, d = call.xp, c.shape[1]
    i, f, o, g, t = _lstm_parts(call, gates, c)
    dh, dc = dy[:, :d], dy[:, d:]
    dc = dc + dh * o * (1 - t * t)
    if j == 1:
        return dc * f
    parts = (dc * g * i * (1 - i), dc * c * f * (1 - f), dh * t * o * (1 - o), dc * i * (1 - g * g))
    return xp.concatenate(parts, axis=1)


declare(
    Op(
        name="lstm_cell",
        inputs=("gates", "c"),
        rule=_lstm_rule,
        forward=_lstm_forward,
        gradient=_lstm_gradient,
        doc="""The elementwise part of an LSTM step.

        ``c' = sigmoid(f) * c + sigmoid(i) * tanh(g)``; ``h = sigmoid(o) * tanh(c')``.
        Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

        Args:
            gates: (4 d,): i, f, o, g, one after the other, before their nonlinearities.
            c: (d,), the memory before the step.

        Returns:
            (2 d,): h, then c'. ``ab.split(y, 2)`` gives them as views.

        Raises:
            ShapeError: other shapes.

        Example:
            >>> import autobatch as ab
            >>> h, c = ab.split(ab.lstm_cell(ab.zeros(8), ab.ones(2)), 2)
            >>> c.value()
            array([0.5, 0.5], dtype=float32)
        """,
        samples=(
            Sample(((4,), (1,))),
            Sample(((20,), (5,))),
            Sample(((132,), (33,)), low=-4.0, high=4.0),
            Sample(((20,), (5,)), batches=(3, 1)),
            Sample(((20,), (5,)), batches=(3, 3)),
        ),
        errors=(
            (((4,), (2,)), {}, None, "lstm_cell: expected gates of shape"),
            (((4, 2), (1, 2)), {}, None, "lstm_cell: expected gates of shape"),
        ),
    )
)
