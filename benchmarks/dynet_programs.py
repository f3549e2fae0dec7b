"""The programs of ``tests/dynet/programs``, unmodified, under DyNet and under the drop-in.

    python -m benchmarks.dynet_programs                   # small, as the tests run them
    python -m benchmarks.dynet_programs --large tagger lm
    python -m benchmarks.dynet_programs --large --busy 1  # beside a process that computes

Every run is a process of its own. It tells how long its updates took, without starting and
importing; the last columns are the whole process, as a user waits for it. DyNet runs with its
automatic batching and without; all take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = {path.stem: path for path in sorted((ROOT / "tests/dynet/programs").glob("*.py"))}
CONTENDERS = {
    "autobatch": (["-m", "autobatch.dynet"], []),
    "DyNet, batching": ([], ["--dynet-autobatch", "1"]),
    "DyNet": ([], ["--dynet-autobatch", "0"]),
}


def seconds(program: Path, contender: str, flags: list[str]) -> tuple[float, float]:
    """The duration of a program's updates, which it writes last, and of the whole process."""
    before, after = CONTENDERS[contender]
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *before, str(program), *flags, "--dynet-seed", "42", *after],
        capture_output=True,
        text=True,
        # Unbuffered, what the programs print would be much of what small ones take; without
        # bytecode, which an installed package has, modules would be compiled in every process.
        env=os.environ
        | {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "", "PYTHONDONTWRITEBYTECODE": ""},
        cwd=ROOT,
    )
    if done.returncode:
        raise SystemExit(f"{program.name} under {contender}:\n{done.stderr}")
    whole = time.perf_counter() - begin
    return float(done.stderr.split()[-1]), whole


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that compute all the time, as on a machine that others use."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def ratios(taken: dict[str, list[tuple[float, float]]], which: int) -> str:
    """DyNet's times over ours, with batching and without: medians of the rounds'."""
    ours = [times[which] for times in taken["autobatch"]]
    return " ".join(
        f"{median(theirs[which] / our for theirs, our in zip(rounds, ours)):6.2f}"
        for contender, rounds in taken.items()
        if contender != "autobatch"
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dynet_programs")
    parser.add_argument("programs", nargs="*", help="default: " + " ".join(PROGRAMS))
    parser.add_argument("--repeats", type=int, default=5, help="runs of each; default: 5")
    parser.add_argument("--updates", type=int, default=30, help="of each run; default: 30")
    parser.add_argument("--large", action="store_true", help="--hidden 128 --batch 16")
    parser.add_argument("--hidden", type=int, help="size of the hidden layers")
    parser.add_argument("--batch", type=int, help="examples of an update")
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside them")
    options = parser.parse_args(argv)
    unknown = [name for name in options.programs if name not in PROGRAMS]
    if unknown:
        parser.error(f"unknown program {unknown[0]!r}; programs: {' '.join(PROGRAMS)}")
    if find_spec("_dynet") is None:
        print("dynet: not installed, skipped (pip install 'autobatch[benchmarks]')")
        return
    hidden = options.hidden or (128 if options.large else None)
    batch = options.batch or (16 if options.large else None)
    names = " ".join(f"{name:>16}" for name in CONTENDERS)
    print(f"{'':12}{'ms an update: ':>14} {names}   ratios         whole process")
    with busy(options.busy):
        for name in options.programs or PROGRAMS:
            flags = ["--updates", str(options.updates)]
            flags += ["--hidden", str(hidden)] if hidden else []
            if batch and name != "xor":  # which has one example an update
                flags += ["--batch", str(batch)]
            taken: dict[str, list[tuple[float, float]]] = {
                contender: [] for contender in CONTENDERS
            }
            for _ in range(options.repeats):
                for contender in CONTENDERS:
                    taken[contender].append(seconds(PROGRAMS[name], contender, flags))
            times = [median(updates for updates, _ in taken[contender]) for contender in CONTENDERS]
            columns = " ".join(f"{time / options.updates * 1e3:16.3f}" for time in times)
            print(f"{name:26} {columns}  {ratios(taken, 0)}  {ratios(taken, 1)}", flush=True)


if __name__ == "__main__":
    main()
