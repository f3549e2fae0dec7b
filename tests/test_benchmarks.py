"""The benchmarks: samples, counts, one run from end to end, PyTorch's programs side by side."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import autobatch as ab

ROOT = Path(__file__).resolve().parent.parent
# Last: the package under test is the installed one, see benchmarks/__init__.py.
sys.path.append(str(ROOT))

from benchmarks import data, driver, tasks  # noqa: E402
from benchmarks.data import Sample  # noqa: E402

SMALL = {
    "tree_lstm": (data.trees, 20),
    "tagger": (data.tags, 20),
    "language_model": (data.sentences, 20),
    "rnn": (data.sequences, 20),
    "parser": (data.parses, 20),
}


def sample_of(name: str) -> Sample:
    read, count = SMALL[name]
    return read(None, count)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", SMALL)
def test_a_sample_is_a_function_of_its_seed(name: str) -> None:
    def told(value: object) -> object:
        if isinstance(value, (data.Tree, data.Parse)):
            return [told(getattr(value, slot)) for slot in value.__slots__]
        return value

    first, second = sample_of(name), sample_of(name)
    assert [told(x) for x in first.examples] == [told(x) for x in second.examples]
    assert first.words == second.words


def test_minibatches_wrap_around() -> None:
    sample = Sample("numbers", [0, 1, 2], words=1, classes=1)
    assert sample.minibatch(1, 2) == [2, 0]


def test_real_files(tmp_path: Path) -> None:
    for folder, file, text in (
        ("trees", "train.txt", "(3 (2 It) (4 works))\n"),
        ("tags", "train.txt", "Anna|PER sings|O\n"),
        ("dependencies", "train.conllu", "1\tGo\tgo\tVERB\t_\t_\t0\troot\t_\t_\n\n"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text(text)
    (tree,) = data.trees(tmp_path, 9).examples
    assert (tree.label, tree.left.label, tree.right.word) == (3, 2, 2)
    (sentence,) = data.tags(tmp_path, 9).examples
    assert [(row, tag) for row, _, tag in sentence] == [(0, 0), (0, 1)]
    (parse,) = data.parses(tmp_path, 9).examples
    assert (parse.words, parse.actions) == ([1], [0])


@pytest.mark.parametrize(
    ("module", "program", "count"),
    [
        ("tree_lstm", "Plain", tasks.tree_operations),
        ("recording", "Chain", tasks.chain_operations),
    ],
)
def test_operations_are_counted_right(module: str, program: str, count) -> None:
    sample = sample_of("tree_lstm" if module == "tree_lstm" else "rnn")
    programs = importlib.import_module(f"benchmarks.programs.{module}")
    model = getattr(programs, program)(sample, 5)
    others = []
    with ab.configure(sharing=False):
        for number in range(3):
            minibatch = sample.minibatch(number, 3 + number)
            ab.new_graph()
            nodes = model.loss(minibatch).node + 1
            others.append(nodes - count(minibatch))
    # What is not counted, parameters and constants, does not depend on the minibatch. The first
    # graph meets forms that are new.
    assert others[1] == others[2]
    assert 0 <= others[1] < 20


@pytest.mark.parametrize(
    ("name", "programs"),
    [("tree_lstm", ["Plain", "Affine", "Fused"]), ("rnn", ["Loop", "Batched"])],
)
def test_our_programs_learn(name: str, programs: list[str]) -> None:
    sample = sample_of(name)
    for program in programs:
        with ab.configure(seed=3):
            model = getattr(importlib.import_module(f"benchmarks.programs.{name}"), program)(
                sample, 6
            )
        trainer = ab.Adam(model, learning_rate=0.01)
        losses = []
        for _ in range(8):
            ab.new_graph()
            loss = model.loss(sample.minibatch(0, 5))
            loss.backward()
            trainer.update()
            losses.append(loss.item())
        assert losses[-1] < losses[0], program


def test_by_hand_and_by_loop_are_equal() -> None:
    sample = sample_of("rnn")
    programs = importlib.import_module("benchmarks.programs.rnn")
    losses = []
    for program in ("Loop", "Batched"):
        with ab.configure(seed=3):
            model = getattr(programs, program)(sample, 6)
        losses.append(model.loss(sample.minibatch(0, 5)).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_one_run(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    options = ("--quick", "--rivals", "", "--threads", "1", "--only", "Loop", "--json", str(file))
    done = run("tree_lstm_64", "record_chain", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "### tree_lstm_64" in done.stdout
    found = json.loads(file.read_text())
    train, record = found["results"]
    assert train["mode"] == "train"
    assert train["median"] > 0
    phases = {"record", "schedule", "forward", "backward", "other", "update"}
    assert set(train["phases_s_per_example"]) == phases
    assert record["unit"] == "operations/s"
    assert found["machine"]["versions"]["numpy"]


@pytest.mark.slow
def test_one_run_beside_another_build() -> None:
    build = Path(ab.__file__).resolve().parent.parent  # itself
    done = run("record_chain", "--before", str(build), "--repeats", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| record_chain Chain | 1 | " in done.stdout
    assert "| schedule tagger Tagger, sharing on | 1 | " in done.stdout


def test_a_build_that_is_none_is_told(tmp_path: Path) -> None:
    done = run("--before", str(tmp_path))
    assert done.returncode == 2
    assert "no compiled package autobatch" in done.stderr


def test_a_wrong_name_is_told() -> None:
    done = run("tree_lsmt")
    assert done.returncode == 2
    assert "unknown task 'tree_lsmt'" in done.stderr


def test_a_missing_rival_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "find_spec", lambda name: None)
    assert driver.missing("dynet").startswith("dynet: not installed, skipped")


def _unidirectional(state: dict) -> dict:
    """The tagger's weights under the names that ``Padded`` gives them, a layer per direction."""
    renamed = {}
    for name, value in state.items():
        if name.startswith(("spell.", "read.")):
            layer, weight = name.split(".")
            back = weight.endswith("_reverse")
            name = f"{layer}.{int(back)}.{weight.removesuffix('_reverse')}"
        renamed[name] = value
    return renamed


def _one_layer(state: dict) -> dict:
    """The parser's weights under the names that ``Stepwise`` gives them."""
    return {k + "_l0" if k.startswith("buffer.") else k: v for k, v in state.items()}


@pytest.mark.parametrize(
    ("name", "first", "second", "rename"),
    [
        ("tree_lstm", "Eager", "Levels", dict),
        ("rnn", "Loop", "Batched", dict),
        ("language_model", "Loop", "Packed", dict),
        ("language_model", "Loop", "Padded", dict),
        ("tagger", "Loop", "Packed", dict),
        ("tagger", "Loop", "Padded", _unidirectional),
        ("parser", "Loop", "Stepwise", _one_layer),
    ],
)
def test_pytorch_by_hand_computes_what_the_loop_does(name, first, second, rename) -> None:
    pytest.importorskip("torch")
    programs = importlib.import_module(f"benchmarks.rivals.torch_{name}")
    sample = sample_of(name)
    loop, by_hand = (getattr(programs, program)(sample, 8) for program in (first, second))
    by_hand.load_state_dict(rename(loop.state_dict()))
    norms = []
    for model in (loop, by_hand):
        loss = model.loss(sample.minibatch(1, 7))
        loss.backward()
        gradients = [p.grad.to_dense().pow(2).sum().item() for p in model.parameters()]
        norms.append((loss.item(), sum(gradients)))
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)
