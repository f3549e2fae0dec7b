"""Expressions are objects to Python and to NumPy, as DyNet's are."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

import autobatch as ab
import autobatch.dynet as dy
from autobatch import engine

NUMBERS = np.arange(80).reshape(20, 4)


@pytest.fixture
def table():
    dy.renew_cg()
    return dy.ParameterCollection().add_lookup_parameters((20, 4), init=NUMBERS)


MAKE = {
    "array": lambda a, b: np.array([a, b]),
    "objects": lambda a, b: np.array([a, b], dtype=object),
    "asarray": lambda a, b: np.asarray([a, b]),
    "stack": lambda a, b: np.stack([a, b]),
    "concatenate": lambda a, b: np.concatenate([[a], [b]]),
    "append": lambda a, b: np.append([a], b),
    "matrix": lambda a, b: np.array([[a, b], [b, a]])[0],
}


@pytest.mark.parametrize("name", MAKE)
def test_an_array_of_expressions_holds_them(name, table):
    a, b = table[3], table[4]
    held = MAKE[name](a, b)
    assert held.dtype == object
    assert held.shape == (2,)
    assert held[0] is a
    dy.sum_elems(held[0] + np.sum(held, axis=0)).backward()
    gradient = table.grad_as_array()
    np.testing.assert_array_equal(gradient[3], [2.0] * 4)
    np.testing.assert_array_equal(gradient[4], [1.0] * 4)


@pytest.mark.parametrize("name", MAKE)
def test_an_array_of_parameters_holds_them(name):
    model = dy.ParameterCollection()
    p, w = model.add_parameters(4), model.add_parameters((3, 4))
    dy.renew_cg()
    held = MAKE[name](p, w)
    assert held.dtype == object
    assert held[1] is w
    dy.sum_elems(held[1] * held[0]).backward()
    assert np.abs(p.grad_as_array()).sum() > 0


def test_arrays_compute_with_expressions(table):
    rows = np.array([table[1], table[2]])
    np.testing.assert_array_equal((rows * 2.0)[0].value(), [8.0, 10.0, 12.0, 14.0])
    np.testing.assert_array_equal(np.add(table[1], table[2]).value(), [12.0, 14.0, 16.0, 18.0])
    np.testing.assert_array_equal((np.float64(2.0) * table[1]).value(), [8.0, 10.0, 12.0, 14.0])
    assert np.dot(np.array([1.0, 2.0]), rows).value() == [20.0, 23.0, 26.0, 29.0]


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("slow", [False, True])
def test_the_type_of_a_value_depends_on_no_time(n, slow, monkeypatch):
    """As if the run had not ended within its slice: C leaves it to Python then."""
    if slow:
        monkeypatch.setattr(engine.cpu, "SLICE", 1e-9)
    model = dy.ParameterCollection()
    w = model.add_parameters((300, 300))
    for expression, kind in (
        (lambda x: dy.sum_elems(x), float),
        (lambda x: x[0:3], list),
        (lambda x: x, list),
        (lambda x: dy.concatenate_cols([x, x]), np.ndarray),
    ):
        dy.renew_cg()
        x = dy.inputVector(np.ones(300))
        for _ in range(n if not slow else 2500):
            x = dy.tanh(w * x)
        y = expression(x)
        assert type(y.value()) is kind
        assert type(y.value()) is kind  # computed by now
        assert type(y.value(True)) is kind


def run(program: str) -> str:
    begin = "import autobatch as ab, numpy as np, threading\n"
    done = subprocess.run([sys.executable, "-c", begin + program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_changes_no_graph_of_ours():
    product = "a = ab.input(np.full((2, 2), 2.0)); print((a * a).value().tolist())"
    assert run(f"import autobatch.dynet\n{product}") == str([[4.0, 4.0], [4.0, 4.0]])
    assert (
        run(
            "a = ab.input(np.full((2, 2), 2.0)); import autobatch.dynet as dy\n"
            "b = a * a\n"
            "try: dy.inputVector([1.0])\n"
            "except ab.GraphError as e: print('renew_cg' in str(e), b.value()[0, 0])\n"
            "dy.renew_cg(); print(dy.inputVector([1.0]).value())"
        )
        == "True 4.0\n1.0"
    )


def test_names_mean_the_same_in_every_thread():
    found = []

    def body():
        w = dy.ParameterCollection().add_parameters((2, 2), init=2.0)
        for make in (
            lambda: dy.inputTensor(np.full((2, 2), 2.0)),
            lambda: dy.constant((2, 2), 2.0),
            lambda: 1.0 * w,
            lambda: w + 0.0,
        ):
            ab.new_graph()  # whatever was begun before
            a = make()
            found.append((a * a).npvalue()[0, 0])

    for target in (body, lambda: None):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert found == [8.0] * 4


def test_rows_are_looked_up_in_tables_only():
    model = dy.ParameterCollection()
    p = model.add_parameters((4, 3))
    for wrong in (p, dy.inputVector([1.0]), 3, None, "x"):
        with pytest.raises(ab.OperandError, match=r"^lookup: expected LookupParameters"):
            dy.lookup(wrong, 2)
        with pytest.raises(ab.OperandError, match=r"^lookup_batch: expected LookupParameters"):
            dy.lookup_batch(wrong, [2])


def test_the_computation_graph_of_a_graph_that_is_gone():
    x = dy.inputVector([1.0])
    ab.new_graph()
    ab.zeros(1)
    for call in (lambda: dy.cg().invalidate(), lambda: x.value(True), lambda: x.forward(True)):
        with pytest.raises(ab.AutobatchError):
            call()
    dy.renew_cg()
    assert dy.inputVector([1.0, 2.0]).value() == [1.0, 2.0]
