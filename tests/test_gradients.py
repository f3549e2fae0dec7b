"""What a backward pass gives to whom: parameters, lookups, expressions, views, strays."""

from __future__ import annotations

import numpy as np
import pytest

import autobatch as ab
from autobatch import engine
from autobatch.testing import check_gradient

pytestmark = pytest.mark.usefixtures("backend")


def test_gradients_of_parameters_add_up_until_they_are_cleared() -> None:
    w = ab.Parameter(init=[1.0, 2.0])
    for times in (1, 2, 3):
        ab.new_graph()
        ab.sum(ab.square(w)).backward()
        np.testing.assert_allclose(w.gradient(), [2 * times, 4 * times])
    w.zero_grad()
    assert w.gradient() is None


def test_a_second_pass_over_one_graph() -> None:
    w = ab.Parameter(init=[1.0, 2.0])
    loss = ab.sum(ab.square(w))
    loss.backward()
    loss.backward()
    np.testing.assert_allclose(w.gradient(), [4, 8])
    more = loss * 3.0
    more.backward()
    np.testing.assert_allclose(w.gradient(), [10, 20])


def test_gradients_of_expressions_are_of_the_last_pass() -> None:
    x = ab.input([1.0, 2.0])
    loss = ab.sum(ab.square(x))
    for _ in range(2):
        loss.backward(wrt=[x])
        np.testing.assert_allclose(x.gradient(), [2, 4])


def test_frozen_parameters_get_none() -> None:
    w, frozen = ab.Parameter(init=[1.0, 2.0]), ab.Parameter(init=[3.0, 4.0])
    frozen.trainable = False
    table = ab.Lookup(4, 2)
    table.trainable = False
    ab.sum(w * frozen * table[1]).backward()
    assert frozen.gradient() is None
    assert table.gradient() is None
    np.testing.assert_allclose(w.gradient(), frozen.value() * table.value()[1], rtol=1e-6)


def test_unused_parameters_get_none() -> None:
    w, unused = ab.Parameter(2), ab.Parameter(2)
    unused * 2.0  # recorded, but the loss does not depend on it
    ab.sum(w).backward()
    assert unused.gradient() is None


def test_lookups_get_gradients_by_row() -> None:
    table = ab.Lookup(init=np.arange(12.0).reshape(6, 2))
    several = table.batch([0, 1, 1])
    loss = ab.sum([ab.sum(ab.square(table[i])) for i in (4, 1, 4)])
    loss = loss + ab.sum_batch(ab.sum(ab.square(several)))
    loss.backward()
    expected = np.zeros((6, 2))
    for row in (4, 1, 4, 0, 1, 1):
        expected[row] += 2 * table.value()[row]
    np.testing.assert_allclose(table.gradient(), expected)
    assert table._sparse.count == 3
    assert set(table._sparse.row_of_slot[:3].tolist()) == {0, 1, 4}


def test_a_lookup_used_whole_and_by_row() -> None:
    table = ab.Lookup(init=np.arange(6.0).reshape(3, 2))
    loss = ab.sum(table * 2.0) + ab.sum(table[1] * 3.0)
    loss.backward()
    np.testing.assert_allclose(table.gradient(), [[2, 2], [5, 5], [2, 2]])


def test_the_gradient_of_a_view_is_its_own() -> None:
    """Not that of the memory it lies in, which other readers reach, too."""
    x = ab.input([1.0, 2.0, 3.0, 4.0])
    y = ab.square(x)
    front = y[0:3]
    inner = front[1:3]
    loss = ab.sum(inner * y[2:4]) + ab.sum(y)
    loss.backward(wrt=[inner, front, y, x])
    np.testing.assert_allclose(inner.gradient(), [9, 16])
    np.testing.assert_allclose(front.gradient(), [0, 9, 16])
    np.testing.assert_allclose(y.gradient(), [1, 10, 21, 10])
    np.testing.assert_allclose(x.gradient(), [2, 40, 126, 80])


def test_no_gradient_passes_a_stop_however_it_is_viewed() -> None:
    x = ab.input([1.0, 2.0, 3.0, 4.0])
    piece = ab.reshape(ab.stop_gradient(x), (2, 2))[1]
    loss = ab.sum(piece * x[0:2])
    loss.backward(wrt=[x])
    np.testing.assert_allclose(x.gradient(), [3, 4, 0, 0])
    loss.backward(wrt=[x, piece])
    np.testing.assert_allclose(x.gradient(), [3, 4, 0, 0])
    np.testing.assert_allclose(piece.gradient(), [1, 2])


