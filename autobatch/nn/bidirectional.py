"""Recurrent layers that read a sequence from both ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .. import functions as F
from ..errors import ConfigurationError
from ..module import Module
from ..plain import show
from .gru import GRU
from .lstm import LSTM
from .recurrent import Recurrent
from .weights import dropout_rate, whole

if TYPE_CHECKING:
    from .._core import Expression


class Bidirectional(Module):
    """A recurrent layer for each direction (Schuster and Paliwal 1997).

    An output is the forward layer's beside the backward layer's, of size ``2 * hidden_dim``,
    and each layer above reads what both layers below make.

    Args:
        kind: the recurrent layer, such as :class:`~autobatch.nn.LSTM`.
        input_dim: size of an input vector.
        hidden_dim: size of the hidden vector of each direction.
        layers: how many layers lie one above the other; default 1.
        dropout: rate of dropout between layers, in training only; default 0.
        options: further arguments of `kind`.

    Raises:
        ConfigurationError: `kind` is no recurrent layer, or a number is out of its range.

    >>> import autobatch as ab
    >>> both = ab.Bidirectional(ab.GRU, 3, 4)
    >>> [h.shape for h in both([ab.zeros(3), ab.zeros(3)])]
    [(8,), (8,)]
    """

    def __init__(
        self,
        kind: type[Recurrent],
        input_dim: int,
        hidden_dim: int,
        layers: int = 1,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        owner = type(self).__name__
        if not (isinstance(kind, type) and issubclass(kind, Recurrent)):
            raise ConfigurationError(
                f"{owner}: expected a recurrent layer's class, got {show(kind)}"
            )
        self.input_dim = whole(owner, "input_dim", input_dim)
        self.hidden_dim = whole(owner, "hidden_dim", hidden_dim)
        self.dropout = dropout_rate(owner, dropout)
        count = whole(owner, "layers", layers)
        dims = [self.input_dim] + [2 * self.hidden_dim] * (count - 1)
        self.forward = [kind(dim, hidden_dim, **options) for dim in dims]
        self.backward = [kind(dim, hidden_dim, **options) for dim in dims]

    def __call__(self, xs: Iterable[Any]) -> list[Expression]:
        """The outputs, one for each vector of a sequence.

        Args:
            xs: vectors of shape (input_dim,); there may be none.

        Returns:
            As many vectors of shape (2 * hidden_dim,).
        """
        ahead, back = self._read(xs)
        return [F.concat([f, b]) for f, b in zip(ahead, back)]

    def last(self, xs: Iterable[Any]) -> Expression:
        """Both directions' outputs at their ends, (2 * hidden_dim,): a summary of a sequence.

        Of an empty sequence, those of the starts.
        """
        ahead, back = self._read(xs)
        if not ahead:
            return F.concat([self.forward[-1].start().h, self.backward[-1].start().h])
        return F.concat([ahead[-1], back[0]])

    def _read(self, xs: Iterable[Any]) -> tuple[list[Expression], list[Expression]]:
        """The top layer's outputs in both directions, in the order of the sequence."""
        xs = list(xs)
        ahead: list[Expression] = []
        back: list[Expression] = []
        for level, (forward, backward) in enumerate(zip(self.forward, self.backward)):
            if level:
                xs = [F.concat([f, b]) for f, b in zip(ahead, back)]
                if self.dropout and self.training:
                    xs = [F.dropout(x, self.dropout) for x in xs]
            ahead = forward(xs)
            back = backward(xs[::-1])[::-1]
        return ahead, back


class BiLSTM(Bidirectional):
    """An :class:`LSTM` for each direction; arguments as for :class:`Bidirectional`.

    >>> import autobatch as ab
    >>> lstm = ab.BiLSTM(3, 4)
    >>> lstm.last([ab.zeros(3), ab.zeros(3)]).shape
    (8,)
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        layers: int = 1,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(LSTM, input_dim, hidden_dim, layers, dropout, **options)


class BiGRU(Bidirectional):
    """A :class:`GRU` for each direction; arguments as for :class:`Bidirectional`.

    >>> import autobatch as ab
    >>> ab.BiGRU(3, 4).last([ab.zeros(3)]).shape
    (8,)
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        layers: int = 1,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(GRU, input_dim, hidden_dim, layers, dropout, **options)
