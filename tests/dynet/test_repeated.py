"""Graphs that are built once and run again and again, against graphs that are built every time."""

from __future__ import annotations

import copy
import inspect
import pickle
import weakref

import numpy as np
import pytest
from autobatch.backends._cpu import lib
from hypothesis import given
from hypothesis import strategies as st

import autobatch as ab
import autobatch.dynet as dy
from autobatch import _core
from autobatch.backends import cpu

DIM, BATCH = 3, 2

UNARY = {
    "tanh": dy.tanh,
    "logistic": dy.logistic,
    "softmax": dy.softmax,
    "square": dy.square,
    "negative": lambda x: -x,
    "half": lambda x: x * 0.5,
    "turned": lambda x: dy.concatenate([x[1:], x[:1]]),
    "transposed": lambda x: dy.transpose(dy.transpose(x)),
    "repeated": lambda x: x + x,
}
BINARY = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "cmult": dy.cmult,
    "bmax": dy.bmax,
    "dot": lambda x, y: dy.tanh(x) * dy.dot_product(x, y) * 0.1,
    "concatenate": lambda x, y: dy.concatenate([x, y])[1:4],
}
AFFINE = {
    "product": lambda x, y, W, b: W * x,
    "affine": lambda x, y, W, b: dy.affine_transform([b, W, x]),
    "two products": lambda x, y, W, b: dy.affine_transform([b, W, x, W, y]),
    "own bias": lambda x, y, W, b: dy.affine_transform([y, W, x]),
    "transposed": lambda x, y, W, b: dy.transpose(W) * x,
    "computed": lambda x, y, W, b: (W + W) * x,
    "shared": lambda x, y, W, b: W * b,
}
OPS = {**UNARY, **BINARY, **AFFINE}


@st.composite
def programs(draw):
    """Ops on vectors, by their operands' places; the first two are inputs."""
    ops = []
    for n in range(2, 2 + draw(st.integers(1, 9))):
        places = st.integers(0, n - 1)
        ops.append((draw(st.sampled_from(sorted(OPS))), draw(places), draw(places)))
    return ops


EVENTS = ("update", "backward", "value", "other", "rest", "threads", "kernels", "grown", "write")
numbers = st.lists(st.integers(-8, 8), min_size=DIM * (BATCH + 1), max_size=DIM * (BATCH + 1))
histories = st.lists(st.tuples(st.sampled_from(EVENTS[:3] * 4 + EVENTS), numbers), max_size=25)


