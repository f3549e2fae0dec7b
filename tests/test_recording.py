"""Recording: operands, errors on the user's line, stale and foreign expressions, sharing."""

from __future__ import annotations

import threading
import warnings

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from formulas import batch_of, form_of
from hypothesis import example, given
from hypothesis import strategies as st
from recorded import data_of, flat, make_operands, record_case
from samples import SAMPLES, Case

import autobatch as ab
from autobatch import _core, recording
from autobatch.ops import REGISTRY
from autobatch.ops.declare import Operand
from autobatch.recording import recorder
from autobatch.testing import count_batches

PLAIN_ELEMENTWISE = [op for op in REGISTRY.values() if op.elementwise and not op.attrs]
BROADCASTING = [op for op in PLAIN_ELEMENTWISE if not op.alike]

# ---------------------------------------------------------------------------- operands


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_shape_is_known_at_once(case: Case, rng) -> None:
    expression = record_case(case, make_operands(case, case.operands(rng, "float32")))
    assert expression.shape == tuple(form_of(case).shape)
    assert expression.batch_size == batch_of(case)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.arange(6, dtype=np.int8).reshape(2, 3),
        np.arange(6, dtype=np.uint64).reshape(2, 3),
        np.arange(6, dtype=np.float16).reshape(2, 3),
        np.arange(6, dtype=">f8").reshape(2, 3),
        np.arange(6.0).reshape(3, 2).T.copy().T.T,
        np.arange(12.0).reshape(2, 6)[:, ::2] // 2 * 1.0,
        np.arange(6.0)[::-1].reshape(2, 3)[::-1, ::-1],
        np.arange(6).reshape(2, 3) > 2,
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
    ids=lambda a: f"{a.dtype}{a.strides}",
)
def test_arrays_of_any_dtype_and_strides_are_operands(array: np.ndarray) -> None:
    x = ab.input(np.ones((2, 3)))
    expected = 1 + array.astype(np.float32)
    np.testing.assert_array_equal((x + array).value(), expected)
    np.testing.assert_array_equal((array + x).value(), expected)
    np.testing.assert_array_equal(ab.input(array).value(), array.astype(np.float32))


@pytest.mark.parametrize("number", [2, 2.0, True, np.float32(2), np.int64(2), np.array(2.0)])
def test_numbers_are_operands_on_either_side(number) -> None:
    x = ab.input([3.0, 5.0])
    np.testing.assert_allclose((x * number).value(), np.array([3, 5]) * float(number))
    np.testing.assert_allclose((number - x).value(), float(number) - np.array([3, 5]))
    np.testing.assert_allclose((number / x).value(), float(number) / np.array([3, 5]), rtol=1e-6)


def test_an_input_is_copied_when_it_is_recorded() -> None:
    array = np.array([1.0, 2.0], np.float32)
    x = ab.input(array)
    array[:] = 7
    np.testing.assert_array_equal(x.value(), [1, 2])


def test_operators_record_the_ops_of_their_names() -> None:
    a, b = ab.input([[4.0, 2.0], [1.0, 3.0]]), ab.input([[1.0, 2.0], [3.0, 4.0]])
    x, y = a.value(), b.value()
    for got, want in (
        (a + b, x + y),
        (a - b, x - y),
        (a * b, x * y),
        (a / b, x / y),
        (a**b, x**y),
        (a @ b, x @ y),
        (-a, -x),
        (2**b, 2**y),
        (a**2, x**2),
        (a[0], x[0]),
        (a[:, 1], x[:, 1]),
        (a.T if hasattr(a, "T") else ab.transpose(a), x.T),
    ):
        np.testing.assert_allclose(got.value(), want, rtol=1e-5)


# ------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("name", "shapes", "attrs", "data", "text"),
    [(op.name, *error) for op in REGISTRY.values() for error in op.errors],
)
def test_errors_are_raised_while_recording(name, shapes, attrs, data, text) -> None:
    op = REGISTRY[name]
    operands = tuple(ab.input(np.ones(shape)) for shape in shapes)
    before = len(_core.current_graph())
    with pytest.raises(ab.AutobatchError) as caught:
        recorder(name).record(operands, flat(op, attrs), data_of(op, data or ()))
    assert text in str(caught.value)
    assert len(_core.current_graph()) == before


