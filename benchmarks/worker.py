"""The process of one contender: it runs what the driver asks for, one line of JSON each way.

Each contender has a process of its own because DyNet's settings, and everybody's threads, are the
whole process's. It sleeps on its standard input while others are measured.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
import traceback
from typing import Any

from .libraries import LIBRARIES, settle


class Worker:
    """Runs minibatches of one sample through one program."""

    def __init__(self, job: dict[str, Any]) -> None:
        with open(job["sample"], "rb") as file:
            self.sample = pickle.load(file)
        self.size = job["size"]
        self.library = LIBRARIES[job["library"]](
            job["module"], job["program"], self.sample, job["dim"], job["threads"]
        )
        settle()

    def hello(self) -> dict[str, Any]:
        """What the driver writes down about this contender."""
        return {"version": self.library.version}

    def minibatches(self, request: dict[str, Any]) -> list[list]:
        first = request["first"]
        return [self.sample.minibatch(first + i, self.size) for i in range(request["count"])]

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        """Training steps: their seconds and losses."""
        minibatches = self.minibatches(request)
        start = time.perf_counter()
        losses = [self.library.step(minibatch) for minibatch in minibatches]
        return {"seconds": time.perf_counter() - start, "losses": losses}

    def record(self, request: dict[str, Any]) -> dict[str, Any]:
        """Graphs built and thrown away."""
        minibatches = self.minibatches(request)
        start = time.perf_counter()
        for minibatch in minibatches:
            self.library.record(minibatch)
        return {"seconds": time.perf_counter() - start}

    def split(self, request: dict[str, Any]) -> dict[str, Any]:
        """Training steps with a clock between the phases."""
        return {"phases": self.library.split(self.minibatches(request))}

    def export(self, request: dict[str, Any]) -> dict[str, Any]:
        """Writes the program's parameters to a file."""
        self.library.export(request["file"])
        return {}

    def adopt(self, request: dict[str, Any]) -> dict[str, Any]:
        """Takes the parameters that another library's program wrote."""
        self.library.adopt(request["file"])
        return {}


def main() -> None:
    # Libraries print to standard output what is no answer of ours (DyNet its notices).
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        worker = Worker(json.loads(sys.argv[1]))
        answer(worker.hello())
        for line in sys.stdin:
            request = json.loads(line)
            answer(getattr(worker, request["do"])(request))
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()})


if __name__ == "__main__":
    main()
