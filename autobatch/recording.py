"""The recorder's Python side: declarations become callables, and its questions get answers.

The C types know ops by number. What they cannot know they ask here: the rule of a new
form, an operand that is an array, the words of an error.
"""

from __future__ import annotations

import copyreg
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar, cast

import numpy as np

from . import _core, config, plain
from ._core import Expression, Graph, Op, current_graph, new_graph, set_hooks, set_ops
from .calls import guarded
from .errors import (
    AutobatchError,
    GraphError,
    IndexRangeError,
    MemoryLimitError,
    OperandError,
    ShapeError,
    StaleExpressionError,
)
from .ops import REGISTRY
from .ops.declare import BoundForm, Form, Operand
from .ops.declare import Op as Declaration

__all__ = [
    "Expression",
    "Graph",
    "GraphState",
    "cell",
    "constant_array",
    "current_graph",
    "forms",
    "input_array",
    "new_graph",
    "next_serial",
    "recorder",
]

F = TypeVar("F", bound=Callable[..., Any])

_DECLARATIONS: list[Declaration] = list(REGISTRY.values())

# Bits of ab_form.flags in kernels/include/ab_graph.h.
_VIEW, _VIEW_BATCH, _SOURCE, _RANDOM, _BATCH_AWARE = 1, 2, 4, 8, 16
_TABLE, _NO_GRADIENT, _INTEGER, _ALWAYS_SHARE, _PARAMETER = 32, 64, 128, 256, 512

# What of a form's flags is the op's.
_OP_FLAGS = [
    _SOURCE * op.source
    | _RANDOM * op.random
    | _TABLE * op.table
    | _NO_GRADIENT * (op.gradient is None)
    | _INTEGER * op.integer
    | (_ALWAYS_SHARE | _PARAMETER) * (op.name == "parameter")
    for op in _DECLARATIONS
]

_kernel_numbers: dict[str, int] = {}


def set_kernels(numbers: dict[str, int]) -> None:
    """Tells which compiled kernels there are, by name. Called once, before anything records."""
    _kernel_numbers.update(numbers)
    for number, op in enumerate(_DECLARATIONS):
        _tell_kernel(_recorders[op.name], number, op)


_REDUCTIONS = ("sum", "mean", "max", "min", "logsumexp", "norm", "argmax")

# Kinds of ops of which the core works out usual forms, see kernels/core/usual.c; their kernels,
# where they have any; floating-point operations per element.
_KINDS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "constant": ("batched source", (), 0),
    "input": ("batched source", (), 0),
    "placeholder": ("batched source", (), 0),
    "parameter": ("source", (), 0),
    "full": ("filled", ("fill",), 0),
    "lookup": ("row", (), 0),
    "lookup_batch": ("rows", ("copy",), 0),
    "lookup_again": ("rows", ("copy",), 0),
    "nary_sum": ("sum", ("nary_sum",), 0),
    "nary_mean": ("mean", ("nary_sum",), 0),
    "nary_max": ("max", ("nary_max",), 0),
    "matmul": ("product", ("affine", "matmul"), 0),
    "affine": ("affine", ("affine",), 0),
    "linear": ("linear", ("affine",), 0),
    "affine_transposed": ("affine transposed", ("affine",), 0),
    "reshape": ("reshaped", (), 0),
    "slice": ("sliced", (), 0),
    "pick": ("entry", (), 0),
    "pick_each": ("entries", ("gather_rows",), 0),
    "pick_again": ("entries", ("gather_rows",), 0),
    "transpose": ("permuted", ("copy_strided",), 0),
    "concat": ("concat", ("concat",), 0),
    "stack": ("stack", ("concat",), 0),
    "axis_to_batch": ("spread", (), 0),
    "take": ("taken", ("gather_axis",), 0),
    "kmax": ("largest", ("kmax",), 0),
    "moment": ("moment", ("reduce_moment",), 0),
    "sum_batch": ("batch sum", ("batch_sum",), 0),
    "mean_batch": ("batch mean", ("batch_sum",), 0),
    "softmax": ("along", ("softmax",), 15),
    "log_softmax": ("along", ("log_softmax",), 15),
    "cross_entropy": ("labelled", ("cross_entropy",), 15),
    "dot": ("paired", ("dot",), 2),
    "squared_error": ("paired", ("squared_error",), 3),
    "lstm_cell": ("lstm", ("lstm_cell",), 60),
    "unfold2d": ("unfolded", ("unfold2d",), 0),
    "max_pool2d": ("pooled", ("max_pool2d",), 0),
    **{name: ("reduction", (f"reduce_{name}",), 0) for name in _REDUCTIONS},
    **{
        op.name: ("elementwise", (op.name,), op.cost)
        for op in _DECLARATIONS
        if op.elementwise and not op.alike
    },
}


