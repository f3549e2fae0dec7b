"""Random programs give the same numbers however they are shared, scheduled and run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded import lower_bound_of, record_step, weighted_sum
from recorded import replay as record_program
from strategies import Program, Step, programs, replay

import autobatch as ab
from autobatch import engine
from autobatch.backends.formula import FormulaBackend
from autobatch.twin import TwinGraph, lower_bound, needed, schedule

STRATEGIES = ("none", "depth", "agenda", "frontier")
RANDOM = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)


def run_on_twin(program: Program, strategy: str, sharing: bool) -> list[np.ndarray]:
    """Values of all steps and gradients of all inputs."""
    graph, backend = TwinGraph(sharing, np.float64), FormulaBackend()
    nodes = replay(program, graph)
    batches = graph.batches(schedule(graph, nodes, strategy))
    backend.forward(graph, batches)
    seeds: dict[int, np.ndarray] = {}
    for i, weight in zip(program.results, program.weights):
        seeds[nodes[i]] = seeds.get(nodes[i], 0) + weight
    # A shared node has the gradients of all that it stands for; inputs are all different.
    wrt = [nodes[i] for i in program.inputs()]
    if not sharing:
        wrt += [nodes[i] for i in program.differentiable()]
    backend.backward(graph, batches, seeds, wrt)
    return [backend.value(graph, v) for v in nodes] + [backend.gradient(graph, v) for v in wrt]


@given(programs())
@RANDOM
def test_twin_strategies_and_sharing_change_no_number(program: Program) -> None:
    expected = run_on_twin(program, "none", sharing=False)
    for strategy in STRATEGIES:
        for sharing in (False, True):
            for got, want in zip(run_on_twin(program, strategy, sharing), expected):
                np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sharing", [False, True])
@given(program=programs())
@RANDOM
def test_twin_schedules_are_valid(sharing: bool, program: Program) -> None:
    graph = TwinGraph(sharing)
    nodes = replay(program, graph)
    bound = lower_bound(graph, nodes)
    for strategy in STRATEGIES:
        batches = schedule(graph, nodes, strategy)
        assert sorted(v for batch in batches for v in batch) == needed(graph, nodes)
        done: set[int] = set()
        for batch in batches:
            assert len({graph.profile[v] for v in batch}) == 1
            for v in batch:
                assert graph.dependencies(v) <= done
            done |= set(batch)
        assert len(batches) >= bound


def run_recorded(program: Program, backend: str, together: bool) -> list[np.ndarray]:
    """Values of all steps, gradients of inputs and parameters, through the package."""
    ab.new_graph()
    made = record_program(program)
    nodes = [x for x in made if isinstance(x, ab.Expression)]
    with ab.use(backend):
        values = ab.values(nodes) if together else [x.value() for x in nodes]
        results = [made[i] for i in program.results]
        kept = [i for i, x in enumerate(results) if isinstance(x, ab.Expression)]
        loss = weighted_sum([results[i] for i in kept], [program.weights[i] for i in kept])
        loss.backward(wrt=[made[i] for i in program.inputs()])
        gradients = [made[i].gradient() for i in program.inputs() + program.parameters()]
    return values + [np.zeros(0) if g is None else g for g in gradients]


@pytest.mark.parametrize("backend", ["cpu", pytest.param("numpy", marks=pytest.mark.slow)])
@given(program=programs())
@RANDOM
def test_nothing_changes_a_number(backend: str, program: Program) -> None:
    with ab.configure(dtype="float64", strategy="none", sharing=False):
        expected = run_recorded(program, "numpy", together=False)
    for strategy in STRATEGIES:
        for sharing in (False, True):
            for together in (False, True):
                with ab.configure(dtype="float64", strategy=strategy, sharing=sharing):
                    found = run_recorded(program, backend, together)
                for got, want in zip(found, expected, strict=True):
                    size = np.abs(want[np.isfinite(want)]).max(initial=1)
                    np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9 * size)


def canonical(schedule: list[list[int]], step_of: dict[int, int]) -> list[list[int]]:
    """A schedule in terms of the program's steps."""
    return [sorted(step_of[node] for node in batch) for batch in schedule]


