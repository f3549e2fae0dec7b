"""Public functions that record several ops, against NumPy; and surrogate gradients."""

from __future__ import annotations

import numpy as np
import pytest

import autobatch as ab
from autobatch.recording import recorder
from autobatch.testing import check_gradient, count_batches


def convolved(x, weight, bias, stride, padding):
    """A convolution by its definition."""
    filters, _, kh, kw = weight.shape
    if padding == "same":
        out = [-(-size // step) for size, step in zip(x.shape[1:], stride)]
        pad = [
            max((n - 1) * step + k - size, 0)
            for n, step, k, size in zip(out, stride, (kh, kw), x.shape[1:])
        ]
        x = np.pad(x, [(0, 0), *((p // 2, p - p // 2) for p in pad)])
    else:
        out = [(size - k) // step + 1 for size, k, step in zip(x.shape[1:], (kh, kw), stride)]
    y = np.empty((filters, *out))
    for i, j in np.ndindex(*out):
        part = x[:, i * stride[0] : i * stride[0] + kh, j * stride[1] : j * stride[1] + kw]
        y[:, i, j] = (weight * part).sum(axis=(1, 2, 3)) + bias
    return y


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("learned", [True, False])
def test_conv2d_is_its_definition(stride, padding, learned, backend, rng) -> None:
    x, weight, bias = (rng.normal(size=s) for s in ((2, 6, 7), (4, 2, 3, 2), (4,)))
    held = ab.Parameter(init=weight) if learned else ab.input(weight)
    y = ab.conv2d(x, held, bias, stride, padding)
    np.testing.assert_allclose(y.value(), convolved(x, weight, bias, stride, padding), atol=1e-5)
    batched = ab.conv2d(ab.input(np.stack([x, -x]), batched=True), held, bias, stride, padding)
    assert batched.batch_size == 2
    np.testing.assert_allclose(
        batched.value()[1], convolved(-x, weight, bias, stride, padding), atol=1e-5
    )


def test_conv2d_has_the_gradients_of_its_definition(backend, rng) -> None:
    with ab.configure(dtype="float64"):
        x, weight, bias = (
            ab.Parameter(init=rng.normal(size=s)) for s in ((2, 5, 6), (3, 2, 2, 3), (3,))
        )
        target = rng.normal(size=(3, 3, 3))

        def loss():
            return ab.squared_error(ab.conv2d(x * 1.0, weight, bias, 2, "same"), target)

        check_gradient(loss, x, weight, bias)


def test_convolutions_with_one_weight_run_as_one_batch(rng) -> None:
    weight = ab.Parameter(init=rng.normal(size=(4, 2, 3, 3)))
    images = [ab.input(rng.normal(size=(2, 8, 8))) for _ in range(6)]
    assert count_batches(*(ab.conv2d(x, weight) for x in images)) == 3


def test_max_pool2d_is_its_definition(backend, rng) -> None:
    x = rng.normal(size=(3, 6, 8))
    expected = x.reshape(3, 3, 2, 4, 2).max(axis=(2, 4))
    np.testing.assert_allclose(ab.max_pool2d(x, 2).value(), expected, rtol=1e-6)
    whole = ab.max_pool2d(-np.abs(x), (3, 5), stride=1, padding="same").value()
    assert whole.shape == x.shape
    assert (whole < 0).all()


def test_filter1d_is_its_definition(backend, rng) -> None:
    x, weight, bias = (rng.normal(size=s) for s in ((7, 3), (4, 2, 3), (4,)))
    expected = [[(f * x[i : i + 2]).sum() for f in weight] + bias for i in range(6)]
    np.testing.assert_allclose(ab.filter1d(x, weight, bias).value(), expected, atol=1e-5)


def test_fold_sliding_sum_tensordot_trace(backend, rng) -> None:
    x, cube, a = (rng.normal(size=s) for s in ((6, 4), (4, 2, 3), (3, 6)))
    np.testing.assert_allclose(ab.fold(x, 3, axis=0).value(), x.reshape(2, 3, 4).sum(1), atol=1e-5)
    np.testing.assert_allclose(
        ab.sliding_sum(x, 3, axis=1).value(), x[:, :2] + x[:, 1:3] + x[:, 2:], atol=1e-5
    )
    for held in (cube, ab.Parameter(init=cube)):
        product = ab.tensordot(x, held).value()
        np.testing.assert_allclose(product, np.tensordot(x, cube, 1), atol=1e-5)
    np.testing.assert_allclose(
        ab.tensordot(x, np.ones((6, 4, 2)), 2).value(), np.full(2, x.sum()), atol=1e-5
    )
    other = rng.normal(size=(6, 3))
    np.testing.assert_allclose(ab.trace_of_product(a, other).item(), np.trace(a @ other), atol=1e-5)


def test_deviations_over_any_axes(backend, rng) -> None:
    x = rng.normal(size=(3, 4, 5))
    for axis in (None, 1, -1, (0, 2), (0, 1), (2, 0), ()):
        for keepdims in (False, True):
            np.testing.assert_allclose(
                ab.std(x, axis, keepdims).value(), x.std(axis, keepdims=keepdims), atol=1e-5
            )
            np.testing.assert_allclose(
                ab.moment(x, 3, axis, keepdims).value(),
                (x**3).mean(axis, keepdims=keepdims),
                atol=1e-5,
            )
    batched = ab.input(x, batched=True)
    np.testing.assert_allclose(ab.std_batch(batched).value(), x.std(axis=0), atol=1e-5)
    moment = ab.moment_batch(batched, 2).value()
    np.testing.assert_allclose(moment, (x**2).mean(axis=0), atol=1e-5)


def test_layer_norm_without_gain_and_weight_norm(backend, rng) -> None:
    x = rng.normal(size=(3, 5))
    expected = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    np.testing.assert_allclose(ab.layer_norm(x, epsilon=0).value(), expected, atol=1e-5)
    np.testing.assert_array_equal(ab.layer_norm(ab.ones(4), epsilon=0).value(), np.zeros(4))
    normed = ab.weight_norm(ab.Parameter(init=x), 2.0)
    np.testing.assert_allclose(np.linalg.norm(normed.value()), 2, rtol=1e-5)


def test_elements_move_between_minibatch_and_axis(backend, rng) -> None:
    x, y = rng.normal(size=(3, 2, 4)), rng.normal(size=(2, 4))
    batched = ab.input(x, batched=True)
    both = ab.concat_batch([batched * 2.0, ab.input(y), ab.tanh(batched)])
    assert (both.shape, both.batch_size) == ((2, 4), 7)
    expected = np.concatenate([2 * x, y[None], np.tanh(x)])
    np.testing.assert_allclose(both.value(), expected, atol=1e-5)
    np.testing.assert_allclose(ab.batch_to_axis(both).value(), expected, atol=1e-5)
    picked = ab.pick_batch_elements(both, [-1, 0, 0])
    np.testing.assert_allclose(picked.value(), expected[[-1, 0, 0]], atol=1e-5)
    # Views of the new minibatch: parts, elements, another shape.
    np.testing.assert_allclose(both[1].value(), expected[:, 1], atol=1e-5)
    np.testing.assert_allclose(both[1, 1:3].value(), expected[:, 1, 1:3], atol=1e-5)
    np.testing.assert_allclose(ab.pick_batch_element(both, 3).value(), y, atol=1e-5)
    np.testing.assert_allclose(ab.reshape(both, 8).value(), expected.reshape(7, 8), atol=1e-5)
    np.testing.assert_allclose(ab.sum_batch(both[0]).value(), expected[:, 0].sum(0), atol=1e-5)


def test_gradients_pass_between_minibatch_and_axis(backend, rng) -> None:
    weights = rng.normal(size=(4, 2, 3))
    x, y = ab.input(rng.normal(size=(3, 2, 3)), batched=True), ab.input(rng.normal(size=(2, 3)))
    both = ab.concat_batch([x * 1.0, y])
    picked = ab.pick_batch_elements(both, [0, 3, 3])
    loss = ab.sum_batch(ab.dot(both, ab.input(weights, batched=True)))
    loss = loss + ab.sum(ab.sum_batch(picked[0])) + ab.sum(ab.pick_batch_element(both, 2)[1])
    loss.backward(wrt=[x, y, both, picked])
    extra = np.zeros((4, 2, 3))
    extra[0, 0] += 1
    extra[3, 0] += 2
    extra[2, 1] += 1
    np.testing.assert_allclose(both.gradient(), weights + extra, atol=1e-5)
    np.testing.assert_allclose(x.gradient(), (weights + extra)[:3], atol=1e-5)
    np.testing.assert_allclose(y.gradient(), (weights + extra)[3], atol=1e-5)
    expected = np.zeros((3, 2, 3))
    expected[:, 0] = 1
    np.testing.assert_allclose(picked.gradient(), expected)


def test_take_and_sparse_input(backend, rng) -> None:
    x = rng.normal(size=(3, 4, 2))
    for axis in (0, 1, -1):
        taken = ab.take(x, [1, -1, 1], axis)
        np.testing.assert_allclose(taken.value(), np.take(x, [1, -1, 1], axis), rtol=1e-6)
    with pytest.raises(ab.IndexRangeError, match="take"):
        ab.take(x, [4], 1)
    sparse = ab.sparse_input([[0, 1], [1, 1]], [2.0, 3.0], (2, 3), default=-1.0, batched=True)
    np.testing.assert_array_equal(sparse.value(), [[-1, 2, -1], [-1, 3, -1]])
    with pytest.raises(ab.OperandError, match="sparse_input: expected 2"):
        ab.sparse_input([[0]], [1.0], (2, 2))
    with pytest.raises(ab.IndexRangeError, match="sparse_input"):
        ab.sparse_input([[2], [0]], [1.0], (2, 2))


def test_surrogate_gradients(backend) -> None:
    x, y = ab.input([0.3, 1.7]), ab.input([3.0, 4.0])
    rounded = ab.straight_through(ab.round(x), x)
    np.testing.assert_array_equal(rounded.value(), [0, 2])
    loss = ab.dot(rounded, y) + ab.sum(ab.scale_gradient(y, 10)) - ab.sum(ab.reverse_gradient(y))
    loss.backward(wrt=[x, y])
    np.testing.assert_allclose(x.gradient(), [3, 4])
    np.testing.assert_allclose(y.gradient(), [11, 13])


def test_distributions_have_their_moments(backend) -> None:
    n = 40000
    uniform = ab.random_uniform(n, low=-1, high=3).value()
    assert abs(uniform.mean() - 1) < 0.03
    assert uniform.min() >= -1
    assert uniform.max() < 3
    normal = ab.random_normal(n, mean=1, deviation=2).value()
    assert abs(normal.mean() - 1) < 0.05
    assert abs(normal.std() - 2) < 0.05
    assert abs(((normal - 1) ** 4).mean() / 16 - 3) < 0.2
    gumbel = ab.random_gumbel(n).value()
    assert abs(gumbel.mean() - np.euler_gamma) < 0.03
    assert abs(gumbel.var() - np.pi**2 / 6) < 0.1
    coins = ab.random_bernoulli(n, probability=0.3, value=2.0).value()
    assert abs(coins.mean() - 0.6) < 0.03
    x = ab.random_normal((2, 3), batch_size=4)
    assert (x.shape, x.batch_size) == ((2, 3), 4)
    assert len(np.unique(x.value())) == 24
    assert not np.array_equal(ab.random_normal(3).value(), ab.random_normal(3).value())


def test_categorical_draws_in_proportion(backend) -> None:
    logits = ab.input(np.log(np.tile([0.1, 0.2, 0.7], (20000, 1))))
    counts = np.bincount(ab.categorical(logits).value(), minlength=3) / 20000
    np.testing.assert_allclose(counts, [0.1, 0.2, 0.7], atol=0.02)


def test_dropout_of_axes_elements_and_everything(backend) -> None:
    x = np.ones((4, 200, 3))
    batched = ab.input(x, batched=True)
    columns = ab.dropout_axes(batched, 0.5, 0).value()
    assert (columns == columns[:, :1]).all()
    assert set(np.unique(columns)) == {0, 2}
    elements = ab.dropout_batch(ab.input(x.reshape(800, 3), batched=True), 0.75).value()
    assert (elements == elements[:, :1]).all()
    assert set(np.unique(elements)) == {0, 4}
    whole = [ab.block_dropout(batched, 0.5).value() for _ in range(20)]
    assert {value.mean() for value in whole} == {0, 2}
    assert ab.block_dropout(batched, 0) is batched
    noisy = ab.noise(batched, 0.1).value()
    assert noisy.shape == x.shape
    assert 0.09 < noisy.std() < 0.11


def test_restricted_log_softmax_passes_no_gradient_to_the_others(backend, rng) -> None:
    x = ab.input(rng.normal(size=5))
    y = ab.log_softmax(x, restrict=[3, 1, 3])
    value = y.value()
    assert np.isneginf(value[[0, 2, 4]]).all()
    np.testing.assert_allclose(np.exp(value[[1, 3]]).sum(), 1, rtol=1e-5)
    ab.dot(ab.softmax(y), ab.ones(5) * y.value()[3]).backward(wrt=[x])
    ab.new_graph()
    x = ab.input(rng.normal(size=5))
    ab.pick(ab.log_softmax(x, restrict=[1, 3]), 1).backward(wrt=[x])
    assert np.isfinite(x.gradient()).all()
    assert not x.gradient()[[0, 2, 4]].any()


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_numbers_end_no_kernel(special, rng) -> None:
    """What is NaN or infinite comes out as in the formulas, and every loop ends."""
    x = rng.normal(size=(4, 9))
    x[0, 3], x[1], x[2, :2] = special, special, special
    functions = [
        *(lambda x, f=f: f(x) for f in (ab.sparsemax, ab.hardmax, ab.cumsum, ab.logsumexp)),
        lambda x: ab.kmax(x, 3, axis=1),
        lambda x: ab.std(x, 1),
        lambda x: ab.layer_norm(x),
        lambda x: ab.max_pool2d(ab.reshape(x, (1, 4, 9)), 2),
        lambda x: ab.lgamma(x),
    ]

    def run() -> list[np.ndarray]:
        ab.new_graph()
        return [f(ab.input(x)).value() for f in functions]

    with ab.use("numpy"):
        expected = run()
    for got, want in zip(run(), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    bounds = np.full((4, 9), 0.3)
    ab.constrained_softmax(ab.input(x), bounds).value()


@pytest.mark.parametrize("where", ["cpu", "numpy"])
def test_losses_of_sure_probabilities_are_finite(where, dtype):
    """And what is no probability stays none, on every backend alike."""
    least = 2.0**-126  # that of float32, in both types
    p = np.array([0, 0, 1, 1, least / 4, 0.3, np.nan, -1, 2, 0, 1])
    t = np.array([1, 0, 0, 1, 1, 0.3, 1, 1, 0, 0.5, 0.5])
    with ab.configure(backend=where):
        ab.new_graph()
        x, y = ab.input(p), ab.input(t)
        loss = recorder("binary_cross_entropy")(x, y)
        ab.sum(loss).backward([x, y])
        value, dx, dt = loss.value(), x.gradient(), y.gradient()
    ab.new_graph()
    real = np.isin(np.arange(len(p)), [6, 7, 8], invert=True)
    assert np.isfinite(value[real]).all()
    assert np.isfinite(dx[real]).all()
    assert np.isfinite(dt[real]).all()
    assert np.isnan(value[~real]).all()
    top = -np.log(least)
    np.testing.assert_allclose(value[[0, 1, 2, 3, 4]], [top, 0, top, 0, top], rtol=1e-6)
    np.testing.assert_allclose(value[[9, 10]], top / 2, rtol=1e-6)
    np.testing.assert_allclose(dx[[0, 1, 3]], [-1 / least, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(dx[2], 1 / 2.0**-23)
