"""The plain recurrent network."""

from __future__ import annotations

from typing import Any

from .. import functions as F
from ..errors import ConfigurationError
from ..module import Module
from .recurrent import HiddenState, Recurrent
from .weights import bias, stacked

_ACTIVATIONS = ("tanh", "relu", "sigmoid")


class _RNNLayer(Module):
    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        self.weight_x = stacked(1, hidden_dim, input_dim)
        self.weight_h = stacked(1, hidden_dim, hidden_dim)
        self.bias = bias((hidden_dim, 0.0))


class RNN(Recurrent):
    """The simple recurrent network (Elman 1990): ``h = tanh(W x + U h + b)``.

    Args:
        input_dim: size of an input vector.
        hidden_dim: size of the hidden vector.
        layers: how many layers lie one above the other; default 1.
        dropout: rate of dropout between layers, in training only; default 0.
        learned_start: whether the state before the first step is trained; default: zeros.
        activation: "tanh" (default), "relu" or "sigmoid".

    >>> import autobatch as ab
    >>> rnn = ab.RNN(3, 4)
    >>> rnn.last([ab.zeros(3), ab.zeros(3)]).shape
    (4,)
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        layers: int = 1,
        dropout: float = 0.0,
        learned_start: bool = False,
        activation: str = "tanh",
    ) -> None:
        if activation not in _ACTIVATIONS:
            raise ConfigurationError(
                f"{type(self).__name__}: activation must be one of {', '.join(_ACTIVATIONS)}, "
                f"got {activation!r}"
            )
        super().__init__(input_dim, hidden_dim, layers, dropout, learned_start)
        self.activation = activation

    def _layer(self, input_dim: int) -> Any:
        return _RNNLayer(input_dim, self.hidden_dim)

    def start(self, h: Any = None) -> HiddenState:
        """The state before the first step.

        Args:
            h: a vector of shape (hidden_dim,), or with several layers a list of as many;
                default: the trained ones or zeros.

        Raises:
            OperandError: there are not as many vectors as layers.
        """
        layers = tuple(self._starts(h, "h"))
        return HiddenState(layers[-1], layers)

    def step(self, x: Any, state: HiddenState | None = None) -> HiddenState:
        """The state after reading `x`, a vector of `input_dim`; default state: the start."""
        state = self.start() if state is None else self._own(state)
        activation = getattr(F, self.activation)
        after: list[Any] = []
        for layer, h in zip(self.layers, state.layers):
            if after:
                x = self._between(x)
            x = activation(F.affine(layer.bias, layer.weight_x, x, layer.weight_h, h))
            after.append(x)
        return HiddenState(x, tuple(after))