def test_what_is_not_a_number_stays_where_it_is() -> None:
    w = ab.Parameter(init=np.ones((2, 2)))
    table = ab.Lookup(init=np.ones((3, 2)))
    good = ab.tanh(w @ (ab.input([0.1, 0.2]) * table[0]))
    bad = ab.tanh(w @ (ab.input([np.nan, np.inf]) * table[1]))
    values = ab.values([good, bad])
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).any()
    ab.sum(good).backward()
    assert np.isfinite(w.gradient()).all()
    assert np.isfinite(table.gradient()).all()
    assert not table.gradient()[1:].any()


def test_many_readers_of_one_node() -> None:
    x = ab.input([1.0, 2.0])
    y = x * 1.0
    loss = ab.sum([ab.sum(y * float(i)) for i in range(200)])
    loss.backward(wrt=[x, y])
    np.testing.assert_allclose(x.gradient(), [sum(range(200))] * 2)
    np.testing.assert_allclose(y.gradient(), [sum(range(200))] * 2)


def test_one_node_twice_in_one_op() -> None:
    x = ab.input([2.0, 3.0])
    m = ab.input([[1.0, 2.0], [3.0, 4.0]])
    loss = ab.sum(x * x) + ab.sum(ab.concat([x, x, x])) + ab.sum(m @ m)
    loss.backward(wrt=[x, m])
    np.testing.assert_allclose(x.gradient(), [7, 9])
    np.testing.assert_allclose(m.gradient(), [[7, 11], [9, 13]])


@pytest.mark.parametrize("frozen", [False, True])
def test_operands_that_are_one_memory(frozen: bool) -> None:
    """lstm_cell makes both gradients at once, unless they overlap or one is not wanted."""
    generator = np.random.default_rng(3)
    with ab.configure(dtype="float64"):
        many = [ab.Parameter(init=generator.normal(size=80)) for _ in range(2)]
        one = ab.Parameter(init=generator.normal(size=16))
        one.trainable = not frozen

    def loss() -> ab.Expression:
        found = []
        for p in many:
            both = ab.tanh(p * 1.0)
            found.append(ab.lstm_cell(both[:64], both[48:64]))  # c lies in the gates
            found.append(ab.lstm_cell(both[16:], both[:16]))  # beside them, in one node
            found.append(ab.lstm_cell(both[:64], one))  # one c for all
            found.append(ab.lstm_cell(both[:64], ab.exp(one)))
        return ab.sum([ab.sum(ab.square(y)) for y in found])

    with ab.configure(dtype="float64"):
        check_gradient(loss, *many, *([] if frozen else [one]))


@pytest.mark.parametrize("fixed", [{}, {0: 0}, {0: 2, 2: 0}, {1: 4}, {0: 0, 1: 5, 2: 9}])
def test_rows_of_many_operands_some_of_which_are_constant(fixed: dict[int, int]) -> None:
    """One batch; of row r, operand fixed[r] depends on no parameter."""
    generator = np.random.default_rng(4)
    with ab.configure(dtype="float64"):
        tables = [
            [ab.Parameter(init=generator.normal(size=3)) for _ in range(10)] for _ in range(3)
        ]
        numbers = generator.normal(size=(3, 3))

        def operand(row: int, place: int) -> ab.Expression:
            constant = fixed.get(row) == place
            return ab.tanh(ab.input(numbers[row]) if constant else tables[row][place])

        def loss() -> ab.Expression:
            tops = [ab.max([operand(row, place) for place in range(10)]) for row in range(3)]
            return ab.sum([ab.sum(ab.square(top)) for top in tops])

        places = [(row, place) for row in range(3) for place in range(10)]
        used = [tables[row][place] for row, place in places if fixed.get(row) != place]
        check_gradient(loss, *used)


def test_operands_of_two_rows_that_are_one_memory(backend: str) -> None:
    """What is one row's c lies in another row's gates: threads do not add to it at once."""
    if backend != "cpu":
        pytest.skip("the engine's threads are the CPU's")
    generator, d = np.random.default_rng(3), 8192
    many = [ab.Parameter(init=generator.normal(size=4 * d)) for _ in range(3)]

    def gradients(loss: ab.Expression) -> np.ndarray:
        for p in many:
            p.zero_grad()
        loss.backward()
        return np.stack([p.gradient() for p in many])

    def recorded(offset: int) -> ab.Expression:
        ab.new_graph()
        x, y, z = [ab.exp(p) for p in many]
        cells = [ab.lstm_cell(x, y[offset : offset + d]), ab.lstm_cell(y, z[:d])]
        return ab.sum(ab.stack([ab.sum(cell) for cell in cells]))

    for offset in range(64, 1024, 64):
        with ab.configure(threads=2):
            loss = recorded(offset)
            found = [gradients(loss) for _ in range(50)]
        with ab.configure(threads=1):
            expected = gradients(recorded(offset))
        np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-5)
        assert all(np.array_equal(one, found[0]) for one in found)


