"""The formula backend on graphs of the Python twin: no compiled code takes part."""

from __future__ import annotations

import numpy as np
import pytest
from device_arrays import DeviceModule
from samples import SAMPLES, Case

from autobatch.backends.formula import FormulaBackend
from autobatch.backends.rows import turns_apart
from autobatch.ops import REGISTRY
from autobatch.twin import TwinGraph, TwinParameter, needed, schedule


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
        value = backend.value(graph, node)
        return float((np.where(np.isfinite(value), value, 0) * weights).sum())

    graph, backend = TwinGraph(dtype=np.float64), FormulaBackend()
    node, operands = record(graph, case, arrays)
    batches = run(graph, backend, [node])
    value = backend.value(graph, node)
    weights = rng.normal(size=value.shape)
    if op.gradient is None or op.surrogate:
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


class StrictBackend(FormulaBackend):
    """The formulas on arrays that, like CuPy's, do not mix with NumPy's."""

    def host(self, array):
        return self.xp.asnumpy(array)

    def parameter(self, parameter, dtype):
        return self.xp.asarray(parameter._data, dtype).reshape(-1)


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_host_and_device_are_not_mixed(case: Case, rng: np.random.Generator) -> None:
    results = []
    arrays = [case.operands(rng, np.float64) for _ in range(3)]
    for backend in (FormulaBackend(), StrictBackend(DeviceModule())):
        graph = TwinGraph(dtype=np.float64)
        recorded = [record(graph, case, operands) for operands in arrays]
        nodes = [node for node, _ in recorded]
        inputs = sorted({x for _, operands in recorded for x in operands})
        batches = run(graph, backend, nodes)
        values = [backend.value(graph, node) for node in nodes]
        if REGISTRY[case.op].gradient is not None:
            seeds = {node: np.ones(value.shape) for node, value in zip(nodes, values)}
            backend.backward(graph, batches, seeds, wrt=inputs)
            values += [backend.gradient(graph, v) for v in inputs]
        results.append(values)
    for got, want in zip(*results):
        np.testing.assert_array_equal(got, want)


def test_operands_from_every_store_meet_in_one_batch() -> None:
    graph, backend = TwinGraph(), FormulaBackend()
    weight = TwinParameter(np.array([1.0, 2.0], np.float32))
    given, held = graph.input([10.0, 20.0]), graph.parameter(weight)
    computed = graph.record("tanh", [given])
    sums = [graph.record("add", [x, held]) for x in (given, held, computed)]
    batches = run(graph, backend, sums)
    assert [len(batch.nodes) for batch in batches] == [1, 1, 2] or len(batches) <= 4
    for node, expected in zip(sums, ([11, 22], [2, 4], [2, 3])):
        np.testing.assert_allclose(backend.value(graph, node), expected, rtol=1e-6)
    backend.backward(graph, batches, {node: np.ones(2) for node in sums}, wrt=[given])
    np.testing.assert_allclose(weight._grad, [4, 4])
    np.testing.assert_allclose(backend.gradient(graph, given), [1, 1], atol=1e-6)


@pytest.mark.parametrize("readers", [1, 2, 3, 7, 64, 100])
def test_gradients_of_one_node_add_up(readers: int) -> None:
    graph, backend = TwinGraph(sharing=False, dtype=np.float64), FormulaBackend()
    shared, other = graph.input([1.0, 2.0, 3.0]), graph.input([5.0, 6.0, 7.0])
    both = [graph.record("multiply", [shared, shared]) for _ in range(readers)]
    both += [graph.record("multiply", [other, shared])]
    batches = run(graph, backend, both)
    assert len(batches) == 1
    backend.backward(graph, batches, {v: np.ones(3) for v in both}, wrt=[shared, other])
    expected = 2 * readers * np.array([1, 2, 3]) + [5, 6, 7]
    np.testing.assert_allclose(backend.gradient(graph, shared), expected)
    np.testing.assert_allclose(backend.gradient(graph, other), [1, 2, 3])


def test_a_graph_grows_between_runs() -> None:
    graph, backend = TwinGraph(), FormulaBackend()
    tape, node = [], graph.input(np.full(3, 0.5))
    value, slope = np.full(3, 0.5), np.ones(3)
    for step in range(20):
        shift = graph.input(np.full(3, 0.01 * step))
        node = graph.record("add", [graph.record("tanh", [node]), shift])
        slope *= 1 - np.tanh(value) ** 2
        value = np.tanh(value) + 0.01 * step
        done = {v for batch in tape for v in batch.nodes}
        batches = graph.batches([[v] for v in needed(graph, [node]) if v not in done])
        assert len(batches) == 2
        backend.forward(graph, batches)
        tape += batches
        np.testing.assert_allclose(backend.value(graph, node), value, rtol=1e-5)
    backend.backward(graph, tape, {node: np.ones(3)}, wrt=[0])
    np.testing.assert_allclose(backend.gradient(graph, 0), slope, rtol=1e-5)


def test_what_is_not_a_number_stays_where_it_is() -> None:
    graph, backend = TwinGraph(), FormulaBackend()
    weight = TwinParameter(np.ones(2, np.float32))
    held = graph.parameter(weight)
    good, bad = graph.input([1.0, 2.0]), graph.input([np.nan, np.inf])
    results = [graph.record("multiply", [x, held]) for x in (good, bad)]
    batches = run(graph, backend, results)
    assert len(batches) == 1
    backend.backward(graph, batches, {results[0]: np.ones(2)})
    np.testing.assert_array_equal(weight._grad, [1, 2])


