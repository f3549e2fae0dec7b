"""Recurrent networks that read in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ... import functions as F
from ...errors import OperandError
from ..expressions import Expression
from ..parameters import ParameterCollection
from .states import RNNState

__all__ = [
    "BiRNNBuilder",
]


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