def test_an_error_changes_nothing_and_recording_goes_on() -> None:
    x = ab.input([1.0, 2.0])
    for _ in range(3):
        with pytest.raises(
            ab.ShapeError, match=r"add: expected shapes that broadcast.*\(2,\) and \(3,\)"
        ):
            x + np.ones(3)
    np.testing.assert_array_equal((x + 1).value(), [2, 3])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: ab.tanh(), ab.OperandError, r"tanh: expected 1 operand \(x\), got 0"),
        (lambda x: ab.tanh(x, x), ab.OperandError, r"tanh: expected 1 operand \(x\), got 2"),
        (lambda x: ab.add(x), ab.OperandError, "add: expected 2 operands"),
        (lambda x: ab.tanh("word"), ab.OperandError, "tanh: expected an expression.*got str"),
        (lambda x: ab.tanh(None), ab.OperandError, "got NoneType"),
        (lambda x: ab.tanh([1.0]), ab.OperandError, r"ab.input\(...\) records a list"),
        (lambda x: ab.tanh(x=x), ab.OperandError, "by position"),
        (lambda x: x + np.array(["a", "b"]), ab.OperandError, "expected real numbers"),
        (lambda x: x + np.array([1j, 2j]), ab.OperandError, "expected real numbers"),
        (lambda x: ab.input("word"), ab.OperandError, "input: expected real numbers"),
        (lambda x: ab.input([[1.0], [1.0, 2.0]]), ab.ShapeError, "do not form an array"),
        (lambda x: ab.input(1.0, batched=True), ab.ShapeError, "first axis"),
        (lambda x: ab.sum([]), ab.OperandError, "at least one expression, got an empty list"),
        (lambda x: ab.concat([]), ab.OperandError, "at least one expression, got an empty list"),
        (lambda x: ab.stack([]), ab.OperandError, "at least one expression, got an empty list"),
        (lambda x: x[5], ab.IndexRangeError, "5"),
        (lambda x: x["a"], ab.OperandError, "index"),
        (lambda x: ab.cross_entropy(x, 7), ab.IndexRangeError, r"7.*0 to 1"),
        (lambda x: ab.cross_entropy(x, -1), ab.IndexRangeError, r"-1.*0 to 1"),
        (lambda x: ab.pick(x, 2), ab.IndexRangeError, "2"),
        (lambda x: ab.Lookup(5, 3)[5], ab.IndexRangeError, r"lookup: index 5.*0 to 4"),
        (lambda x: ab.Lookup(5, 3)[-1], ab.IndexRangeError, r"lookup: index -1.*0 to 4"),
        (lambda x: ab.Lookup(5, 3)[10**30], ab.IndexRangeError, r"lookup: index 10+.*0 to 4"),
        (lambda x: ab.Lookup(5, 3)["a"], ab.OperandError, "lookup: expected the number of a row"),
        (lambda x: bool(x), ab.OperandError, r"no truth value.*item\(\)"),
        (lambda x: x @ np.ones(3), ab.ShapeError, "matmul: expected the last axis"),
        (lambda x: recorder("softmax")(x), ab.OperandError, "use its public function"),
    ],
)
def test_misuse_says_what_was_expected(call, error, text) -> None:
    x = ab.input([1.0, 2.0])
    with pytest.raises(error, match=text):
        call(x)


def test_lists_and_strings_are_no_operands_of_operators() -> None:
    x = ab.input([1.0, 2.0])
    for other in ("word", {}, object()):
        with pytest.raises(TypeError):
            x + other
        with pytest.raises(TypeError):
            other * x


def test_minibatches_that_disagree() -> None:
    a = ab.input(np.ones((3, 2)), batched=True)
    b = ab.input(np.ones((4, 2)), batched=True)
    with pytest.raises(ab.ShapeError, match="minibatches of 3 and of 4"):
        a + b


def test_backward_of_what_is_no_scalar() -> None:
    x = ab.input([1.0, 2.0])
    with pytest.raises(ab.GradientError):
        (x * 2).backward()


