"""From recorded nodes to numbers: plan, run forward, run backward.

Nothing runs until a value is asked for. Then what it needs and has not got is scheduled,
planned and run, and recording goes on.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np

from . import _core, config, plain
from ._core import Param
from .backends import cpu
from .backends.formula import Batch
from .backends.memory import zeroed_memory
from .errors import (
    GradientError,
    GraphError,
    IndexRangeError,
    OperandError,
    StaleExpressionError,
)
from .ops.declare import BoundForm
from .recording import Expression, Graph, current_graph, forms, new_graph, stale, state_of

__all__ = [
    "gradient",
    "inference",
    "reset_timings",
    "schedule_of",
    "timings",
    "values",
]

# Gradients of parameters are summed by passes and used by updates: one of these at a time.
gradients_turn = _core.Turn()

_PHASES = ("record", "schedule", "forward", "backward", "update")
_timings = dict.fromkeys(_PHASES, 0.0)


@contextmanager
def timed(phase: str) -> Any:
    """Adds the time of a block to a phase, if ``configure(profile=True)``."""
    if not config.current().profile:
        yield
        return
    start = time.perf_counter()
    if phase == "schedule":
        _core.phase(False)
    try:
        yield
    finally:
        _timings[phase] += time.perf_counter() - start
        _core.phase(True)


_Method = TypeVar("_Method", bound=Callable[..., Any])


def direct(method: _Method) -> _Method:
    """A function or method that C answers where it can, see kernels/core/direct.c."""
    if not hasattr(_core, "Direct"):  # the limited API has none
        return method
    return cast(_Method, functools.update_wrapper(_core.Direct(method), method))


def timings() -> dict[str, float]:
    """Seconds spent by phase under ``profile=True``.

    Returns:
        ``record``: from a graph's first node, or the end of its last run, pass or update, to
        its next run: recording, and whatever else the program does meanwhile. What a graph does
        after its last run is not counted. ``schedule``, ``forward``, ``backward``, ``update``.

    >>> import autobatch as ab
    >>> list(ab.engine.timings())
    ['record', 'schedule', 'forward', 'backward', 'update']
    """
    in_c = _core.timings(False)
    return {name: _timings[name] + spent for name, spent in zip(_PHASES, in_c, strict=True)}


def reset_timings() -> None:
    """Begins the count of `timings` anew."""
    _core.timings(True)
    for phase in _PHASES:
        _timings[phase] = 0.0


class GraphView:
    """A graph as a backend sees it: arrays by node, batches, sources.

    Attributes:
        forms: by number, all that is fixed for a node of that form.
        dtype: of the graph's numbers.
        touching: rows that are looked up count as used; so they do in DyNet's graphs.
        form_of, root, parent, view_offset, batch_stride, address: arrays by node.
    """

    def __init__(self, graph: Graph) -> None:
        self._address = graph._address
        self._parameters = graph.parameters
        self.dtype = np.dtype(f"f{cpu.itemsize(graph)}")
        self.forms: Sequence[BoundForm] = forms
        self.touching = graph.expression_type is not Expression

    def refresh(self, graph: Graph) -> None:
        """Looks again: nodes were recorded, addresses given."""
        table = cpu.node_table(graph)
        self.form_of, self.root, self.parent = table["form"], table["root"], table["parent"]
        self.view_offset, self.batch_stride = table["offset"], table["batch_stride"]
        self.address = table["address"]
        self._by_address = {p._address: p for p in self._parameters}

    def data(self, node: int) -> np.ndarray:
        """The data words of a node."""
        return cpu.data_of(self, node)  # type: ignore[arg-type]

    def operands(self, node: int) -> Sequence[int]:
        """The operands of a node."""
        return cpu.operands_of(self, node)  # type: ignore[arg-type]

    def source(self, node: int) -> Any:
        """The array or the parameter that a source node stands for."""
        bound = self.forms[self.form_of[node]]
        if bound.op.name == "parameter":
            return self._by_address[int(self.data(node)[0])]
        if bound.op.table:
            return self.source(self.operands(node)[0])
        content = self.data(node).view(self.dtype)[: bound.batch * bound.size]
        batch = () if bound.batch == 1 else (bound.batch,)
        return content.reshape((*batch, *bound.shape))

    def kept(self, node: int) -> np.ndarray | None:
        """The numbers with which the graph goes on where a parameter was changed."""
        shape = self.forms[self.form_of[node]].shape
        return cpu.kept(self, node, shape)  # type: ignore[arg-type]


@functools.cache
def _formulas(name: str) -> Any:
    """The backend that runs formulas: on NumPy arrays, or on CuPy's."""
    if name == "cuda":
        from .backends.cuda import CudaBackend

        return CudaBackend()
    from .backends.formula import FormulaBackend

    return FormulaBackend(np)


