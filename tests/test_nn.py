"""Every layer against plain NumPy, one example at a time; gradients by finite differences."""

from __future__ import annotations

import numpy as np
import pytest

import autobatch as ab
from autobatch.errors import ConfigurationError, OperandError, ShapeError

K, H = 3, 4  # inputs, hidden units

# ---- the layers in NumPy


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights(layer):
    return [p.value().astype(np.float64) for p in layer.parameters()]


def lstm_step(layer, x, h, c):
    w, u, b = weights(layer)
    i, f, o, g = np.split(w @ x + u @ h + b, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(layer, x, h):
    w, u, b, d = weights(layer)
    (rx, zx, nx), (rh, zh, nh) = np.split(w @ x + b, 3), np.split(u @ h + d, 3)
    n = np.tanh(nx + sigmoid(rx + rh) * nh)
    z = sigmoid(zx + zh)
    return (1 - z) * n + z * h


def rnn_step(layer, x, h):
    w, u, b = weights(layer)
    return np.tanh(w @ x + u @ h + b)


def read(recurrent, xs, start=None):
    """Outputs of a recurrent layer over a sequence, and the states of its layers."""
    count = len(recurrent.layers)
    is_lstm = isinstance(recurrent, ab.LSTM)
    states = start or [(np.zeros(H), np.zeros(H)) if is_lstm else np.zeros(H)] * count
    outputs = []
    for x in xs:
        after = []
        for layer, state in zip(recurrent.layers, states):
            if is_lstm:
                x, c = lstm_step(layer, x, *state)
                after.append((x, c))
            else:
                x = (gru_step if isinstance(recurrent, ab.GRU) else rnn_step)(layer, x, state)
                after.append(x)
        states = after
        outputs.append(x)
    return outputs, states


def tree_step(tree, x, children):
    w, v, *u, b = weights(tree)
    gates = np.concatenate([np.tile(v @ x, tree.arity), w @ x]) if x is not None else 0
    gates = gates + b + sum(m @ h for m, (h, _) in zip(u, children))
    *f, i, o, g = np.split(gates, tree.arity + 3)
    c = sigmoid(i) * np.tanh(g) + sum(sigmoid(fk) * ck for fk, (_, ck) in zip(f, children))
    return sigmoid(o) * np.tanh(c), c


def child_sum_step(tree, x, children):
    w, v, u, t, b, d = weights(tree)
    of_x, forget_x = (w @ x, v @ x) if x is not None else (0, 0)
    total = sum((h for h, _ in children), np.zeros(H))
    i, o, g = np.split(of_x + u @ total + b, 3)
    c = sigmoid(i) * np.tanh(g)
    c = c + sum(sigmoid(forget_x + t @ hk + d) * ck for hk, ck in children)
    return sigmoid(o) * np.tanh(c), c


# ---- help


def close(dtype):
    return {"rtol": 1e-4, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}


def shaken(module, rng):
    """The module with all its parameters changed, so that biases and starts count."""
    for parameter in module.parameters():
        noise = rng.normal(scale=0.3, size=parameter.shape)
        parameter.set_value(parameter.value() + noise)
    return module


def vectors(rng, count, dim=K):
    return list(rng.normal(size=(count, dim)))


RECURRENT = [ab.LSTM, ab.GRU, ab.RNN]


# ---- linear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(), (5,), (2, 5)])
def test_linear(bias, lead, dtype, rng):
    layer = shaken(ab.Linear(K, H, bias=bias), rng)
    x = rng.normal(size=(*lead, K))
    expected = x @ layer.weight.value().T + (layer.bias.value() if bias else 0)
    y = layer(ab.input(x))
    assert y.shape == (*lead, H)
    np.testing.assert_allclose(y.value(), expected, **close(dtype))
    assert layer.count() == H * K + H * bias


def test_linear_begins_with_a_bias_of_zero_and_takes_an_initializer():
    assert not ab.Linear(K, H).bias.value().any()
    layer = ab.Linear(H, H, init=ab.initializers.Identity())
    assert np.array_equal(layer.weight.value(), np.eye(H))


def test_linear_of_a_wrong_shape():
    with pytest.raises(ShapeError):
        ab.Linear(K, H)(ab.zeros(K + 1))


# ---- recurrent layers


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", RECURRENT)
def test_outputs_over_a_sequence(kind, layers, dtype, rng):
    recurrent = shaken(kind(K, H, layers=layers), rng)
    xs = vectors(rng, 5)
    outputs = recurrent([ab.input(x) for x in xs])
    expected, _ = read(recurrent, xs)
    assert len(outputs) == 5
    for mine, plain in zip(outputs, expected):
        np.testing.assert_allclose(mine.value(), plain, **close(dtype))


@pytest.mark.parametrize("kind", RECURRENT)
def test_steps_states_and_last_agree(kind, rng):
    recurrent = shaken(kind(K, H, layers=2), rng)
    xs = [ab.input(x) for x in vectors(rng, 4)]
    outputs = [h.value() for h in recurrent(xs)]
    state, stepped = recurrent.start(), []
    for x in xs:
        state = recurrent.step(x, state)
        stepped.append(state.h.value())
    states = recurrent.states(xs)
    assert np.array_equal(stepped, outputs)
    assert np.array_equal([s.h.value() for s in states], outputs)
    assert np.array_equal(recurrent.last(xs).value(), outputs[-1])
    assert np.array_equal(recurrent.step(xs[0]).h.value(), outputs[0])
    rest = recurrent(iter(xs[2:]), states[1])
    assert np.array_equal([h.value() for h in rest], outputs[2:])


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_state_can_be_gone_on_from_twice(kind, rng):
    recurrent = kind(K, H)
    a, b, c = (ab.input(x) for x in vectors(rng, 3))
    state = recurrent.step(a)
    with pytest.raises(AttributeError):
        state.h = b
    one, two = recurrent.step(b, state), recurrent.step(c, state)
    assert np.array_equal(one.h.value(), recurrent.last([a, b]).value())
    assert np.array_equal(two.h.value(), recurrent.last([a, c]).value())


@pytest.mark.parametrize("kind", RECURRENT)
def test_an_empty_sequence(kind):
    recurrent = kind(K, H)
    assert recurrent([]) == []
    assert recurrent.states([]) == []
    assert not recurrent.last([]).value().any()


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_manual_minibatch_gives_the_same(kind, rng):
    recurrent = kind(K, H, layers=2)
    xs = rng.normal(size=(3, 5, K))  # steps, examples
    together = recurrent.last([ab.input(x, batched=True) for x in xs])
    assert together.batch_size == 5
    for i, row in enumerate(together.value()):
        alone = recurrent.last([ab.input(x) for x in xs[:, i]])
        np.testing.assert_allclose(row, alone.value(), rtol=1e-5, atol=1e-6)


def test_the_forget_gates_of_an_lstm_begin_open():
    bias = ab.LSTM(K, H).layers[0].bias.value()
    assert np.array_equal(bias, np.repeat([0, 1, 0, 0], H))


def test_an_lstm_begins_where_it_is_told(dtype, rng):
    lstm = ab.LSTM(K, H, layers=2)
    h, c, xs = vectors(rng, 2, H), vectors(rng, 2, H), vectors(rng, 2)
    start = lstm.start([ab.input(v) for v in h], [ab.input(v) for v in c])
    expected, states = read(lstm, xs, list(zip(h, c)))
    last = lstm.states([ab.input(x) for x in xs], start)[-1]
    np.testing.assert_allclose(last.h.value(), expected[-1], **close(dtype))
    np.testing.assert_allclose(last.c.value(), states[-1][1], **close(dtype))
    for (mine_h, mine_c), (plain_h, plain_c) in zip(last.layers, states):
        np.testing.assert_allclose(mine_h.value(), plain_h, **close(dtype))
        np.testing.assert_allclose(mine_c.value(), plain_c, **close(dtype))
    with pytest.raises(OperandError, match="expected 2 vectors as h, one for each layer, got 1"):
        lstm.start(ab.zeros(H))


@pytest.mark.parametrize("kind", [ab.GRU, ab.RNN])
def test_a_gru_or_rnn_begins_where_it_is_told(kind, dtype, rng):
    recurrent = kind(K, H, layers=2)
    h, xs = vectors(rng, 2, H), vectors(rng, 2)
    expected, _ = read(recurrent, xs, h)
    start = recurrent.start([ab.input(v) for v in h])
    last = recurrent.last([ab.input(x) for x in xs], start)
    np.testing.assert_allclose(last.value(), expected[-1], **close(dtype))


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_learned_start(kind, dtype, rng):
    recurrent = kind(K, H, layers=2, learned_start=True)
    own = 2 * H * (2 if kind is ab.LSTM else 1)
    assert recurrent.count() == kind(K, H, layers=2).count() + own
    assert not any(p.value().any() for p in recurrent.parameters() if p.name.startswith("first"))
    shaken(recurrent, rng)
    if kind is ab.LSTM:
        start = [tuple(p.value() for p in pair) for pair in recurrent.first]
    else:
        start = [p.value() for p in recurrent.first]
    xs = vectors(rng, 2)
    expected, _ = read(recurrent, xs, start)
    loss = ab.sum(recurrent.last([ab.input(x) for x in xs]))
    np.testing.assert_allclose(loss.item(), expected[-1].sum(), **close(dtype))
    loss.backward()
    assert all(p.gradient().any() for p in recurrent.parameters())


@pytest.mark.parametrize("kind", RECURRENT)
def test_dropout_lies_between_layers_and_only_in_training(kind, rng):
    recurrent = kind(K, H, layers=2, dropout=0.5)
    xs = [ab.input(x) for x in vectors(rng, 6)]
    trained = [h.value() for h in recurrent(xs)]
    recurrent.eval()
    plain = [h.value() for h in recurrent(xs)]
    assert not np.array_equal(trained, plain)
    assert np.array_equal(plain, [h.value() for h in recurrent(xs)])
    recurrent.train().dropout = 0.0
    assert np.array_equal(plain, [h.value() for h in recurrent(xs)])
    single = kind(K, H, dropout=0.5)
    first = [h.value() for h in single(xs)]
    assert np.array_equal(first, [h.value() for h in single(xs)])


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_the_activation_of_an_rnn(activation, rng):
    rnn = ab.RNN(K, H, activation=activation)
    (x,) = vectors(rng, 1)
    w, _, b = weights(rnn)
    plain = {"tanh": np.tanh, "relu": lambda v: np.maximum(v, 0), "sigmoid": sigmoid}[activation]
    result = rnn.step(ab.input(x)).h.value()
    np.testing.assert_allclose(result, plain(w @ x + b), rtol=1e-5, atol=1e-6)


# ---- both directions


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", RECURRENT)
def test_both_directions(kind, layers, dtype, rng):
    both = shaken(ab.Bidirectional(kind, K, H, layers=layers), rng)
    xs = vectors(rng, 4)
    plain = xs
    for forward, backward in zip(both.forward, both.backward):
        ahead = read(forward, plain)[0]
        back = read(backward, plain[::-1])[0][::-1]
        plain = [np.concatenate(pair) for pair in zip(ahead, back)]
    outputs = both(ab.input(x) for x in xs)
    assert len(outputs) == 4
    for mine, expected in zip(outputs, plain):
        np.testing.assert_allclose(mine.value(), expected, **close(dtype))
    last = both.last([ab.input(x) for x in xs]).value()
    np.testing.assert_allclose(last, np.concatenate([ahead[-1], back[0]]), **close(dtype))


@pytest.mark.parametrize(("kind", "inner"), [(ab.BiLSTM, ab.LSTM), (ab.BiGRU, ab.GRU)])
def test_both_directions_by_name(kind, inner):
    both = kind(K, H, layers=2, learned_start=True)
    assert all(type(part) is inner for part in both.forward + both.backward)
    assert both([]) == []
    assert both.last([]).shape == (2 * H,)
    assert [p.layers[0].weight_x.shape[1] for p in both.forward] == [K, 2 * H]


def test_dropout_in_both_directions(rng):
    both = ab.BiLSTM(K, H, layers=2, dropout=0.5)
    xs = [ab.input(x) for x in vectors(rng, 4)]
    trained = [h.value() for h in both(xs)]
    both.eval()
    plain = [h.value() for h in both(xs)]
    assert not np.array_equal(trained, plain)
    assert np.array_equal(plain, [h.value() for h in both(xs)])


# ---- trees


@pytest.mark.parametrize("with_input", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", [ab.TreeLSTM, ab.ChildSumTreeLSTM])
def test_a_node_of_a_tree(kind, count, with_input, dtype, rng):
    nary = kind is ab.TreeLSTM
    tree = shaken(kind(K, H, arity=3) if nary else kind(K, H), rng)
    x = rng.normal(size=K) if with_input else None
    children = [(rng.normal(size=H), rng.normal(size=H)) for _ in range(count)]
    states = [ab.nn.TreeState(ab.input(h), ab.input(c)) for h, c in children]
    given = None if x is None else ab.input(x)
    if not count and not with_input:
        with pytest.raises(OperandError, match="without children needs an input"):
            tree.step(given, states)
        return
    state = tree.step(given, states)
    h, c = (tree_step if nary else child_sum_step)(tree, x, children)
    np.testing.assert_allclose(state.h.value(), h, **close(dtype))
    np.testing.assert_allclose(state.c.value(), c, **close(dtype))


def test_too_many_children():
    tree = ab.TreeLSTM(K, H)
    leaf = tree.step(ab.zeros(K))
    with pytest.raises(OperandError, match="at most 2 children, got 3; make it with arity=3"):
        tree.step(children=[leaf] * 3)


@pytest.mark.parametrize("kind", [ab.TreeLSTM, ab.ChildSumTreeLSTM])
def test_a_whole_tree(kind, rng):
    tree = kind(K, H)
    words = dict(zip("abcd", vectors(rng, 4)))
    root = (("a", "b"), ("c", ("d",)))

    def plain(node):
        if isinstance(node, str):
            return tree.step(ab.input(words[node]))
        return tree.step(children=[plain(child) for child in node])

    states = tree(
        root,
        children=lambda node: node if isinstance(node, tuple) else (),
        inputs=lambda node: ab.input(words[node]) if isinstance(node, str) else None,
    )
    assert [node for node, _ in states] == [
        "a", "b", ("a", "b"), "c", "d", ("d",), ("c", ("d",)), root,
    ]  # fmt: skip
    for node, state in states:
        assert np.array_equal(state.h.value(), plain(node).h.value())


def test_a_tree_as_deep_as_memory_allows():
    tree = ab.TreeLSTM(K, H)
    depth = 5000
    states = tree(
        0,
        children=lambda node: [node + 1] if node < depth else [],
        inputs=lambda node: ab.zeros(K) if node == depth else None,
    )
    assert [node for node, _ in states] == list(range(depth, -1, -1))
    assert np.isfinite(states[-1][1].h.value()).all()


# ---- gradients


def check_gradients(module, loss, rng):
    """Along random directions in the space of all parameters, the gradient is the slope."""

    def value():
        ab.new_graph()
        return loss()

    value().backward()
    parameters = module.parameters()
    gradients = [p.gradient() for p in parameters]
    assert all(g is not None and np.isfinite(g).all() for g in gradients)
    before = [p.value() for p in parameters]
    step = 1e-6
    for _ in range(3):
        ways = [rng.normal(size=p.shape) for p in parameters]
        sides = []
        for sign in (step, -step):
            for p, w, way in zip(parameters, before, ways):
                p.set_value(w + sign * way)
            sides.append(value().item())
        slope = (sides[0] - sides[1]) / (2 * step)
        along = sum(float((g * way).sum()) for g, way in zip(gradients, ways))
        assert along == pytest.approx(slope, rel=1e-5, abs=1e-7)
        for p, w in zip(parameters, before):
            p.set_value(w)


@pytest.mark.parametrize("dtype", ["float64"])
@pytest.mark.parametrize("kind", RECURRENT)
def test_gradients_of_recurrent_layers(kind, rng, dtype):
    recurrent = shaken(kind(K, H, layers=2, learned_start=True), rng)
    xs, way = vectors(rng, 4), rng.normal(size=H)
    check_gradients(
        recurrent,
        lambda: ab.sum([ab.dot(h, way) for h in recurrent([ab.input(x) for x in xs])]),
        rng,
    )


@pytest.mark.parametrize("dtype", ["float64"])
def test_gradients_of_both_directions(rng, dtype):
    both = shaken(ab.BiLSTM(K, H, layers=2), rng)
    xs, way = vectors(rng, 3), rng.normal(size=2 * H)
    check_gradients(
        both, lambda: ab.sum([ab.dot(h, way) for h in both([ab.input(x) for x in xs])]), rng
    )


@pytest.mark.parametrize("dtype", ["float64"])
@pytest.mark.parametrize("kind", [ab.TreeLSTM, ab.ChildSumTreeLSTM])
def test_gradients_of_trees(kind, rng, dtype):
    tree = shaken(kind(K, H), rng)
    words, way = vectors(rng, 4), rng.normal(size=H)

    def loss():
        a, b, c = (tree.step(ab.input(x)) for x in words[:3])
        inner = tree.step(ab.input(words[3]), [a, b])
        return ab.dot(tree.step(children=[inner, c]).h, way)

    check_gradients(tree, loss, rng)


@pytest.mark.parametrize("dtype", ["float64"])
@pytest.mark.parametrize("lead", [(), (5,)])
def test_gradients_of_linear(rng, dtype, lead):
    layer = shaken(ab.Linear(K, H), rng)
    x, way = rng.normal(size=(*lead, K)), rng.normal(size=(*lead, H))
    check_gradients(layer, lambda: ab.sum(layer(ab.input(x)) * way), rng)


@pytest.mark.parametrize("dtype", ["float64"])
def test_gradients_of_lookups(rng, dtype):
    table = ab.Lookup(6, K)
    way = rng.normal(size=K)

    def loss():
        rows = [table[i] for i in (1, 4, 1, 0)]
        batch = table.batch([4, 4, 5])
        return ab.sum([ab.dot(row, way) ** 2 for row in rows]) + ab.sum(
            ab.sum_batch(ab.tanh(batch)) * way
        )

    module = ab.Module()
    module.table = table
    check_gradients(module, loss, rng)
    assert sorted(table._sparse.row_of_slot[: table._sparse.count]) == [0, 1, 4, 5]


# ---- arguments


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ab.Linear(0, 2), "Linear: input_dim must be a whole number above 0, got 0"),
        (lambda: ab.Linear(2, 2.5), "output_dim"),
        (lambda: ab.LSTM(2, -1), "LSTM: hidden_dim"),
        (lambda: ab.LSTM(2, 2, layers=0), "LSTM: layers"),
        (lambda: ab.GRU(2, 2, dropout=1.0), "GRU: dropout"),
        (lambda: ab.RNN(2, 2, activation="sine"), "RNN: activation must be one of tanh"),
        (lambda: ab.BiLSTM(2, "3"), "BiLSTM: hidden_dim"),
        (lambda: ab.Bidirectional(ab.Linear, 2, 3), "recurrent layer's class"),
        (lambda: ab.TreeLSTM(2, 3, arity=0), "TreeLSTM: arity"),
        (lambda: ab.ChildSumTreeLSTM(True, 3), "input_dim"),
    ],
)
def test_sizes_out_of_range_are_named(make, text):
    with pytest.raises(ConfigurationError, match=text):
        make()


def test_a_state_has_as_many_layers_as_the_lstm():
    one, two = ab.LSTM(3, 4), ab.LSTM(3, 4, layers=2)
    x, pair = ab.ones(3), (ab.zeros(4), ab.zeros(4))
    np.testing.assert_array_equal(one.step(x, pair).h.value(), one.step(x).h.value())
    with pytest.raises(OperandError, match="expected the state of 2 layers"):
        two.step(x, pair)
    with pytest.raises(OperandError, match="expected the state of 2 layers"):
        two.step(x, one.start())
    with pytest.raises(OperandError, match="expected the state of 1 layers"):
        one.step(x, two.start())
