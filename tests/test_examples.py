"""The examples: readers, grammars, the oracle, the loop, and every example from end to end."""

from __future__ import annotations

import doctest
import itertools
import json
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from autobatch.errors import FileFormatError

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

from common import grammars, readers, training, transitions, vocabulary  # noqa: E402

NAMES = ["tree_lstm", "tagger", "language_model", "transition_parser"]


def rows(*heads: int) -> str:
    """A CoNLL-U sentence of so many words."""
    lines = (
        f"{place}\tw{place}\t_\tX\t_\t_\t{head}\t{'dep' if head else 'root'}\t_\t_\n"
        for place, head in enumerate(heads, start=1)
    )
    return "".join(lines) + "\n"


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


# ---- doctests


@pytest.mark.parametrize("module", [readers, grammars, vocabulary])
def test_doctests(module) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


# ---- readers: malformed files


@pytest.mark.parametrize(
    ("text", "line", "expected", "got"),
    [
        ("", None, "at least one tree", "an empty file"),
        ("(1 a)\n(1 (2 a)\n", 2, "1 more ')'", "the line's end"),
        ("(1 a) (2 b)\n", 1, "one tree a line", "'('"),
        ("\n\n1 a\n", 3, "'('", "'1'"),
        ("(x a)", 1, "a whole number as label", "'x'"),
        ("(-1 a)", 1, "a whole number as label", "'-1'"),
        ("(1 a b)", 1, "')'", "'b'"),
        ("(1)", 1, "one word or two trees", "0 trees"),
        ("()", 1, "one word or two trees", "0 trees"),
        ("(1 (2 a))", 1, "one word or two trees", "1 trees"),
        ("(1 (2 a) (2 a) (2 a))", 1, "one word or two trees", "3 trees"),
        ("(1 (2 a) b)", 1, "')'", "'b'"),
        ("((2 a) (2 a))", 1, "a label", "'('"),
        ("(1 a (2 b))", 1, "a label", "'('"),
        (")", 1, "'('", "')'"),
        ("(1 " * 1000, 1, "at most 300 levels", "more"),
    ],
)
def test_malformed_trees(tmp_path: Path, text: str, line: int | None, expected, got) -> None:
    check_message(readers.read_trees, write(tmp_path / "train.txt", text), line, expected, got)


@pytest.mark.parametrize(
    ("text", "line", "got"),
    [
        ("a|X\nb\n", 2, "'b'"),
        ("|X", 1, "'|X'"),
        ("a|", 1, "'a|'"),
        ("a|X b|Y c", 1, "'c'"),
    ],
)
def test_malformed_tags(tmp_path: Path, text: str, line: int, got: str) -> None:
    check_message(readers.read_tagged, write(tmp_path / "t", text), line, "word|tag", got)


GOOD = "1\tw\t_\tX\t_\t_\t0\troot\t_\t_\n"


@pytest.mark.parametrize(
    ("text", "line", "expected", "got"),
    [
        ("", None, "at least one sentence", "an empty file"),
        ("\n\n", None, "at least one sentence", "an empty file"),
        ("# only a comment\n\n", 1, "words", "comments"),
        ("1\tw\t_\n", 1, "10 columns", "3"),
        (GOOD.replace("\t", " "), 1, "10 columns separated by tabs", "1"),
        (GOOD.replace("w", ""), 1, "no empty column", "'1"),
        (GOOD.replace("1", "2"), 1, "word number 1", "'2'"),
        (GOOD.replace("1", "one"), 1, "word number 1", "'one'"),
        (GOOD + GOOD, 2, "word number 2", "'1'"),
        (GOOD.replace("\t0\t", "\t_\t"), 1, "a whole number as head", "'_'"),
        (GOOD.replace("\t0\t", "\t-1\t"), 1, "a whole number as head", "'-1'"),
        (GOOD.replace("\t0\t", "\t2\t"), 1, "from 0 to 1", "2"),
        (GOOD.replace("\t0\t", "\t1\t"), 1, "another word's number", "1"),
        (rows(0) + rows(2, 3, 2), 4, "heads that lead to the root", "a cycle"),
        (GOOD + "# late\n", 2, "comments before the words", "'# late'"),
        ("2-3" + GOOD[1:] + GOOD, 1, "a range that starts at 1", "'2-3'"),
        ("1-1" + GOOD[1:] + GOOD, 1, "a range that starts at 1", "'1-1'"),
        ("1-2" + GOOD[1:] + GOOD, 1, "a range that ends by 1", "the end 2"),
        ("1-2" + GOOD[1:] + "1-3" + GOOD[1:] + rows(0, 1, 1), 2, "a range", "'1-3'"),
        ("1.1" + GOOD[1:] + GOOD, 1, "empty node 0.1", "'1.1'"),
        ("0.1" + GOOD[1:] + "0.3" + GOOD[1:] + GOOD, 2, "empty node 0.2", "'0.3'"),
    ],
)
def test_malformed_conllu(tmp_path: Path, text: str, line: int | None, expected, got) -> None:
    check_message(readers.read_conllu, write(tmp_path / "d", text), line, expected, got)


