"""The page about DyNet's names is what its generator writes, and leaves no name out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import autobatch as ab
import autobatch.dynet as dy

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    command = [sys.executable, str(DOCS / "dynet_names.py"), "--check"]
    path = {"PYTHONPATH": str(Path(ab.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | path)
    assert done.returncode == 0, f"run python docs/dynet_names.py\n{done.stderr}"


def test_every_name_of_the_wheel_is_on_the_page() -> None:
    wheel = pytest.importorskip("dynet", reason="dyNET38 is not installed")
    page = (DOCS / "dynet.md").read_text(encoding="utf-8")
    names = [name for name in dir(wheel) if not name.startswith("_")]
    assert not [name for name in names if f"| `{name}` |" not in page]


def test_migration_names_what_is_there() -> None:
    page = (DOCS / "migration.md").read_text(encoding="utf-8").partition("## Names")[2]
    for line in page.splitlines():
        if not line.startswith("| `"):
            continue
        ours = line.split(" | ")[1]
        for name in re.findall(r"`([A-Za-z_]\w+)(?=[(`])", ours):
            assert hasattr(ab, name) or name in ("lstm",), name


@pytest.mark.parametrize(
    ("name", "instead"),
    [("cwise_multiply", "cmult"), ("sum_cols", "sum_dim"), ("sigmoid", "logistic")],
)
def test_a_name_that_is_missing_says_what_there_is(name: str, instead: str) -> None:
    assert not hasattr(dy, name)
    with pytest.raises(AttributeError, match=instead):
        getattr(dy, name)
