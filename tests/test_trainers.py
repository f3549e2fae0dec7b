"""Every trainer against its formula in plain Python, one number at a time."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autobatch as ab
from autobatch import _core, schedules, trainers
from autobatch.backends import memory
from autobatch.engine import gradients_turn
from autobatch.errors import ConfigurationError, GradientError
from autobatch.parameters import Lookup, Parameter


class Number:
    """One number of a parameter, and the formulas, written out for it alone."""

    def __init__(self, w):
        self.w, self.m, self.v, self.x = w, 0.0, 0.0, 0.0

    def SGD(self, g, t, lr):
        self.w -= lr * g

    def Momentum(self, g, t, lr, mu=0.9, nesterov=False):
        self.m = mu * self.m + g
        self.w -= lr * (g + mu * self.m if nesterov else self.m)

    def Adagrad(self, g, t, lr, epsilon=1e-10):
        self.v += g * g
        self.w -= lr * g / (math.sqrt(self.v) + epsilon)

    def RMSProp(self, g, t, lr, rho=0.9, epsilon=1e-8):
        self.v = rho * self.v + (1 - rho) * g * g
        self.w -= lr * g / (math.sqrt(self.v) + epsilon)

    def Adam(self, g, t, lr, beta1=0.9, beta2=0.999, epsilon=1e-8):
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g * g
        mean, square = self.m / (1 - beta1**t), self.v / (1 - beta2**t)
        self.w -= lr * mean / (math.sqrt(square) + epsilon)

    def AMSGrad(self, g, t, lr, beta1=0.9, beta2=0.999, epsilon=1e-8):
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g * g
        self.x = max(self.x, self.v)
        mean, square = self.m / (1 - beta1**t), self.x / (1 - beta2**t)
        self.w -= lr * mean / (math.sqrt(square) + epsilon)

    def Adadelta(self, g, t, lr, rho=0.95, epsilon=1e-6):
        self.v = rho * self.v + (1 - rho) * g * g
        d = g * math.sqrt(self.m + epsilon) / math.sqrt(self.v + epsilon)
        self.m = rho * self.m + (1 - rho) * d * d
        self.w -= lr * d

    def CyclicalSGD(self, g, t, lr, high=0.1, half=2000, gamma=1.0):
        way = (t - 1) % (2 * half)
        height = (way if way <= half else 2 * half - way) / half
        self.w -= (lr + (high - lr) * height * gamma ** (t - 1)) * g

    def AdamW(self, g, t, lr, weight_decay=0.01, **settings):
        self.w -= lr * weight_decay * self.w
        self.Adam(g, t, lr, **settings)


CASES = [
    ("SGD", {}, {}),
    ("Momentum", {}, {}),
    ("Momentum", {"momentum": 0.5, "nesterov": True}, {"mu": 0.5, "nesterov": True}),
    ("Adagrad", {}, {}),
    ("Adagrad", {"epsilon": 0.1}, {"epsilon": 0.1}),
    ("RMSProp", {}, {}),
    ("RMSProp", {"rho": 0.5, "epsilon": 0.1}, {"rho": 0.5, "epsilon": 0.1}),
    ("Adam", {}, {}),
    ("Adam", *[{"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1}] * 2),
    ("AMSGrad", {}, {}),
    ("AMSGrad", *[{"beta1": 0.5, "beta2": 0.5, "epsilon": 0.1}] * 2),
    ("Adadelta", {}, {}),
    ("Adadelta", *[{"rho": 0.5, "epsilon": 0.1}] * 2),
    ("CyclicalSGD", {}, {}),
    (
        "CyclicalSGD",
        {"max_rate": 0.3, "step_size": 3, "gamma": 0.9},
        {"high": 0.3, "half": 3, "gamma": 0.9},
    ),
    ("AdamW", {}, {}),
    ("AdamW", *[{"weight_decay": 0.5}] * 2),
]
KINDS = [getattr(trainers, name) for name in ("SGD", "Momentum", "Adagrad", "RMSProp", "Adam")]
KINDS += [trainers.AdamW, trainers.AMSGrad, trainers.Adadelta, trainers.CyclicalSGD]


def tolerance(dtype):
    return {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-14}


@pytest.mark.parametrize(("kind", "settings", "formula"), CASES)
def test_ten_dense_updates(kind, settings, formula, dtype, rng, backend):
    parameter = Parameter((3, 5))
    trainer = getattr(trainers, kind)(parameter, learning_rate=0.05, **settings)
    numbers = [Number(float(w)) for w in parameter.value().flat]
    for step in range(1, 11):
        gradient = rng.normal(size=(3, 5)).astype(dtype)
        parameter._ensure_grad()[...] += gradient
        trainer.update()
        for number, g in zip(numbers, gradient.flat):
            getattr(number, kind)(float(g), step, 0.05, **formula)
        expected = np.reshape([number.w for number in numbers], (3, 5))
        np.testing.assert_allclose(parameter.value(), expected, **tolerance(dtype))
        assert parameter.gradient() is None
    assert trainer.step == 10


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize(("kind", "settings", "formula"), CASES)
def test_ten_updates_of_a_lookup(kind, settings, formula, sparse, dtype, rng, backend):
    table = Lookup(6, 4)
    trainer = getattr(trainers, kind)(table, learning_rate=0.05, sparse=sparse, **settings)
    numbers = [[Number(float(w)) for w in row] for row in table.value()]
    for step in range(1, 11):
        rows = rng.integers(0, 5, size=3)  # with repetitions; row 5 is never used
        gradients = rng.normal(size=(3, 4)).astype(dtype)
        table._sparse.add(rows, gradients)
        total = table.gradient()
        trainer.update()
        for i, row in enumerate(numbers):
            if sparse and i not in rows:
                continue
            for number, g in zip(row, total[i]):
                getattr(number, kind)(float(g), step, 0.05, **formula)
        expected = [[number.w for number in row] for row in numbers]
        np.testing.assert_allclose(table.value(), expected, **tolerance(dtype))
        assert table.gradient() is None
        assert table._sparse.count == 0


@pytest.mark.parametrize("kind", KINDS)
def test_unused_rows_and_their_state_stay_as_they_are(kind, rng):
    table = Lookup(100, 4)
    trainer = kind(table)
    for rows in ([1, 2], [2, 50]):
        before = table.value()
        state = trainer.state_dict()["state"]
        table._sparse.add(rows, rng.normal(size=(2, 4)))
        trainer.update()
        others = np.setdiff1d(np.arange(100), rows)
        assert np.array_equal(table.value()[others], before[others])
        assert (table.value()[rows] != before[rows]).any(axis=1).all()
        for which, arrays in trainer.state_dict()["state"].items():
            for name, array in arrays.items():
                old = state[which].get(name, np.zeros_like(array))
                assert np.array_equal(array[others], old[others])


def test_a_dense_gradient_of_a_lookup_joins_the_rows():
    table = Lookup(init=np.zeros((3, 2)))
    table._sparse.add([1], np.ones((1, 2)))
    table._ensure_grad()[...] += 1
    ab.SGD(table, learning_rate=1.0).update()
    assert table.value().tolist() == [[-1, -1], [-2, -2], [-1, -1]]


def test_a_parameter_without_a_gradient_is_left_alone():
    used, unused = Parameter(3), Parameter(3)
    trainer = ab.AdamW([used, unused])
    before = unused.value()
    for _ in range(3):
        used._ensure_grad()[...] = 1
        trainer.update()
    assert np.array_equal(unused.value(), before)
    assert list(trainer.state_dict()["state"]["m"]) == ["0"]


def test_an_untrained_parameter_is_left_alone_and_does_not_count():
    free, frozen = Parameter(init=[1.0]), Parameter(init=[1.0])
    frozen.trainable = False
    trainer = ab.SGD([free, frozen], learning_rate=1.0)
    free._ensure_grad()[...] = 3
    frozen._ensure_grad()[...] = 4
    trainer.update()
    assert trainer.gradient_norm == 3
    assert frozen.value() == 1
    assert frozen.gradient() is None


def test_changed_parameters_and_only_these_are_touched(backend):
    a, b, table = Parameter(1), Parameter(1), Lookup(3, 1)
    before = [p._version for p in (a, b, table)]
    a._ensure_grad()
    table._sparse.add([0], np.ones((1, 1)))
    ab.SGD([a, b, table]).update()
    after = [p._version for p in (a, b, table)]
    assert [x != y for x, y in zip(before, after)] == [True, False, True]


# ---- clipping


def two(dense, sparse):
    """A parameter and a lookup with these gradients."""
    parameter, table = Parameter(init=np.zeros(len(dense))), Lookup(init=np.zeros((4, 2)))
    parameter._ensure_grad()[...] = dense
    table._sparse.add(np.arange(len(sparse)) + 1, np.reshape(sparse, (-1, 2)))
    return parameter, table


@pytest.mark.parametrize("sparse", [True, False])
def test_clipping_by_the_norm_of_everything(sparse, dtype, backend):
    parameter, table = two([2.0, -4.0], [[4.0, 0.0]])
    trainer = ab.SGD([parameter, table], learning_rate=1.0, clip_norm=3.0, sparse=sparse)
    trainer.update()
    assert trainer.gradient_norm == pytest.approx(6.0)
    assert np.allclose(parameter.value(), [-1, 2])
    assert np.allclose(table.value(), [[0, 0], [-2, 0], [0, 0], [0, 0]])


def test_a_small_gradient_is_not_scaled(dtype):
    parameter, table = two([0.1, 0.2], [[0.2, 0.0]])
    ab.SGD([parameter, table], learning_rate=1.0, clip_norm=3.0).update()
    assert np.array_equal(parameter.value(), -np.array([0.1, 0.2], dtype))


@pytest.mark.parametrize("sparse", [True, False])
def test_clipping_by_value(sparse, dtype, backend):
    parameter, table = two([2.0, -4.0], [[0.25, -9.0]])
    trainer = ab.SGD([parameter, table], learning_rate=1.0, clip_value=0.5, sparse=sparse)
    trainer.update()
    assert trainer.gradient_norm == pytest.approx(math.sqrt(4 + 16 + 0.25**2 + 81))
    assert parameter.value().tolist() == [-0.5, 0.5]
    assert table.value()[1].tolist() == [-0.25, 0.5]


def test_clipping_by_value_and_then_by_norm():
    parameter, table = two([2.0, -4.0], [])
    trainer = ab.SGD([parameter, table], learning_rate=1.0, clip_value=1.0, clip_norm=0.5)
    trainer.update()
    assert trainer.gradient_norm == pytest.approx(math.sqrt(20))
    assert np.allclose(parameter.value(), [-0.5 / math.sqrt(2), 0.5 / math.sqrt(2)])


@pytest.mark.parametrize(("dtype", "big"), [("float32", 3e38), ("float64", 1e308)])
def test_squares_that_overflow_are_not_an_error(dtype, big):
    parameter = Parameter(init=[0.0, 0.0, 0.0])
    parameter._ensure_grad()[...] = [big, -big, 0]
    trainer = ab.SGD(parameter, learning_rate=1.0, clip_norm=1.0)
    trainer.update()
    assert trainer.gradient_norm == pytest.approx(big * math.sqrt(2), rel=1e-6)
    assert np.allclose(parameter.value(), [-1 / math.sqrt(2), 1 / math.sqrt(2), 0])


# ---- gradients that cannot be applied


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_that_is_not_finite_changes_nothing(kind, bad):
    first, second = Parameter(3), Parameter((2, 2))
    trainer = kind({"first": first, "second": second}, clip_norm=1.0, clip_value=1.0)
    for parameter in (first, second):
        parameter._ensure_grad()[...] = 1
    trainer.update()
    before = trainer.state_dict(), first.value(), second.value()
    first._ensure_grad()[...] = 1
    second._ensure_grad()[1, 0] = bad
    with pytest.raises(GradientError, match=r"'second' is not finite: 1 of 4 .*\(1, 0\)"):
        trainer.update()
    after = trainer.state_dict(), first.value(), second.value()
    np.testing.assert_equal(after, before)
    assert first.gradient() is None
    assert second.gradient() is None
    assert math.isnan(trainer.gradient_norm)
    first._ensure_grad()[...] = 1
    trainer.update()
    assert trainer.step == 2


def test_a_row_that_is_not_finite_is_named():
    table = Lookup(10, 2)
    table._sparse.add([3, 7], np.array([[1, 1], [1, math.nan]]))
    before = table.value()
    with pytest.raises(GradientError, match=r"'words'.* 1 of 4 numbers, .* index \(7, 1\)"):
        ab.Adam({"words": table}).update()
    assert np.array_equal(table.value(), before)
    assert table.gradient() is None


def test_an_update_without_a_gradient_is_an_error():
    trainer = ab.SGD(Parameter(2))
    with pytest.raises(GradientError, match=r"call loss\.backward\(\) first"):
        trainer.update()
    assert trainer.step == 0


# ---- settings


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", [ab.Module(), [], {}])
def test_a_model_without_parameters_is_an_error(kind, model):
    with pytest.raises(ConfigurationError, match="no parameters to train"):
        kind(model)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("SGD", {"learning_rate": -1}),
        ("SGD", {"learning_rate": math.nan}),
        ("SGD", {"learning_rate": math.inf}),
        ("SGD", {"clip_norm": 0}),
        ("SGD", {"clip_value": -1}),
        ("SGD", {"clip_norm": math.nan}),
        ("SGD", {"schedule": 3}),
        ("Momentum", {"momentum": 1}),
        ("RMSProp", {"rho": -0.1}),
        ("Adagrad", {"epsilon": 0}),
        ("Adam", {"beta1": 1.0}),
        ("Adam", {"beta2": 1.5}),
        ("AdamW", {"weight_decay": -1}),
    ],
)
def test_settings_out_of_range_are_named(kind, settings):
    name = next(iter(settings))
    with pytest.raises(ConfigurationError, match=f"{kind}: {name}"):
        getattr(trainers, kind)(Parameter(2), **settings)


def test_the_learning_rate_can_be_assigned_and_scheduled():
    parameter = Parameter(init=[0.0])
    trainer = ab.SGD(parameter, learning_rate=1.0, schedule=lambda step: [1, 0.5, 0][step])
    values = []
    for _ in range(3):
        parameter._ensure_grad()[...] = 1
        trainer.update()
        values.append(float(parameter.value()[0]))
    assert values == [-1, -1.5, -1.5]
    trainer.schedule = None
    trainer.learning_rate = 2.0
    assert trainer.rate == 2.0
    trainer.schedule = lambda step: math.nan
    parameter._ensure_grad()[...] = 1
    with pytest.raises(ConfigurationError, match="learning rate of update 3 is nan"):
        trainer.update()
    assert parameter.value() == -1.5


def test_state_goes_from_trainer_to_trainer():
    parameters = [Parameter((2, 3)), Lookup(4, 2)]
    first = ab.Adam(parameters, learning_rate=0.5, clip_norm=2.0)
    for _ in range(2):
        parameters[0]._ensure_grad()[...] = 1
        parameters[1]._sparse.add([1], np.ones((1, 2)))
        first.update()
    second = ab.Adam(parameters)
    second.load_state_dict(first.state_dict())
    np.testing.assert_equal(second.state_dict(), first.state_dict())
    assert (second.step, second.learning_rate, second.clip_norm) == (2, 0.5, 2.0)
    # Neither shares memory with the other.
    parameters[0]._ensure_grad()[...] = 1
    before = first.state_dict()
    second.update()
    np.testing.assert_equal(first.state_dict(), before)


def test_states_are_told_apart_by_their_names():
    values = []
    for turned in (False, True):
        parameter = Parameter(init=[1.0, 2.0])
        trainer = ab.Adam(parameter, learning_rate=0.5)
        for _ in range(3):
            parameter._ensure_grad()[...] = [1, -3]
            trainer.update()
            state = trainer.state_dict()
            if turned:
                state["state"] = dict(reversed(state["state"].items()))
            trainer = ab.Adam(parameter)
            trainer.load_state_dict(state)
        values.append(parameter.value())
    np.testing.assert_array_equal(*values)


def test_a_parameter_that_joins_later_leaves_the_others_states():
    """One by one or together, looked at in between or not."""
    values = []
    for look in (False, True):
        parameters = [Parameter((2, 3), init=1), Lookup(4, 2, init=1), Parameter(5, init=1)]
        trainer = ab.AMSGrad(parameters, learning_rate=0.5)
        for count in (1, 2, 3, 1):
            for parameter in parameters[:count]:
                parameter._ensure_grad()[...] += count
            trainer.update()
            if look:
                trainer.state_dict()
        assert all(len(arrays) == 3 for arrays in trainer.state_dict()["state"].values())
        values.append([parameter.value() for parameter in parameters])
    for one, other in zip(*values, strict=True):
        np.testing.assert_array_equal(one, other)


EVENTS = ("rate", "clip norm", "clip value", "sparse", "schedule", "setting", "state", "nothing")


def _trained(kind, events):
    """What parameters hold after updates with something happening between them."""
    held = [Parameter(init=[0.3, -2.0, 1.0]), Lookup(init=np.arange(12.0).reshape(4, 3) / 7)]
    trainer = getattr(trainers, kind)(held)
    seen = []
    for i, event in enumerate(events):
        if event == "rate":
            trainer.learning_rate = 0.01 * (i + 1)
        elif event == "clip norm":
            trainer.clip_norm = (None, 1e-2, 5.0)[i % 3]
        elif event == "clip value":
            trainer.clip_value = (None, 1e-2, 5.0)[i % 3]
        elif event == "sparse":
            trainer.sparse = bool(i % 2)
        elif event == "schedule":
            trainer.schedule = (None, lambda step: 1 / (step + 1))[i % 2]
        elif event == "setting":
            name = trainer.setting_names[-1]
            if name not in trainers.Trainer.setting_names:
                now = getattr(trainer, name)
                setattr(trainer, name, not now if isinstance(now, bool) else now * 0.5)
        elif event == "state":
            trainer.load_state_dict(trainer.state_dict())
        elif event == "nothing":
            with pytest.raises(GradientError, match="no parameter has a gradient"):
                trainer.update()
        ab.new_graph()
        ab.sum(ab.square(held[0] + held[1][i % 4] - 1.0)).backward()
        trainer.update()
        seen += [trainer.gradient_norm, trainer.rate, trainer.step]
    return [*seen, *(p.value().tolist() for p in held)]


@pytest.mark.parametrize("kind", sorted(k for k in trainers.__all__ if k != "Trainer"))
@given(events=st.lists(st.sampled_from((None,) * 8 + EVENTS), min_size=5, max_size=20))
def test_updates_as_told_are_those_that_were_asked_for(kind, events):
    """C makes them by itself as long as nothing has changed."""
    told = _trained(kind, events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainers.Trainer, "_tell", lambda self, *how: None)
        assert told == _trained(kind, events)


@pytest.mark.parametrize("kind", sorted(set(trainers.__all__) - {"Trainer", "CyclicalSGD"}))
def test_updates_are_made_as_told(kind, monkeypatch):
    p = Parameter(2)
    trainer = getattr(trainers, kind)(p)
    asked = []
    rule = type(trainer)._rule
    monkeypatch.setattr(type(trainer), "_rule", lambda self: asked.append(self) or rule(self))
    for _ in range(20):
        ab.new_graph()
        ab.sum(p * p).backward()
        trainer.update()
    assert len(asked) == 1
    assert trainer.step == 20


def test_a_rate_of_another_kind_is_asked_for_every_time():
    class Falling(trainers.SGD):
        @property
        def rate(self):
            return 1.0 / (self.step + 1)

    p = Parameter(init=[0.0])
    trainer = Falling(p)
    for _ in range(3):
        ab.new_graph()
        ab.sum(p * 1.0).backward()
        trainer.update()
    np.testing.assert_allclose(p.value(), [-1 - 1 / 2 - 1 / 3], rtol=1e-6)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_trainers_are_not_copied(make):
    with pytest.raises(TypeError, match=r"state_dict\(\) of this one"):
        make(trainers.SGD(Parameter(2)))


class _ByStep(trainers.Momentum):
    def _rule(self):
        return "momentum", (0.5 ** (self.step + 1), False)


class _Property(trainers.SGD):
    learning_rate = property(lambda self: 0.1 * (self.step + 1), lambda self, value: None)


@pytest.mark.parametrize(
    ("kind", "expected"), [(_ByStep, [1, 1.25, 1.15625]), (_Property, [1, 2, 3])]
)
def test_what_subclasses_change_is_asked_every_time(kind, expected):
    p = Parameter(init=[0.0])
    trainer, before, steps = kind(p), 0.0, []
    for _ in range(3):
        ab.new_graph()
        ab.sum(p * 1.0).backward()
        trainer.update()
        after = float(p.value()[0])
        steps.append(before - after)
        before = after
    np.testing.assert_allclose(np.array(steps) / steps[0], expected, rtol=1e-5)


def test_what_was_assigned_while_an_update_ran_is_not_lost():
    """By another thread, or a signal's handler."""
    p = Parameter(init=[1.0])
    trainer = trainers.Momentum(p)
    how = ("momentum", (0.9, False), True, True, None, None, 0.0, False, False, None, None)
    ab.sum(p * p).backward()
    trainer.update()
    stamp = trainer._asked()
    trainer.momentum = 0.5
    trainer._tell(stamp, *how)
    ab.sum(p * p).backward()
    assert not trainer._update_as_told()
    stamp = trainer._asked()
    trainer.learning_rate = 0.5  # which is read anew
    trainer._tell(stamp, *how)
    assert trainer._update_as_told()


