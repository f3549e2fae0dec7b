"""DyNet's recurrent networks and softmax layers.

A builder holds the parameters; a state is one step of one sequence, and states may branch.
States do not change: what DyNet keeps in the builder by number is kept in the state. The
parameters of a builder, their order and their first values are DyNet's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .. import functions as F
from ..errors import OperandError, ShapeError, StaleExpressionError
from ..recording import traced
from . import random
from .expressions import Expression, as_expression, inputVector
from .graph import _CG
from .operations import concatenate_to_batch, layer_norm, noise, pick_batch_elem
from .parameters import Dims, ParameterCollection, Parameters, const_parameter
from .random import Draw

__all__ = [
    "BiRNNBuilder",
    "ClassFactoredSoftmaxBuilder",
    "CompactVanillaLSTMBuilder",
    "CoupledLSTMBuilder",
    "FastLSTMBuilder",
    "GRUBuilder",
    "LSTMBuilder",
    "RNNState",
    "SimpleRNNBuilder",
    "SoftmaxBuilder",
    "SparseLSTMBuilder",
    "StackedRNNState",
    "StandardSoftmaxBuilder",
    "VanillaLSTMBuilder",
]


class StaleBuilderError(StaleExpressionError, ValueError):
    """A builder's state of a graph that is gone."""


def _mask(size: int, rate: float, batch: int) -> Any:
    """Zeros with probability `rate`, else ``1 / (1 - rate)``; drawn when its value is needed."""
    kept = 1.0 - float(np.float32(rate))
    scale = float(np.float32(1.0) / np.float32(kept)) if kept else math.inf
    return _CG.delayed((size,), batch, Draw.bernoulli(kept, scale))


def _vector(x: Any) -> Any:
    """x as an operand of the layers: columns are taken as vectors."""
    node = as_expression(x)
    shape = node.shape
    if len(shape) == 2 and shape[0] == 1:
        return F.reshape(node, shape[1:])
    return node if shape else F.reshape(node, (1,))


class RNNState:
    """One step of a sequence; the states before it stay as they are.

    Made by a builder's ``initial_state()`` and by :meth:`add_input`.
    """

    __slots__ = ("_builder", "_output", "_prev", "_s", "_version")

    def __init__(
        self, builder: _RNNBuilder, prev: RNNState | None, s: tuple[Any, ...], output: Any
    ) -> None:
        self._builder, self._prev, self._s, self._output = builder, prev, s, output
        self._version = _CG._version

    def _fresh(self) -> _RNNBuilder:
        if self._version != _CG._version:
            raise StaleBuilderError(
                "Using stale builder: dy.renew_cg() was called since this state was made; begin "
                "with builder.initial_state() in the present graph"
            )
        return self._builder

    def add_input(self, x: Expression) -> RNNState:
        """The state after one more input."""
        builder = self._builder if self._version == _CG._version else self._fresh()
        if builder._drops:
            return RNNState(builder, self, *builder._general_step(x, self._s))
        s = builder._cell(builder._operands, x, self._s)
        return RNNState(builder, self, s, s[-1])

    def add_inputs(self, xs: Iterable[Expression]) -> list[RNNState]:
        """The states after each of several inputs, one after the other."""
        states, state = [], self
        for x in xs:
            state = state.add_input(x)
            states.append(state)
        return states

    def transduce(self, xs: Iterable[Expression]) -> list[Any]:
        """The outputs after each of several inputs."""
        builder, s, outputs = self._fresh(), self._s, []
        if builder._drops:
            for x in xs:
                s, output = builder._general_step(x, s)
                outputs.append(output)
            return outputs
        step, operands = builder._cell, builder._operands
        for x in xs:
            s = step(operands, x, s)
            outputs.append(s[-1])
        return outputs

    def output(self) -> Any:
        """The output of the last layer; None before the first input."""
        return self._output

    def h(self) -> tuple[Any, ...]:
        """The outputs of all layers; empty before the first input."""
        return self._builder._parts(self._s)[1]

    def s(self) -> tuple[Any, ...]:
        """The state's vectors: memories of all layers, if any, then outputs of all layers."""
        return self._s

    def prev(self) -> RNNState | None:
        """The state before."""
        return self._prev

    def b(self) -> Any:
        """The builder."""
        return self._builder

    def set_h(self, es: Sequence[Expression] | None = None) -> RNNState:
        """A state whose outputs are given, and whose memories are this state's.

        Args:
            es: one vector for each layer.
        """
        builder = self._fresh()
        h = builder._given(es, (builder._layers,))
        c, _ = builder._parts(self._s)
        if builder._has_memory and not c:
            c = builder._zeros()
        return RNNState(builder, self, (*c, *h), h[-1] if h else None)

    def set_s(self, es: Sequence[Expression] | None = None) -> RNNState:
        """A state whose vectors are given.

        Args:
            es: as :meth:`s` gives them; memories only leave the outputs as they are.
        """
        return self._fresh()._with(self, es)


