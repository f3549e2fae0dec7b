"""Long sums, squares beyond the range, derivatives of what does not change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autobatch as ab

MANY = 1_000_000
#: A number whose running sum in float32 is off by 1 % long before that of ones stops at 2^24.
TENTH = float(np.float32(0.1))

BACKENDS = ("cpu", "numpy")
TYPES = ("float32", "float64")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Any:
    with ab.configure(backend=request.param):
        yield request.param


REDUCTIONS: dict[str, tuple[Callable[..., Any], float]] = {
    "sum": (ab.sum, TENTH * MANY),
    "mean": (ab.mean, TENTH),
    "norm": (ab.norm, TENTH * math.sqrt(MANY)),
    "logsumexp": (ab.logsumexp, TENTH + math.log(MANY)),
    "second moment": (lambda x, axis: ab.moment(x, 2, axis=axis), TENTH**2),
    "last of cumsum": (
        lambda x, axis: ab.cumsum(x, axis=axis)[(slice(None),) * axis + (-1,)],
        TENTH * MANY,
    ),
    "softmax": (lambda x, axis: ab.max(ab.softmax(x, axis=axis), axis=axis), 1 / MANY),
    "log_softmax": (
        lambda x, axis: ab.max(ab.log_softmax(x, axis=axis), axis=axis),
        -math.log(MANY),
    ),
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_a_million_numbers_are_right_along_any_axis(
    name: str, axis: int, backend: str
) -> None:
    shape = (MANY, 2) if axis == 0 else (2, MANY)
    reduce, wanted = REDUCTIONS[name]
    got = reduce(ab.input(np.full(shape, TENTH, np.float32)), axis=axis).value()
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


LOSSES: dict[str, tuple[Callable[..., Any], float]] = {
    "cross_entropy": (lambda x: ab.cross_entropy(x, 3), math.log(MANY)),
    "dot": (lambda x: ab.dot(x, x), MANY * TENTH**2),
    "squared_error": (lambda x: ab.squared_error(x, np.zeros(MANY)), MANY * TENTH**2),
    "absolute_error": (lambda x: ab.absolute_error(x, np.zeros(MANY)), MANY * TENTH),
    "huber": (lambda x: ab.huber(x, np.zeros(MANY)), MANY * TENTH**2 / 2),
    "hinge": (lambda x: ab.hinge(x, 3), MANY - 1.0),
    "soft cross entropy": (
        lambda x: ab.cross_entropy(x, np.full(MANY, 1 / MANY)),
        math.log(MANY),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_a_million_numbers_are_right(name: str, backend: str) -> None:
    loss, wanted = LOSSES[name]
    got = loss(ab.input(np.full(MANY, TENTH, np.float32))).item()
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize("op", [ab.sum_batch, ab.mean_batch])
@pytest.mark.parametrize("width", [1, 3])
def test_sums_over_a_minibatch_of_many_are_right(
    op: Callable[..., Any], width: int, backend: str
) -> None:
    x = ab.input(np.full((200_000, width), TENTH, np.float32), batched=True)
    wanted = TENTH * (200_000 if op is ab.sum_batch else 1)
    np.testing.assert_allclose(op(x).value(), wanted, rtol=1e-6)


@pytest.mark.parametrize("scale", ["largest", "least"])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 2)])
def test_norm_deviation_and_normalised_numbers_of_large_or_small_ones_are_ordinary(
    scale: str, dtype: str, shape: tuple[int, ...], backend: str
) -> None:
    info = np.finfo(dtype)
    size = float(info.max) / 64 if scale == "largest" else float(info.tiny) * 64
    plain = np.broadcast_to(np.reshape([3.0, 0.0, -3.0], (3,) + (1,) * (len(shape) - 1)), shape)
    with ab.configure(dtype=dtype):
        for op in (ab.norm, ab.std):
            p = ab.Parameter(init=plain * size)
            y = op(p, axis=0)
            ab.sum(y).backward()
            root = math.sqrt(2) if op is ab.norm else math.sqrt(2 / 3)
            np.testing.assert_allclose(y.value(), 3 * root * size, rtol=1e-6)
            slope = plain / 3 / root / (1 if op is ab.norm else 3)
            np.testing.assert_allclose(p.gradient(), slope, rtol=1e-5)
        if len(shape) == 1:
            y = ab.layer_norm(ab.input(plain * size), epsilon=0.0)
            np.testing.assert_allclose(y.value(), [1.5**0.5, 0, -(1.5**0.5)], rtol=1e-5)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e30, -7e-30, 5e-39])
@pytest.mark.parametrize("dtype", TYPES)
def test_equal_numbers_have_no_deviation_and_no_gradient(
    value: float, dtype: str, backend: str
) -> None:
    with ab.configure(dtype=dtype):
        for shape, axis in (((7,), 0), ((7, 3), 0), ((3, 7), 1), ((1001,), 0)):
            p = ab.Parameter(init=np.full(shape, value))
            y = ab.std(p, axis=axis)
            ab.sum(y).backward()
            assert not np.any(y.value())
            assert not np.any(p.gradient())
        p = ab.Parameter(init=np.full(7, value))
        y = ab.std_batch(ab.concat_batch([p[i] for i in range(7)]))
        y.backward()
        assert y.item() == 0
        assert not np.any(p.gradient())


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("value", [-1e-10, -1e-15, -1e-20, -1e-30, 1e-30])
def test_the_derivative_of_lgamma_next_to_zero_is_minus_the_inverse(
    value: float, dtype: str, backend: str
) -> None:
    with ab.configure(dtype=dtype):
        p = ab.Parameter(init=[value])
        ab.sum(ab.lgamma(p)).backward()
        np.testing.assert_allclose(p.gradient(), -1 / p.value(), rtol=1e-6)
