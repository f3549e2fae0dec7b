"""The arc-standard transitions (Nivre 2004), without any model.

Words are numbered from 0. A parser starts with an empty stack and all words waiting; when no word
waits and one is left on the stack, that one is the root. Such trees are projective and have one
root, and every such tree can be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .readers import Sentence, is_projective

SHIFT, LEFT, RIGHT = "SHIFT", "LEFT", "RIGHT"


class Transition(NamedTuple):
    """SHIFT moves the first waiting word onto the stack. LEFT hangs the word below the top from
    the top, RIGHT the top from the word below it; the word that was hung leaves the stack."""

    kind: str
    relation: str = ""


class Configuration:
    """A sentence half parsed: the stack, the first word that waits, the arcs drawn."""

    def __init__(self, length: int, root: str = "root") -> None:
        self.length, self.root = length, root
        self.stack: list[int] = []
        self.next = 0
        self.arcs: dict[int, tuple[int, str]] = {}  # dependent: head, relation

    @property
    def done(self) -> bool:
        """Whether all arcs but the root's are drawn."""
        return self.next == self.length and len(self.stack) == 1

    def legal(self, transition: Transition) -> bool:
        """Whether a transition can be made."""
        if transition.kind == SHIFT:
            return self.next < self.length
        return len(self.stack) >= 2

    @property
    def forced(self) -> bool:
        """Whether SHIFT is all that can be made, so that nothing has to be decided."""
        return len(self.stack) < 2

    def apply(self, transition: Transition) -> None:
        """Make a transition that is legal."""
        if transition.kind == SHIFT:
            self.stack.append(self.next)
            self.next += 1
            return
        dependent = self.stack.pop(-2 if transition.kind == LEFT else -1)
        self.arcs[dependent] = (self.stack[-1], transition.relation)

    def result(self) -> list[tuple[int, str]]:
        """Head (1 is the first word, 0 the root) and relation of every word."""
        arcs = self.arcs | {self.stack[0]: (-1, self.root)}
        return [(arcs[word][0] + 1, arcs[word][1]) for word in range(self.length)]


def has_oracle(sentence: Sentence) -> bool:
    """Whether the transitions can build a sentence's tree: it is projective and has one root."""
    return sentence.heads.count(0) == 1 and is_projective(sentence.heads)


def oracle(sentence: Sentence) -> list[Transition]:
    """The transitions that build a sentence's tree, arcs as early as can be."""
    heads = [head - 1 for head in sentence.heads]
    waiting = [heads.count(word) for word in range(len(heads))]  # dependents not yet hung
    configuration = Configuration(len(heads))
    transitions = []
    while not configuration.done:
        transition = Transition(SHIFT)
        if not configuration.forced:
            below, top = configuration.stack[-2:]
            if heads[below] == top and not waiting[below]:
                transition = Transition(LEFT, sentence.words[below].relation)
                waiting[top] -= 1
            elif heads[top] == below and not waiting[top]:
                transition = Transition(RIGHT, sentence.words[top].relation)
                waiting[below] -= 1
        if not configuration.legal(transition):
            raise ValueError(f"not projective, or not one root: heads {sentence.heads}")
        configuration.apply(transition)
        transitions.append(transition)
    return transitions


def attachment(
    gold: Sequence[Sentence], predicted: Sequence[Sequence[tuple[int, str]]]
) -> dict[str, float]:
    """Unlabelled and labelled attachment score over all words, punctuation included."""
    words = unlabelled = labelled = 0
    for sentence, arcs in zip(gold, predicted, strict=True):
        for word, (head, relation) in zip(sentence.words, arcs, strict=True):
            words += 1
            unlabelled += word.head == head
            labelled += (word.head, word.relation) == (head, relation)
    return {"las": labelled / words, "uas": unlabelled / words}
