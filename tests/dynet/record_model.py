"""Runs the cases of `model_cases.py` under DyNet and records what they answer.

Usage, where ``dynet`` can be imported: ``python tests/dynet/record_model.py``.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import dynet
import model_cases


def main() -> None:
    answers = {}
    for name in model_cases.CASES:
        print(name, file=sys.stderr, flush=True)
        answers[name] = model_cases.plain(model_cases.run(dynet, name))
    text = json.dumps(answers, separators=(",", ":"))
    path = pathlib.Path(__file__).with_name("model.json.gz")
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
