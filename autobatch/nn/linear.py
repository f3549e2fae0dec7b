"""The affine layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import functions as F
from .. import plain
from ..initializers import Glorot, Initializer, Zeros
from ..module import Module
from ..parameters import Parameter
from .weights import whole

if TYPE_CHECKING:
    from .._core import Expression


class Linear(Module):
    """``W x + b``.

    Args:
        input_dim: size of an input vector.
        output_dim: size of an output vector.
        bias: whether there is a ``b``; default True. It begins at 0.
        init: initializer of the weight, of shape (output_dim, input_dim); default: Glorot.

    Attributes:
        weight: (output_dim, input_dim).
        bias: (output_dim,), or None.

    Raises:
        ConfigurationError: a size is no whole number above 0.

    >>> import autobatch as ab
    >>> layer = ab.Linear(3, 2)
    >>> layer(ab.zeros(3)).shape, layer(ab.zeros((5, 3))).shape
    ((2,), (5, 2))
    """

    def __init__(
        self, input_dim: int, output_dim: int, bias: bool = True, init: Initializer | None = None
    ) -> None:
        self.input_dim = whole("Linear", "input_dim", input_dim)
        self.output_dim = whole("Linear", "output_dim", output_dim)
        shape = (self.output_dim, self.input_dim)
        self.weight = Parameter(shape, init=Glorot() if init is None else init)
        self.bias = (
            Parameter(self.output_dim, init=Zeros()) if plain.flag("Linear", "bias", bias) else None
        )

    def __call__(self, x: Any) -> Expression:
        """Of a vector (input_dim,) a vector (output_dim,), or row by row of (..., input_dim).

        Raises:
            ShapeError: the last axis of `x` has another size.
        """
        return F.linear(x, self.weight, self.bias)
