"""Every elementwise op at infinities, NaN, zeros, and the largest and least numbers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from recorded import flat

import autobatch as ab
from autobatch.ops import REGISTRY, Call, Operand
from autobatch.recording import recorder

OPS = [name for name, op in REGISTRY.items() if op.elementwise]

#: Ops that are sums of larger numbers, which cancel next to a root: they are right to the rounding
#: of those, not of the result.
CANCELS = ("gelu", "gelu_tanh", "gelu_sigmoid", "lgamma", "poisson_nll")


def edges(dtype: str) -> list[float]:
    """The ends of a type's numbers, of both signs, and a few ordinary ones between."""
    info = np.finfo(dtype)
    sizes = (0.0, info.smallest_subnormal, info.tiny, 0.75, 1.0, 2.0)
    sizes += (float(info.max) ** 0.6, info.max, math.inf)
    return [sign * float(size) for size in sizes for sign in (1, -1)] + [math.nan]


def settings(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for sample in REGISTRY[name].samples:
        if sample.attrs not in found:
            found.append(sample.attrs)
    return found


def close(got: np.ndarray, wanted: np.ndarray, dtype: str, what: str, least: float) -> None:
    """Equal within rounding where the formula has a value; where it has none, inf or NaN: an
    ordinary number would hide it, unless it is the formula's limit there."""
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        wanted = wanted.astype(dtype)
        near = np.abs(got - wanted) <= 64 * info.eps * np.abs(wanted) + 4 * info.tiny + least
    neither = ~np.isfinite(got) & ~np.isfinite(wanted) & (np.isnan(got) | np.isnan(wanted))
    right = near | (got == wanted) | neither
    assert right.all(), (what, got[~right][:6], wanted[~right][:6], np.flatnonzero(~right)[:6])


@pytest.mark.parametrize("name", OPS)
def test_an_elementwise_op_is_its_formula_at_the_edges(name: str, dtype: str, backend: str) -> None:
    op = REGISTRY[name]
    grid = np.array(list(itertools.product(edges(dtype), repeat=len(op.inputs)))).T.astype(dtype)
    least = 64 * float(np.finfo(dtype).eps) if name in CANCELS else 0.0
    for attrs in settings(name):
        call = Call(
            np,
            attrs,
            np.zeros((1, 0), np.int64),
            grid[0].shape,
            [Operand(grid[0].shape, 1, False)] * len(grid),
        )
        exact = [row.astype(np.longdouble)[None] for row in grid]
        with np.errstate(all="ignore"):
            value = np.broadcast_to(np.asarray(op.forward(call, *exact)), (1, grid.shape[1]))[0]
        operands = [ab.input(row) for row in grid]
        y = recorder(name).record(tuple(operands), flat(op, attrs), ())
        close(y.value(), value, dtype, f"{name} {attrs}", least)
        if op.gradient is None:
            continue
        ab.sum(y).backward(wrt=operands)
        for j, x in enumerate(operands):
            if op.gradients[j] is None:
                continue
            with np.errstate(all="ignore"):
                slope = op.gradient(
                    call, j, np.ones((1, grid.shape[1]), np.longdouble), value[None], *exact
                )
            slope = np.broadcast_to(slope, (1, grid.shape[1]))[0]
            close(x.gradient(), slope, dtype, f"{name} {attrs} by operand {j}", least)