def check_message(read: Callable, path: Path, line: int | None, expected: str, got: str) -> None:
    """The error names file and line, what was expected, what was found."""
    with pytest.raises(FileFormatError) as caught:
        read(path)
    place = re.escape(f"{path}:{line}: " if line else f"{path}: ")
    wanted = rf"{place}expected .*{re.escape(expected)}.*, got .*{re.escape(got)}"
    assert re.match(wanted, str(caught.value)), caught.value


READ = [readers.read_trees, readers.read_tagged, readers.read_words, readers.read_conllu]


@pytest.mark.parametrize("read", READ)
def test_unreadable_files(tmp_path: Path, read: Callable) -> None:
    check_message(read, tmp_path / "absent.txt", None, "a readable file", "No such file")
    check_message(read, tmp_path, None, "a readable file", "Is a directory")
    (tmp_path / "latin").write_bytes(b"(1 a)\n(1 caf\xe9)\n")
    check_message(read, tmp_path / "latin", 2, "UTF-8 text", "byte 0xe9")


def test_find_split(tmp_path: Path) -> None:
    check_message(
        lambda path: readers.find_split(path, "train.txt"),
        tmp_path / "absent",
        None,
        "a directory that holds train.txt",
        "no such directory",
    )
    write(tmp_path / "other.txt", "")
    with pytest.raises(FileFormatError, match=r"train\.txt: expected a file.*other\.txt"):
        readers.find_split(tmp_path, "train.txt")


# Pieces that make malformed files likely to come close to well-formed ones.
PIECES = st.lists(
    st.sampled_from(
        ["(", ")", "1", " ", "a|X", "|", "\n", "\n\n", "\t", "_", "#", "1-2", "1.1", "0", "2",
         "\r\n", "\ufeff", "\x85", "\u2028", GOOD, rows(2, 0), rows(3, 4, 0, 3), "\u00e9"]
    )
    | st.text(max_size=3),
    max_size=12,
).map("".join)  # fmt: skip


def error_of(parse: Callable, text: object) -> str | None:
    """The message of the error that `parse` raises, if it raises that of a malformed file."""
    try:
        parse(text)
    except FileFormatError as error:
        return str(error)
    return None


@given(PIECES)
def test_any_text_is_read_or_refused(text: str) -> None:
    """No other exception, whatever the text; what is read as CoNLL-U is written as it was."""
    for parse in (readers.parse_tree, readers.parse_tagged):
        assert (error_of(parse, text) or "<text>:1: expected ").startswith("<text>:1: expected ")
    lines = text.splitlines(keepends=True)
    error = error_of(readers.parse_conllu, lines)
    if error is None:
        assert "".join(map(str, readers.parse_conllu(lines))) == text
    else:
        assert re.match(r"<text>(:\d+)?: expected ", error)


# ---- readers: well-formed files

LABELS = st.integers(0, 9)
TREES = st.recursive(
    st.builds(readers.Tree, LABELS, st.text("ab[|]-'\u00a0\u00e9", min_size=1, max_size=4)),
    lambda trees: st.builds(readers.Tree, LABELS, st.none(), st.tuples(trees, trees)),
    max_leaves=8,
)


@given(TREES)
def test_trees_round_trip(tree: readers.Tree) -> None:
    assert readers.parse_tree(str(tree)) == tree
    assert len(tree.words()) == (len(list(tree.nodes())) + 1) // 2