class Model:
    def __init__(self, program, batched):
        dy.reset_random_seed(5)
        self.program, self.batched = program, batched
        self.m = dy.ParameterCollection()
        self.W = self.m.add_parameters((DIM, DIM))
        self.b = self.m.add_parameters(DIM)
        self.trainer = dy.AdamTrainer(self.m, alpha=0.01)
        _core.keep_updates(0)  # a graph's copies of parameters are tested elsewhere

    def build(self):
        dy.renew_cg()
        batch = BATCH if self.batched else 1
        self.inputs = [dy.vecInput(DIM), dy.inputTensor(np.zeros((DIM, batch)), batched=batch > 1)]
        made = list(self.inputs)
        for name, i, j in self.program:
            if name in UNARY:
                made.append(UNARY[name](made[i]))
            elif name in BINARY:
                made.append(BINARY[name](made[i], made[j]))
            else:
                made.append(AFFINE[name](made[i], made[j], self.W, self.b))
        self.made = made
        self.loss = dy.sum_batches(dy.squared_norm(dy.tanh(made[-1])))
        self.other = dy.sum_batches(dy.sum_elems(dy.tanh(made[len(made) // 2])))

    def set(self, values):
        first, rest = values[:DIM], values[DIM : DIM * (1 + (BATCH if self.batched else 1))]
        self.inputs[0].set([v / 4 for v in first])
        self.inputs[1].set([v / 4 for v in rest])

    def happen(self, event):
        """What a program sees of an event."""
        seen = [self.loss.value()]
        if event in ("backward", "update"):
            self.loss.backward()
        elif event == "other":
            seen.append(self.other.value())
            self.other.backward()
            seen += [p.grad_as_array() for p in (self.W, self.b)]
        elif event == "grown":
            seen.append(dy.tanh(self.loss).value())
        elif event == "rest":
            self.b.set_updated(not self.b.is_updated())
        elif event == "write":
            self.W.scale(0.5)
        elif event == "value":
            seen += [x.npvalue() for x in self.made]
        if event in ("backward", "update"):
            seen += [p.grad_as_array() for p in (self.W, self.b)]
        if event == "update":
            self.trainer.update()
        return seen


def _history(program, history, batched, built):
    """What is seen of a history; built: "once", or at every event anew."""
    seen = []
    with ab.configure():
        model = Model(program, batched)
        for i, (event, values) in enumerate(history):
            if not i or built != "once":
                model.build()
            model.set(values)
            if event == "threads":
                ab.configure(threads=1 + i % 2)
            if event == "kernels":
                ab.configure(instruction_set="baseline" if i % 2 else None)
            seen.append(model.happen(event))
    return [*seen, [p.as_array() for p in (model.W, model.b)]]


@pytest.mark.parametrize("batched", [False, True])
@given(program=programs(), history=histories)
def test_as_built_every_time(batched, program, history):
    if not history:
        return
    once = _history(program, history, batched, "once")
    anew = _history(program, history, batched, "every time")
    for event, one, other in zip((*history, None), once, anew, strict=True):
        for x, y in zip(one, other, strict=True):
            np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5, err_msg=str(event))


def _is_kept(backward):
    return bool(lib.ab_tape_is_kept(cpu.pointer(ab.current_graph()), backward))


@pytest.mark.parametrize("batched", [False, True])
def test_small_graphs_are_run_by_steps_from_the_third_time_on(batched):
    model = Model([("affine", 1, 0), ("tanh", 2, 2), ("product", 3, 0), ("cmult", 3, 4)], batched)
    model.build()
    for run in range(5):
        model.set(range(DIM * (BATCH + 1)))
        assert (_is_kept(False), _is_kept(True)) == (run > 1, run > 1)
        model.happen("update")
    assert _is_kept(False)
    assert _is_kept(True)
    dy.tanh(model.loss).value()  # the tape has grown
    assert not _is_kept(False)
    assert not _is_kept(True)


def test_what_steps_do_not_do_is_run_batch_by_batch():
    m = dy.ParameterCollection()
    table = m.add_lookup_parameters((5, DIM))
    dy.renew_cg()
    x = dy.vecInput(DIM)
    losses = [dy.squared_norm(table[i] - x) for i in range(4)]  # of one profile: one batch
    loss = dy.esum(losses)
    for run in range(4):
        x.set([run, 0, 1])
        expected = sum(((table.as_array()[i] - [run, 0, 1]) ** 2).sum() for i in range(4))
        assert loss.value() == pytest.approx(expected, rel=1e-5)
        loss.backward()
        assert not _is_kept(False)
        assert not _is_kept(True)


SHAPES = st.sampled_from([(1,), (3,), (2, 3), (2, 2, 2)])
GIVEN = {
    "list": lambda a: a.flatten(order="F").tolist(),
    "tuple": lambda a: tuple(a.flatten(order="F").tolist()),
    "mixed": lambda a: [int(n) if n.is_integer() else n for n in a.flatten(order="F").tolist()],
    "scalars": lambda a: list(a.flatten(order="F")),
    "float64": lambda a: a,
    "float32": lambda a: a.astype(np.float32),
    "int64": lambda a: a.astype(np.int64),
    "int16": lambda a: a.astype(np.int16),
    "bool": lambda a: a > 0,
    "big-endian": lambda a: a.astype(">f8"),
    "columns": lambda a: np.asfortranarray(a),
    "every other": lambda a: np.repeat(a, 2, axis=0)[::2],
    "backwards": lambda a: a[::-1].copy()[::-1],
    "nested": lambda a: a.tolist() if a.ndim == 1 else a.T.tolist()[0],
}


@given(SHAPES, st.data())
def test_numbers_that_are_set_are_those_of_a_new_input(shape, data):
    dy.renew_cg()
    x = dy.inputTensor(np.zeros(shape))
    y = x * 2
    for _ in range(3):
        numbers = data.draw(st.lists(st.integers(-9, 9), min_size=8, max_size=8))
        array = np.resize(np.array(numbers) / 2, shape)
        kind = data.draw(st.sampled_from(sorted(GIVEN)))
        given = GIVEN[kind](array)
        if kind == "nested" and len(shape) > 1:
            with pytest.raises((ab.ShapeError, ValueError)):
                x.set(given)
            continue
        x.set(given)
        expected = np.asarray(given, np.float64)
        if expected.shape != shape:
            expected = expected.reshape(shape, order="F")
        np.testing.assert_array_equal(y.npvalue().reshape(shape, order="F"), 2 * expected)


@pytest.mark.parametrize("batch", [1, 3])
def test_rows_and_entries_that_are_moved(batch):
    m = dy.ParameterCollection()
    table = m.add_lookup_parameters((5, 3), init=np.arange(15.0).reshape(5, 3))
    dy.renew_cg()
    row = dy.lookup(table) if batch == 1 else dy.lookup_batch(table, [0] * batch)
    entry = dy.pick(row) if batch == 1 else dy.pick_batch(row, [0] * batch)
    chance = np.random.default_rng(1)
    for _ in range(6):
        rows, entries = chance.integers(0, 5, batch), chance.integers(0, 3, batch)
        row.set(int(rows[0]) if batch == 1 else rows.tolist())
        entry.set_index(int(entries[0]) if batch == 1 else tuple(entries.tolist()))
        np.testing.assert_array_equal(np.ravel(entry.npvalue()), 3.0 * rows + entries)
    for wrong in (5, -1, 10**30):
        with pytest.raises(ab.IndexRangeError):
            row.set(wrong if batch == 1 else [0] * (batch - 1) + [wrong])
    for wrong in (1.0, "a", None):
        with pytest.raises(TypeError):
            entry.set_index(wrong)
    with pytest.raises(ab.OperandError, match="set: expected an input"):
        entry.set(1 if batch == 1 else [1] * batch)
    with pytest.raises(ab.OperandError, match="set_index: expected"):
        row.set_index(1 if batch == 1 else [1] * batch)
    np.testing.assert_array_equal(np.ravel(entry.npvalue()), 3.0 * rows + entries)


def test_numbers_of_numpy_are_indices():
    table = dy.ParameterCollection().add_lookup_parameters((5, 3), init=np.arange(15).reshape(5, 3))
    for _ in range(5):
        dy.renew_cg()
        x = dy.inputVector([1, 2, 3])
        for i in (np.int64(2), np.int32(2), np.uint8(2)):
            assert dy.pick(x, i).value() == 3
            assert dy.lookup(table, i).value() == [6, 7, 8]
            assert x.dim() == dy.pick(dy.inputTensor(np.ones((2, 3))), 0).dim()
            assert dy.hinge(x, i).value() == 0
        for wrong in (np.int64(-1), np.int64(3), 10**30):
            with pytest.raises(IndexError):
                dy.pick(x, wrong)
        for wrong in (-1, 5, np.int64(5), 10**30):
            with pytest.raises(IndexError):
                dy.lookup(table, wrong)


def test_what_a_renewal_may_be_told():
    version = dy.cg_version()
    assert dy.renew_cg() is dy.cg()
    assert dy.renew_cg(True) is dy.renew_cg(check_validity=True)
    with pytest.raises(RuntimeError, match="NaN"):
        dy.log(dy.inputVector([-1.0])).value()
    dy.renew_cg()
    assert np.isnan(dy.log(dy.inputVector([-1.0])).value())
    dy.cg_checkpoint()
    dy.renew_cg()
    x = dy.inputVector([1, 2])
    dy.cg_revert()  # to nothing: what was remembered is gone
    assert x.dim() == ((2,), 1)
    assert dy.cg_version() == version + 5


def test_there_is_one_computation_graph():
    with pytest.raises(RuntimeError):
        dy.ComputationGraph()
    assert dy.renew_cg() is dy.cg()


@pytest.mark.parametrize("count", [1, 3, 1024, 1025])
def test_rows_as_a_minibatch(count):
    table = dy.ParameterCollection().add_lookup_parameters((5, 2), init=np.arange(10).reshape(5, 2))
    rng = np.random.default_rng(count)
    places = [int(i) for i in rng.integers(0, 5, count)]
    for indices in (places, tuple(places), np.array(places), [np.int64(i) for i in places]):
        dy.renew_cg()
        found = dy.lookup_batch(table, indices)
        assert found.dim() == ((2,), count)
        expected = table.as_array()[places].T.reshape((2, count) if count > 1 else (2,))
        np.testing.assert_array_equal(found.npvalue(), expected)
        np.testing.assert_array_equal(table.batch(indices).npvalue(), expected)
        found.set([0] * count)
        assert (found.npvalue()[0] == 0).all()
    for wrong in ([0, 5], [-1], [], [1.5], ["a"], 3, [10**30], [True, 7]):
        with pytest.raises((IndexError, TypeError, ValueError)):
            dy.lookup_batch(table, wrong)


def test_functions_that_c_answers_are_functions():
    for function in (dy.pick, dy.lookup, dy.lookup_batch, dy.renew_cg):
        assert pickle.loads(pickle.dumps(function)) is function
        assert copy.deepcopy(function) is function
        assert weakref.ref(function)() is function
        assert repr(function).startswith(f"<function {function.__name__}")
        assert inspect.signature(function)


def test_of_equal_numbers_the_second_gets_the_gradient():
    dy.renew_cg()
    x, y = dy.inputVector([0, 1, 5]), dy.inputVector([0, 3, 5])
    dy.sum_elems(dy.bmax(x, y) + 10 * dy.bmin(x, y)).backward(full=True)
    assert x.gradient().tolist() == [0, 10, 0]
    assert y.gradient().tolist() == [11, 1, 11]


def test_the_largest_of_numbers_that_are_none():
    dy.renew_cg()
    for numbers in ([np.nan, 1, 2], [1, np.nan, 2], [1, 2, np.nan]):
        tensor = dy.inputVector(numbers).tensor_value()
        expected = tensor.topk(0, 2)[1].as_numpy()[:1]
        assert tensor.argmax().as_numpy() == expected == np.nanargmax(numbers)


def test_losses_of_sure_probabilities_are_those_of_dynet():
    """Values and gradients of dyNET38 2.2."""
    expected = {
        (0, 1): (87.33655, -8.507059e37),
        (1e-40, 1): (87.33655, -8.507059e37),
        (1, 0): (87.33655, 8388608),
        (0, 0): (0, 0),
        (1, 1): (0, 0),
        (0.7, 1): (0.35667497, -1.4285715),
    }
    for (probability, target), (loss, slope) in expected.items():
        dy.renew_cg()
        x, y = dy.inputVector([probability]), dy.inputVector([target])
        found = dy.binary_log_loss(x, y)
        np.testing.assert_allclose(found.value(), loss, rtol=1e-5)
        found.backward(full=True)
        np.testing.assert_allclose(x.gradient(), [slope], rtol=1e-5)
    dy.renew_cg()
    z = dy.scalarInput(30)
    loss = dy.binary_log_loss(dy.logistic(z), dy.scalarInput(0))
    loss.backward(full=True)
    assert loss.value() > 80
    assert z.gradient() == 0


def test_what_is_frozen_comes_back_after_decay():
    """As in DyNet, whose factor is put into the numbers that trainers change."""
    m = dy.ParameterCollection()
    m.set_weight_decay(0.1)
    trained, frozen = m.add_parameters(2, init=1), m.add_parameters(2, init=1)
    frozen.set_updated(False)
    trainer, shrunk = dy.SimpleSGDTrainer(m, 1e-9), []
    for _ in range(30):
        dy.renew_cg()
        dy.squared_norm(trained).backward()
        trainer.update()
        shrunk.append(dy.cmult(frozen, frozen).value()[0])
    assert 0.05 < min(shrunk) < 0.1
    assert max(shrunk[5:]) > 0.999
    np.testing.assert_allclose(trained.as_array(), 0.9 ** (30 - 30 % 14), rtol=1e-4)


def test_losses_with_and_without_a_mask_are_added():
    for of, expected in (
        (dy.esum, lambda a, b: a + b),
        (dy.average, lambda a, b: (a + b) / 2),
        (dy.emax, np.maximum),
    ):
        dy.renew_cg()
        x = dy.inputTensor(np.array([[1.0, 2.0], [3.0, 5.0]]), batched=True)
        plain = dy.pickneglogsoftmax_batch(x, [0, 1])
        masked = plain * dy.reshape(dy.inputVector([1.0, 0.0]), (1,), 2)
        one, other = plain.npvalue()[0], masked.npvalue()[0]
        for xs in ([plain, masked], [masked, plain]):
            np.testing.assert_allclose(of(xs).npvalue()[0], expected(one, other), rtol=1e-6)
        with pytest.raises(ab.AutobatchError):
            of([plain, x])
