"""DyNet's Python module, over autobatch: programs run by changing the import.

    import autobatch.dynet as dy

or unchanged, by ``python -m autobatch.dynet program.py args...``; after `install` other packages'
``import dynet`` finds it, too. Names, shapes, defaults,
random numbers and files are DyNet's; graphs are recorded, batched and run by autobatch.

>>> import autobatch.dynet as dy
>>> m = dy.ParameterCollection()
>>> W, b = m.add_parameters((2, 3), init=1), m.add_parameters(2, init=0)
>>> _ = dy.renew_cg()
>>> x = dy.inputVector([1, 2, 3])
>>> dy.logistic(W * x + b).dim()
((2,), 1)
"""

import os
import pickle
import sys
from typing import Any

import numpy as np

from . import (
    builders,
    config,
    expressions,
    graph,
    initializers,
    operations,
    parameters,
    saving,
    trainers,
)
from . import config as dynet_config
from .alias import install as install
from .builders import *  # noqa: F403
from .config import DynetParams, init, init_from_params, reset_random_seed
from .expressions import *  # noqa: F403
from .graph import *  # noqa: F403
from .initializers import *  # noqa: F403
from .operations import *  # noqa: F403
from .parameters import *  # noqa: F403
from .saving import *  # noqa: F403
from .trainers import *  # noqa: F403

__version__ = "2.1"
__gitversion__ = "autobatch"

HAVE_CUDA = False


class DeviceInfo:
    """A device: its name, its number, and DyNet's number for its kind."""

    def __init__(self, name: str = "CPU", id: int = 0, dtype: Any = -1) -> None:
        self.name, self.id, self.type = name, id, dtype


def available_devices() -> list[str]:
    """The names of the devices.

    >>> import autobatch.dynet as dy
    >>> dy.available_devices()
    ['CPU']
    """
    return ["CPU"]


def get_device_info(name: str = "CPU") -> DeviceInfo:
    """A device, by name."""
    if name not in ("", "CPU"):
        raise RuntimeError(f"Invalid device name: {name}")
    return DeviceInfo("CPU")


_INSTEAD = {
    "cwise_multiply": "cmult",
    "sum_cols": "sum_dim(x, [1])",
    "sigmoid": "logistic",
}


def __getattr__(name: str) -> Any:
    """Names that there are not: the nearest that there is."""
    nearest = f"; use {_INSTEAD[name]}" if name in _INSTEAD else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{nearest}")


# `from dynet import *` gives these names, some of Python's modules among them; it does not
# give those of the parts of this package, which would hide others (random).
__all__ = [
    *builders.__all__,
    *expressions.__all__,
    *graph.__all__,
    *initializers.__all__,
    *operations.__all__,
    *parameters.__all__,
    *saving.__all__,
    *trainers.__all__,
    "DeviceInfo",
    "DynetParams",
    "HAVE_CUDA",
    "available_devices",
    "dynet_config",
    "get_device_info",
    "init",
    "init_from_params",
    "np",
    "os",
    "pickle",
    "reset_random_seed",
    "sys",
]

# `python -m autobatch.dynet` reads the settings when its program imports dynet.
if sys.orig_argv[1:3] != ["-m", "autobatch.dynet"] or sys.argv[:1] != ["-m"]:
    config.start()
