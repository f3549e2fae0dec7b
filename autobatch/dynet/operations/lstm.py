"""A step of an LSTM in parts: gates, cell, output."""

from __future__ import annotations

from typing import Any

from ... import functions as F
from ...recording import traced
from ..expressions import _operand
from .products import affine_transform
from .randomness import noise
from .shapes import concatenate

__all__ = [
    "vanilla_lstm_c",
    "vanilla_lstm_gates",
    "vanilla_lstm_gates_concat",
    "vanilla_lstm_gates_dropout",
    "vanilla_lstm_gates_dropout_concat",
    "vanilla_lstm_h",
]


def vanilla_lstm_gates_dropout_concat(
    x_t: list[Any],
    h_tm1: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    dropout_mask_x: Any,
    dropout_mask_h: Any,
    weightnoise_std: float = 0.0,
) -> Any:
    """The gates of an LSTM step: i, f, o after the logistic function, g after tanh.

    Args:
        x_t: inputs, to be joined.
        h_tm1: the state before.
        Wx, Wh, b: dimensions (4h, inputs), (4h, h), (4h,); 1 is added to the forget gate's.
        dropout_mask_x, dropout_mask_h: factors of the inputs and of the state.
        weightnoise_std: standard deviation of noise added to the weights.

    Returns:
        (4h,).
    """
    x = concatenate(x_t) if len(x_t) > 1 else x_t[0]
    if dropout_mask_x is not None:
        x = F.multiply(x, dropout_mask_x)
        h_tm1 = F.multiply(h_tm1, dropout_mask_h)
    if weightnoise_std > 0:
        Wx, Wh, b = (noise(w, weightnoise_std) for w in (Wx, Wh, b))
    i, f, o, g = F.split(affine_transform([b, Wx, x, Wh, h_tm1]), 4, axis=-1)
    return F.concat([F.sigmoid(i), F.sigmoid(F.add(f, 1.0)), F.sigmoid(o), F.tanh(g)], axis=-1)


def vanilla_lstm_gates_concat(
    x_t: list[Any],
    h_tm1: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    weightnoise_std: float = 0.0,
) -> Any:
    """`vanilla_lstm_gates_dropout_concat` without masks."""
    return vanilla_lstm_gates_dropout_concat(x_t, h_tm1, Wx, Wh, b, None, None, weightnoise_std)


def vanilla_lstm_gates_dropout(
    x_t: Any,
    h_tm1: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    dropout_mask_x: Any,
    dropout_mask_h: Any,
    weightnoise_std: float = 0.0,
) -> Any:
    """`vanilla_lstm_gates_dropout_concat` of one input."""
    return vanilla_lstm_gates_dropout_concat(
        [x_t], h_tm1, Wx, Wh, b, dropout_mask_x, dropout_mask_h, weightnoise_std
    )


def vanilla_lstm_gates(
    x_t: Any,
    h_tm1: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    weightnoise_std: float = 0.0,
) -> Any:
    """`vanilla_lstm_gates_concat` of one input."""
    return vanilla_lstm_gates_concat([x_t], h_tm1, Wx, Wh, b, weightnoise_std)


@traced
def vanilla_lstm_c(c_tm1: Any, gates_t: Any) -> Any:
    """The cell of an LSTM step, ``i * g + f * c``, from the cell before and the gates."""
    i, f, _, g = F.split(_operand(gates_t), 4, axis=-1)
    return F.add(F.multiply(i, g), F.multiply(f, c_tm1))


@traced
def vanilla_lstm_h(c_t: Any, gates_t: Any) -> Any:
    """The output of an LSTM step, ``o * tanh(c)``, from its cell and gates."""
    o = F.split(_operand(gates_t), 4, axis=-1)[2]
    return F.multiply(o, F.tanh(c_t))
