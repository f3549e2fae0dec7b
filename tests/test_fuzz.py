"""Whatever is called with whatever: a result or an error of ours, and right numbers afterwards."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Seconds for each package; each process takes a part, from a seed of its own.
SECONDS = float(os.environ.get("AUTOBATCH_FUZZ_SECONDS", "60"))
PART = 20.0


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.parametrize("package", ["autobatch", "autobatch.dynet"])
def test_calls_at_random_answer_or_raise_errors_of_ours(
    package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end, seed, calls = time.monotonic() + SECONDS, 0, 0
    complaints: dict[tuple[str, str], str] = {}
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    while time.monotonic() < end:
        seed += 1
        command = [sys.executable, str(Path(__file__).with_name("fuzz.py"))]
        command += ["--package", package, "--seed", str(seed), "--folder", str(tmp_path)]
        command += ["--seconds", str(min(PART, SECONDS))]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode:
            last = (tmp_path / "last").read_text(errors="replace").strip()
            what = {"call": last, "error": f"exit {done.returncode}: {done.stderr[-800:]}"}
            found.append(what | {"place": "the process"})
        for complaint in found:
            if "count" in complaint:
                calls += complaint["count"]
            else:
                key = complaint["place"], complaint["error"][:80]
                counts[key] += 1
                complaints.setdefault(key, complaint["call"])
    with capsys.disabled():
        print(f"\n{package}: {calls:,} calls of {seed} processes")
    told = [f"{counts[key]} x {key[1]} ({key[0]})\n    {complaints[key]}" for key in complaints]
    assert calls, "no call was made"
    assert not told, "\n".join(told)
