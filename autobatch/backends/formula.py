"""Runs a plan with the ops' NumPy formulas, one batch at a time.

The oracle of the tests, the fallback for ops without a compiled kernel, and, given CuPy
as the array module, the first form of the GPU backend: nothing here knows where arrays
live. Indices are worked out on the host; what a plan needs of them goes to the device in
one copy, and so do its new inputs.

Values lie in stores, flat arrays of one number type: store 0 is the arena, with every
computed value at the plan's address; store 1 holds the inputs and the rows of lookups
that the graph uses; each further store is one parameter. Gradients lie in arrays of the
same layout.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ops.declare import Call

ARENA, INPUTS, FIRST_PARAMETER = 0, 1, 2


def _trains(source: Any) -> bool:
    """Whether a source is a parameter that takes a gradient."""
    return hasattr(source, "_data") and source.trainable


class _Pool:
    """Integer arrays that go to the device in one copy."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._length = 0

    def add(self, array: Any) -> tuple[int, int, tuple[int, ...]]:
        """A ticket for an array, taken back by `_Pool.upload`'s function."""
        array = np.asarray(array, np.int64)
        start, self._length = self._length, self._length + array.size
        self._parts.append(array.reshape(-1))
        return start, self._length, array.shape

    def upload(self, xp: Any) -> Any:
        """Copies all arrays; returns the function from ticket to device array."""
        flat = xp.asarray(np.concatenate(self._parts) if self._parts else np.zeros(0, np.int64))
        return lambda ticket: flat[ticket[0] : ticket[1]].reshape(ticket[2])


@dataclass
class _Rows:
    """Where the rows of one operand (or result) of a batch lie.

    Attributes:
        shape: shape of the gathered array, rows first.
        size: elements of a row.
        store, start: per row, host arrays.
        parts: per store: (store, ticket of the rows or None for all, ticket of the starts
            or a slice where the rows lie side by side).
    """

    shape: tuple[int, ...]
    size: int
    store: np.ndarray
    start: np.ndarray
    parts: list[tuple[int, Any, Any]]


@dataclass
class _Sum:
    """Steps that add rows to a store, no two at one place in one step.

    An unordered atomic addition would give other bits on every run, and NumPy's ``add.at``
    has no counterpart that is both exact and ordered on a device. So rows of one place are
    first added up in pairs, and rows that overlap otherwise take turns.
    """

    merges: list[tuple[Any, Any]]  # (to, from) row numbers
    turns: list[tuple[int, Any, Any]]  # (store, row numbers, starts)


def _apart(start: np.ndarray, size: int) -> list[np.ndarray]:
    """Splits ascending, distinct starts into sets whose rows do not overlap."""
    if len(start) < 2 or np.diff(start).min() >= size:
        return [np.arange(len(start))]
    turns: list[list[int]] = []
    ends: list[int] = []
    for i, at in enumerate(start.tolist()):
        turn = next((t for t, end in enumerate(ends) if end <= at), len(turns))
        if turn == len(turns):
            turns.append([])
            ends.append(0)
        turns[turn].append(i)
        ends[turn] = at + size
    return [np.array(turn) for turn in turns]


def _plan_sum(x: _Rows, rows: np.ndarray, pool: _Pool) -> _Sum:
    """The steps that add the given rows of an array shaped as ``x`` to where ``x`` lies."""
    plan = _Sum([], [])
    if x.size == 0 or len(rows) == 0:
        return plan
    rows = rows[np.lexsort((x.start[rows], x.store[rows]))]
    store, start = x.store[rows], x.start[rows]
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (np.diff(store) != 0) | (np.diff(start) != 0)
    heads = np.flatnonzero(fresh)
    rank = np.arange(len(rows)) - np.repeat(heads, np.diff(np.append(heads, len(rows))))
    alive = rows
    while rank.any():
        odd = np.flatnonzero(rank % 2)
        plan.merges.append((pool.add(alive[odd - 1]), pool.add(alive[odd])))
        keep = rank % 2 == 0
        alive, rank = alive[keep], rank[keep] // 2
    for place in np.unique(store):
        first = rows[fresh & (store == place)]
        for turn in _apart(x.start[first], x.size):
            chosen = first[turn]
            plan.turns.append((int(place), pool.add(chosen), pool.add(x.start[chosen])))
    return plan


