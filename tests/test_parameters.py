"""Parameters, lookups, their gradients, initializers and modules; nothing here runs a graph."""

from __future__ import annotations

import contextlib
import copy
import math
import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import autobatch as ab
from autobatch import initializers
from autobatch.backends.memory import aligned_zeros
from autobatch.errors import ConfigurationError, OperandError, ShapeError
from autobatch.module import Module, named_parameters
from autobatch.parameters import Lookup, Parameter

# ---- parameters


@pytest.mark.parametrize(
    ("shape", "expected"), [(3, (3,)), ((), ()), ((2, 3), (2, 3)), ([4, 1], (4, 1))]
)
def test_a_shape_is_an_int_or_ints(shape, expected):
    parameter = Parameter(shape)
    assert parameter.shape == expected
    assert parameter.value().shape == expected


def test_values_are_aligned_contiguous_and_of_the_configured_type():
    for dtype in ("float32", "float64"):
        with ab.configure(dtype=dtype):
            for stored in (Parameter((3, 5)), Lookup(7, 3), Parameter(())):
                assert stored._data.ctypes.data % 64 == 0
                assert stored._data.flags.c_contiguous
                assert stored.dtype == np.dtype(dtype)
                assert stored._ensure_grad().ctypes.data % 64 == 0


def test_init_takes_an_array_of_any_type_and_strides():
    array = np.arange(24, dtype=np.int16).reshape(4, 6)[::2, ::-3]
    assert np.array_equal(Parameter(init=array).value(), array)
    assert np.array_equal(Lookup(init=array).value(), array)
    assert np.array_equal(Parameter((2, 2), init=array).value(), array)


def test_init_copies():
    array = np.ones(3, np.float32)
    parameter = Parameter(init=array)
    array[0] = 7
    parameter.value()[1] = 8
    np.asarray(parameter)[2] = 9
    assert parameter.value().tolist() == [1, 1, 1]


