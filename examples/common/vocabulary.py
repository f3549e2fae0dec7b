"""Words to row numbers, with one row for words that training never saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

UNKNOWN = "<unknown>"


class Vocabulary:
    """The words of the training data, the most frequent first; row 0 stands for all others.

    Args:
        words: every occurrence in the training data.
        minimum: words seen less often get no row of their own.
        maximum: at most that many words, the most frequent ones.
        replace: in training, the probability with which a word seen once is read as unknown
            (Lample et al. 2016), so that row 0 learns what to make of unknown words.
        extra: words that get a row in any case, whether they occur or not.

    >>> words = Vocabulary("to be or not to be".split())
    >>> len(words), words["be"], words["question"], words.rows(["to", "be"])
    (5, 2, 0, [1, 2])
    """

    def __init__(
        self,
        words: Iterable[str],
        minimum: int = 1,
        maximum: int | None = None,
        replace: float = 0.5,
        extra: Sequence[str] = (),
    ) -> None:
        counts = Counter(words)
        ranked = sorted(counts, key=lambda word: -counts[word])[:maximum]
        kept = [word for word in ranked if counts[word] >= minimum and word not in extra]
        self.words = [UNKNOWN, *extra, *kept]
        self.replace = replace
        self._rows = {word: row for row, word in enumerate(self.words)}
        self._singles = {word for word in kept if counts[word] == 1}

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._rows

    def __getitem__(self, word: str) -> int:
        return self._rows.get(word, 0)

    def row(self, word: str, rng: np.random.Generator | None = None) -> int:
        """The row of a word; with `rng` (in training) a word seen once may become unknown."""
        if rng is not None and word in self._singles and rng.random() < self.replace:
            return 0
        return self[word]

    def rows(self, words: Iterable[str], rng: np.random.Generator | None = None) -> list[int]:
        """The row of every word."""
        return [self.row(word, rng) for word in words]


class Labels:
    """A closed set of labels, numbered in the order of the alphabet.

    >>> labels = Labels(["VERB", "NOUN", "VERB"])
    >>> labels["VERB"], labels.names[0], labels["DET"]
    (1, 'NOUN', -1)
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self.names = sorted(set(labels))
        self._rows = {name: row for row, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, name: str) -> int:
        """The number of a label, or -1, which no prediction equals, if training had none such."""
        return self._rows.get(name, -1)


def majority(labels: Iterable[str | int]) -> tuple[str | int, float]:
    """The most frequent label and its share.

    >>> majority("abab" "b")
    ('b', 0.6)
    """
    counts = Counter(labels)
    label, count = counts.most_common(1)[0]
    return label, count / counts.total()
