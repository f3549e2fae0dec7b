"""The page about DyNet's names is what its generator writes, and leaves no name out."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

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


ARGUMENTS = {
    "ComputationGraph.backward": "index full",
    "ComputationGraph.dump": "filename show_values show_gradients nan_check_only",
    "ComputationGraph.forward": "index",
    "ComputationGraph.inputMatrixLiteral": "v d batch_size device",
    "ComputationGraph.inputSparseTensor": "idxs v dim batch_size defval device",
    "ParameterCollection.write_to_textfile": "fname key append",
    "dump_cg": "filename show_values show_gradients nan_check_only",
    "inputTensor": "arr batched device reusable_expr",
    "kmh_ngram": "x v",
    "pick": "e index dim",
    "pick_batch_elem": "x v",
    "pick_batch_elems": "x vs",
    "pick_range": "x s e d",
    "pickrange": "x s e",
    "select_cols": "x cs",
    "select_rows": "x rs",
    "sum_dim": "x d b n",
}
# What does not matter: the name for the rest, and what the wheel lacks.
OTHER_ARGUMENTS = {
    "load",  # the classes that a file may name
    "load_generator",
    "LookupParameters.expr",
    "print_graphviz",
}


def _arguments(thing: Any) -> list[str] | None:
    try:
        return [name for name in inspect.signature(thing).parameters if name != "self"]
    except (TypeError, ValueError):
        return None


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_by_name(name: str) -> None:
    thing: Any = dy
    for part in name.split("."):
        thing = getattr(thing, part)
    assert _arguments(thing) == ARGUMENTS[name].split()


def test_arguments_have_the_names_of_the_wheel() -> None:
    wheel = pytest.importorskip("dynet", reason="dyNET38 is not installed")
    pairs = [(name, getattr(wheel, name), getattr(dy, name, None)) for name in dir(wheel)]
    pairs += [
        (f"{name}.{member}", getattr(theirs, member), getattr(ours, member, None))
        for name, theirs, ours in pairs
        if inspect.isclass(theirs) and inspect.isclass(ours)
        for member in dir(theirs)
        if not member.startswith("_")
    ]
    for name, theirs, ours in pairs:
        wanted, found = _arguments(theirs), _arguments(ours)
        if wanted and found not in (None, ["args", "named"]) and name not in OTHER_ARGUMENTS:
            assert found == wanted, name
