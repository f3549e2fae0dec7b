"""Long short-term memories, without and with peepholes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ... import functions as F
from ..expressions import as_expression, inputVector
from ..operations import layer_norm, noise
from ..parameters import Dims, ParameterCollection, Parameters, const_parameter
from ._base import _mask, _Masked, _masked, _RNNBuilder

__all__ = [
    "CompactVanillaLSTMBuilder",
    "CoupledLSTMBuilder",
    "FastLSTMBuilder",
    "LSTMBuilder",
    "SparseLSTMBuilder",
    "VanillaLSTMBuilder",
]


class _GatedLSTM(_Masked, _RNNBuilder):
    """What the long short-term memories without peepholes share."""

    _has_memory = True
    _ln = False
    _forget = 1.0

    def _make(self, inputs: int, hidden: int) -> list[Parameters]:
        add = self._collection.add_parameters
        return [add((4 * hidden, inputs)), add((4 * hidden, hidden)), add(4 * hidden, init=0)]

    @functools.cached_property
    def _forget_numbers(self) -> np.ndarray:
        """What is added to the bias."""
        numbers = np.zeros(4 * self._hidden, np.float32)
        numbers[self._hidden : 2 * self._hidden] = self._forget
        return numbers

    def _begin(self, update: bool) -> None:
        self._forget_bias = inputVector(self._forget_numbers) if self._forget else None
        super()._begin(update)

    def _prepare(self, layer: list[Any], i: int) -> Any:
        wx, wh, b = layer[:3]
        return wx, wh, b if self._forget_bias is None else F.add(b, self._forget_bias)

    def _draws(self) -> bool:
        return super()._draws() or bool(self._noise)

    def _general_step(self, x: Any, s: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
        if not self._noise:
            return super()._general_step(x, s)
        operands = self._operands
        self._current_masks(as_expression(x).batch_size)  # they are drawn before the noise is
        self._operands = [tuple(noise(w, self._noise) for w in layer) for layer in operands]
        try:
            return super()._general_step(x, s)
        finally:
            self._operands = operands

    @classmethod
    def _step(cls, operands: Any, x: Any, c: Any, h: Any, masks: Any) -> tuple[Any, Any]:
        new_c, new_h = [], []
        for i, (wx, wh, b, *gains) in enumerate(operands):
            mask_x, mask_h = masks[i] if masks else (None, None)
            x = _masked(x, mask_x)
            last = _masked(h[i] if h else None, mask_h)
            before = c[i] if c else F.zeros(b.shape[0] // 4)
            if gains:
                x, memory = _normalised(gains, wx, x, wh, last, b, before)
            else:
                pairs = (wx, x) if last is None else (wx, x, wh, last)
                x, memory = F.split(F.lstm_cell(F.affine_transposed(b, *pairs), before), 2)
            new_c.append(memory)
            new_h.append(x)
        return new_c, new_h


def _normalised(
    gains: list[Any], wx: Any, x: Any, wh: Any, last: Any, b: Any, c: Any
) -> tuple[Any, Any]:
    """One layer's output and memory under layer normalisation."""
    gh, bh, gx, bx, gc, bc = gains
    gates = F.add(b, layer_norm(F.affine_transposed(None, wx, x), gx, bx))
    if last is not None:
        gates = F.add(gates, layer_norm(F.affine_transposed(None, wh, last), gh, bh))
    _, memory = F.split(F.lstm_cell(gates, c), 2)
    o = F.sigmoid(F.split(gates, 4)[2])
    return F.multiply(o, F.tanh(layer_norm(memory, gc, bc))), memory