def _tell_kernel(recorder: Op, number: int, op: Declaration) -> None:
    """What the core needs to make an op's usual forms itself."""
    kind, kernels, flops = _KINDS.get(op.name, ("", (), 0))
    if kind and all(name in _kernel_numbers for name in kernels):
        first, second, *_ = (*(_kernel_numbers[name] for name in kernels), -1, -1)
        recorder.usual(kind, (first, second), _OP_FLAGS[number], flops)


class GraphState:
    """What Python keeps for a graph; it lives as long as the graph does.

    Attributes:
        seed, serial: of the graph's random ops.
        view: the graph as formula backends see it.
        differentiated: a formula backend has run a backward pass.
    """

    def __init__(self) -> None:
        self.seed: int | None = None
        self.serial = 0
        self.view: Any = None
        self.differentiated = False


def state_of(graph: Graph) -> GraphState:
    """The Python state of a graph, made when first asked for."""
    if graph.state is None:
        graph.state = GraphState()
    return graph.state


def _make(number: int, op: Declaration) -> Op:
    fixed = [name for name in op.inputs if not name.startswith("*")]
    least = len(fixed) + op.variadic
    plain = not op.attrs and not op.data and not op.source
    made = Op(number, op.name, least, op.variadic, plain, op.reads_weights, op.doc)
    made.__text_signature__ = f"({', '.join(op.inputs)}{', /' * (bool(fixed) and not op.variadic)})"
    _tell_kernel(made, number, op)
    return made


_recorders = {op.name: _make(number, op) for number, op in enumerate(_DECLARATIONS)}


def recorder(name: str) -> Op:
    """The callable that records an op.

    Plain ops are called with their operands; ops with attributes or data are recorded by
    ``recorder(name).record(operands, attrs, data)``: a tuple of operands, a flat tuple of
    numbers in the declared order, and a tuple of numbers (or the bytes of int64 words).
    """
    return _recorders[name]


# An op is one object: copies and pickles are itself, by its public name where it has one.
copyreg.pickle(
    Op,
    lambda op: op.__name__ if op.__module__ != Op.__module__ else (recorder, (op.__name__,)),
)


def short_calls(
    name: str,
    function: F,
    unless: type[Exception] | None = None,
    index_attrs: tuple[int, ...] | None = None,
) -> F:
    """A callable like `function` whose common calls do not leave C.

    Args:
        name: the op.
        function: serves every other call, and has the documentation.
        unless: calls that fail with this exception are the function's, too.
        index_attrs: ``op(x, 3)`` records x with these attributes and the data word 3; so does
            ``op(x, [3, 1])`` with a word for each element of a minibatch of vectors.
    """
    attrs = index_attrs or ()
    indexed = 0 if index_attrs is None else INDEXED_BY_INTS | INDEXED_BY_LISTS
    served = guarded(function, name)
    return cast(F, _recorders[name].short_calls(served, unless, indexed, attrs))


# Of short_calls, see core.h.
INDEXED_BY_INTS, INDEXED_BY_LISTS, ONLY_LISTS = 1, 2, 4


def _no_short_path(*arguments: Any) -> None:
    """The limited API has no short path."""


# What C records where it can; elsewhere they answer None.
equal_parts = getattr(_core, "split", _no_short_path)  # (x, parts)
entry = getattr(_core, "entry", _no_short_path)  # (x, index, axis)
entries = getattr(_core, "range", _no_short_path)  # (x, start, stop, axis)
columns_input = getattr(_core, "array_input", _no_short_path)  # (array, batched)


