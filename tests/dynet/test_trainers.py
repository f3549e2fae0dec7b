"""Trainers: ten steps of each as DyNet makes them, and their habits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_model import check, names

import autobatch as ab
import autobatch.dynet as dy
from autobatch import _core

KINDS = [
    "SimpleSGDTrainer",
    "CyclicalSGDTrainer",
    "MomentumSGDTrainer",
    "AdagradTrainer",
    "AdadeltaTrainer",
    "RMSPropTrainer",
    "AdamTrainer",
    "AmsgradTrainer",
]


@pytest.mark.parametrize(
    "name",
    [
        *names("trainer_"),
        "growing_collection",
        "restarted_and_slowed",
        "whole_table",
    ],
)
def test_as_recorded(name):
    check(name)


@pytest.fixture
def m():
    dy.reset_random_seed(1)
    dy.renew_cg()
    return dy.ParameterCollection()


@pytest.mark.parametrize("kind", KINDS)
def test_defaults(m, kind):
    trainer = getattr(dy, kind)(m)
    rates = {
        "SimpleSGDTrainer": 0.1,
        "CyclicalSGDTrainer": 0.01,
        "MomentumSGDTrainer": 0.01,
        "AdagradTrainer": 0.1,
        "AdadeltaTrainer": 1.0,
    }
    assert trainer.learning_rate == np.float32(rates.get(kind, 0.001))
    assert trainer.get_clip_threshold() == 5.0
    assert trainer.whoami() == kind
    assert isinstance(trainer, dy.Trainer)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_collection_and_no_gradient(m, kind):
    trainer = getattr(dy, kind)(m)
    trainer.update()
    p = m.add_parameters(2, init=1.0)
    trainer.update()
    assert p.as_array().tolist() == [1, 1]


def test_arguments_of_dynet_1(m):
    for arguments in ({"e0": 0.1}, {"edecay": 0.1}):
        with pytest.raises(TypeError):
            dy.SimpleSGDTrainer(m, **arguments)
    with pytest.raises(TypeError):
        dy.AdamTrainer(m, learning_rate=0.1)
    with pytest.raises(TypeError, match="expected a ParameterCollection"):
        dy.AdamTrainer(3)


def test_status_goes_to_stderr_and_counts_anew(m, capsys):
    p = m.add_parameters(2, init=1.0)
    trainer = dy.AdamTrainer(m)
    for factor in (1, 100, 100):
        dy.renew_cg()
        (dy.squared_norm(p) * factor).backward()
        trainer.update()
    trainer.status()
    trainer.status()
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err == "[lr=0.001 clips=2 updates=3] [lr=0.001 clips=0 updates=0] "


def test_update_epoch_does_nothing(m):
    trainer = dy.SimpleSGDTrainer(m)
    for call in (trainer.update_epoch, lambda: trainer.update_epoch(2.0)):
        with pytest.warns(DeprecationWarning, match="update_epoch"):
            call()
    assert trainer.learning_rate == pytest.approx(0.1)


def test_learning_rates_are_float32(m):
    trainer = dy.AdamTrainer(m, alpha=0.05)
    assert trainer.learning_rate == 0.05000000074505806
    trainer.learning_rate *= 0.9
    assert trainer.learning_rate == 0.045000001788139343
    assert type(trainer.learning_rate) is float
    for change in (trainer.set_learning_rate, trainer.restart):
        change(0.3)
        assert trainer.learning_rate == 0.30000001192092896
    trainer.set_clip_threshold(0.1)
    assert trainer.get_clip_threshold() == 0.10000000149011612
    with pytest.raises(ab.ConfigurationError, match="learning_rate must be at least 0 and finite"):
        trainer.learning_rate = -1
    assert trainer.learning_rate == 0.30000001192092896


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_gradients_stop_training_unless_clipping_is_off(m, bad):
    p = m.add_parameters(2, init=np.array([bad, 1.0]))
    q = m.add_parameters(2, init=1.0)
    trainer = dy.SimpleSGDTrainer(m)
    (dy.squared_norm(p) + dy.squared_norm(q)).backward()
    with pytest.raises(RuntimeError, match=r"Magnitude of gradient is bad.*'/_0'"):
        trainer.update()
    assert q.as_array().tolist() == [1, 1]
    trainer.set_clip_threshold(0)
    assert trainer.get_clip_threshold() == 0
    trainer.update()
    np.testing.assert_allclose(q.as_array(), 0.8)


def test_a_huge_gradient_is_bad_only_beyond_float32(m):
    p = m.add_parameters(2, init=1e18)
    trainer = dy.SimpleSGDTrainer(m)
    dy.squared_norm(p).backward()
    trainer.update()
    assert np.isfinite(p.as_array()).all()


def test_gradients_of_resting_parameters_are_kept(m):
    p, q = m.add_parameters(1, init=1.0), m.add_parameters(1, init=1.0)
    t = m.add_lookup_parameters((2, 1), init=1.0)
    trainer = dy.SimpleSGDTrainer(m)
    p.set_updated(False)
    t.set_updated(False)
    (p * 3.0 + q + t[1] * 2).backward()
    trainer.update()
    assert (p.is_updated(), p.as_array(), p.grad_as_array()) == (False, 1, 3)
    assert t.grad_as_array().tolist() == [[0], [2]]
    assert q.as_array() == pytest.approx(0.9)
    p.set_updated(True)
    trainer.update()
    assert p.as_array() == pytest.approx(0.7)
    assert p.grad_as_array() == 0


def test_a_subset_is_updated(m):
    p, q = m.add_parameters(1, init=1.0), m.add_parameters(1, init=1.0)
    t = m.add_lookup_parameters((2, 1), init=1.0)
    trainer = dy.SimpleSGDTrainer(m)
    (p + q + t[0]).backward()
    trainer.update_subset([1], [0])
    assert (p.as_array(), p.grad_as_array()) == (1, 1)
    assert q.as_array() == pytest.approx(0.9)
    assert t.as_array()[:, 0] == pytest.approx([0.9, 1])


def test_one_collection_of_two_trained(m):
    s = m.add_subcollection()
    p, q = m.add_parameters(1, init=1.0), s.add_parameters(1, init=1.0)
    trainer = dy.SimpleSGDTrainer(s)
    (p * 100 + q).backward()
    trainer.update()
    assert (p.as_array(), p.grad_as_array()) == (1, 100)
    assert q.as_array() == pytest.approx(0.9)  # the other's gradient does not count for clipping


EVENTS = ("rate", "no rate", "clip", "sparse", "grow", "decay", "subset", "late", "rest", "restart")


def _trained(kind, events, kept):
    """What a collection holds after updates with something happening between them."""
    dy.reset_random_seed(3)
    dy.renew_cg()
    _core.keep_updates(kept)
    m = dy.ParameterCollection()
    held = [m.add_parameters(3), m.add_lookup_parameters((4, 3))]
    trainer = getattr(dy, kind)(m)
    seen = []
    for i, event in enumerate(events):
        if event == "rate":
            trainer.learning_rate = 0.01 * (i + 1)
        elif event == "no rate":
            trainer.learning_rate = 0
        elif event == "clip":
            trainer.set_clip_threshold((0, 1e-2, 5)[i % 3])
        elif event == "sparse":
            trainer.set_sparse_updates(bool(i % 2))
        elif event == "grow":
            held.append(m.add_parameters(3))
        elif event == "decay":
            m.set_weight_decay(0.1 * (i % 2))
        elif event == "rest":
            held[0].set_updated(bool(i % 2))
        elif event == "restart":
            trainer.restart()
        dy.renew_cg()
        loss = dy.squared_norm(dy.esum([*held[:1], *held[2:], held[1][i % 4]]) - 1)
        other = dy.squared_norm(held[0])
        loss.backward()
        if event == "subset":
            trainer.update_subset([0], [])
        trainer.update()
        if event == "late":
            other.backward()
            seen.append(other.value())
        seen += [loss.value(), trainer.gradient_norm, trainer.learning_rate]
    return [*seen, trainer.step, trainer._clips, *(p.as_array().tolist() for p in held)]


@pytest.mark.parametrize("kind", KINDS)
@given(
    events=st.lists(st.sampled_from((None,) * 10 + EVENTS), min_size=5, max_size=25),
    kept=st.sampled_from([0, -1]),
)
def test_updates_as_told_are_those_that_were_asked_for(kind, events, kept):
    """C makes them by itself as long as nothing has changed."""
    told = _trained(kind, events, kept)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dy.Trainer, "_tell", lambda self, *how: None)
        assert told == _trained(kind, events, kept)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"CyclicalSGDTrainer"}))
def test_updates_are_made_as_told(m, kind, monkeypatch):
    p = m.add_parameters(2)
    trainer = getattr(dy, kind)(m)
    asked = []
    rule = type(trainer)._rule
    monkeypatch.setattr(type(trainer), "_rule", lambda self: asked.append(self) or rule(self))
    for _ in range(20):
        dy.renew_cg()
        dy.squared_norm(p).backward()
        trainer.update()
    assert len(asked) == 1
    assert trainer.step == 20


def test_a_velocity_goes_on_without_a_rate(m):
    p = m.add_parameters(1, init=1.0)
    trainer = dy.MomentumSGDTrainer(m, learning_rate=0.5, mom=0.5)
    for rate, expected in ((0.5, 0.5), (0.0, 0.25), (0.0, 0.125)):
        trainer.learning_rate = rate
        dy.renew_cg()
        dy.sum_elems(p).backward()
        trainer.update()
        assert p.as_array().tolist() == [expected]


def test_the_norm_of_no_gradient_is_zero(m):
    p = m.add_parameters(2, init=1.0)
    trainer = dy.SimpleSGDTrainer(m)
    for _ in range(3):
        dy.renew_cg()
        dy.squared_norm(p).backward()
        trainer.update()
        assert trainer.gradient_norm > 0
        trainer.update()
        assert trainer.gradient_norm == 0


@pytest.mark.parametrize("backend", ["cpu", "numpy"])
@pytest.mark.parametrize("kind", [dy.AdamTrainer, dy.AmsgradTrainer, dy.MomentumSGDTrainer])
def test_rows_looked_up_before_the_loss_count_as_used(kind, backend):
    """Their means move on in DyNet, whatever became of them: dead lookups, another loss's."""
    ab.use(backend)
    try:
        moved = []
        for what in ("dead", "dead batch", "another loss", "after", "constant", "none"):
            m = dy.ParameterCollection()
            table = m.add_lookup_parameters((5, 2), init=1)
            trainer = kind(m, 0.1)
            for use in ("all", what):
                dy.renew_cg()
                other = dy.squared_norm(table[1])
                rows = [table[2], dy.lookup_batch(table, [3, 4])]
                loss = dy.squared_norm(table[0])
                if use == "all":
                    loss = loss + other + dy.squared_norm(rows[0])
                    loss = loss + dy.sum_batches(dy.squared_norm(rows[1]))
                else:
                    dy.renew_cg()
                    if use == "dead":
                        assert table[2] is not None
                    elif use == "dead batch":
                        dy.lookup_batch(table, [2, 4])
                    elif use == "another loss":
                        dy.squared_norm(table[2])
                    elif use == "constant":
                        dy.squared_norm(dy.lookup(table, 2, update=False))
                    loss = dy.squared_norm(table[0])
                    if use == "after":
                        dy.squared_norm(table[2])
                loss.backward()
                if use == "all":
                    trainer.update()
                    before = table.as_array()[:, 0]
            trainer.update()
            moved.append((table.as_array()[:, 0] != before).tolist())
        assert moved == [
            [True, False, True, False, False],
            [True, False, True, False, True],
            [True, False, True, False, False],
            [True, False, False, False, False],
            [True, False, False, False, False],
            [True, False, False, False, False],
        ]
    finally:
        ab.use("cpu")


def test_rows_looked_up_and_not_used_are_left_alone_elsewhere():
    table = ab.Lookup(init=np.ones((3, 2)))
    trainer = ab.Adam(table)
    for index in (0, 1):
        ab.new_graph()
        row = table[1 - index]
        ab.sum(table[index] * 1.0).backward()
        assert (table.gradient().any(axis=1) == (np.arange(3) == index)).all()
        assert row is not None
        before = table.value()
        trainer.update()
        assert ((table.value() != before).any(axis=1) == (np.arange(3) == index)).all()