def test_init_takes_an_initializer_or_a_number():
    assert Parameter(2, init=initializers.Constant(3)).value().tolist() == [3, 3]
    assert Parameter(2, init=4).value().tolist() == [4, 4]
    assert Lookup(2, 1, init=0.5).value().tolist() == [[0.5], [0.5]]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Parameter(), OperandError, "give a shape"),
        (lambda: Parameter(init=initializers.Zeros()), OperandError, "give a shape"),
        (lambda: Parameter(np.ones(3)), OperandError, r"Parameter\(init=array\)"),
        (lambda: Parameter("ab"), OperandError, "shape must be an int or a sequence of ints"),
        (lambda: Parameter((2, 1.5)), OperandError, "shape must be an int"),
        (lambda: Parameter((2, 0)), ShapeError, r"at least 1, got shape \(2, 0\)"),
        (lambda: Parameter(-1), ShapeError, "at least 1"),
        (lambda: Parameter((2, 3), init=np.ones((3, 2))), ShapeError, r"\(2, 3\), got \(3, 2\)"),
        (lambda: Parameter(init=["a"]), OperandError, "real numbers"),
        (lambda: Parameter(init=[1j]), OperandError, "real numbers"),
        (lambda: Parameter(init=[[1], [1, 2]]), ShapeError, "do not form an array"),
        (lambda: Parameter(init=np.ones((0, 3))), ShapeError, "at least 1"),
        (lambda: Lookup(3), OperandError, "dimension of a row"),
        (lambda: Lookup((3, 4), 2), OperandError, "rows must be an int"),
        (lambda: Lookup(0, 2), ShapeError, "at least 1"),
        (lambda: Lookup(init=np.ones(3)), ShapeError, r"\(rows, dim\)"),
        (lambda: Lookup(3, 2, init=np.ones((2, 3))), ShapeError, r"\(3, 2\), got \(2, 3\)"),
    ],
)
def test_a_wrong_argument_is_named(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_set_value_replaces_all_and_makes_it_known(monkeypatch):
    parameter = Parameter(init=[1, 2])
    touched = []
    monkeypatch.setattr(Parameter, "_touch", lambda self: touched.append(self), raising=False)
    parameter.set_value(np.array([3.5, 4.5]))
    assert parameter.value().tolist() == [3.5, 4.5]
    assert touched == [parameter]
    with pytest.raises(ShapeError, match=r"expected shape \(2,\), got \(3,\)"):
        parameter.set_value([1, 2, 3])
    with pytest.raises(OperandError, match="real numbers"):
        parameter.set_value(["a", "b"])
    assert parameter.value().tolist() == [3.5, 4.5]


def test_a_gradient_begins_at_none_and_at_zero():
    parameter = Parameter((2, 3))
    assert parameter.gradient() is None
    parameter._ensure_grad()[...] += 2
    assert parameter._ensure_grad() is parameter._grad
    assert parameter.gradient().tolist() == [[2] * 3] * 2
    room = parameter._grad
    parameter.zero_grad()
    assert parameter.gradient() is None
    assert parameter._ensure_grad() is room
    assert not room.any()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_have_numbers_of_their_own(duplicate):
    with ab.configure(dtype="float64"):
        parameter, table = Parameter(3), Lookup(4, 2)
    parameter.name, parameter.trainable = "w", False
    parameter._ensure_grad()[...] = 1
    other, again, other_table = duplicate((parameter, parameter, table))
    assert other is again
    assert (other.name, other.trainable, other.dtype) == ("w", False, np.float64)
    assert np.array_equal(other.value(), parameter.value())
    assert other.gradient() is None
    before = parameter.value()
    other.set_value([7, 8, 9])
    assert np.array_equal(parameter.value(), before)
    assert np.array_equal(other_table.value(), table.value())
    other_table._sparse.add([1], np.ones((1, 2)))
    assert table.gradient() is None


def test_repr_names_kind_and_shape():
    assert repr(Parameter((2, 3))) == "Parameter(shape=(2, 3), dtype=float32)"
    table = Lookup(4, 2)
    table.name = "words"
    assert repr(table) == "Lookup('words', shape=(4, 2), dtype=float32)"


# ---- lookups


def test_a_rows_expected_length_does_not_depend_on_the_size_of_the_table():
    for rows, dim in ((10_000, 16), (100, 1600)):
        squares = (Lookup(rows, dim).value().astype(np.float64) ** 2).sum(axis=1)
        assert squares.mean() == pytest.approx(1, rel=0.05)


def test_a_row_may_have_any_shape():
    table = Lookup(5, (2, 3))
    assert table.shape == (5, 2, 3)
    table._sparse.add([4, 4], np.ones((2, 2, 3)))
    assert table.gradient()[4].tolist() == [[2] * 3] * 2


@given(
    rows=st.integers(1, 40),
    uses=st.lists(st.lists(st.integers(0, 39), max_size=30), max_size=6),
    clear=st.integers(0, 6),
)
def test_a_sparse_gradient_is_the_dense_one(rows, uses, clear):
    with ab.configure(dtype="float64"):
        table = Lookup(rows, 2)
    sparse = table._sparse
    dense = np.zeros((rows, 2))
    for turn, ids in enumerate(uses):
        if turn == clear:
            table.zero_grad()
            dense[...] = 0
        used = np.array([i % rows for i in ids], np.int64)
        values = np.arange(1, 2 * len(ids) + 1).reshape(-1, 2) * 1.0
        sparse.add(used, values)
        np.add.at(dense, used, values)

        count = sparse.count
        assert count <= sparse.capacity == len(sparse.row_of_slot) == len(sparse.values)
        assert count <= rows
        assert sparse.capacity == 0 or sparse.values.ctypes.data % 64 == 0
        assert not sparse.values[count:].any()
        taken = sparse.row_of_slot[:count]
        assert len(set(taken.tolist())) == count
        assert np.array_equal(sparse.slot_of_row[taken], np.arange(count))
        assert (sparse.slot_of_row >= 0).sum() == count
        found = np.zeros_like(dense)
        found[taken] = sparse.values[:count]
        assert np.array_equal(found, dense)


def test_slots_are_given_out_in_the_order_of_use():
    table = Lookup(10, 1)
    sparse = table._sparse
    sparse.add([7, 3, 7, 9], np.ones((4, 1)))
    sparse.add([3, 1], np.ones((2, 1)))
    assert sparse.row_of_slot[: sparse.count].tolist() == [7, 3, 9, 1]


def test_reserve_makes_room_without_changing_anything():
    table = Lookup(100, 3)
    sparse = table._sparse
    sparse.add([5, 6], np.ones((2, 3)))
    sparse.reserve(50)
    assert sparse.capacity >= 52
    assert sparse.row_of_slot[:2].tolist() == [5, 6]
    assert sparse.values[:2].tolist() == [[1] * 3] * 2
    sparse.reserve(10_000)
    assert sparse.capacity == 100


def test_a_lookup_adds_up_both_gradients():
    table = Lookup(4, 2)
    table._sparse.add([1], np.ones((1, 2)))
    table._ensure_grad()[...] += 0.5
    expected = [[0.5, 0.5], [1.5, 1.5], [0.5, 0.5], [0.5, 0.5]]
    assert table.gradient().tolist() == expected
    assert table._merge_sparse().tolist() == expected
    assert table._sparse.count == 0
    assert table.gradient().tolist() == expected
    table.zero_grad()
    assert table.gradient() is None


# ---- initializers


def test_one_seed_gives_the_same_numbers_in_either_type():
    values = []
    for dtype in ("float32", "float64"):
        with ab.configure(dtype=dtype, seed=5):
            values.append(Parameter((4, 3)).value())
    assert values[0].dtype != values[1].dtype
    assert np.array_equal(values[0], values[1].astype(np.float32))
    with ab.configure(seed=6):
        assert not np.array_equal(Parameter((4, 3)).value(), values[0])


@pytest.mark.parametrize(
    ("init", "deviation", "bound"),
    [
        (initializers.Uniform(0.3), 0.3 / math.sqrt(3), 0.3),
        (initializers.Uniform(-1, 3), 4 / math.sqrt(12), 3),
        (initializers.Normal(0.2), 0.2, None),
        (initializers.Glorot(), math.sqrt(2 / 700), math.sqrt(6 / 700)),
        (initializers.Glorot(distribution="normal"), math.sqrt(2 / 700), None),
        (initializers.He(), math.sqrt(2 / 400), None),
        (initializers.He(2.0, "uniform"), 2 * math.sqrt(2 / 400), 2 * math.sqrt(6 / 400)),
    ],
)
def test_random_initializers_have_their_deviation(init, deviation, bound):
    values = init((300, 400), np.float64)
    assert values.std() == pytest.approx(deviation, rel=0.02)
    if bound is not None:
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() == pytest.approx(bound, rel=0.01)


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3), (1, 1)])
def test_orthogonal(shape):
    matrix = initializers.Orthogonal(2.0)(shape, np.float64).reshape(shape[0], -1)
    small = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    assert np.allclose(small @ small.T, 4 * np.eye(len(small)))


