"""Settings: process-wide by a call, or for the block of a ``with`` statement.

>>> import autobatch as ab
>>> with ab.configure(strategy="depth", sharing=False):
...     ab.config.current().strategy
'depth'
>>> ab.config.current().strategy
'frontier'
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import ConfigurationError

STRATEGIES = ("none", "depth", "agenda", "frontier")
BACKENDS = ("cpu", "numpy", "cuda")
INSTRUCTION_SETS = ("baseline", "avx2", "avx512")


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 << 30


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


@dataclass(frozen=True)
class Settings:
    """What can be configured.

    Attributes:
        strategy: how nodes are grouped: "none", "depth", "agenda" or "frontier".
        sharing: equal nodes are one node.
        dtype: "float32" or "float64", of parameters made and graphs begun from now on.
        backend: "cpu" (compiled kernels), "numpy" (the formulas, slow) or "cuda".
        threads: of the CPU backend. Default: the processors this process may use.
        memory_limit: bytes that one graph may take. Default: 0.8 of the machine's memory.
        seed: of parameters, dropout and shuffling; setting it starts the stream anew.
        instruction_set: of the CPU kernels: "baseline", "avx2", "avx512"; None: the best.
        profile: measure the time of each phase, see ``autobatch.engine.timings``.
    """

    strategy: str = "frontier"
    sharing: bool = True
    dtype: str = "float32"
    backend: str = "cpu"
    threads: int = dataclasses.field(default_factory=_processors)
    memory_limit: int = dataclasses.field(default_factory=lambda: _physical_memory() * 4 // 5)
    seed: int = 0
    instruction_set: str | None = None
    profile: bool = False

    def __post_init__(self) -> None:
        def require(good: bool, name: str, expected: str) -> None:
            if not good:
                raise ConfigurationError(
                    f"configure: {name} must be {expected}, got {getattr(self, name)!r}"
                )

        def whole(value: Any, least: int) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and value >= least

        require(self.strategy in STRATEGIES, "strategy", f"one of {', '.join(STRATEGIES)}")
        require(self.backend in BACKENDS, "backend", f"one of {', '.join(BACKENDS)}")
        require(self.dtype in ("float32", "float64"), "dtype", "'float32' or 'float64'")
        require(whole(self.threads, 1) and self.threads <= 1024, "threads", "from 1 to 1024")
        require(whole(self.memory_limit, 1 << 16), "memory_limit", "at least 65536 bytes")
        require(whole(self.seed, 0), "seed", "an int of at least 0")
        require(
            self.instruction_set in (None, *INSTRUCTION_SETS),
            "instruction_set",
            f"None or one of {', '.join(INSTRUCTION_SETS)}",
        )
        for name in ("sharing", "profile"):
            require(isinstance(getattr(self, name), bool), name, "True or False")


_base = Settings()
_local = threading.local()
_rng = np.random.default_rng(_base.seed)


def current() -> Settings:
    """The settings in force for this thread."""
    return getattr(_local, "settings", None) or _base


# Called whenever the settings of a thread may have changed.
_listeners: list[Callable[[], object]] = []


def on_change(listener: Callable[[], object]) -> None:
    """Has a function called after every change of settings, in whatever thread."""
    _listeners.append(listener)


def _tell() -> None:
    for listener in _listeners:
        listener()


def rng() -> np.random.Generator:
    """The generator that initialisers, dropout and shuffling draw from."""
    return _rng


class Configuration:
    """What `configure` returns: used in a ``with`` statement, its settings end with the block."""

    def __init__(self, changes: dict[str, Any]) -> None:
        global _base
        self._changes = changes
        self._before_base = _base
        self._before_local = getattr(_local, "settings", None)
        if self._before_local is None:
            _base = dataclasses.replace(_base, **changes)
        else:
            _local.settings = dataclasses.replace(self._before_local, **changes)
        _tell()

    def __enter__(self) -> Settings:
        # It was a block's after all: this thread's, not the process's.
        global _base
        _base = self._before_base
        _local.settings = dataclasses.replace(self._before_local or _base, **self._changes)
        _tell()
        return current()

    def __exit__(self, *exception: object) -> None:
        _local.settings = self._before_local
        _tell()


def configure(**changes: Any) -> Configuration:
    """Changes settings: for good, or, as a context manager, for a block in this thread.

    Args:
        changes: fields of :class:`Settings`.

    Raises:
        ConfigurationError: an unknown name or an unusable value; nothing is changed.

    >>> import autobatch as ab
    >>> with ab.configure(threads=1, sharing=False) as settings:
    ...     settings.threads
    1
    """
    global _rng
    known = {field.name for field in dataclasses.fields(Settings)}
    for name in changes:
        if name not in known:
            raise ConfigurationError(
                f"configure: no setting is called {name!r}; there are {', '.join(sorted(known))}"
            )
    made = Configuration(changes)
    if "seed" in changes:
        _rng = np.random.default_rng(changes["seed"])
    return made


def use(backend: str) -> Configuration:
    """Chooses the backend: ``use("cuda")`` is ``configure(backend="cuda")``.

    Raises:
        ConfigurationError: no such backend, or it cannot be had here.

    >>> import autobatch as ab
    >>> with ab.use("numpy"):
    ...     (ab.input([1.0, 2.0]) * 3).value()
    array([3., 6.], dtype=float32)
    """
    return configure(backend=backend)
