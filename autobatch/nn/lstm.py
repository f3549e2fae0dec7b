"""LSTM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .. import functions as F
from ..errors import OperandError
from ..initializers import Zeros
from ..module import Module
from ..parameters import Parameter
from ..recording import cell
from .recurrent import Recurrent
from .weights import bias, stacked

if TYPE_CHECKING:
    from .._core import Expression


class _State(NamedTuple):
    h: Expression
    c: Expression


class LSTMState(_State):
    """The state of one layer after a step.

    Attributes:
        h: hidden vector, the layer's output.
        c: cell.

    >>> import autobatch as ab
    >>> h, c = ab.LSTM(3, 4).step(ab.zeros(3))
    >>> h.shape, c.shape
    ((4,), (4,))
    """

    __slots__ = ()

    @property
    def layers(self) -> tuple[LSTMState, ...]:
        """The states of all layers: this one's."""
        return (self,)


class LSTMStack(tuple[LSTMState, ...]):
    """The state of an LSTM of several layers after a step: a tuple of theirs, the lowest first.

    Attributes:
        h: hidden vector of the top layer, the output.
        c: cell of the top layer.

    >>> import autobatch as ab
    >>> state = ab.LSTM(3, 4, layers=2).step(ab.zeros(3))
    >>> state.h.shape, len(state.layers)
    ((4,), 2)
    """

    __slots__ = ()

    @property
    def h(self) -> Expression:
        return self[-1].h

    @property
    def c(self) -> Expression:
        return self[-1].c

    @property
    def layers(self) -> tuple[LSTMState, ...]:
        """The states of all layers, the lowest first."""
        return self


class _LSTMLayer(Module):
    """Weights of one layer; the gates lie in the order i, f, o, g."""

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        self.weight_x = stacked(4, hidden_dim, input_dim)
        self.weight_h = stacked(4, hidden_dim, hidden_dim)
        # A forget gate that begins open lets gradients through (Jozefowicz et al. 2015).
        self.bias = bias((hidden_dim, 0.0), (hidden_dim, 1.0), (2 * hidden_dim, 0.0))


@cell
def _step(bias: Any, weight_x: Any, weight_h: Any, x: Any, state: Any) -> LSTMState:
    """One layer's step: two nodes, and two views of the second."""
    h, c = state
    both = F.lstm_cell(F.affine(bias, weight_x, x, weight_h, h), c)
    return LSTMState(*F.split(both, 2))


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

    def start(self, h: Any = None, c: Any = None) -> LSTMState | LSTMStack:
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
        pairs = zip(self._starts(h, "h"), self._starts(c, "c"))
        states = LSTMStack(LSTMState(*pair) for pair in pairs)
        return states if len(states) > 1 else states[0]

    def step(self, x: Any, state: LSTMState | LSTMStack | None = None) -> LSTMState | LSTMStack:
        """The state after reading `x`, a vector of `input_dim`; default state: the start.

        A state of one layer is a pair ``(h, c)``; of several layers, a tuple of pairs. Either
        has the top layer's as `h` and `c`.
        """
        if state is None:
            state = self.start()
        if type(state) is not LSTMStack:  # a pair
            try:
                (layer,) = self.layers
            except ValueError:
                raise self._other_layers(1) from None
            return _step(layer.bias, layer.weight_x, layer.weight_h, x, state)
        if len(state) != len(self.layers):
            raise self._other_layers(len(state))
        after: list[Any] = []
        for layer, before in zip(self.layers, state):
            if after:
                x = self._between(x)
            after.append(_step(layer.bias, layer.weight_x, layer.weight_h, x, before))
            x = after[-1].h
        return LSTMStack(after)

    def _other_layers(self, given: int) -> OperandError:
        return OperandError(
            f"LSTM.step: expected the state of {len(self.layers)} layers, as start() or the step "
            f"before gives it, got that of {given}"
        )

    def _outputs(self, xs: Any, state: LSTMState | LSTMStack) -> list[Any]:
        # Layer by layer, without a state object for every step: the same nodes as `step` makes.
        for number, (layer, before) in enumerate(zip(self.layers, state.layers)):
            weights = layer.bias, layer.weight_x, layer.weight_h
            outputs = []
            for x in xs:
                before = _step(*weights, self._between(x) if number else x, before)
                outputs.append(before[0])
            xs = outputs
        return outputs
