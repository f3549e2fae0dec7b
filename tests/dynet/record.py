"""Records what the wheel dyNET38 makes of the cases: run it where that is installed.

python tests/dynet/record.py
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

RECORDED = Path(__file__).with_name("operations.npz")


def apart(function: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Runs in a process of its own: some of the wheel's results depend on what its memory held
    before, which is zero there."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            try:
                pickle.dump(function(), pipe)
            except BaseException as error:
                pickle.dump(f"{type(error).__name__}: {error}", pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    found = pickle.loads(content) if content else "the wheel aborted"
    if isinstance(found, str):
        raise RuntimeError(found)
    return found


def main() -> None:
    import dynet as dy
    from cases import CASES, drawn, outcome

    names = [this.name for this in CASES]
    assert len(set(names)) == len(names), "two cases have one name"
    found: dict[str, np.ndarray] = {}
    for this in CASES:
        try:
            results = apart(lambda this=this: outcome(dy, this))
        except RuntimeError as error:
            raise SystemExit(f"{this.name}: {error}") from None
        for key, value in results.items():
            found[f"{this.name}|{key}"] = value.astype(np.float32)
    for name, value in apart(lambda: drawn(dy)).items():
        found[f"random|{name}"] = value.astype(np.float32)
    # One array and one index: a file in a file for every small array would be mostly headers.
    index = {key: list(value.shape) for key, value in found.items()}
    numbers = np.concatenate([value.reshape(-1) for value in found.values()])
    np.savez_compressed(RECORDED, numbers=numbers, index=json.dumps(index))
    print(f"{len(CASES)} cases, {RECORDED.stat().st_size} bytes")


if __name__ == "__main__":
    main()