def test_rows_that_overlap() -> None:
    """A window that slides: views of one profile that lie in each other's memory."""
    x = ab.input(np.arange(10.0))
    y = x * 1.0
    loss = ab.sum([ab.sum(ab.square(y[i : i + 4])) for i in range(7)])
    loss.backward(wrt=[x])
    times = [1, 2, 3, 4, 4, 4, 4, 3, 2, 1]
    np.testing.assert_allclose(x.gradient(), 2 * np.arange(10.0) * times)


def test_values_and_gradients_mix_with_recording() -> None:
    w = ab.Parameter(init=[[0.5, -0.25], [0.75, 1.0]])
    h, seen = ab.input([1.0, -1.0]), []
    for _ in range(5):
        h = ab.tanh(w @ h)
        seen.append(h.value())
    loss = ab.sum(h)
    loss.backward()
    expected = w.gradient()
    w.zero_grad()
    ab.new_graph()
    h = ab.input([1.0, -1.0])
    for want in seen:
        h = ab.tanh(w @ h)
        with ab.inference() if hasattr(ab, "inference") else ab.configure():
            np.testing.assert_allclose(h.value(), want, rtol=1e-6)
    ab.sum(h).backward()
    np.testing.assert_allclose(w.gradient(), expected, rtol=1e-5)


def test_computed_weights_get_their_gradient_once() -> None:
    with ab.configure(dtype="float64"):
        ab.new_graph()
        w = ab.Parameter(init=np.arange(6.0).reshape(2, 3) / 6)
        scale = ab.Parameter(init=[[2.0, 1.0, 0.5]])
        xs = [np.arange(3.0) + i for i in range(4)]

        def loss() -> ab.Expression:
            scaled = ab.tanh(w) * scale
            tied = ab.transpose(scaled)
            return ab.sum([ab.sum(ab.tanh(tied @ ab.tanh(scaled @ ab.input(x)))) for x in xs])

        check_gradient(loss, w, scale)


def test_a_small_model_of_everything() -> None:
    with ab.configure(dtype="float64"):
        ab.new_graph()
        table = ab.Lookup(9, 5)
        w, u, b = ab.Parameter((6, 5)), ab.Parameter((6, 6)), ab.Parameter(6, init=0.1)
        out = ab.Parameter((4, 6))

        def loss() -> ab.Expression:
            losses = []
            for words, label in (([1, 2, 3], 0), ([4, 1], 3), ([8, 8, 8, 0], 1), ([2], 2)):
                h = ab.zeros(6)
                for word in words:
                    h = ab.tanh(ab.affine(b, w, table[word], u, ab.dropout(h, 0.2)))
                losses.append(ab.cross_entropy(out @ h, label))
            return ab.mean(losses)

        check_gradient(loss, table, w, u, b, out)


def test_the_loss_must_be_a_scalar() -> None:
    x = ab.input([1.0, 2.0])
    with pytest.raises(ab.GradientError, match=r"\(2,\)"):
        (x * 2.0).backward()
    batched = ab.input(np.ones((3, 1)), batched=True)
    with pytest.raises(ab.GradientError):
        ab.sum(batched).backward()


def test_a_gradient_that_was_not_asked_for() -> None:
    x = ab.input([1.0, 2.0])
    y = x * 2.0
    ab.sum(y).backward(wrt=[y])
    with pytest.raises(ab.GradientError):
        x.gradient()


