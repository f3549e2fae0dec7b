"""Runs a program written for DyNet as it is.

    python -m autobatch.dynet program.py args...
    python -m autobatch.dynet -m pytest tests.py

``import dynet``, ``import _dynet`` and ``import dynet_config`` find the drop-in. Settings are
read when the program imports dynet, as DyNet does.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import runpy
import sys
from types import ModuleType
from typing import Any

import autobatch.dynet

from . import config


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives DyNet's module names the drop-in."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in ("dynet", "_dynet", "dynet_config", "dynet_viz"):
            return None
        return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec: Any) -> ModuleType:
        if spec.name == "dynet_config":
            return config
        return autobatch.dynet

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = _SPECS[module.__name__]  # the import system gave it that of its alias
        if module is autobatch.dynet and not _started:
            _started.append(True)
            config.start()


_started: list[bool] = []
_SPECS = {module.__name__: module.__spec__ for module in (autobatch.dynet, config)}


def run(arguments: list[str]) -> None:
    """Runs a program: its path, or ``-m`` and a module, then its arguments. Flags of DyNet's
    may stand before it."""
    first = 0
    while first < len(arguments) and arguments[first].startswith("-") and arguments[first] != "-m":
        name = arguments[first].replace("_", "-").removeprefix("--dynet-")
        takes_value = config._FLAGS.get(name, False)  # unknown, or given with "="
        first += 2 if takes_value else 1
    flags = arguments[:first]
    module = arguments[first : first + 1] == ["-m"]
    first += module
    if first >= len(arguments):
        sys.exit("usage: python -m autobatch.dynet program.py args..., or -m module args...")
    program = arguments[first]
    sys.argv = [program, *arguments[first + 1 :], *flags]
    sys.meta_path.insert(0, _Finder())
    if module:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        return
    sys.path[0] = os.path.dirname(os.path.abspath(program))
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    run(sys.argv[1:])
