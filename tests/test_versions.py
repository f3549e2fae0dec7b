"""Parameters that change while a graph has read them: the numbers of one moment, or an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import autobatch as ab
from autobatch import StaleExpressionError


@pytest.mark.parametrize("sharing", [True, False])
def test_what_is_recorded_after_a_change_means_the_new_numbers(backend: str, sharing: bool) -> None:
    with ab.configure(sharing=sharing):
        ab.new_graph()
        p = ab.Parameter(init=[1.0, 2.0])
        assert ab.sum(p * p).item() == 5.0
        p.set_value([10.0, 20.0])
        assert ab.sum(p * p).item() == 500.0
        assert (ab.sum(p * p) + ab.sum(p)).item() == 530.0
        np.testing.assert_array_equal((p[0] * 1.0).value(), 10.0)


def test_a_loop_that_never_begins_a_graph_trains(backend: str) -> None:
    p, q = ab.Parameter(init=[1.0]), 1.0
    trainer = ab.SGD(p, 0.1)
    for _ in range(4):
        loss = ab.sum((p * 2.0 - 1.0) ** 2)
        loss.backward()
        trainer.update()
        assert loss.item() == pytest.approx((2 * q - 1) ** 2, abs=1e-6)
        q -= 0.1 * 4 * (2 * q - 1)
        assert p.value()[0] == pytest.approx(q)


def test_rows_of_a_table_are_read_anew_after_an_update() -> None:
    table = ab.Lookup(init=np.ones((3, 2)))
    trainer = ab.SGD(table, 0.1)
    ab.sum(table[1]).backward()
    trainer.update()
    assert table[1].value().sum() == pytest.approx(1.8)
    assert ab.sum(table[1]).item() == pytest.approx(1.8)
    np.testing.assert_allclose(table.batch([0, 1]).value(), [[1.0, 1.0], [0.9, 0.9]])


CHANGES: dict[str, Any] = {
    "set_value": lambda p, trainer: p.set_value(p.value() + 1.0),
    "update": lambda p, trainer: trainer.update(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_recorded_before_a_change_is_refused(backend: str, change: str) -> None:
    p = ab.Parameter(init=[2.0, 3.0])
    p.name = "weights"
    table = ab.Lookup(init=np.ones((3, 2)))
    trainer = ab.SGD([p, table], 1.0)
    first = ab.sum(p * 2.0) + ab.sum(table[1])
    first.backward()
    kept = ab.sum(p * p)
    assert kept.item() == 13.0
    waiting, view, row = p * 4.0, p[0:1], table[1]
    number, after = ab.sum(row * row), ab.dot(p, np.ones(2))
    CHANGES[change](p, trainer)
    if change == "set_value":
        CHANGES[change](table, trainer)
    assert kept.item() == 13.0  # what was computed stays what it was
    assert (kept * 1.0).item() == 13.0
    for refused in (waiting.value, view.value, row.value, number.item, after.item):
        with pytest.raises(StaleExpressionError, match=r"have changed .*ab\.new_graph\(\)"):
            refused()
    with pytest.raises(StaleExpressionError, match="Parameter 'weights'"):
        kept.backward()
    assert change == "update" or p.gradient() is not None
    anew = ab.sum(p * p)
    anew.backward()
    assert anew.item() == pytest.approx(float((p.value() ** 2).sum()))


def test_what_does_not_read_the_parameter_goes_on() -> None:
    p, q = ab.Parameter(init=[2.0]), ab.Parameter(init=[5.0])
    waiting = ab.sum(q * q)
    ab.sum(p * 2.0).backward()
    p.set_value([3.0])
    assert waiting.item() == 25.0
    waiting.backward()
    assert q.gradient() == [10.0]


def test_loading_and_copies(tmp_path) -> None:
    p = ab.Parameter(init=[1.0, 2.0])
    file = tmp_path / "p.safetensors"
    ab.save(file, p)
    p.set_value([5.0, 6.0])
    waiting = p * 1.0
    assert ab.sum(p).item() == 11.0
    ab.load(file, p)
    assert ab.sum(p).item() == 3.0
    with pytest.raises(StaleExpressionError):
        waiting.value()


def test_cells_obey(backend: str) -> None:
    scale = ab.cell(lambda w, x: w * x)
    p, x = ab.Parameter(init=[2.0]), ab.ones(1)
    old = scale(p, x)
    assert scale(p, x).value() == [2.0]
    waiting = scale(p, x * 3.0)
    p.set_value([7.0])
    assert scale(p, x).value() == [7.0]
    assert old.value() == [2.0]
    with pytest.raises(StaleExpressionError):
        waiting.value()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["record", "value", "backward", "set", "update", "cell", "zero"]),
        st.integers(0, 1),
        st.integers(0, 20),
        st.sampled_from([-1.5, 0.5, 2.0]),
    ),
    min_size=3,
    max_size=30,
)


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("backend", ["cpu", "numpy"])
@given(steps=STEPS)
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_programs_that_change_parameters_anywhere(
    backend: str, sharing: bool, steps: list[tuple[str, int, int, float]]
) -> None:
    """Every value and gradient is that of the numbers at its recording, or an error says so."""
    changed = any(kind in ("set", "update") for kind, *_ in steps)
    with ab.configure(backend=backend, sharing=sharing, dtype="float64"):
        ab.new_graph()
        numbers = [np.array([0.5, -1.0]), np.array([2.0, 0.25])]
        parameters = [ab.Parameter(init=n) for n in numbers]
        trainer = ab.SGD(parameters, 0.125)
        sums = [np.zeros(2), np.zeros(2)]
        cell = ab.cell(lambda w, x: w * x)
        made: list[tuple[ab.Expression, np.ndarray, list[np.ndarray]]] = []
        graded, refused = False, 0
        for kind, which, choice, factor in steps:
            if kind in ("record", "cell"):
                p, n = parameters[which], numbers[which]
                x, value, slopes = made[choice % len(made)] if made else (None, None, None)
                if x is None:
                    new = p * factor
                    made.append(
                        (new, n * factor, [np.full(2, factor) * (which == i) for i in (0, 1)])
                    )
                    continue
                new = cell(p, x) * factor if kind == "cell" else p * x * factor
                slope = [factor * n * slopes[i] + factor * value * (which == i) for i in (0, 1)]
                made.append((new, n * value * factor, slope))
            elif kind == "set":
                numbers[which] = numbers[which] * factor
                parameters[which].set_value(numbers[which])
            elif kind == "update" and graded:
                for i in (0, 1):
                    numbers[i] = numbers[i] - 0.125 * sums[i]
                    sums[i] = np.zeros(2)
                trainer.update()
                graded = False
            elif kind == "zero":
                for i, p in enumerate(parameters):
                    p.zero_grad()
                    sums[i] = np.zeros(2)
                graded = False
            elif made and kind in ("value", "backward"):
                x, value, slopes = made[choice % len(made)]
                try:
                    if kind == "value":
                        np.testing.assert_allclose(x.value(), value, rtol=1e-9)
                    else:
                        ab.sum(x).backward()
                        graded = True
                        for i in (0, 1):
                            sums[i] = sums[i] + slopes[i]
                except StaleExpressionError:
                    refused += 1
            for p, n, g in zip(parameters, numbers, sums, strict=True):
                np.testing.assert_allclose(p.value(), n, rtol=1e-9, atol=1e-12)
                if p.gradient() is not None:
                    np.testing.assert_allclose(p.gradient(), g, rtol=1e-9, atol=1e-12)
        assert changed or not refused