class VanillaLSTMBuilder(_GatedLSTM):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et
    al. 2000), no peepholes.

    ``i, f, o, g = Wx x + Wh h + b``; ``c' = sigmoid(f + forget_bias) c + sigmoid(i) tanh(g)``;
    ``h' = sigmoid(o) tanh(c')``.

    Args:
        layers, input_dim, hidden_dim: sizes.
        model: the collection; parameters go to a sub-collection of it.
        ln_lstm: layer normalisation (Ba et al. 2016). Default: False.
        forget_bias: default 1.

    >>> import autobatch.dynet as dy
    >>> m = dy.ParameterCollection()
    >>> lstm = dy.LSTMBuilder(1, 3, 2, m)
    >>> _ = dy.renew_cg()
    >>> state = lstm.initial_state().add_input(dy.inputVector([1, 2, 3]))
    >>> state.output().dim(), [p.shape() for p in lstm.get_parameters()[0]]
    (((2,), 1), [(8, 3), (8, 2), (8,)])
    """

    _prefix = "vanilla-lstm-builder"

    def __init__(
        self,
        layers: int,
        input_dim: int,
        hidden_dim: int,
        model: ParameterCollection,
        ln_lstm: bool = False,
        forget_bias: float = 1.0,
    ) -> None:
        self._ln, self._forget = bool(ln_lstm), float(forget_bias)
        self._parent = model
        self._norms: list[list[Parameters]] = []
        super().__init__(layers, input_dim, hidden_dim, model)

    @property
    def spec(self) -> tuple[Any, ...]:
        """What `from_spec` needs to make an equal builder."""
        return self._layers, self._input, self._hidden, self._ln, self._forget

    def _make(self, inputs: int, hidden: int) -> list[Parameters]:
        collection = self._collection
        made = [
            collection.add_parameters((4 * hidden, inputs)),
            collection.add_parameters((4 * hidden, hidden)),
            *self._made_masks(inputs, hidden),
            collection.add_parameters(4 * hidden, init=0),
        ]
        if self._ln:
            # Layer normalisation's go to the parent, as in DyNet.
            sizes = (4 * hidden, 4 * hidden, hidden)
            self._norms.append(
                [self._parent.add_parameters(size, init=v) for size in sizes for v in (1, 0)]
            )
        return made

    def _made_masks(self, inputs: int, hidden: int) -> list[Parameters]:
        return []

    def _begin(self, update: bool) -> None:
        self._gains = [
            [as_expression(p) if update else const_parameter(p) for p in norm]
            for norm in self._norms
        ]
        super()._begin(update)

    def _prepare(self, layer: list[Any], i: int) -> Any:
        prepared = super()._prepare(layer, i)
        return (*prepared, *self._gains[i]) if self._ln else prepared


LSTMBuilder = VanillaLSTMBuilder


class CompactVanillaLSTMBuilder(_GatedLSTM):
    """:class:`VanillaLSTMBuilder` without options; in DyNet it needs less memory.

    Args:
        layers, input_dim, hidden_dim: sizes.
        model: the collection; parameters go to a sub-collection of it.
    """

    _prefix = "compact-vanilla-lstm-builder"

    def set_weightnoise(self, std: float) -> None:
        """Adds noise to the weights, drawn anew at every step.

        Args:
            std: its standard deviation; 0 ends it.

        Raises:
            ValueError: a negative number.
        """
        if std < 0:
            raise ValueError(f"set_weightnoise: expected a number of at least 0, got {std}")
        self._noise = float(std)
        self._drops = self._draws()


class SparseLSTMBuilder(VanillaLSTMBuilder):
    """:class:`VanillaLSTMBuilder` with masks on its matrices (Narang et al. 2017).

    Arguments as for :class:`VanillaLSTMBuilder`.
    """

    def _made_masks(self, inputs: int, hidden: int) -> list[Parameters]:
        add = self._collection.add_parameters
        return [add((4 * hidden, inputs), init=1), add((4 * hidden, hidden), init=1)]

    def get_parameters(self) -> list[list[Parameters]]:
        """For each layer the matrices, the bias, and the matrices' masks."""
        return [[wx, wh, b, mx, mh] for wx, wh, mx, mh, b in self._parameters]

    def _begin(self, update: bool) -> None:
        super()._begin(update)
        self._shown = [[wx, wh, b] for wx, wh, b in self._sparse]

    def _prepare(self, layer: list[Any], i: int) -> Any:
        wx, wh, mx, mh, b = layer
        if i == 0:
            self._sparse = []
        masked = [F.multiply(w, F.stop_gradient(mask)) for w, mask in ((wx, mx), (wh, mh))]
        self._sparse.append((*masked, b))
        return super()._prepare([*masked, b], i)

    def set_sparsity(self, sparsity: float) -> None:
        """Masks the weights of least magnitude, those of all matrices compared together.

        Args:
            sparsity: what part of the weights, from 0 to 1.
        """
        if not 0 <= sparsity <= 1:
            raise ValueError(f"set_sparsity: expected a part from 0 to 1, got {sparsity}")
        pairs = [pair for wx, wh, mx, mh, _ in self._parameters for pair in ((wx, mx), (wh, mh))]
        sizes = np.sort(np.concatenate([np.abs(w._stored._data).reshape(-1) for w, _ in pairs]))
        dropped = int(len(sizes) * sparsity)
        threshold = sizes[dropped] if dropped < len(sizes) else np.inf
        for weight, mask in pairs:
            mask._write((np.abs(weight._stored._data) >= threshold).astype(np.float32))


