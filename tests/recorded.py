"""Samples and programs, recorded through the package."""

from __future__ import annotations

from typing import Any

import numpy as np
from samples import Case
from strategies import Program, Step

import autobatch as ab
from autobatch.backends import cpu
from autobatch.ops import Op
from autobatch.recording import input_array, recorder


def flat(op: Op, attrs: dict[str, Any]) -> tuple[Any, ...]:
    """Attributes in the order in which the recorder takes them."""
    values: list[Any] = []
    for name, kind in op.attrs:
        if kind == "ints":
            values += [int(v) for v in attrs[name]]
        else:
            values.append(float(attrs[name]) if kind == "float" else int(attrs[name]))
    return tuple(values)


def data_of(op: Op, data: tuple[Any, ...]) -> tuple[Any, ...]:
    """Data words in the types that the recorder takes."""
    floats = bool(op.data) and op.data[-1].endswith(":float")
    return tuple(float(w) if floats else int(w) for w in data)


def record_case(case: Case, operands: list[Any]) -> ab.Expression:
    """Records the op of a sample."""
    op = case.declaration
    return recorder(case.op).record(tuple(operands), flat(op, case.attrs), data_of(op, case.data))


def lower_bound_of(expressions: list[ab.Expression]) -> int:
    """The C core's lower bound on the count of batches."""
    graph = ab.current_graph()
    profiles = cpu.ffi.new("int32_t *")
    nodes = [x.node for x in expressions]
    return cpu.lib.ab_lower_bound(cpu.pointer(graph), len(nodes), cpu.int32s(nodes), profiles)


def make_operands(case: Case, arrays: list[np.ndarray]) -> list[Any]:
    """Inputs and parameters with the given numbers."""
    return [
        make_parameter(case.op, array) if weight else input_array(array, batch > 1)
        for array, weight, batch in zip(arrays, case.weights, case.batches)
    ]


def make_parameter(op: str, array: np.ndarray) -> ab.Parameter | ab.Lookup:
    """A parameter; a lookup for an op that takes rows of one."""
    return (ab.Lookup if ab.ops.get(op).table else ab.Parameter)(init=array)


def weighted_sum(expressions: list[ab.Expression], weights: list[np.ndarray]) -> ab.Expression:
    """A scalar that depends on every number of every expression."""
    terms = []
    for x, weight in zip(expressions, weights):
        term = ab.sum(x * input_array(np.asarray(weight), x.batch_size > 1))
        terms.append(ab.sum_batch(term) if x.batch_size > 1 else term)
    return ab.sum(terms)


def replay(program: Program) -> list[Any]:
    """Records a program in the current graph; returns what stands for each step."""
    made: list[Any] = []
    for step in program.steps:
        made.append(record_step(step, made))
    return made


def record_step(step: Step, made: list[Any]) -> Any:
    """Records one step."""
    if step.op == "input":
        return input_array(step.array, step.batched)
    if step.op == "parameter":
        return ab.Parameter(init=step.array)
    if step.op == "table":
        return ab.Lookup(init=step.array)
    rec = recorder(step.op)
    op = ab.ops.get(step.op)
    operands = tuple(made[i] for i in step.operands)
    return rec.record(operands, flat(op, step.attrs), data_of(op, step.data))
