"""The loop that all examples share: flags, epochs, progress, early stopping, saving, resuming.

Everything random in a step is a function of (seed, epoch, step), so a run that goes on from a
file, even from the middle of an epoch, needs no generator's state to give the same numbers.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

import numpy as np

import autobatch as ab
from autobatch.errors import ConfigurationError, FileFormatError, GradientError

try:
    from tqdm import tqdm
except ImportError:  # the bar is a comfort, not a need
    tqdm = None

Example = TypeVar("Example")

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130  # exit codes


class UsageError(Exception):
    """A flag, or a combination of flags, that cannot be used."""


class Stop(Exception):
    """Ctrl-C was pressed, and the model is in a state that can be saved."""


# ---- flags


class Flags(argparse.ArgumentParser):
    """The flags that all examples take. A bad one gives one line and exit code 2."""

    def __init__(self, description: str, data: str, epochs: int, batch_size: int, dim: int,
                 learning_rate: float, patience: int = 3) -> None:  # fmt: skip
        super().__init__(description=description.splitlines()[0])
        add = self.add_argument
        add("--data", metavar="DIR", help=f"directory of {data} (default: data made here)")
        add("--limit", metavar="N", type=whole(1), help="use the first N examples only")
        add("--epochs", metavar="N", type=whole(0), default=epochs, help="in all (%(default)s)")
        add("--batch-size", metavar="B", type=whole(1), default=batch_size, help="(%(default)s)")
        add("--dim", metavar="D", type=whole(1), default=dim, help="hidden size (%(default)s)")
        add("--learning-rate", metavar="R", type=positive, default=learning_rate,
            help="(%(default)s)")  # fmt: skip
        add("--patience", metavar="N", type=whole(1), default=patience,
            help="stop after N epochs without a better result (%(default)s)")  # fmt: skip
        add("--seed", metavar="S", type=whole(0), default=1, help="(%(default)s)")
        add("--save", metavar="FILE", help="write model and trainer after every epoch, and on "
            "Ctrl-C; the best model goes to FILE.best")  # fmt: skip
        add("--resume", metavar="FILE", help="go on from a file that --save wrote")
        add("--json", metavar="FILE", help="write one line of metrics per epoch")
        add(
            "--strategy",
            metavar="NAME",
            help="how nodes are batched: none, depth, agenda, frontier",
        )
        add("--threads", metavar="N", type=whole(1), help="(default: all cores)")

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (--help lists the flags)\n")

    def parse(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Parse, check that files can be written, and configure autobatch."""
        options = self.parse_args(arguments)
        for name in ("save", "json", "output"):
            path = getattr(options, name, None)
            if path is not None and (not Path(path).parent.is_dir() or Path(path).is_dir()):
                raise UsageError(f"--{name} {path}: not a file in a directory that exists")
        if options.resume is not None and not Path(options.resume).is_file():
            raise UsageError(f"--resume {options.resume}: no such file")
        chosen = {name: getattr(options, name) for name in ("strategy", "threads", "seed")}
        ab.configure(**{name: value for name, value in chosen.items() if value is not None})
        return options


def whole(least: int) -> Callable[[str], int]:
    """A flag's type: a whole number of at least `least`."""

    def convert(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) < 2**31:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
        return int(text)

    return convert


def positive(text: str) -> float:
    """A flag's type: a number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def share(text: str) -> float:
    """A flag's type: a number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, got {text!r}")
    return value


def limited(
    options: argparse.Namespace, train: Sequence[Example], dev: Sequence[Example]
) -> tuple[Sequence[Example], Sequence[Example]]:
    """Training and development examples, cut as --limit says."""
    return train[: options.limit], dev[: options.limit]


def run(main: Callable[[Sequence[str] | None], None]) -> int:
    """Call an example's `main` and return its exit code; what a user can mend is one line."""
    name = Path(sys.argv[0]).name
    try:
        main(None)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Stop as stop:
        print(f"{name}: {stop}", file=sys.stderr)
        return INTERRUPTED
    except (FileFormatError, ConfigurationError, UsageError, OSError) as error:
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except GradientError as error:
        message = " ".join(str(error).split())
        print(f"{name}: error: {message}; a lower --learning-rate may help", file=sys.stderr)
        return FAILED
    return 0


# ---- the loop


