"""The compiled engine, reached through cffi: graphs, plans, runs and updates."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import config
from .._core import Graph
from ..errors import ConfigurationError, MemoryLimitError, ShapeError, StaleExpressionError
from ..ops.declare import Call
from ..recording import forms, set_kernels
from ._cpu import ffi, lib

DONE, AGAIN, FORMULA, ROOM = 0, 1, 2, 3

# A run returns this often (seconds) so that Python can see signals.
SLICE = 0.1


@functools.cache
def kernel_table(instruction_set: str | None, itemsize: int) -> Any:
    """The kernels of an instruction set (None: the best here) for 4- or 8-byte numbers."""
    name = ffi.NULL if instruction_set is None else instruction_set.encode()
    table = lib.ab_table_select(name, itemsize)
    if table == ffi.NULL:
        raise ConfigurationError(
            f"configure: this processor has no instruction set {instruction_set!r}"
        )
    return table


def kernel_names() -> list[str]:
    """The names of the compiled kernels, in the order of their numbers."""
    table = kernel_table(None, 4)
    names: list[str] = []
    while (name := lib.ab_kernel_name(table, len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return names


if any(lib.ab_kernel_index(name.encode()) != i for i, name in enumerate(kernel_names())):
    raise ImportError("the kernels of different instruction sets were built from different sources")
set_kernels({name: number for number, name in enumerate(kernel_names())})


def engine_functions() -> int:
    """The address of what the recorder calls without a detour over Python."""
    return int(ffi.cast("intptr_t", lib.ab_engine_functions_get()))


def pointer(graph: Graph) -> Any:
    """The C graph of a graph object.

    Raises:
        StaleExpressionError: the graph is gone.
    """
    address = graph._address
    if not address:
        raise StaleExpressionError("this graph is gone: ab.new_graph() was called since")
    return ffi.cast("ab_graph *", address)


def itemsize(graph: Graph) -> int:
    """Bytes per number of a graph."""
    return int(lib.ab_graph_itemsize(pointer(graph)))


def check(code: int, graph: Graph, doing: str) -> int:
    """Raises what a negative code means."""
    if code >= 0:
        return code
    if code == -2:
        used = lib.ab_graph_size(pointer(graph))
        raise MemoryLimitError(
            f"{doing}: the graph takes {used:,} bytes and needs more than the limit of "
            f"{config.current().memory_limit:,} bytes; begin a new graph more often, or raise "
            f"ab.configure(memory_limit=...) before the graph is begun"
        )
    if code == -1:
        raise MemoryLimitError(f"{doing}: the system gave no more memory")
    raise MemoryLimitError(f"{doing}: a graph holds at most 2^31 nodes and operands")


def int32s(values: Sequence[int]) -> Any:
    """A C array of int32."""
    return ffi.new("int32_t[]", list(values))


def plan(graph: Graph, nodes: Sequence[int]) -> int:
    """Schedules and plans what the nodes need; returns the count of new batches."""
    strategy = config.STRATEGIES.index(config.current().strategy)
    targets = int32s(nodes)
    return check(lib.ab_plan(pointer(graph), len(nodes), targets, strategy), graph, "planning")


def lower_bound(graph: Graph, nodes: Sequence[int]) -> int:
    """The least count of batches that any schedule of what the nodes need could have."""
    profiles = ffi.new("int32_t *")
    bound = lib.ab_lower_bound(pointer(graph), len(nodes), int32s(nodes), profiles)
    return check(bound, graph, "explaining")


def shared(graph: Graph) -> int:
    """How many nodes were asked for and existed already."""
    return int(lib.ab_graph_shared(pointer(graph)))


def unplan(graph: Graph, batches: int) -> None:
    """Takes back what was planned beyond that many batches and has not run."""
    lib.ab_unplan(pointer(graph), batches)


def _table(graph: Graph) -> Any:
    return kernel_table(config.current().instruction_set, itemsize(graph))


def forward(graph: Graph) -> None:
    """Runs the batches that are planned and have not run."""
    g, table, threads = pointer(graph), _table(graph), config.current().threads
    while (code := lib.ab_forward(g, table, threads, SLICE)) != DONE:
        check(code, graph, "forward")
        if code == FORMULA:
            _forward_formula(graph)


def backward(graph: Graph, seeds: Sequence[int], wrt: Sequence[int]) -> None:
    """Runs backward from scalar nodes; adds to the gradients of parameters."""
    g = pointer(graph)
    code = lib.ab_backward_begin(g, len(seeds), int32s(seeds), len(wrt), int32s(wrt))
    resume_backward(graph, check(code, graph, "backward") or AGAIN)


def resume_backward(graph: Graph, code: int) -> None:
    """Goes on with a backward pass that stopped with a code; one that fails is undone."""
    g, table, threads = pointer(graph), _table(graph), config.current().threads
    try:
        while code != DONE:
            check(code, graph, "backward")
            if code == FORMULA:
                _backward_formula(graph)
                lib.ab_backward_skip(g)
            elif code == ROOM:
                _reserve_rows(graph)
            code = lib.ab_backward_run(g, table, threads, SLICE)
    except BaseException:
        lib.ab_backward_undo(g)
        raise


def _reserve_rows(graph: Graph) -> None:
    """Makes room for the gradients of rows that the backward pass at hand will bring."""
    lookups = {p._address: p for p in graph.parameters}
    rows, place = ffi.new("int64_t *"), 0
    while (source := lib.ab_backward_source(pointer(graph), place, rows)) != ffi.NULL:
        if rows[0]:
            lookups[int(ffi.cast("intptr_t", source))]._sparse.reserve(rows[0])
        place += 1


def _address(array: np.ndarray) -> Any:
    """The address of a contiguous array; finding it by ``ctypes`` takes longer than many a use."""
    return ffi.from_buffer(array)


def _at(graph: Graph, address: Any, shape: tuple[int, ...]) -> np.ndarray:
    """An array over memory of the graph."""
    size = itemsize(graph)
    count = math.prod(shape)
    if count == 0:
        return np.zeros(shape, f"f{size}")
    return np.frombuffer(ffi.buffer(address, count * size), f"f{size}").reshape(shape)


def _elements(graph: Graph, address: Any, node: int) -> list[np.ndarray]:
    """The elements of a node's minibatch, as arrays over the graph's memory."""
    bound = forms[graph.expression(node)._form]
    base = int(ffi.cast("intptr_t", address))
    step = batch_stride(graph, node) * itemsize(graph)
    return [
        _at(graph, ffi.cast("void *", base + i * step), bound.shape) for i in range(bound.batch)
    ]


def batch_stride(graph: Graph, node: int) -> int:
    """Numbers from one element of a node's minibatch to the next."""
    columns = node_table(graph, node, 1)
    return int(columns["batch_stride"][0])