def test_words_are_those_of_the_tagged_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t", "\ufeffa|b|X c|Y\r\n\r\n d|X\n")
    assert readers.read_tagged(path) == [[("a|b", "X"), ("c", "Y")], [("d", "X")]]
    assert readers.read_words(path) == [["a|b", "c"], ["d"]]
    assert readers.read_words(write(path, "a b\nc | d\n")) == [["a", "b"], ["c", "|", "d"]]


CONLLU = (
    "# sent_id = 1\n"
    "1-2\tIt's\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n"
    "1\tIt\tit\tPRON\tPRP\t_\t3\tnsubj\t3:nsubj\t_\n"
    "2\t's\tbe\tAUX\tVBZ\t_\t3\tcop\t3:cop\t_\n"
    "2.1\tso\tso\tADV\t_\t_\t_\t_\t3:advmod\t_\n"
    "3\tgood news\tgood\tADJ\tJJ\tDegree=Pos\t0\troot\t0:root\t_\n"
    "\n"
    "# text = Yes\n"
    "1\tYes\tyes\tINTJ\tUH\t_\t0\troot\t0:root\t_\n"
    "\n"
)


@pytest.mark.parametrize(
    "text",
    [CONLLU, CONLLU[:-1], CONLLU[:-2], "\n" + CONLLU, CONLLU.replace("\n", "\r\n"),
     "\ufeff" + CONLLU, CONLLU.replace("\n\n", "\n\n\n")],
    ids=["usual", "no blank line", "no line end", "blank first", "crlf", "byte order mark", "gaps"],
)  # fmt: skip
def test_conllu_round_trip(tmp_path: Path, text: str) -> None:
    sentences = readers.read_conllu(write(tmp_path / "in", text))
    assert [sentence.heads for sentence in sentences] == [[3, 3, 0], [0]]
    same = [s.with_arcs([(w.head, w.relation) for w in s.words]) for s in sentences]
    readers.write_conllu(tmp_path / "out", same)
    assert (tmp_path / "out").read_bytes() == text.encode()


def test_conllu_keeps_what_the_parser_does_not_know(tmp_path: Path) -> None:
    first, second = readers.read_conllu(write(tmp_path / "in", CONLLU))
    changed = first.with_arcs([(2, "nsubj"), (0, "root"), (2, "advcl")])
    readers.write_conllu(tmp_path / "out", [changed, second])
    old, new = CONLLU.split("\n"), (tmp_path / "out").read_text().split("\n")
    assert [place for place, (a, b) in enumerate(zip(old, new)) if a != b] == [2, 3, 5]
    assert new[3] == "2\t's\tbe\tAUX\tVBZ\t_\t0\troot\t_\t_"
    assert readers.read_conllu(tmp_path / "out") == [changed, second]


def test_conllu_sentences_in_another_order(tmp_path: Path) -> None:
    """The file's last sentence may lack its blank line, but not when another follows."""
    for text in (CONLLU[:-1], CONLLU[:-2]):
        sentences = readers.read_conllu(write(tmp_path / "in", text))
        readers.write_conllu(tmp_path / "out", sentences[::-1])
        again = readers.read_conllu(tmp_path / "out")
        assert [s.words for s in again] == [s.words for s in sentences[::-1]]


# ---- the oracle


def all_trees(length: int) -> list[tuple[int, ...]]:
    """Every tree of so many words, as heads."""
    found = []
    for heads in itertools.product(range(length + 1), repeat=length):
        try:
            readers.check_tree(list(heads), list(range(length)), "")
        except FileFormatError:
            continue
        found.append(heads)
    return found


def crosses(heads: tuple[int, ...]) -> bool:
    """Whether any two arcs cross, by the definition."""
    arcs = [tuple(sorted(arc)) for arc in enumerate(heads, start=1)]
    return any(a < c < b < d for (a, b), (c, d) in itertools.product(arcs, repeat=2))


def follow(sentence: readers.Sentence) -> list[tuple[int, str]]:
    """The arcs that the oracle's transitions draw, each being legal."""
    configuration = transitions.Configuration(len(sentence.words))
    for transition in transitions.oracle(sentence):
        assert configuration.legal(transition)
        assert not configuration.forced or transition.kind == transitions.SHIFT
        configuration.apply(transition)
    assert configuration.done
    return configuration.result()