@dataclass
class Task(Generic[Example]):
    """What an example hands to the loop.

    Attributes:
        name: the example's name.
        model: its model.
        train, dev: examples to learn from and to measure on.
        losses: the losses of one example, one a prediction; draws from the generator given.
        evaluate: metrics over minibatches of development examples.
        baseline: metrics of a model that has not learned, in `evaluate`'s names; the first metric
            decides which epoch is the best.
        baseline_name: what the baseline does.
        vocabulary: the words whose order the model's rows follow, checked on resuming.
        lower_is_better: of the first metric.
    """

    name: str
    model: ab.Module
    train: Sequence[Example]
    dev: Sequence[Example]
    losses: Callable[[Example, np.random.Generator], list[Any]]
    evaluate: Callable[[Iterable[Sequence[Example]]], dict[str, float]]
    baseline: dict[str, float]
    baseline_name: str
    vocabulary: Iterable[str]
    lower_is_better: bool = False


@dataclass
class Progress:
    """Where a run stands; saved beside the model."""

    epoch: int = 0  # epochs finished
    step: int = 0  # minibatches of the next epoch that are done
    loss_sum: float = 0.0  # over the predictions of that epoch so far
    predictions: int = 0
    best_epoch: int = 0
    best: dict[str, float] = field(default_factory=dict)


def train(task: Task, options: argparse.Namespace) -> dict[str, float]:
    """Train, print and write what happens, leave the best parameters in the model.

    Returns the metrics of the best epoch. Raises `Stop` when Ctrl-C ends the run early.
    """
    return Loop(task, options).run()


