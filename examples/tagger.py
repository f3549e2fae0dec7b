"""Tags for words: an LSTM in both directions over words, and over the characters of each word.

Words that training never saw are spelled out. One sentence at a time in the code; words of
all lengths, and sentences of all lengths, run together.

    python examples/tagger.py                     # an invented language, about a minute
    python examples/tagger.py --data DIR          # train.txt, dev.txt: word|tag word|tag ...
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict

from common import grammars, readers, training
from common.readers import TaggedWord
from common.vocabulary import Labels, Vocabulary, majority

import autobatch as ab

Sentence = list[TaggedWord]

# ---- data


def load(options) -> tuple[list[Sentence], list[Sentence]]:
    """Training and development sentences."""
    if options.data is None:
        return grammars.tagged(train=2000, dev=500, seed=options.seed)
    train, dev = (readers.find_split(options.data, name) for name in ("train.txt", "dev.txt"))
    return readers.read_tagged(train), readers.read_tagged(dev)


# ---- model


class Tagger(ab.Module):
    """Scores of the tags for every word of one sentence."""

    def __init__(self, words: Vocabulary, characters: Vocabulary, tags: int, dim: int) -> None:
        self.words, self.characters = words, characters
        self.word = ab.Lookup(len(words), dim)
        self.character = ab.Lookup(len(characters), dim)
        self.spell = ab.BiLSTM(dim, dim)
        self.read = ab.BiLSTM(3 * dim, dim)
        self.out = ab.Linear(2 * dim, tags)

    def encode(self, word: str, rng) -> ab.Expression:
        """One word: a row of its own, and its spelling read from both ends."""
        letters = [self.character[row] for row in self.characters.rows(word)]
        spelled = self.spell.last(letters)
        return ab.concat([self.word[self.words.row(word, rng)], spelled])

    def __call__(self, words: list[str], rng=None) -> list[ab.Expression]:
        """The scores of every word; `rng` is given in training."""
        return [self.out(h) for h in self.read([self.encode(word, rng) for word in words])]


# ---- what is learned, and what is measured


def losses(model: Tagger, tags: Labels, sentence: Sentence, rng) -> list[ab.Expression]:
    """The loss of every word."""
    scores = model([word for word, _ in sentence], rng)
    return [ab.cross_entropy(s, tags[tag]) for s, (_, tag) in zip(scores, sentence, strict=True)]


def evaluate(model: Tagger, tags: Labels, batches) -> dict[str, float]:
    """The share of words whose tag is found; also of those that training never saw."""
    right: dict[bool, list[bool]] = {True: [], False: []}
    for sentences in batches:
        ab.new_graph()
        scores = [s for sentence in sentences for s in model([word for word, _ in sentence])]
        found = ab.values([ab.argmax(s) for s in scores])
        words = [word for sentence in sentences for word in sentence]
        for (word, tag), prediction in zip(words, found, strict=True):
            right[word in model.words].append(int(prediction) == tags[tag])
    everything = right[True] + right[False]
    unseen = right[False] or [True]
    return {
        "dev_accuracy": sum(everything) / len(everything),
        "dev_accuracy_unseen": sum(unseen) / len(unseen),
    }


def baseline(train: list[Sentence], dev: list[Sentence]) -> dict[str, float]:
    """Accuracy of the most frequent tag of each word, or of all words for one never seen."""
    seen: dict[str, Counter] = defaultdict(Counter)
    for sentence in train:
        for word, tag in sentence:
            seen[word][tag] += 1
    common, _ = majority(tag for sentence in train for _, tag in sentence)
    right: dict[bool, list[bool]] = {True: [], False: []}
    for sentence in dev:
        for word, tag in sentence:
            guess = seen[word].most_common(1)[0][0] if word in seen else common
            right[word in seen].append(guess == tag)
    everything, unseen = right[True] + right[False], right[False] or [True]
    return {
        "dev_accuracy": sum(everything) / len(everything),
        "dev_accuracy_unseen": sum(unseen) / len(unseen),
    }


# ---- main


def main(arguments=None) -> None:
    flags = training.Flags(__doc__, "word|tag sentences", epochs=8, batch_size=32, dim=32,
                           learning_rate=3e-3)  # fmt: skip
    options = flags.parse(arguments)
    train, dev = training.limited(options, *load(options))

    words = Vocabulary(word for sentence in train for word, _ in sentence)
    characters = Vocabulary(letter for sentence in train for word, _ in sentence for letter in word)
    tags = Labels(tag for sentence in train for _, tag in sentence)
    model = Tagger(words, characters, len(tags), options.dim)
    training.train(
        training.Task(
            name="tagger",
            model=model,
            train=train,
            dev=dev,
            losses=lambda sentence, rng: losses(model, tags, sentence, rng),
            evaluate=lambda batches: evaluate(model, tags, batches),
            baseline=baseline(train, dev),
            baseline_name="the most frequent tag of each word",
            vocabulary=[*words, *characters, *tags],
        ),
        options,
    )


if __name__ == "__main__":
    sys.exit(training.run(main))
