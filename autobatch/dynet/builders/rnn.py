"""Recurrent networks without memories: Elman's, and gated recurrent units."""

from __future__ import annotations

import math
from typing import Any

from ... import functions as F
from ...recording import traced
from ..parameters import Parameters
from ._base import _mask, _Masked, _masked, _RNNBuilder, _vector

__all__ = [
    "GRUBuilder",
    "SimpleRNNBuilder",
]


class SimpleRNNBuilder(_Masked, _RNNBuilder):
    """The recurrence of Elman 1990: ``h' = tanh(Wx x + Wh h + b)``.

    Args:
        layers, input_dim, hidden_dim: sizes.
        model: the collection; parameters go to a sub-collection of it.
    """

    _prefix = "simple-rnn-builder"

    def _make(self, inputs: int, hidden: int) -> list[Parameters]:
        add = self._collection.add_parameters
        return [add((hidden, inputs)), add((hidden, hidden)), add(hidden, init=0)]

    @classmethod
    def _step(cls, operands: Any, x: Any, c: Any, h: Any, masks: Any) -> tuple[Any, Any]:
        new_h = []
        for i, (wx, wh, b) in enumerate(operands):
            mask_x, mask_h = masks[i] if masks else (None, None)
            x = _masked(x, mask_x)
            last = _masked(h[i] if h else None, mask_h)
            pairs = (wx, x) if last is None else (wx, x, wh, last)
            x = F.tanh(F.affine_transposed(b, *pairs))
            new_h.append(x)
        return (), new_h

    def set_dropouts(self, d: float, d_h: float) -> None:
        """Sets the rates of dropout.

        Args:
            d: on inputs.
            d_h: on outputs handed to the next step.
        """
        self._set_rates(d, d_h)


def _dropped(x: Any, rate: float) -> Any:
    return F.multiply(x, _mask(math.prod(x.shape), rate, x.batch_size))


class GRUBuilder(_RNNBuilder):
    """Gated recurrent units (Cho et al. 2014): ``h' = (1 - z) h + z tanh(Wx x + Wh (r h) + b)``.

    Dropout is drawn anew at every step, on the inputs of all layers and on the output.

    Args:
        layers, input_dim, hidden_dim: sizes.
        model: the collection; parameters go to a sub-collection of it.
    """

    _prefix = "gru-builder"

    def _make(self, inputs: int, hidden: int) -> list[Parameters]:
        add = self._collection.add_parameters
        layer: list[Parameters] = []
        for _ in range(3):
            layer += [add((hidden, inputs)), add((hidden, hidden)), add(hidden, init=0)]
        return layer

    def set_dropout(self, f: float) -> None:
        """Sets the rate of dropout, on the inputs of all layers and on the output."""
        self._rate = float(f)
        self._drops = self._draws()

    def _general_step(self, x: Any, s: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
        *h, output = self._dropping_step(self._operands, x, s, self._rate)
        return tuple(h), output

    @staticmethod
    @traced
    def _dropping_step(operands: Any, x: Any, s: Any, rate: float) -> tuple[Any, ...]:
        # Masks are drawn at every use, in the order of the layers.
        x, new_h = _vector(x), []
        for i, layer in enumerate(operands):
            _, (x,) = GRUBuilder._step([layer], _dropped(x, rate), (), s[i : i + 1], None)
            new_h.append(x)
        return (*new_h, _dropped(x, rate))

    @classmethod
    def _step(cls, operands: Any, x: Any, c: Any, h: Any, masks: Any) -> tuple[Any, Any]:
        new_h = []
        for i, (xz, hz, bz, xr, hr, br, xh, hh, bh) in enumerate(operands):
            if not h:
                z = F.sigmoid(F.affine_transposed(bz, xz, x))
                x = F.multiply(z, F.tanh(F.affine_transposed(bh, xh, x)))
            else:
                last = h[i]
                z = F.sigmoid(F.affine_transposed(bz, xz, x, hz, last))
                r = F.sigmoid(F.affine_transposed(br, xr, x, hr, last))
                fresh = F.tanh(F.affine_transposed(bh, xh, x, hh, F.multiply(r, last)))
                x = F.add(F.multiply(F.subtract(1.0, z), last), F.multiply(z, fresh))
            new_h.append(x)
        return (), new_h
