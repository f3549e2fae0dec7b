"""Renders the elementwise kernels from the declarations.

Each op with a C expression becomes a few functions of one number per operand: its value
and its local derivatives. The loops around them are written by hand, once for each kind
of device; a device is a :class:`Target`: a file, its heading, and the text of one op.

Run ``python -m autobatch.ops.render`` after a change to an elementwise declaration, and
commit what it writes; ``--check`` writes nothing and fails where a file is out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .declare import REGISTRY, Op

KERNELS = Path(__file__).resolve().parents[2] / "kernels"

OPERANDS = ("a", "b", "c")
MAX_ATTRS = 2

# Functions that vectorise only for some arguments: the test that tells the others, and the
# function that takes them all.
RARE = {"ab_sin": ("ab_trig_large", "ab_sin_any"), "ab_cos": ("ab_trig_large", "ab_cos_any")}


class ExpressionError(ValueError):
    """A declaration whose C expression cannot be rendered."""


@dataclass(frozen=True)
class Elementwise:
    """What the text of one op is made of.

    Attributes:
        name: of the op.
        operands: how many.
        attrs: how many float attributes.
        value: C expression of the value.
        gradients: per operand the C expression of the local derivative, or None.
        rare: C expression that tells the arguments which `value` and `gradients` cannot
            take; None if they take all.
    """

    name: str
    operands: int
    attrs: int
    value: str
    gradients: tuple[str | None, ...]
    rare: str | None


@dataclass(frozen=True)
class Target:
    """A file that is rendered: its path under ``kernels``, its heading, one op, all names."""

    path: str
    heading: str
    op: Callable[[Elementwise], str]
    listing: Callable[[list[str]], str]


@cache
def functions() -> frozenset[str]:
    """Names of the functions that expressions may call: those of ``kernels/cpu/vmath.h``."""
    text = (KERNELS / "cpu" / "vmath.h").read_text()
    return frozenset(re.findall(r"^(ab_\w+)\(real", text, flags=re.MULTILINE))


def checked(op: str, expression: str, names: set[str]) -> str:
    """`expression`, if it uses `names` and functions of vmath.h only, and typed constants.

    Raises:
        ExpressionError: an unknown name or function, or a number without ``(real)``: C would
            take it as a double and compute a float kernel in double precision.

    Example:
        >>> checked("twice", "(real)2 * a", {"a"})
        '(real)2 * a'
    """
    for name in re.findall(r"\b[A-Za-z_]\w*", expression):
        if name not in names and name != "real" and name not in functions():
            known = ", ".join(sorted(names | functions()))
            raise ExpressionError(f"{op}: unknown name {name!r} in {expression!r}; use {known}")
    bare = re.sub(r"\(real\)\s*-?\s*[\d.]+(e-?\d+)?", "", expression)
    number = re.search(r"(?<![\w.])\.?\d[\w.]*", bare)
    if number:
        raise ExpressionError(
            f"{op}: write (real){number[0]} for the number {number[0]} in {expression!r}"
        )
    return expression


def calls(function: str, expression: str) -> list[str]:
    """The arguments with which `expression` calls `function` of one argument.

    Example:
        >>> calls("ab_sin", "ab_sin(a * (b + c)) + ab_sin(a)")
        ['a * (b + c)', 'a']
    """
    arguments = []
    for match in re.finditer(rf"\b{function}\(", expression):
        depth, end = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(expression[end], 0)
            end += 1
        arguments.append(expression[match.end() : end - 1])
    return arguments


def rare_test(expressions: list[str]) -> str | None:
    """C expression that is true where one of `expressions` needs its rare form."""
    tests: list[str] = []
    for expression in expressions:
        for function, (test, _) in RARE.items():
            tests += [f"{test}({argument})" for argument in calls(function, expression)]
    return " || ".join(dict.fromkeys(tests)) or None


def rare_form(expression: str) -> str:
    """`expression` with the functions that take all arguments.

    Example:
        >>> rare_form("ab_sin(a) * b")
        'ab_sin_any(a) * b'
    """
    for function, (_, general) in RARE.items():
        expression = re.sub(rf"\b{function}\(", f"{general}(", expression)
    return expression


def elementwise(op: Op) -> Elementwise:
    """Checks a declaration and collects what a template needs.

    Raises:
        ExpressionError: too many operands or attributes, or an expression that is not C
            as the kernels understand it.
    """
    assert op.expression is not None
    operands, attrs = len(op.inputs), len(op.attrs)
    if operands > len(OPERANDS) or op.variadic:
        raise ExpressionError(f"{op.name}: at most {len(OPERANDS)} operands, got {op.inputs}")
    if attrs > MAX_ATTRS or any(kind != "float" for _, kind in op.attrs):
        raise ExpressionError(
            f"{op.name}: at most {MAX_ATTRS} attributes, all floats, got {op.attrs}"
        )
    if len(op.gradients) != operands:
        raise ExpressionError(
            f"{op.name}: expected {operands} gradients (None where there is none), "
            f"got {len(op.gradients)}"
        )
    names = {*OPERANDS[:operands], *(f"p{i}" for i in range(attrs))}
    value = checked(op.name, op.expression, names)
    gradients = tuple(
        None if gradient is None else checked(op.name, gradient, names | {"y"})
        for gradient in op.gradients
    )
    used = [value, *(gradient for gradient in gradients if gradient is not None)]
    return Elementwise(op.name, operands, attrs, value, gradients, rare_test(used))


def cpu_op(op: Elementwise) -> str:
    """The functions of one op for ``kernels/cpu/elementwise.inc.c``."""
    lines: list[str] = []

    def function(heading: str, expression: str) -> None:
        lines.extend([heading, "{", f"    return {expression};", "}", ""])

    suffix = "_RARE" if op.rare else ""
    if op.rare:
        function(f"AB_RARE({op.name})", op.rare)
        function(f"AB_RARE_VALUE({op.name})", rare_form(op.value))
    function(f"AB_VALUE({op.name})", op.value)
    gradients = []
    for j, gradient in enumerate(op.gradients):
        if gradient is None:
            gradients.append("NULL")
            continue
        if op.rare:
            function(f"AB_RARE_DERIVATIVE({op.name}, {j})", rare_form(gradient))
        function(f"AB_DERIVATIVE({op.name}, {j})", gradient)
        gradients.append(f"{op.name}_gradient_{j}")
    lines.append(f"AB_FORWARD{suffix}({op.name}, {op.operands})")
    for j, gradient in enumerate(op.gradients):
        if gradient is not None:
            lines.append(f"AB_GRADIENT{suffix}({op.name}, {op.operands}, {j})")
    lines.append(f"AB_ELEMENTWISE({op.name}, {op.operands}, {op.attrs}, {', '.join(gradients)})")
    lines.append(f"AB_READS({op.name}, {', '.join(map(reads, op.gradients))})")
    return "\n".join(lines) + "\n"


def reads(gradient: str | None) -> str:
    """The C constant that tells which rows a gradient looks at: operands by bit, and y."""
    words = set(re.findall(r"[A-Za-z_]\w*", gradient or ""))
    bits = [f"1u << {j}" for j, name in enumerate(OPERANDS) if name in words]
    return " | ".join(bits + ["AB_READS_Y"] * ("y" in words)) or "0"


def cpu_listing(names: list[str]) -> str:
    """The entries of the kernel table."""
    lines = ["#define AB_ELEMENTWISE_KERNELS"]
    lines += [f"    AB_ELEMENTWISE_KERNEL({name})" for name in names]
    width = max(map(len, lines)) + 1
    return " \\\n".join(line.ljust(width) for line in lines).rstrip() + "\n"


CPU = Target(
    path="generated/elementwise.inc.c",
    heading=(
        "/* Rendered from the declarations in autobatch/ops by `python -m autobatch.ops.render`;\n"
        " * change those, not this. Included by cpu/elementwise.inc.c. */\n"
    ),
    op=cpu_op,
    listing=cpu_listing,
)

TARGETS = (CPU,)


def render(target: Target) -> str:
    """The whole text of a target, from all elementwise ops in the order of the registry."""
    ops = [elementwise(op) for op in REGISTRY.values() if op.elementwise]
    parts = [target.heading, *(target.op(op) for op in ops)]
    return "\n".join([*parts, target.listing([op.name for op in ops])])


def main(arguments: list[str] | None = None) -> int:
    """Writes every target, or with ``--check`` compares; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m autobatch.ops.render", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of date")
    check = parser.parse_args(arguments).check
    stale = []
    for target in TARGETS:
        path, text = KERNELS / target.path, render(target)
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path.name)
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    if check and stale:
        print(f"out of date: {', '.join(stale)}; run python -m autobatch.ops.render")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
