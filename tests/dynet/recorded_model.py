"""What DyNet answered to the cases of `model_cases.py`, and how to compare with it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import model_cases
import numpy as np

import autobatch.dynet as dy

RECORDED = json.loads(gzip.decompress(Path(__file__).with_name("model.json.gz").read_bytes()))


def differences(theirs, ours, where=""):
    """The places at which two answers differ."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict) or theirs["shape"] != ours["shape"]:
            return [f"{where}: {theirs['shape']} became {str(ours)[:40]}"]
        return differences(theirs["numbers"], ours["numbers"], where)
    if isinstance(theirs, list):
        if not isinstance(ours, list) or len(theirs) != len(ours):
            return [f"{where}: {theirs!r:.60} became {ours!r:.60}"]
        if all(isinstance(x, float) for x in theirs + ours):
            # Sums that cancel are as exact as their terms are.
            largest = np.nanmax(np.abs(theirs), initial=0.0)
            bad = ~np.isclose(ours, theirs, rtol=1e-5, atol=5e-6 * largest)
            if not bad.any():
                return []
            return [f"{where}: {np.array(theirs)[bad]} became {np.array(ours)[bad]}"]
        return [
            found
            for i, (x, y) in enumerate(zip(theirs, ours))
            for found in differences(x, y, f"{where}[{i}]")
        ]
    if isinstance(theirs, float) and isinstance(ours, (int, float)):
        return [] if np.isclose(ours, theirs, rtol=1e-5) else [f"{where}: {theirs} became {ours}"]
    return [] if theirs == ours else [f"{where}: {theirs!r:.60} became {ours!r:.60}"]


def names(*prefixes):
    """The cases whose names begin so."""
    return [name for name in model_cases.CASES if name.startswith(prefixes)]


def check(name):
    """Runs a case and compares."""
    ours = model_cases.plain(model_cases.run(dy, name))
    assert differences(RECORDED[name], ours) == []
