"""Fixtures that all tests share. Warnings are errors, see ``pyproject.toml``."""

from __future__ import annotations

import zlib

import numpy as np
import pytest


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator with a seed of the test's own, so that tests do not shift each other."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))