def test_oracle_on_every_small_tree() -> None:
    """There are (n + 1)^(n - 1) trees; the oracle reaches the projective ones of one root."""
    for length in range(1, 6):
        trees = all_trees(length)
        assert len(trees) == (length + 1) ** (length - 1)
        for heads in trees:
            assert readers.is_projective(heads) == (not crosses(heads))
            (sentence,) = readers.parse_conllu(rows(*heads).splitlines(keepends=True))
            if not crosses(heads) and heads.count(0) == 1:
                assert transitions.has_oracle(sentence)
                assert [head for head, _ in follow(sentence)] == list(heads)
            else:
                assert not transitions.has_oracle(sentence)
                with pytest.raises(ValueError, match="not projective, or not one root"):
                    transitions.oracle(sentence)


@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_any_legal_transitions_end_in_a_projective_tree(length: int, random) -> None:
    configuration = transitions.Configuration(length)
    kinds = [transitions.Transition(kind, "x") for kind in ("SHIFT", "LEFT", "RIGHT")]
    steps = 0
    while not configuration.done:
        configuration.apply(random.choice([t for t in kinds if configuration.legal(t)]))
        steps += 1
    heads = [head for head, _ in configuration.result()]
    assert steps == 2 * length - 1
    assert heads.count(0) == 1
    readers.check_tree(heads, heads, "")
    assert readers.is_projective(heads)


def test_attachment() -> None:
    gold = readers.parse_conllu(rows(2, 0, 2).splitlines(keepends=True))
    assert transitions.attachment(gold, [[(2, "dep"), (0, "root"), (2, "obj")]]) == {
        "las": 2 / 3,
        "uas": 1.0,
    }


@pytest.fixture(scope="module")
def data() -> Path:
    """The directory of measuring data, with trees/, tags/ and dependencies/ in it."""
    if "AUTOBATCH_DATA" not in os.environ:
        pytest.skip("AUTOBATCH_DATA names no directory of data")
    return Path(os.environ["AUTOBATCH_DATA"])


@pytest.mark.parametrize("split", ["train", "dev"])
def test_oracle_on_real_data(data: Path, tmp_path: Path, split: str) -> None:
    path = data / "dependencies" / f"{split}.conllu"
    sentences = readers.read_conllu(path)
    usable = [sentence for sentence in sentences if transitions.has_oracle(sentence)]
    assert len(usable) > 0.95 * len(sentences)
    for sentence in usable:
        assert follow(sentence) == [(word.head, word.relation) for word in sentence.words]
    readers.write_conllu(tmp_path / "out", sentences)
    assert (tmp_path / "out").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("split", ["train", "dev"])
def test_readers_on_real_data(data: Path, split: str) -> None:
    path = data / "trees" / f"{split}.txt"
    trees = readers.read_trees(path)
    assert "".join(f"{tree}\n" for tree in trees) == path.read_text()
    path = data / "tags" / f"{split}.txt"
    tagged = readers.read_tagged(path)
    assert readers.read_words(path) == [[word for word, _ in sentence] for sentence in tagged]


# ---- the data that examples make


@pytest.mark.parametrize(
    "make", [grammars.listops, grammars.tagged, grammars.language, grammars.dependencies]
)
def test_made_data_follow_their_seed(make: Callable) -> None:
    train, dev, *_ = make(60, 20, seed=3)
    assert (len(train), len(dev)) == (60, 20)
    assert make(60, 20, seed=3)[:2] == (train, dev)
    assert make(60, 20, seed=4)[0] != train
    if make is not grammars.language:
        assert not {str(example) for example in train} & {str(example) for example in dev}
        assert len({str(example) for example in dev}) == 20


def test_listops_labels_are_the_values() -> None:
    for tree in grammars.listops(200, 50, seed=0)[0]:
        for node in tree.nodes():
            assert node.label == grammars.listops_value(node)
        assert readers.parse_tree(str(tree)) == tree


def test_made_dependencies_are_projective() -> None:
    for sentence in grammars.dependencies(200, 20, seed=0)[0]:
        assert transitions.has_oracle(sentence)
        assert len(follow(sentence)) == len(sentence.words)