def _view(graph: Graph) -> GraphView:
    """The view of a graph, brought up to date."""
    state = state_of(graph)
    if state.view is None:
        state.view = GraphView(graph)
    state.view.refresh(graph)
    return state.view


def _batches(graph: Graph, first: int = 0) -> list[Batch]:
    batches = []
    for form, nodes in cpu.tape(graph, first):
        operands = np.array([cpu.operands_of(graph, node) for node in nodes], np.int32)
        batches.append(Batch(form, np.array(nodes, np.int32), operands.reshape(len(nodes), -1)))
    return batches


def _graph_of(expressions: Sequence[Expression]) -> Graph:
    """The graph that all expressions belong to, which must be this thread's and alive."""
    graph = expressions[0].graph
    for expression in expressions:
        if expression.graph is not graph:
            raise GraphError("these expressions belong to different graphs; run them separately")
    if not graph.alive:
        raise StaleExpressionError(stale(graph))
    if graph._apart:
        raise GraphError(
            "the function of a cell may not ask for values: it is traced once, for all values"
        )
    if graph is not current_graph() and not graph.own_thread:
        raise GraphError(
            "this expression was recorded by another thread; graphs belong to one thread, so "
            "ask for its value there"
        )
    return graph


@contextmanager
def running(graph: Graph) -> Iterator[None]:
    """A job of a graph: whatever ends the graph meanwhile, its memory stays."""
    graph._run_begins()
    try:
        yield
    finally:
        graph._run_ends()


def _run(graph: Graph, nodes: Sequence[int]) -> None:
    """Makes the values of nodes."""
    backend = config.current().backend
    number = config.BACKENDS.index(backend)
    if graph._backend < 0:
        graph._backend = number
    elif graph._backend != number:
        begun = config.BACKENDS[graph._backend]
        raise GraphError(
            f"this graph has begun to run on the backend {begun!r}; call ab.new_graph() "
            f"after changing to {backend!r}"
        )
    with running(graph):
        graph._draw(max(nodes))
        with timed("schedule"):
            planned = cpu.planned(graph)
            cpu.plan(graph, nodes)
            try:
                graph._check_run(cpu.done(graph), list(nodes))
            except StaleExpressionError:
                cpu.unplan(graph, planned)
                raise
        with timed("forward"):
            if backend == "cpu":
                cpu.forward(graph)
                return
            done = cpu.done(graph)
            batches = _batches(graph, done)
            view = _view(graph)
            if batches:
                _formulas(backend).forward(view, batches)
                cpu.set_done(graph, done + len(batches))


def _read(graph: Graph, node: int) -> np.ndarray:
    if config.current().backend == "cpu":
        return cpu.value(graph, node)
    return _formulas(config.current().backend).value(_view(graph), node)


def _value(expression: Expression) -> np.ndarray:
    """``expression.value()`` where the straight way in C does not serve."""
    return values([expression])[0]


def list_of(owner: str, expressions: Iterable[Expression]) -> list[Expression]:
    """A list of expressions. One alone, whose entries would be new nodes, is none."""
    if isinstance(expressions, (Expression, Param, np.ndarray)) or not isinstance(
        expressions, Iterable
    ):
        raise OperandError(
            f"{owner}: expected a list of expressions, got {type(expressions).__name__}"
            + "; write [x]" * isinstance(expressions, Expression)
            + "; to weigh the elements of y: ab.sum(y * array).backward()"
            * isinstance(expressions, np.ndarray)
        )
    expressions = list(expressions)
    for expression in expressions:
        if not isinstance(expression, Expression):
            raise OperandError(
                f"{owner}: expected expressions, got {type(expression).__name__}"
                + "; its gradient() needs no asking" * isinstance(expression, Param)
            )
    return expressions


