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

# The wheel is wrong here; the values are checked, the gradients against differences.
GRADIENTS_WRONG: dict[str, str] = {}


def close(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    # Relative to the size of the whole: single precision loses where terms cancel.
    size = np.abs(expected[np.isfinite(expected)]).max(initial=1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * size)


@pytest.mark.parametrize("this", CASES, ids=lambda this: this.name)
def test_agrees_with_the_wheel(this: Case) -> None:
    for key, found in outcome(dy, this).items():
        if this.name in GRADIENTS_WRONG and key.startswith("d") and key != "dims":
            continue
        close(found, RECORDED[f"{this.name}|{key}"])


@pytest.mark.parametrize("this", CASES, ids=lambda this: this.name)
def test_agrees_with_the_wheel_at_hand(this: Case) -> None:
    pytest.importorskip("_dynet", reason="dyNET38 is not installed")
    import dynet as wheel

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
        for y in ys:
            close(y.npvalue(), RECORDED[f"{this.name}|value"])
