"""What is measured: tasks, and the contenders of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import data
from .data import Sample, Tree

OURS = "autobatch"
BEFORE = "before"  # another build of autobatch, see before.py
RIVALS = ("dynet", "torch")


@dataclass(frozen=True)
class Contender:
    """One program in one library.

    Attributes:
        library: ``autobatch``, ``dynet``, ``torch``, or ``before``: another build of autobatch.
        program: name of the class in the library's file of the task.
        by_hand: whether the program batches by hand; otherwise it is a loop over examples.
        main: our program that the ratios are taken of.
        slow: measured on one minibatch a round, because it takes tens of times as long.
    """

    library: str
    program: str
    by_hand: bool = False
    main: bool = False
    slow: bool = False

    @property
    def label(self) -> str:
        return f"{self.library} {self.program}"


@dataclass(frozen=True)
class Task:
    """One model on one kind of data.

    Attributes:
        module: of the program files ``programs/<module>.py``, ``rivals/<library>_<module>.py``.
        read: makes the sample out of a data directory or None, and a count of examples.
        size: examples in a minibatch.
        rounds_of: minibatches in a round.
        mode: ``train`` runs whole training steps, ``record`` builds graphs and nothing else.
        operations: counts the recorded operations of a minibatch (mode ``record``).
    """

    name: str
    title: str
    module: str
    read: Callable[[Path | None, int], Sample]
    dim: int
    size: int
    contenders: tuple[Contender, ...]
    rounds_of: int = 20
    mode: str = "train"
    operations: Callable[[list], int] | None = None


def tree_operations(minibatch: list[Tree]) -> int:
    """Operations that ``Plain`` of ``tree_lstm`` records: 16 a leaf, 26 a node above, 2 for all."""

    def count(tree: Tree) -> int:
        if tree.left is None or tree.right is None:
            return 16
        return 26 + count(tree.left) + count(tree.right)

    return 2 + sum(map(count, minibatch))


def chain_operations(minibatch: list) -> int:
    """Operations that ``Chain`` of ``recording`` records: 12 a step, 2 a sequence, 1 for all."""
    return 1 + sum(2 + 12 * len(words) for words, _ in minibatch)


TREE_CONTENDERS = (
    Contender(OURS, "Plain"),
    Contender(OURS, "Affine"),
    Contender(OURS, "Fused"),
    Contender(OURS, "Cells", main=True),
    Contender("dynet", "Plain"),
    Contender("dynet", "Affine"),
    Contender("dynet", "Fused"),
    Contender("torch", "Eager", slow=True),
    Contender("torch", "Levels", by_hand=True),
)

TASKS = (
    Task(
        "rnn",
        "fixed-length RNN, 32 steps, hidden 128, 64 sequences",
        "rnn",
        data.sequences,
        dim=128,
        size=64,
        contenders=(
            Contender(OURS, "Loop", main=True),
            Contender(OURS, "Batched", by_hand=True),
            Contender("dynet", "VanillaLoop"),
            Contender("dynet", "Loop"),
            Contender("dynet", "Batched", by_hand=True),
            Contender("torch", "Loop", slow=True),
            Contender("torch", "Batched", by_hand=True),
        ),
    ),
    Task(
        "language_model",
        "variable-length RNN (language model), hidden 128, 64 sentences",
        "language_model",
        data.sentences,
        dim=128,
        size=64,
        contenders=(
            Contender(OURS, "Loop", main=True),
            Contender("dynet", "VanillaLoop"),
            Contender("dynet", "Loop"),
            Contender("dynet", "Padded", by_hand=True),
            Contender("torch", "Loop", slow=True),
            Contender("torch", "Packed", by_hand=True),
            Contender("torch", "Padded", by_hand=True),
        ),
        rounds_of=3,
    ),
    Task(
        "tagger",
        "tagger with characters, hidden 50, 64 sentences",
        "tagger",
        data.tags,
        dim=50,
        size=64,
        contenders=(
            Contender(OURS, "Tagger", main=True),
            Contender("dynet", "Vanilla"),
            Contender("dynet", "Compact"),
            Contender("torch", "Loop", slow=True),
            Contender("torch", "Packed", by_hand=True),
            Contender("torch", "Padded", by_hand=True),
        ),
        rounds_of=4,
    ),
    *(
        Task(
            f"tree_lstm_{dim}",
            f"Tree-LSTM, dim {dim}, a loss at every node, 50 trees",
            "tree_lstm",
            data.trees,
            dim=dim,
            size=50,
            contenders=TREE_CONTENDERS,
        )
        for dim in (64, 128, 256)
    ),
    Task(
        "parser",
        "stack-LSTM parser with gold actions, dim 64, 32 sentences",
        "parser",
        data.parses,
        dim=64,
        size=32,
        contenders=(
            Contender(OURS, "Parser"),
            Contender(OURS, "Cells", main=True),
            Contender("dynet", "Usual"),
            Contender("dynet", "Autobatching"),
            Contender("torch", "Loop", slow=True),
            Contender("torch", "Stepwise", by_hand=True),
        ),
    ),
    Task(
        "record_trees",
        "building the graph of the Tree-LSTM, 50 trees, plain operators",
        "tree_lstm",
        data.trees,
        dim=64,
        size=50,
        contenders=(
            Contender(OURS, "Plain", main=True),
            Contender(OURS, "PlainCells"),
            Contender("dynet", "Plain"),
        ),
        rounds_of=10,
        mode="record",
        operations=tree_operations,
    ),
    Task(
        "record_chain",
        "building a graph of a hand-written LSTM, 64 sequences of 32 steps",
        "recording",
        data.sequences,
        dim=32,
        size=64,
        contenders=(Contender(OURS, "Chain", main=True), Contender("dynet", "Chain")),
        rounds_of=10,
        mode="record",
        operations=chain_operations,
    ),
)

BY_NAME = {task.name: task for task in TASKS}
GROUPS = {
    "tree_lstm": [task for task in TASKS if task.name.startswith("tree_lstm_")],
    "record": [task for task in TASKS if task.mode == "record"],
}


def chosen(names: list[str]) -> list[Task]:
    """Tasks by name, by group, or all of them."""
    if not names:
        return list(TASKS)
    found: list[Task] = []
    for name in names:
        found += GROUPS.get(name) or [BY_NAME[name]]
    return list(dict.fromkeys(found))