def test_parameters_and_graphs_have_one_number_type() -> None:
    w = ab.Parameter(3)
    with ab.configure(dtype="float64"):
        ab.new_graph()
        with pytest.raises(ab.OperandError, match=r"float32.*float64"):
            w + ab.input(np.ones(3))
    ab.new_graph()
    assert (w + np.ones(3)).value().dtype == np.float32


# ------------------------------------------------------------------ stale and foreign


def test_expressions_of_a_graph_that_is_gone() -> None:
    x = ab.input([1.0, 2.0])
    y = x * 2
    ab.new_graph()
    z = ab.input([1.0, 2.0])
    for use in (
        lambda: x + 1,
        lambda: z + x,
        lambda: y.value(),
        lambda: y.shape,
        lambda: ab.sum([z, x]),
        lambda: y.backward(),
        lambda: y[0],
        lambda: ab.values([y]),
    ):
        with pytest.raises(ab.StaleExpressionError, match="graph that is gone"):
            use()
    np.testing.assert_array_equal((z * 3).value(), [3, 6])


def test_a_graph_as_a_context_leaves_the_outer_one_alone() -> None:
    x = ab.input([1.0, 2.0])
    with ab.new_graph():
        y = ab.input([5.0, 6.0]) * 2
        np.testing.assert_array_equal(y.value(), [10, 12])
        with pytest.raises(ab.GraphError, match="outer graph"):
            y + x
    np.testing.assert_array_equal((x + 1).value(), [2, 3])
    with pytest.raises(ab.StaleExpressionError):
        y.value()


def test_graphs_nest_and_end_on_errors() -> None:
    def program() -> None:
        with ab.new_graph():
            with ab.new_graph():
                assert ab.input([2.0]).item() == 2
            ab.input([3.0])
            raise ZeroDivisionError

    x = ab.input([1.0])
    with pytest.raises(ZeroDivisionError):
        program()
    assert (x + 1).item() == 2


def test_expressions_of_another_thread() -> None:
    x = ab.input([1.0, 2.0])
    caught: list[Exception] = []

    def use() -> None:
        for attempt in (lambda: ab.input([1.0, 2.0]) + x, lambda: ab.tanh(x)):
            try:
                attempt()
            except ab.GraphError as error:
                caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(caught) == 2
    assert all("another thread" in str(error) for error in caught)
    np.testing.assert_array_equal((x + 1).value(), [2, 3])


# ----------------------------------------------------------------------------- sharing


def nodes() -> int:
    return len(_core.current_graph())


def test_equal_nodes_are_one_node() -> None:
    x = ab.input([1.0, 2.0])
    a, b = ab.tanh(x), ab.tanh(x)
    assert a.node == b.node
    assert ab.input(np.array([1.0, 2.0])).node != x.node
    assert ab.constant([1.0, 2.0]).node == ab.constant(np.array([1.0, 2.0])).node
    assert ab.input(np.array([1.0, 2.5])).node != x.node
    before = nodes()
    assert (ab.elu(x) + 1).node == (ab.elu(x) + 1).node
    assert nodes() == before + 3  # elu, the number, add


def test_sharing_can_be_turned_off() -> None:
    with ab.configure(sharing=False):
        ab.new_graph()
        x = ab.input([1.0, 2.0])
        assert ab.tanh(x).node != ab.tanh(x).node
        assert ab.input([1.0, 2.0]).node != x.node
        w = ab.Parameter(2)
        assert len({(w + x).node, (w + x).node}) == 2


def test_attributes_and_data_keep_nodes_apart() -> None:
    x = ab.input([0.5, -2.0])
    different = [
        ab.elu(x),
        ab.elu(x, alpha=5.0),
        ab.relu(x),
        ab.leaky_relu(x, 0.1),
        ab.leaky_relu(x, 0.2),
        ab.cross_entropy(x, 0),
        ab.cross_entropy(x, 1),
        ab.hinge(x, 0),
        ab.hinge(x, 0, margin=2.0),
        x[0],
        x[1],
        x[0:1],
    ]
    assert len({e.node for e in different}) == len(different)