class _Peephole(_RNNBuilder):
    """Long short-term memory whose forget gate is ``1 - i``, with peepholes."""

    _has_memory = True

    def _make(self, inputs: int, hidden: int) -> list[Parameters]:
        add = self._collection.add_parameters
        peephole = self._peephole(hidden)
        layer: list[Parameters] = []
        for has_peephole in (True, True, False):
            layer += [add((hidden, inputs)), add((hidden, hidden))]
            if has_peephole:
                layer.append(add(peephole))
            layer.append(add(hidden, init=0))
        return layer

    def _peephole(self, hidden: int) -> Dims:
        raise NotImplementedError(f"{type(self).__name__} does not define _peephole")

    @staticmethod
    def _gate(b: Any, wx: Any, x: Any, wh: Any, h: Any, wc: Any, c: Any, mask: Any) -> Any:
        """A gate before its nonlinearity; without what is None. `mask` is the peephole's."""
        raise NotImplementedError("a builder with peepholes defines _gate")

    @classmethod
    def _step(cls, operands: Any, x: Any, c: Any, h: Any, masks: Any) -> tuple[Any, Any]:
        new_c, new_h = [], []
        for i, (xi, hi, ci, bi, xo, ho, co, bo, xc, hc, bc) in enumerate(operands):
            mask_x, mask_h, mask_c = masks[i] if masks else (None, None, None)
            x = _masked(x, mask_x)
            last = _masked(h[i] if h else None, mask_h)
            memory: Any = c[i] if c else None
            gate = F.sigmoid(cls._gate(bi, xi, x, hi, last, ci, memory, mask_c))
            if last is None:
                memory = F.multiply(gate, F.tanh(F.affine_transposed(bc, xc, x)))
            else:
                fresh = F.tanh(F.affine_transposed(bc, xc, x, hc, last))
                kept = F.multiply(F.subtract(1.0, gate), memory)
                memory = F.add(kept, F.multiply(gate, fresh))
            opened = F.sigmoid(cls._gate(bo, xo, x, ho, last, co, memory, mask_c))
            x = F.multiply(opened, F.tanh(memory))
            new_c.append(memory)
            new_h.append(x)
        return new_c, new_h


class CoupledLSTMBuilder(_Peephole):
    """Long short-term memory whose forget gate is ``1 - i``, with peepholes from all memories.

    Args:
        layers, input_dim, hidden_dim: sizes.
        model: the collection; parameters go to a sub-collection of it.
    """

    _prefix = "lstm-builder"

    def _peephole(self, hidden: int) -> Dims:
        return hidden, hidden

    @staticmethod
    def _gate(b: Any, wx: Any, x: Any, wh: Any, h: Any, wc: Any, c: Any, mask: Any) -> Any:
        pairs = (wx, x) if h is None else (wx, x, wh, h)
        if c is not None:
            pairs += (wc, _masked(c, mask))
        return F.affine_transposed(b, *pairs)

    def _draw_masks(self, batch: int) -> list[tuple[Any, ...]]:
        rate, hidden = self._rate, self._hidden
        self._masks = [
            tuple(
                _mask(size, rate, batch) for size in (hidden if i else self._input, hidden, hidden)
            )
            for i in range(self._layers)
        ]
        return self._masks


class FastLSTMBuilder(_Peephole):
    """Long short-term memory whose forget gate is ``1 - i``.

    It has the parameters of elementwise peepholes, and as in DyNet nothing is computed with
    them.

    Args:
        layers, input_dim, hidden_dim: sizes.
        model: the collection; parameters go to a sub-collection of it.
    """

    _prefix = "fast-lstm-builder"

    def _peephole(self, hidden: int) -> Dims:
        return hidden, 1

    @staticmethod
    def _gate(b: Any, wx: Any, x: Any, wh: Any, h: Any, wc: Any, c: Any, mask: Any) -> Any:
        return F.affine_transposed(b, *((wx, x) if h is None else (wx, x, wh, h)))

    def set_dropout(self, f: float) -> None:
        """Has no effect, as in DyNet."""