class Loop:
    """One run of `train`."""

    def __init__(self, task: Task, options: argparse.Namespace) -> None:
        self.task, self.options = task, options
        self.trainer = ab.Adam(task.model, learning_rate=options.learning_rate, clip_norm=5.0)
        self.progress = Progress()
        self.metric = next(iter(task.baseline))
        self.best_values: list[np.ndarray] | None = None
        self.stopping = False
        # What must be the same for a saved run to go on as it would have.
        self.settings: dict[str, Any] = {"example": task.name}
        for name in ("dim", "seed", "batch_size", "learning_rate", "limit"):
            self.settings[name] = getattr(options, name)
        self.settings["training examples"] = len(task.train)
        self.settings["vocabulary"] = zlib.crc32("\n".join(task.vocabulary).encode())

    def run(self) -> dict[str, float]:
        options, progress = self.options, self.progress
        started = time.perf_counter()
        if options.resume is not None:
            self.resume(Path(options.resume))
            progress = self.progress
        first = progress.epoch
        if options.json is not None and options.resume is None:
            Path(options.json).write_text("")
        try:
            previous = signal.signal(signal.SIGINT, self.on_interrupt)
        except ValueError:  # not the main thread: Ctrl-C is not ours to take
            previous = None
        try:
            self.epochs()
            self.restore_best()
            if progress.epoch == first:  # nothing was trained: measure what there is
                progress.best = self.evaluate()
        finally:
            if previous is not None:
                signal.signal(signal.SIGINT, previous)
        self.report(time.perf_counter() - started)
        return progress.best

    def epochs(self) -> None:
        """Train until the last epoch, or until nothing is gained any more; save if cut off."""
        options, progress = self.options, self.progress
        try:
            while progress.epoch < options.epochs:
                if progress.epoch - progress.best_epoch >= options.patience:
                    break
                self.epoch()
        except Stop:
            where = f"epoch {progress.epoch + 1}, step {progress.step}"
            if options.save is None:
                raise Stop(f"interrupted in {where}; nothing saved, for want of --save") from None
            self.save(Path(options.save))
            raise Stop(f"interrupted in {where}; go on with --resume {options.save}") from None

    def on_interrupt(self, number: int, frame: object) -> None:
        """Ctrl-C ends the run between two minibatches; a second one, at once."""
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping = True

    def bar(self, batches: list, label: str, done: int = 0) -> Iterator[Sequence]:
        """`batches` from number `done` on, under a progress bar if there is a terminal."""
        progress = None
        if tqdm is not None:
            progress = tqdm(total=len(batches), initial=done, desc=label, leave=False, disable=None)
        try:
            for batch in batches[done:]:
                if self.stopping:
                    raise Stop("interrupted")
                yield batch
                if progress is not None:
                    progress.update()
        finally:
            if progress is not None:
                progress.close()

    def epoch(self) -> None:
        """Train on every example once, measure, save, print one line."""
        task, progress, size = self.task, self.progress, self.options.batch_size
        number = progress.epoch + 1
        started, first = time.perf_counter(), progress.step
        order = self.generator(number, 0).permutation(len(task.train))
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        task.model.train()
        for chosen in self.bar(batches, f"epoch {number}", first):
            rng = self.generator(number, progress.step + 1)
            ab.configure(seed=int(rng.integers(2**31)))  # of dropout
            ab.new_graph()
            losses = [loss for index in chosen for loss in task.losses(task.train[index], rng)]
            if losses:
                loss = ab.mean(losses)
                loss.backward()
                self.trainer.update()
                progress.loss_sum += loss.item() * len(losses)
                progress.predictions += len(losses)
            progress.step += 1
        seconds = time.perf_counter() - started
        sentences = sum(map(len, batches[first:]))
        metrics = self.evaluate()

        train_loss = progress.loss_sum / max(1, progress.predictions)
        speed = sentences / seconds if sentences else 0.0
        progress.epoch, progress.step = number, 0
        progress.loss_sum, progress.predictions = 0.0, 0
        if self.improves(metrics):
            progress.best, progress.best_epoch = metrics, number
            self.best_values = [parameter.value() for parameter in task.model.parameters()]
            if self.options.save is not None:
                self.save(best_path(self.options.save))
        if self.options.save is not None:
            self.save(Path(self.options.save))
        line = {"epoch": number, "train_loss": train_loss, **metrics, "seconds": seconds,
                "sentences_per_second": speed}  # fmt: skip
        if self.options.json is not None:
            with open(self.options.json, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        print(f"epoch {number:3}  train_loss {train_loss:.4f}  "
              + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
              + f"  {seconds:.1f} s  {speed:,.0f} sentences/s", flush=True)  # fmt: skip

    def evaluate(self) -> dict[str, float]:
        """Metrics on the development examples."""
        dev, size = self.task.dev, self.options.batch_size
        batches = [dev[start : start + size] for start in range(0, len(dev), size)]
        self.task.model.eval()
        with ab.inference():
            return self.task.evaluate(self.bar(batches, "measuring"))

    def improves(self, metrics: dict[str, float]) -> bool:
        """Whether `metrics` beat the best so far."""
        if not self.progress.best:
            return True
        gain = metrics[self.metric] - self.progress.best[self.metric]
        return gain < 0 if self.task.lower_is_better else gain > 0

    def generator(self, epoch: int, step: int) -> np.random.Generator:
        """The generator of one step; step 0 is the order of the epoch's examples."""
        return np.random.default_rng([self.options.seed, epoch, step])

    # ---- files

    def metadata(self) -> dict[str, Any]:
        """What is saved beside parameters and trainer."""
        return {"settings": self.settings, "progress": asdict(self.progress)}

    def save(self, path: Path) -> None:
        """Write all that the run needs to go on."""
        ab.save(path, self.task.model, self.trainer, self.metadata())

    def resume(self, path: Path) -> None:
        """Restore parameters, trainer and place, if the file is of a run with these settings."""
        metadata = ab.load_metadata(path)
        try:
            settings, progress = dict(metadata["settings"]), Progress(**metadata["progress"])
        except (KeyError, TypeError, ValueError):
            raise FileFormatError(f"{path}: expected a file that --save wrote") from None
        for name, value in self.settings.items():
            if settings.get(name) != value:
                flag = "--" + name.replace("_", "-") if hasattr(self.options, name) else name
                raise UsageError(f"--resume {path}: saved with {flag} {settings.get(name)}, "
                                 f"which is {value} now")  # fmt: skip
        if progress.best_epoch:
            # A file of the best epoch itself, as FILE.best is, needs no other.
            latest = progress.best_epoch == progress.epoch and not progress.step
            best = path if latest else best_path(path)
            if not best.is_file():
                raise UsageError(f"--resume {path}: {best}, which belongs to it, is missing")
            ab.load(best, self.task.model)
            self.best_values = [parameter.value() for parameter in self.task.model.parameters()]
        ab.load(path, self.task.model, self.trainer)
        self.progress = progress

    def restore_best(self) -> None:
        """Put the best epoch's parameters into the model."""
        if self.best_values is not None:
            parameters = self.task.model.parameters()
            for parameter, value in zip(parameters, self.best_values, strict=True):
                parameter.set_value(value)

    def report(self, seconds: float) -> None:
        """The final line: what was reached, and what it would have been without learning."""
        task, progress = self.task, self.progress
        results = [
            f"{name} {value:.4f} (baseline {task.baseline[name]:.4f})"
            if name in task.baseline else f"{name} {value:.4f}"
            for name, value in progress.best.items()
        ]  # fmt: skip
        print(f"{task.name}: {', '.join(results)}; epoch {progress.best_epoch} of "
              f"{progress.epoch}, {seconds:.0f} s; baseline: {task.baseline_name}")  # fmt: skip


def best_path(path: str | Path) -> Path:
    """Where the best model goes that belongs to ``--save path``."""
    return Path(f"{path}.best")
