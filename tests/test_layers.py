"""The import order of the package, and the include order of its C, are what the docs say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import autobatch
from autobatch.ops import render

PACKAGE = Path(autobatch.__file__).resolve().parent
ROOT = Path(__file__).resolve().parent.parent

# Lowest first. A module may import modules of lower layers, and of its own. A folder
# stands for all modules in it; the longest match counts.
LAYERS = [
    ["errors", "config"],
    ["ops"],
    ["_core", "calls", "plain", "recording", "backends"],
    ["engine"],
    [
        *("functions", "elementary", "statistics", "losses", "randomness", "gradients"),
        *("selection", "convolution", "algebra", "initializers", "parameters", "protocol"),
    ],
    ["module", "updates", "schedules", "trainers", "nn", "files", "io"],
    ["explain", "testing", "twin", "dynet"],
]
# What a user's program imports: on top of everything.
TOP = "__init__"


def layer(module: str) -> int:
    """The layer of a dotted module name inside the package."""
    if module in ("", TOP):
        return len(LAYERS)
    first = module.split(".")[0]
    for number, names in enumerate(LAYERS):
        if first in names:
            return number
    raise AssertionError(f"autobatch.{module} has no layer yet: give it one in LAYERS")


def modules() -> dict[str, Path]:
    """Every Python module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[-1] == "__init__" and len(parts) > 1:
            parts.pop()
        found[".".join(parts)] = path
    return found


def runtime_imports(tree: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    """Import statements, without those that only a type checker sees."""
    found: list[ast.Import | ast.ImportFrom] = []
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo.extend(node.orelse)
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.append(node)
        todo.extend(ast.iter_child_nodes(node))
    return found


def inside(name: str, path: Path) -> list[tuple[int, str]]:
    """(line, module) of every import from inside the package."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    if name == TOP:
        package = []
    known = modules()
    found = []
    for node in runtime_imports(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "autobatch":
                    found.append((node.lineno, ".".join(alias.name.split(".")[1:])))
            continue
        module = node.module.split(".") if node.module else []
        if node.level:
            module = package[: len(package) - (node.level - 1)] + module
        elif module[:1] == ["autobatch"]:
            module = module[1:]
        else:
            continue
        for alias in node.names:  # `from . import engine` imports a module
            whole = ".".join([*module, alias.name])
            first = whole.split(".")[0]
            is_module = whole in known or (not module and first in ("_core",))
            found.append((node.lineno, whole if is_module else ".".join(module)))
    return found


@pytest.mark.parametrize("name", modules())
def test_layer_imports_lower_ones_only(name: str) -> None:
    own = layer(name)
    for line, other in inside(name, modules()[name]):
        if name.startswith("ops") and other == "":
            continue
        assert layer(other) <= own, (
            f"autobatch.{name}, line {line}: layer {own} imports autobatch.{other} "
            f"of layer {layer(other)}"
        )


@pytest.mark.parametrize("name", modules())
def test_cupy_is_imported_by_its_backend_alone(name: str) -> None:
    for node in runtime_imports(ast.parse(modules()[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [node.module or ""] if not node.level else []
        if any(imported.split(".")[0] == "cupy" for imported in names):
            assert name == "backends.cuda", f"line {node.lineno}"


@pytest.mark.parametrize("target", render.TARGETS, ids=lambda target: target.path)
def test_rendered_file_is_what_the_declarations_say(
    target: render.Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "KERNELS", ROOT / "kernels")  # not beside an installed package
    text = (ROOT / "kernels" / target.path).read_text(encoding="utf-8")
    assert text == render.render(target), "run python -m autobatch.ops.render"


INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)
C_FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for suffix in ("*.c", "*.h", "*.cu", "*.cuh")
    for path in (ROOT / "kernels").rglob(suffix)
)


@pytest.mark.parametrize("name", C_FILES)
def test_c_includes_the_common_headers_and_its_own_folder_only(name: str) -> None:
    path = ROOT / name
    folder = path.relative_to(ROOT / "kernels").parts[0]
    common = {p.name for p in (ROOT / "kernels" / "include").glob("*.h")}
    for bracket, header in INCLUDE.findall(path.read_text(encoding="utf-8")):
        if header.lower().startswith(("python", "numpy/", "structmember")):
            assert folder == "core", f"{header}: Python is seen by kernels/core alone"
            continue
        if bracket == "<" and not header.startswith("ab_"):
            continue  # of the C library or the compiler
        if header in common:
            continue
        target = (path.parent / header).resolve()
        allowed = [ROOT / "kernels" / folder, ROOT / "kernels" / "generated"]
        if not target.exists():  # found through an include path: must be of its own folder
            target = path.parent / Path(header).name
        assert target.exists(), f"{header} is found neither in include/ nor in {folder}/"
        assert any(target.is_relative_to(place) for place in allowed), (
            f"{header} belongs to another folder"
        )


TEXT = {".py", ".pyi", ".c", ".h", ".cu", ".md", ".toml", ".in", ".sh", ".yml", ".cfg", ""}
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|Users|work|mnt|opt|srv)/\w")


def test_no_file_names_a_path_of_one_machine() -> None:
    folders = ["autobatch", "kernels", "tests", "examples", "benchmarks", "docs", ".ci"]
    files = [p for p in ROOT.iterdir() if p.is_file()]
    for folder in folders:
        files += [p for p in (ROOT / folder).rglob("*") if p.is_file()]
    found = []
    for path in files:
        if path.suffix not in TEXT or "__pycache__" in path.parts:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for match in MACHINE_PATH.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{line}: {match.group()}...")
    assert not found, "\n".join(found)
