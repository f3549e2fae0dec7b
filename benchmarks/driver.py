"""Runs the contenders of a task in turn, round by round.

All contenders of a task live at once and are measured in turn on the same minibatches, so whatever
else the machine does falls on all of them alike. A ratio is taken within a round, then the median
over the rounds.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import IO, Any

from .data import Sample
from .libraries import LIBRARIES
from .tasks import BEFORE, OURS, Contender, Task

ROOT = Path(__file__).resolve().parent.parent


class ContenderFailed(Exception):
    """A contender's process ended or reported an error."""


class Process:
    """The driver's end of a worker; build: the folder of the package it imports, if not ours."""

    def __init__(
        self, job: dict[str, Any], log: IO[str], verbose: bool = False, build: Path | None = None
    ) -> None:
        self.verbose = verbose
        threads = str(job["threads"])
        found = {} if build is None else {"PYTHONPATH": str(build.resolve())}
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        # The same hashes in every process: sets are walked in the same order everywhere.
        environment = os.environ | dict.fromkeys(names, threads) | {"PYTHONHASHSEED": "0"} | found
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self.hello = self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ContenderFailed(f"its process ended with status {self.process.wait()}")
        message = json.loads(line)
        if "error" in message:
            if self.verbose:
                print(message["traceback"], file=sys.stderr)
            raise ContenderFailed(message["error"])
        return message

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"do": do} | request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise ContenderFailed("its process is gone") from None
        return self.answer()

    def close(self) -> None:
        """The worker's loop ends with its input."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Result:
    """What was measured of one contender; ``rates`` are examples a second, one a round.

    In mode ``record`` they are recorded operations a second.
    """

    contender: Contender
    threads: int
    version: str = ""
    rates: list[float] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    failure: str = ""

    @property
    def median(self) -> float:
        return median(self.rates)


@contextmanager
def shared_sample(sample: Sample) -> Iterator[str]:
    """A file that the workers read the sample from."""
    with tempfile.NamedTemporaryFile(suffix=".pickle") as file:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(10000)  # deep trees
        pickle.dump(sample, file, protocol=pickle.HIGHEST_PROTOCOL)
        sys.setrecursionlimit(limit)
        file.flush()
        yield file.name


def missing(library: str) -> str:
    """A line that says why a library cannot take part, empty if it can."""
    package = LIBRARIES[library].package
    if find_spec(package) is not None:
        return ""
    return f"{library}: not installed, skipped (pip install 'autobatch[benchmarks]')"


def job_of(
    task: Task, contender: Contender, sample: str, threads: int, **more: Any
) -> dict[str, Any]:
    """What a worker has to know."""
    return {
        "sample": sample,
        "library": OURS if contender.library == BEFORE else contender.library,
        "module": task.module,
        "program": contender.program,
        "dim": task.dim,
        "size": task.size,
        "threads": threads,
    } | more


def run(
    task: Task,
    contenders: list[Contender],
    sample: Sample,
    threads: int,
    repeats: int,
    verbose: bool,
    before: Path | None = None,
) -> list[Result]:
    """Measures the contenders: a round each to warm up, then ``repeats`` rounds in turn.

    Contenders of the library ``before`` run the build in that folder; phases are not split then.
    """
    results = [Result(contender, threads) for contender in contenders]
    with ExitStack() as stack:
        path = stack.enter_context(shared_sample(sample))
        log = sys.stderr if verbose else stack.enter_context(open(os.devnull, "w"))
        running: list[tuple[Result, Process]] = []

        def attempt(result: Result, do: str, first: int, count: int) -> dict[str, Any] | None:
            process = next(process for r, process in running if r is result)
            try:
                return process.ask(do, first=first, count=count)
            except ContenderFailed as failure:
                result.failure = str(failure)
                running.remove((result, process))
                return None

        for result in results:
            try:
                build = before if result.contender.library == BEFORE else None
                job = job_of(task, result.contender, path, threads)
                process = Process(job, log, verbose, build)
            except ContenderFailed as failure:
                result.failure = str(failure)
                continue
            stack.callback(process.close)
            result.version = process.hello["version"]
            running.append((result, process))

        for number in range(repeats + 1):
            first = number * task.rounds_of
            # The order changes, so that nobody always runs after the same neighbour.
            turn = number % max(1, len(running))
            for result, _ in running[turn:] + running[:turn]:
                count = 1 if result.contender.slow else task.rounds_of
                answer = attempt(result, task.mode, first, count)
                if answer is not None and number > 0:
                    minibatches = (sample.minibatch(first + i, task.size) for i in range(count))
                    work = sum(map(task.operations or len, minibatches))
                    result.rates.append(work / answer["seconds"])

        if task.mode == "train" and before is None:
            first = (repeats + 1) * task.rounds_of
            for result, _ in list(running):
                count = 1 if result.contender.slow else task.rounds_of
                answer = attempt(result, "split", first, count)
                if answer is not None:
                    each = count * task.size
                    result.phases = {k: v / each for k, v in answer["phases"].items()}
    return results


def ratios(ours: Result, rival: Result) -> list[float]:
    """Ours over the rival, round by round."""
    return [a / b for a, b in zip(ours.rates, rival.rates, strict=False)]
