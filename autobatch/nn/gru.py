"""GRU."""

from __future__ import annotations

from typing import Any

from .. import functions as F
from ..module import Module
from ..recording import cell
from .recurrent import HiddenState, Recurrent
from .weights import bias, stacked


class _GRULayer(Module):
    """Weights of one layer; the gates lie in the order r, z, n."""

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        self.weight_x = stacked(3, hidden_dim, input_dim)
        self.weight_h = stacked(3, hidden_dim, hidden_dim)
        self.bias_x = bias((3 * hidden_dim, 0.0))
        self.bias_h = bias((3 * hidden_dim, 0.0))


@cell
def _step(bias_x: Any, weight_x: Any, bias_h: Any, weight_h: Any, x: Any, h: Any) -> Any:
    """One layer's step."""
    rx, zx, nx = F.split(F.affine(bias_x, weight_x, x), 3)
    rh, zh, nh = F.split(F.affine(bias_h, weight_h, h), 3)
    n = F.tanh(nx + F.sigmoid(rx + rh) * nh)
    return n + F.sigmoid(zx + zh) * (h - n)


class GRU(Recurrent):
    """Gated recurrent units (Cho et al. 2014), with the reset gate after the product.

    ``r, z = sigmoid(W x + b + U h + d)``, ``n = tanh(W x + b + r * (U h + d))``, each with its
    own W, b, U, d; ``h = n + z * (h - n)``. In this form, cuDNN's, all gates share one product
    with ``h``, and the products with ``x`` wait for no state.

    Args:
        input_dim: size of an input vector.
        hidden_dim: size of the hidden vector.
        layers: how many layers lie one above the other; default 1.
        dropout: rate of dropout between layers, in training only; default 0.
        learned_start: whether the state before the first step is trained; default: zeros.

    >>> import autobatch as ab
    >>> gru = ab.GRU(3, 4, layers=2)
    >>> [h.shape for h in gru([ab.zeros(3), ab.zeros(3)])]
    [(4,), (4,)]
    """

    def _layer(self, input_dim: int) -> Any:
        return _GRULayer(input_dim, self.hidden_dim)

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
        after: list[Any] = []
        for layer, h in zip(self.layers, state.layers):
            if after:
                x = self._between(x)
            x = _step(layer.bias_x, layer.weight_x, layer.bias_h, layer.weight_h, x, h)
            after.append(x)
        return HiddenState(x, tuple(after))