def test_made_language_is_unambiguous() -> None:
    """A sentence has one probability, however often it is drawn, and it is about its frequency."""
    rng = np.random.default_rng(0)
    seen: dict[str, list[float]] = {}
    for _ in range(20_000):
        words, log_probability = grammars.language_sentence(rng)
        seen.setdefault(" ".join(words), []).append(log_probability)
    assert all(max(values) - min(values) < 1e-9 for values in seen.values())
    often = [values for values in seen.values() if len(values) >= 2]
    expected = 20_000 * sum(np.exp(values[0]) for values in seen.values())
    assert often
    # The probabilities of the sentences that were drawn sum to less than one.
    assert 0 < expected < 20_000


def test_vocabulary() -> None:
    words = vocabulary.Vocabulary(
        ["a", "a", "a", "b", "b", "c", "d"], minimum=1, maximum=3, extra=["</s>"]
    )
    assert list(words) == ["<unknown>", "</s>", "a", "b", "c"]
    assert words.rows(["a", "z", "</s>"]) == [2, 0, 1]
    rng = np.random.default_rng(0)
    drawn = [words.row("c", rng) for _ in range(200)]
    assert 60 < drawn.count(0) < 140
    assert words.row("b", rng) == 3
    assert len(vocabulary.Vocabulary(["a", "a", "b"], minimum=2)) == 2


# ---- flags


