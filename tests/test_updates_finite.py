"""Trainers: settings are checked whenever they are set; no update writes what is not finite."""

import numpy as np
import pytest

import autobatch as ab
from autobatch.errors import AutobatchError, ConfigurationError, GradientError

KINDS = [ab.SGD, ab.Momentum, ab.Adagrad, ab.RMSProp, ab.Adam, ab.AdamW, ab.AMSGrad, ab.Adadelta]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_backend = pytest.mark.parametrize("backend", ["cpu", "numpy"])


@pytest.fixture(autouse=True)
def fresh():
    ab.new_graph()
    yield
    ab.new_graph()


def give(parameter, gradient):
    ab.new_graph()
    ab.sum(parameter * np.asarray(gradient, parameter.dtype)).backward()


WRONG = [
    *[(name, wrong) for name in ("learning_rate", "epsilon", "beta1", "clip_norm", "clip_value")
      for wrong in (-1.0, float("nan"), float("inf"), 1e300, "0.1", [0.1])],
    *[("step", wrong) for wrong in (-1, 2**63, 1.5, "1", True, None)],
    ("epsilon", 1e-50), ("epsilon", 0.0), ("clip_norm", 1e-50), ("beta2", 1 - 1e-12),
    ("beta1", None), ("learning_rate", None), ("sparse", "no"), ("schedule", 3),
    ("weight_decay", 1e39),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wrong"), WRONG, ids=str)
def test_a_setting_is_checked_when_it_is_set(name, wrong):
    p = ab.Parameter(init=[1.0, 2.0])
    trainer = ab.AdamW(p, 0.1)
    before = getattr(trainer, name)
    with pytest.raises(AutobatchError, match=f"AdamW.*{name}"):
        setattr(trainer, name, wrong)
    assert getattr(trainer, name) == before
    if name != "step":
        with pytest.raises(AutobatchError, match=f"AdamW.*{name}"):
            ab.AdamW(p, **{name: wrong})


def test_settings_refuse_expressions():
    p = ab.Parameter(init=[1.0])
    trainer = ab.Adam(p)
    for name in ("learning_rate", "step", "epsilon"):
        with pytest.raises(AutobatchError, match=name):
            setattr(trainer, name, ab.sum(p))


def test_numbers_that_float64_holds_are_settings_of_its_parameters():
    with ab.configure(dtype="float64"):
        trainer = ab.Adam(ab.Parameter(2), 0.1, epsilon=1e-50)
    assert trainer.epsilon == 1e-50


def test_a_schedule_too_large_for_the_type_is_refused():
    p = ab.Parameter(init=[1.0, 2.0])
    for trainer in (
        ab.SGD(p, 0.1, schedule=lambda step: 1e40),
        ab.CyclicalSGD(p, schedule=lambda step: 1e41),
    ):
        give(p, [1.0, 1.0])
        with pytest.raises(ConfigurationError, match="learning rate"):
            trainer.update()
    assert (p.value() == [1.0, 2.0]).all()


@every_backend
@every_kind
@pytest.mark.parametrize("table", [False, True])
def test_an_update_that_overflows_applies_nothing(kind, backend, table):
    with ab.configure(backend=backend):
        first = ab.Parameter(init=[1.0, 2.0])
        second = ab.Lookup(init=[[1, 2], [3, 4]]) if table else ab.Parameter(init=[[1, 2], [3, 4]])
        trainer = kind({"first": first, "second": second}, 3e38)
        for _ in range(2):
            ab.new_graph()
            ab.sum(ab.concat([first * 1e-3, second[1] * 3e38 * 0 + second[1] * 1e-3])).backward()
            try:
                trainer.update()
            except GradientError:
                break
        step, values = trainer.step, [first.value(), second.value()]
        states = trainer.state_dict()["state"]
        ab.new_graph()
        ab.sum(ab.concat([first, second[1] * 1e38])).backward()
        with pytest.raises(GradientError, match=r"first|second"):
            trainer.update()
        assert trainer.step == step
        for parameter, before in zip((first, second), values, strict=True):
            np.testing.assert_array_equal(parameter.value(), before)
            assert parameter.gradient() is None
        after = trainer.state_dict()["state"]
        for which, arrays in states.items():
            for name, array in arrays.items():
                np.testing.assert_array_equal(after[which][name], array)


@every_backend
@pytest.mark.parametrize("kind", [ab.Adagrad, ab.Adam, ab.RMSProp, ab.Adadelta, ab.AMSGrad])
def test_a_state_that_overflows_is_named(kind, backend):
    with ab.configure(backend=backend):
        p = ab.Parameter(init=[1.0, 2.0])
        trainer = kind({"weights": p}, 1e-3)
        give(p, [1.0, 1e30])
        with pytest.raises(GradientError, match=r"state 'v' of parameter 'weights'.*\(1,\)"):
            trainer.update()
        assert trainer.step == 0
        assert (p.value() == [1.0, 2.0]).all()
        give(p, [1.0, 1.0])
        trainer.update()  # the state is what it was
        assert np.isfinite(p.value()).all()
        assert trainer.step == 1


@every_backend
@pytest.mark.parametrize("size", [1e15, 1e18, 3e19, 1e20])
def test_large_gradients_give_the_step_of_the_formula(size, backend):
    with ab.configure(backend=backend):
        p = ab.Parameter(init=[0.0, 0.0])
        trainer = ab.Adam(p, 0.125)
        for _ in range(3):
            give(p, [size, -size])
            trainer.update()
        np.testing.assert_allclose(p.value(), [-0.375, 0.375], rtol=1e-6)


@every_backend
def test_norms_of_large_gradients_clip(backend):
    with ab.configure(backend=backend):
        p = ab.Parameter(init=[0.0, 0.0])
        give(p, [3e37, 4e37])
        ab.SGD(p, 1.0, clip_norm=5.0).update()
        np.testing.assert_allclose(p.value(), [-3.0, -4.0], rtol=1e-6)


@every_kind
def test_ordinary_updates_are_not_doubtful_in_the_long_run(kind):
    p = ab.Parameter(init=[1.0, -2.0])
    trainer = kind(p, 1e-3)
    for i in range(300):
        give(p, [1.0 + i, -1e-3])
        trainer.update()
    assert trainer.step == 300
    assert np.isfinite(p.value()).all()


def test_numbers_that_float32_does_not_hold_are_refused():
    p = ab.Parameter(init=[1.0, 2.0])
    for wrong in ([1e300, 0.0], [0.0, -1e39]):
        with pytest.raises(AutobatchError, match="float32"):
            p.set_value(wrong)
        with pytest.raises(AutobatchError, match="float32"):
            ab.Parameter(init=wrong)
        with pytest.raises(AutobatchError, match="float32"):
            ab.Lookup(init=[wrong])
    with pytest.raises(AutobatchError, match="float32"):
        ab.Parameter(2, init=1e300)
    assert (p.value() == [1.0, 2.0]).all()
    p.set_value([np.inf, 0.0])  # what was meant
    assert p.value()[0] == np.inf