def test_exact_initializers():
    assert initializers.Zeros()((2,), np.float32).tolist() == [0, 0]
    assert initializers.Identity()((2, 3), np.float32).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert initializers.FromArray([1, 2])((2,), np.float32).dtype == np.float32


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: initializers.Orthogonal()((3,)), ShapeError),
        (lambda: initializers.Identity()((3,)), ShapeError),
        (lambda: initializers.FromArray([1, 2])((3,)), ShapeError),
        (lambda: initializers.Uniform(2, 1), ConfigurationError),
        (lambda: initializers.Uniform(math.inf), ConfigurationError),
        (lambda: initializers.Normal(-1), ConfigurationError),
        (lambda: initializers.Glorot(distribution="round"), ConfigurationError),
        (lambda: initializers.He(gain=0), ConfigurationError),
    ],
)
def test_initializers_refuse(make, error):
    with pytest.raises(error):
        make()


def test_aligned_zeros_of_no_size():
    assert aligned_zeros((0, 3), np.float32).shape == (0, 3)


# ---- modules


class Layer(Module):
    def __init__(self, dim):
        self.weight = Parameter((dim, dim))
        self.scale = 3.0


class Model(Module):
    def __init__(self):
        self.vocabulary = {"the": 0, "cat": 1}
        self.words = Lookup(5, 2)
        self.layers = [Layer(2), Layer(3)]
        self.heads = {"a": Layer(2), 7: (Parameter(4), None)}
        self.nothing = None


