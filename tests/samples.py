"""Every sample of every op in the registry, as cases for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autobatch.ops import REGISTRY, Op, Sample


@dataclass(frozen=True)
class Case:
    """One sample of one op."""

    op: str
    number: int
    sample: Sample

    def __str__(self) -> str:
        return f"{self.op}-{self.number}"

    @property
    def declaration(self) -> Op:
        return REGISTRY[self.op]

    @property
    def attrs(self) -> dict[str, Any]:
        return self.sample.attrs

    @property
    def data(self) -> tuple[Any, ...]:
        return self.sample.data or ()

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return self.sample.shapes

    @property
    def batches(self) -> tuple[int, ...]:
        return self.sample.batches or (1,) * len(self.shapes)

    @property
    def weights(self) -> tuple[bool, ...]:
        return self.sample.weights or (False,) * len(self.shapes)

    def operands(self, rng: np.random.Generator, dtype: Any) -> list[np.ndarray]:
        """Random operands inside the op's domain; a minibatch is the first axis."""
        arrays = []
        for shape, batch in zip(self.shapes, self.batches):
            full = shape if batch == 1 else (batch, *shape)
            array = rng.uniform(self.sample.low, self.sample.high, full)
            if self.sample.diagonal:
                array += self.sample.diagonal * np.eye(*shape[-2:])
            arrays.append(array.astype(dtype))
        return arrays


SAMPLES = [
    Case(op.name, number, sample)
    for op in REGISTRY.values()
    if not op.source
    for number, sample in enumerate(op.samples)
]
