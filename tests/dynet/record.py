"""Records what the wheel dyNET38 makes of the cases: run it where that is installed.

    python tests/dynet/record.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

RECORDED = Path(__file__).with_name("operations.npz")


def main() -> None:
    import dynet as dy
    from cases import CASES, drawn, outcome

    names = [this.name for this in CASES]
    assert len(set(names)) == len(names), "two cases have one name"
    found: dict[str, np.ndarray] = {}
    for this in CASES:
        try:
            results = outcome(dy, this)
        except Exception as error:
            raise SystemExit(f"{this.name}: {type(error).__name__}: {error}") from None
        for key, value in results.items():
            found[f"{this.name}|{key}"] = value.astype(np.float32)
    for name, value in drawn(dy).items():
        found[f"random|{name}"] = value.astype(np.float32)
    # One array and one index: a file in a file for every small array would be mostly headers.
    index = {key: list(value.shape) for key, value in found.items()}
    numbers = np.concatenate([value.reshape(-1) for value in found.values()])
    np.savez_compressed(RECORDED, numbers=numbers, index=json.dumps(index))
    print(f"{len(CASES)} cases, {RECORDED.stat().st_size} bytes")


if __name__ == "__main__":
    main()
