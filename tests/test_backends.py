"""Choosing a backend, and what happens where one cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import autobatch as ab


def has_cupy() -> bool:
    try:
        import cupy  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.skipif(has_cupy(), reason="CuPy is installed")
def test_cuda_without_cupy_says_what_to_install() -> None:
    x = ab.input([1.0, 2.0])
    with (
        pytest.raises(ab.ConfigurationError, match=r"pip install autobatch\[cuda\]"),
        ab.use("cuda"),
    ):
        (x * 2.0).value()
    ab.new_graph()
    assert (ab.input([1.0, 2.0]) * 2.0).value()[1] == 4


def test_cupy_is_not_imported_unless_asked_for(tmp_path: Path) -> None:
    program = (
        "import sys, autobatch as ab; x = ab.input([1.0]); (x * 2).value();"
        "assert not any(name.split('.')[0].startswith('cupy') for name in sys.modules)"
    )
    # Elsewhere than in a checkout, whose sources need not be built.
    path = {"PYTHONPATH": str(Path(ab.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env=os.environ | path)


def test_unknown_backends_are_named() -> None:
    with pytest.raises(ab.ConfigurationError, match="cpu, numpy, cuda"):
        ab.use("tpu")
    assert ab.config.current().backend == "cpu"


def test_a_graph_stays_on_its_backend() -> None:
    y = ab.input([1.0, 2.0]) * 2.0
    y.value()
    with ab.use("numpy"), pytest.raises(ab.GraphError, match="begun to run on the backend 'cpu'"):
        (y + 1.0).value()
    np.testing.assert_array_equal((y + 1.0).value(), [3, 5])


def test_backends_train_alike() -> None:
    """A few updates of a small model, the same in each."""

    def train(backend: str) -> list[float]:
        with ab.configure(dtype="float64", seed=3), ab.use(backend):
            draw = np.random.default_rng(0)
            table = ab.Lookup(init=draw.normal(size=(10, 6)))
            w, out = (ab.Parameter(init=draw.normal(size=s) / 3) for s in ((6, 12), (3, 6)))
            trainer = ab.Adam([table, w, out], learning_rate=0.05)
            seen = []
            for _ in range(6):
                ab.new_graph()
                losses = []
                for words, label in (([1, 2, 3], 0), ([4, 5], 1), ([6, 7, 8, 9], 2)):
                    h = ab.zeros(6)
                    for word in words:
                        h = ab.tanh(w @ ab.concat([h, table[word]]))
                    losses.append(ab.cross_entropy(out @ ab.dropout(h, 0.1), label))
                loss = ab.mean(losses)
                loss.backward()
                trainer.update()
                seen.append(loss.item())
            ab.new_graph()
            return seen

    expected = train("numpy")
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(train("cpu"), expected, rtol=1e-9)


@pytest.mark.gpu
def test_the_gpu_trains_like_the_processor() -> None:
    with ab.configure(dtype="float64"):
        w = ab.Parameter(init=np.arange(6.0).reshape(2, 3) / 6)
        results = []
        for backend in ("cuda", "cpu"):
            with ab.use(backend):
                ab.new_graph()
                losses = [ab.sum(ab.tanh(w @ ab.input(np.arange(3.0) + i))) for i in range(9)]
                loss = ab.mean(losses)
                w.zero_grad()
                loss.backward()
                results.append((loss.item(), w.gradient()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-10)
