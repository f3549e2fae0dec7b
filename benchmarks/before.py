"""This build beside another one of autobatch, program by program: what a change costs or gains.

The other build is a folder that holds its package, compiled: a checkout built in place, or what
``pip install --target`` made. Both run the programs of this folder, in turn, on the same data.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from . import driver
from .tasks import BEFORE, OURS, Contender, Task


def _told(values: list[float]) -> str:
    return f"{median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def compare(
    task: Task, folder: Path, data: Path | None, threads: int, repeats: int
) -> list[dict[str, Any]]:
    """One task: a line for each of our programs, this build's rate over the other's."""
    sample = task.read(data, (repeats + 2) * task.rounds_of * task.size)
    rows = []
    for ours in (c for c in task.contenders if c.library == OURS):
        pair = [Contender(OURS, ours.program, main=True), Contender(BEFORE, ours.program)]
        now, before = driver.run(task, pair, sample, threads, repeats, False, before=folder)
        if failure := now.failure or before.failure:
            print(f"| {task.name} {ours.program} | {threads} | failed: {failure} |", flush=True)
            rows.append({"task": task.name, "program": ours.program, "failure": failure})
            continue
        ratios = driver.ratios(now, before)
        print(f"| {task.name} {ours.program} | {threads} | {_told(ratios)} |", flush=True)
        rows.append(
            {"task": task.name, "program": ours.program, "threads": threads, "ratios": ratios}
        )
    return rows


def schedule(folder: Path, data: Path | None, repeats: int) -> list[dict[str, Any]]:
    """Scheduling and planning by the default strategy: the time of the other build over ours."""
    costs: dict[tuple[str, bool], tuple[list[float], list[float]]] = {}
    where = [] if data is None else ["--data", str(data)]
    for number in range(repeats):
        # Who goes first changes, as everywhere.
        for build in (0, 1) if number % 2 else (1, 0):
            with tempfile.NamedTemporaryFile(suffix=".json") as file:
                command = [sys.executable, "-m", "benchmarks", "schedule", *where]
                options = ["--repeats", "3", "--rivals", "", "--json", file.name]
                subprocess.run(
                    command + options,
                    cwd=driver.ROOT,
                    env=dict(os.environ, PYTHONPATH=str(folder.resolve())) if build else None,
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                for row in json.loads(Path(file.name).read_text())["schedule"]:
                    if row["strategy"] == "frontier":
                        key = row["graph"], row["sharing"]
                        costs.setdefault(key, ([], []))[build].append(median(row["ns_per_node"]))
    rows = []
    for (graph, sharing), (now, before) in costs.items():
        ratios = [b / a for a, b in zip(now, before, strict=True)]
        name = f"schedule {graph}, sharing {'on' if sharing else 'off'}"
        print(f"| {name} | 1 | {_told(ratios)} |", flush=True)
        rows.append({"task": name, "threads": 1, "ratios": ratios})
    return rows


def measure(
    tasks: list[Task], folder: Path, data: Path | None, threads: list[int], repeats: int
) -> list[dict[str, Any]]:
    """All of them, then scheduling; prints the table and returns it for the JSON file."""
    print(f"### this build beside the one in {folder.name}\n")
    print("| program | threads | speed, this / before |\n|---|---|---|", flush=True)
    rows = []
    for task in tasks:
        for count in threads[:1] if task.mode == "record" else threads:
            rows += compare(task, folder, data, count, repeats)
    rows += schedule(folder, data, repeats)
    medians = [median(row["ratios"]) for row in rows if "ratios" in row]
    print(f"\nleast {min(medians):.3f}, median {median(medians):.3f} of {len(medians)} lines")
    return rows