NAMES = [
    "words",
    "layers.0.weight",
    "layers.1.weight",
    "heads.a.weight",
    "heads.7.0",
]


def test_parameters_are_found_by_name():
    model = Model()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert [p.name for p in model.parameters()] == NAMES
    assert model.count() == 10 + 4 + 9 + 4 + 4
    assert len(model.modules()) == 4


def test_what_is_added_later_belongs():
    model = Model()
    model.layers.append(Layer(1))
    del model.heads["a"]
    model.extra = Parameter(1)
    names = [name for name, _ in model.named_parameters()]
    assert names == [*NAMES[:3], "layers.2.weight", "heads.7.0", "extra"]


def test_shared_parameters_count_once():
    model = Model()
    model.tied = model.words
    model.again = model.layers[0]
    model.myself = model
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert model.count() == 31


def test_untrained_parameters_are_not_counted():
    model = Model()
    model.words.trainable = False
    assert model.count() == 21


def test_two_parameters_of_one_name_are_an_error():
    module = Module()
    module.a = {"b.c": Parameter(1), "b": {"c": Parameter(1)}}
    with pytest.raises(ConfigurationError, match=r"'a\.b\.c'"):
        module.parameters()


def test_training_reaches_every_module():
    model = Model()
    assert model.training
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    model.train()
    assert all(module.training for module in model.modules())
    assert Module.training


def test_zero_grad_reaches_every_parameter():
    model = Model()
    for parameter in model.parameters():
        parameter._ensure_grad()
    model.words._sparse.add([1], np.ones((1, 2)))
    model.zero_grad()
    assert all(parameter.gradient() is None for parameter in model.parameters())


def test_collections_of_parameters():
    p, q = Parameter(1), Parameter(2)
    assert named_parameters(p) == {"parameter": p}
    assert named_parameters([p, {"x": q}, p]) == {"0": p, "1.x": q}
    assert named_parameters(iter([p, q])) == {"0": p, "1": q}
    for wrong in (3, "abc", None, np.ones(3)):
        with pytest.raises(OperandError, match=type(wrong).__name__):
            named_parameters(wrong)


def test_a_deep_copy_of_a_model_is_a_model():
    model = Model()
    model.tied = model.words
    other = copy.deepcopy(model)
    assert other.tied is other.words is not model.words
    assert [name for name, _ in other.named_parameters()] == NAMES


def test_repr_shows_the_structure():
    assert repr(Module()) == "Module()"
    text = repr(Model())
    assert "words: Lookup(5, 2)" in text
    assert "weight: Parameter(3, 3)" in text
    assert "scale" not in text
    assert "vocabulary" not in text


class Rated(ab.Parameter):
    """A parameter with a field of its own."""

    def __init__(self, shape: int, factor: float) -> None:
        super().__init__(shape)
        self.factor = factor


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
)
def test_copies_keep_what_a_program_attached(copied) -> None:
    p, table = Rated(2, 3.0), ab.Lookup(4, 2)
    p.rate_factor = table.words = ["a"]
    ab.sum(table[1]).backward()
    for one in (p, table):
        twin = copied(one)
        assert type(twin) is type(one)
        np.testing.assert_array_equal(twin.value(), one.value())
        assert twin.gradient() is None
    assert copied(p).factor == 3.0
    assert copied(p).rate_factor == copied(table).words == ["a"]


def test_a_shape_that_changes_while_it_is_read_is_read_once() -> None:
    """NumPy, given the list itself, reads memory that is gone."""
    for initializer in (ab.Uniform(0.1), ab.Normal(), ab.Glorot(), ab.Zeros()):
        shape: list[object] = [1.0, 2, 3]

        class Changes:
            def __index__(self, shape: list[object] = shape) -> int:
                shape.clear()
                return 2

        shape[0] = Changes()
        with contextlib.suppress(ab.AutobatchError):
            initializer.values(shape)  # type: ignore[arg-type]
        assert initializer.values((2, 3)).shape == (2, 3)