def test_a_count_that_is_none_changes_nothing():
    trainer = trainers.Adam(Parameter(2))
    trainer.step = 3
    for wrong in ("7", 2.5, None, 2**63):
        with pytest.raises(ConfigurationError, match="step must be"):
            trainer.step = wrong
    with pytest.raises(AttributeError):
        del trainer.step
    with pytest.raises(AttributeError):
        del trainer.learning_rate
    assert trainer.step == 3


def test_what_is_told_is_checked():
    trainer = trainers.SGD(Parameter(2))
    for how in (
        (0, "none", (), True, True, None, None, 0.0, False, False, None, None),
        (0, "sgd", (1.0,) * 9, True, True, None, None, 0.0, False, False, None, None),
        (0, "sgd", [], True, True, None, None, 0.0, False, False, None, None),
        (0, "sgd", ("a",), True, True, None, None, 0.0, False, False, None, None),
        (0, "sgd", (), True, True, None, None, 0.0, False, False, None, (1, 2)),
    ):
        with pytest.raises((TypeError, ValueError)):
            trainer._tell(*how)
        assert not trainer._update_as_told()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda p: _core.Updates([p], "mw", True), ValueError),
        (lambda p: _core.Updates([p], "mvxm", True), ValueError),
        (lambda p: _core.Updates([p, 3], "m", True), TypeError),
        (lambda p: _core.Updates([p], "m", True)._place(1, None, (0,)), ValueError),
        (lambda p: _core.Updates([p], "mv", True)._place(0, None, (0,)), ValueError),
        (lambda p: _core.Updates([p], "", True).__init__([p], "", True), ValueError),
    ],
)
def test_updates_refuse(make, error):
    with pytest.raises(error):
        make(Parameter(2))