def test_gradients_of_parameters_accumulate_and_respect_trainable() -> None:
    graph, backend = TwinGraph(), FormulaBackend()
    trained = TwinParameter(np.ones(2, np.float32))
    frozen = TwinParameter(np.ones(2, np.float32), trainable=False)
    node = graph.record("multiply", [graph.parameter(trained), graph.parameter(frozen)])
    batches = run(graph, backend, [node])
    for _ in range(2):
        backend.backward(graph, batches, {node: np.ones(2)})
    np.testing.assert_array_equal(trained._grad, [2, 2])
    assert frozen._grad is None


def test_rows_that_overlap_take_turns() -> None:
    starts = np.array([0, 1, 2, 3, 10, 11, 30])
    turns = turns_apart(starts, 3)
    assert sorted(np.concatenate(turns)) == list(range(len(starts)))
    for turn in turns:
        assert np.all(np.diff(starts[turn]) >= 3)
    assert len(turns) == 3


class Table(TwinParameter):
    """A lookup: its gradient is kept by row."""

    def __init__(self, data: np.ndarray, trainable: bool = True) -> None:
        super().__init__(data, trainable)
        self._sparse = self
        self.rows: dict[int, np.ndarray] = {}

    def add(self, rows: np.ndarray, gradients: np.ndarray) -> None:
        for row, gradient in zip(rows.tolist(), gradients):
            self.rows[row] = self.rows.get(row, 0) + gradient


def test_gradients_of_lookups_are_kept_by_row() -> None:
    graph, backend = TwinGraph(sharing=False, dtype=np.float64), FormulaBackend()
    held = Table(np.arange(12.0).reshape(6, 2))
    table = graph.parameter(held)
    rows = [graph.record("lookup", [table], data=[i]) for i in (4, 1, 4)]
    several = graph.record("lookup_batch", [table], {"batch": 3}, [0, 1, 1])
    results = [graph.record("square", [x]) for x in (*rows, several)]
    batches = run(graph, backend, results)
    np.testing.assert_array_equal(backend.value(graph, rows[0]), [8, 9])
    np.testing.assert_array_equal(backend.value(graph, several), [[0, 1], [2, 3], [2, 3]])
    seeds = {v: np.ones(backend.value(graph, v).shape) for v in results}
    backend.backward(graph, batches, seeds, wrt=[several])
    assert {row: list(g) for row, g in held.rows.items()} == {
        4: [32, 36],
        1: [12, 18],
        0: [0, 2],
    }
    assert held._grad is None
    np.testing.assert_array_equal(backend.gradient(graph, several), [[0, 2], [4, 6], [4, 6]])


def test_a_table_that_is_no_lookup_gets_a_dense_gradient() -> None:
    graph, backend = TwinGraph(dtype=np.float64), FormulaBackend()
    held = TwinParameter(np.arange(6.0).reshape(3, 2))
    node = graph.record("lookup_batch", [graph.parameter(held)], {"batch": 3}, [2, 0, 2])
    batches = run(graph, backend, [node])
    backend.backward(graph, batches, {node: np.ones((3, 2))})
    np.testing.assert_array_equal(held._grad, [[1, 1], [0, 0], [2, 2]])


def test_the_gradient_of_a_view_is_its_own() -> None:
    """Not that of the memory it lies in, which other readers reach, too."""
    graph, backend = TwinGraph(dtype=np.float64), FormulaBackend()
    x = graph.input([1.0, 2.0, 3.0, 4.0])
    y = graph.record("square", [x])
    front = graph.record("slice", [y], {"shape": (3,)}, [0])
    inner = graph.record("slice", [front], {"shape": (2,)}, [1])
    loss = graph.record("multiply", [inner, graph.record("slice", [y], {"shape": (2,)}, [2])])
    batches = run(graph, backend, [loss])
    backend.backward(graph, batches, {loss: np.ones(2), y: np.ones(4)}, wrt=[inner, front, y, x])
    np.testing.assert_array_equal(backend.gradient(graph, inner), [9, 16])
    np.testing.assert_array_equal(backend.gradient(graph, front), [0, 9, 16])
    np.testing.assert_array_equal(backend.gradient(graph, y), [1, 10, 21, 10])
    np.testing.assert_array_equal(backend.gradient(graph, x), [2, 40, 126, 80])


def test_no_gradient_passes_a_stop_however_it_is_viewed() -> None:
    graph, backend = TwinGraph(dtype=np.float64), FormulaBackend()
    x = graph.input([1.0, 2.0, 3.0, 4.0])
    stopped = graph.record("stop_gradient", [x])
    square = graph.record("reshape", [stopped], {"shape": (2, 2)})
    piece = graph.record("pick", [square], data=[1])
    loss = graph.record("multiply", [piece, graph.record("slice", [x], {"shape": (2,)}, [0])])
    batches = run(graph, backend, [loss])
    backend.backward(graph, batches, {loss: np.ones(2)}, wrt=[x])
    np.testing.assert_array_equal(backend.gradient(graph, x), [3, 4, 0, 0])
    backend.backward(graph, batches, {loss: np.ones(2)}, wrt=[x, piece])
    np.testing.assert_array_equal(backend.gradient(graph, x), [3, 4, 0, 0])
    np.testing.assert_array_equal(backend.gradient(graph, piece), [1, 2])
