"""Runs a plan with the ops' NumPy formulas, one batch at a time.

The oracle of the tests, the fallback for ops without a compiled kernel, and, given CuPy
as the array module, the first form of the GPU backend: nothing here knows where arrays
live. What a plan needs of positions goes to the device in one copy, and so do its new
inputs.

Values lie in stores: store 0 is the arena, with every computed value at the plan's
address; store 1 holds the inputs, and the rows of lookups, that the graph uses; each
further store is one parameter. Gradients lie in arrays of the same layout.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ops.declare import Call
from ..ops.shapes import added
from .rows import Get, Pool, Rows, RowSum, Ticket, add, gather, locate, plan_sum, put

ARENA, INPUTS, FIRST_PARAMETER = 0, 1, 2


class Batch(NamedTuple):
    """Nodes of one profile that run together: (n) and their operands, (n, operands)."""

    form: int
    nodes: np.ndarray
    operands: np.ndarray


class _Layout(NamedTuple):
    """By node: it lies ``offset`` elements after the start of its anchor."""

    anchor: np.ndarray
    offset: np.ndarray
    store: np.ndarray  # of an anchor; -1: not yet anywhere
    base: np.ndarray


class _State:
    """What the backend keeps for one graph."""

    def __init__(self, xp: Any, dtype: Any) -> None:
        self.stores: list[Any] = [xp.zeros(0, dtype), xp.zeros(0, dtype)]
        self.gradients: list[Any] = []
        self.parameters: list[Any] = []
        self.parameter_nodes: list[int] = []
        self.tables: dict[int, tuple[Any, np.ndarray]] = {}  # node: lookup, rows
        self.used = 0  # elements of the input store
        self.store = np.zeros(0, np.int64)
        self.base = np.zeros(0, np.int64)
        self.way: _Way | None = None  # of the last backward pass


class _Step(NamedTuple):
    """A batch, ready to run."""

    bound: Any
    call: Call
    data: Ticket
    xs: list[Rows]
    y: Rows


class _Back(NamedTuple):
    """A step of a backward pass: a batch, or (step None) the gradient of a view going on."""

    step: _Step | None
    dy: Rows
    sums: list[RowSum | None]  # per operand


class FormulaBackend:
    """Runs batches by formula on the arrays of one module.

    A graph, as the backend sees it, has by node the integer arrays ``form_of``, ``root``,
    ``parent`` (operand 0 of a view, else -1), ``view_offset``, ``batch_stride`` and
    ``address``, the functions ``data(node)``, ``source(node)`` and ``kept(node)``, the list
    ``forms`` and the number type ``dtype``. What was computed for it is kept as long as the
    graph object lives.

    Args:
        xp: the array module, NumPy or one that works alike.

    Example:
        >>> from autobatch.twin import TwinGraph
        >>> graph, backend = TwinGraph(), FormulaBackend(np)
        >>> x = graph.input([1.0, 2.0])
        >>> backend.value(graph, x)
        array([1., 2.], dtype=float32)
    """

    name = "numpy"

    def __init__(self, xp: Any = np) -> None:
        self.xp = xp
        self._states: weakref.WeakKeyDictionary[Any, _State] = weakref.WeakKeyDictionary()

    # What a subclass for another device replaces.

    def host(self, array: Any) -> np.ndarray:
        """A NumPy array of the same content."""
        return np.asarray(array)

    def parameter(self, parameter: Any, dtype: np.dtype) -> Any:
        """The parameter's numbers as a flat array of the device."""
        return parameter._data.reshape(-1).astype(dtype, copy=False)

    # Running.

    def forward(self, graph: Any, batches: Sequence[Batch]) -> None:
        """Computes the batches in their order.

        Args:
            graph: the graph, see the class.
            batches: the batches, whose operands have values or are sources.
        """
        xp, state, pool = self.xp, self._state(graph), Pool()
        for batch in batches:
            self._place(graph, state, batch)
        self._load(graph, state, [batch.operands for batch in batches], batches)
        layout = self._values(graph, state)
        steps = [
            self._prepare(graph, layout, batch.form, batch.nodes, batch.operands, pool)
            for batch in batches
            if state.store[batch.nodes[0]] == ARENA
        ]
        get = pool.upload(xp)
        with np.errstate(all="ignore"):
            for bound, call, data, xs, y in steps:
                call.data = get(data)
                values = (gather(xp, state.stores, x, get) for x in xs)
                put(xp, state.stores, y, get, bound.op.forward(call, *values))

    def backward(
        self,
        graph: Any,
        batches: Sequence[Batch],
        seeds: Mapping[int, Any],
        wrt: Iterable[int] = (),
    ) -> None:
        """Runs the batches in reverse and adds to the gradients of the parameters.

        Only nodes that the seeds depend on, and that depend on a trainable parameter or
        on a node of ``wrt``, get a gradient: what is NaN elsewhere stays there.

        Args:
            graph: the graph, see the class; its batches have run forward.
            batches: all of them that the seeds depend on, in forward order.
            seeds: by node, the gradient to start from, in the shape of its value.
            wrt: nodes whose gradient `gradient` will be asked for.
        """
        xp, state, pool = self.xp, self._state(graph), Pool()
        wrt = [int(node) for node in wrt]
        ends = np.array([*seeds, *wrt], np.int64)
        self._load(graph, state, [ends, *(batch.operands for batch in batches)], ())
        values = self._values(graph, state)
        state.way = way = _Way(graph, state, batches, wrt)
        layout = way.layout
        state.gradients = [xp.zeros(store.shape, graph.dtype) for store in state.stores]
        state.gradients.append(xp.zeros(way.extra, graph.dtype))

        reached = np.zeros(len(values.anchor), bool)
        reached[layout.anchor[list(seeds)]] = True
        starts = [(_located(graph, layout, [node], pool), seeds[node]) for node in seeds]
        steps: list[_Back] = []
        for item in reversed(way.items):
            if isinstance(item, int):
                if reached[item] and way.passes(item):
                    reached[way.out.anchor[item]] = True
                    of = _located(graph, layout, [item], pool)
                    into = _located(graph, way.out, [item], pool)
                    steps.append(
                        _Back(None, of, [plan_sum(into, np.arange(len(into.start)), pool)])
                    )
                continue
            live = way.wanted[layout.anchor[item.operands]] & reached[item.nodes][:, None]
            part = live.any(axis=1)
            if not part.any():
                continue
            nodes, operands, live = item.nodes[part], item.operands[part], live[part]
            reached[layout.anchor[operands[live]]] = True
            step = self._prepare(graph, values, item.form, nodes, operands, pool)
            dy = _located(graph, layout, nodes, pool)
            sums = [
                self._plan(graph, layout, step, operands[:, j], j, live[:, j], pool)
                for j in range(operands.shape[1])
            ]
            steps.append(_Back(step, dy, sums))
        get = pool.upload(xp)

        with np.errstate(all="ignore"):
            for at, seed in starts:
                seed = xp.asarray(seed, graph.dtype).reshape(at.shape)
                put(xp, state.gradients, at, get, seed + gather(xp, state.gradients, at, get))
            for back in steps:
                self._run_back(state, back, get)
        self._deliver(state, reached)
        if graph.touching:
            self._touch(graph, max(seeds))

    def value(self, graph: Any, node: int) -> np.ndarray:
        """The value of a node, as an array of its shape (minibatch first, if it has one)."""
        state = self._state(graph)
        self._load(graph, state, [np.array([node])], ())
        value = self._read(graph, self._values(graph, state), node, state.stores)
        return value.astype(np.int64) if graph.forms[graph.form_of[node]].op.integer else value

    def gradient(self, graph: Any, node: int) -> np.ndarray | None:
        """The gradient of a node after the last backward pass.

        Zero where the seeds do not depend on the node; None where the pass left it out, for
        want of a trainable parameter below it or of its name in ``wrt``.
        """
        way = self._state(graph).way
        if way is None or node >= len(way.wanted) or not way.wanted[way.layout.anchor[node]]:
            return None
        if way.layout.store[way.layout.anchor[node]] < 0:  # it has not even run
            return np.zeros(_full_shape(graph.forms[graph.form_of[node]]), graph.dtype)
        return self._read(graph, way.layout, node, self._state(graph).gradients)

    def _read(self, graph: Any, layout: _Layout, node: int, stores: list[Any]) -> np.ndarray:
        pool = Pool()
        at = _located(graph, layout, [node], pool)
        rows = self.host(gather(self.xp, stores, at, pool.upload(self.xp)))
        return np.array(rows, graph.dtype).reshape(_full_shape(graph.forms[graph.form_of[node]]))

    # Where things lie.

    def _state(self, graph: Any) -> _State:
        if graph not in self._states:
            self._states[graph] = _State(self.xp, graph.dtype)
        state = self._states[graph]
        more = len(graph.root) - len(state.store)
        if more:
            state.store = np.append(state.store, np.full(more, -1))
            state.base = np.append(state.base, np.zeros(more, np.int64))
        return state

    @staticmethod
    def _values(graph: Any, state: _State) -> _Layout:
        offset = np.asarray(graph.view_offset, np.int64)
        return _Layout(np.asarray(graph.root), offset, state.store, state.base)

    def _place(self, graph: Any, state: _State, batch: Batch) -> None:
        """Notes where a batch's results go, and grows the arena to hold them."""
        bound = graph.forms[batch.form]
        address = np.asarray(graph.address, np.int64)[batch.nodes]
        state.store[batch.nodes], state.base[batch.nodes] = ARENA, address
        end = int(address.max()) + bound.size * bound.batch
        state.stores[ARENA] = self._grown(state.stores[ARENA], end)

    def _grown(self, store: Any, length: int) -> Any:
        if length <= len(store):
            return store
        larger = self.xp.zeros(max(length, 2 * len(store)), store.dtype)
        larger[: len(store)] = store
        return larger

    def _load(
        self, graph: Any, state: _State, nodes: Iterable[np.ndarray], batches: Sequence[Batch]
    ) -> None:
        """Brings what the nodes are, or view, to the device, as far as it is a source.

        Batches of table rows count as sources, too: only the rows travel, not the table.
        """
        root, arrays = np.asarray(graph.root), []

        def load(node: int, array: np.ndarray) -> None:
            state.store[node], state.base[node] = INPUTS, state.used
            state.used += array.size
            arrays.append(np.asarray(array, graph.dtype).reshape(-1))

        roots = np.unique(
            np.concatenate([np.zeros(0, np.int64), *(root[v].ravel() for v in nodes)])
        )
        for batch in batches:
            if not graph.forms[batch.form].op.table:
                continue
            for node, table in zip(batch.nodes.tolist(), batch.operands[:, 0].tolist()):
                held = graph.source(table) if root[table] == table else None
                if held is not None and hasattr(held, "_sparse"):
                    state.tables[node] = held, graph.data(node)
                    load(node, held._data[graph.data(node)])
                    roots = roots[roots != table]
        for node in roots[state.store[roots] < 0].tolist():
            if not graph.forms[graph.form_of[node]].op.source:
                continue  # of `wrt`, and nothing that ran needed it
            held = graph.source(node)
            if not hasattr(held, "_data"):
                load(node, held)
            elif graph.forms[graph.form_of[node]].op.table:
                state.tables[node] = held, graph.data(node)
                load(node, held._data[graph.data(node)])
            else:
                state.store[node] = FIRST_PARAMETER + len(state.parameters)
                state.parameters.append(held)
                state.parameter_nodes.append(node)
                state.stores.append(None)
        if arrays:
            start = state.used - sum(array.size for array in arrays)
            state.stores[INPUTS] = self._grown(state.stores[INPUTS], state.used)
            state.stores[INPUTS][start : state.used] = self.xp.asarray(np.concatenate(arrays))
        held = zip(state.parameters, state.parameter_nodes, strict=True)
        for i, (parameter, node) in enumerate(held, FIRST_PARAMETER):
            kept = graph.kept(node)
            state.stores[i] = (
                self.parameter(parameter, graph.dtype)
                if kept is None
                else self.xp.asarray(kept.reshape(-1))
            )

    def _prepare(
        self,
        graph: Any,
        layout: _Layout,
        form: int,
        nodes: np.ndarray,
        operands: np.ndarray,
        pool: Pool,
    ) -> _Step:
        bound = graph.forms[form]
        call = Call(self.xp, bound.attrs, None, bound.shape, bound.operands)  # type: ignore[arg-type]
        if bound.op.data:
            words = [np.asarray(graph.data(int(v))).reshape(bound.batch, -1) for v in nodes]
            data = pool.add(np.concatenate(words))
        else:
            data = pool.add(np.zeros((len(nodes) * bound.batch, 0)))
        xs = [
            _operand_rows(graph, layout, bound, operands[:, j], j, pool)
            for j in range(operands.shape[1])
        ]
        return _Step(bound, call, data, xs, _located(graph, layout, nodes, pool))

    # Gradients.

    def _plan(
        self,
        graph: Any,
        layout: _Layout,
        step: _Step,
        operands: np.ndarray,
        j: int,
        live: np.ndarray,
        pool: Pool,
    ) -> RowSum | None:
        """How to add the gradient of operand ``j``, for the nodes where it is live."""
        if not live.any():
            return None
        at = _operand_rows(graph, layout, step.bound, operands, j, pool)
        if _is_same(step.bound, j):
            return plan_sum(at, np.arange(1), pool)
        return plan_sum(at, np.flatnonzero(np.repeat(live, len(at.start) // len(live))), pool)

    def _run_back(self, state: _State, back: _Back, get: Get) -> None:
        xp = self.xp
        dy = gather(xp, state.gradients, back.dy, get)
        if back.step is None:
            for whole in filter(None, back.sums):
                add(xp, state.gradients, whole, dy, get)
            return
        bound, call, data, x_rows, y_rows = back.step
        call.data = get(data)
        xs = [gather(xp, state.stores, x, get) for x in x_rows]
        y = gather(xp, state.stores, y_rows, get)
        for j, plan in enumerate(back.sums):
            if plan is None:
                continue
            dx = bound.op.gradient(call, j, dy, y, *xs)
            if dx is not None:
                dx = self._as_operand(bound, dx, xs[j].shape, _is_same(bound, j))
                add(xp, state.gradients, plan, dx, get)

    def _as_operand(self, bound: Any, dx: Any, shape: tuple[int, ...], same: bool) -> Any:
        """Sums a gradient over what was broadcast; returns it in the operand's shape."""
        if bound.op.elementwise:
            dx = self.xp.broadcast_to(dx, (dx.shape[0], *bound.shape))
            axes = tuple(
                axis
                for axis, (full, own) in enumerate(zip(bound.shape, shape[1:]), start=1)
                if own == 1 and full != 1
            )
            dx = added(self.xp, dx, axes, True) if axes else dx
        if same and dx.ndim == len(shape) and dx.shape[0] > 1:
            dx = added(self.xp, dx, 0)
        return dx.reshape(shape)

    @staticmethod
    def _touch(graph: Any, last: int) -> None:
        """Begins the gradients of rows that were looked up before the loss: see mark_touched of
        kernels/cpu/backward.c."""

        def op_of(node: int) -> str:
            return str(graph.forms[graph.form_of[node]].op.name)

        tables = {}
        for node in range(last + 1):
            of_table = graph.forms[graph.form_of[node]].op.table
            if of_table and op_of(graph.operands(node)[0]) == "parameter":
                tables[node] = set[bool]()
        for node in range(len(graph.form_of)) if tables else ():
            for operand in graph.operands(node):
                if operand in tables:
                    tables[operand].add(op_of(node) == "stop_gradient")
        for node, stopped in tables.items():
            held, rows = graph.source(node), graph.data(node)
            if held.trainable and stopped != {True}:
                zeros = np.zeros((len(rows), *held._data.shape[1:]), held._data.dtype)
                held._sparse.add(rows, zeros)

    def _deliver(self, state: _State, reached: np.ndarray) -> None:
        """Adds the gradients of this pass to the parameters on the host: all of them or none."""
        dense = [
            (parameter, self.host(state.gradients[i]))
            for i, parameter in enumerate(state.parameters, FIRST_PARAMETER)
            if reached[state.store == i].any() and parameter.trainable
        ]
        nodes = [v for v, (held, _) in state.tables.items() if reached[v] and held.trainable]
        gradient = self.host(state.gradients[INPUTS]) if nodes else None
        tables = {id(held): held for held, _ in state.tables.values()}
        kept = [(p, p._kept_gradient()) for p in (*(p for p, _ in dense), *tables.values())]
        try:
            for parameter, found in dense:
                into = parameter._ensure_grad()
                into += found.reshape(into.shape)
            for node in sorted(nodes):
                held, rows = state.tables[node]
                shape = (len(rows), *held._data.shape[1:])
                start = state.base[node]
                assert gradient is not None
                held._sparse.add(rows, gradient[start : start + math.prod(shape)].reshape(shape))
        except BaseException:
            for parameter, before in kept:
                parameter._restore_gradient(before)
            raise


class _Way:
    """Which nodes take part in a backward pass, and where their gradients lie.

    The gradient of a view lies inside that of the node it views, with two exceptions, whose
    gradients get room of their own: views through which no gradient passes, and views whose
    own gradient is asked for (inside the other's it would mix with what comes from other
    readers). Of the latter it is added to the viewed node's once it is complete.

    Attributes:
        items: batches and, as ints, such views, in forward order.
        layout: where gradients lie; `out`: the same, but those views inside what they view.
        wanted: by anchor: its gradient is needed.
        extra: elements of the room for those views.
    """

    def __init__(self, graph: Any, state: _State, batches: Sequence[Batch], wrt: list[int]) -> None:
        root, offset = np.asarray(graph.root), np.asarray(graph.view_offset, np.int64)
        n = len(root)
        self._blocks = np.array([bound.form.block_gradient for bound in graph.forms], bool)[
            np.asarray(graph.form_of)
        ]
        views = root != np.arange(n)
        own = views & self._blocks
        own[wrt] |= views[wrt]
        anchor, shift, store, base = root.copy(), offset.copy(), state.store.copy(), state.base
        out_anchor, out_shift = anchor.copy(), shift.copy()
        self.extra = 0
        if own.any():
            base = base.copy()
            parent = np.asarray(graph.parent)
            for v in np.flatnonzero(views).tolist():
                p = int(parent[v])
                out_anchor[v], out_shift[v] = anchor[p], shift[p] + offset[v] - offset[p]
                anchor[v], shift[v] = (v, 0) if own[v] else (out_anchor[v], out_shift[v])
                if own[v]:
                    bound = graph.forms[graph.form_of[v]]
                    store[v], base[v] = len(state.stores), self.extra
                    self.extra += int(graph.batch_stride[v]) * (bound.batch - 1) + bound.size
        self.layout = _Layout(anchor, shift, store, base)
        self.out = _Layout(out_anchor, out_shift, store, base)

        # A view comes right after the batch of its root; of a source, before all batches.
        batch_of = {v: i for i, batch in enumerate(batches) for v in batch.nodes.tolist()}
        after: dict[int, list[int]] = {}
        for v in np.flatnonzero(own).tolist():
            after.setdefault(batch_of.get(int(root[v]), -1), []).append(v)
        self.items: list[Batch | int] = list(after.get(-1, []))
        for i, batch in enumerate(batches):
            if state.store[batch.nodes[0]] == ARENA:
                self.items.append(batch)
            self.items += after.get(i, [])

        self.wanted = wanted = np.zeros(n, bool)
        for i, parameter in enumerate(state.parameters, FIRST_PARAMETER):
            wanted[state.store == i] = parameter.trainable
        for node, (held, _) in state.tables.items():
            wanted[node] = held.trainable
        wanted[anchor[wrt]] = True
        differentiable: list[Batch | int] = []
        for item in self.items:
            if isinstance(item, int):
                wanted[item] |= self.passes(item)
                differentiable.append(item)
                continue
            bound = graph.forms[item.form]
            if bound.op.gradient is not None and not bound.form.block_gradient:
                wanted[item.nodes] |= wanted[anchor[item.operands]].any(axis=1)
                differentiable.append(item)
        self.items = differentiable

    def passes(self, view: int) -> bool:
        """Whether the gradient of a view with room of its own goes on."""
        return bool(self.wanted[self.out.anchor[view]]) and not self._blocks[view]


def _is_same(bound: Any, j: int) -> bool:
    return bool(bound.form.same) and bound.form.same[j]


def _full_shape(bound: Any) -> tuple[int, ...]:
    return bound.shape if bound.batch == 1 else (bound.batch, *bound.shape)


def _located(graph: Any, layout: _Layout, nodes: Any, pool: Pool, repeat: int = 1) -> Rows:
    """The rows of nodes of one form; one without a minibatch stands for `repeat` equal rows."""
    nodes = np.asarray(nodes, np.int64)
    bound = graph.forms[int(graph.form_of[nodes[0]])]
    anchor = layout.anchor[nodes]
    start = (layout.base[anchor] + layout.offset[nodes])[:, None]
    if bound.batch > 1:
        stride = np.asarray(graph.batch_stride, np.int64)[nodes]
        start = start + stride[:, None] * np.arange(bound.batch)
    else:
        start = np.repeat(start, repeat, axis=1)
    store = np.repeat(layout.store[anchor], start.shape[1])
    return locate(store, start.reshape(-1), bound.size, bound.shape, pool)


def _operand_rows(
    graph: Any, layout: _Layout, bound: Any, nodes: np.ndarray, j: int, pool: Pool
) -> Rows:
    """The rows of operand ``j`` of the nodes of a batch."""
    operand, aware = bound.operands[j], bound.form.batch_aware
    if _is_same(bound, j):
        rows = _located(graph, layout, nodes[:1], pool)
    else:
        rows = _located(graph, layout, nodes, pool, repeat=1 if aware else bound.batch)
    shape = tuple(operand.shape)
    if aware:
        rows.shape = (len(nodes), operand.batch, *shape)
    elif bound.op.elementwise:
        # The row axis stands in front, so the axes that NumPy would insert are written out.
        rows.shape = (len(rows.start), *(1,) * (len(bound.shape) - len(shape)), *shape)
    return rows
