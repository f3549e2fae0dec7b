"""DyNet's module names for the drop-in: what lets programs and packages import it unchanged."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any

from . import config

__all__ = ["install"]

_NAMES = ("dynet", "_dynet", "dynet_config", "dynet_viz")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives DyNet's module names the drop-in."""

    def __init__(self) -> None:
        self._specs = {module.__name__: module.__spec__ for module in (_dropin(), config)}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return importlib.machinery.ModuleSpec(name, self) if name in _NAMES else None

    def create_module(self, spec: Any) -> ModuleType:
        return config if spec.name == "dynet_config" else _dropin()

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._specs[
            module.__name__
        ]  # the import system gave it that of its alias
        if module is not config and not config._begun:
            config.start()


def _dropin() -> ModuleType:
    return sys.modules[__package__]


def install() -> None:
    """Lets ``import dynet`` find the drop-in, in this process and in any module of it.

    So packages that import DyNet by its name run over autobatch; import them afterwards.
    ``_dynet``, ``dynet_config`` and ``dynet_viz`` are found, too. Further calls change nothing.

    Raises:
        ImportError: DyNet itself is imported already.

    >>> import autobatch.dynet as dy
    >>> dy.install()
    >>> import dynet
    >>> dynet is dy
    True
    """
    for name in _NAMES:
        module = sys.modules.get(name)
        if module is not None and module is not config and module is not _dropin():
            raise ImportError(
                f"install: {name} is imported already, from "
                f"{getattr(module, '__file__', None) or 'elsewhere'}; call "
                f"autobatch.dynet.install() before anything imports it"
            )
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
