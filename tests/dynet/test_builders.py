"""Recurrent networks and softmax layers: as DyNet computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_cases import CLUSTERS
from recorded_model import check, names

import autobatch as ab
import autobatch.dynet as dy
from autobatch import _core
from autobatch.dynet import random

traced = pytest.mark.skipif(
    not hasattr(_core, "Cell"), reason="built for the limited API, where nothing is traced"
)

BUILDERS = [
    dy.VanillaLSTMBuilder,
    dy.CompactVanillaLSTMBuilder,
    dy.CoupledLSTMBuilder,
    dy.FastLSTMBuilder,
    dy.SparseLSTMBuilder,
    dy.GRUBuilder,
    dy.SimpleRNNBuilder,
]


@pytest.mark.parametrize(
    "name",
    [
        *names("builder_"),
        "masks_for_a_minibatch",
        "options_of_the_lstm",
        "sparsity",
        "constant_builders",
        "branches",
        "later_initial_states",
        "both_directions",
        "softmax_layers",
        "softmax_of_classes",
    ],
)
def test_as_recorded(name):
    check(name)


@pytest.fixture
def m():
    dy.reset_random_seed(1)
    dy.renew_cg()
    return dy.ParameterCollection()


def test_the_default_lstm_is_the_vanilla_one():
    assert dy.LSTMBuilder is dy.VanillaLSTMBuilder


@pytest.mark.parametrize("kind", BUILDERS)
def test_old_states_are_stale(m, kind):
    builder = kind(1, 3, 2, m)
    state = builder.initial_state()
    dy.renew_cg()
    for use in (
        lambda: state.add_input(dy.inputVector([1, 2, 3])),
        lambda: state.transduce([dy.inputVector([1, 2, 3])]),
        lambda: state.set_h([dy.inputVector([1, 2])]),
        builder.get_parameter_expressions,
    ):
        with pytest.raises(ValueError, match=r"stale"):
            use()


@pytest.mark.parametrize("kind", BUILDERS)
def test_wrong_arguments(m, kind):
    builder = kind(2, 3, 2, m)
    state = builder.initial_state()
    three = [dy.inputVector([1, 2])] * 3
    for use in (lambda: state.set_s(three), lambda: builder.initial_state(three)):
        with pytest.raises(ValueError, match="got 3"):
            use()
    with pytest.raises(ValueError, match="expected"):
        state.add_input(dy.inputVector([1, 2]))
    with pytest.raises(TypeError, match="expected a ParameterCollection"):
        kind(1, 2, 3, 4)
    assert state.transduce([]) == state.add_inputs([]) == []


@pytest.mark.parametrize(
    "kind", [kind for kind in BUILDERS if kind not in (dy.GRUBuilder, dy.FastLSTMBuilder)]
)
@pytest.mark.parametrize("rate", [-0.5, 1.5])
def test_dropout_is_a_probability(m, kind, rate):
    with pytest.raises(ValueError, match="must be a probability"):
        kind(1, 3, 2, m).set_dropout(rate)


def test_dropout_methods_that_dynet_lacks(m):
    assert not hasattr(dy.GRUBuilder, "set_dropouts")
    assert not hasattr(dy.CoupledLSTMBuilder, "set_dropout_masks")


def test_noise_on_weights(m):
    """The wheel's leaves the weights out."""
    lstm = dy.CompactVanillaLSTMBuilder(1, 2, 2, m)
    x = dy.inputVector([1, 2])
    plain, noisy = [], []
    for rate, found in ((0.0, plain), (0.01, noisy)):
        lstm.set_weightnoise(rate)
        for _ in range(2):
            found.append(dy.concatenate(lstm.initial_state().transduce([x, x])).npvalue())
    np.testing.assert_array_equal(*plain)
    assert (noisy[0] != noisy[1]).all()
    np.testing.assert_allclose(noisy[0], plain[0], atol=0.1)
    with pytest.raises(ValueError, match="at least 0"):
        lstm.set_weightnoise(-1)


@pytest.mark.parametrize("kind", BUILDERS)
def test_builders_of_a_spec(m, kind):
    builder = kind(2, 3, 4, m)
    made = kind.from_spec(builder.spec, m)
    shapes = [[p.shape() for p in layer] for layer in builder.get_parameters()]
    assert [[p.shape() for p in layer] for layer in made.get_parameters()] == shapes
    assert made.spec == builder.spec
    assert (builder.whoami(), made.initial_state().b()) == (kind.__name__, made)


