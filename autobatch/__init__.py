"""Neural networks whose structure changes from example to example, batched by the machine.

Write a plain for-loop over examples; autobatch records it, finds the operations that can run
together, and runs them as a few large kernel calls.
"""

import inspect

from . import (
    algebra,
    calls,
    config,
    convolution,
    elementary,
    errors,
    functions,
    gradients,
    initializers,
    losses,
    nn,
    protocol,  # noqa: F401
    randomness,
    recording,
    schedules,
    selection,
    statistics,
)
from .algebra import *  # noqa: F403
from .config import configure, use
from .convolution import *  # noqa: F403
from .elementary import *  # noqa: F403
from .engine import inference, values
from .errors import *  # noqa: F403
from .explain import explain
from .functions import *  # noqa: F403
from .gradients import *  # noqa: F403
from .initializers import *  # noqa: F403
from .io import load, load_metadata, save
from .losses import *  # noqa: F403
from .module import Module
from .nn import *  # noqa: F403
from .parameters import Lookup, Parameter
from .randomness import *  # noqa: F403
from .recording import Expression, Graph, cell, current_graph, new_graph
from .schedules import *  # noqa: F403
from .selection import *  # noqa: F403
from .statistics import *  # noqa: F403
from .trainers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AMSGrad,
    CyclicalSGD,
    Momentum,
    RMSProp,
    Trainer,
)

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "CyclicalSGD",
    "Expression",
    "Graph",
    "Lookup",
    "Module",
    "Momentum",
    "Parameter",
    "RMSProp",
    "Trainer",
    "cell",
    "config",
    "configure",
    "current_graph",
    "explain",
    "inference",
    "initializers",
    "load",
    "load_metadata",
    "new_graph",
    "nn",
    "save",
    "schedules",
    "use",
    "values",
]
__all__ += algebra.__all__
__all__ += convolution.__all__
__all__ += elementary.__all__
__all__ += errors.__all__
__all__ += functions.__all__
__all__ += gradients.__all__
__all__ += initializers.__all__
__all__ += losses.__all__
__all__ += nn.__all__
__all__ += randomness.__all__
__all__ += schedules.__all__
__all__ += selection.__all__
__all__ += statistics.__all__


def _guard() -> None:
    """Puts `calls.guarded` around all that a user calls; modules of ours go on as they did."""
    names = globals()
    calls.tell_ops(recording._recorders)
    seen: set[type] = set()
    for name in __all__:
        public = names[name]
        if isinstance(public, type):
            for cls in public.__mro__:
                if cls not in seen and cls.__module__.partition(".")[0] == __name__:
                    seen.add(cls)
                    calls.guard_class(cls)
        elif isinstance(public, recording.Op):
            public.__module__ = __name__
        elif inspect.isroutine(public):
            names[name] = calls.guarded(public, name, module=__name__)


_guard()


def __dir__() -> list[str]:
    return sorted([*__all__, "engine", "errors", "__version__"])
