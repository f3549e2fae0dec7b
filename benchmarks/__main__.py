"""``python -m benchmarks``: see ``benchmarks/README.md``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from . import before, driver, report
from .tasks import BY_NAME, GROUPS, OURS, RIVALS, Task, chosen

EXTRA_TASKS = {
    "agree": "the first 50 losses of Tree-LSTM and tagger beside DyNet's, equal parameters",
    "schedule": "scheduling and planning, ns a node",
}


def arguments(argv: list[str] | None) -> argparse.Namespace:
    names = [*BY_NAME, *GROUPS, *EXTRA_TASKS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="autobatch beside DyNet and PyTorch, in one run.",
        epilog="tasks: " + ", ".join(names),
    )
    parser.add_argument("tasks", nargs="*", metavar="task", help="default: all of them")
    parser.add_argument(
        "--rivals", default=",".join(RIVALS), help="of dynet,torch; empty for none; default: both"
    )
    parser.add_argument("--threads", default="1,2", help="thread counts; default: 1,2")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; default: 5")
    parser.add_argument("--data", type=Path, help="folder with trees/, tags/, dependencies/")
    parser.add_argument(
        "--before", type=Path, metavar="DIR", help="beside another build of autobatch, only"
    )
    parser.add_argument("--json", metavar="FILE", help="write everything measured")
    parser.add_argument("--plot", metavar="FILE", help="write a picture (needs matplotlib)")
    parser.add_argument("--quick", action="store_true", help="two short rounds: does it all run?")
    parser.add_argument("--only", help="programs by name, for instance Affine,Levels")
    parser.add_argument("--verbose", action="store_true", help="show what the programs print")
    options = parser.parse_args(argv)
    for name in options.tasks:
        if name not in names:
            parser.error(f"unknown task {name!r}; tasks: {', '.join(names)}")
    options.rivals = [name for name in options.rivals.split(",") if name]
    for name in options.rivals:
        if name not in RIVALS:
            parser.error(f"unknown rival {name!r}; rivals: {', '.join(RIVALS)}")
    try:
        options.threads = [int(count) for count in options.threads.split(",")]
    except ValueError:
        parser.error(f"--threads: expected counts like 1,2, got {options.threads!r}")
    if min(options.threads) < 1 or options.repeats < 1:
        parser.error("--threads and --repeats: expected at least 1")
    if options.data is not None and not options.data.is_dir():
        parser.error(f"--data: no such folder {options.data}")
    if options.before is not None and not list(options.before.glob("autobatch/_core.*")):
        parser.error(f"--before: no compiled package autobatch in {options.before}")
    return options


def measure(task: Task, options: argparse.Namespace, libraries: list[str]) -> list[dict[str, Any]]:
    """One task at all thread counts; tables are printed as they come."""
    repeats = 2 if options.quick else options.repeats
    # Enough for a round to warm up, all repeats and the split, so that no minibatch comes twice.
    count = (repeats + 2) * task.rounds_of * task.size
    sample = task.read(options.data, count)
    contenders = [c for c in task.contenders if c.library in libraries]
    if options.only:
        names = options.only.split(",")
        contenders = [c for c in contenders if c.program in names or c.main]
    if options.quick:
        contenders = [c for c in contenders if not c.slow]
    rows = []
    for threads in options.threads[:1] if task.mode == "record" else options.threads:
        results = driver.run(task, contenders, sample, threads, repeats, options.verbose)
        print(report.table(task, sample.source, threads, results), flush=True)
        rows += report.entries(task, sample.source, results)
    return rows


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    libraries = [OURS, *options.rivals]
    for library in list(libraries):
        reason = driver.missing(library)
        if reason:
            print(reason)
            libraries.remove(library)
    found: dict[str, Any] = {"machine": report.machine(), "results": []}
    extra = [name for name in EXTRA_TASKS if not options.tasks or name in options.tasks]
    named = [name for name in options.tasks if name not in EXTRA_TASKS]
    tasks = chosen(named) if named or not options.tasks else []
    if options.before is not None:
        found["before"] = before.measure(
            tasks, options.before, options.data, options.threads, options.repeats
        )
        tasks, extra = [], []
    for task in tasks:
        found["results"] += measure(task, options, libraries)
    if "schedule" in extra and OURS in libraries:
        from . import schedule

        found["schedule"] = schedule.measure(options.data, options.repeats)
    if "agree" in extra and {OURS, "dynet"} <= set(libraries):
        from . import agree

        found["agree"] = agree.compare(options.data, 5 if options.quick else 50)
    if found["results"]:
        print(report.summary(found["results"]))
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    if options.plot:
        report.plot(options.plot, found["results"])
    failed = any("failure" in row for row in found["results"])
    return 1 if failed or not found.get("agree", {}).get("agreed", True) else 0


if __name__ == "__main__":
    sys.exit(main())
