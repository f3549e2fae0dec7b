"""Tables, JSON and a plot of what was measured."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from .driver import Result, ratios
from .tasks import OURS, Task


def machine() -> dict[str, Any]:
    """Processor, system and versions."""
    model = platform.processor()
    flags: set[str] = set()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = value.strip()
            elif name.strip() == "flags":
                flags = set(value.split())
    except OSError:
        pass  # not Linux
    versions = {}
    for package in ("autobatch", "dyNET38", "torch", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "vectors": [name for name in ("avx2", "fma", "avx512f") if name in flags],
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "load": list(os.getloadavg()),
        "versions": versions,
    }


def main_result(results: list[Result]) -> Result | None:
    """Our own result that the ratios are taken of."""
    return next((r for r in results if r.contender.main and r.rates), None)


def _spread(values: list[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(task: Task, source: str, threads: int, results: list[Result]) -> str:
    """One task at one thread count, as Markdown."""
    plural = "s" if threads > 1 else ""
    lines = [f"### {task.name}: {task.title}; {source}; {threads} thread{plural}", ""]
    if task.mode == "record":
        lines += ["| program | ns an operation | ours / theirs (time) |", "|---|---|---|"]
    else:
        lines += [
            "| program | batched | examples/s | ours / theirs | split, µs an example |",
            "|---|---|---|---|---|",
        ]
    ours = main_result(results)
    for result in results:
        contender = result.contender
        name = f"**{contender.label}**" if result is ours else contender.label
        if not result.rates:
            columns = 3 if task.mode == "record" else 5
            lines.append(f"| {name} | failed: {result.failure} " + "| " * (columns - 2) + "|")
            continue
        ratio = "" if ours is None or result is ours else ratios(ours, result)
        if task.mode == "record":
            nanoseconds = [1e9 / rate for rate in result.rates]
            # Times, not rates: what we take of what they take.
            told = _spread([1.0 / r for r in ratio], 2) if ratio else ""
            lines.append(f"| {name} | {_spread(nanoseconds, 0)} | {told} |")
        else:
            told = _spread(ratio, 2) if ratio else ""
            how = "by hand" if contender.by_hand else "" if contender.library == "torch" else "auto"
            split = ", ".join(f"{phase} {1e6 * s:.0f}" for phase, s in result.phases.items())
            lines.append(f"| {name} | {how} | {_spread(result.rates, 0)} | {told} | {split} |")
    return "\n".join(lines) + "\n"


def entries(task: Task, source: str, results: list[Result]) -> list[dict[str, Any]]:
    """The same for JSON."""
    ours = main_result(results)
    rows = []
    for result in results:
        contender = result.contender
        row: dict[str, Any] = {
            "task": task.name,
            "title": task.title,
            "data": source,
            "mode": task.mode,
            "threads": result.threads,
            "library": contender.library,
            "program": contender.program,
            "main": contender.main,
            "by_hand": contender.by_hand,
            "unit": "operations/s" if task.mode == "record" else "examples/s",
            "rates": result.rates,
            "phases_s_per_example": result.phases,
            "version": result.version,
        }
        if result.failure:
            row["failure"] = result.failure
        if result.rates:
            row["median"] = result.median
            if ours is not None and result is not ours:
                row["ours_over_this"] = median(ratios(ours, result))
        rows.append(row)
    return rows


def summary(rows: list[dict[str, Any]]) -> str:
    """Our main program against the best of each library, the medians of paired ratios."""
    lines = [
        "| task | threads | ours | DyNet's best | ratio | PyTorch's best loop | ratio "
        "| PyTorch's best by hand | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    keys = dict.fromkeys((row["task"], row["threads"]) for row in rows if row["mode"] == "train")
    for task, threads in keys:
        group = [
            row
            for row in rows
            if (row["task"], row["threads"]) == (task, threads) and "median" in row
        ]
        ours = next((row for row in group if row["main"]), None)
        if ours is None:
            continue
        cells = [task, str(threads), f"{ours['median']:.0f}"]
        for library, by_hand in (("dynet", None), ("torch", False), ("torch", True)):
            rivals = [
                row
                for row in group
                if row["library"] == library and by_hand in (None, row["by_hand"])
            ]
            best = max(rivals, key=lambda row: row["median"], default=None)
            if best is None:
                cells += ["", ""]
            else:
                cells += [
                    f"{best['program']} {best['median']:.0f}",
                    f"{best['ours_over_this']:.2f}",
                ]
        lines.append("| " + " | ".join(cells) + " |")
    for task, threads in keys:
        for row in rows:
            same = (row["task"], row["threads"]) == (task, threads) and "ours_over_this" in row
            if same and row["library"] == OURS and row["by_hand"]:
                lines += [
                    "",
                    f"{task}, {threads} thread(s): our loop reaches {row['ours_over_this']:.2f} "
                    "of our own minibatch by hand.",
                ]
    return "\n".join(lines)


def plot(path: str, rows: list[dict[str, Any]]) -> None:
    """Examples a second, a panel per task, bars by contender and thread count."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in rows if row["mode"] == "train" and "median" in row]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    if not tasks:
        return
    threads = sorted({row["threads"] for row in rows})
    columns = min(3, len(tasks))
    lines = -(-len(tasks) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(5.2 * columns, 3.4 * lines), squeeze=False, layout="constrained"
    )
    colors = {"autobatch": "#1b6ca8", "dynet": "#d1812c", "torch": "#8a8a8a"}
    for panel in axes.flat[len(tasks) :]:
        panel.set_visible(False)
    for panel, task in zip(axes.flat, tasks, strict=False):
        group = [row for row in rows if row["task"] == task]
        names = list(dict.fromkeys((row["library"], row["program"]) for row in group))
        height = 0.8 / len(threads)
        for row in group:
            place = names.index((row["library"], row["program"]))
            offset = threads.index(row["threads"])
            middle = row["median"]
            panel.barh(
                place + offset * height,
                middle,
                height,
                xerr=[[middle - min(row["rates"])], [max(row["rates"]) - middle]],
                error_kw={"elinewidth": 0.8},
                color=colors[row["library"]],
                alpha=1.0 if offset else 0.65,
                hatch="//" if row["by_hand"] else None,
                edgecolor="white",
            )
        panel.set_yticks(
            [i + 0.4 - height / 2 for i in range(len(names))],
            [f"{library} {program}" for library, program in names],
            fontsize=8,
        )
        panel.invert_yaxis()
        panel.set_title(f"{task}: {group[0]['data']}", fontsize=9)
        panel.set_xlabel("examples/s", fontsize=8)
        panel.tick_params(axis="x", labelsize=8)
    counts = " and ".join(map(str, threads))
    figure.suptitle(f"Training, {counts} thread(s) (paler: fewer); hatched: batched by hand")
    figure.savefig(path, dpi=130)
