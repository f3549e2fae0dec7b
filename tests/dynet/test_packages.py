"""Packages written for DyNet train over the drop-in as they do over the wheel.

They are installed for the tests' time, into a folder of its own. Expected losses are those that
the same calls print under dyNET38 2.2.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import autobatch as ab

pytestmark = pytest.mark.slow

HERE = Path(ab.__file__).parents[1]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages, and with what they import beside DyNet."""
    folder = tmp_path_factory.mktemp("packages")
    wanted = ["nagisa==0.3.0", "uuparser==2.4", "six", "tqdm", "loguru"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run(
        [*command, str(folder), *wanted], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"packages cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    return folder


def _run(code: str, packages: Path, folder: Path, *arguments: str) -> str:
    (folder / "program.py").write_text(
        f"import sys\nsys.path[:0] = {[str(packages), str(HERE)]!r}\n"
        "import autobatch.dynet\nautobatch.dynet.install()\n" + code,
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_nagisa_tags_a_text_with_its_model(packages: Path, tmp_path: Path) -> None:
    printed = _run(
        "import nagisa\n"
        "found = nagisa.tagging('Pythonで簡単に使えるツールです')\n"
        "sys.stdout.reconfigure(encoding='utf-8')\n"
        "print(*(f'{w}/{t}' for w, t in zip(found.words, found.postags)))\n",
        packages,
        tmp_path,
    )
    expected = "Python/名詞 で/助詞 簡単/形状詞 に/助動詞 使える/動詞 ツール/名詞 です/助動詞"
    assert expected in printed


def test_nagisa_trains_as_over_dynet(packages: Path, tmp_path: Path) -> None:
    printed = _run(
        "import nagisa, os\n"
        "data = os.path.join(os.path.dirname(nagisa.__file__), 'data/sample_datasets/sample.')\n"
        "files = {f'{part}_file': data + part for part in ('train', 'dev', 'test')}\n"
        "nagisa.fit(**files, model_name='model', epoch=3)\n",
        packages,
        tmp_path,
    )
    losses = [float(found) for found in re.findall(r"^\d+\s+0\.100\s+([\d.]+)", printed, re.M)]
    assert losses == pytest.approx([36.07, 28.56, 24.86], abs=0.02)


def _sentence(i: int) -> str:
    nouns = ["dog", "cat", "bird", "tree", "house", "river", "child", "stone"]
    verbs, adjectives = ["sees", "likes", "finds", "hears", "takes"], ["old", "small", "green"]
    rows = [
        ("the", "DET", 3, "det"),
        (adjectives[i % 3], "ADJ", 3, "amod"),
        (nouns[i % 8], "NOUN", 4, "nsubj"),
        (verbs[i % 5], "VERB", 0, "root"),
        ("a", "DET", 6, "det"),
        (nouns[(3 * i + 1) % 8], "NOUN", 4, "obj"),
    ]
    if i % 2:
        rows += [("near", "ADP", 8, "case"), (nouns[(5 * i + 2) % 8], "NOUN", 4, "obl")]
    lines = [
        f"{k}\t{w}\t{w}\t{t}\t_\t_\t{h}\t{r}\t_\t_\n" for k, (w, t, h, r) in enumerate(rows, 1)
    ]
    return "".join(lines) + "\n"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [((), [13.983559, 14.257859]), (("--graph-based",), [0.136076, 0.087203])],
)
def test_uuparser_trains_as_over_dynet(
    packages: Path, tmp_path: Path, flags: tuple[str, ...], expected: list[float]
) -> None:
    (tmp_path / "train.conllu").write_text("".join(map(_sentence, range(40))), encoding="utf-8")
    (tmp_path / "out").mkdir()
    sizes = {"char-emb-size": 24, "word-emb-size": 20, "lstm-output-size": 30,
             "char-lstm-output-size": 12, "mlp-hidden-dims": 20, "dynet-seed": 1,
             "epochs": 2}  # fmt: skip
    printed = _run(
        "import uuparser.parser\nuuparser.parser.main()\n",
        packages,
        tmp_path,
        *("--outdir", "out", "--trainfile", "train.conllu", "--disable-pred-dev", *flags),
        *(f"--{name}={size}" for name, size in sizes.items()),
    )
    losses = [float(found) for found in re.findall(r"Loss: ([\d.]+)", printed)]
    assert losses == pytest.approx(expected, rel=1e-3)
