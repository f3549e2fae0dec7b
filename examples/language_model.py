"""Which word comes next: an LSTM language model over sentences of all lengths, without padding.

The model reads one sentence; the end of a sentence is predicted like a word.

    python examples/language_model.py                # an invented grammar of known perplexity
    python examples/language_model.py --data DIR     # train.txt, dev.txt: one sentence a line
"""

from __future__ import annotations

import math
import sys
from collections import Counter

from common import grammars, readers, training
from common.vocabulary import Vocabulary

import autobatch as ab

END = "</s>"  # before the first word and after the last

# ---- data


def load(options) -> tuple[list[list[str]], list[list[str]], str]:
    """Training and development sentences, and what is known of the least perplexity."""
    if options.data is None:
        train, dev, floor = grammars.language(train=4000, dev=500, seed=options.seed)
        return train, dev, f" (the grammar itself: {floor:.2f})"
    paths = (readers.find_split(options.data, name) for name in ("train.txt", "dev.txt"))
    train, dev = map(readers.read_words, paths)
    return train, dev, ""


# ---- model


class LanguageModel(ab.Module):
    """Scores of all words at every place of one sentence."""

    def __init__(self, words: Vocabulary, dim: int) -> None:
        self.words = words
        self.embed = ab.Lookup(len(words), dim)
        self.lstm = ab.LSTM(dim, dim)
        self.out = ab.Linear(dim, len(words))

    def __call__(self, sentence: list[str], rng=None) -> list[ab.Expression]:
        """The loss of every word and of the end; `rng` is given in training."""
        rows = self.words.rows([END, *sentence, END], rng)
        states = self.lstm([self.embed[row] for row in rows[:-1]])
        return [ab.cross_entropy(self.out(h), row) for h, row in zip(states, rows[1:], strict=True)]


# ---- what is measured


def evaluate(model: LanguageModel, batches) -> dict[str, float]:
    """Perplexity: how many words the model hesitates between, on average."""
    total, words = 0.0, 0
    for sentences in batches:
        ab.new_graph()
        losses = [loss for sentence in sentences for loss in model(sentence)]
        total += ab.sum(losses).item()
        words += len(losses)
    return {"perplexity": math.exp(total / words)}


def unigram_perplexity(train: list[list[str]], dev: list[list[str]], words: Vocabulary) -> float:
    """Perplexity of words drawn one by one, with add-one smoothing."""
    counts = Counter(row for sentence in train for row in words.rows([*sentence, END]))
    rows = [row for sentence in dev for row in words.rows([*sentence, END])]
    total = counts.total() + len(words)
    return math.exp(-sum(math.log((counts[row] + 1) / total) for row in rows) / len(rows))


# ---- main


def main(arguments=None) -> None:
    flags = training.Flags(__doc__, "sentences, one a line", epochs=6, batch_size=32, dim=64,
                           learning_rate=3e-3)  # fmt: skip
    flags.add_argument("--words", metavar="N", type=training.whole(1), default=10_000,
                       help="size of the vocabulary (%(default)s)")  # fmt: skip
    options = flags.parse(arguments)
    train, dev, known = load(options)
    train, dev = training.limited(options, train, dev)

    everything = (word for sentence in train for word in sentence)
    words = Vocabulary(everything, maximum=options.words, extra=[END])
    model = LanguageModel(words, options.dim)
    training.train(
        training.Task(
            name="language_model",
            model=model,
            train=train,
            dev=dev,
            losses=model,
            evaluate=lambda batches: evaluate(model, batches),
            baseline={"perplexity": unigram_perplexity(train, dev, words)},
            baseline_name=f"how frequent each word is{known}",
            vocabulary=words,
            lower_is_better=True,
        ),
        options,
    )


if __name__ == "__main__":
    sys.exit(training.run(main))
