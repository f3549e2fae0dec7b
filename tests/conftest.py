"""Fixtures that all tests share. Warnings are errors, see ``pyproject.toml``."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pytest

import autobatch as ab


def _has_gpu() -> bool:
    try:
        from autobatch.backends.cuda import load_cupy

        load_cupy()
    except ab.ConfigurationError:
        return False
    return True


@pytest.hookimpl(tryfirst=True)  # before markers select
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a GPU are skipped where there is none; the formulas in double precision,
    which the twins' tests run as well, are left to the slow run."""
    for item in items:
        chosen = getattr(getattr(item, "callspec", None), "params", {})
        if chosen.get("backend") == "numpy" and chosen.get("dtype") == "float64":
            item.add_marker(pytest.mark.slow)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs CuPy and a CUDA device"))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator with a seed of the test's own, so that tests do not shift each other."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    """The number type; `graph` configures it."""
    return request.param


@pytest.fixture(params=["cpu", "numpy", pytest.param("cuda", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> str:
    """The backend; `graph` configures it."""
    return request.param


@pytest.fixture(autouse=True)
def graph(request: pytest.FixtureRequest) -> Iterator[None]:
    """A new graph, and the number type and backend that the test asks for."""
    wanted = {
        name: request.getfixturevalue(name)
        for name in ("dtype", "backend")
        if name in request.fixturenames
    }
    with ab.configure(seed=0, **wanted):
        ab.new_graph()
        yield
    ab.new_graph()