def values(expressions: Iterable[Expression]) -> list[np.ndarray]:
    """The values of several expressions, run together.

    Raises:
        StaleExpressionError: an expression of a graph that is gone.
        GraphError: expressions of different graphs, or of another thread.

    >>> import autobatch as ab
    >>> x = ab.input([1.0, 2.0])
    >>> ab.values([x + 1, x * x])
    [array([2., 3.], dtype=float32), array([1., 4.], dtype=float32)]
    """
    expressions = list_of("values", expressions)
    if not expressions:
        return []
    graph = _graph_of(expressions)
    nodes = [expression.node for expression in expressions]
    _run(graph, nodes)
    return [_read(graph, node) for node in nodes]


def _item(expression: Expression) -> float:
    """``expression.item()`` where the straight way in C does not serve."""
    result = _value(expression)
    if result.size != 1:
        raise OperandError(
            f"item: expected an expression of one element, got shape {expression.shape}"
            + (f" in a minibatch of {expression.batch_size}" if expression.batch_size > 1 else "")
            + "; use value()"
        )
    return result.item()


def _backward(loss: Expression, wrt: Iterable[Expression] = ()) -> None:
    """``loss.backward(...)`` where the straight way in C does not serve."""
    wrt = list_of("backward (wrt)", wrt)
    graph = _graph_of([loss, *wrt])
    seen: set[int] = set()
    for expression in wrt:
        if expression.op == "constant":
            raise OperandError(
                "backward (wrt): a constant has no gradient of its own, since equal ones are one "
                "node; record the numbers by ab.input(...)"
            )
        if expression.node in seen:
            raise OperandError(
                f"backward (wrt): two of them are one node, a {expression.op} that is shared, "
                f"whose gradient is the sum over all its uses; ask once, or begin the graph with "
                f"sharing=False, where each use is a node of its own"
            )
        seen.add(expression.node)
    if _core.in_inference():
        raise GradientError("backward: nothing is differentiated within ab.inference()")
    if loss.shape != () or loss.batch_size != 1:
        shape = f"shape {loss.shape}"
        if loss.batch_size != 1:
            shape += f" in a minibatch of {loss.batch_size}"
        raise GradientError(
            f"backward: expected a scalar, got {shape}; sum or average it first "
            f"(ab.sum, ab.mean; over a minibatch ab.sum_batch, ab.mean_batch)"
        )
    _run(graph, [loss.node])
    with running(graph), gradients_turn, timed("backward"):
        gradients_turn.differentiates()
        graph._check_pass(loss.node)
        nodes = [expression.node for expression in wrt]
        backend = config.current().backend
        if backend == "cpu":
            cpu.backward(graph, [loss.node], nodes)
        else:
            view = _view(graph)
            seeds = {loss.node: np.ones((), view.dtype)}
            _formulas(backend).backward(view, _batches(graph), seeds, nodes)
            state_of(graph).differentiated = True


def gradient(expression: Expression) -> np.ndarray:
    """The gradient of an expression after a backward pass that it took part in.

    It is the sum over all that reads the node. Equal expressions are one node: of one use alone
    there is a gradient in a graph that was begun with ``ab.configure(sharing=False)``. An
    ``ab.input`` is always a node of its own.

    Any expression between the loss and a parameter has one; others are asked for by
    ``loss.backward(wrt=[...])``. Zero where the loss does not depend on it.

    Raises:
        GradientError: no backward pass has run in this graph, or the last one made none.
    """
    found = found_gradient(expression)
    if found is None:
        raise GradientError(
            f"gradient: the last backward pass made none for this {expression.op}, which depends "
            f"on no trained parameter; ask for it by backward(wrt=[expression])"
        )
    return found


def found_gradient(expression: Expression) -> np.ndarray | None:
    """As `gradient`; None where the last backward pass made none."""
    graph = _graph_of([expression])
    backend = config.current().backend
    if backend == "cpu":
        ran = cpu.differentiated(graph)
        found = cpu.gradient(graph, expression.node) if ran else None
    else:
        ran = state_of(graph).differentiated
        found = _formulas(backend).gradient(_view(graph), expression.node) if ran else None
    if not ran:
        raise GradientError("gradient: call backward() on a loss first")
    return found


