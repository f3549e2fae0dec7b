"""Collections, parameters, initializers: as DyNet has them."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from recorded_model import check

import autobatch as ab
import autobatch.dynet as dy
from autobatch.dynet import initializers, parameters


@pytest.fixture
def m():
    dy.reset_random_seed(1)
    dy.renew_cg()
    return dy.ParameterCollection()


@pytest.mark.parametrize(
    "name",
    ["initial_values", "orthogonal_values", "names", "changed_values", "gradients", "constants"],
)
def test_as_recorded(name):
    check(name)


def test_the_memory_is_that_of_our_parameters_with_the_shape_reversed(m):
    p = m.add_parameters((2, 3), init=np.arange(6.0).reshape(2, 3))
    t = m.add_lookup_parameters((4, 2, 3))
    assert isinstance(p._stored, ab.Parameter)
    assert isinstance(t._stored, ab.Lookup)
    assert (p._stored.shape, t._stored.shape) == ((3, 2), (4, 3, 2))
    np.testing.assert_array_equal(p._stored.value(), p.as_array().T)
    assert (p.as_array().dtype, p.npvalue().dtype) == (np.float64, np.float64)


def test_parameters_are_expressions(m):
    p = m.add_parameters((2, 3), init=np.arange(6.0).reshape(2, 3))
    v = m.add_parameters(3, init=1.0)
    assert isinstance(p, dy.Expression)
    np.testing.assert_array_equal((p * v).value(), [3, 12])
    np.testing.assert_array_equal((1 + p * 2).npvalue(), 1 + 2 * p.as_array())
    assert p[1].value() == [3, 4, 5]
    assert [row.value() for row in p] == [[0, 1, 2], [3, 4, 5]]
    assert (p == p, p in [v, p], len({p, v, p})) == (True, True, 2)


def test_zero_sized_parameters_work(m):
    p = m.add_parameters((0, 3))
    assert (p.shape(), p.as_array().shape, p.dim()) == ((0, 3), (0, 3), ((0, 3), 1))
    assert (p * dy.inputVector([1, 2, 3])).value() == []
    v = m.add_parameters(2, init=1.0)
    dy.squared_norm(v).backward()
    dy.AdamTrainer(m).update()


@pytest.mark.parametrize("add", ["add_parameters", "add_lookup_parameters"])
@pytest.mark.parametrize("name", ["a/b", "a_b", "_0"])
def test_names_without_slashes_and_underscores(m, add, name):
    with pytest.raises(RuntimeError, match="could not include"):
        getattr(m, add)((2, 3), name=name)
    with pytest.raises(RuntimeError, match="could not include"):
        m.add_subcollection(name)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m: m.add_parameters([2, 3]), TypeError, "tuple of ints"),
        (lambda m: m.add_parameters((2, -3)), ValueError, "negative"),
        (lambda m: m.add_parameters((1,) * 8), ValueError, "at most 7"),
        (lambda m: m.add_parameters(2, init="saxe"), ValueError, "recognize initializer"),
        (lambda m: m.add_parameters(2, init=[1, 2]), ValueError, "recognize initializer"),
        (lambda m: m.add_parameters(2, device="GPU:0"), RuntimeError, "Invalid device"),
        (lambda m: m.add_parameters((2, 3), init="identity"), RuntimeError, "square matrix"),
        (
            lambda m: m.add_parameters((2, 3), init=dy.SaxeInitializer()),
            RuntimeError,
            "square matrix",
        ),
        (
            lambda m: m.add_parameters((2, 3), init=dy.NumpyInitializer(np.ones(5))),
            ValueError,
            "cannot fill",
        ),
        (
            lambda m: m.add_lookup_parameters((2, 3), init=dy.NumpyInitializer(np.ones((2, 3)))),
            ValueError,
            "lookup_parameters_from_numpy",
        ),
        (lambda m: dy.PyInitializer(), AssertionError, "directly"),
        (lambda m: dy.Parameters(), TypeError, "made by a ParameterCollection"),
        (lambda m: dy.ParameterCollection(3), TypeError, "expected a ParameterCollection"),
        (lambda m: m.add_parameters(2).set_value(np.ones((2, 1))), ValueError, "don't match"),
        (lambda m: m.add_lookup_parameters((2, 3)).init_row(2, [1, 2, 3]), IndexError, "no row 2"),
        (lambda m: m.add_lookup_parameters((2, 3)).init_row(0, [1]), ValueError, "3 numbers"),
        (
            lambda m: m.add_lookup_parameters((2, 3)).init_from_array(np.ones((3, 3))),
            ValueError,
            "too many rows",
        ),
        (
            lambda m: m.add_lookup_parameters((2, 3)).init_from_array(np.ones((2, 2))),
            ValueError,
            "dim mismatch",
        ),
        (lambda m: m.add_lookup_parameters((2, 3)).row_as_array(-1), IndexError, "no row -1"),
        (lambda m: m.add_lookup_parameters((2, 3)).rows_as_array([]), ValueError, "empty"),
        (lambda m: m.add_lookup_parameters((2, 3))[2], IndexError, "out of range"),
        (lambda m: m.add_lookup_parameters((2, 3))[-1], IndexError, "out of range"),
    ],
)
def test_errors(m, call, error, words):
    with pytest.raises(error, match=words):
        call(m)


def test_a_table_can_be_iterated(m):
    table = m.add_lookup_parameters((3, 2), init=np.arange(6.0).reshape(3, 2))
    assert [row.value() for row in table] == [[0, 1], [2, 3], [4, 5]]
    np.testing.assert_array_equal(table.npvalue(), table.as_array().T)


def test_tables_of_cubes_keep_their_numbers(m):
    numbers = np.arange(24.0).reshape(4, 2, 3)
    for table in (
        m.lookup_parameters_from_numpy(numbers),
        m.add_lookup_parameters((4, 2, 3), init=numbers),
    ):
        np.testing.assert_array_equal(table.as_array(), numbers)
        np.testing.assert_array_equal(table[1].npvalue(), numbers[1])
        np.testing.assert_array_equal(table.batch([3, 0]).npvalue()[..., 0], numbers[3])
        np.testing.assert_array_equal(table.rows_as_array([2]), numbers[2:3])
    table.init_from_array(-numbers[:2])
    np.testing.assert_array_equal(table.as_array(), [*-numbers[:2], *numbers[2:]])


def test_a_file_can_initialize(m, tmp_path):
    (tmp_path / "numbers").write_text("1 2 3 4\n")
    init = dy.FromFileInitializer(str(tmp_path / "numbers"))
    np.testing.assert_array_equal(m.add_parameters((2, 2), init=init).as_array(), [[1, 3], [2, 4]])
    with pytest.raises(RuntimeError, match="expected 6 numbers"):
        m.add_parameters((2, 3), init=init)


def test_expr_is_a_constant_unless_told_otherwise(m, monkeypatch):
    p = m.add_parameters(2, init=1.0)
    monkeypatch.setattr(parameters, "_expr_trains", None)
    with pytest.warns(UserWarning, match="is a constant"):
        dy.squared_norm(p.expr()).backward()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p.expr()
    assert p.grad_as_array().tolist() == [0, 0]
    dy.expr_trains(True)
    dy.squared_norm(p.expr()).backward()
    assert p.grad_as_array().tolist() == [2, 2]
    dy.squared_norm(p.expr(False) + p.expr(update=True)).backward()
    assert p.grad_as_array().tolist() == [6, 6]


def test_dy_parameter_gives_back_what_it_takes(m, capsys, monkeypatch):
    monkeypatch.setattr(parameters, "_announced", False)
    p, q = m.add_parameters(2), m.add_parameters(3)
    assert dy.parameter(p) is p
    assert dy.parameter(p, q) == (p, q)
    assert capsys.readouterr().out.count("DEPRECATED") == 1


def test_weight_decay_shows_in_values_only(m):
    p = m.add_parameters(2, init=1.0)
    table = m.add_lookup_parameters((2, 2), init=1.0)
    m.set_weight_decay(0.125)
    assert m.add_subcollection().get_weight_decay() == m.get_weight_decay() == 0.125
    dy.SimpleSGDTrainer(m).update()
    assert p.value() == [0.875, 0.875]
    assert p.as_array().tolist() == [1, 1]
    p.set_value([4, 8])
    table.init_row(1, [4, 8])
    assert p.as_array().tolist() == table.row_as_array(1).tolist() == [4, 8]
    dy.renew_cg()
    assert p.value() == table[1].value() == [3.5, 7]
    assert m.add_parameters(1, init=1.0).value() == 0.875


def test_the_weight_decay_of_the_command_line(monkeypatch):
    params = dy.DynetParams()
    params.set_weight_decay(0.25)
    params.init()
    assert dy.ParameterCollection().get_weight_decay() == 0.25
    params.set_weight_decay(0.0)
    params.init()
    assert dy.ParameterCollection().get_weight_decay() == 0.0


def test_orthogonal_matrices_are():
    dy.reset_random_seed(3)
    for side in (1, 2, 7, 16):
        q = initializers.SaxeInitializer(2.0).numbers((side, side)).reshape(side, side)
        np.testing.assert_allclose(q @ q.T, 4 * np.eye(side), atol=1e-5)


def test_nothing_of_a_collection_is_pickled(m):
    import pickle

    for thing in (m, m.add_parameters(2), dy.GRUBuilder(1, 2, 2, m)):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(thing)


def test_graphs_give_parameters_back(m):
    p = m.add_parameters(2)
    counts = []
    for _ in range(10):
        dy.renew_cg()
        (p + 1).value()
        counts.append(sys.getrefcount(p._stored))
    assert counts[-1] == counts[1]


@pytest.mark.parametrize(
    "row",
    [
        [1, 2.5, -3],
        (1, 2.5, -3),
        np.array([1, 2.5, -3]),
        np.array([1, 2.5, -3], np.float32),
        np.array([1, 2.5, -3], np.float16),
        np.array([[1, 9], [2.5, 9], [-3, 9]])[:, 0],
        [np.float32(1), 2.5, -3],
    ],
    ids=["list", "tuple", "double", "single", "half", "strided", "of NumPy"],
)
def test_a_row_is_written_from_anything(row):
    table = dy.ParameterCollection().add_lookup_parameters((4, 3), init=0)
    before = table._stored._version
    table.init_row(np.int64(2), row)
    assert table._stored._version > before
    assert table.row_as_array(2).tolist() == [1.0, 2.5, -3.0]
    assert table.row_as_array(2).dtype == np.float64
    assert not table.as_array()[[0, 1, 3]].any()


def test_a_row_that_does_not_fit_is_refused():
    table = dy.ParameterCollection().add_lookup_parameters((4, 3), init=1)
    for row in ([1, 2], [1, 2, 3, 4], np.ones(4), 7, [1, "a", 3], [1, [2], 3]):
        with pytest.raises((ValueError, TypeError)):
            table.init_row(1, row)
    for index in (-1, 4):
        with pytest.raises(IndexError):
            table.init_row(index, [1, 2, 3])
        with pytest.raises(IndexError):
            table.row_as_array(index)
    assert (table.as_array() == 1).all()


def test_rows_written_after_decay():
    m = dy.ParameterCollection()
    m.set_weight_decay(0.25)
    table, p = m.add_lookup_parameters((4, 3), init=1), m.add_parameters(2)
    dy.renew_cg()
    dy.squared_norm(p).backward()
    dy.SimpleSGDTrainer(m).update()
    table.init_row(1, [4, 8, 12])
    np.testing.assert_allclose(table.row_as_array(1), [4, 8, 12])
    np.testing.assert_allclose(table[1].value(), [3, 6, 9])
