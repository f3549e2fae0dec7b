"""Data that the examples make for themselves, each with something only its model can see.

Everything is a function of its seed. No example of a development set occurs in training, but for
the language model, whose measure needs sentences as they fall.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

import numpy as np

from .readers import Sentence, TaggedWord, Tree, parse_conllu

Example = TypeVar("Example")


def pick(rng: np.random.Generator, options):
    """One of `options`, all equally likely."""
    return options[int(rng.integers(len(options)))]


def split_unique(
    make: Callable[[np.random.Generator], Example],
    key: Callable[[Example], Hashable],
    train: int,
    dev: int,
    seed: int,
) -> tuple[list[Example], list[Example]]:
    """`train` + `dev` examples of `make`; those of the development set occur nowhere else."""
    rng = np.random.default_rng(seed)
    held_out: dict[Hashable, Example] = {}
    while len(held_out) < dev:
        example = make(rng)
        held_out[key(example)] = example
    training: list[Example] = []
    while len(training) < train:
        example = make(rng)
        if key(example) not in held_out:
            training.append(example)
    return training, list(held_out.values())


# ---- ListOps: trees whose labels can be computed

# Every operator with the value of its empty list and the step that takes one more value.
OPERATORS: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "[MAX": (0, max),
    "[MIN": (9, min),
    "[SUM": (0, lambda value, item: (value + item) % 10),
}


def listops_tree(rng: np.random.Generator, depth: int = 4) -> Tree:
    """A nested list such as ``[MAX 2 9 [SUM 4 7] ]`` after Nangia & Bowman (2018), ten classes.

    The tree is binary and branches to the left, ``((([MAX 2) 9) ...)``, and the label of every
    node is the value of what it holds: of the list as far as it has been read.

    >>> tree = listops_tree(np.random.default_rng(0))
    >>> tree.label == listops_value(tree)
    True
    """
    operator = pick(rng, list(OPERATORS))
    value, step = OPERATORS[operator]
    tree = Tree(value, operator)
    for _ in range(int(rng.integers(2, 5))):
        if depth > 1 and rng.random() < 0.35:
            item = listops_tree(rng, depth - 1)
        else:
            digit = int(rng.integers(10))
            item = Tree(digit, str(digit))
        value = step(value, item.label)
        tree = Tree(value, None, (tree, item))
    return tree


def listops_value(tree: Tree) -> int:
    """The value of a tree, computed from its words alone."""

    def evaluate(node: Tree) -> tuple[int, str]:
        if node.word is not None:
            is_digit = node.word.isdigit()
            return (int(node.word), "") if is_digit else (OPERATORS[node.word][0], node.word)
        value, operator = evaluate(node.children[0])
        item, _ = evaluate(node.children[1])
        return OPERATORS[operator][1](value, item), operator

    return evaluate(tree)[0]


def listops(train: int, dev: int, seed: int) -> tuple[list[Tree], list[Tree]]:
    """Training and development trees."""
    return split_unique(listops_tree, str, train, dev, seed)


# ---- tags that follow from a word's ending and its neighbours

ONSETS = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "kr", "st"]
VOWELS = ["a", "e", "i", "o", "u"]


def stem(rng: np.random.Generator) -> str:
    """A made-up stem of two or three syllables: most are seen once, so spelling must help."""
    return "".join(pick(rng, ONSETS) + pick(rng, VOWELS) for _ in range(int(rng.integers(2, 4))))


def tagged_sentence(rng: np.random.Generator) -> list[TaggedWord]:
    """A sentence whose tags need the ending of a word and its neighbours, on both sides.

    ``-s`` ends a noun in the plural and a verb alike, and only what stands before decides;
    ``lo`` is an article before a noun and a pronoun before a verb; ``-an`` ends an adjective
    if a noun follows and an adverb if none does.
    """

    def noun_phrase() -> Iterator[TaggedWord]:
        if rng.random() < 0.25:
            yield TaggedWord(pick(rng, ["lo", "ri", "mi"]), "PRON")
            return
        plural = rng.random() < 0.5
        yield TaggedWord(pick(rng, ["lo", "una", "ke"]), "DET")
        if rng.random() < 0.4:
            yield TaggedWord(stem(rng) + "an", "ADJ")
        yield TaggedWord(stem(rng) + ("s" if plural else "m"), "NOUN-PL" if plural else "NOUN-SG")

    def clause() -> Iterator[TaggedWord]:
        yield from noun_phrase()
        past = rng.random() < 0.5
        yield TaggedWord(stem(rng) + ("t" if past else "s"), "VERB-PAST" if past else "VERB-PRES")
        if rng.random() < 0.6:
            yield from noun_phrase()
        if rng.random() < 0.4:
            yield TaggedWord(stem(rng) + "an", "ADV")

    words = list(clause())
    while rng.random() < 0.3:
        words += [TaggedWord("et", "CONJ"), *clause()]
    return [*words, TaggedWord(".", "PUNCT")]


def tagged(
    train: int, dev: int, seed: int
) -> tuple[list[list[TaggedWord]], list[list[TaggedWord]]]:
    """Training and development sentences."""
    return split_unique(tagged_sentence, tuple, train, dev, seed)


# ---- a language whose perplexity is known

NOUNS = ["cat", "dog", "bird", "sailor", "singer", "farmer", "robot", "king"]
VERBS = ["see", "like", "follow", "call", "hear", "paint"]
ADJECTIVES = ["small", "tall", "blue", "quiet", "happy"]


class Phrase:
    """A sentence under way: its words and the log-probability of the choices that made them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.words: list[str] = []
        self.log_probability = 0.0

    def chance(self, probability: float) -> bool:
        """True with `probability`."""
        happens = bool(self.rng.random() < probability)
        self.log_probability += math.log(probability if happens else 1.0 - probability)
        return happens

    def add(self, options: list[str], ending: str = "") -> None:
        """One of `options`, all equally likely."""
        self.log_probability -= math.log(len(options))
        self.words.append(pick(self.rng, options) + ending)


def language_sentence(rng: np.random.Generator) -> tuple[list[str], float]:
    """A sentence of an unambiguous grammar, and its log-probability.

    Verbs agree with their subjects, across relative clauses: ``the cats that a dog sees call``.
    Sentences have one derivation each, so the probability is exact, and the perplexity of the
    grammar itself is the least that any model can reach.
    """
    phrase = Phrase(rng)

    def noun_phrase(clauses: float) -> bool:
        plural = phrase.chance(0.5)
        phrase.add(["the", "some", "no"] if plural else ["the", "a", "every"])
        if phrase.chance(0.3):
            phrase.add(ADJECTIVES)
        phrase.add(NOUNS, "s" if plural else "")
        if clauses and phrase.chance(clauses):
            phrase.words.append("that")
            verb(noun_phrase(clauses / 2))
        return plural

    def verb(plural: bool) -> None:
        phrase.add(VERBS, "" if plural else "s")

    verb(noun_phrase(0.4))
    noun_phrase(0.4)
    phrase.words.append(".")
    return phrase.words, phrase.log_probability


def language(train: int, dev: int, seed: int) -> tuple[list[list[str]], list[list[str]], float]:
    """Training and development sentences, and the grammar's perplexity on the latter.

    The end of a sentence counts as a word.
    """
    rng = np.random.default_rng(seed)
    sentences, log_probabilities = zip(
        *(language_sentence(rng) for _ in range(train + dev)), strict=True
    )
    held_out = sentences[train:]
    words = sum(len(sentence) + 1 for sentence in held_out)
    floor = math.exp(-sum(log_probabilities[train:]) / words)
    return list(sentences[:train]), list(held_out), floor


# ---- projective dependencies

PEOPLE = ["ana", "ben", "cora", "dan", "eva", "finn", "gina", "hugo"]
THINGS = ["lamp", "house", "garden", "book", "window", "telescope", "piano", "river", "letter"]
ACTS = ["sees", "paints", "finds", "sells", "carries", "describes"]
QUALITIES = ["red", "heavy", "wooden", "strange", "silent"]
TO_NOUN, TO_VERB = ["of", "like"], ["with", "during", "into"]


def dependency_sentence(rng: np.random.Generator) -> Sentence:
    """A sentence of a projective grammar, built as CoNLL-U text.

    What a prepositional phrase hangs from follows from its preposition, however far away the
    head is: ``of`` and ``like`` take the noun before, ``with``, ``during`` and ``into`` the verb.
    """
    rows: list[list] = []  # form, tag, head's row (None: the root), relation

    def add(form: str, tag: str, relation: str, head: int | None = None) -> int:
        rows.append([form, tag, head, relation])
        return len(rows) - 1

    def noun_phrase(relation: str, depth: int) -> int:
        """The row of the phrase's head, which the caller links."""
        left = []
        if depth == 0 or rng.random() < 0.3:
            noun = add(pick(rng, PEOPLE), "PROPN", relation)
        else:
            left.append(add(pick(rng, ["the", "a"]), "DET", "det"))
            while rng.random() < 0.3:
                left.append(add(pick(rng, QUALITIES), "ADJ", "amod"))
            noun = add(pick(rng, THINGS), "NOUN", relation)
        for row in left:
            rows[row][2] = noun
        if depth and rng.random() < 0.35:
            prepositional(TO_NOUN, "nmod", noun, depth)
        return noun

    def prepositional(words: list[str], relation: str, head: int, depth: int) -> None:
        case = add(pick(rng, words), "ADP", "case")
        noun = noun_phrase(relation, depth - 1)
        rows[case][2], rows[noun][2] = noun, head

    def clause(relation: str, depth: int, head: int | None = None) -> int:
        marker = add("that", "SCONJ", "mark") if relation == "ccomp" else None
        subject = noun_phrase("nsubj", 2)
        adverb = None
        if rng.random() < 0.3:
            adverb = add(pick(rng, ["often", "never", "gladly"]), "ADV", "advmod")
        speaks = depth > 0 and rng.random() < 0.25
        verb = add("says" if speaks else pick(rng, ACTS), "VERB", relation, head)
        for row in (marker, subject, adverb):
            if row is not None:
                rows[row][2] = verb
        if speaks:
            clause("ccomp", depth - 1, verb)
        else:
            rows[noun_phrase("obj", 2)][2] = verb
            while rng.random() < 0.35:
                prepositional(TO_VERB, "obl", verb, 2)
        return verb

    root = clause("root", 2)
    add(".", "PUNCT", "punct", root)
    lines = [f"# text = {' '.join(row[0] for row in rows)}\n"]
    for number, (form, tag, head, relation) in enumerate(rows, start=1):
        place = 0 if head is None else head + 1
        lines.append(f"{number}\t{form}\t_\t{tag}\t_\t_\t{place}\t{relation}\t_\t_\n")
    return parse_conllu([*lines, "\n"])[0]


def dependencies(train: int, dev: int, seed: int) -> tuple[list[Sentence], list[Sentence]]:
    """Training and development sentences."""
    return split_unique(dependency_sentence, str, train, dev, seed)