def write(expression: Expression, numbers: Any) -> None:
    """Writes the content of a placeholder: as many numbers, in memory order.

    What was computed from the old content stays until `forget`.

    >>> import numpy as np
    >>> import autobatch as ab
    >>> x = ab.recording.placeholder((2,))
    >>> ab.engine.write(x, np.array([1.0, 2.0]))
    >>> (x * 2).value()
    array([2., 4.], dtype=float32)
    >>> ab.engine.write(x, np.array([3.0, 4.0]))
    >>> ab.engine.forget(x.graph)
    >>> (x * 2).value()
    array([6., 8.], dtype=float32)
    """
    graph = _graph_of([expression])
    if expression.op != "placeholder":
        raise OperandError(f"write: expected a placeholder, got the result of {expression.op}")
    cpu.write(graph, expression.node, plain.array("write", numbers))


def redirect(expression: Expression, places: Sequence[int]) -> None:
    """Changes the rows or entries that a ``lookup_again`` or ``pick_again`` takes.

    What was computed with the old ones stays until `forget`.

    Args:
        expression: made by one of these two ops.
        places: as many numbers as it was made with.

    >>> import autobatch as ab
    >>> x = ab.recording.recorder("pick_again").record((ab.input([3.0, 4.0]),), (1,), (0,))
    >>> x.item()
    3.0
    >>> ab.engine.redirect(x, [1])
    >>> ab.engine.forget(x.graph)
    >>> x.item()
    4.0
    """
    graph = _graph_of([expression])
    if expression.op not in ("lookup_again", "pick_again"):
        raise OperandError(
            f"redirect: expected a lookup_again or a pick_again, got the result of {expression.op}"
        )
    places = plain.wholes("redirect", "places", places)
    limit = forms[expression._form].operands[0].shape[0]
    for place in places:
        if not 0 <= place < limit:
            raise IndexRangeError(f"redirect: expected places from 0 to {limit - 1}, got {place}")
    cpu.redirect(graph, expression.node, places)


def forget(graph: Graph) -> None:
    """Drops the values that a graph has computed; they are computed anew when asked for."""
    cpu.forget(graph)
    graph._backend = -1
    if graph.state is not None:
        graph.state.view = None
        graph.state.differentiated = False


@contextmanager
def inference() -> Iterator[Graph]:
    """A graph of its own for a block, in which nothing is differentiated.

    The graph in use outside waits and goes on after the block; expressions made within are
    gone then. ``ab.new_graph()`` within the block ends what was recorded in it so far.

    >>> import autobatch as ab
    >>> w = ab.Parameter(init=[1.0, 2.0])
    >>> with ab.inference():
    ...     ab.sum(w * 2).item()
    6.0
    """
    graph = new_graph()
    graph._inference = True
    with graph:
        yield graph


def schedule_of(expressions: Sequence[Expression]) -> list[list[int]]:
    """The batches, as lists of nodes, that would run now for the expressions; runs nothing."""
    graph = _graph_of(expressions)
    first = len(cpu.tape(graph))
    cpu.plan(graph, [expression.node for expression in expressions])
    batches = [nodes for _, nodes in cpu.tape(graph, first)]
    cpu.unplan(graph, first)
    return batches


def _dlpack(expression: Expression, **options: Any) -> Any:
    return expression.value().__dlpack__(**options)


def _dlpack_device(expression: Expression) -> tuple[int, int]:
    return (1, 0)  # values are handed out on the host


def _op(expression: Expression) -> str:
    """The name of the op that recorded it."""
    return forms[expression._form].op.name


def _repr(expression: Expression) -> str:
    if not expression.graph.alive:
        return f"<Expression {expression.node} of a graph that is gone>"
    batch = f", batch_size={expression.batch_size}" if expression.batch_size > 1 else ""
    return f"<Expression {expression.op} shape={expression.shape}{batch}>"


def _attach() -> None:
    """Gives the C type the methods that need the engine."""
    methods: dict[str, Any] = {
        "gradient": gradient,
        "op": property(_op),
        "__dlpack__": _dlpack,
        "__dlpack_device__": _dlpack_device,
        "__repr__": _repr,
    }
    for name, method in methods.items():
        setattr(Expression, name, method)


_attach()
_core.set_engine(
    cpu.engine_functions(),
    _value,
    _item,
    _backward,
    cpu.resume_backward,
    zeroed_memory,
    np.ndarray,
    np.integer,
    np.timedelta64,
    np.dtype(np.float32),
    np.dtype(np.float64),
)
