"""Arguments that are data take data: no expression is read unseen, nothing reads as something else.

Every argument of every public function is walked through: what each of them is given here is a
call that is right, and then, argument by argument, what is not.
"""

from __future__ import annotations

import fractions
import inspect
import math
import operator
import types
from collections import UserList, deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autobatch as ab
from autobatch.ops import REGISTRY
from autobatch.recording import recorder


def vector() -> Any:
    return ab.input([0.5, 1.5, 2.5])


def matrix() -> Any:
    return ab.input([[0.5, 1.5], [2.5, 3.5]])


IMAGE = np.arange(16.0).reshape(1, 4, 4)

# A call that is right of every function with arguments that are data: operands first, then the
# data by name. Data are given in full: each of them is replaced by what it must not be.
CALLS: dict[str, tuple[Callable[[], tuple[Any, ...]], dict[str, Any]]] = {
    "argmax": (lambda: (vector(),), {"axis": 0, "keepdims": False}),
    "binary_cross_entropy": (lambda: (vector(), vector()), {"from_logits": True}),
    "block_dropout": (lambda: (vector(),), {"rate": 0.5}),
    "categorical": (lambda: (vector(),), {"axis": 0}),
    "clip": (lambda: (vector(),), {"low": 0.0, "high": 1.0}),
    "concat": (lambda: ([vector(), vector()],), {"axis": 0}),
    "constrained_softmax": (lambda: (vector(), vector()), {"axis": 0}),
    "conv2d": (lambda: (IMAGE, np.ones((1, 1, 2, 2))), {"stride": 1}),
    "cross_entropy": (lambda: (vector(),), {"label": 1}),
    "cumsum": (lambda: (vector(),), {"axis": 0}),
    "dropout": (lambda: (vector(),), {"rate": 0.5}),
    "dropout_axes": (lambda: (matrix(),), {"rate": 0.5, "axes": 1}),
    "dropout_batch": (lambda: (vector(),), {"rate": 0.5}),
    "elu": (lambda: (vector(),), {"alpha": 1.0}),
    "fold": (lambda: (matrix(),), {"count": 2, "axis": 0}),
    "full": (lambda: (), {"shape": 2, "value": 1.0}),
    "hardmax": (lambda: (vector(),), {"axis": 0}),
    "hinge": (lambda: (vector(),), {"label": 1, "margin": 1.0}),
    "huber": (lambda: (vector(), vector()), {"delta": 1.0}),
    "constant": (lambda: (), {"array": [1.0], "batched": False}),
    "input": (lambda: (), {"array": [1.0], "batched": False}),
    "kmax": (lambda: (vector(),), {"count": 1, "axis": 0}),
    "layer_norm": (lambda: (vector(),), {"epsilon": 1e-5}),
    "leaky_relu": (lambda: (vector(),), {"slope": 0.1}),
    "log_softmax": (lambda: (vector(),), {"axis": 0, "restrict": [0, 1]}),
    "logsumexp": (lambda: (vector(),), {"axis": 0, "keepdims": False}),
    "margin_ranking": (lambda: (vector(), vector()), {"margin": 1.0}),
    "max": (lambda: (vector(),), {"axis": 0, "keepdims": False}),
    "max_pool2d": (lambda: (IMAGE,), {"size": 2, "stride": 1}),
    "mean": (lambda: (vector(),), {"axis": 0, "keepdims": False}),
    "min": (lambda: (vector(),), {"axis": 0, "keepdims": False}),
    "moment": (lambda: (vector(),), {"order": 2, "axis": 0, "keepdims": False}),
    "moment_batch": (lambda: (vector(),), {"order": 2}),
    "noise": (lambda: (vector(),), {"deviation": 1.0}),
    "norm": (lambda: (vector(),), {"axis": 0, "keepdims": False}),
    "one_hot": (lambda: (), {"index": 1, "size": 3}),
    "ones": (lambda: (), {"shape": 2}),
    "pick": (lambda: (vector(),), {"index": 1, "axis": 0}),
    "pick_batch_element": (lambda: (vector(),), {"index": 0}),
    "pick_batch_elements": (lambda: (vector(),), {"ids": [0]}),
    "random_bernoulli": (lambda: (), {"shape": 2, "probability": 0.5, "value": 2.0}),
    "random_gumbel": (lambda: (), {"shape": 2, "location": 0.5, "scale": 2.0}),
    "random_normal": (lambda: (), {"shape": 2, "mean": 0.5, "deviation": 2.0, "batch_size": 1}),
    "random_uniform": (lambda: (), {"shape": 2, "low": 0.5, "high": 2.0, "batch_size": 1}),
    "reshape": (lambda: (vector(),), {"shape": 3}),
    "scale_gradient": (lambda: (vector(),), {"factor": 2.0}),
    "select_rows": (lambda: (vector(),), {"ids": [1]}),
    "sliding_sum": (lambda: (vector(),), {"width": 2, "axis": 0}),
    "softmax": (lambda: (vector(),), {"axis": 0}),
    "sparse_input": (
        lambda: (),
        {"indices": [[1]], "values": [5.0], "shape": 3, "default": 1.0, "batched": False},
    ),
    "sparsemax": (lambda: (vector(),), {"axis": 0}),
    "split": (lambda: (vector(),), {"parts": 3, "axis": 0}),
    "stack": (lambda: ([vector(), vector()],), {"axis": 0}),
    "std": (lambda: (vector(),), {"axis": 0, "keepdims": False}),
    "sum": (lambda: (vector(),), {"axis": 0, "keepdims": False}),
    "take": (lambda: (vector(),), {"ids": [1], "axis": 0}),
    "tensordot": (lambda: (vector(), vector()), {"axes": 1}),
    "transpose": (lambda: (vector(),), {"axes": [0]}),
    "zeros": (lambda: (), {"shape": 2}),
}
# Arguments that are no data, or names.
OPERANDS = {
    "x",
    "y",
    "xs",
    "a",
    "b",
    "bias",
    "gain",
    "weight",
    "target",
    "bound",
    "logits",
    "scores",
}
NAMES = {"approximate", "padding", "more", "pairs"}

