"""What the documentation shows is run, and where it points to exists.

In the pages, a fenced ``python`` block with ``>>>`` runs as a doctest and one without runs
as it stands, in order, in one namespace per page. ``python norun`` marks a block that
cannot run here (a GPU, a file of the reader's).
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import autobatch as ab

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "kernels/README.md"),
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples that write files write them in a folder of their own; settings are restored."""
    monkeypatch.chdir(tmp_path)
    ab.new_graph()
    with ab.configure(seed=1):
        yield


def run_doctest(text: str, names: dict[str, object], where: str, line: int = 0) -> None:
    test = doctest.DocTestParser().get_doctest(text, names, where, where, line)
    test.globs = names  # later blocks of a page see what earlier ones made
    report: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append, clear_globs=False)
    assert not report, "".join(report)


@pytest.mark.parametrize("page", PAGES)
def test_code_of_a_page_runs(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "page", "ab": ab, "np": np}
    for fence in FENCE.finditer(text):
        language, rest, code = fence.groups()
        if language != "python" or rest.split()[:1] in (["norun"], ["from"]):
            continue
        line = text.count("\n", 0, fence.start(3))
        if ">>>" in code:
            run_doctest(code, names, page, line)
        else:
            exec(compile("\n" * line + code, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES)
def test_quotation_is_in_the_file_that_it_names(page: str) -> None:
    for _, rest, code in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
        if rest.split()[:1] == ["from"]:
            source = ROOT / rest.split()[1]
            assert code in source.read_text(encoding="utf-8"), f"not in {source.name}:\n{code}"


HEADING = re.compile(r"^#+\s+(.*?)\s*$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def anchors(path: Path) -> set[str]:
    """The anchors that a page's headings get."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    plain = (re.sub(r"[`*]", "", heading).lower() for heading in HEADING.findall(text))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def public() -> dict[str, object]:
    """Everything that a user can name as ``ab.<name>`` or ``ab.<folder>.<name>``."""
    found: dict[str, object] = {}
    for holder in (ab, *(value for value in vars(ab).values() if inspect.ismodule(value))):
        if not holder.__name__.startswith("autobatch"):
            continue
        names = getattr(holder, "__all__", [])
        prefix = "" if holder is ab else holder.__name__.removeprefix("autobatch.") + "."
        for name in names:
            value = getattr(holder, name)
            if isinstance(value, types.ModuleType) or not callable(value):
                continue
            found.setdefault(prefix + name, value)
    return found


def documented() -> dict[str, str]:
    """Docstrings with examples, by dotted name: public names, their methods, the modules."""
    found: dict[str, str] = {}
    for module in pkgutil.walk_packages(ab.__path__, "autobatch."):
        if module.name.rpartition(".")[2].startswith("_") or module.name.endswith(".cuda"):
            continue
        loaded = importlib.import_module(module.name)
        found[module.name] = loaded.__doc__ or ""
        for name, value in vars(loaded).items():
            if getattr(value, "__module__", None) != module.name:
                continue
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{module.name}.{name}"] = value.__doc__ or ""
            if inspect.isclass(value):
                for method, body in vars(value).items():
                    doc = inspect.getdoc(body) if not method.startswith("__") else None
                    found[f"{module.name}.{name}.{method}"] = doc or ""
    found.update({f"ab.{name}": value.__doc__ or "" for name, value in public().items()})
    seen: set[str] = set()
    kept = {}
    for name, doc in found.items():
        if ">>>" in doc and doc not in seen:
            kept[name] = doc
            seen.add(doc)
    return kept


@pytest.mark.parametrize("name", DOCSTRINGS := documented())
def test_example_of_a_docstring_runs(name: str) -> None:
    names: dict[str, object] = {"__name__": "example", "ab": ab, "np": np}
    run_doctest(inspect.cleandoc(DOCSTRINGS[name]), names, name)


@pytest.mark.parametrize("name", public())
def test_public_name_has_a_docstring_with_an_example(name: str) -> None:
    value = public()[name]
    doc = value.__doc__ or ""
    assert doc.strip(), f"ab.{name} has no docstring"
    if inspect.isclass(value) and issubclass(value, Exception):
        return
    assert ">>>" in doc, f"ab.{name}: the docstring shows no example"


def test_version_is_that_of_the_package() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.*)"$', text, re.MULTILINE)
    assert found is not None
    assert ab.__version__ == found.group(1)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {ab.__version__}" in changes
