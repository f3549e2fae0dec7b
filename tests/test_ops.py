"""Every op on every backend and number type: value, gradient, batching."""

from __future__ import annotations

import numpy as np
import pytest
from formulas import batch_of, directional, form_of, formula
from recorded import make_operands, make_parameter, record_case, weighted_sum
from samples import SAMPLES, Case

import autobatch as ab
from autobatch.backends import cpu
from autobatch.testing import count_batches

TOLERANCE = {"float32": {"rtol": 3e-5, "atol": 3e-5}, "float64": {"rtol": 1e-10, "atol": 1e-10}}
DIFFERENTIABLE = [
    case
    for case in SAMPLES
    if case.declaration.gradient is not None and case.shapes and not form_of(case).block_gradient
]

every_case = pytest.mark.parametrize("case", SAMPLES, ids=str)


@every_case
def test_value_is_the_formula(case: Case, dtype: str, backend: str, rng) -> None:
    arrays = case.operands(rng, dtype)
    expected = formula(case, [array.astype(np.float64) for array in arrays])
    value = record_case(case, make_operands(case, arrays)).value()
    assert value.dtype == (np.int64 if case.declaration.integer else np.dtype(dtype))
    np.testing.assert_allclose(value, expected, **TOLERANCE[dtype])


@pytest.mark.parametrize(
    "case", [case for case in DIFFERENTIABLE if not case.declaration.surrogate], ids=str
)
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


def scattered(case: Case, arrays: list[np.ndarray], held: list, i: int) -> list:
    """Operands in different places: an input, a computed value, a part of a larger one."""
    made = []
    for j, (array, batch) in enumerate(zip(arrays, case.batches)):
        place = (i + j) % 3
        if held[j] is not None:
            made.append(held[j])
        elif place == 0 or batch > 1:
            made.append(ab.input(array, batched=batch > 1) * 1.0)
        elif place == 1:
            made.append(ab.input(array))
        else:
            padded = np.concatenate([[9.0], array.reshape(-1), [9.0]])
            inside = (ab.input(padded) * 1.0)[1 : 1 + array.size]
            made.append(ab.reshape(inside, array.shape))
    return made


def parameters_of(case: Case, arrays: list[np.ndarray]) -> list:
    """A parameter for every operand that is one."""
    return [make_parameter(case.op, a) if w else None for a, w in zip(arrays, case.weights)]


@pytest.mark.parametrize("case", [c for c in SAMPLES if c.shapes], ids=str)
def test_batched_equals_alone(case: Case, dtype: str, backend: str, rng) -> None:
    """Seven nodes in one batch, some with an operand in common, equal the formula."""
    sets = [case.operands(rng, dtype) for _ in range(7)]
    for arrays in sets[1:]:
        for j, weight in enumerate(case.weights):
            if weight:
                arrays[j] = sets[0][j]
    sets[4] = sets[3]
    sets[6] = [*sets[5][:1], *sets[6][1:]]
    held = parameters_of(case, sets[0])
    expected = [formula(case, [a.astype(np.float64) for a in arrays]) for arrays in sets]
    weights = [rng.normal(size=value.shape) for value in expected]
    differentiable = case in DIFFERENTIABLE

    def run(together: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Values of the nodes; gradients of all operands."""
        ab.new_graph()
        operands = [scattered(case, arrays, held, i) for i, arrays in enumerate(sets)]
        nodes = [record_case(case, xs) for xs in operands]
        values = ab.values(nodes) if together else [node.value() for node in nodes]
        if not differentiable:
            return values, []
        for parameter in held:
            if parameter is not None:
                parameter.zero_grad()
        inner = [x for xs in operands for x in xs if isinstance(x, ab.Expression)]
        weighted_sum(nodes, weights).backward(wrt=inner)
        return values, [x.gradient() for x in (*inner, *held) if x is not None]

    values, gradients = run(together=True)
    for value, want in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, want, **TOLERANCE[dtype])
    with ab.configure(strategy="none"):
        _, alone = run(together=False)
    for got, want in zip(gradients, alone, strict=True):
        size = np.abs(want).max(initial=1)
        np.testing.assert_allclose(got, want, atol=size * TOLERANCE[dtype]["atol"])


@every_case
def test_one_profile_runs_as_one_batch(case: Case, rng) -> None:
    form = form_of(case)
    if form.view is not None or not case.shapes:
        pytest.skip("not scheduled, or always shared")
    held = parameters_of(case, case.operands(rng, "float32"))
    nodes = []
    for _ in range(5):
        made = make_operands(case, case.operands(rng, "float32"))
        operands = [x if p is None else p for p, x in zip(held, made)]
        nodes.append(record_case(case, operands))
    assert batch_of(case) == nodes[0].batch_size
    assert count_batches(*nodes) == 1


@pytest.mark.slow
@pytest.mark.parametrize("instruction_set", ["baseline", "avx2", "avx512"])
@every_case
def test_every_build_of_the_kernels(case: Case, instruction_set: str, dtype: str, rng) -> None:
    """Values and gradients of several rows, on the kernels for older and newer processors."""
    try:
        cpu.kernel_table(instruction_set, 4)
    except ab.ConfigurationError:
        pytest.skip(f"this processor has no {instruction_set}")
    sets = [case.operands(rng, dtype) for _ in range(5)]
    weights = [rng.normal(size=formula(case, arrays).shape) for arrays in sets]
    held = parameters_of(case, sets[0])

    def run() -> list[np.ndarray]:
        ab.new_graph()
        operands = [scattered(case, arrays, held, i) for i, arrays in enumerate(sets)]
        nodes = [record_case(case, xs) for xs in operands]
        values = ab.values(nodes)
        if case in DIFFERENTIABLE:
            inner = [x for xs in operands for x in xs if isinstance(x, ab.Expression)]
            weighted_sum(nodes, weights).backward(wrt=inner)
            values += [x.gradient() for x in inner]
        return values

    with ab.use("numpy"):
        expected = run()
    with ab.configure(instruction_set=instruction_set):
        for got, want in zip(run(), expected, strict=True):
            size = np.abs(want[np.isfinite(want)]).max(initial=1)
            np.testing.assert_allclose(got, want, atol=size * TOLERANCE[dtype]["atol"])
