"""Samples for the benchmarks: the same plain Python objects for every contender.

Each reader returns a :class:`Sample`. With a data directory it reads real text (``trees/``,
``tags/``, ``dependencies/``); without one it draws a sample of about the same sizes: sentence
lengths, word frequencies, word lengths and tree shapes follow the real ones, because they decide
how much there is to batch and to share.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RARE = 5
"""A word seen at most this often shares row 0 of the word table (as in DyNet's own benchmark)."""


@dataclass
class Sample:
    """Examples and the sizes that a model needs; ``examples`` are shared by all contenders."""

    source: str
    examples: list[Any]
    words: int
    classes: int
    characters: int = 0
    extra: dict[str, int] = field(default_factory=dict)

    def minibatch(self, number: int, size: int) -> list[Any]:
        """The ``number``-th minibatch; they wrap around, all contenders walk them in this order."""
        start = number * size
        return [self.examples[(start + i) % len(self.examples)] for i in range(size)]


class Tree:
    """A binary tree with a class at every node; ``word`` is set at leaves only."""

    __slots__ = ("label", "left", "right", "word")

    def __init__(self, label: int, word: int, left: Tree | None = None, right: Tree | None = None):
        self.label = label
        self.word = word
        self.left = left
        self.right = right


class Parse:
    """A sentence with its gold arc-standard actions: 0 shift, odd left arcs, even right arcs."""

    __slots__ = ("actions", "words")

    def __init__(self, words: list[int], actions: list[int]):
        self.words = words
        self.actions = actions


def _numbers(tokens: Iterable[str], above: int = 0) -> dict[str, int]:
    """Rows by falling frequency, from 1; row 0 is for what is seen ``above`` times or less."""
    counts = Counter(tokens)
    return {t: i + 1 for i, (t, n) in enumerate(counts.most_common()) if n > above}


def _zipf(rng: random.Random, size: int) -> Callable[[], int]:
    """Draws of 0..size-1 with probability about 1/(rank + 2.7), the shape of English text."""
    weights = [1.0 / (rank + 2.7) for rank in range(1, size + 1)]
    total = 0.0
    cumulative = [total := total + weight for weight in weights]
    ranks = range(size)
    return lambda: rng.choices(ranks, cum_weights=cumulative)[0]


def _length(rng: random.Random, mean: float, deviation: float, longest: int) -> int:
    return max(2, min(longest, round(rng.gauss(mean, deviation))))


# --- trees -------------------------------------------------------------------------------------


def trees(directory: Path | None, count: int, seed: int = 1) -> Sample:
    """Sentiment trees; without a directory random bracketings labelled by the words' moods."""
    if directory is not None:
        from examples.common import readers

        text = readers.read_trees(readers.find_split(directory / "trees", "train.txt"))
        rows = _numbers(word for tree in text for word in tree.words())

        def convert(tree: readers.Tree) -> Tree:
            if tree.word is not None:
                return Tree(tree.label, rows[tree.word])
            return Tree(tree.label, -1, *map(convert, tree.children))

        examples = [convert(tree) for tree in text[:count]]
        return Sample("Stanford Sentiment Treebank", examples, len(rows) + 1, 5)
    rng = random.Random(seed)
    draw = _zipf(rng, 16000)
    mood = [rng.choice((0, 0, 0, 1, -1)) for _ in range(16000)]

    def grow(length: int) -> tuple[Tree, int]:
        if length == 1:
            word = draw()
            return Tree(2 + mood[word], word + 1), mood[word]
        # Half of the splits take off one word, as in parsed English.
        cut = rng.choice((1, rng.randint(1, length - 1)))
        left, a = grow(cut)
        right, b = grow(length - cut)
        return Tree(max(0, min(4, 2 + a + b)), -1, left, right), a + b

    examples = [grow(_length(rng, 19.1, 9.3, 52))[0] for _ in range(count)]
    return Sample("synthetic trees", examples, 16001, 5)


# --- tagged sentences --------------------------------------------------------------------------


def _spellings(rng: random.Random, size: int) -> list[str]:
    """Words of syllables, frequent ones shorter, so that prefixes repeat as they do in English."""
    syllables = [a + b + c for a in "bcdfghlmnprst" for b in "aeiou" for c in ("", "n", "r", "s")]
    words = []
    for rank in range(size):
        count = 1 if rank < 150 else rng.choice((2, 2, 3)) if rank < 3000 else rng.choice((2, 3, 4))
        words.append("".join(rng.choice(syllables) for _ in range(count)))
    return words


def _tagged_text(count: int, seed: int) -> Iterator[list[tuple[str, str]]]:
    rng = random.Random(seed)
    draw = _zipf(rng, 25000)
    spelling = _spellings(rng, 25000)
    tags = ["O"] * 6 + ["I-PER", "I-LOC", "I-ORG", "I-MISC"]
    tag_of = ["O" if rank < 200 else rng.choice(tags) for rank in range(25000)]
    for _ in range(count):
        ranks = [draw() for _ in range(_length(rng, 24.8, 11.0, 80))]
        yield [(spelling[rank], tag_of[rank]) for rank in ranks]


def tags(directory: Path | None, count: int, seed: int = 1) -> Sample:
    """Sentences of ``(word row, character rows, tag)``; each word's characters between markers."""
    if directory is not None:
        from examples.common import readers

        text = readers.read_tagged(readers.find_split(directory / "tags", "train.txt"))
        source = "WikiNER"
    else:
        text = list(_tagged_text(count, seed))
        source = "synthetic tags"
    rows = _numbers((word for sentence in text for word, _ in sentence), above=RARE)
    letters = _numbers(letter for sentence in text for word, _ in sentence for letter in word)
    classes = _numbers(tag for sentence in text for _, tag in sentence)
    spelled = {
        word: [0, *(letters[letter] for letter in word), 0]
        for sentence in text
        for word, _ in sentence
    }
    examples = [
        [(rows.get(word, 0), spelled[word], classes[tag] - 1) for word, tag in sentence]
        for sentence in text[:count]
    ]
    return Sample(source, examples, len(rows) + 1, len(classes), len(letters) + 1)


# --- language model ----------------------------------------------------------------------------


def sentences(directory: Path | None, count: int, seed: int = 1, vocabulary: int = 2000) -> Sample:
    """Word rows of each sentence, from and to the marker 0, cut to a vocabulary of the top rows."""
    if directory is not None:
        from examples.common import readers

        text = readers.read_words(readers.find_split(directory / "tags", "train.txt"))
        source = "WikiNER text"
    else:
        text = [[word for word, _ in sentence] for sentence in _tagged_text(count, seed)]
        source = "synthetic text"
    rows = _numbers(word for sentence in text for word in sentence)
    unknown = vocabulary - 1
    examples = [[0, *(min(rows[word], unknown) for word in line), 0] for line in text[:count]]
    return Sample(source, examples, vocabulary, vocabulary)


# --- sequences of one length -------------------------------------------------------------------


def sequences(directory: Path | None, count: int, seed: int = 1, length: int = 32) -> Sample:
    """Sequences of one length with a class each; drawn uniformly, so that nothing can be shared."""
    rng = random.Random(seed)
    examples = []
    for _ in range(count):
        words = [rng.randrange(10000) for _ in range(length)]
        examples.append((words, sum(words) % 5))
    return Sample("random sequences", examples, 10000, 5, extra={"length": length})


# --- parses ------------------------------------------------------------------------------------


def _random_heads(rng: random.Random, first: int, last: int, head: int, heads: list[int]) -> None:
    """Fills heads of words first..last, one projective subtree below ``head``."""
    if first > last:
        return
    top = rng.randint(first, last)
    heads[top - 1] = head
    _random_heads(rng, first, top - 1, top, heads)
    _random_heads(rng, top + 1, last, top, heads)


def parses(directory: Path | None, count: int, seed: int = 1) -> Sample:
    """Sentences with their gold arc-standard actions, where there are some (projective ones)."""
    from examples.common import readers
    from examples.common.transitions import LEFT, SHIFT, has_oracle, oracle

    if directory is not None:
        path = readers.find_split(directory / "dependencies", "train.conllu")
        text = readers.read_conllu(path)
        source = "UD English EWT"
    else:
        rng = random.Random(seed)
        draw = _zipf(rng, 6000)
        text = []
        for _ in range(count):
            heads = [0] * _length(rng, 13.0, 8.5, 60)
            _random_heads(rng, 1, len(heads), 0, heads)
            words = (readers.Word(str(draw()), "_", h, f"r{rng.randrange(36)}") for h in heads)
            text.append(readers.Sentence(tuple(words), (), ()))
        source = "synthetic parses"
    rows = _numbers(word.form for sentence in text for word in sentence.words)
    labels = _numbers(word.relation for sentence in text for word in sentence.words)
    examples = []
    for sentence in text[:count]:
        if has_oracle(sentence):
            actions = [
                0 if kind == SHIFT else 2 * labels[relation] - (kind == LEFT)
                for kind, relation in oracle(sentence)
            ]
            examples.append(Parse([rows[word.form] for word in sentence.words], actions))
    return Sample(source, examples, len(rows) + 1, 1 + 2 * len(labels))
