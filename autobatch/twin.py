"""A plain Python twin of the recorder and of the schedulers, the oracle of their C versions.

Everything is as short as its definition and as slow as that makes it. Tests run the same
program through both and compare; nothing else uses this module.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from .backends.formula import Batch
from .errors import IndexRangeError, ShapeError
from .ops.declare import REGISTRY, BoundForm, Form, Op, Operand, double_bits


class TwinParameter:
    """The fields of a parameter that a backend touches."""

    def __init__(self, data: np.ndarray, trainable: bool = True) -> None:
        self._data = data
        self._grad: np.ndarray | None = None
        self.shape = data.shape
        self.trainable = trainable
        self._version = 0

    def _ensure_grad(self) -> np.ndarray:
        if self._grad is None:
            self._grad = np.zeros_like(self._data)
        return self._grad

    def _kept_gradient(self) -> np.ndarray | None:
        return None if self._grad is None else self._grad.copy()

    def _restore_gradient(self, kept: np.ndarray | None) -> None:
        self._grad = kept


_INPUT = Op("input", (), rule=lambda attrs, operands: Form(()), forward=None, source=True)
_PARAMETER = Op("parameter", (), rule=lambda attrs, operands: Form(()), forward=None, source=True)


def words(op: Op, data: Iterable[int | float]) -> tuple[int, ...]:
    """Data as int64 words: floats by their bits, where the declaration says ``:float``."""
    data = tuple(data)
    kinds = [name.endswith(":float") for name in op.data]
    if op.data and op.data[-1].startswith("*"):
        return tuple(double_bits(w) if kinds[-1] else int(w) for w in data)
    return tuple(double_bits(w) if kinds[i % len(kinds)] else int(w) for i, w in enumerate(data))


def _attribute(kind: str, value: Any) -> int | float | tuple[int, ...]:
    if kind == "ints":
        return tuple(int(i) for i in value)
    return float(value) if kind == "float" else int(value)


class TwinGraph:
    """Records nodes and gives them to a backend; a node is its number.

    Example:
        >>> graph = TwinGraph()
        >>> x = graph.input(np.ones(3))
        >>> graph.record("tanh", [x]) == graph.record("tanh", [x])
        True
    """

    def __init__(self, sharing: bool = True, dtype: Any = np.float32) -> None:
        self.sharing = sharing
        self.dtype = np.dtype(dtype)
        self.touching = False
        self.forms: list[BoundForm] = []
        self.operands: list[tuple[int, ...]] = []
        self.profile: list[int] = []  # -1: a source or a view, which never runs
        self.weight: list[bool] = []
        self._form_of: list[int] = []
        self._data: list[np.ndarray] = []
        self._source: dict[int, Any] = {}
        self._root: list[int] = []
        self._view_offset: list[int] = []
        self._batch_stride: list[int] = []
        self._address: list[int] = []
        self.elements = 0
        self._interned: dict[Any, int] = {}
        self._profiles: dict[Any, int] = {}
        self._shared: dict[Any, int] = {}

    form_of = property(lambda self: np.array(self._form_of, np.int64))
    root = property(lambda self: np.array(self._root, np.int64))
    view_offset = property(lambda self: np.array(self._view_offset, np.int64))
    batch_stride = property(lambda self: np.array(self._batch_stride, np.int64))
    parent = property(
        lambda self: np.array(
            [x[0] if r != v else -1 for v, (x, r) in enumerate(zip(self.operands, self._root))],
            np.int64,
        )
    )
    address = property(lambda self: np.array(self._address, np.int64))

    def data(self, node: int) -> np.ndarray:
        """The data words of a node, those of its first batch element first."""
        return self._data[node]

    def source(self, node: int) -> Any:
        """The array or the parameter that a source node stands for."""
        return self._source[node]

    def kept(self, node: int) -> None:
        """Of no parameter other numbers than its present ones are kept."""

    def input(self, array: Any, batched: bool = False) -> int:
        """Records an array; ``batched``: its first axis is the manual minibatch."""
        array = np.asarray(array, self.dtype, order="C")
        batch = array.shape[0] if batched else 1
        shape = array.shape[1:] if batched else array.shape
        form = self._intern(_INPUT, {}, (), Form(shape, batch))
        return self._append(form, (), (), None, array)

    def parameter(self, parameter: Any) -> int:
        """Records a parameter, once."""
        form = self._intern(_PARAMETER, {}, (), Form(tuple(parameter.shape), 1))
        return self._append(form, (), (), ("parameter", id(parameter)), parameter)

    def operand(self, node: int) -> Operand:
        """What a rule may know of a node."""
        bound = self.forms[self._form_of[node]]
        return Operand(bound.shape, bound.batch, self.weight[node])

    def record(
        self,
        name: str,
        operands: Sequence[int],
        attrs: dict[str, Any] | None = None,
        data: Iterable[int | float] = (),
    ) -> int:
        """Records one application of an op; raises what its rule raises."""
        op = REGISTRY[name]
        given = attrs or {}
        attrs = {name: _attribute(kind, given[name]) for name, kind in op.attrs}
        inputs = tuple(self.operand(node) for node in operands)
        if not op.reads_weights:
            inputs = tuple(Operand(x.shape, x.batch) for x in inputs)
        form = self._intern(op, attrs, inputs, None)
        bound = self.forms[form]
        row = words(op, data)
        if op.data and len(row) % bound.batch:
            raise ShapeError(f"{name}: {len(row)} data words for a minibatch of {bound.batch}")
        limit = bound.form.index_limit
        if limit is not None and any(not 0 <= w < limit for w in row):
            raise IndexRangeError(f"{name}: an index of {row} is outside 0 to {limit - 1}")
        key = None if op.random else (form, tuple(operands), row)
        return self._append(form, tuple(operands), row, key, None)

    def _intern(
        self, op: Op, attrs: dict[str, Any], operands: tuple[Operand, ...], form: Form | None
    ) -> int:
        exact = tuple(double_bits(v) if isinstance(v, float) else v for v in attrs.values())
        key = (op.name, exact, operands, form)
        if key not in self._interned:
            form = form or op.rule(attrs, operands)
            batches = {x.batch for x in operands} - {1} or {1}
            if form.batch is None and len(batches) > 1:
                raise ShapeError(f"{op.name}: minibatches of {sorted(batches)} do not agree")
            batch = batches.pop() if form.batch is None else form.batch
            size = int(np.prod(form.shape, dtype=np.int64))
            self._interned[key] = len(self.forms)
            self.forms.append(BoundForm(op, attrs, operands, form, form.shape, batch, size))
        return self._interned[key]

    def _append(
        self, form: int, operands: tuple[int, ...], row: tuple[int, ...], key: Any, source: Any
    ) -> int:
        if self.sharing and key is not None and key in self._shared:
            return self._shared[key]
        node = len(self._form_of)
        if key is not None:
            self._shared[key] = node
        op, _, _, rule, _, batch, size = self.forms[form]
        self._form_of.append(form)
        self.operands.append(operands)
        self._data.append(np.array(row, np.int64))
        if op.source:
            self._source[node] = self._source[operands[0]] if operands else source
            self.weight.append(op.name == "parameter")
        else:
            self.weight.append(bool(operands) and all(self.weight[x] for x in operands))
        root, offset, stride = node, 0, size
        if rule.view is not None:
            start, scale = rule.view
            root, stride = self._root[operands[0]], self._batch_stride[operands[0]]
            if batch > 1 and self.operand(operands[0]).batch == 1:
                stride = size  # a leading axis that has become the minibatch
            offset = self._view_offset[operands[0]] + start
            if rule.view_batch:
                offset += stride * row[0]
            elif row:
                offset += scale * row[0]
        self._root.append(root)
        self._view_offset.append(offset)
        self._batch_stride.append(stride)
        computed = root == node and not op.source
        self._address.append(self.elements if computed else -1)
        self.elements += size * batch if computed else 0
        same = tuple(x for x, shared in zip(operands, rule.same) if shared)
        profile = self._profiles.setdefault((form, same), len(self._profiles)) if computed else -1
        self.profile.append(profile)
        return node

    def dependencies(self, node: int) -> set[int]:
        """The computed nodes whose values a node reads; views stand for what they view."""
        roots = {self._root[x] for x in self.operands[node]}
        return {x for x in roots if self.profile[x] >= 0}

    def batches(self, schedule: Iterable[Sequence[int]]) -> list[Batch]:
        """A schedule in the form that backends run."""
        return [
            Batch(
                self._form_of[nodes[0]],
                np.array(nodes, np.int32),
                np.array([self.operands[v] for v in nodes], np.int32).reshape(len(nodes), -1),
            )
            for nodes in schedule
        ]


def needed(
    graph: TwinGraph, wanted: Iterable[int], done: Collection[int] = frozenset()
) -> list[int]:
    """The computed nodes that the wanted ones need, in the order of recording; not those that
    have run (``done``)."""
    found: set[int] = set(done)
    stack = [graph._root[v] for v in wanted if graph.profile[graph._root[v]] >= 0]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(graph.dependencies(node))
    return sorted(found - set(done))


def depths(graph: TwinGraph, nodes: Sequence[int]) -> dict[int, int]:
    """The number of nodes on the longest path that ends in each node, itself included."""
    depth: dict[int, int] = {}
    for node in nodes:
        depth[node] = 1 + max((depth.get(x, 0) for x in graph.dependencies(node)), default=0)
    return depth


def chains(graph: TwinGraph, nodes: Sequence[int]) -> dict[int, int]:
    """The nodes of each node's own profile on the path to it that holds most of them, itself
    left out."""
    chain: dict[int, int] = {}
    for profile in {graph.profile[node] for node in nodes}:
        counted: dict[int, int] = {}
        for node in nodes:
            before = max((counted.get(x, 0) for x in graph.dependencies(node)), default=0)
            counted[node] = before + (graph.profile[node] == profile)
            if graph.profile[node] == profile:
                chain[node] = before
    return chain


def schedule(
    graph: TwinGraph, wanted: Iterable[int], strategy: str, done: Collection[int] = frozenset()
) -> list[list[int]]:
    """Batches of node numbers, in the order in which they run; ``done``: have run already.

    ``none``: a batch for every node. ``depth``: nodes of one depth and profile. ``agenda`` and
    ``frontier``: of the profiles that have a ready node, one runs all its ready nodes. With
    ``agenda`` it is the one whose remaining nodes have the lowest average depth; with
    ``frontier`` the one of whose frontier, its remaining nodes of the lowest chain, the largest
    share is ready, and of several such ones that of the lowest average depth. Ties go to the
    lowest profile number; profiles are numbered in the order of their first needed nodes.
    """
    nodes = needed(graph, wanted, done)
    if strategy == "none":
        return [[node] for node in nodes]
    depth = depths(graph, nodes)
    numbers: dict[int, int] = {}
    profile = {node: numbers.setdefault(graph.profile[node], len(numbers)) for node in nodes}
    if strategy == "depth":
        levels: dict[tuple[int, int], list[int]] = {}
        for node in nodes:
            levels.setdefault((depth[node], profile[node]), []).append(node)
        return [levels[key] for key in sorted(levels)]
    assert strategy in ("agenda", "frontier"), strategy
    chain = chains(graph, nodes)
    remaining, batches = set(nodes), []
    while remaining:
        left: dict[int, list[int]] = {}
        ready: dict[int, list[int]] = {}
        for node in sorted(remaining):
            left.setdefault(profile[node], []).append(node)
            if graph.dependencies(node).isdisjoint(remaining):
                ready.setdefault(profile[node], []).append(node)
        late: dict[int, tuple[Fraction, Fraction, int]] = {}
        for number, of in left.items():
            lowest = min(chain[node] for node in of)
            frontier = {node for node in of if chain[node] == lowest}
            share = Fraction(len(frontier & set(ready.get(number, ()))), len(frontier))
            average = Fraction(sum(depth[node] for node in of), len(of))
            late[number] = (-share if strategy == "frontier" else Fraction(0)), average, number
        first = min(ready, key=late.__getitem__)
        batches.append(ready[first])
        remaining -= set(ready[first])
    return batches


def lower_bound(graph: TwinGraph, wanted: Iterable[int]) -> int:
    """No schedule has fewer batches: the longest chain of each profile, summed."""
    longest: dict[int, int] = {}
    for node, before in chains(graph, needed(graph, wanted)).items():
        profile = graph.profile[node]
        longest[profile] = max(longest.get(profile, 0), before + 1)
    return sum(longest.values())
