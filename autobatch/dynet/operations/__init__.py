"""DyNet's operations: thin names over ours, a module for each family.

Dimension d of a DyNet tensor is our axis ``-1 - d``. What DyNet calls a list must be one,
and not empty.
"""

from . import (
    convolution,
    elementwise,
    gradients,
    losses,
    lstm,
    probabilities,
    products,
    randomness,
    running,
    selection,
    shapes,
    sources,
    statistics,
)
from .convolution import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .gradients import *  # noqa: F403
from .losses import *  # noqa: F403
from .lstm import *  # noqa: F403
from .probabilities import *  # noqa: F403
from .products import *  # noqa: F403
from .randomness import *  # noqa: F403
from .running import *  # noqa: F403
from .selection import *  # noqa: F403
from .shapes import *  # noqa: F403
from .sources import *  # noqa: F403
from .statistics import *  # noqa: F403

__all__ = [
    *convolution.__all__,
    *elementwise.__all__,
    *gradients.__all__,
    *losses.__all__,
    *lstm.__all__,
    *probabilities.__all__,
    *products.__all__,
    *randomness.__all__,
    *running.__all__,
    *selection.__all__,
    *shapes.__all__,
    *sources.__all__,
    *statistics.__all__,
]