class _State:
    """What the backend keeps for one graph."""

    def __init__(self, xp: Any, dtype: Any) -> None:
        self.stores: list[Any] = [xp.zeros(0, dtype), xp.zeros(0, dtype)]
        self.gradients: list[Any] = []
        self.parameters: list[Any] = []
        self.used = 0  # elements of the input store
        self.store_of = np.zeros(0, np.int64)  # per node; sources only, -1: not yet known
        self.base_of = np.zeros(0, np.int64)


class FormulaBackend:
    """Runs batches by formula on the arrays of one module.

    A graph, as the backend sees it, has by node the integer arrays ``form_of``, ``root``,
    ``view_offset``, ``batch_stride`` and ``address``, the functions ``data(node)`` and
    ``source(node)``, the list ``forms`` and the number type ``dtype``. What was computed
    for it is kept as long as the graph object lives.

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

    def _parameter(self, parameter: Any, dtype: np.dtype) -> Any:
        """The parameter's numbers as a flat array of the device."""
        return parameter._data.reshape(-1).astype(dtype, copy=False)

    # Running.

    def forward(self, graph: Any, batches: Sequence[Any]) -> None:
        """Computes the batches in their order.

        Args:
            graph: the graph, see the class.
            batches: objects with ``form``, ``nodes`` (n) and ``operands`` (n, operands).
        """
        state = self._state(graph)
        self._place(graph, state, batches)
        self._load(graph, state, [batch.operands for batch in batches])
        pool = _Pool()
        steps = [self._prepare(graph, state, batch, pool) for batch in batches]
        get = pool.upload(self.xp)
        with np.errstate(all="ignore"):
            for bound, call, data, xs, y in steps:
                call.data = get(data)
                value = bound.op.forward(call, *(self._gather(state.stores, x, get) for x in xs))
                self._store(state.stores, y, get, value)

    def backward(
        self,
        graph: Any,
        batches: Sequence[Any],
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
        xp, state = self.xp, self._state(graph)
        wrt, seeds = list(wrt), dict(seeds)
        ends = np.array([*seeds, *wrt], np.int64)
        self._load(graph, state, [ends, *(batch.operands for batch in batches)])
        state.gradients = [xp.zeros(store.shape, graph.dtype) for store in state.stores]

        wanted = self._wanted(graph, state, batches, wrt)
        root = np.asarray(graph.root)
        reached = np.zeros(len(root), bool)
        reached[root[list(seeds)]] = True
        pool, steps = _Pool(), []
        for batch in reversed(batches):
            bound = graph.forms[batch.form]
            if bound.op.gradient is None or bound.form.block_gradient:
                continue
            live = wanted[root[batch.operands]] & reached[batch.nodes][:, None]
            live &= self._passes(graph, batch.operands)
            rows = live.any(axis=1)
            if not rows.any():
                continue
            part = _Part(batch.form, batch.nodes[rows], batch.operands[rows])
            bound, call, data, xs, y = self._prepare(graph, state, part, pool)
            sums: list[_Sum | None] = []
            for j, x in enumerate(xs):
                use = live[rows, j]
                reached[root[part.operands[use, j]]] = True
                sums.append(self._plan_gradient(bound, j, x, use, pool) if use.any() else None)
            steps.append((bound, call, data, xs, y, sums))
        starts = [(self._locate(graph, state, [node], True, pool), seeds[node]) for node in seeds]
        get = pool.upload(xp)

        with np.errstate(all="ignore"):
            for at, seed in starts:
                seed = xp.asarray(seed, graph.dtype).reshape(at.shape)
                self._store(state.gradients, at, get, seed + self._gather(state.gradients, at, get))
            for bound, call, data, xs, y, sums in steps:
                call.data = get(data)
                values = [self._gather(state.stores, x, get) for x in xs]
                result = self._gather(state.stores, y, get)
                dy = self._gather(state.gradients, y, get)
                for j, plan in enumerate(sums):
                    if plan is None:
                        continue
                    dx = bound.op.gradient(call, j, dy, result, *values)
                    if dx is not None:
                        dx = self._as_operand(bound, j, dx, xs[j])
                        self._add(state.gradients, plan, dx, xs[j].size, get)
        self._deliver(graph, state, reached)

    def value(self, graph: Any, node: int) -> np.ndarray:
        """The value of a node, as an array of its shape (minibatch first, if it has one)."""
        value = self._read(graph, node, self._state(graph).stores)
        return value.astype(np.int64) if graph.forms[graph.form_of[node]].op.integer else value

    def gradient(self, graph: Any, node: int) -> np.ndarray:
        """The gradient of a node after the last backward pass; zero where none arrived."""
        return self._read(graph, node, self._state(graph).gradients)

    def _read(self, graph: Any, node: int, stores: list[Any]) -> np.ndarray:
        state = self._state(graph)
        self._load(graph, state, [np.array([node])])
        bound = graph.forms[graph.form_of[node]]
        pool = _Pool()
        at = self._locate(graph, state, [node], True, pool)
        store = int(at.store[0])
        if stores is state.gradients and (
            store >= len(stores) or at.start.max() + at.size > len(stores[store])
        ):
            rows = np.zeros(at.shape, graph.dtype)
        else:
            rows = self.host(self._gather(stores, at, pool.upload(self.xp)))
        shape = bound.shape if bound.batch == 1 else (bound.batch, *bound.shape)
        return np.array(rows, graph.dtype).reshape(shape)

    # Where things lie.

    def _state(self, graph: Any) -> _State:
        if graph not in self._states:
            self._states[graph] = _State(self.xp, graph.dtype)
        state = self._states[graph]
        more = len(graph.root) - len(state.store_of)
        state.store_of = np.append(state.store_of, np.full(more, -1))
        state.base_of = np.append(state.base_of, np.zeros(more, np.int64))
        return state

    def _load(self, graph: Any, state: _State, operands: Iterable[np.ndarray]) -> None:
        """Brings every source that the nodes are, or view, to the device."""
        xp, root, form_of = self.xp, np.asarray(graph.root), np.asarray(graph.form_of)
        roots = [np.unique(root[np.asarray(nodes, np.int64)]) for nodes in operands]
        roots = np.unique(np.concatenate([np.zeros(0, np.int64), *roots]))
        arrays: list[np.ndarray] = []
        for node in roots[state.store_of[roots] < 0].tolist():
            held = graph.source(node)
            if not hasattr(held, "_data"):
                arrays.append(np.asarray(held, graph.dtype).reshape(-1))
            elif graph.forms[form_of[node]].op.data:
                arrays.append(np.asarray(held._data[graph.data(node)], graph.dtype).reshape(-1))
            else:
                if not any(held is known for known in state.parameters):
                    state.parameters.append(held)
                    state.stores.append(None)
                place = next(i for i, known in enumerate(state.parameters) if known is held)
                state.store_of[node] = FIRST_PARAMETER + place
                continue
            state.store_of[node], state.base_of[node] = INPUTS, state.used
            state.used += arrays[-1].size
        if arrays:
            start = state.used - sum(array.size for array in arrays)
            state.stores[INPUTS] = self._grown(state.stores[INPUTS], state.used)
            state.stores[INPUTS][start : state.used] = xp.asarray(np.concatenate(arrays))
        for i, parameter in enumerate(state.parameters):
            state.stores[FIRST_PARAMETER + i] = self._parameter(parameter, graph.dtype)

    def _place(self, graph: Any, state: _State, batches: Sequence[Any]) -> None:
        """Notes where the batches' results go, and grows the arena to hold them."""
        address, end = np.asarray(graph.address, np.int64), 0
        for batch in batches:
            bound = graph.forms[batch.form]
            state.store_of[batch.nodes] = ARENA
            state.base_of[batch.nodes] = address[batch.nodes]
            end = max(end, int(address[batch.nodes].max()) + bound.size * bound.batch)
        state.stores[ARENA] = self._grown(state.stores[ARENA], end)

    def _grown(self, store: Any, length: int) -> Any:
        if length <= len(store):
            return store
        larger = self.xp.zeros(max(length, 2 * len(store)), store.dtype)
        larger[: len(store)] = store
        return larger

    def _locate(
        self, graph: Any, state: _State, nodes: Any, rows: bool, pool: _Pool, repeat: int = 1
    ) -> _Rows:
        """The rows of nodes of one form; ``rows``: all of a node's minibatch, else its first.

        ``repeat``: a node without a minibatch stands for that many equal rows.
        """
        nodes = np.asarray(nodes, np.int64)
        bound = graph.forms[int(graph.form_of[nodes[0]])] if len(nodes) else None
        shape, size = bound.shape, bound.size
        root = np.asarray(graph.root)[nodes]
        start = state.base_of[root] + np.asarray(graph.view_offset, np.int64)[nodes]
        if rows and bound.batch > 1:
            stride = np.asarray(graph.batch_stride, np.int64)[nodes]
            start = start[:, None] + stride[:, None] * np.arange(bound.batch)
        else:
            start = np.repeat(start[:, None], repeat, axis=1)
        store = np.repeat(state.store_of[root], start.shape[1])
        start = start.reshape(-1)
        parts = []
        for place in np.unique(store):
            here = np.flatnonzero(store == place)
            which = None if len(here) == len(store) else pool.add(here)
            first = int(start[here[0]])
            if (start[here] == first + size * np.arange(len(here))).all():
                parts.append((int(place), which, slice(first, first + size * len(here))))
            else:
                parts.append((int(place), which, pool.add(start[here])))
        return _Rows((len(start), *shape), size, store, start, parts)

    def _prepare(self, graph: Any, state: _State, batch: Any, pool: _Pool) -> tuple[Any, ...]:
        """A batch's form, call, data ticket, operand rows and result rows."""
        bound = graph.forms[batch.form]
        form, aware, n = bound.form, bound.form.batch_aware, len(batch.nodes)
        call = Call(self.xp, bound.attrs, None, bound.shape, bound.operands)
        if bound.op.data:
            held = [np.asarray(graph.data(int(v))).reshape(bound.batch, -1) for v in batch.nodes]
            data = pool.add(np.concatenate(held))
        else:
            data = pool.add(np.zeros((n * bound.batch, 0)))
        xs = []
        for j, operand in enumerate(bound.operands):
            nodes = batch.operands[:, j]
            if form.same and form.same[j]:
                x = self._locate(graph, state, nodes[:1], False, pool)
            else:
                repeat = 1 if aware else bound.batch
                x = self._locate(graph, state, nodes, True, pool, repeat)
            if aware:
                x.shape = (n, operand.batch, *operand.shape)
            else:
                x.shape = (len(x.start), *self._aligned(bound, operand))
            xs.append(x)
        return bound, call, data, xs, self._locate(graph, state, batch.nodes, True, pool)

    @staticmethod
    def _aligned(bound: Any, operand: Any) -> tuple[int, ...]:
        """An operand's shape with the axes that NumPy would put in front when broadcasting.

        The row axis stands in front, so they have to be written out.
        """
        if not bound.op.elementwise:
            return operand.shape
        return (1,) * (len(bound.shape) - len(operand.shape)) + tuple(operand.shape)

    # Moving rows.

    def _elements(self, starts: Any, size: int) -> Any:
        return starts[:, None] + self.xp.arange(size)

    def _gather(self, stores: list[Any], rows: _Rows, get: Any) -> Any:
        held = []
        for store, which, at in rows.parts:
            if isinstance(at, slice):
                found = stores[store][at].reshape(-1 if rows.size else len(rows.start), rows.size)
            else:
                found = stores[store][self._elements(get(at), rows.size)]
            if which is None:
                return found.reshape(rows.shape)
            held.append((which, found))
        if not held:
            return self.xp.zeros(rows.shape, stores[ARENA].dtype)
        result = self.xp.empty((len(rows.start), rows.size), stores[ARENA].dtype)
        for which, found in held:
            result[get(which)] = found
        return result.reshape(rows.shape)

    def _store(self, stores: list[Any], rows: _Rows, get: Any, value: Any) -> None:
        value = self.xp.broadcast_to(value, rows.shape).reshape(len(rows.start), rows.size)
        for store, which, at in rows.parts:
            part = value if which is None else value[get(which)]
            if isinstance(at, slice):
                stores[store][at] = part.reshape(-1)
            else:
                stores[store][self._elements(get(at), rows.size)] = part

    def _add(self, stores: list[Any], plan: _Sum, rows: Any, size: int, get: Any) -> None:
        if not plan.turns:
            return
        rows = rows.reshape(-1, size)
        if plan.merges:
            rows = rows.copy()
        for into, of in plan.merges:
            rows[get(into)] += rows[get(of)]
        for store, which, starts in plan.turns:
            at = self._elements(get(starts), size)
            stores[store][at] = stores[store][at] + rows[get(which)]

    # Gradients.

    def _wanted(
        self, graph: Any, state: _State, batches: Sequence[Any], wrt: list[int]
    ) -> np.ndarray:
        """By node: it depends on something whose gradient is asked for."""
        root = np.asarray(graph.root)
        wanted = np.zeros(len(root), bool)
        for node in np.flatnonzero(state.store_of > ARENA).tolist():
            wanted[node] = _trains(graph.source(node))
        wanted[root[wrt]] = True
        for batch in batches:
            bound = graph.forms[batch.form]
            if bound.op.gradient is not None and not bound.form.block_gradient:
                passes = wanted[root[batch.operands]] & self._passes(graph, batch.operands)
                wanted[batch.nodes] |= passes.any(axis=1)
        return wanted

    @staticmethod
    def _passes(graph: Any, nodes: np.ndarray) -> np.ndarray:
        """By node: a gradient goes on from it into what it views."""
        blocks = np.array([bound.form.block_gradient for bound in graph.forms], bool)
        views = np.asarray(graph.root)[nodes] != nodes
        return ~(blocks[np.asarray(graph.form_of)[nodes]] & views)

    @staticmethod
    def _plan_gradient(bound: Any, j: int, x: _Rows, use: np.ndarray, pool: _Pool) -> _Sum:
        """`_plan_sum` for operand ``j`` of the nodes that ``use`` selects."""
        if bound.form.same and bound.form.same[j]:
            return _plan_sum(x, np.arange(1), pool)
        return _plan_sum(x, np.flatnonzero(np.repeat(use, len(x.start) // len(use))), pool)

    def _as_operand(self, bound: Any, j: int, dx: Any, x: _Rows) -> Any:
        """Sums a gradient over what was broadcast; returns it in the operand's shape."""
        if bound.op.elementwise:
            dx = self.xp.broadcast_to(dx, (dx.shape[0], *bound.shape))
            axes = tuple(
                axis
                for axis, (full, own) in enumerate(zip(bound.shape, x.shape[1:]), start=1)
                if own == 1 and full != 1
            )
            dx = dx.sum(axis=axes, keepdims=True) if axes else dx
            if x.shape[0] == 1 and dx.shape[0] > 1:
                dx = dx.sum(axis=0)
        return dx.reshape(x.shape)

    def _deliver(self, graph: Any, state: _State, reached: np.ndarray) -> None:
        """Adds the gradients of this pass to the parameters on the host."""
        for i, parameter in enumerate(state.parameters):
            place = FIRST_PARAMETER + i
            if reached[state.store_of == place].any() and parameter.trainable:
                into = parameter._ensure_grad()
                into += self.host(state.gradients[place]).reshape(into.shape)
        found = np.flatnonzero((state.store_of == INPUTS) & reached).tolist()
        nodes = [node for node in found if _trains(graph.source(node))]
        if not nodes:
            return
        gradient = self.host(state.gradients[INPUTS])
        for node in nodes:
            rows, sparse = graph.data(node), graph.source(node)._sparse
            shape = (len(rows), *sparse.values.shape[1:])
            start = state.base_of[node]
            sparse.add(rows, gradient[start : start + math.prod(shape)].reshape(shape))


@dataclass
class _Part:
    """The rows of a batch that take part in a backward pass."""

    form: int
    nodes: np.ndarray
    operands: np.ndarray
