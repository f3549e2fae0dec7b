"""What LSTM, GRU and RNN share: layers, steps, sequences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import functions as F
from .. import plain
from ..errors import OperandError
from ..initializers import Zeros
from ..module import Module
from ..parameters import Parameter
from .weights import dropout_rate, whole

if TYPE_CHECKING:
    from .._core import Expression


class HiddenState(NamedTuple):
    """The state of a GRU or RNN after a step.

    Attributes:
        h: hidden vector of the top layer, the layer's output.
        layers: hidden vector of each layer, the lowest first.

    >>> import autobatch as ab
    >>> h, layers = ab.GRU(3, 4, layers=2).step(ab.zeros(3))
    >>> h.shape, len(layers)
    ((4,), 2)
    """

    h: Expression
    layers: tuple[Expression, ...]


class Recurrent(Module):
    """Base class of recurrent layers. States are values: a step answers a new one and leaves
    the old one as it was, so a state can be kept, gone on from twice, or popped from a stack.

    Args:
        input_dim: size of an input vector.
        hidden_dim: size of the hidden vectors.
        layers: how many layers lie one above the other; default 1.
        dropout: rate of dropout between layers, in training only; default 0.
        learned_start: whether the state before the first step is trained; it is zero at first
            and, by default, always.

    Raises:
        ConfigurationError: a size is no whole number above 0, or the rate outside [0, 1).

    >>> import autobatch as ab
    >>> isinstance(ab.LSTM(3, 4), ab.Recurrent), isinstance(ab.GRU(3, 4), ab.Recurrent)
    (True, True)
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        layers: int = 1,
        dropout: float = 0.0,
        learned_start: bool = False,
    ) -> None:
        owner = type(self).__name__
        self.input_dim = whole(owner, "input_dim", input_dim)
        self.hidden_dim = whole(owner, "hidden_dim", hidden_dim)
        self.dropout = dropout_rate(owner, dropout)
        dims = [self.input_dim] + [self.hidden_dim] * (whole(owner, "layers", layers) - 1)
        self.layers = [self._layer(dim) for dim in dims]
        learned = plain.flag(owner, "learned_start", learned_start)
        self.first = [self._first() for _ in dims] if learned else None

    def _layer(self, input_dim: int) -> Any:
        """The weights of one layer."""
        raise NotImplementedError(f"{type(self).__name__} does not define _layer")

    def _first(self) -> Any:
        """A trained vector of the state before the first step."""
        return Parameter(self.hidden_dim, init=Zeros())

    def start(self) -> Any:
        """The state before the first step."""
        raise NotImplementedError(f"{type(self).__name__} does not define start")

    def step(self, x: Any, state: Any = None) -> Any:
        """The state after reading `x`, a vector of `input_dim`; default state: the start."""
        raise NotImplementedError(f"{type(self).__name__} does not define step")

    def states(self, xs: Iterable[Any], state: Any = None) -> list[Any]:
        """The states after each vector of a sequence; default state: the start."""
        state = self.start() if state is None else state
        after = []
        for x in xs:
            state = self.step(x, state)
            after.append(state)
        return after

    def last(self, xs: Iterable[Any], state: Any = None) -> Expression:
        """The output after the whole sequence; after none, that of the state it began with."""
        state = self.start() if state is None else state
        outputs = self._outputs(xs, state)
        return outputs[-1] if outputs else state.h

    def __call__(self, xs: Iterable[Any], state: Any = None) -> list[Expression]:
        """The outputs, one for each vector of a sequence.

        Args:
            xs: vectors of shape (input_dim,); there may be none.
            state: the state to begin with; default: the start.

        Returns:
            As many vectors of shape (hidden_dim,).
        """
        return self._outputs(xs, self.start() if state is None else state)

    def _outputs(self, xs: Iterable[Any], state: Any) -> list[Expression]:
        """The outputs alone; layers may have a shorter way to them than states."""
        return [after.h for after in self.states(xs, state)]

    def _between(self, h: Expression) -> Expression:
        """What goes from a layer to the next."""
        return F.dropout(h, self.dropout) if self.dropout and self.training else h

    def _own(self, state: Any) -> HiddenState:
        """A state to go on from, once it is known to be one of these layers."""
        if isinstance(state, HiddenState) and len(state.layers) == len(self.layers):
            return state
        given = type(state).__name__
        if isinstance(state, HiddenState):
            given = f"that of {len(state.layers)}"
        raise OperandError(
            f"{type(self).__name__}.step: expected the state of {len(self.layers)} layers, as "
            f"start() or the step before gives it, got {given}"
        )

    def _starts(self, values: Any, name: str) -> list[Any]:
        """A vector for each layer: those given, the trained ones, or zeros."""
        count = len(self.layers)
        if values is None:
            if self.first is not None:
                return list(self.first)
            return [F.zeros((self.hidden_dim,))] * count
        vectors = list(values) if isinstance(values, (list, tuple)) else [values]
        if len(vectors) != count:
            raise OperandError(
                f"{type(self).__name__}.start: expected {count} vectors as {name}, one for each "
                f"layer, got {len(vectors)}"
            )
        return vectors
