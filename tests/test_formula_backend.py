"""The formula backend on graphs of the Python twin: no compiled code takes part."""

from __future__ import annotations

import numpy as np
import pytest
from samples import SAMPLES, Case

from autobatch.backends.formula import FormulaBackend
from autobatch.ops import REGISTRY
from autobatch.twin import TwinGraph, TwinParameter, schedule


def record(graph: TwinGraph, case: Case, arrays: list[np.ndarray]) -> tuple[int, list[int]]:
    """Records a sample; returns its node and those of its operands."""
    operands = []
    for array, batch, weight in zip(arrays, case.batches, case.weights):
        if weight:
            operands.append(graph.parameter(TwinParameter(array)))
        else:
            operands.append(graph.input(array, batched=batch > 1))
    return graph.record(case.op, operands, case.attrs, case.data), operands


def run(graph: TwinGraph, backend: FormulaBackend, wanted: list[int], strategy: str = "agenda"):
    batches = graph.batches(schedule(graph, wanted, strategy))
    backend.forward(graph, batches)
    return batches


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_gradients_are_finite_differences(case: Case, rng: np.random.Generator) -> None:
    op = REGISTRY[case.op]
    arrays = case.operands(rng, np.float64)

    def loss(moved: list[np.ndarray]) -> float:
        graph, backend = TwinGraph(dtype=np.float64), FormulaBackend()
        node, _ = record(graph, case, moved)
        run(graph, backend, [node])
        return float((backend.value(graph, node) * weights).sum())

    graph, backend = TwinGraph(dtype=np.float64), FormulaBackend()
    node, operands = record(graph, case, arrays)
    batches = run(graph, backend, [node])
    value = backend.value(graph, node)
    weights = rng.normal(size=value.shape)
    if op.gradient is None:
        return
    backend.backward(graph, batches, {node: weights}, wrt=operands)
    blocked = graph.forms[graph.form_of[node]].form.block_gradient
    for j, array in enumerate(arrays):
        gradient = backend.gradient(graph, operands[j])
        assert gradient.shape == array.shape
        if blocked or (op.elementwise and op.gradients[j] is None):
            assert not gradient.any()
            continue
        direction = rng.normal(size=array.shape)
        step = 1e-6
        ends = []
        for sign in (1, -1):
            moved = list(arrays)
            moved[j] = array + sign * step * direction
            ends.append(loss(moved))
        expected = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose((gradient * direction).sum(), expected, rtol=1e-5, atol=1e-6)
