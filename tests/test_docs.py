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
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import autobatch as ab
from autobatch.ops import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "kernels/README.md"),
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _own_folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Examples that write files write them in a folder of their own; settings are restored."""
    monkeypatch.chdir(tmp_path)
    ab.new_graph()
    if "dynet" in request.node.name:  # its expressions belong to graphs that it begins
        from autobatch.dynet import renew_cg

        renew_cg()
    finders, modules = [*sys.meta_path], {name: sys.modules.pop(name, None) for name in _DYNET}
    with ab.configure(seed=1):
        yield
    sys.meta_path[:] = finders  # an example may have installed the drop-in
    for name, module in modules.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


_DYNET = ("dynet", "_dynet", "dynet_config", "dynet_viz")


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


def test_reference_pages_leave_examples_to_docstrings() -> None:
    """There they are run."""
    assert not [p.name for p in (ROOT / "docs").rglob("*.rst") if ">>>" in p.read_text("utf-8")]


@pytest.mark.parametrize("page", PAGES)
def test_quotation_is_in_the_file_that_it_names(page: str) -> None:
    for _, rest, code in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
        if rest.split()[:1] == ["from"]:
            name = rest.split()[1]
            package = name.startswith("autobatch/")  # it is installed, perhaps without its source
            source = (Path(ab.__file__).parents[1] if package else ROOT) / name
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
        target = (path.parent / name).resolve() if name else path
        if target.is_relative_to(ROOT / "autobatch"):  # it lies where it is installed
            target = Path(ab.__file__).parent / target.relative_to(ROOT / "autobatch")
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def public() -> dict[str, object]:
    """Everything that a user can call as ``ab.<name>`` or ``ab.<module>.<name>``."""
    found: dict[str, object] = {}
    modules = [value for value in vars(ab).values() if inspect.ismodule(value)]
    for holder in (ab, *(module for module in modules if module.__name__.startswith("autobatch"))):
        names = getattr(holder, "__all__", [name for name in vars(holder) if name[0] != "_"])
        prefix = "" if holder is ab else holder.__name__.removeprefix("autobatch.") + "."
        for name in names:
            value = getattr(holder, name)
            ours = (getattr(value, "__module__", None) or "autobatch").startswith("autobatch")
            if ours and callable(value) and not any(value is other for other in found.values()):
                found[prefix + name] = value
    return found


def documented() -> dict[str, tuple[str, dict[str, object]]]:
    """Docstrings with examples, and the names that these may use: those of their module."""
    found: dict[str, tuple[str, dict[str, object]]] = {}
    backends = [f"{ab.__name__}.backends.{name}" for name in ("cpu", "formula", "rows")]
    for module in [*(m.name for m in pkgutil.walk_packages(ab.__path__, "autobatch.")), *backends]:
        if module.rpartition(".")[2].startswith("_"):
            continue
        loaded = importlib.import_module(module)
        places = {module: inspect.getdoc(loaded)}
        for name, value in vars(loaded).items():
            if getattr(value, "__module__", None) != module:
                continue
            if inspect.isclass(value) or inspect.isroutine(value):
                places[f"{module}.{name}"] = inspect.getdoc(value)
            if inspect.isclass(value):
                for method, body in vars(value).items():
                    if not method.startswith("__"):
                        places[f"{module}.{name}.{method}"] = inspect.getdoc(body)
        found.update({name: (doc or "", vars(loaded)) for name, doc in places.items()})
    found.update({f"ab.{name}": (inspect.getdoc(v) or "", {}) for name, v in public().items()})
    found.update({f"op {op.name}": (inspect.cleandoc(op.doc), {}) for op in REGISTRY.values()})
    kept: dict[str, tuple[str, dict[str, object]]] = {}
    for name, (doc, names) in found.items():
        if ">>>" in doc and all(doc != other for other, _ in kept.values()):
            kept[name] = (doc, names)
    return kept


DOCSTRINGS = documented()


@pytest.mark.parametrize("name", DOCSTRINGS)
def test_example_of_a_docstring_runs(name: str) -> None:
    doc, names = DOCSTRINGS[name]
    run_doctest(doc, {"ab": ab, "np": np, **names}, name)


@pytest.mark.parametrize("name", [name for name in public() if "." not in name])
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