def start(name: str, *arguments: object, cwd: Path) -> subprocess.Popen:
    """An example, as a user starts it, with warnings as errors."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, stdout=pipe, stderr=pipe, text=True)


def run(name: str, *arguments: object, cwd: Path, code: int = 0) -> str:
    """Run an example to its end; what it printed (the error, where `code` says that it fails)."""
    process = start(name, *arguments, cwd=cwd)
    out, err = process.communicate(timeout=500)
    assert process.returncode == code, err or out
    # There is no terminal, so no progress bar: what is on stderr is an error.
    assert bool(err) == bool(code), err
    return err if code else out


def metrics(path: Path) -> list[dict]:
    """The lines of a --json file without the times."""
    times = {"seconds", "sentences_per_second"}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        assert line["seconds"] > 0
        assert line["sentences_per_second"] > 0
    return [{key: value for key, value in line.items() if key not in times} for line in lines]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "-1"], "--epochs: expected a whole number from 0, got '-1'"),
        (["--batch-size", "0"], "--batch-size: expected a whole number from 1, got '0'"),
        (["--dim", "many"], "--dim: expected a whole number from 1, got 'many'"),
        (["--learning-rate", "nan"], "--learning-rate: expected a number above 0, got 'nan'"),
        (["--dropout", "1"], "--dropout: expected a number from 0 to below 1, got '1'"),
        (["--speed", "11"], "unrecognized arguments: --speed 11"),
        (["--save", "no/such/place"], "--save no/such/place: not a file in a directory"),
        (["--json", "."], "--json .: not a file in a directory"),
        (["--resume", "absent"], "--resume absent: no such file"),
        (["--strategy", "wishful"], "wishful"),
        (["--data", "absent"], "absent: expected a directory that holds train.txt"),
    ],
)
def test_bad_flags_give_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    error = run("tree_lstm", *arguments, cwd=tmp_path, code=training.BAD_INPUT)
    assert error.startswith("tree_lstm.py: error: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_bad_data_give_one_line(tmp_path: Path, name: str) -> None:
    suffix = "conllu" if name == "transition_parser" else "txt"
    for split in ("train", "dev"):
        (tmp_path / f"{split}.{suffix}").write_bytes(b"\n\xff\n")
    error = run(name, "--data", tmp_path, cwd=tmp_path, code=training.BAD_INPUT)
    assert error == (
        f"{name}.py: error: {tmp_path}/train.{suffix}:2: expected UTF-8 text, got byte 0xff\n"
    )


@pytest.mark.parametrize("name", NAMES)
def test_help(tmp_path: Path, name: str) -> None:
    text = run(name, "--help", cwd=tmp_path)
    for flag in ("data", "epochs", "batch-size", "dim", "seed", "save", "resume", "strategy",
                 "json", "threads", "learning-rate", "patience"):  # fmt: skip
        assert f"--{flag} " in text


# ---- from end to end

SMALL = ["--limit", 48, "--dim", 8, "--batch-size", 16]


@pytest.mark.parametrize("name", NAMES)
def test_small_run(tmp_path: Path, name: str) -> None:
    """Losses fall, every epoch is told, the final line compares with a baseline."""
    path = tmp_path / "metrics.json"
    out = run(name, *SMALL, "--epochs", 3, "--json", path, cwd=tmp_path).splitlines()
    lines = metrics(path)
    metric = {"language_model": "perplexity", "transition_parser": "las"}.get(name, "dev_accuracy")
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[2]["train_loss"] < lines[0]["train_loss"]
    assert all(metric in line for line in lines)
    assert len(out) == 4
    assert re.match(rf"{name}: {metric} [\d.]+ \(baseline [\d.]+\).*; baseline: \w", out[-1])


def test_progress_bar_on_a_terminal(tmp_path: Path) -> None:
    """Where stderr is a terminal there is a bar; `run` checks that there is none elsewhere."""
    pytest.importorskip("tqdm")
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    terminal, end = os.openpty()
    # A terminal just opened has no width, and a bar needs some.
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [sys.executable, EXAMPLES / "tree_lstm.py", *map(str, SMALL), "--epochs", "1"]
    subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=end, check=True)
    os.close(end)
    assert b"epoch 1:   0%" in os.read(terminal, 1 << 16)
    os.close(terminal)


def contents(path: Path) -> dict:
    """All that a saved file holds; its bytes may be in another order."""
    with safe_open(path, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return {
            "header": file.metadata(),
            "arrays": {name: (a.shape, a.dtype, a.tobytes()) for name, a in arrays.items()},
        }


@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])]
)
def test_resumed_run_gives_the_same_numbers(tmp_path: Path, name: str) -> None:
    """Two epochs, and one and then another: the same metrics, the same files bit for bit."""
    whole, half = [*SMALL, "--epochs", 2], [*SMALL, "--epochs", 1]
    run(name, *whole, "--json", "a.json", "--save", "a", cwd=tmp_path)
    run(name, *half, "--json", "b.json", "--save", "b", cwd=tmp_path)
    run(name, *whole, "--json", "b.json", "--save", "b", "--resume", "b", cwd=tmp_path)
    assert metrics(tmp_path / "a.json") == metrics(tmp_path / "b.json")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a.best") == contents(tmp_path / "b.best")


def test_same_seed_same_numbers(tmp_path: Path) -> None:
    for path, seed in (("a", 7), ("b", 7), ("c", 8)):
        arguments = ["--epochs", 1, "--seed", seed, "--json", path, "--dropout", 0.2]
        run("tree_lstm", *SMALL, *arguments, cwd=tmp_path)
    a, b, c = (metrics(tmp_path / path) for path in "abc")
    assert a == b
    assert a != c


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT between processes")
def test_interrupted_run_goes_on(tmp_path: Path) -> None:
    """Ctrl-C in the middle of an epoch loses nothing."""
    arguments = ["--limit", 600, "--dim", 8, "--batch-size", 8, "--patience", 99]
    process = start("tree_lstm", *arguments, "--epochs", 50, "--save", "b", "--json", "b.json",
                    cwd=tmp_path)  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("epoch   1 ")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == training.INTERRUPTED
    match = re.fullmatch(
        r"tree_lstm\.py: interrupted in epoch (\d+), step \d+; go on with --resume b\n", err
    )
    assert match, err
    epochs = int(match[1])
    run("tree_lstm", *arguments, "--epochs", epochs, "--save", "b", "--json", "b.json",
        "--resume", "b", cwd=tmp_path)  # fmt: skip
    run("tree_lstm", *arguments, "--epochs", epochs, "--json", "a.json", cwd=tmp_path)
    assert metrics(tmp_path / "a.json") == metrics(tmp_path / "b.json")


def test_resuming_checks_what_was_saved(tmp_path: Path) -> None:
    run("tree_lstm", *SMALL, "--epochs", 1, "--save", "a", cwd=tmp_path)
    other = [*SMALL, "--epochs", 2, "--resume", "a", "--dim", 16]
    error = run("tree_lstm", *other, cwd=tmp_path, code=training.BAD_INPUT)
    assert "--resume a: saved with --dim 8, which is 16 now" in error
    error = run("tagger", *SMALL, "--resume", "a", cwd=tmp_path, code=training.BAD_INPUT)
    assert "saved with example tree_lstm, which is tagger now" in error
    write(tmp_path / "a", "not a model")
    error = run("tree_lstm", *SMALL, "--resume", "a", cwd=tmp_path, code=training.BAD_INPUT)
    assert error.startswith("tree_lstm.py: error: ")
    assert error.count("\n") == 1


def test_early_stopping(tmp_path: Path) -> None:
    """A run ends when there is nothing to gain any more, and the best epoch is told."""
    text = "(1 (0 a) (0 b))\n"
    for split in ("train", "dev"):
        write(tmp_path / f"{split}.txt", 8 * text)
    out = run("tree_lstm", "--data", tmp_path, "--dim", 4, "--epochs", 99, "--patience", 3,
              "--batch-size", 1, "--learning-rate", 0.1, cwd=tmp_path).splitlines()  # fmt: skip
    assert "dev_accuracy 1.0000" in out[-1]
    match = re.search(r"epoch (\d+) of (\d+)", out[-1])
    assert match
    assert int(match[2]) == len(out) - 1 < 99
    assert int(match[2]) == int(match[1]) + 3


def test_parser_writes_what_it_parsed(tmp_path: Path) -> None:
    """Skipped sentences are counted; ranges, empty nodes and comments come out as they went in."""
    for split in ("train", "dev"):
        write(tmp_path / f"{split}.conllu", 4 * CONLLU + rows(3, 4, 0, 3) + rows(0, 0))
    out = run("transition_parser", "--data", tmp_path, "--dim", 8, "--epochs", 2, "--output",
              "out.conllu", "--json", "a.json", cwd=tmp_path)  # fmt: skip
    assert out.startswith("2 of 10 training sentences are left out: not projective")
    gold = readers.read_conllu(tmp_path / "dev.conllu")
    predicted = readers.read_conllu(tmp_path / "out.conllu")
    for before, after in zip(gold, predicted, strict=True):
        assert [line.split("\t")[:6] for line in before.lines] == [
            line.split("\t")[:6] for line in after.lines
        ]
        assert after.heads.count(0) == 1
    arcs = [[(word.head, word.relation) for word in sentence.words] for sentence in predicted]
    best = max(line["las"] for line in metrics(tmp_path / "a.json"))
    assert transitions.attachment(gold, arcs)["las"] == best
    assert f"las {best:.4f}" in out.splitlines()[-1]


def test_parser_only_parses(tmp_path: Path) -> None:
    """A saved model, no epochs: measured and written, not trained."""
    run("transition_parser", *SMALL, "--epochs", 1, "--save", "a", "--output", "x", cwd=tmp_path)
    run("transition_parser", *SMALL, "--epochs", 0, "--resume", "a", "--output", "y", cwd=tmp_path)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "metric", "least"),
    [
        ("tree_lstm", "dev_accuracy", 0.9),
        ("tagger", "dev_accuracy", 0.95),
        ("language_model", "perplexity", -6.5),
        ("transition_parser", "las", 0.9),
    ],
)
def test_default_run_learns(tmp_path: Path, name: str, metric: str, least: float) -> None:
    """What a user sees who starts an example without any flag."""
    out = run(name, "--json", "a.json", cwd=tmp_path)
    sign = -1 if least < 0 else 1
    best = max(sign * line[metric] for line in metrics(tmp_path / "a.json"))
    assert best > least
    match = re.search(rf"{metric} ([\d.]+) \(baseline ([\d.]+)\)", out.splitlines()[-1])
    assert match
    assert sign * float(match[1]) > sign * float(match[2])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "folder", "metric"),
    [
        ("tree_lstm", "trees", "dev_accuracy"),
        ("tagger", "tags", "dev_accuracy"),
        ("language_model", "tags", "perplexity"),
        ("transition_parser", "dependencies", "las"),
    ],
)
def test_real_data(data: Path, tmp_path: Path, name: str, folder: str, metric: str) -> None:
    """One epoch over the first sentences of real files: the loss falls well below chance."""
    out = run(name, "--data", data / folder, "--limit", 1000, "--epochs", 2, "--json", "a.json",
              cwd=tmp_path)  # fmt: skip
    lines = metrics(tmp_path / "a.json")
    assert lines[1]["train_loss"] < lines[0]["train_loss"]
    assert metric in out.splitlines()[-1]
