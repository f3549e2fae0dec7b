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
from reprlib import repr as show
from typing import Any, Literal, NoReturn

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
                    f"configure: {name} must be {expected}, got {show(getattr(self, name))}"
                )

        def whole(value: Any, least: int) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and value >= least

        def one_of(value: Any, names: tuple[str, ...]) -> bool:
            return isinstance(value, str) and value in names

        require(one_of(self.strategy, STRATEGIES), "strategy", f"one of {', '.join(STRATEGIES)}")
        require(one_of(self.backend, BACKENDS), "backend", f"one of {', '.join(BACKENDS)}")
        require(one_of(self.dtype, ("float32", "float64")), "dtype", "'float32' or 'float64'")
        require(whole(self.threads, 1) and self.threads <= 1024, "threads", "from 1 to 1024")
        limit = whole(self.memory_limit, 1 << 16) and self.memory_limit < 1 << 63
        require(limit, "memory_limit", "an int from 65536 bytes to less than 2**63")
        require(whole(self.seed, 0), "seed", "an int of at least 0")
        require(
            self.instruction_set is None or one_of(self.instruction_set, INSTRUCTION_SETS),
            "instruction_set",
            f"None or one of {', '.join(INSTRUCTION_SETS)}",
        )
        for name in ("sharing", "profile"):
            require(isinstance(getattr(self, name), bool), name, "True or False")


_base = Settings()
_rng = np.random.default_rng(_base.seed)


class _Blocks:
    """The blocks of a thread that are open, and the settings that follow from them.

    Blocks may end in any order and by any thread: generators are closed by whoever holds them.
    """

    def __init__(self) -> None:
        self.open: list[Configuration] = []
        self.settings: Settings | None = None

    def settle(self) -> None:
        """Works the settings out anew: those of the process, changed block by block."""
        made = None
        for block in self.open:
            made = dataclasses.replace(made or _base, **block.changes)
        self.settings = made
        _tell()


class _Local(threading.local):
    def __init__(self) -> None:
        self.blocks = _Blocks()


_local = _Local()


def current() -> Settings:
    """The settings in force for this thread."""
    return _local.blocks.settings or _base


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
        self.changes = changes
        self._blocks: _Blocks | None = None
        # Within a block they are the block's.
        around = _local.blocks.open[-1] if _local.blocks.open else None
        self._around = around
        self._before = {name: getattr(_base, name) for name in changes}
        if around is None:
            _base = dataclasses.replace(_base, **changes)
            _local.blocks.settle()
        else:
            self._before = dict(around.changes)
            dataclasses.replace(current(), **changes)  # raises before anything is changed
            around.changes = {**around.changes, **changes}
            _local.blocks.settle()

    def __enter__(self) -> Settings:
        # It was a block's after all: this thread's, not the process's.
        global _base
        if self._blocks is not None:
            raise ConfigurationError("configure: these settings are those of a block already")
        if self._around is None:
            _base = dataclasses.replace(_base, **self._before)
        else:
            self._around.changes = self._before
        self._blocks = _local.blocks
        self._blocks.open.append(self)
        self._blocks.settle()
        return current()

    def __exit__(self, *exception: object) -> None:
        blocks, self._blocks = self._blocks, None
        if blocks is not None:
            blocks.open.remove(self)
            blocks.settle()


_UNCHANGED: Any = ...


def configure(
    *,
    strategy: Literal["none", "depth", "agenda", "frontier"] = _UNCHANGED,
    sharing: bool = _UNCHANGED,
    dtype: Literal["float32", "float64"] = _UNCHANGED,
    backend: Literal["cpu", "numpy", "cuda"] = _UNCHANGED,
    threads: int = _UNCHANGED,
    memory_limit: int = _UNCHANGED,
    seed: int = _UNCHANGED,
    instruction_set: Literal["baseline", "avx2", "avx512"] | None = _UNCHANGED,
    profile: bool = _UNCHANGED,
    **unknown: NoReturn,
) -> Configuration:
    """Changes settings: for good, or, as a context manager, for a block in this thread.

    Args:
        strategy, sharing, dtype, backend, threads, memory_limit, seed, instruction_set, profile:
            fields of :class:`Settings`, which says what they mean. Default: as it is.
        unknown: refused.

    Raises:
        ConfigurationError: an unknown name or an unusable value; nothing is changed.

    >>> import autobatch as ab
    >>> with ab.configure(threads=1, sharing=False) as settings:
    ...     settings.threads
    1
    """
    global _rng
    given = locals()
    known = [field.name for field in dataclasses.fields(Settings)]
    for name in unknown:
        raise ConfigurationError(
            f"configure: no setting is called {name!r}; there are {', '.join(sorted(known))}"
        )
    changes = {name: given[name] for name in known if given[name] is not _UNCHANGED}
    made = Configuration(changes)
    if "seed" in changes:
        _rng = np.random.default_rng(changes["seed"])
    return made


def use(backend: Literal["cpu", "numpy", "cuda"]) -> Configuration:
    """Chooses the backend: ``use("cuda")`` is ``configure(backend="cuda")``.

    Raises:
        ConfigurationError: no such backend, or it cannot be had here.

    >>> import autobatch as ab
    >>> with ab.use("numpy"):
    ...     (ab.input([1.0, 2.0]) * 3).value()
    array([3., 6.], dtype=float32)
    """
    return configure(backend=backend)