def test_updates_of_no_parameters_are_not_run():
    updates = _core.Updates.__new__(_core.Updates)
    with pytest.raises(TypeError, match="expected parameters"):
        updates.__init__([3], "", True)
    with pytest.raises(TypeError):
        updates.run("sgd", (0.1,), True, True, None, None, 1.0, 0.0)
    assert len(updates) == 0


def test_a_gradient_that_begins_while_states_do(monkeypatch):
    """Another thread's pass waits until the states that are missing have their memory."""
    trained = [Parameter(20_000), Parameter(3000)]
    trainer = trainers.Adam(trained)
    zeros, others = memory.aligned_zeros, []

    def backward():
        ab.sum(trained[1] * 1.0).backward()

    def meanwhile(*args):
        others.append(threading.Thread(target=backward))
        others[-1].start()
        others[-1].join(0.2)
        return zeros(*args)

    ab.sum(trained[0] * 1.0).backward()
    monkeypatch.setattr(memory, "aligned_zeros", meanwhile)
    trainer.update()
    others[0].join()
    assert [*trainer.state_dict()["state"]["m"]] == ["0"]
    monkeypatch.undo()
    trainer.update()
    assert [*trainer.state_dict()["state"]["m"]] == ["0", "1"]


def test_states_replaced_while_an_update_waits():
    """The update that waits for its turn has the memory that it was made ready with."""
    p, other = Parameter(100_000), []
    trainer = trainers.Adam(p)
    ab.sum(p * 1.0).backward()
    trainer.update()
    ab.sum(p * 1.0).backward()
    room = weakref.ref(next(iter(trainer._state["m"].values())).base)
    with gradients_turn:
        thread = threading.Thread(target=trainer.update)
        thread.start()
        thread.join(0.2)
        trainer.load_state_dict(trainer.state_dict())
        gc.collect()
        other.append(room() is None)
    thread.join()
    assert other == [False]
    gc.collect()
    assert room() is None
    assert trainer.step == 2


