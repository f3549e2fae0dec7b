"""What type checkers say of programs that use the public names."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Each line by itself is right or wrong, and says so at its end.
PROGRAM = """
import numpy as np

import autobatch as ab

x = ab.input([1.0, 2.0])
w = ab.Parameter((2, 2))
table = ab.Lookup(4, 2)
layer = ab.Linear(2, 3)
h: ab.Expression = ab.LSTM(3, 4).step(x).h
c: ab.Expression = ab.LSTM(3, 4, layers=2).step(x).c
g: ab.Expression = ab.GRU(3, 4).step(x).h
r: ab.Expression = ab.RNN(3, 4).step(x).h
y: ab.Expression = ab.tanh(w @ x + 1) * np.ones(2)
z: ab.Expression = ab.sum([x, y]) + ab.sum(x, axis=0) + table[2] + x[0] + x[1:, None]
loss: ab.Expression = ab.cross_entropy(x, 1) + ab.cross_entropy(x, [0, 1])
soft: ab.Expression = ab.cross_entropy(x, np.array([0.5, 0.5]))
ab.Adam(layer, learning_rate=0.1, clip_norm=1.0)
ab.SGD([w, table], 0.1, schedule=ab.Cosine(10))
ab.Momentum({"a": layer}, sparse=False)
with ab.configure(seed=1, strategy="depth", threads=2, profile=True):
    number: float = loss.item()
loss.backward(wrt=[x])
ab.Adam(x)  # wrong
ab.Adam(layer, lr=1)  # wrong
ab.SGD(layer, clip_norm="a")  # wrong
ab.cross_entropy(x, 1.5)  # wrong
table["a"]  # wrong
x["a"]  # wrong
ab.configure(sed=1)  # wrong
ab.configure(seed="a")  # wrong
ab.configure(strategy="fast")  # wrong
ab.use("tpu")  # wrong
ab.sum(x, dim=0)  # wrong
ab.zeros(3, 4)  # wrong
ab.tanh(x, x)  # wrong
ab.tanh("a")  # wrong
ab.LSTM("a", 4)  # wrong
ab.Parameter(4, 4)  # wrong
loss.backward(wrt=x.shape)  # wrong
text: str = ab.LSTM(3, 4).step(x).h  # wrong
"""


@pytest.mark.slow
def test_a_type_checker_knows_right_lines_from_wrong_ones(tmp_path) -> None:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(program)]
    command += ["--cache-dir", str(tmp_path / "cache"), "--config-file", str(tmp_path / "none")]
    (tmp_path / "none").write_text("[mypy]\n")
    env = {"MYPYPATH": str(ROOT), "PATH": "", "PYTHONPATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    complaints = [line for line in done.stdout.splitlines() if "program.py" in line]
    found = {int(line.split(":")[1]) for line in complaints if ": error:" in line}
    lines = PROGRAM.splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    missed = [lines[number - 1] for number in sorted(wrong - found)]
    assert (missed, [line for line in complaints if int(line.split(":")[1]) in found - wrong]) == (
        [],
        [],
    ), done.stdout + done.stderr


def test_every_public_function_and_method_is_typed() -> None:
    """By its signature, or by the stub of the core for what is written in C."""
    import inspect

    import autobatch as ab

    untyped = []
    for name in ab.__all__:
        public = getattr(ab, name)
        if isinstance(public, ab.recording.Op) and not hasattr(public, "__wrapped__"):
            continue  # a protocol says it: Unary, Binary
        members = [(name, public)] if inspect.isroutine(public) else []
        if inspect.isclass(public) and not issubclass(public, (Exception, ab.Expression, ab.Graph)):
            members = [(f"{name}.{key}", part) for key, part in vars(public).items()]
        for path, part in members:
            function = inspect.unwrap(part) if callable(part) else None
            if not inspect.isfunction(function) or path.rpartition(".")[2].startswith("_"):
                continue
            signature = inspect.signature(function)
            untyped += [
                f"{path}({p.name})"
                for p in signature.parameters.values()
                if p.annotation is p.empty and p.name != "self"
            ]
            if signature.return_annotation is signature.empty:
                untyped.append(path)
    assert untyped == []