def test_zero_and_minus_zero_are_two_inputs() -> None:
    a, b = ab.input([0.0]), ab.input([-0.0])
    assert a.node != b.node
    assert np.signbit(b.value())[0]


def test_random_ops_are_never_shared() -> None:
    x = ab.input(np.ones(200))
    a, b = ab.dropout(x, 0.5), ab.dropout(x, 0.5)
    assert a.node != b.node
    assert (a.value() != b.value()).any()


def test_a_parameter_is_recorded_once_per_graph() -> None:
    w = ab.Parameter(2)
    w + 1
    before = nodes()
    w + 1
    assert nodes() == before
    ab.new_graph()
    np.testing.assert_allclose((w + 1).value(), w.value() + 1)


# --------------------------------------------------------------- forms and collisions


@pytest.fixture
def collisions():
    """Makes every hash collide; the recorder then has only its comparisons."""
    _core._set_hash_mask(0)
    ab.new_graph()
    yield
    _core._set_hash_mask(0xFFFF_FFFF_FFFF_FFFF)
    ab.new_graph()


def lookalikes(x: ab.Expression) -> list[ab.Expression]:
    """Results that a hash alone might take for each other."""
    m = ab.input(np.arange(6.0).reshape(2, 3) / 6)
    return [
        ab.elu(x), ab.elu(x, alpha=5.0), ab.relu(x), ab.leaky_relu(x, 0.1), ab.tanh(x),
        ab.softmax(m, axis=0), ab.softmax(m, axis=1), ab.sum(m, axis=0), ab.sum(m, axis=1),
        ab.sum(m), ab.max(m, axis=0), ab.max(m, axis=1), x[0], x[1], x[0:2], x[1:3], x * 2, x * 3,
        ab.concat([x, x]), ab.stack([x, x]), ab.concat([x, x, x]), ab.reshape(m, (3, 2)),
        ab.transpose(m), ab.cross_entropy(x, 0), ab.cross_entropy(x, 1), ab.hinge(x, 1),
    ]  # fmt: skip


