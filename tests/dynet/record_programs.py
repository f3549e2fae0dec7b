"""Records the losses of the programs under the wheel dyNET38: run it where that is installed.

python tests/dynet/record_programs.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
RECORDED = HERE / "programs.json"
PROGRAMS = sorted((HERE / "programs").glob("*.py"))
SEED = ("--dynet-seed", "42")


def losses(program: Path, before: Sequence[str] = (), path: str = "") -> list[float]:
    """What a program prints, one number a line: under the wheel, or by what is put `before`."""
    done = subprocess.run(
        [sys.executable, *before, str(program), *SEED],
        capture_output=True,
        text=True,
        env=os.environ | ({"PYTHONPATH": path} if path else {}),
        cwd=program.parent,  # where no package's sources lie: they may not be built
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(f"{program.name} ended with {done.returncode}:\n{done.stderr}")
    return [float(line) for line in done.stdout.splitlines()]


def main() -> None:
    found = {}
    for program in PROGRAMS:
        # Nine digits tell all numbers of single precision apart.
        found[program.stem] = [float(f"{loss:.9g}") for loss in losses(program)]
    rows = ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in found.items())
    RECORDED.write_text(f"{{\n{rows}\n}}\n")
    print(f"{len(found)} programs")


if __name__ == "__main__":
    main()
