"""Programs written for DyNet run as they are, and their losses are those under DyNet.

Recorded losses stand in for the wheel; where it is installed, the programs run under it, too.
"""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import pytest
from record_programs import PROGRAMS, RECORDED, losses

import autobatch

UPDATES = 30
TRAINERS = 8  # of xor.py, which prints the updates of each
EXPECTED = json.loads(RECORDED.read_text())


@pytest.fixture(scope="module")
def ours() -> dict[str, list[float]]:
    return {}


def run(program: Path, found: dict[str, list[float]]) -> list[float]:
    if program.stem not in found:
        path = str(Path(autobatch.__file__).parents[1])
        found[program.stem] = losses(program, ["-m", "autobatch.dynet"], path)
    return found[program.stem]


def test_every_program_is_recorded() -> None:
    assert list(EXPECTED) == [program.stem for program in PROGRAMS]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_losses_are_those_recorded(program: Path, ours: dict[str, list[float]]) -> None:
    found = run(program, ours)
    assert len(found) == UPDATES * (TRAINERS if program.stem == "xor" else 1)
    assert all(map(math.isfinite, found))
    assert found == pytest.approx(EXPECTED[program.stem], rel=1e-3)


@pytest.mark.skipif(importlib.util.find_spec("_dynet") is None, reason="dyNET38 is not installed")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_losses_are_those_under_the_wheel(program: Path, ours: dict[str, list[float]]) -> None:
    assert run(program, ours) == pytest.approx(losses(program), rel=1e-3)
