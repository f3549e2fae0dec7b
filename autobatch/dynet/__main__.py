"""Runs a program written for DyNet as it is.

    python -m autobatch.dynet program.py args...
    python -m autobatch.dynet -m pytest tests.py

``import dynet``, ``import _dynet`` and ``import dynet_config`` find the drop-in. Settings are
read when the program imports dynet, as DyNet does.
"""

from __future__ import annotations

import os
import runpy
import sys

from . import config
from .alias import install


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
    install()
    if module:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        return
    sys.path[0] = os.path.dirname(os.path.abspath(program))
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    run(sys.argv[1:])