def value(graph: Graph, node: int) -> np.ndarray:
    """A copy of a node's value, the manual minibatch first if there is one."""
    return _read(graph, node, lib.ab_node_value(pointer(graph), node))


def kept(graph: Graph, node: int, shape: tuple[int, ...]) -> np.ndarray | None:
    """A parameter's numbers as the graph read them, if they were changed since and kept."""
    address = lib.ab_node_kept(pointer(graph), node)
    return None if address == ffi.NULL else _at(graph, address, shape).copy()


def gradient(graph: Graph, node: int) -> np.ndarray | None:
    """A copy of a node's gradient after a backward pass.

    Zero where the loss does not depend on it; None if it was neither asked for nor depends on
    a trained parameter.
    """
    g = pointer(graph)
    address = lib.ab_node_gradient(g, node) if lib.ab_backward_is_live(g, node) else ffi.NULL
    if address != ffi.NULL:
        return _read(graph, node, address)
    if not lib.ab_backward_is_wanted(g, node):
        return None
    bound = forms[graph.expression(node)._form]  # it may have no value
    shape = bound.shape if bound.batch == 1 else (bound.batch, *bound.shape)
    return np.zeros(shape, f"f{itemsize(graph)}")


def _read(graph: Graph, node: int, address: Any) -> np.ndarray:
    bound = forms[graph.expression(node)._form]
    if bound.batch == 1:
        result = _at(graph, address, bound.shape).copy()
    else:
        elements = _elements(graph, address, node)
        shape = (bound.batch, *bound.shape)
        result = np.array(elements, f"f{itemsize(graph)}").reshape(shape)
    return result.astype(np.int64) if bound.op.integer else result


def data_of(graph: Graph, node: int) -> np.ndarray:
    """A copy of a node's data words."""
    words = ffi.new("int64_t **")
    count = lib.ab_node_data(pointer(graph), node, words)
    if not count:
        return np.zeros(0, np.int64)
    return np.frombuffer(ffi.buffer(words[0], 8 * count), np.int64).copy()


def computed(graph: Graph, node: int) -> Any:
    """Where a node's value lies; None before it is computed."""
    g = pointer(graph)
    if lib.ab_tape_done(g) != lib.ab_tape_length(g):
        return None  # some of what is planned has not run
    address = lib.ab_node_value(g, node)
    return None if address == ffi.NULL else address


def write(graph: Graph, node: int, numbers: np.ndarray) -> None:
    """Replaces the content of an input, in memory order."""
    content = np.ascontiguousarray(numbers, f"f{itemsize(graph)}")
    bound = forms[graph.expression(node)._form]
    if content.size != bound.size * bound.batch:
        raise ShapeError(f"write: expected {bound.size * bound.batch} numbers, got {content.size}")
    if content.size:
        words = ffi.new("int64_t **")
        lib.ab_node_data(pointer(graph), node, words)
        ffi.memmove(words[0], _address(content), content.nbytes)


def redirect(graph: Graph, node: int, places: Sequence[int]) -> None:
    """Replaces the data words of a node."""
    words = ffi.new("int64_t **")
    count = lib.ab_node_data(pointer(graph), node, words)
    if len(places) != count:
        raise ShapeError(f"redirect: expected {count} numbers, got {len(places)}")
    ffi.memmove(words[0], ffi.new("int64_t[]", list(places)), 8 * count)