def test_forced_collisions_change_nothing(collisions: None) -> None:
    array = np.array([0.5, -2.0, 1.5])
    got = [e.value() for e in lookalikes(ab.input(array))]
    count = nodes()
    _core._set_hash_mask(0xFFFF_FFFF_FFFF_FFFF)
    ab.new_graph()
    expected = [e.value() for e in lookalikes(ab.input(array))]
    assert nodes() == count
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mask", [0, 1, 7])
def test_forced_collisions_change_no_profile(mask: int) -> None:
    def batches() -> tuple[int, list[np.ndarray]]:
        ab.new_graph()
        weights = [ab.Parameter(init=np.full((2, 3), i)) for i in range(4)]
        xs = [ab.input(np.arange(3.0) + i) for i in range(5)]
        results = [w @ x for w in weights for x in xs] + [ab.tanh(x) for x in xs]
        return count_batches(*results), ab.values(results)

    expected = batches()
    _core._set_hash_mask(mask)
    try:
        got = batches()
    finally:
        _core._set_hash_mask(0xFFFF_FFFF_FFFF_FFFF)
        ab.new_graph()
    assert got[0] == expected[0] == 5
    for a, b in zip(got[1], expected[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_forms_are_interned() -> None:
    x, y = ab.input([1.0, 2.0]), ab.input([3.0, 4.0])
    before = len(_core.forms)
    assert ab.tanh(x)._form == ab.tanh(y)._form
    assert len(_core.forms) <= before + 1
    for i in range(100):
        ab.tanh(ab.input([float(i), 0.0]))
    assert len(_core.forms) <= before + 1


SHAPES = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4)


@given(SHAPES, st.tuples(st.sampled_from([1, 5]), st.sampled_from([1, 5])), st.data())
def test_forms_that_the_core_makes_are_those_of_the_rule(shapes, batches, data) -> None:
    op = data.draw(st.sampled_from(BROADCASTING))
    operands = [
        ab.input(np.ones((batch, *shape) if batch > 1 else shape), batched=batch > 1)
        for shape, batch in zip(shapes.input_shapes, batches, strict=True)
    ][: len(op.inputs)]
    form = recorder(op.name)(*operands)._form
    number = list(REGISTRY).index(op.name)
    inputs = tuple((x.shape, x.batch_size, False) for x in operands)
    assert _core.form(form) == recording._rule(number, None, inputs)[:-1]
    assert recording.forms[form].operands == tuple(Operand(*x) for x in inputs)


@given(
    st.sampled_from(["nary_sum", "nary_mean", "nary_max"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    st.lists(st.sampled_from([1, 5]), min_size=1, max_size=12),
)
def test_forms_of_lists_that_the_core_makes_are_those_of_the_rule(name, shape, batches) -> None:
    operands = [
        ab.input(np.ones((batch, *shape) if batch > 1 else shape), batched=batch > 1)
        for batch in batches
    ]
    form = recorder(name)(operands)._form
    inputs = tuple((x.shape, x.batch_size, False) for x in operands)
    number = list(REGISTRY).index(name)
    assert _core.form(form) == recording._rule(number, None, inputs)[:-1]
    assert recording.forms[form].operands == tuple(Operand(*x) for x in inputs)


@given(
    st.sampled_from(["input", "placeholder", "parameter"]),
    hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9),
    st.integers(1, 4),
)
def test_forms_of_sources_that_the_core_makes_are_those_of_the_rule(name, shape, batch) -> None:
    if name == "parameter":
        shape = tuple(dim + 1 for dim in shape)
        made, attrs = ab.Parameter(shape)._expression(), shape
    elif name == "input":
        made, attrs = ab.input(np.ones((batch, *shape)), batched=True), (batch, *shape)
    else:
        made, attrs = recording.placeholder(shape, batch), (batch, *shape)
    number = list(REGISTRY).index(name)
    assert _core.form(made._form) == recording._rule(number, attrs, ())[:-1]
    assert recording.forms[made._form].shape == shape
    assert made.shape == shape


SIDES = st.sampled_from([0, 1, 2, 5])


@given(st.data(), SIDES, SIDES, SIDES, st.tuples(st.booleans(), st.booleans()))
def test_forms_of_products_that_the_core_makes_are_those_of_the_rule(data, m, k, n, vectors):
    shapes = [(k,) if vectors[0] else (m, k), (k,) if vectors[1] else (k, n)]
    operands, inputs = [], []
    for shape in shapes:
        batch = data.draw(st.sampled_from([1, 3]))
        weight = batch == 1 and 0 not in shape and data.draw(st.booleans())
        if weight:
            operands.append(ab.Parameter(shape)._expression())
        else:
            values = np.ones((batch, *shape) if batch > 1 else shape)
            operands.append(ab.input(values, batched=batch > 1))
        inputs.append((shape, batch, weight))
    form = recorder("matmul")(*operands)._form
    number = list(REGISTRY).index("matmul")
    assert _core.form(form) == recording._rule(number, None, tuple(inputs))[:-1]
    assert recording.forms[form].operands == tuple(Operand(*x) for x in inputs)


KINDS = recording._KINDS


def same_form(name, operands, attrs=(), data=()) -> bool | None:
    """Records and compares the form that the core made with the rule's; None: the rule refuses, as
    recording did. Operands: (shape, size of the minibatch, whether a parameter)."""
    given = [
        ab.Parameter(shape)._expression()
        if weight
        else ab.input(np.ones((batch, *shape) if batch > 1 else shape), batched=batch > 1)
        for shape, batch, weight in operands
    ]
    seen = tuple(
        (shape, batch, weight and REGISTRY[name].reads_weights) for shape, batch, weight in operands
    )
    asked = list(REGISTRY).index(name), attrs or None, seen
    try:
        expected = recording._rule(*asked)
    except ab.AutobatchError:
        with pytest.raises(ab.AutobatchError):
            recorder(name).record(tuple(given), attrs, data)
        return None
    form = recorder(name).record(tuple(given), attrs, data)._form
    return bool(_core.form(form) == expected[:-1] and recording.forms[form] == expected[-1])


@pytest.mark.parametrize("name", list(KINDS))
def test_forms_of_samples_that_the_core_makes_are_those_of_the_rule(name) -> None:
    op = REGISTRY[name]
    for sample in op.samples:
        attrs: list[float] = []
        for attr, kind in op.attrs:
            attrs += sample.attrs[attr] if kind == "ints" else [sample.attrs[attr]]
        count = len(sample.shapes)
        batches, weights = sample.batches or (1,) * count, sample.weights or (False,) * count
        operands = list(zip(sample.shapes, batches, weights, strict=True))
        assert same_form(name, operands, tuple(attrs), sample.data or ())


BATCHES = st.sampled_from([1, 1, 1, 3])
ONE_OPERAND = ["softmax", "log_softmax", "transpose", "reshape", "slice", "pick"]
ONE_OPERAND += ["axis_to_batch", "sum_batch", "mean_batch"]
SHAPES_UP_TO_3 = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@given(
    st.sampled_from(["affine", "linear", "affine_transposed"]),
    st.lists(st.tuples(st.integers(1, 4), BATCHES, st.booleans()), min_size=1, max_size=3),
    st.integers(1, 4),
    hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
    st.sampled_from([None, "vector", "column", "row", "another"]),
    st.booleans(),
)
@example("affine", [(2, 1, True)], 3, (2,), "row", True)
def test_forms_of_affine_maps(name, pairs, m, lead, bias, right) -> None:
    shapes = {"vector": (m,), "column": (m, 1), "row": (1, m), "another": (m + 1,)}
    operands = [] if bias is None else [(shapes[bias], 1, True)]
    for k, batch, weight in pairs:
        k += not right and k == pairs[-1][0]
        matrix = (k, m) if name == "affine_transposed" else (m, k)
        operands += [(matrix, 1, weight or right)]
        operands += [((k, *lead) if name == "affine" else (*lead, k), batch, False)]
    assert same_form(name, operands) in (True, None)


@given(
    st.sampled_from(["concat", "stack"]),
    SHAPES_UP_TO_3,
    st.lists(st.tuples(st.integers(0, 3), BATCHES), min_size=1, max_size=5),
    st.integers(-1, 3),
    st.integers(0, 2),
)
def test_forms_of_joints(name, shape, parts, axis, varies) -> None:
    operands = []
    for length, batch in parts:
        own = list(shape)
        if varies < len(own):
            own[varies] = length
        operands.append((tuple(own), batch, False))
    assert same_form(name, operands, (axis,)) in (True, None)


@given(
    st.sampled_from(
        [name for name, (kind, *_) in KINDS.items() if kind in ("reduction", "moment")]
    ),
    SHAPES_UP_TO_3,
    st.tuples(st.integers(-1, 3), st.integers(-1, 4), st.integers(0, 1), st.integers(0, 3)),
    BATCHES,
)
def test_forms_of_reductions(name, shape, attrs, batch) -> None:
    attrs = attrs if name == "moment" else attrs[:3]
    assert same_form(name, [(shape, batch, False)], attrs) in (True, None)


@given(
    st.sampled_from(ONE_OPERAND),
    SHAPES_UP_TO_3,
    st.lists(st.integers(-1, 4), max_size=3),
    BATCHES,
    st.data(),
)
def test_forms_of_one_operand(name, shape, attrs, batch, data) -> None:
    if name == "transpose" and data.draw(st.booleans()):
        attrs = data.draw(st.permutations(range(len(shape))))
    if name == "reshape" and data.draw(st.booleans()):
        attrs = data.draw(st.permutations(shape))
    if name in ("softmax", "log_softmax"):
        attrs = attrs[:1] or [0]
    attrs = tuple(attrs) if REGISTRY[name].attrs else ()
    words = (0,) * batch if name in ("pick", "slice") else ()
    assert same_form(name, [(shape, batch, False)], attrs, words) in (True, None)


@given(
    st.sampled_from(["pick_each", "pick_again", "cross_entropy", "lookup_batch", "lookup_again"]),
    SHAPES_UP_TO_3,
    st.integers(-1, 4),
    BATCHES,
)
def test_forms_of_labels(name, shape, count, batch) -> None:
    table = name.startswith("lookup")
    operand = (tuple(dim + 1 for dim in shape), 1, True) if table else (shape, batch, False)
    words = (0,) * max(count or batch, 0)
    assert same_form(name, [operand], (count,), words) in (True, None)


@given(
    st.sampled_from(["take", "kmax"]),
    SHAPES_UP_TO_3,
    st.integers(-1, 3),
    st.integers(0, 4),
    BATCHES,
)
def test_forms_of_some_entries(name, shape, axis, count, batch) -> None:
    words = (0,) * (count * batch) if name == "take" else ()
    assert same_form(name, [(shape, batch, False)], (axis, count), words) in (True, None)


@given(
    st.sampled_from(["unfold2d", "max_pool2d"]),
    hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=5),
    st.lists(st.integers(1, 3), min_size=8, max_size=8),
    st.tuples(st.integers(0, 7), st.integers(-1, 3)),
    BATCHES,
)
@example("unfold2d", (1, 2, 2), [1, 1, 1, 1, 0, 0, 1, 1], (5, -1), 1)
def test_forms_of_windows(name, shape, attrs, change, batch) -> None:
    attrs[4:6] = [attrs[0] - 1, attrs[1] - 1]
    attrs[change[0]] = change[1]
    assert same_form(name, [(shape, batch, False)], tuple(attrs)) in (True, None)


@given(
    st.sampled_from(["dot", "squared_error", "lstm_cell"]),
    SHAPES_UP_TO_3,
    SHAPES_UP_TO_3,
    st.tuples(BATCHES, BATCHES, st.booleans()),
)
def test_forms_of_pairs(name, left, right, how) -> None:
    right = left if how[2] and name != "lstm_cell" else right
    operands = [(left, how[0], False), (right, how[1], False)]
    assert same_form(name, operands) in (True, None)


@given(hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9), st.booleans())
def test_forms_of_filled_arrays(shape, negative) -> None:
    attrs = (-1, *shape) if negative else shape
    assert same_form("full", [], attrs, (0.5,)) is (None if negative else True)


