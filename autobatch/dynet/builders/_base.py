"""What recurrent builders share: parameters, the first state, dropout."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

from ... import functions as F
from ...errors import ShapeError
from ...recording import traced
from ..expressions import Expression, as_expression, inputVector
from ..graph import _CG, Node
from ..parameters import ParameterCollection, Parameters, const_parameter
from ..random import Draw
from .states import RNNState, StaleBuilderError

_mask_draw = functools.lru_cache(maxsize=256)(Draw.mask)


def _mask(size: int, rate: float, batch: int) -> Any:
    """Zeros with probability `rate`, else ``1 / (1 - rate)``; drawn when its value is needed."""
    return _CG.delayed((size,), batch, _mask_draw(rate))


def _masked(x: Any, mask: Any) -> Any:
    return x if mask is None or x is None else F.multiply(x, mask)


def _vector(x: Any) -> Any:
    """x as an operand of the layers: columns are taken as vectors."""
    node = as_expression(x)
    shape = node.shape
    if len(shape) == 2 and shape[0] == 1:
        return F.reshape(node, shape[1:])
    return node if shape else F.reshape(node, (1,))


class _RNNBuilder:
    """What the builders share: parameters, the graph's operands, states, dropout."""

    _prefix: ClassVar[str]
    _has_memory: ClassVar[bool] = False
    _noise = 0.0  # on the weights, drawn at every step
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
        """The state's vectors and the output after an input, where random numbers are drawn."""
        x = as_expression(x)  # parameters are inputs, too
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
            [p._expression() if update else const_parameter(p) for p in layer]
            for layer in self._parameters
        ]
        self._operands = [self._prepare(layer, i) for i, layer in enumerate(self._shown)]

    def _zeros(self) -> tuple[Any, ...]:
        return (F.zeros(self._hidden),) * self._layers

    def _given(self, vecs: Sequence[Expression] | None, counts: tuple[int, ...]) -> tuple[Any, ...]:
        """Vectors that a program gave, their number checked."""
        vectors = tuple(vecs or ())
        for v in vectors:
            if type(v) is not Node or len(v.shape) != 1:
                vectors = tuple(map(_vector, vectors))
                break
        if vectors and len(vectors) not in counts:
            wanted = " or ".join(str(count) for count in counts)
            raise ShapeError(
                f"{self.whoami()}: expected {wanted} vectors for {self._layers} layers, got "
                f"{len(vectors)}"
            )
        return vectors

    def _with(self, state: RNNState, vecs: Sequence[Expression] | None) -> RNNState:
        n = self._layers
        counts = (n, 2 * n) if self._has_memory else (n,)
        vectors = self._given(vecs, counts)
        if not vectors:
            return RNNState(self, state, (), None)
        if len(vectors) != counts[-1]:
            vectors += self._parts(state._s)[1] or self._zeros()
        return RNNState(self, state, vectors, vectors[-1])

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
