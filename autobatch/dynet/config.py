"""What DyNet takes from the command line, and the module ``dynet_config``.

Flags begin with ``--dynet-`` (hyphens or underscores), their value follows after ``=`` or as
the next argument, and they stay in ``sys.argv``. The seed and the weight decay are honoured;
memory, batching and profiling are accepted: graphs grow as they need and are always batched.
Accepted, too, and without effect, as in DyNet's build for the CPU: ``--dynet-l2`` of old
versions, and ``--dynet-gpu-ids``.

    --dynet-seed 1 --dynet-weight-decay 1e-6 --dynet-mem 512 --dynet-autobatch 1
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ..errors import ConfigurationError
from . import random

__all__ = [
    "DynetParams",
    "get",
    "gpu",
    "init",
    "init_from_params",
    "reset_random_seed",
    "set",
    "set_gpu",
    "weight_decay",
]

_NO_GPU = (
    "this build of dynet has no GPU support: leave out --dynet-gpu, --dynet-gpus and GPUs in "
    "--dynet-devices; programs of autobatch itself run on one by autobatch.use('cuda')"
)

# As DyNet names them on the command line: whether a value follows.
_FLAGS = {
    "mem": True,
    "seed": True,
    "weight-decay": True,
    "autobatch": True,
    "autobatch-debug": True,
    "profiling": True,
    "shared-mem": False,
    "gpus": True,
    "gpu": False,
    "gpu-ids": True,
    "devices": True,
    "l2": True,
    "viz": False,
}

_weight_decay = 0.0
_configured: dict[str, Any] | None = None
_gpu: bool | None = None
_begun = False


def _read(argv: Sequence[str]) -> dict[str, str]:
    """The flags on a command line, by name."""
    found: dict[str, str] = {}
    place = 1
    while place < len(argv):
        argument = argv[place]
        place += 1
        if not argument.startswith(("--dynet-", "--dynet_")):
            continue
        name, equals, value = argument[len("--dynet-") :].partition("=")
        name = name.replace("_", "-")
        if name not in _FLAGS:
            continue  # as in DyNet, which leaves unknown ones to the program
        if _FLAGS[name] and not equals:
            if place == len(argv):
                raise ConfigurationError(f"--dynet-{name}: expected a value after it")
            value = argv[place]
            place += 1
        found[name] = value
    return found


def _number(name: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ConfigurationError(f"--dynet-{name}: expected a number, got {text!r}") from None


class DynetParams:
    """Settings, to be made by a program instead of the command line.

    >>> import autobatch.dynet as dy
    >>> params = dy.DynetParams()
    >>> params.set_random_seed(1)
    >>> params.init()
    """

    def __init__(self) -> None:
        self._seed = 0
        self._decay = 0.0
        self._gpus = False

    def from_args(self, shared_parameters: bool | None = None) -> None:
        """Takes the flags of the command line."""
        flags = _read(sys.argv)
        if "seed" in flags:
            self._seed = _number("seed", flags["seed"], int)
        if "weight-decay" in flags:
            self._decay = _number("weight-decay", flags["weight-decay"], float)
        self._gpus = (
            "gpu" in flags
            or _number("gpus", flags.get("gpus") or "0", int) > 0
            or "GPU" in flags.get("devices", "").upper()
        )

    def from_config(self, conf: dict[str, Any]) -> None:
        """Takes what ``dynet_config.set(...)`` was given."""
        self._seed = int(conf["seed"])
        self._decay = float(conf["weight_decay"])
        self._gpus = bool(int(conf["requested_gpus"]))

    def init(self) -> None:
        """Puts the settings in force: the random stream begins anew."""
        global _weight_decay, _begun
        if self._gpus:
            raise RuntimeError(_NO_GPU)
        _begun = True
        _weight_decay = self._decay
        random.reset(self._seed)

    def set_mem(self, mem: Any) -> None:
        """Accepted: graphs take the memory that they need."""

    def set_random_seed(self, random_seed: int) -> None:
        """The seed of the random stream; 0 for one that differs from run to run."""
        self._seed = int(random_seed)

    def set_weight_decay(self, weight_decay: float) -> None:
        """The weight decay of collections made from now on."""
        self._decay = float(weight_decay)

    def set_autobatch(self, autobatch: Any) -> None:
        """Accepted: graphs are always batched."""

    def set_profiling(self, profiling: Any) -> None:
        """Accepted; see ``autobatch.configure(profile=True)``."""

    def set_shared_parameters(self, shared_parameters: Any) -> None:
        """Accepted."""

    def set_requested_gpus(self, requested_gpus: int) -> None:
        """Only 0 can be had."""
        self._gpus = int(requested_gpus) > 0

    def set_gpu_mask(self, gpu_mask: Any) -> None:
        """Accepted, as long as no GPU is asked for."""

    def set_cpu_mode(self) -> None:
        """Asks for no GPU."""
        self._gpus = False


def init(shared_parameters: bool | None = None) -> None:
    """Takes the settings from the command line."""
    params = DynetParams()
    params.from_args(shared_parameters)
    params.init()


def init_from_params(params: DynetParams) -> None:
    """Puts settings in force: ``params.init()``."""
    params.init()


def reset_random_seed(seed: int) -> None:
    """Begins the random stream of a seed.

    >>> import autobatch.dynet as dy
    >>> dy.reset_random_seed(1)
    >>> a = dy.random_uniform(2, 0, 1).value()
    >>> dy.reset_random_seed(1)
    >>> a == dy.random_uniform(2, 0, 1).value()
    True
    """
    random.reset(int(seed))


def weight_decay() -> float:
    """The weight decay of collections made now."""
    return _weight_decay


def start() -> None:
    """What importing dynet does: settings of ``dynet_config``, or of the command line."""
    if "--dynet-viz" in sys.argv:
        sys.argv.remove("--dynet-viz")
    if _configured is None:
        init()
        return
    params = DynetParams()
    params.from_config(_configured)
    params.init()


# ------------------------------------------------------------- the module dynet_config


def set(
    mem: Any = "512",
    random_seed: int = 0,
    autobatch: int = 0,
    profiling: int = 0,
    weight_decay: float = 0,
    shared_parameters: int = 0,
    requested_gpus: int = 0,
    gpu_mask: Any = None,
) -> None:
    """Settings for the import of dynet that follows; the command line is ignored then.

    Each call replaces all settings. A program that imports ``autobatch.dynet`` under that
    name calls it after the import: settings take force at once, as long as nothing was drawn.
    """
    global _configured
    _configured = {
        "mem": mem,
        "seed": random_seed,
        "autobatch": autobatch,
        "profiling": profiling,
        "weight_decay": weight_decay,
        "shared_params": shared_parameters,
        "requested_gpus": requested_gpus,
        "gpu_mask": gpu_mask or [],
    }
    if _begun and "dynet" not in sys.modules and random.untouched():
        start()


def set_gpu(flag: bool = True) -> None:
    """Asks for a GPU, which the import of dynet then refuses."""
    global _gpu
    _gpu = flag
    if _configured is None:
        set(requested_gpus=1)
    else:
        _configured["requested_gpus"] = 1


def gpu() -> bool | None:
    """What `set_gpu` was given; None if it was not called."""
    return _gpu


def get() -> dict[str, Any] | None:
    """What `set` was given; None if it was not called."""
    return _configured