def test_usual_forms_are_made_by_the_core() -> None:
    one, before = ab.input(1.0), len(_core.forms)
    x = ab.input(np.ones((3, 91)))
    sums = [recorder(name)([x] * 7) for name in ("nary_sum", "nary_mean", "nary_max")]
    ab.tanh(x * sums[0] + one)
    ab.Parameter((3, 92))._expression()
    product = recording.placeholder((3, 93)) @ recording.placeholder((93,))
    V, b, W = ab.Parameter((94, 96)), ab.Parameter(96), ab.Parameter((95, 94))
    c = ab.linear(ab.input(np.ones((91, 94))), W)
    h = ab.affine_transposed(b, V, ab.input(np.ones(94)))
    ab.sum(ab.concat([ab.reshape(c, (95 * 91,)), ab.log_softmax(h), ab.stack([product[0]] * 97)]))
    ab.transpose(c) * ab.zeros((95, 1)) + ab.Lookup(98, 91)[3]
    ab.cross_entropy(h, 3) + ab.max(c)
    made = list(_core.forms)[before:]
    assert product.shape == (3,)
    assert len(made) > 25
    assert {type(known) for known in made} == {tuple}, "arguments of a rule not yet asked"


def test_nothing_warns_on_numbers_that_are_none() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = ab.input([np.nan, np.inf, 0.0, 1e30])
        assert np.isnan(ab.log(x - x).value()[0])


@pytest.mark.parametrize(
    "record",
    [
        lambda x: ab.cross_entropy(x, 10**30),
        lambda x: ab.pick(x, -(10**30)),
        lambda x: ab.reshape(x, (10**30,)),
        lambda x: ab.zeros(10**30),
    ],
)
def test_numbers_too_large_for_a_word(record):
    with pytest.raises((ab.IndexRangeError, ab.ShapeError, ab.MemoryLimitError)):
        record(ab.ones(3))


def test_joints_too_large_for_any_memory_are_refused():
    part = ab.concat([ab.zeros(1 << 47)] * 256)
    for count in (300, 512):
        with pytest.raises(ab.MemoryLimitError):
            ab.concat([part] * count)
    with pytest.raises(ab.MemoryLimitError):
        ab.stack([part] * 512)
