"""DyNet's recurrent networks and softmax layers.

A builder holds the parameters; a state is one step of one sequence, and states may branch.
States do not change: what DyNet keeps in the builder by number is kept in the state. The
parameters of a builder, their order and their first values are DyNet's.
"""

from . import bidirectional, lstm, rnn, softmax, states
from .bidirectional import *  # noqa: F403
from .lstm import *  # noqa: F403
from .rnn import *  # noqa: F403
from .softmax import *  # noqa: F403
from .states import *  # noqa: F403

__all__ = [
    *bidirectional.__all__,
    *lstm.__all__,
    *rnn.__all__,
    *softmax.__all__,
    *states.__all__,
]
