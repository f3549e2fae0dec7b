"""Random programs give the same numbers however they are shared, scheduled and run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Program, programs, replay

from autobatch.backends.formula import FormulaBackend
from autobatch.twin import TwinGraph, lower_bound, needed, schedule

TWIN_STRATEGIES = ("none", "depth", "agenda")
RANDOM = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
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
    wrt = [nodes[i] for i in program.inputs()]
    backend.backward(graph, batches, seeds, wrt)
    return [backend.value(graph, v) for v in nodes] + [backend.gradient(graph, v) for v in wrt]


@given(programs())
@RANDOM
def test_twin_strategies_and_sharing_change_no_number(program: Program) -> None:
    expected = run_on_twin(program, "none", sharing=False)
    for strategy in TWIN_STRATEGIES:
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
    for strategy in TWIN_STRATEGIES:
        batches = schedule(graph, nodes, strategy)
        assert sorted(v for batch in batches for v in batch) == needed(graph, nodes)
        done: set[int] = set()
        for batch in batches:
            assert len({graph.profile[v] for v in batch}) == 1
            for v in batch:
                assert graph.dependencies(v) <= done
            done |= set(batch)
        assert len(batches) >= bound
