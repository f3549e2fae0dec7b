"""Do both libraries learn the same? Equal parameters, equal data: the first losses side by side."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from .driver import Process, job_of, shared_sample
from .tasks import BY_NAME, OURS, Contender

TOLERANCE = 1e-3

# Task, our program, DyNet's.
PAIRS = (
    ("tree_lstm_128", "Plain", "Plain"),
    ("tree_lstm_128", "Affine", "Affine"),
    ("tree_lstm_128", "Fused", "Fused"),
    ("tagger", "Tagger", "Vanilla"),
    ("tagger", "Tagger", "Compact"),
    ("parser", "Parser", "Autobatching"),
    ("language_model", "Loop", "Loop"),
    ("rnn", "Loop", "Loop"),
)


def losses(task_name: str, ours: str, theirs: str, directory: Path | None, count: int) -> Any:
    """Losses of ``count`` training steps of both, from one set of parameters."""
    task = BY_NAME[task_name]
    sample = task.read(directory, 1500)
    found = []
    with (
        shared_sample(sample) as path,
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as log,
    ):
        file = str(Path(folder) / "parameters.npz")
        for library, program, do in ((OURS, ours, "export"), ("dynet", theirs, "adopt")):
            with closing(Process(job_of(task, Contender(library, program), path, 2), log)) as it:
                it.ask(do, file=file)
                found.append(it.ask("train", first=0, count=count)["losses"])
    return found


def compare(directory: Path | None, count: int) -> dict[str, Any]:
    """Prints the largest relative difference of every pair and returns it all for the JSON file."""
    print(f"### agree: the first {count} losses from equal parameters, autobatch beside DyNet\n")
    print("| task | ours | DyNet's | first | last | largest relative difference |")
    print("|---|---|---|---|---|---|")
    rows = []
    for task, ours, theirs in PAIRS:
        a, b = losses(task, ours, theirs, directory, count)
        worst = max(abs(x - y) / abs(y) for x, y in zip(a, b, strict=True))
        rows.append(
            {
                "task": task,
                "ours": ours,
                "theirs": theirs,
                "losses": a,
                "dynet_losses": b,
                "largest_relative_difference": worst,
            }
        )
        print(
            f"| {task} | {ours} | {theirs} | {a[0]:.5f} / {b[0]:.5f} | {a[-1]:.5f} / {b[-1]:.5f} "
            f"| {worst:.1e} |",
            flush=True,
        )
    print()
    agreed = all(row["largest_relative_difference"] <= TOLERANCE for row in rows)
    if not agreed:
        print(f"agree: some losses differ by more than {TOLERANCE:g}", file=sys.stderr)
    return {"tolerance": TOLERANCE, "agreed": agreed, "pairs": rows}