def test_a_sparse_builder_takes_initial_vectors(m):
    builder = dy.SparseLSTMBuilder(1, 3, 2, m)
    plain = dy.LSTMBuilder(1, 3, 2, m)
    for one, other in zip(plain.get_parameters()[0], builder.get_parameters()[0]):
        one.set_value(other.as_array())
    vecs, x = [dy.inputVector([1, 2]), dy.inputVector([3, 4])], dy.inputVector([1, 2, 3])
    ours, theirs = (b.initial_state(vecs).add_input(x).output() for b in (builder, plain))
    np.testing.assert_allclose(ours.npvalue(), theirs.npvalue(), rtol=1e-6)


def test_setting_memories_keeps_this_states_outputs(m):
    """DyNet takes those of the state it made last."""
    builder = dy.LSTMBuilder(1, 3, 2, m)
    x = dy.inputVector([1, 2, 3])
    first = builder.initial_state().add_input(x)
    first.add_input(x)
    changed = first.set_s([dy.inputVector([5, 6])])
    assert changed.s()[0].value() == [5, 6]
    assert changed.h() == first.h()


@pytest.mark.parametrize("kind", [dy.LSTMBuilder, dy.GRUBuilder])
def test_states_are_given_vectors(m, kind):
    builder = kind(1, 3, 2, m)
    state = builder.initial_state().add_input(dy.inputVector([1, 2, 3]))
    count = len(state.s())
    h, column = dy.inputVector([3, 4]), dy.inputTensor([[3], [4]])
    full = [dy.inputVector([1, 2]), h][-count:]
    given = state.set_s(full)
    assert all(one is other for one, other in zip(given.s(), full, strict=True))
    assert given.output() is h
    assert given.prev() is state
    assert state.set_s(iter(full)).s() == given.s()
    assert state.set_s().s() == ()
    assert state.set_s([]).output() is None
    assert state.set_h([h]).s() == (*state.s()[: count - 1], h)
    turned = state.set_s([*full[:-1], column])
    assert turned.s()[:-1] == tuple(full[:-1])
    assert turned.output().dim() == ((2,), 1)
    parameter = m.add_parameters(2, init=1)
    assert state.set_h([parameter]).output().value() == [1.0, 1.0]
    assert builder.initial_state().set_h([h]).output() is h


def test_inputs_may_be_columns_and_parameters(m):
    builder = dy.GRUBuilder(1, 3, 2, m)
    p = m.add_parameters(3, init=np.array([1.0, 2.0, 3.0]))
    start = builder.initial_state()
    ways = [p, dy.inputVector([1, 2, 3]), dy.inputTensor([[1], [2], [3]])]
    values = [start.add_input(x).output().value() for x in ways]
    assert values[0] == values[1] == values[2]


def test_an_lstm_step_is_few_nodes_and_sequences_batch(m):
    builder = dy.LSTMBuilder(1, 3, 2, m)
    dy.renew_cg()
    state = builder.initial_state()
    before = len(ab.current_graph())
    state.add_input(dy.inputVector([1, 2, 3])).add_input(dy.inputVector([3, 2, 1]))
    assert len(ab.current_graph()) - before <= 2 * 5 + 1


def test_stacks_of_states(m):
    below, above = dy.GRUBuilder(1, 3, 4, m), dy.LSTMBuilder(1, 4, 2, m)
    xs = [dy.inputVector([1, 2, i]) for i in range(3)]
    stack = dy.StackedRNNState([below.initial_state(), above.initial_state()])
    stacks = stack.add_inputs(xs)
    wanted = above.initial_state().transduce(below.initial_state().transduce(xs))
    assert [s.output().value() for s in stacks] == [y.value() for y in wanted]
    assert stacks[0].prev() is stack
    assert [len(vectors) for vectors in stacks[0].s()] == [1, 2]
    assert [len(vectors) for vectors in stacks[0].h()] == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((0, 2, 4), AssertionError), ((1, 2, 5), AssertionError), ((1, 2, 4), TypeError)],
)
def test_wrong_arguments_in_both_directions(m, arguments, error):
    with pytest.raises(error):
        dy.BiRNNBuilder(*arguments, m, None)


def test_given_layers_in_both_directions(m):
    pair = dy.LSTMBuilder(1, 3, 2, m), dy.GRUBuilder(1, 3, 2, m)
    builder = dy.BiRNNBuilder(1, 3, 4, m, None, [pair])
    xs = [dy.inputVector([1, 2, i]) for i in range(3)]
    forward = pair[0].initial_state().transduce(xs)
    backward = pair[1].initial_state().transduce(xs[::-1])[::-1]
    wanted = [f.value() + b.value() for f, b in zip(forward, backward)]
    assert [y.value() for y in builder.transduce(iter(xs))] == wanted
    assert builder.builder_layers == [pair]
    assert builder.transduce([]) == []