FUNCTIONS = {
    name: getattr(ab, name)
    for name in ab.functions.__all__
    + ab.statistics.__all__
    + ab.losses.__all__
    + ab.randomness.__all__
    + ab.selection.__all__
    + ab.convolution.__all__
    + ab.algebra.__all__
    + ab.gradients.__all__
    + ab.elementary.__all__
}


def arguments(function: Any) -> list[str]:
    if isinstance(function, ab._core.Op) and not hasattr(function, "__wrapped__"):
        return []
    return list(inspect.signature(getattr(function, "__wrapped__", function)).parameters)


def test_every_argument_that_is_data_is_walked_through() -> None:
    known = {"x1", "x2", *OPERANDS, *NAMES}
    for name, function in FUNCTIONS.items():
        data = set(arguments(function)) - known
        if name in ("affine", "affine_transposed", "linear"):
            continue
        missing = data - set(CALLS.get(name, (None, {}))[1])
        if name.startswith("random_"):
            missing -= {"batch_size"}
        assert not missing, f"{name}: no call gives {sorted(missing)}"


class Unregistered:
    """A sequence in NumPy's eyes only."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        return self.items[i]


class Wordless:
    def __repr__(self) -> str:
        raise ValueError("no text")


def _in_itself() -> list[Any]:
    made: list[Any] = [1]
    made += [made, made]
    return made


def _deep(levels: int) -> list[Any]:
    made: list[Any] = [1]
    for _ in range(levels):
        made = [made]
    return made


class Subclass(np.ndarray):
    """An array with units, say."""


def expression() -> Any:
    return ab.sum(ab.input([1.0]))


NEVER: dict[str, Callable[[], Any]] = {
    "expression": expression,
    "integer expression": lambda: ab.argmax(vector()),
    "vector": vector,
    "parameter": lambda: ab.Parameter(1, init=1.0),
    "lookup": lambda: ab.Lookup(2, 1),
    "list": lambda: [expression()],
    "nested list": lambda: [[expression()]],
    "tuple": lambda: (ab.argmax(vector()),),
    "list of a parameter": lambda: [ab.Parameter(1)],
    "deque": lambda: deque([expression()]),
    "user list": lambda: UserList([ab.argmax(vector())]),
    "unregistered sequence": lambda: Unregistered(expression()),
    "array of objects": lambda: np.fromiter([expression()], object),
    "masked array": lambda: np.ma.array(1, mask=True),
    "masked vector": lambda: np.ma.array([1, 0], mask=[1, 0]),
    "masked constant": lambda: np.ma.masked,
    "list with a masked array": lambda: [np.ma.array(1, mask=True)],
    "matrix": lambda: np.matrix([[1]]),
    "subclass": lambda: np.ones(1, int).view(Subclass),
    "structured": lambda: np.zeros(1, [("a", int)]),
    "complex": lambda: np.complex64(1 + 1j),
    "complex array": lambda: np.ones(1, complex),
    "time": lambda: np.datetime64("2020-01-01"),
    "span of time": lambda: np.timedelta64(1, "s"),
    "text": lambda: "1",
    "bytes": lambda: b"1",
    "array of texts": lambda: np.array(["1"]),
    "dict": lambda: {0: 1.0},
    "generator": lambda: (expression() for _ in range(1)),
    "set": lambda: {1},
    "list in itself": lambda: _in_itself(),
    "deep list": lambda: _deep(3000),
    "object without a text": Wordless,
}
NO_INTEGER: dict[str, Callable[[], Any]] = {
    "bool": lambda: True,
    "NumPy's bool": lambda: np.bool_(True),
    "array of a bool": lambda: np.array(True),
    "array of bools": lambda: np.array([True]),
    "list of bools": lambda: [True],
    "mixed list": lambda: [0, True],
    "float": lambda: 1.0,
    "list of floats": lambda: [1.0],
    "array of floats": lambda: np.array([1.0]),
    "float without axes": lambda: np.array(1.0),
    "fraction": lambda: fractions.Fraction(1),
    "NaN": lambda: math.nan,
}
NO_NUMBER: dict[str, Callable[[], Any]] = {
    "bool": lambda: True,
    "NumPy's bool": lambda: np.bool_(False),
    "list of numbers": lambda: [1.0],
    "array of numbers": lambda: np.array([1.0]),
    "too large": lambda: 10**400,
}
NO_FLAG: dict[str, Callable[[], Any]] = {
    "axis": lambda: 1,
    "None": lambda: None,
    "text": lambda: "False",
    "array": lambda: np.array([True, False]),
    "initializer": ab.Zeros,
}
# Of these a distribution over the classes, or the numbers themselves, are right.
ALLOWED = {
    ("cross_entropy", "label"): {
        "vector",
        "expression",
        "integer expression",
        "parameter",
        "lookup",
    }
    | {"list of floats", "array of floats", "list of a parameter"},
    ("constant", "array"): {*NO_INTEGER, *NO_NUMBER},
    ("input", "array"): {*NO_INTEGER, *NO_NUMBER},
    ("sparse_input", "values"): {*NO_INTEGER, *NO_NUMBER},
}


DATA_OF_ANY_TYPE = (("constant", "array"), ("input", "array"), ("sparse_input", "values"))


def wrong_arguments() -> Iterator[Any]:
    for name, (_, data) in CALLS.items():
        for argument, value in data.items():
            kinds = dict(NEVER)
            if isinstance(value, bool):
                kinds |= NO_FLAG
            elif isinstance(value, float):
                kinds |= NO_NUMBER
            elif (name, argument) not in DATA_OF_ANY_TYPE:
                kinds |= NO_INTEGER
            for kind, make in kinds.items():
                if kind not in ALLOWED.get((name, argument), ()):
                    yield pytest.param(name, argument, make, id=f"{name}-{argument}-{kind}")


@pytest.mark.parametrize(("name", "argument", "make"), list(wrong_arguments()))
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_data_are_data(name: str, argument: str, make: Callable[[], Any]) -> None:
    operands, data = CALLS[name]
    wrong, given = make(), operands()
    with pytest.raises((ab.OperandError, ab.ShapeError, ab.IndexRangeError)) as raised:
        FUNCTIONS[name](*given, **(data | {argument: wrong}))
    assert name in str(raised.value), raised.value
    graph = ab.current_graph()
    assert not any(graph.expression(n)._computed() for n in range(len(graph)) if _runs(graph, n))


def _runs(graph: Any, node: int) -> bool:
    """Whether a node has no value before something runs."""
    return not REGISTRY[graph.expression(node).op].source and graph.expression(node).op != "full"


RIGHT: dict[str, Callable[[int], Any]] = {
    "NumPy's int": np.int64,
    "small int": np.int8,
    "unsigned": np.uint64,
    "array without axes": np.array,
    "unsigned array without axes": lambda i: np.array(i, np.uint16),
}


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("name", CALLS)
def test_any_integer_is_an_int(name: str, kind: str) -> None:
    operands, data = CALLS[name]
    other = {
        key: RIGHT[kind](value) if type(value) is int else value for key, value in data.items()
    }
    ab.configure(seed=1)
    ab.new_graph()
    expected = _values(FUNCTIONS[name](*operands(), **data))
    ab.configure(seed=1)
    ab.new_graph()
    for got, want in zip(_values(FUNCTIONS[name](*operands(), **other)), expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "make", [tuple, np.array, lambda i: np.array(i, np.uint8), deque, UserList]
)
@pytest.mark.parametrize(
    "call",
    [
        lambda ids: ab.take(vector(), ids),
        lambda ids: ab.select_rows(ab.ones((3, 2)), ids),
        lambda ids: ab.pick(vector(), ids),
        lambda ids: ab.one_hot(ids, 4),
        lambda ids: ab.cross_entropy(vector(), ids),
        lambda ids: ab.hinge(vector(), ids),
        lambda ids: ab.log_softmax(vector(), restrict=ids),
        lambda ids: ab.pick_batch_elements(ab.input(np.ones((3, 2)), batched=True), ids),
        lambda ids: ab.Lookup(init=np.ones((3, 2))).batch(ids),
        lambda ids: ab.zeros(ids),
        lambda ids: ab.reshape(ab.ones(2), ids),
        lambda ids: ab.sum(ab.ones((2, 3, 4)), axis=ids),
        lambda ids: ab.transpose(ab.ones((2, 3, 4)), [*ids, 0]),
        lambda ids: ab.split(vector(), ids)[0],
        lambda ids: ab.sparse_input([ids], [5.0, 6.0], 3),
    ],
)
def test_any_sequence_of_integers_is_one(call: Any, make: Any) -> None:
    np.testing.assert_array_equal(call(make([1, 2])).value(), call([1, 2]).value())


def _values(made: Any) -> list[np.ndarray]:
    return [x.value() for x in (made if isinstance(made, list) else [made])]


# ------------------------------------------------------------------------------ operands

OPERAND = {name: make for name, make in NEVER.items() if name.startswith(("mask", "matrix", "sub"))}
OPERAND |= {name: NEVER[name] for name in ("structured", "complex", "complex array", "time")}
OPERAND |= {name: NEVER[name] for name in ("array of texts", "array of objects", "text", "list")}
OPERAND |= {name: NEVER[name] for name in ("deque", "unregistered sequence", "dict", "generator")}


@pytest.mark.parametrize("kind", OPERAND)
@pytest.mark.parametrize("name", [op.name for op in REGISTRY.values() if op.public])
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_operands_are_expressions_parameters_numbers_or_plain_arrays(name: str, kind: str) -> None:
    op, wrong = REGISTRY[name], OPERAND[kind]()
    if not op.inputs:
        return
    sample = op.samples[0]
    for place in range(min(len(sample.shapes), 2)):
        operands: list[Any] = [ab.zeros(shape) for shape in sample.shapes]
        operands[place] = wrong
        attrs = tuple(v for key, _ in op.attrs for v in np.ravel(sample.attrs[key]).tolist())
        with pytest.raises((ab.OperandError, ab.ShapeError)):
            recorder(name).record(tuple(operands), attrs, sample.data or ())
        if op.name in FUNCTIONS and not op.attrs and not op.data and not op.variadic:
            with pytest.raises((ab.OperandError, ab.ShapeError), match=f"^{name}: "):
                FUNCTIONS[name](*operands)


@pytest.mark.parametrize("kind", ["list", "deque", "masked vector", "array of objects"])
@pytest.mark.parametrize(
    "name", sorted(set(CALLS) - {"full", "constant", "input", "ones", "zeros", "one_hot"})
)
def test_operands_of_functions_are_operands(name: str, kind: str) -> None:
    operands, data = CALLS[name]
    for place, operand in enumerate(operands()):
        given = list(operands())
        given[place] = [NEVER[kind]()] if isinstance(operand, list) else NEVER[kind]()
        if name in ("sum", "mean", "max", "min", "argmax", "logsumexp") and kind != "masked vector":
            continue  # of lists
        with pytest.raises((ab.OperandError, ab.ShapeError, ab.IndexRangeError)):
            FUNCTIONS[name](*given, **data)


@pytest.mark.parametrize("function", [ab.tanh, ab.softmax, ab.Linear(1, 2), ab.norm, ab.exp])
def test_a_list_of_expressions_is_stacked_first(function: Any) -> None:
    with pytest.raises(ab.OperandError, match=r"ab\.stack\(list\).*ab\.concat\(list\)"):
        function([expression()])


OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.matmul,
]


@pytest.mark.parametrize("kind", [k for k in OPERAND if k not in ("text", "dict", "generator")])
@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_operators_take_plain_arrays_on_either_side(op: Any, kind: str) -> None:
    for x in (ab.ones(1), ab.Parameter(1)):
        for call in (lambda x: op(x, OPERAND[kind]()), lambda x: op(OPERAND[kind](), x)):
            with pytest.raises((ab.OperandError, ab.ShapeError, TypeError)):
                call(x)


# The reflected operators of arrays and NumPy's numbers record.
@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("left", [np.full(2, 3.0), np.full((2, 2), 3, np.int8), np.float32(3.0)])
def test_an_array_on_the_left_records(op: Any, left: Any) -> None:
    for x in (ab.input([1.0, 2.0]), ab.Parameter(init=[1.0, 2.0])):
        if op is operator.matmul and not np.ndim(left):
            continue
        made = op(left, x)
        assert isinstance(made, ab.Expression)
        np.testing.assert_allclose(made.value(), op(left, np.array([1.0, 2.0])), rtol=1e-6)
    total = np.zeros(2)
    total += x
    assert isinstance(total, ab.Expression)


# --------------------------------------------------------------------- NumPy's functions


@pytest.mark.parametrize("kind", ["expression", "parameter"])
@pytest.mark.parametrize(
    ("call", "ours"),
    [
        (lambda x: np.stack([x, x]), "ab.stack"),
        (lambda x: np.concatenate([x, x]), "ab.concat"),
        (lambda x: np.concatenate([np.ones(2), x]), "ab.concat"),
        (lambda x: np.hstack([x, x]), "ab.concat"),
        (lambda x: np.mean(x), "ab.mean"),
        (lambda x: np.mean([x, x]), "ab.mean"),
        (lambda x: np.sum([x, x], axis=0), "ab.sum"),
        (lambda x: np.max([x, x]), "ab.max"),
        (lambda x: np.dot(x, np.ones(2)), "ab.dot"),
        (lambda x: np.dot(np.ones(2), x), "ab.dot"),
        (lambda x: np.where(np.ones(2) > 0, x, x), "np.where.*value"),
        (lambda x: np.linalg.norm(x), "ab.norm"),
        (lambda x: np.exp(x), "ab.exp"),
        (lambda x: np.absolute(x), "ab.abs"),
        (lambda x: np.arctan(x), "ab.atan"),
        (lambda x: np.maximum(np.ones(2), x), "ab.maximum"),
        (lambda x: np.add.reduce(x), "ab.add"),
        (lambda x: np.multiply(x, 2.0, out=np.zeros(2)), "ab.multiply"),
        (lambda x: np.full_like(x, 1.0), "ab.full"),
        (lambda x: np.full(2, x), "value"),
        (lambda x: np.allclose(x, x), "value"),
        (lambda x: np.split(x, 2), "ab.split"),
        (lambda x: np.copyto(np.zeros(2), x), "value"),
        (lambda x: np.ones(2) < x, "value"),
        (lambda x: np.ones(2) == x, "value"),
    ],
)
def test_functions_of_numpy_are_refused_with_ours(call: Any, ours: str, kind: str) -> None:
    x = ab.input([1.0, 2.0]) * 2 if kind == "expression" else ab.Parameter(init=[1.0, 2.0])
    with pytest.raises(ab.OperandError, match=ours):
        call(x)
    assert kind == "parameter" or not x._computed()


def test_functions_that_are_named_for_numpys_exist() -> None:
    for ours in ab.protocol._NAMES.values():
        assert ours in FUNCTIONS, ours


def test_what_looks_at_shapes_only_is_answered() -> None:
    for x in (ab.ones((2, 3)) * 2, ab.Parameter((2, 3))):
        assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 3), 2, 6)


def test_numbers_are_given_where_they_are_asked_for() -> None:
    for x in (ab.full((), 2.5) * 1, ab.Parameter(init=[2.5]), ab.full((1, 1), 2.5) * 1):
        assert float(x) == 2.5
        assert int(x) == math.trunc(x) == math.floor(x) == 2
        assert math.ceil(x) == 3
        assert format(x, ".2f") == f"{x:.2f}" == "2.50"
        assert np.asarray(x).ravel().tolist() == [2.5]
        assert np.asarray(x, np.float64).dtype == np.float64
    x = ab.full((), 2.345) * 1
    assert round(x, 1) == 2.3
    assert round(x) == 2
    assert f"{x}" == str(x) == repr(x)
    many = ab.ones(3) * 2
    for ask in (float, int, math.trunc, lambda x: f"{x:.2f}", round):
        with pytest.raises(ab.OperandError):
            ask(many)
        with pytest.raises(ab.OperandError):
            ask(ab.Parameter(3))
    np.testing.assert_allclose(many, [2, 2, 2])


def test_abs_records() -> None:
    p = ab.Parameter(init=[-1.0, 2.0])
    loss = ab.sum(abs(p) * abs(p * 2))
    assert loss.item() == 10.0
    loss.backward()
    np.testing.assert_array_equal(p.gradient(), [-4.0, 8.0])


def test_an_integer_result_is_an_index_of_lists() -> None:
    best = ab.argmax(vector())
    assert ["a", "b", "c"][best] == "c"
    assert operator.index(best) == 2
    assert list(range(best)) == [0, 1]
    for wrong in (ab.sum(vector()), ab.argmax(matrix(), axis=0)):
        with pytest.raises(ab.OperandError):
            [1, 2][wrong]
    with pytest.raises(TypeError):
        [1, 2][ab.Parameter(1)]


def test_entries_of_the_first_axis_are_iterated_over() -> None:
    p = ab.Parameter(init=[[1.0, 2.0], [3.0, 4.0]])
    for x in (p, p * 1, ab.Lookup(init=[[1.0, 2.0], [3.0, 4.0]])):
        first, second = x
        assert (first.value().tolist(), second.value().tolist()) == ([1.0, 2.0], [3.0, 4.0])
        assert [row.value().tolist() for row in reversed(x)] == [[3.0, 4.0], [1.0, 2.0]]
        assert len(list(x)) == len(x) == 2
    ab.sum([ab.sum(row) * i for i, row in enumerate(p)]).backward()
    np.testing.assert_array_equal(p.gradient(), [[0, 0], [1, 1]])
    scalar = ab.sum(p)
    for ask in (list, len, lambda x: list(reversed(x))):
        with pytest.raises(ab.OperandError, match="scalar"):
            ask(scalar)


@pytest.mark.parametrize("make", [lambda: ab.ones(2) * 1, lambda: ab.Parameter(2)])
@pytest.mark.parametrize("other", [lambda: ab.ones(2) * 2, lambda: ab.Parameter(2), lambda: 1.0])
def test_comparisons_say_what_to_write(make: Any, other: Any) -> None:
    x, y = make(), other()
    for compare in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge):
        for call in (lambda c: c(x, y), lambda c: c(y, x), lambda c: c(x, x)):
            with pytest.raises(ab.OperandError, match=r"x\.item\(\)"):
                call(compare)
    with pytest.raises(ab.OperandError, match=r"ab\.max"):
        max(x, y)
    with pytest.raises(ab.OperandError):
        sorted([x, y])
    with pytest.raises(ab.OperandError):
        assert y in x
    with pytest.raises(ab.OperandError):
        assert x in [y]
    with pytest.raises(ab.OperandError):
        [y].index(x)
    with pytest.raises(ab.OperandError, match="truth value"):
        assert x


def test_an_object_is_found_by_its_identity() -> None:
    for make in (lambda: ab.ones(2), lambda: ab.Parameter(2)):
        x, y = make(), make()
        assert x in [x, y]
        assert [x, y].index(x) == 0
        assert {x: 1, y: 2}[y] == 2
        assert len({x, y, x}) == 2
        assert x is not None
        assert (x == None, x != None) == (False, True)  # noqa: E711
        assert x != "word"


@pytest.mark.parametrize("x", [lambda: ab.ones(2), lambda: ab.Parameter(2)])
def test_operators_that_there_are_not_say_what_to_write(x: Any) -> None:
    for op in (operator.floordiv, operator.mod, divmod):
        for call in (lambda op: op(x(), 2), lambda op: op(2, x()), lambda op: op(x(), x())):
            with pytest.raises(ab.OperandError, match=r"ab\.floor"):
                call(op)
    for op in (operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift):
        with pytest.raises(ab.OperandError):
            op(x(), 2)
    with pytest.raises(ab.OperandError):
        ~x()


# -------------------------------------------------------------------- parameters, layers


@pytest.mark.parametrize("kind", NEVER)
@pytest.mark.parametrize(
    "call",
    [
        lambda v: ab.Parameter(1, init=v),
        lambda v: ab.Parameter(init=v),
        lambda v: ab.Parameter(v),
        lambda v: ab.Parameter((1, v)),
        lambda v: ab.Lookup(1, 1, init=v),
        lambda v: ab.Lookup(v, 1),
        lambda v: ab.Lookup(1, v),
        lambda v: ab.Parameter(1).set_value(v),
        lambda v: ab.Lookup(3, 1)[v],
        lambda v: ab.Lookup(3, 1).batch(v),
        lambda v: ab.Lookup(3, 1).batch([0, v]),
        lambda v: ab.ones((2, 2))[v],
        lambda v: ab.ones((2, 2))[0, v],
        lambda v: ab.ones((2, 2))[v:],
        lambda v: ab.ones((2, 2))[:1, :v],
        lambda v: ab.Parameter((2, 2))[v],
        lambda v: ab.Linear(v, 1),
        lambda v: ab.Linear(1, 1, bias=v),
        lambda v: ab.Linear(1, 1, init=v),
        lambda v: ab.LSTM(1, v),
        lambda v: ab.LSTM(1, 1, layers=v),
        lambda v: ab.GRU(1, 1, dropout=v),
        lambda v: ab.RNN(1, 1, learned_start=v),
        lambda v: ab.TreeLSTM(1, 1, arity=v),
        lambda v: ab.BiLSTM(1, 1, dropout=v),
        lambda v: ab.Uniform(v),
        lambda v: ab.Uniform(-1.0, v),
        lambda v: ab.Normal(v),
        lambda v: ab.Normal(1.0, mean=v),
        lambda v: ab.Glorot(v),
        lambda v: ab.Constant(v),
        lambda v: ab.Identity(v),
        lambda v: ab.FromArray(v),
        lambda v: ab.Step(v),
        lambda v: ab.Exponential(v),
        lambda v: ab.Cosine(1, v),
        lambda v: ab.Warmup(v),
        lambda v: ab.Uniform(1.0)((1, v)),
        lambda v: ab.SGD(ab.Parameter(1), v),
        lambda v: ab.SGD(ab.Parameter(1), clip_norm=v),
        lambda v: ab.SGD(ab.Parameter(1), clip_value=v),
        lambda v: ab.SGD(ab.Parameter(1), sparse=v),
        lambda v: ab.SGD(ab.Parameter(1), schedule=lambda step: v).rate,
        lambda v: ab.Momentum(ab.Parameter(1), momentum=v),
        lambda v: ab.Momentum(ab.Parameter(1), nesterov=v),
        lambda v: ab.Adam(ab.Parameter(1), beta1=v),
        lambda v: ab.AdamW(ab.Parameter(1), weight_decay=v),
        lambda v: ab.CyclicalSGD(ab.Parameter(1), step_size=v),
        lambda v: ab.configure(threads=v),
        lambda v: ab.configure(seed=v),
        lambda v: ab.configure(memory_limit=v),
        lambda v: ab.configure(sharing=v),
        lambda v: ab.configure(strategy=v),
        lambda v: ab.configure(dtype=v),
        lambda v: ab.configure(instruction_set=v),
        lambda v: ab.use(v),
        lambda v: ab.engine.write(ab.recording.placeholder((1,)), v),
        lambda v: recorder("elu").record((ab.ones(1),), (v,), ()),
        lambda v: recorder("pick").record((ab.ones(2),), (), (v,)),
    ],
)
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_parameters_and_layers_take_data(call: Any, kind: str) -> None:
    wrong = NEVER[kind]()
    with pytest.raises(ab.AutobatchError):
        call(wrong)
    if isinstance(wrong, ab.Expression):
        assert not wrong._computed() or wrong.op == "input"


@pytest.mark.parametrize("kind", ["bool", "NumPy's bool", "array of a bool", "float", "fraction"])
@pytest.mark.parametrize(
    "call",
    [
        lambda v: ab.Parameter(v),
        lambda v: ab.Parameter((1, v)),
        lambda v: ab.Lookup(v, 1),
        lambda v: ab.Lookup(1, v),
        lambda v: ab.Lookup(3, 1)[v],
        lambda v: ab.Lookup(3, 1).batch([v]),
        lambda v: ab.ones((2, 2))[v],
        lambda v: ab.ones((2, 2))[0, v],
        lambda v: ab.ones((2, 2))[v:],
        lambda v: ab.Parameter((2, 2))[v],
        lambda v: ab.Linear(v, 1),
        lambda v: ab.LSTM(1, 1, layers=v),
        lambda v: ab.TreeLSTM(1, 1, arity=v),
    ],
)
def test_a_truth_value_is_no_size_and_no_index(call: Any, kind: str) -> None:
    with pytest.raises((ab.OperandError, ab.ConfigurationError)):
        call(NO_INTEGER[kind]())


@pytest.mark.parametrize(
    ("call", "repair"),
    [
        (lambda: ab.Parameter(4, 4), r"Parameter\(\(4, 4\)\)"),
        (lambda: ab.Lookup(9, 4, 4), r"Lookup\(9, \(4, 4\)\)"),
        (lambda: ab.random_normal(3, 4), r"random_normal\(\(4, 4\)\).*mean="),
        (lambda: ab.random_uniform(3, 0, 4), r"low="),
        (lambda: ab.random_gumbel(3, 4), r"location="),
        (lambda: ab.random_bernoulli(3, 0.5), r"probability="),
        (lambda: ab.Normal(0, 0.1), r"mean="),
    ],
)
def test_what_would_read_as_something_else_goes_by_name(call: Any, repair: str) -> None:
    with pytest.raises(ab.OperandError, match=repair):
        call()


# --------------------------------------------------------------------------------- losses

LOSSES: dict[str, Any] = {
    "squared_error": ab.squared_error,
    "absolute_error": ab.absolute_error,
    "huber": ab.huber,
    "poisson_nll": ab.poisson_nll,
    "margin_ranking": ab.margin_ranking,
    "binary_cross_entropy": ab.binary_cross_entropy,
    "binary_cross_entropy of logits": lambda x, t: ab.binary_cross_entropy(x, t, from_logits=True),
    "cross_entropy": ab.cross_entropy,
}


@pytest.mark.parametrize(
    "shapes", [((3,), (3, 1)), ((3,), ()), ((), (3,)), ((2, 3), (3,))], ids=str
)
@pytest.mark.parametrize("kind", [ab.full, ab.random_uniform, lambda s, v: np.full(s, v)])
@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_broadcasts_its_target(name: str, shapes: Any, kind: Any) -> None:
    x, target = (kind(s, 0.5) if kind is not ab.random_uniform else kind(s) for s in shapes)
    with pytest.raises((ab.ShapeError, ab.OperandError), match=name.split()[0]):
        LOSSES[name](x, target)


@pytest.mark.parametrize("loss", [ab.cross_entropy, ab.hinge])
def test_a_label_that_can_only_be_a_one_hot_is_refused(loss: Any) -> None:
    x = vector()
    for label in (np.eye(3, dtype=int)[2], [0, 0, 1], (0, 0, 1), np.eye(3, dtype=np.uint8)[2]):
        with pytest.raises(ab.OperandError, match="one-hot vector; its class is 2"):
            loss(x, label)
    for label in (np.eye(3, dtype=int), [[0, 0, 1]], np.eye(3, dtype=bool)[2]):
        with pytest.raises(ab.OperandError):
            loss(x, label)
    # Labels, all the same: of repeated scores, of a minibatch, of rows.
    assert loss(x, [0, 1]).batch_size == 2
    assert loss(x, [0, 1, 1]).batch_size == 3
    assert loss(ab.input(np.ones((3, 3)), batched=True), [0, 0, 1]).batch_size == 3
    assert loss(ab.ones((3, 3)), [0, 0, 1]).shape == (3,)
    with pytest.raises(ab.IndexRangeError):
        loss(x, 3)


# -------------------------------------------------------------------------- lists of nodes


def test_lists_of_expressions_are_lists() -> None:
    x = vector()
    for call in (ab.values, ab.explain, lambda wrt: ab.sum(x).backward(wrt=wrt)):
        for wrong in (x, ab.Parameter(2), np.ones(2), 3, [3], [ab.Parameter(2)], None):
            if call is ab.explain and wrong is x:
                continue
            with pytest.raises(ab.OperandError, match="expected"):
                call(wrong)
    with pytest.raises(ab.OperandError, match="explain"):
        ab.explain([])


def test_a_gradient_from_outside_has_a_way() -> None:
    x = vector()
    with pytest.raises(ab.OperandError, match=r"ab\.sum\(y \* array\)\.backward\(\)"):
        (x * x).backward(np.array([1.0, 0.5, 0.0]))
    ab.sum((x * x) * np.array([1.0, 0.5, 0.0])).backward(wrt=[x])
    np.testing.assert_array_equal(x.gradient(), [1.0, 1.5, 0.0])


def test_formula_and_arguments_of_the_transposed_product_stand_in_one_order() -> None:
    w, x, b = np.arange(4.0).reshape(2, 2), np.array([1.0, 2.0]), np.array([5.0, 6.0])
    assert "bias + W1.T @ x1" in str(ab.affine_transposed.__doc__)
    for weight in (ab.Parameter(init=w), ab.input(w) * 1):
        np.testing.assert_allclose(ab.affine_transposed(b, weight, x).value(), b + w.T @ x)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ab.ones(2) + 10**400,
        lambda: ab.maximum(-(10**400), ab.ones(2)),
        lambda: ab.Parameter((2**63,)),
        lambda: ab.Parameter((2**31, 2**31)),
        lambda: ab.Lookup(2**62, 4),
        lambda: ab.zeros(2**70),
        lambda: ab.sum(ab.ones(2), axis=2**70),
        lambda: ab.take(ab.ones(2), [2**70]),
        lambda: ab.take(ab.ones(2), np.array([2**64 - 1], np.uint64)),
        lambda: ab.cross_entropy(ab.ones(2), 2**70),
        lambda: ab.Lookup(2, 2).batch([2**70]),
    ],
)
def test_numbers_too_large_are_refused(call: Any) -> None:
    with pytest.raises(ab.AutobatchError):
        call()


def test_dicts_and_sets_are_no_lists_of_operands() -> None:
    x = ab.ones(2)
    for join in (ab.sum, ab.mean, ab.max, ab.concat, ab.stack, ab.logsumexp):
        for wrong in ({1: x}, {x}, frozenset([x]), types.MappingProxyType({1: x})):
            with pytest.raises(ab.OperandError, match="list"):
                join(wrong)
        assert join({1: x, 2: x}.values()).shape == join([x, x]).shape


def test_an_object_that_fails_to_be_an_array_is_named() -> None:
    class Failing:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise RuntimeError("not now")

    for call in (lambda x: ab.input(x), lambda x: ab.ones(2) + x, lambda x: ab.take(vector(), x)):
        with pytest.raises(ab.OperandError, match="not now"):
            call(Failing())
    with pytest.raises(ab.OperandError):
        assert ab.ones(2) == Failing()


def test_arrays_of_objects_hold_no_expressions() -> None:
    for x in (vector() * 2, ab.sum(vector()), ab.Parameter(2)):
        for make in (lambda x: np.array([x, x], object), lambda x: np.asarray(x, object)):
            with pytest.raises(ab.OperandError, match=r"ab\.stack"):
                make(x)