def cell(function: F) -> F:
    """Traces a function once; from then on a call records its nodes without running Python.

    Calling a cell and calling its plain function record the same nodes and give the same
    numbers; the cell takes a fraction of the time. The function is run anew, on stand-ins,
    for every combination of operand types (shapes, sizes of manual minibatches, parameters or
    not), so it may look at shapes but not at values.

    Args:
        function: takes expressions and parameters by position, or tuples and lists of these;
            returns an expression, or a tuple or list of expressions. All parameters that it
            uses are operands of it. What else it reads is read when it is traced. If it draws
            random numbers (dropout) it is not traced but called every time.

    Raises:
        OperandError: on a call, for what is no operand, a parameter that was not passed, or
            another result.
        GraphError: on a call, if the function asks for a value.

    >>> import autobatch as ab
    >>> @ab.cell
    ... def step(W, b, x, h):
    ...     return ab.tanh(W @ ab.concat([x, h]) + b)
    >>> W, b = ab.Parameter((2, 5)), ab.Parameter(2)
    >>> h = ab.zeros(2)
    >>> for _ in range(3):
    ...     h = step(W, b, ab.ones(3), h)
    >>> h.shape, step.traces
    ((2,), 1)
    """
    return _traced(function, False)


def _traced(function: F, lenient: bool) -> F:
    if not hasattr(_core, "Cell"):  # the limited API has none
        return function
    return cast(F, functools.update_wrapper(_core.Cell(function, lenient), function))


def traced(function: F) -> F:
    """A `cell` that also takes numbers and None, each combination of which is traced for itself.

    Calls that cannot be traced (other arguments, too many combinations, keywords, another
    result) are the function's. It must do nothing but record, and ask for no value.
    """
    return _traced(function, True)


# What the C types ask.


def _named(op: Declaration, values: Sequence[Any] | None) -> dict[str, Any]:
    """Attributes by name from the flat tuple."""
    values = values or ()
    named: dict[str, Any] = {}
    for i, (name, kind) in enumerate(op.attrs):
        named[name] = tuple(values[i:]) if kind == "ints" else values[i]
    return named


def _common_batch(op: Declaration, operands: Sequence[Operand]) -> int:
    common = 1
    for batch in dict.fromkeys([operand.batch for operand in operands]):
        if batch != 1 and batch != common:
            if common != 1:
                raise ShapeError(
                    f"{op.name}: the operands are minibatches of {common} and of {batch}; "
                    f"expected equal sizes, or 1 where one value serves all"
                )
            common = batch
    return common


