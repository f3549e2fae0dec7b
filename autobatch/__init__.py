"""Neural networks whose structure changes from example to example, batched by the machine.

Write a plain for-loop over examples; autobatch records it, finds the operations that can run
together, and runs them as a few large kernel calls.
"""

from . import config, functions, initializers, nn, schedules
from .config import configure, use
from .elementary import *  # noqa: F403
from .engine import inference, values
from .errors import *  # noqa: F403
from .functions import *  # noqa: F403
from .initializers import *  # noqa: F403
from .io import load, load_metadata, save
from .module import Module
from .nn import *  # noqa: F403
from .parameters import Lookup, Parameter
from .recording import Expression, Graph, current_graph, new_graph
from .schedules import *  # noqa: F403
from .trainers import SGD, Adagrad, Adam, AdamW, Momentum, RMSProp, Trainer

__version__ = "0.1.0"
