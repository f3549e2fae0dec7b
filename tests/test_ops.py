"""Every op on every backend and number type: value, gradient, batching."""

from __future__ import annotations

import numpy as np
import pytest
from formulas import batch_of, directional, form_of, formula
from recorded import make_operands, record_case, weighted_sum
from samples import SAMPLES, Case

import autobatch as ab

TOLERANCE = {"float32": {"rtol": 3e-5, "atol": 3e-5}, "float64": {"rtol": 1e-10, "atol": 1e-10}}
DIFFERENTIABLE = [
    case
    for case in SAMPLES
    if case.declaration.gradient is not None and case.shapes and not form_of(case).block_gradient
]

every_case = pytest.mark.parametrize("case", SAMPLES, ids=str)


def gradient_of(operand, expression) -> np.ndarray:
    """The gradient that reached an operand, an input or a parameter."""
    if operand is not expression:
        gradient = operand.gradient()
        return np.zeros(operand.shape) if gradient is None else gradient
    return operand.gradient()


@every_case
def test_value_is_the_formula(case: Case, dtype: str, backend: str, rng) -> None:
    arrays = case.operands(rng, dtype)
    expected = formula(case, [array.astype(np.float64) for array in arrays])
    value = record_case(case, make_operands(case, arrays)).value()
    assert value.dtype == (np.int64 if case.declaration.integer else np.dtype(dtype))
    np.testing.assert_allclose(value, expected, **TOLERANCE[dtype])


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_gradient_is_the_finite_difference(case: Case, dtype: str, backend: str, rng) -> None:
    arrays = case.operands(rng, dtype)
    exact = [array.astype(np.float64) for array in arrays]
    operands = make_operands(case, arrays)
    expression = record_case(case, operands)
    weights = rng.normal(size=formula(case, exact).shape)
    loss = weighted_sum([expression], [weights])
    loss.backward(wrt=[x for x in operands if isinstance(x, ab.Expression)])
    scale = 1e-4 if dtype == "float32" else 1e-6
    for j, operand in enumerate(operands):
        gradient = operand.gradient()
        assert gradient.shape == arrays[j].shape
        assert gradient.dtype == np.dtype(dtype)
        direction = rng.normal(size=arrays[j].shape)
        expected = directional(case, exact, j, weights, direction)
        size = np.abs(gradient * direction).sum() + 1
        np.testing.assert_allclose((gradient * direction).sum(), expected, atol=scale * size)


def scattered(case: Case, arrays: list[np.ndarray], i: int) -> list[ab.Expression]:
    """Operands that lie in different places: an input, a computed value, part of a larger one."""
    made = []
    for j, (array, batch) in enumerate(zip(arrays, case.batches)):
        place = (i + j) % 3
        if case.weights[j]:
            made.append(None)
        elif place == 0 or batch > 1:
            made.append(ab.input(array, batched=batch > 1) * 1.0)
        elif place == 1:
            made.append(ab.input(array))
        else:
            padded = np.concatenate([[9.0], array.reshape(-1), [9.0]])
            inside = (ab.input(padded) * 1.0)[1 : 1 + array.size]
            made.append(ab.reshape(inside, array.shape))
    return made


@pytest.mark.parametrize("case", [c for c in SAMPLES if c.shapes], ids=str)
def test_batched_equals_alone(case: Case, dtype: str, backend: str, rng) -> None:
    """Seven nodes in one batch, two of them with the same operand twice, equal the formula."""
    count = 7
    held = case.operands(rng, dtype)
    sets = [case.operands(rng, dtype) for _ in range(count)]
    for arrays in sets:
        for j, weight in enumerate(case.weights):
            if weight:
                arrays[j] = held[j]
    sets[4] = sets[3]
    parameters = [
        ab.Parameter(init=array) if weight else None for array, weight in zip(held, case.weights)
    ]
    with_gradient = case.declaration.gradient is not None and not form_of(case).block_gradient
    expected = [formula(case, [a.astype(np.float64) for a in arrays]) for arrays in sets]
    weights = [rng.normal(size=value.shape) for value in expected]

    def gradients(batched: bool):
        """Values, and gradients of all operands and parameters."""
        ab.new_graph()
        operands = [scattered(case, arrays, i) for i, arrays in enumerate(sets)]
        operands = [[p or x for p, x in zip(parameters, xs)] for xs in operands]
        nodes = [record_case(case, xs) for xs in operands]
        if batched:
            values = ab.values(nodes)
        else:
            values = [node.value() for node in nodes]
        if not with_gradient:
            return values, []
        for parameter in filter(None, parameters):
            parameter.zero_grad()
        flat = [x for xs in operands for x in xs if isinstance(x, ab.Expression)]
        weighted_sum(nodes, weights).backward(wrt=flat)
        found = [x.gradient() for x in flat] + [p.gradient() for p in parameters if p is not None]
        return values, found

    values, together = gradients(batched=True)
    for value, want in zip(values, expected):
        np.testing.assert_allclose(value, want, **TOLERANCE[dtype])
    with ab.configure(strategy="none", sharing=False):
        _, alone = gradients(batched=False)
    # A shared operand's gradient is the sum over its readers; apart they are single.
    for got, want in zip(together, alone):
        assert got.shape == want.shape
    if case.weights.count(True):
        for got, want in zip(together[-case.weights.count(True) :], alone[-case.weights.count(True) :]):
            size = np.abs(want).max(initial=1)
            np.testing.assert_allclose(got, want, rtol=TOLERANCE[dtype]["rtol"], atol=size * 1e-5)


@every_case
def test_one_profile_runs_as_one_batch(case: Case, rng) -> None:
    form = form_of(case)
    if form.view is not None or not case.shapes:
        pytest.skip("not scheduled")
    held = [ab.Parameter(init=a) if w else None for a, w in zip(case.operands(rng, "float32"), case.weights)]
    nodes = []
    for _ in range(5):
        arrays = case.operands(rng, "float32")
        made = make_operands(case, arrays)
        nodes.append(record_case(case, [p or x for p, x in zip(held, made)]))
    assert batch_of(case) == nodes[0].batch_size
    assert ab.testing.count_batches(*nodes) == 1