@pytest.fixture
def classes(m, tmp_path):
    (tmp_path / "clusters").write_text(CLUSTERS)
    words = {word: i for i, word in enumerate("fbcdea")}
    return dy.ClassFactoredSoftmaxBuilder(3, str(tmp_path / "clusters"), words, m)


def test_the_probabilities_of_words_in_classes(classes):
    """Right here; DyNet's full_log_distribution is not that of its losses."""
    x = dy.inputVector([1, -2, 0.5])
    losses = [classes.neg_log_softmax(x, i).value() for i in range(6)]
    logarithms = classes.full_log_distribution(x).value()
    np.testing.assert_allclose(logarithms, -np.array(losses), rtol=1e-5)
    assert np.exp(logarithms).sum() == pytest.approx(1)
    drawn = np.bincount([classes.sample(x) for _ in range(2000)], minlength=6) / 2000
    np.testing.assert_allclose(drawn, np.exp(logarithms), atol=0.05)
    xs = dy.inputTensor(np.array([[1, -2, 0.5], [2, 0, 1]]).T, batched=True)
    batch = classes.neg_log_softmax_batch(xs, [3, 2]).value()
    assert batch[0] == pytest.approx(losses[3])
    assert classes.subclass_log_distribution(x, 1).value() == 0  # alone in its class


def test_words_and_files_that_are_not_there(classes, m, tmp_path):
    x = dy.inputVector([1, -2, 0.5])
    with pytest.raises(ValueError, match="no class has the word 9"):
        classes.neg_log_softmax(x, 9)
    with pytest.raises(ValueError, match="Could not find cluster file"):
        dy.ClassFactoredSoftmaxBuilder(3, str(tmp_path / "none"), {}, m)
    with pytest.raises(RuntimeError, match="Unknown word"):
        dy.ClassFactoredSoftmaxBuilder(3, str(tmp_path / "clusters"), {}, m)
    with pytest.raises(TypeError, match="StandardSoftmaxBuilder"):
        dy.SoftmaxBuilder()


@traced
def test_traced_functions_draw_at_every_call() -> None:
    @ab.cell
    def noisy(x: Any) -> Any:
        return dy.noise(x, 1.0), dy.dropout(x, 0.5)

    dy.renew_cg()
    x = dy.inputVector([1] * 50)
    random.reset(13)
    expected = [(random.normal(50), random.bernoulli(50, 0.5) * 2.0) for _ in range(3)]
    dy.reset_random_seed(13)
    made = [noisy(x) for _ in range(3)]
    assert noisy.traces == 1
    for (added, dropped), (numbers, mask) in reversed(list(zip(made, expected, strict=True))):
        np.testing.assert_array_equal(added.npvalue(), 1 + numbers)
        np.testing.assert_array_equal(dropped.npvalue(), mask)


@traced
def test_a_gru_draws_its_masks_at_every_step() -> None:
    """Traced or not, the steps draw the same."""
    pc = dy.ParameterCollection()
    gru = dy.GRUBuilder(2, 3, 3, pc)
    gru.set_dropout(0.5)
    found = []
    for step in (gru._dropping_step, gru._dropping_step.__wrapped__):
        dy.reset_random_seed(14)
        dy.renew_cg()
        gru.initial_state()
        s, x = (), dy.ones(3)
        for _ in range(3):
            *s, output = step(gru._operands, x, tuple(s), 0.5)
        found.append(output.value())
        assert dy.GRUBuilder._dropping_step.traces >= 2
    assert found[0] == found[1]


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_steps_with_random_numbers_are_general_steps(noise: float) -> None:
    lstm = dy.CompactVanillaLSTMBuilder(1, 3, 3, dy.ParameterCollection())
    lstm.set_dropout(0.3)
    lstm.set_weightnoise(noise)

    def one_by_one(state: Any, xs: list[Any]) -> Any:
        return state.add_inputs(xs)[-1].output()

    def together(state: Any, xs: list[Any]) -> Any:
        return state.transduce(xs)[-1]

    def generally(state: Any, xs: list[Any]) -> Any:
        s = state.s()
        for x in xs:
            s, output = lstm._general_step(x, s)
        return output

    found = []
    for way in (one_by_one, together, generally):
        dy.renew_cg()
        dy.reset_random_seed(17)
        xs = [dy.inputVector([i, 1, -i]) for i in range(4)]
        found.append(way(lstm.initial_state(), xs).value() + random.uniform(1).tolist())
    assert found[0] == found[1] == found[2]