def test_passes_over_the_same_graph_again(dtype, rng) -> None:
    """What a pass found out is kept for the next of the same graph: nothing may be out of date."""
    W, b = ab.Parameter(init=rng.normal(size=(4, 3))), ab.Parameter(init=rng.normal(size=4))
    V, table = ab.Parameter(init=rng.normal(size=(2, 4))), ab.Lookup(5, 3)
    graph = ab.new_graph()
    x = ab.recording.placeholder((3,))
    hidden = ab.tanh(W @ x + b)
    loss, other = ab.sum(V @ hidden), ab.dot(hidden, hidden)
    rows = ab.sum(ab.tanh(table[1] * x))

    def gradients(of: ab.Expression, wrt: bool = False) -> list[np.ndarray | None]:
        for parameter in (W, b, V, table):
            parameter.zero_grad()
        engine.forget(graph)
        of.backward([x] if wrt else [])
        found = [p.gradient() for p in (W, b, V, table)]
        return [*found, engine.gradient(x) if wrt else None]

    def expected(of: str, wrt: bool) -> list[np.ndarray | None]:
        with ab.new_graph():
            y = ab.input(numbers)
            h = ab.tanh(W @ y + b)
            made = {
                "loss": lambda: ab.sum(V @ h),
                "other": lambda: ab.dot(h, h),
                "rows": lambda: ab.sum(ab.tanh(table[1] * y)),
            }[of]()
            for parameter in (W, b, V, table):
                parameter.zero_grad()
            made.backward([y] if wrt else [])
            found = [p.gradient() for p in (W, b, V, table)]
            return [*found, engine.gradient(y) if wrt else None]

    of_name = {"loss": loss, "other": other, "rows": rows}
    for step in range(60):
        numbers = rng.normal(size=3)
        engine.write(x, numbers)
        of = str(rng.choice(["loss", "loss", "loss", "other", "rows"]))
        wrt = step % 7 == 3
        if step % 5 == 4:
            b.trainable = not b.trainable
        if step % 11 == 10:  # the graph grows
            of_name["loss"] = of_name["loss"] * 1.0
        weights = W._data
        weights += 0.1
        W._touch()
        for mine, theirs in zip(gradients(of_name[of], wrt), expected(of, wrt), strict=True):
            assert (mine is None) == (theirs is None)
            if mine is not None:
                np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ab.full(3, 2.0),
        lambda: ab.one_hot(1, 3),
        lambda: ab.random_normal(3),
        lambda: ab.stop_gradient(ab.input([1.0, 2.0, 3.0]) * 2.0),
    ],
)
def test_gradients_of_constants(make) -> None:
    x, w = make(), ab.Parameter(init=[1.0, 2.0, 3.0])
    loss = ab.sum(ab.square(x * w))
    loss.backward()
    for _ in range(2):
        loss.backward(wrt=[x])
        np.testing.assert_allclose(x.gradient(), 2 * x.value() * np.array([1, 4, 9]), rtol=1e-6)


@pytest.mark.parametrize("size", [2, 128, 129])
@pytest.mark.parametrize("batched", [False, True])
def test_an_input_is_a_leaf_of_its_own(size: int, batched: bool) -> None:
    content = np.ones((2, size)) if batched else np.ones(size)
    x, y = (ab.input(content, batched=batched) for _ in range(2))
    loss = ab.sum(x * 3.0 + y * 5.0)
    (ab.sum_batch(loss) if batched else loss).backward(wrt=[x, y])
    np.testing.assert_array_equal(x.gradient(), np.full_like(content, 3.0))
    np.testing.assert_array_equal(y.gradient(), np.full_like(content, 5.0))


def test_constants_are_shared_and_have_no_gradient() -> None:
    p = ab.Parameter(init=[1.0, 2.0])
    two = ab.constant([2.0, 3.0])
    assert two.node == ab.constant(np.array([2.0, 3.0])).node
    nodes = [(p * np.array([2.0, 3.0])).node, (p * two).node]
    assert nodes[0] == nodes[1]
    assert ab.zeros(3).node == ab.zeros(3).node
    with pytest.raises(ab.OperandError, match=r"constant has no gradient .*ab\.input"):
        ab.sum(p * two).backward(wrt=[two])


def test_a_node_named_twice_is_told() -> None:
    table = ab.Lookup(init=np.ones((3, 2)))
    loss = ab.sum(table[1] * 3.0 + table[1] * 5.0)
    with pytest.raises(ab.OperandError, match=r"one node, a lookup .*sharing=False"):
        loss.backward(wrt=[table[1], table[1]])
    assert table.gradient() is None
    with ab.configure(sharing=False):
        ab.new_graph()
        first, second = table[1], table[1]
        ab.sum(first * 3.0 + second * 5.0).backward(wrt=[first, second])
    np.testing.assert_array_equal(first.gradient(), [3.0, 3.0])
    np.testing.assert_array_equal(second.gradient(), [5.0, 5.0])