def _rule(number: int, attrs: tuple[Any, ...] | None, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    # A program's first graphs come here once for every form, all together a good part of a
    # short run: what the ops' rules and this do is kept short.
    op = _DECLARATIONS[number]
    if len(inputs) > 1 and inputs.count(inputs[0]) == len(inputs):
        operands = (Operand._make(inputs[0]),) * len(inputs)
    else:
        operands = tuple(map(Operand._make, inputs))
    named = _named(op, attrs)
    form: Form = op.rule(named, operands)
    shape, batch, kernel, params, same, view, view_batch, limit, aware, blocked, flops = form
    if batch is None:
        batch = _common_batch(op, operands)
    flags, offset, scale = _OP_FLAGS[number], 0, 0
    if view is not None:
        offset, scale = view
        flags |= _VIEW | _VIEW_BATCH * view_batch
    flags |= _BATCH_AWARE * aware | _NO_GRADIENT * blocked
    shared = 0
    if True in same:
        shared = sum(1 << j for j, one in enumerate(same[:64]) if one)
        if any(same[64:]):
            raise ShapeError(f"{op.name}: at most 31 weights in one op, got {len(operands) // 2}")
    bound = BoundForm(op, named, operands, form, shape, batch, math.prod(shape))
    at = _kernel_numbers.get(kernel, -1) if kernel else -1
    return (
        *(shape, batch, at, flags, shared, offset, scale),
        *(-1 if limit is None else limit, flops, params, bound),
    )


class _Forms(Sequence[BoundForm]):
    """All that is fixed for the nodes of each form, by its number. Where the core has made a form
    without asking the rule, the rule is asked when somebody looks."""

    def __len__(self) -> int:
        return len(_core.forms)

    def __getitem__(self, number: Any) -> Any:
        known = _core.forms[number]
        if type(known) is tuple:
            known = _core.forms[number] = _rule(*known)[-1]
        return known


forms: Sequence[BoundForm] = _Forms()


def operand_array(op: str, value: Any) -> np.ndarray:
    """The numbers of an operand that is neither an expression nor a parameter."""
    if isinstance(value, (bool, int, float, np.generic, np.ndarray)) or hasattr(value, "__array__"):
        return plain.array(op, value)
    plain.refuse_operands(op, value, "expected an operand")
    hint = "; ab.input(...) records a list of numbers" if isinstance(value, (list, tuple)) else ""
    raise OperandError(
        f"{op}: expected an expression, a parameter, a number or an array as operand, got "
        f"{type(value).__name__}{hint}"
    )


def _operand(op: Op, value: Any) -> Expression:
    return constant_array(operand_array(op.__name__, value))


def _settings() -> tuple[int, bool, int, int, int, int, str | None, bool]:
    now = config.current()
    return (
        8 if now.dtype == "float64" else 4,
        now.sharing,
        now.memory_limit,
        config.STRATEGIES.index(now.strategy),
        now.threads,
        config.BACKENDS.index(now.backend),
        now.instruction_set,
        now.profile,
    )


config.on_change(_core.settings_changed)


def stale(graph: Graph) -> str:
    """Why an expression of a graph that is gone cannot be used."""
    why = "ab.new_graph() was called since it was recorded"
    if graph._block_ended:
        block = "ab.inference()" if graph._inference else "with ab.new_graph()"
        why = f"its {block} block has ended"
    return (
        f"this expression belongs to a graph that is gone ({why}); read values before that, or "
        f"record it again in the present graph"
    )


def _error(kind: str, op: Op | None, detail: Any) -> NoReturn:
    name = f"{op.__name__}: " if op is not None else ""
    if kind == "stale":
        raise StaleExpressionError(name + stale(detail))
    if kind == "foreign":
        where = "an outer graph" if detail else "another thread"
        raise GraphError(
            f"{name}an operand belongs to a graph of {where}; pass its value: "
            f"ab.input(expression.value())"
        )
    if kind == "count":
        declaration = REGISTRY[op.__name__]  # type: ignore[union-attr]
        inputs = ", ".join(declaration.inputs) or "none"
        least = "at least " if declaration.variadic else ""
        count = len(declaration.inputs)
        hint = " (an empty list?)" if declaration.variadic and not detail else ""
        raise OperandError(
            f"{name}expected {least}{count} operand{'s' * (count != 1)} ({inputs}), "
            f"got {detail}{hint}"
        )
    if kind == "index":
        index, limit = detail
        valid = f"0 to {limit - 1}" if limit else "none: there are no elements"
        raise IndexRangeError(f"{name}index {index} is out of range; valid are {valid}")
    if kind == "name":
        got = detail.__name__ if detail is not None else "nothing (del)"
        raise OperandError(f"the name of a parameter must be a str, got {got}")
    if kind == "flag":
        raise OperandError(
            f"trainable must be True or False, got {plain.show(detail)}; it is a parameter's own, "
            f"of a module it is freeze() and unfreeze()"
        )
    if kind == "deleted":
        raise OperandError("this attribute of a parameter cannot be deleted")
    if kind == "instance":
        raise OperandError(
            f"{detail}: these are not made by calling the class, but by what records: "
            f"ab.input(array), ab.new_graph()"
        )
    if kind == "whole":
        raise OperandError(f"{name}expected an int, got {type(detail).__name__}")
    if kind == "too large":
        raise IndexRangeError(f"{name}{detail} is too large for an index or a size")
    if kind == "dtype":
        parameter, own, other = detail
        raise OperandError(
            f"{name}{parameter!r} holds float{8 * own}, but this graph computes in "
            f"float{8 * other}; set ab.configure(dtype=...) before parameters are made, and "
            f"begin a new graph after changing it"
        )
    if kind == "limit":
        limit = config.current().memory_limit
        raise MemoryLimitError(
            f"{name}the graph needs more than the memory limit of {limit:,} bytes; begin a new "
            f"graph more often, or raise ab.configure(memory_limit=...)"
        )
    if kind == "too many":
        raise MemoryLimitError(f"{name}a graph holds at most 2^31 nodes, operands or words")
    if kind == "memory":
        raise MemoryLimitError(f"{name}the system gave no more memory")
    if kind == "keywords":
        raise OperandError(f"{name}takes its operands by position only")
    if kind == "not plain":
        raise OperandError(f"{name}this op has attributes or data: use its public function")
    if kind == "length":
        raise OperandError("a scalar has no axes and so no len()")
    if kind == "truth":
        raise OperandError(
            "an expression has no truth value before it runs; use expression.item() or "
            "expression.value() to decide by it"
        )
    if kind == "cell operand":
        raise OperandError(
            f"{name}a cell takes expressions and parameters by position, or tuples and lists of "
            f"these; keep numbers, strings and the like outside, or in the function's closure"
        )
    if kind == "cell parameter":
        raise OperandError(
            f"{name}the function uses a parameter that is not among its operands, so the trace "
            f"would not notice when it is replaced; pass it, too"
        )
    if kind == "cell result":
        raise OperandError(
            f"{name}expected the function to return an expression that it made or was given, or a "
            f"tuple or list of these, got {detail.__name__}"
        )
    if kind == "cell graph":
        raise GraphError(f"{name}the function of a cell may not begin a graph")
    if kind == "changed":
        raise StaleExpressionError(
            f"the numbers of {detail._label()} have changed (by an update, set_value or load) "
            f"since this expression was recorded, and what is asked for needs the old ones; call "
            f"ab.new_graph() and record it again, or ask for it before they change"
        )
    if kind == "not columns":
        raise GraphError(
            "the present graph has expressions of autobatch's own, and DyNet's names record in "
            "another; call dy.renew_cg() first"
        )
    if kind == "moved":
        raise GraphError(
            f"{name}another graph was begun, or this one ended, while the op was being recorded "
            f"(by a method of an operand, a finalizer or a handler of signals); record it again"
        )
    if kind == "in a pass":
        raise GraphError(
            "a backward pass is under way in this thread: until it ends, no other may begin, and "
            "gradients and parameters may not be changed (by a handler of signals, say)"
        )
    if kind == "enter":
        raise GraphError(
            "a graph is entered once, right where it is made: with ab.new_graph(): ..."
        )
    raise AutobatchError(f"{name}{kind}")


def _getitem(x: Any, key: Any) -> Expression:
    # functions.py stands above this layer; it registers the real one.
    raise AutobatchError("indexing is not set up")


set_hooks(_rule, _operand, _error, _settings, _getitem)
set_ops(
    *(
        _recorders[name]
        for name in ("add", "subtract", "multiply", "divide", "power", "matmul", "negative")
    ),
    *(
        _recorders[name]
        for name in (
            *("input", "parameter", "lookup", "slice", "strided", "pick", "placeholder"),
            *("lookup_again", "pick_again"),
        )
    ),
)


def set_getitem(function: Any) -> None:
    """Sets what ``expression[key]`` calls."""
    set_hooks(_rule, _operand, _error, _settings, function)


_DTYPES: dict[int, np.dtype] = {4: np.dtype(np.float32), 8: np.dtype(np.float64)}


def input_array(array: Any, batched: bool = False) -> Expression:
    """Records an array as an input of the present graph, a leaf of its own.

    Args:
        array: numbers of any real dtype and any strides; copied.
        batched: the first axis is a manual minibatch.
    """
    return _record_array("input", array, batched)


def constant_array(array: Any, batched: bool = False) -> Expression:
    """As `input_array`, but equal ones are one node, and none has a gradient."""
    return _record_array("constant", array, batched)


def _record_array(name: str, array: Any, batched: bool) -> Expression:
    array = np.asarray(array)
    dtype = _DTYPES[current_graph()._itemsize]
    batch, shape = (array.shape[0], array.shape[1:]) if batched else (1, array.shape)
    content = np.ascontiguousarray(array, dtype).tobytes()
    return _recorders[name].record((), (batch, *shape), content)


def placeholder(shape: Sequence[int], batch: int = 1) -> Expression:
    """Records an input of zeros, to be written by ``engine.write``; equal ones stay apart.

    Args:
        shape: sizes of the axes.
        batch: size of the manual minibatch.
    """
    content = bytes(current_graph()._itemsize * batch * math.prod(shape))
    return _recorders["placeholder"].record((), (batch, *shape), content)


def next_serial() -> tuple[int, int]:
    """Seed and serial number of the next random node: the same program draws the same."""
    graph = current_graph()
    if graph._apart:  # what a cell's trace draws is drawn by nobody
        return 0, 0
    state = state_of(graph)
    if state.seed is None:
        state.seed = int(config.rng().integers(-(2**63), 2**63 - 1))
    state.serial += 1
    return state.seed, state.serial - 1