@pytest.mark.parametrize("sharing", [False, True])
@given(program=programs())
@RANDOM
def test_schedules_are_the_twins(sharing: bool, program: Program) -> None:
    graph = TwinGraph(sharing, np.float64)
    twin_nodes = replay(program, graph)
    twin_step: dict[int, int] = {}
    for i, node in enumerate(twin_nodes):
        twin_step.setdefault(node, i)
    bound = lower_bound(graph, twin_nodes)
    for strategy in STRATEGIES:
        with ab.configure(dtype="float64", sharing=sharing, strategy=strategy):
            ab.new_graph()
            made = record_program(program)
            step: dict[int, int] = {}
            for i, x in enumerate(made):
                if isinstance(x, ab.Expression):
                    step.setdefault(x.node, i)
            wanted = [x for x in made if isinstance(x, ab.Expression)]
            assert lower_bound_of(wanted) == bound
            found = canonical(engine.schedule_of(wanted), step)
        assert found == canonical(schedule(graph, twin_nodes, strategy), twin_step)
        assert sorted(i for batch in found for i in batch) == sorted(
            twin_step[v] for v in needed(graph, twin_nodes)
        )
        done: set[int] = set()
        for batch in found:
            nodes = [twin_nodes[i] for i in batch]
            assert len({graph.profile[v] for v in nodes}) == 1
            assert all(graph.dependencies(v) <= done for v in nodes)
            done |= set(nodes)
        assert len(found) >= bound


@st.composite
def networks(draw: st.DrawFn) -> Program:
    """Up to a hundred small ops of a few profiles over few inputs, as far from regular as it
    gets: what a strategy has to choose between."""
    steps = [Step("parameter", array=np.eye(4)) for _ in range(2)]
    steps += [Step("input", array=np.full(4, float(i))) for i in range(3)]
    vectors = list(range(2, len(steps)))
    kinds = draw(st.lists(st.integers(0, 5), min_size=1, max_size=100))
    for kind in kinds:
        # Counted from the latest, and mostly a late one: deep graphs.
        x, y = (vectors[-1 - draw(st.integers(0, min(8, len(vectors) - 1)))] for _ in range(2))
        if kind < 2:
            steps.append(Step("matmul", (kind, x)))
        elif kind < 4:
            steps.append(Step(("tanh", "sin")[kind - 2], (x,)))
        elif kind == 4:
            steps.append(Step("add", (x, y)))
        else:
            steps.append(Step("reshape", (x,), {"shape": (2, 2)}))
            steps.append(Step("reshape", (len(steps) - 1,), {"shape": (4,)}))
        vectors.append(len(steps) - 1)
    return Program(steps, vectors, [])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("sharing", [False, True])
@given(program=networks(), data=st.data())
@RANDOM
def test_what_is_left_is_scheduled_as_the_twin_does(
    sharing: bool, strategy: str, program: Program, data: st.DataObject
) -> None:
    """Some expressions are wanted, run, and then others, recorded before and after that."""
    cut = data.draw(st.integers(5, len(program.steps)))
    early = st.lists(st.sampled_from(range(2, cut)), min_size=1, max_size=3)
    late = st.lists(st.sampled_from(program.results), min_size=1, max_size=3)
    rounds = [data.draw(early), data.draw(early), data.draw(late), data.draw(late)]
    graph = TwinGraph(sharing, np.float64)
    twin_nodes = replay(program, graph)
    twin_step: dict[int, int] = {}
    for i, node in enumerate(twin_nodes):
        twin_step.setdefault(node, i)
    with ab.configure(dtype="float64", sharing=sharing, strategy=strategy):
        ab.new_graph()
        made = record_program(Program(program.steps[:cut], [], []))
        done: set[int] = set()
        for number, steps in enumerate(rounds):
            if number == 2:
                for later in program.steps[cut:]:
                    made.append(record_step(later, made))
            step: dict[int, int] = {}
            for i, x in enumerate(made):
                if isinstance(x, ab.Expression):
                    step.setdefault(x.node, i)
            wanted = [made[i] for i in steps]
            expected = schedule(graph, [twin_nodes[i] for i in steps], strategy, done)
            # Twice: what was planned and taken back is found again in another way.
            for _ in range(2):
                found = canonical(engine.schedule_of(wanted), step)
                assert found == canonical(expected, twin_step)
            ab.values(wanted)
            done.update(node for batch in expected for node in batch)
