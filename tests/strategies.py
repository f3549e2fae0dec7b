"""Hypothesis strategies for random programs over the registry.

A program is data: steps that record inputs, parameters and ops, in an order in which they
can be recorded. It is replayed on the Python twin or through the public recorder. While it
is drawn every value is computed, so that an op only gets operands inside its domain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from samples import SAMPLES, Case

from autobatch.backends.formula import FormulaBackend
from autobatch.ops import REGISTRY
from autobatch.twin import TwinGraph, TwinParameter

INTEGER = {op.name for op in REGISTRY.values() if op.integer}


@dataclass(frozen=True)
class Step:
    """Records one node: an op of earlier steps, or an array ("input", "parameter", "table")."""

    op: str
    operands: tuple[int, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)
    data: tuple[Any, ...] = ()
    array: np.ndarray | None = None
    batched: bool = False

    def __repr__(self) -> str:
        if self.array is not None:
            return f"{self.op}{self.array.shape}"
        return f"{self.op}{self.operands}"


@dataclass
class Program:
    """Steps, and the random numbers by which the results that nothing reads are weighted."""

    steps: list[Step]
    results: list[int]
    weights: list[np.ndarray]

    def parameters(self) -> list[int]:
        """The steps that are parameters."""
        return [i for i, step in enumerate(self.steps) if step.op in ("parameter", "table")]

    def differentiable(self) -> list[int]:
        """The steps whose values are no indices."""
        return [i for i, step in enumerate(self.steps) if step.op not in INTEGER]

    def inputs(self) -> list[int]:
        """The steps that are inputs."""
        return [i for i, step in enumerate(self.steps) if step.op == "input"]


def replay(program: Program, graph: TwinGraph) -> list[int]:
    """Records a program on a twin graph; returns the node of every step."""
    nodes: list[int] = []
    for step in program.steps:
        nodes.append(record(graph, step, nodes))
    return nodes


def record(graph: TwinGraph, step: Step, nodes: list[int]) -> int:
    """Records one step on a twin graph."""
    if step.op == "input":
        return graph.input(step.array, step.batched)
    if step.op in ("parameter", "table"):
        return graph.parameter(TwinParameter(np.array(step.array, graph.dtype)))
    return graph.record(step.op, [nodes[i] for i in step.operands], step.attrs, step.data)


class _Drawing:
    """A program as it grows, with the value of every step."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.graph = TwinGraph(sharing=False, dtype=np.float64)
        self.backend = FormulaBackend()
        self.steps: list[Step] = []
        self.nodes: list[int] = []
        self.types: list[tuple[Any, ...]] = []
        self.ranges: list[tuple[float, float]] = []

    def add(self, step: Step) -> int:
        node = record(self.graph, step, self.nodes)
        if self.graph.profile[node] >= 0:
            self.backend.forward(self.graph, self.graph.batches([[node]]))
        value = self.backend.value(self.graph, node)
        operand = self.graph.operand(node)
        self.steps.append(step)
        self.nodes.append(node)
        self.types.append((operand.shape, operand.batch))
        usable = value.size and not step_is_integer(self.graph, node)
        usable = usable and bool(np.isfinite(value).all())
        self.ranges.append((value.min(), value.max()) if usable else (-np.inf, np.inf))
        return len(self.steps) - 1

    def fitting(self, case: Case, j: int) -> list[int]:
        """Earlier steps that can be operand ``j`` of a sample."""
        wanted, sample = (case.shapes[j], case.batches[j]), case.sample
        return [
            i
            for i, (low, high) in enumerate(self.ranges)
            if self.types[i] == wanted
            and not sample.diagonal
            and sample.low <= low <= high <= sample.high
            and (self.steps[i].op == _weight(case) or not case.weights[j])
        ]

    def new(self, case: Case, j: int) -> int:
        batch, shape = case.batches[j], case.shapes[j]
        full = shape if batch == 1 else (batch, *shape)
        array = self.rng.uniform(case.sample.low, case.sample.high, full)
        if case.sample.diagonal:
            array += case.sample.diagonal * np.eye(*shape[-2:])
        return self.add(
            Step(_weight(case) if case.weights[j] else "input", array=array, batched=batch > 1)
        )


def _weight(case: Case) -> str:
    return "table" if case.declaration.table else "parameter"


def step_is_integer(graph: TwinGraph, node: int) -> bool:
    """Whether a node's value is an index, which is no operand for other ops."""
    return graph.forms[graph._form_of[node]].op.integer


@st.composite
def programs(draw: st.DrawFn, max_ops: int = 20) -> Program:
    """Programs of up to `max_ops` ops out of a few samples each, so that profiles repeat."""
    drawing = _Drawing(draw(st.integers(0, 2**32 - 1)))
    palette = draw(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=4, unique_by=str))
    for _ in range(draw(st.integers(1, max_ops))):
        case = draw(st.sampled_from(palette))
        operands = []
        for j in range(len(case.shapes)):
            fitting = drawing.fitting(case, j)
            # The latest first: shrinking then makes chains, which are easy to read.
            choice = draw(st.integers(0, len(fitting)))
            operands.append(fitting[-choice] if choice else drawing.new(case, j))
        drawing.add(Step(case.op, tuple(operands), case.attrs, case.data))
    read = {i for step in drawing.steps for i in step.operands}
    results = [i for i in range(len(drawing.steps)) if i not in read]
    weights = []
    for i in results:
        value = drawing.backend.value(drawing.graph, drawing.nodes[i])
        weights.append(drawing.rng.normal(size=value.shape))
    return Program(drawing.steps, results, weights)
