"""Every operation that both have agrees with the wheel: values, dimensions and gradients.

Recorded results stand in for the wheel; where it is installed, it is asked, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, RANDOM, Case, arrays, drawn, outcome

import autobatch.dynet as dy


def _recorded() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("operations.npz")) as file:
        numbers, index = file["numbers"], json.loads(str(file["index"]))
    found, at = {}, 0
    for key, shape in index.items():
        size = int(np.prod(shape))
        found[key] = numbers[at : at + size].reshape(shape)
        at += size
    return found


RECORDED = _recorded()

# What the wheel computes wrongly: by case, the results that are not compared, and why.
WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "silu beta": (("d0",), "the gradient lacks a factor beta"),
    "logsumexp_dim 1 0": (("value", "d0"), "as many results as the first dimension lacks are 0"),
    "logsumexp_dim 1 1": (("value", "d0"), "as many results as the first dimension lacks are 0"),
    "binary_log_loss": (("d1",), "the target's gradient is another function's"),
    "poisson_loss": (("d0",), "what flows in from above is left out"),
    "vanilla_lstm_gates_dropout_concat": (("d5", "d6"), "masks get no gradient"),
    "round straight_through_gradient": (("d0",), "it is zero"),
    "ceil straight_through_gradient": (("d0",), "it is zero"),
    "floor straight_through_gradient": (("d0",), "it is zero"),
}


def close(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    # Relative to the size of the whole: single precision loses where terms cancel.
    size = np.abs(expected[np.isfinite(expected)]).max(initial=1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * size)


@pytest.mark.parametrize("this", CASES, ids=lambda this: this.name)
def test_agrees_with_the_wheel(this: Case) -> None:
    for key, found in outcome(dy, this).items():
        if key not in WRONG.get(this.name, ((), ""))[0]:
            close(found, RECORDED[f"{this.name}|{key}"])


@pytest.mark.parametrize("this", CASES, ids=lambda this: this.name)
def test_agrees_with_the_wheel_at_hand(this: Case) -> None:
    pytest.importorskip("_dynet", reason="dyNET38 is not installed")
    import dynet as wheel

    if this.name in WRONG or this.name.startswith("contract3d") or "zero_grad" in this.name:
        pytest.skip("depends on what the wheel's memory held before")
    for key, expected in outcome(wheel, this).items():
        close(RECORDED[f"{this.name}|{key}"], expected)


def test_everything_recorded_is_a_case() -> None:
    assert {key.partition("|")[0] for key in RECORDED} == {this.name for this in CASES} | {"random"}


DRAWN = drawn(dy)


@pytest.mark.parametrize("name", [*RANDOM, "again", "after", "parameter"])
def test_random_numbers_are_those_of_the_wheel(name: str) -> None:
    # The logarithm of the wheel's C library differs in the last bit.
    exact = "normal" not in name and name not in ("noise", "random_gumbel")
    found, expected = DRAWN[name].astype(np.float32), RECORDED[f"random|{name}"]
    if exact:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_where_the_wheel_is_wrong_we_are_right() -> None:
    dy.renew_cg()
    numbers = np.array([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]])
    x = dy.inputTensor(numbers)
    for d in (0, 1):
        expected = np.log(np.exp(numbers).sum(axis=d))
        np.testing.assert_allclose(dy.logsumexp_dim(x, d).npvalue(), expected, rtol=1e-6)
    dy.sum_elems(dy.round(x, "straight_through_gradient") * 3).backward(full=True)
    np.testing.assert_array_equal(x.gradient(), np.full((2, 3), 3.0))
    dy.sum_elems(dy.silu(x, 1.5)).backward(full=True)
    s = 1 / (1 + np.exp(-1.5 * numbers))
    np.testing.assert_allclose(x.gradient(), s + 1.5 * numbers * s * (1 - s), rtol=1e-5)
    p, y = dy.scalarInput(0.3), dy.scalarInput(0.8)
    (dy.binary_log_loss(p, y) * 2).backward(full=True)
    np.testing.assert_allclose(y.gradient(), [2 * np.log(0.7 / 0.3)], rtol=1e-5)
    rate = dy.scalarInput(0.5)
    (dy.poisson_loss(rate, 3) * 2).backward(full=True)
    np.testing.assert_allclose(rate.gradient(), [2 * (np.exp(0.5) - 3)], rtol=1e-5)


def test_many_batch_with_themselves() -> None:
    """The same calls, all in one graph and run together, give the same numbers."""
    dy.renew_cg()
    results = []
    for this in CASES:
        xs = [
            dy.inputTensor(array, batched=of.batch > 1)
            for array, of in zip(arrays(this), this.inputs, strict=True)
        ]
        results.append((this, [this.call(dy, *xs) for _ in range(2)]))
    dy.forward([y for _, ys in results for y in ys])
    for this, ys in results:
        for y in ys if "value" not in WRONG.get(this.name, ((), ""))[0] else ():
            close(y.npvalue(), RECORDED[f"{this.name}|value"])


def test_the_divisor_that_counts_for_means_only() -> None:
    dy.renew_cg()
    x = dy.inputTensor(np.arange(6.0).reshape(2, 3))
    assert dy.mean_dim(x, [0], False, n=4).value() == [0.75, 1.25, 1.75]
    assert dy.sum_dim(x, d=[0], b=False, n=4).value() == [3.0, 5.0, 7.0]
    np.testing.assert_allclose(dy.std_dim(x, [0], False, n=4).value(), [1.5, 1.5, 1.5], rtol=1e-6)