def changed(given, **parts):
    return {**given, **parts}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda state: 3, "not the state of a trainer"),
        (lambda state: {}, "not the state of a trainer"),
        (lambda state: changed(state, kind="SGD"), "expected the state of Adam, got that of SGD"),
        (lambda state: changed(state, step=-1), "step"),
        (lambda state: changed(state, step="1"), "step"),
        (lambda state: changed(state, settings={}), "expected the settings"),
        (
            lambda state: changed(state, settings=changed(state["settings"], beta1="x")),
            "beta1 must be a number",
        ),
        (lambda state: changed(state, state={}), "expected the states"),
        (
            lambda state: changed(state, state={"m": {"other": np.zeros(3)}, "v": {}}),
            "parameter 'other'",
        ),
        (
            lambda state: changed(state, state={"m": {"w": np.zeros(3, "f4")}, "v": {}}),
            r"float32 of shape \(2,\), got float32 of \(3,\)",
        ),
        (
            lambda state: changed(state, state={"m": {"w": np.zeros(2, "f8")}, "v": {}}),
            "got float64",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(wrong, text):
    parameter = Parameter(2)
    trainer = ab.Adam({"w": parameter})
    parameter._ensure_grad()[...] = 1
    trainer.update()
    before = trainer.state_dict()
    with pytest.raises(ConfigurationError, match=text):
        trainer.load_state_dict(wrong(trainer.state_dict()))
    np.testing.assert_equal(trainer.state_dict(), before)


# ---- the compiled update against NumPy's, on parameters larger than a block of the norm


@pytest.mark.parametrize("count", [1, 7, 64, 10_001, 70_000])
def test_compiled_norm_and_clip_equal_their_twins(count, dtype, rng):
    numbers = rng.normal(size=(2, count)).astype(dtype)
    results = []
    for name in ("cpu", "numpy"):
        with ab.configure(backend=name):
            parameter = Parameter(init=numbers[0])
            trainer = ab.Momentum(parameter, clip_value=0.5, clip_norm=0.25)
            parameter._ensure_grad()[...] = numbers[1]
            trainer.update()
            results.append((parameter.value(), trainer.gradient_norm))
            parameter._ensure_grad()[count // 2] = math.nan
            with pytest.raises(GradientError, match="not finite"):
                trainer.update()
    (mine, norm), (twin, twin_norm) = results
    assert norm == pytest.approx(twin_norm, rel=1e-12)
    np.testing.assert_allclose(mine, twin, **tolerance(dtype))


def test_a_gradient_whose_squares_alone_overflow_is_applied():
    with ab.configure(dtype="float64"):
        parameter = Parameter(init=[0.0, 0.0])
    trainer = ab.SGD(parameter, learning_rate=1.0)
    parameter._ensure_grad()[...] = 3e200, 4e200
    trainer.update()
    assert trainer.gradient_norm == pytest.approx(5e200)
    assert trainer.step == 1
    np.testing.assert_allclose(parameter.value(), [-3e200, -4e200])


# ---- schedules


def test_schedules_are_their_formulas():
    steps = range(0, 60, 7)
    assert [schedules.ConstantRate(0.5)(s) for s in steps] == [0.5 for _ in steps]
    assert [schedules.Step(20, 0.5)(s) for s in steps] == [0.5 ** (s // 20) for s in steps]
    assert [schedules.Exponential(0.9)(s) for s in steps] == [0.9**s for s in steps]
    root = [math.sqrt(10 / max(s, 10)) for s in steps]
    assert [schedules.InverseSqrt(10)(s) for s in steps] == root
    wave = [0.1 + 0.9 * (1 + math.cos(math.pi * min(s / 40, 1))) / 2 for s in steps]
    assert np.allclose([schedules.Cosine(40, 0.1)(s) for s in steps], wave)


def test_warmup_leads_into_another_schedule():
    schedule = schedules.Warmup(4, schedules.Cosine(10))
    assert [schedule(s) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert schedule(14) == pytest.approx(0)
    assert schedules.Warmup(4)(100) == 1.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: schedules.Step(0),
        lambda: schedules.Step(2.5),
        lambda: schedules.Exponential(-1),
        lambda: schedules.Cosine(10, math.nan),
        lambda: schedules.Warmup(-3),
        lambda: schedules.InverseSqrt(0),
    ],
)
def test_schedules_refuse(make):
    with pytest.raises(ConfigurationError):
        make()
