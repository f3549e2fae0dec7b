"""Scheduling and planning: ns a node, and batches by strategy beside the least possible."""

from __future__ import annotations

import gc
import importlib
import time
from pathlib import Path
from statistics import median
from typing import Any

from .tasks import BY_NAME

PROGRAMS = (
    ("tree_lstm_128", "Plain"),
    ("tree_lstm_128", "Fused"),
    ("tagger", "Tagger"),
    ("language_model", "Loop"),
    ("parser", "Parser"),
)
STRATEGIES = ("depth", "agenda", "frontier")


def measure(directory: Path | None, repeats: int) -> list[dict[str, Any]]:
    """Prints a table of graphs by strategy and returns it for the JSON file. Nothing is run."""
    import autobatch as ab
    from autobatch.backends import cpu

    print("### schedule: scheduling and planning\n")
    print("| graph | sharing | strategy | nodes | batches | least possible | ns a node |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for name, program in PROGRAMS:
        task = BY_NAME[name]
        sample = task.read(directory, 300)
        module = importlib.import_module(f"benchmarks.programs.{task.module}")
        model = getattr(module, program)(sample, task.dim)
        minibatch = sample.minibatch(0, task.size)
        for sharing in (False, True):
            costs: dict[str, list[float]] = {strategy: [] for strategy in STRATEGIES}
            counts: dict[str, tuple[int, int]] = {}
            for _ in range(repeats + 1):
                for strategy in STRATEGIES:
                    with ab.configure(strategy=strategy, sharing=sharing):
                        gc.collect()  # now: between recording and planning no program does
                        graph = ab.new_graph()
                        target = model.loss(minibatch).node
                        start = time.perf_counter()
                        cpu.plan(graph, [target])
                        seconds = time.perf_counter() - start
                    batches = cpu.tape(graph)
                    nodes = sum(len(batch) for _, batch in batches)
                    costs[strategy].append(1e9 * seconds / nodes)
                    counts[strategy] = nodes, len(batches)
            profiles = cpu.ffi.new("int32_t *")
            least = cpu.lib.ab_lower_bound(cpu.pointer(graph), 1, cpu.int32s([target]), profiles)
            for strategy in STRATEGIES:
                nodes, batches = counts[strategy]
                cost = costs[strategy][1:]
                shared = "on" if sharing else "off"
                print(
                    f"| {name} {program} | {shared} | {strategy} | {nodes} | {batches} | {least} "
                    f"| {median(cost):.0f} ({min(cost):.0f}-{max(cost):.0f}) |",
                    flush=True,
                )
                rows.append(
                    {
                        "graph": f"{name} {program}",
                        "sharing": sharing,
                        "strategy": strategy,
                        "nodes": nodes,
                        "batches": batches,
                        "lower_bound": least,
                        "ns_per_node": cost,
                    }
                )
    print()
    return rows
