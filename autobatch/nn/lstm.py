"""LSTM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .. import functions as F
from ..initializers import Zeros
from ..module import Module
from ..parameters import Parameter
from ..recording import equal_parts as _equal_parts
from .recurrent import Recurrent
from .weights import bias, stacked

if TYPE_CHECKING:
    from .._core import Expression

# Looked up once: a step is recorded for every word of every sentence.
_affine, _cell, _new_tuple = F.affine, F.lstm_cell, tuple.__new__


class LSTMState(NamedTuple):
    """The state of an LSTM after a step.

    Attributes:
        h: hidden vector of the top layer, the layer's output.
        c: cell of the top layer.
        layers: (hidden vector, cell) of each layer, the lowest first.

    >>> import autobatch as ab
    >>> h, c, layers = ab.LSTM(3, 4, layers=2).step(ab.zeros(3))
    >>> h.shape, c.shape, len(layers)
    ((4,), (4,), 2)
    """

    h: Expression
    c: Expression
    layers: tuple[tuple[Expression, Expression], ...]


class _LSTMLayer(Module):
    """Weights of one layer; the gates lie in the order i, f, o, g."""

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        self.weight_x = stacked(4, hidden_dim, input_dim)
        self.weight_h = stacked(4, hidden_dim, hidden_dim)
        # A forget gate that begins open lets gradients through (Jozefowicz et al. 2015).
        self.bias = bias((hidden_dim, 0.0), (hidden_dim, 1.0), (2 * hidden_dim, 0.0))


def _step(layer: _LSTMLayer, x: Any, h: Any, c: Any) -> list[Any]:
    """Hidden vector and cell of one layer after a step: two nodes, and two views."""
    both = _cell(_affine(layer.bias, layer.weight_x, x, layer.weight_h, h), c)
    return _equal_parts(both, 2) or F.split(both, 2)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; with forget gates, Gers et al.
    2000), the gates of a layer in one product.

    ``i, f, o = sigmoid(W x + U h + b)``, ``g = tanh(W x + U h + b)``, each with its own W, U, b;
    ``c = f * c + i * g``, ``h = o * tanh(c)``. The forget gates' bias begins at 1.

    Args:
        input_dim: size of an input vector.
        hidden_dim: size of hidden vector and cell.
        layers: how many layers lie one above the other; default 1.
        dropout: rate of dropout between layers, in training only; default 0.
        learned_start: whether the state before the first step is trained; default: zeros.

    >>> import autobatch as ab
    >>> lstm = ab.LSTM(3, 4)
    >>> outputs = lstm([ab.zeros(3), ab.zeros(3)])
    >>> len(outputs), outputs[-1].shape
    (2, (4,))
    >>> state = lstm.step(ab.zeros(3), lstm.start())
    >>> state.h.shape, state.c.shape
    ((4,), (4,))
    """

    def _layer(self, input_dim: int) -> Any:
        return _LSTMLayer(input_dim, self.hidden_dim)

    def _first(self) -> Any:
        return (super()._first(), Parameter(self.hidden_dim, init=Zeros()))

    def start(self, h: Any = None, c: Any = None) -> LSTMState:
        """The state before the first step.

        Args:
            h, c: vectors of shape (hidden_dim,), or with several layers a list of as many;
                default: the trained ones or zeros.

        Raises:
            OperandError: there are not as many vectors as layers.
        """
        if self.first is not None:
            h = [first[0] for first in self.first] if h is None else h
            c = [first[1] for first in self.first] if c is None else c
        layers = tuple(zip(self._starts(h, "h"), self._starts(c, "c")))
        return LSTMState(*layers[-1], layers)

    def step(self, x: Any, state: LSTMState | None = None) -> LSTMState:
        """The state after reading `x`, a vector of `input_dim`; default state: the start."""
        if state is None:
            state = self.start()
        if len(self.layers) == 1:
            (layer,) = self.layers
            h, c = _step(layer, x, state[0], state[1])
            return _new_tuple(LSTMState, (h, c, ((h, c),)))
        after: list[Any] = []
        for layer, (h, c) in zip(self.layers, state.layers):
            if after:
                x = self._between(x)
            x, c = _step(layer, x, h, c)
            after.append((x, c))
        return LSTMState(x, c, tuple(after))

    def _outputs(self, xs: Any, state: LSTMState) -> list[Any]:
        # Layer by layer, without a state object for every step: the same nodes as `step` makes.
        for number, (layer, (h, c)) in enumerate(zip(self.layers, state.layers)):
            outputs = []
            for x in xs:
                h, c = _step(layer, self._between(x) if number else x, h, c)
                outputs.append(h)
            xs = outputs
        return outputs
