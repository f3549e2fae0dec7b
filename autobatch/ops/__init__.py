"""Declarations of the ops, in a fixed order: an op's place is its number."""

from . import source  # noqa: F401, I001
from . import elementwise  # noqa: F401
from . import linear  # noqa: F401
from . import reduce  # noqa: F401
from . import softmax  # noqa: F401
from . import loss  # noqa: F401
from . import shape  # noqa: F401
from . import random  # noqa: F401
from . import batch  # noqa: F401
from . import elementary  # noqa: F401
from . import statistics  # noqa: F401
from . import sparse  # noqa: F401
from . import gradient  # noqa: F401
from . import convolution  # noqa: F401
from . import algebra  # noqa: F401
from . import recurrent  # noqa: F401
from .declare import REGISTRY, Call, Form, Op, Operand, Sample, declare, double_bits

__all__ = [
    "REGISTRY",
    "Call",
    "Form",
    "Op",
    "Operand",
    "Sample",
    "declare",
    "double_bits",
    "get",
]


def get(name: str) -> Op:
    """The declaration of the op `name`.

    Raises:
        KeyError: there is no such op; the message lists the names.

    Example:
        >>> get("tanh").expression
        'ab_tanh(a)'
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise KeyError(f"no op {name!r}; the ops are {', '.join(REGISTRY)}") from None