def forget(graph: Graph) -> None:
    """Nothing counts as computed any more; what was planned stays planned."""
    lib.ab_graph_forget(pointer(graph))


def operands_of(graph: Graph, node: int) -> list[int]:
    """The operands of a node."""
    operands = ffi.new("int32_t **")
    count = lib.ab_node_operands(pointer(graph), node, operands)
    return ffi.unpack(operands[0], count) if count else []


def node_table(graph: Graph, first: int = 0, count: int | None = None) -> dict[str, np.ndarray]:
    """What ab_graph_table of ab_api.h tells of `count` nodes from `first` on; default: all."""
    g = pointer(graph)
    n = lib.ab_graph_nodes(g) - first if count is None else count
    columns: dict[str, np.ndarray] = {
        **{name: np.empty(n, np.int32) for name in ("form", "root", "parent")},
        **{name: np.empty(n, np.int64) for name in ("offset", "batch_stride", "address")},
        "batch": np.empty(n, np.int32),
    }
    kinds = {np.dtype(np.int32): "int32_t *", np.dtype(np.int64): "int64_t *"}
    places = (ffi.cast(kinds[c.dtype], _address(c)) for c in columns.values())
    lib.ab_graph_table(g, first, n, *places)
    return columns


def tape(graph: Graph, first: int = 0) -> list[tuple[int, list[int]]]:
    """The batches of a graph from place `first` on: form and nodes."""
    g = pointer(graph)
    form, nodes = ffi.new("int32_t *"), ffi.new("int32_t **")
    batches = []
    for place in range(first, lib.ab_tape_length(g)):
        n = lib.ab_tape_batch(g, place, form, nodes)
        batches.append((form[0], ffi.unpack(nodes[0], n)))
    return batches


# Batches of ops without a compiled kernel: the plan is cut around them.


def _rows(graph: Graph, node: int, batch: int, address: Any) -> list[np.ndarray]:
    elements = _elements(graph, address, node)
    return elements * batch if len(elements) == 1 else elements


def _call(graph: Graph, bound: Any, nodes: Sequence[int]) -> tuple[Call, list[np.ndarray]]:
    g = pointer(graph)
    data = np.concatenate([data_of(graph, node).reshape(bound.batch, -1) for node in nodes])
    xs = []
    for j in range(len(bound.operands)):
        rows = []
        for node in nodes:
            operand = operands_of(graph, node)[j]
            rows += _rows(graph, operand, bound.batch, lib.ab_node_value(g, operand))
        xs.append(np.array(rows))
    return Call(np, bound.attrs, data, bound.shape, bound.operands), xs


def _forward_formula(graph: Graph) -> None:
    g = pointer(graph)
    done = lib.ab_tape_done(g)
    ((number, nodes),) = tape(graph, done)[:1]
    bound = forms[number]
    call, xs = _call(graph, bound, nodes)
    assert bound.op.forward is not None
    with np.errstate(all="ignore"):
        y = bound.op.forward(call, *xs)
    row = 0
    for node in nodes:
        for element in _elements(graph, lib.ab_node_value(g, node), node):
            element[...] = y[row]
            row += 1
    lib.ab_tape_set_done(g, done + 1)


def _backward_formula(graph: Graph) -> None:
    g = pointer(graph)
    place, number = ffi.new("int32_t **"), ffi.new("int32_t *")
    n = lib.ab_backward_batch(g, place, number)
    nodes = ffi.unpack(place[0], n)
    bound = forms[number[0]]
    if bound.op.gradient is None:
        return
    call, xs = _call(graph, bound, nodes)
    y, dy = (
        np.array([e for node in nodes for e in _elements(graph, find(g, node), node)])
        for find in (lib.ab_node_value, lib.ab_node_gradient)
    )
    for j in range(len(xs)):
        with np.errstate(all="ignore"):
            dx = np.broadcast_to(bound.op.gradient(call, j, dy, y, *xs), xs[j].shape)
        row = 0
        for node in nodes:
            operand = operands_of(graph, node)[j]
            if lib.ab_backward_is_live(g, operand):
                into = _rows(graph, operand, bound.batch, lib.ab_node_gradient(g, operand))
                for i, element in enumerate(into):
                    element += dx[row + i]
            row += bound.batch


# What `Updates.run` answers if it changed nothing.
NOTHING, NOT_FINITE = -1.0, -2.0


def planned(graph: Graph) -> int:
    """How many batches the tape has."""
    return int(lib.ab_tape_length(pointer(graph)))


def done(graph: Graph) -> int:
    """How many batches of the tape have run."""
    return int(lib.ab_tape_done(pointer(graph)))


def set_done(graph: Graph, count: int) -> None:
    """Tells that another backend has run the batches before `count`."""
    lib.ab_tape_set_done(pointer(graph), count)


def differentiated(graph: Graph) -> bool:
    """Whether a backward pass has run in this graph."""
    return bool(lib.ab_backward_has_run(pointer(graph)))


def loss_of(graph: Graph) -> int:
    """The node that the last backward pass ran from; -1: none has run."""
    return int(lib.ab_backward_loss(pointer(graph)))
