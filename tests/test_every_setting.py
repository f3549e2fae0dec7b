"""Random graphs over all ops, run in every combination of settings, for a set time.

The reference is the formulas in double precision, unshared, one node at a time. Single precision
may differ from it by what rounding can do: as much as the reference moves when its numbers are
moved by a little, at random, some times.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from recorded import record_step, replay, weighted_sum
from strategies import Program, programs

import autobatch as ab

SECONDS = float(os.environ.get("AUTOBATCH_FUZZ_SECONDS", "60"))
CHUNK = settings(
    max_examples=20,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
SETTINGS = [
    {"backend": b, "dtype": d, "strategy": s, "sharing": x, "threads": t}
    for b, d, s, x, t in itertools.product(
        ("cpu", "numpy"),
        ("float32", "float64"),
        ("none", "depth", "agenda", "frontier"),
        (False, True),
        (1, 2),
    )
    if b == "cpu" or t == 1  # the formulas know no threads
]


def in_cells(program: Program) -> list[Any]:
    """Records a program with its ops in cells of three."""
    made: list[Any] = []
    steps = program.steps
    while len(made) < len(steps):
        start = end = len(made)
        while end < min(start + 3, len(steps)) and steps[end].array is None:
            end += 1
        if end == start:
            made.append(record_step(steps[start], made))
            continue
        run = range(start, end)
        outside = sorted({o for i in run for o in steps[i].operands if o < start})

        @ab.cell
        def part(*operands: Any, run: range = run, outside: list[int] = outside) -> tuple[Any, ...]:
            known = dict(zip(outside, operands, strict=True))
            for i in run:
                known[i] = record_step(steps[i], known)  # type: ignore[arg-type]
            return tuple(known[i] for i in run)

        made += part(*(made[i] for i in outside))
    return made


def numbers(program: Program, cells: bool) -> list[np.ndarray]:
    """Values of all steps, gradients of inputs and parameters."""
    ab.new_graph()
    made = in_cells(program) if cells else replay(program)
    values = ab.values([x for x in made if isinstance(x, ab.Expression)])
    kept = [(i, w) for i, w in zip(program.results, program.weights, strict=True)]
    kept = [(made[i], w) for i, w in kept if isinstance(made[i], ab.Expression)]
    loss = weighted_sum([x for x, _ in kept], [w for _, w in kept])
    loss.backward(wrt=[made[i] for i in program.inputs()])
    gradients = [made[i].gradient() for i in program.inputs() + program.parameters()]
    return values + [np.zeros(0) if g is None else g for g in gradients]


def moved(program: Program, rng: np.random.Generator) -> Program:
    """The same program of numbers that differ in the sixth digit."""
    steps = []
    for step in program.steps:
        if step.array is not None:
            factor = 1 + 1e-6 * rng.normal(size=step.array.shape)
            step = dataclasses.replace(step, array=step.array * factor)
        steps.append(step)
    return Program(steps, program.results, program.weights)


REFERENCE = {"backend": "numpy", "dtype": "float64", "strategy": "none", "sharing": False}


def reach(program: Program, count: int, want: list[np.ndarray]) -> list[np.ndarray]:
    """How far each number of the reference moves at most."""
    rng = np.random.default_rng(0)
    with ab.configure(**REFERENCE):
        others = [numbers(moved(program, rng), False) for _ in range(count)]
    with np.errstate(all="ignore"):
        return [
            np.max([np.abs(o - w) for o in found], axis=0) if w.size else w
            for w, *found in zip(want, *others, strict=True)
        ]


def off(
    got: list[np.ndarray], want: list[np.ndarray], slack: list[np.ndarray], exact: bool
) -> list[int]:
    """Which arrays differ by more than rounding."""
    wrong = []
    for i, (g, w, s) in enumerate(zip(got, want, slack, strict=True)):
        assert g.shape == w.shape
        usual = np.isfinite(w) & np.isfinite(s)
        size = np.abs(w[usual]).max(initial=1)
        bound = 1e-9 * size + 1e-3 * s if exact else 1e-4 * size + 10 * s
        with np.errstate(all="ignore"):
            if not (np.abs(g - w) <= bound)[usual].all():
                wrong.append(i)
    return wrong


@pytest.mark.slow
@pytest.mark.fuzz
def test_every_setting_gives_the_numbers_of_the_formulas(
    capsys: pytest.CaptureFixture[str],
) -> None:
    end, graphs, runs = time.monotonic() + SECONDS, 0, 0

    @given(program=programs())
    @CHUNK
    def one(program: Program) -> None:
        nonlocal graphs, runs
        if time.monotonic() > end:
            return
        with ab.configure(**REFERENCE):
            want = numbers(program, cells=False)
        slack = reach(program, 3, want)
        graphs += 1
        for number, setting in enumerate(SETTINGS):
            exact = setting["dtype"] == "float64"
            with ab.configure(**setting):
                got = numbers(program, cells=bool((number + graphs) % 2))
            runs += 1
            wrong = off(got, want, slack, exact)
            if wrong and not exact:  # a step of floor, say, may lie closer by than 3 tries show
                wrong = off(got, want, reach(program, 60, want), exact)
            assert not wrong, (setting, wrong, [(got[i], want[i]) for i in wrong])

    number = 0
    while time.monotonic() < end:
        number += 1
        seed(number)(one)()
    with capsys.disabled():
        print(f"\n{graphs:,} graphs, {runs:,} runs in {len(SETTINGS)} settings, half in cells")
    assert graphs