class StackedRNNState:
    """States of several builders, the output of each the input of the next.

    Args:
        states: one for each builder.
        prev: the stack before.
    """

    def __init__(self, states: Sequence[RNNState], prev: StackedRNNState | None = None) -> None:
        self._states = list(states)
        self._prev = prev

    def add_input(self, x: Expression) -> StackedRNNState:
        """The stack after one more input."""
        states = []
        for state in self._states:
            states.append(state.add_input(x))
            x = states[-1].output()
        return StackedRNNState(states, self)

    def add_inputs(self, xs: Iterable[Expression]) -> list[StackedRNNState]:
        """The stacks after each of several inputs."""
        stacks, stack = [], self
        for x in xs:
            stack = stack.add_input(x)
            stacks.append(stack)
        return stacks

    def output(self) -> Any:
        """The output of the last builder."""
        return self._states[-1].output()

    def prev(self) -> StackedRNNState | None:
        """The stack before."""
        return self._prev

    def h(self) -> list[tuple[Any, ...]]:
        """The outputs of all layers of each builder."""
        return [state.h() for state in self._states]

    def s(self) -> list[tuple[Any, ...]]:
        """The vectors of each builder's state."""
        return [state.s() for state in self._states]


class _RNNBuilder:
    """What the builders share: parameters, the graph's operands, states, dropout."""

    _prefix: ClassVar[str]
    _has_memory: ClassVar[bool] = False
    _cell: ClassVar[Any]  # a step: (operands, input, state, masks) -> state

    def __init_subclass__(cls) -> None:
        def step(operands: Any, x: Any, s: Any, masks: Any = None) -> tuple[Any, ...]:
            c, h = cls._split(s, len(operands))
            c, h = cls._step(operands, _vector(x), c, h, masks)
            return (*c, *h)

        cls._cell = staticmethod(traced(step))

    def __init__(
        self, layers: int, input_dim: int, hidden_dim: int, model: ParameterCollection
    ) -> None:
        if not isinstance(model, ParameterCollection):
            raise TypeError(
                f"{type(self).__name__}: expected a ParameterCollection, got {type(model).__name__}"
            )
        self._layers, self._input, self._hidden = int(layers), int(input_dim), int(hidden_dim)
        self._collection = model.add_subcollection(self._prefix)
        self._parameters = [
            self._make(self._input if i == 0 else self._hidden, self._hidden)
            for i in range(self._layers)
        ]
        self._version = -1
        self._start: RNNState | None = None
        self._operands: list[Any] = []
        self._shown: list[list[Any]] = []
        self._masks: list[tuple[Any, ...]] | None = None
        self._rate = self._rate_h = 0.0
        self._drops = False  # whether a step draws random numbers

    @property
    def spec(self) -> tuple[Any, ...]:
        """What `from_spec` needs to make an equal builder."""
        return self._layers, self._input, self._hidden

    @classmethod
    def from_spec(cls, spec: tuple[Any, ...], model: ParameterCollection) -> Any:
        """A builder as another one's ``spec`` describes it."""
        layers, input_dim, hidden_dim, *rest = spec
        return cls(layers, input_dim, hidden_dim, model, *rest)

    def whoami(self) -> str:
        """The name of the builder."""
        return type(self).__name__

    def param_collection(self) -> ParameterCollection:
        """The sub-collection that holds the parameters."""
        return self._collection

    def get_parameters(self) -> list[list[Parameters]]:
        """The parameters, a list for each layer."""
        return [list(layer) for layer in self._parameters]

    def get_parameter_expressions(self) -> list[list[Any]]:
        """The parameters as expressions of the present graph, a list for each layer.

        Raises:
            StaleBuilderError: initial_state() was not called in this graph.
        """
        if self._version != _CG._version:
            raise StaleBuilderError(
                f"Attempt to use a stale expression, renew CG and/or call initial_state before "
                f"accessing {self.whoami()} internal parameters expression"
            )
        return [list(layer) for layer in self._shown]

    def _make(self, inputs: int, hidden: int) -> list[Parameters]:
        """Adds the parameters of one layer."""
        raise NotImplementedError(f"{type(self).__name__} does not define _make")

    def _prepare(self, layer: list[Any], i: int) -> Any:
        """What `_step` needs of a layer's expressions."""
        return layer

    @classmethod
    def _step(cls, operands: Any, x: Any, c: Any, h: Any, masks: Any) -> tuple[Any, Any]:
        """Memories and outputs of all layers after an input; before the first they are empty.

        Args:
            operands: what `_prepare` made of each layer.
            masks: of dropout, for each layer; None: there is none.
        """
        raise NotImplementedError(f"{cls.__name__} does not define _step")

    @classmethod
    def _split(cls, s: tuple[Any, ...], layers: int) -> tuple[Any, Any]:
        return (s[:layers], s[layers:]) if cls._has_memory else ((), s)

    def _parts(self, s: tuple[Any, ...]) -> tuple[Any, Any]:
        """Memories and outputs of a state's vectors."""
        return self._split(s, self._layers)

    def _general_step(self, x: Any, s: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
        """The state's vectors and the output after an input."""
        masks = self._masks or self._current_masks(x.batch_size)
        s = self._cell(self._operands, x, s, masks)
        return s, s[-1]

    # ------------------------------------------------------------------ states

    def initial_state(
        self, vecs: Sequence[Expression] | None = None, update: bool = True
    ) -> RNNState:
        """The state before the first input.

        Args:
            vecs: first vectors: memories of all layers, then outputs of all layers, or
                memories only; builders without memories, outputs. Default: zeros.
            update: False: the parameters are constants in this graph. What the first call in
                a graph says holds for that graph.
        """
        if self._version != _CG._version or self._start is None:
            self._version = _CG._version
            self._begin(update)
            self._start = RNNState(self, None, (), None)
        return self._with(self._start, vecs) if vecs else self._start

    def initial_state_from_raw_vectors(
        self, vecs: Sequence[Sequence[float]] | None = None, update: bool = True
    ) -> RNNState:
        """As :meth:`initial_state`, of lists of numbers."""
        return self.initial_state([inputVector(v) for v in vecs] if vecs else None, update)

    def _begin(self, update: bool) -> None:
        self._masks = None
        self._shown = [
            [as_expression(p) if update else const_parameter(p) for p in layer]
            for layer in self._parameters
        ]
        self._operands = [self._prepare(layer, i) for i, layer in enumerate(self._shown)]

    def _zeros(self) -> tuple[Any, ...]:
        return (F.zeros(self._hidden),) * self._layers

    def _given(self, vecs: Sequence[Expression] | None, counts: tuple[int, ...]) -> tuple[Any, ...]:
        """Vectors that a program gave, their number checked."""
        vectors = tuple(_vector(v) for v in vecs or ())
        if vectors and len(vectors) not in counts:
            wanted = " or ".join(str(count) for count in counts)
            raise ShapeError(
                f"{self.whoami()}: expected {wanted} vectors for {self._layers} layers, got "
                f"{len(vectors)}"
            )
        return vectors

    def _with(self, state: RNNState, vecs: Sequence[Expression] | None) -> RNNState:
        n = self._layers
        if not self._has_memory:
            vectors = self._given(vecs, (n,))
            return RNNState(self, state, vectors, vectors[-1] if vectors else None)
        vectors = self._given(vecs, (n, 2 * n))
        if not vectors:
            return RNNState(self, state, (), None)
        h = vectors[n:] or self._parts(state._s)[1] or self._zeros()
        return RNNState(self, state, (*vectors[:n], *h), h[-1])

    # ------------------------------------------------------------------ dropout

    def set_dropout(self, f: float) -> None:
        """Sets the rate of dropout on inputs and on outputs handed to the next step.

        Raises:
            ValueError: not between 0 and 1.
        """
        self._set_rates(f, f)

    def _set_rates(self, d: float, d_h: float) -> None:
        for rate in (d, d_h):
            if not 0 <= rate <= 1:
                raise ValueError("dropout rate must be a probability (>=0 and <=1)")
        self._rate, self._rate_h = float(d), float(d_h)
        self._drops = self._draws()

    def _draws(self) -> bool:
        return bool(self._rate or self._rate_h)

    def disable_dropout(self) -> None:
        """Ends dropout."""
        self._rate = self._rate_h = 0.0
        self._drops = self._draws()

    def _draw_masks(self, batch: int) -> list[tuple[Any, ...]]:
        """Masks of all layers, for inputs and for outputs of the step before."""
        masks = []
        for i in range(self._layers):
            inputs = self._hidden if i else self._input
            pair = (_mask(inputs, self._rate, batch), _mask(self._hidden, self._rate_h, batch))
            # Both are drawn, but one whose rate is 0 is not used.
            masks.append((pair[0] if self._rate else None, pair[1] if self._rate_h else None))
        self._masks = masks
        return masks

    def _current_masks(self, batch: int) -> list[tuple[Any, ...]] | None:
        """The masks of this graph, drawn at the first input; None without dropout."""
        if not (self._rate or self._rate_h):
            return None
        return self._masks or self._draw_masks(batch)

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} cannot be pickled; use dynet.save(...)")


def _masked(x: Any, mask: Any) -> Any:
    return x if mask is None or x is None else F.multiply(x, mask)


class _Masked:
    """Builders whose masks can be drawn anew (Gal and Ghahramani 2016)."""

    def set_dropouts(self, d: float, d_r: float) -> None:
        """Sets the rates of dropout.

        Args:
            d: on inputs.
            d_r: on outputs handed to the next step.
        """
        self._set_rates(d, d_r)  # type: ignore[attr-defined]

    def set_dropout_masks(self, batch_size: int = 1) -> None:
        """Draws new masks: those drawn at a graph's first input serve all sequences of it.

        Args:
            batch_size: of the inputs to come; each element has a mask of its own.
        """
        self._draw_masks(int(batch_size))  # type: ignore[attr-defined]


class _GatedLSTM(_Masked, _RNNBuilder):
    """What the long short-term memories without peepholes share."""

    _has_memory = True
    _ln = False
    _forget = 1.0
    _noise = 0.0

    def _make(self, inputs: int, hidden: int) -> list[Parameters]:
        add = self._collection.add_parameters
        return [add((4 * hidden, inputs)), add((4 * hidden, hidden)), add(4 * hidden, init=0)]

    def _begin(self, update: bool) -> None:
        bias = np.zeros(4 * self._hidden, np.float32)
        bias[self._hidden : 2 * self._hidden] = self._forget
        self._forget_bias = F.input(bias) if self._forget else None
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
        self._current_masks(x.batch_size)  # they are drawn before the noise is
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

    def _dropped(self, x: Any) -> Any:
        return F.multiply(x, _mask(math.prod(x.shape), self._rate, x.batch_size))

    def _general_step(self, x: Any, s: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
        # Masks are drawn at every use, in the order of the layers.
        x, new_h = _vector(x), []
        for i, layer in enumerate(self._operands):
            _, (x,) = self._step([layer], self._dropped(x), (), s[i : i + 1], None)
            new_h.append(x)
        return tuple(new_h), self._dropped(x)

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


class BiRNNBuilder:
    """Layers of two recurrent networks each, one in either direction, concatenated.

    Args:
        num_layers: at least 1.
        input_dim: size of the inputs.
        hidden_dim: size of the outputs, both directions together; even.
        model: the collection; parameters go to a sub-collection of it.
        rnn_builder_factory: a builder class, or a function ``(layers, input_dim, hidden_dim,
            model)``.
        builder_layers: pairs of builders to use instead. Default: they are made.

    >>> import autobatch.dynet as dy
    >>> m = dy.ParameterCollection()
    >>> birnn = dy.BiRNNBuilder(2, 3, 4, m, dy.GRUBuilder)
    >>> _ = dy.renew_cg()
    >>> [y.dim() for y in birnn.transduce([dy.inputVector([1, 2, 3])] * 2)]
    [((4,), 1), ((4,), 1)]
    """

    def __init__(
        self,
        num_layers: int,
        input_dim: int,
        hidden_dim: int,
        model: ParameterCollection,
        rnn_builder_factory: Callable[..., Any] | None,
        builder_layers: list[tuple[Any, Any]] | None = None,
    ) -> None:
        assert num_layers > 0, f"BiRNN number of layers must be positive: {num_layers}"
        assert hidden_dim % 2 == 0, f"BiRNN hidden dimension must be even: {hidden_dim}"
        self.spec = num_layers, input_dim, hidden_dim, rnn_builder_factory, builder_layers
        self.model = model.add_subcollection("birnn")
        if builder_layers is None:
            if rnn_builder_factory is None:
                raise OperandError("BiRNNBuilder: give rnn_builder_factory or builder_layers")
            builder_layers = []
            for _ in range(int(num_layers)):
                forward, backward = (
                    rnn_builder_factory(1, input_dim, int(hidden_dim) // 2, self.model)
                    for _ in range(2)
                )
                builder_layers.append((forward, backward))
                input_dim = hidden_dim
        self.builder_layers = builder_layers

    @classmethod
    def from_spec(cls, spec: tuple[Any, ...], model: ParameterCollection) -> BiRNNBuilder:
        """A builder as another one's ``spec`` describes it."""
        return cls(spec[0], spec[1], spec[2], model, *spec[3:])

    def whoami(self) -> str:
        """The name of the builder."""
        return "BiRNNBuilder"

    def param_collection(self) -> ParameterCollection:
        """The sub-collection that holds the parameters."""
        return self.model

    def set_dropout(self, p: float) -> None:
        """Sets the dropout of all builders."""
        for forward, backward in self.builder_layers:
            forward.set_dropout(p)
            backward.set_dropout(p)

    def disable_dropout(self) -> None:
        """Ends the dropout of all builders."""
        for forward, backward in self.builder_layers:
            forward.disable_dropout()
            backward.disable_dropout()

    def _below(self, es: list[Any], layers: Sequence[tuple[Any, Any]]) -> list[Any]:
        for forward, backward in layers:
            fs = forward.initial_state().transduce(es)
            bs = backward.initial_state().transduce(reversed(es))
            es = [F.concat([f, b]) for f, b in zip(fs, reversed(bs))]
        return es

    def add_inputs(self, es: Iterable[Expression]) -> list[tuple[RNNState, RNNState]]:
        """The last layer's states, (forward, backward) for each input."""
        below = self._below(list(es), self.builder_layers[:-1])
        forward, backward = self.builder_layers[-1]
        fs = forward.initial_state().add_inputs(below)
        bs = backward.initial_state().add_inputs(reversed(below))
        return list(zip(fs, reversed(bs)))

    def transduce(self, es: Iterable[Expression]) -> list[Any]:
        """The outputs, both directions concatenated, one for each input."""
        return self._below(list(es), self.builder_layers)


class SoftmaxBuilder:
    """Base class of softmax layers."""

    _collection: ParameterCollection

    def __init__(self) -> None:
        raise TypeError("use StandardSoftmaxBuilder or ClassFactoredSoftmaxBuilder")

    def param_collection(self) -> ParameterCollection:
        """The sub-collection that holds the parameters."""
        return self._collection

    def _layer(self, x: Any, w: Any, b: Any, update: bool) -> Any:
        """``W x + b``."""
        if not update:
            w, b = const_parameter(w), None if b is None else const_parameter(b)
        return F.affine_transposed(b, w, _vector(x))

    def full_logits(self, x: Expression, update: bool = True) -> Any:
        """Scores of all words."""
        raise NotImplementedError(f"{type(self).__name__} does not define full_logits")

    def full_log_distribution(self, x: Expression, update: bool = True) -> Any:
        """Logarithms of the probabilities of all words."""
        return F.log_softmax(self.full_logits(x, update))

    def neg_log_softmax(self, x: Expression, c: int, update: bool = True) -> Any:
        """The loss: minus the logarithm of the probability of word `c`."""
        return F.cross_entropy(self.full_logits(x, update), c)

    def neg_log_softmax_batch(self, x: Expression, c: Sequence[int], update: bool = True) -> Any:
        """The losses of a minibatch, a word for each element."""
        return F.cross_entropy(self.full_logits(x, update), list(c))

    def sample(self, x: Expression) -> int:
        """A word, drawn with its probability."""
        return _sampled(self.full_log_distribution(x))


def _sampled(logarithms: Any) -> int:
    """An index, drawn with the probabilities whose logarithms these are."""
    rest = random.uniform(1)[0]
    numbers = np.exp(np.asarray(logarithms.vec_value(), np.float32))
    below = np.flatnonzero(rest < np.cumsum(numbers))
    return int(below[0]) if len(below) else len(numbers) - 1


class StandardSoftmaxBuilder(SoftmaxBuilder):
    """``softmax(W x + b)``.

    Args:
        input_dim: size of the inputs.
        num_classes: how many words.
        pc: the collection; parameters go to a sub-collection of it.
        bias: default True.
    """

    def __init__(
        self, input_dim: int, num_classes: int, pc: ParameterCollection, bias: bool = True
    ) -> None:
        self._collection = pc.add_subcollection("standard-softmax-builder")
        self._w = self._collection.add_parameters((num_classes, input_dim))
        self._b = self._collection.add_parameters(num_classes, init=0) if bias else None

    def full_logits(self, x: Expression, update: bool = True) -> Any:
        """Scores of all words."""
        return self._layer(x, self._w, self._b, update)


class ClassFactoredSoftmaxBuilder(SoftmaxBuilder):
    """Words in classes: the probability of the class times that of the word in it (Goodman
    2001).

    Args:
        input_dim: size of the inputs.
        cluster_file: lines of a class and a word.
        dic: numbers of the words.
        pc: the collection; parameters go to a sub-collection of it.
        bias: default True.
    """

    def __init__(
        self,
        input_dim: int,
        cluster_file: str,
        dic: Mapping[str, int],
        pc: ParameterCollection,
        bias: bool = True,
    ) -> None:
        numbers: dict[str, int] = {}
        words: list[list[int]] = []
        try:
            with open(cluster_file, encoding="utf-8") as file:
                lines = [line.split() for line in file]
        except OSError as error:
            raise ValueError(
                f"Could not find cluster file {cluster_file} in ClassFactoredSoftmax"
            ) from error
        self._place: dict[int, tuple[int, int]] = {}
        for fields in lines:
            if len(fields) < 2:
                continue
            cluster, word = fields[:2]
            if word not in dic:
                raise RuntimeError(f"Unknown word encountered in frozen dictionary: {word}")
            number = numbers.setdefault(cluster, len(numbers))
            if number == len(words):
                words.append([])
            self._place[dic[word]] = number, len(words[number])
            words[number].append(dic[word])
        self._words = words
        self._collection = pc.add_subcollection("class-factored-softmax-builder")
        add = self._collection.add_parameters
        self._w = add((len(words), input_dim))
        self._b = add(len(words), init=0) if bias else None
        self._inner: list[tuple[Any, Any]] = []
        for members in words:
            size = len(members)
            if size < 2:  # nothing is left to decide
                self._inner.append((None, None))
                continue
            weight = add((size, input_dim))
            self._inner.append((weight, add(size, init=0) if bias else None))

    def class_logits(self, x: Expression, update: bool = True) -> Any:
        """Scores of the classes."""
        return self._layer(x, self._w, self._b, update)

    def class_log_distribution(self, x: Expression, update: bool = True) -> Any:
        """Logarithms of the probabilities of the classes."""
        return F.log_softmax(self.class_logits(x, update))

    def subclass_logits(self, x: Expression, classid: int, update: bool = True) -> Any:
        """Scores of the words of a class."""
        weight, bias = self._inner[classid]
        if weight is None:
            return F.zeros(1)
        return self._layer(x, weight, bias, update)

    def subclass_log_distribution(self, x: Expression, classid: int, update: bool = True) -> Any:
        """Logarithms of the probabilities of the words of a class, given the class."""
        return F.log_softmax(self.subclass_logits(x, classid, update))

    def full_logits(self, x: Expression, update: bool = True) -> Any:
        """Logarithms of the probabilities of all words, in the order of their numbers.

        DyNet adds the probability in the class where its logarithm belongs.
        """
        of_class = F.split(self.class_log_distribution(x, update), len(self._words))
        parts = [
            F.add(of_class[i], self.subclass_log_distribution(x, i, update))
            for i in range(len(self._words))
        ]
        order = [word for members in self._words for word in members]
        joined = F.concat(parts)
        if order == list(range(len(order))):
            return joined
        pieces = F.split(joined, len(order))
        return F.concat([pieces[order.index(word)] for word in sorted(order)])

    def neg_log_softmax(self, x: Expression, c: int, update: bool = True) -> Any:
        """The loss: minus the logarithm of the probability of word `c`."""
        if c not in self._place:
            raise ValueError(f"ClassFactoredSoftmaxBuilder: no class has the word {c}")
        number, place = self._place[c]
        loss = F.cross_entropy(self.class_logits(x, update), number)
        if self._inner[number][0] is None:
            return loss
        return F.add(loss, F.cross_entropy(self.subclass_logits(x, number, update), place))

    def neg_log_softmax_batch(self, x: Expression, c: Sequence[int], update: bool = True) -> Any:
        """The losses of a minibatch, a word for each element."""
        x = as_expression(x)
        elements = [pick_batch_elem(x, i) for i in range(x.batch_size)] if x.batch_size > 1 else [x]
        if len(elements) != len(c):
            raise ShapeError(f"neg_log_softmax_batch: {len(c)} words for {len(elements)} elements")
        return concatenate_to_batch(
            [self.neg_log_softmax(e, word, update) for e, word in zip(elements, c)]
        )

    def sample(self, x: Expression) -> int:
        """A word: first a class is drawn, then a word in it."""
        number = _sampled(self.class_log_distribution(x))
        members = self._words[number]
        if len(members) == 1:
            return members[0]
        return members[_sampled(self.subclass_log_distribution(x, number))]
