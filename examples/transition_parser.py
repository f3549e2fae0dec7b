"""Dependencies: a stack-LSTM transition parser (Dyer et al. 2015), arc-standard, greedy.

Training follows the gold transitions, so that sentences run together; parsing decides step by
step, one sentence at a time. Tags are read from the file.

    python examples/transition_parser.py                # an invented grammar, about a minute
    python examples/transition_parser.py --data DIR --output predicted.conllu
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict

from common import grammars, readers, training
from common.readers import Sentence
from common.transitions import (
    LEFT,
    SHIFT,
    Configuration,
    Transition,
    attachment,
    has_oracle,
    oracle,
)
from common.vocabulary import Vocabulary, majority

import autobatch as ab

# ---- data


def load(options) -> tuple[list[Sentence], list[Sentence]]:
    """Training and development sentences."""
    if options.data is None:
        return grammars.dependencies(train=1000, dev=200, seed=options.seed)
    names = ("train.conllu", "dev.conllu")
    train, dev = (readers.find_split(options.data, name) for name in names)
    return readers.read_conllu(train), readers.read_conllu(dev)


# ---- model


class Parser(ab.Module):
    """Scores of the transitions for one configuration."""

    def __init__(self, words, tags, transitions: list[Transition], root: str, dim: int) -> None:
        self.words, self.tags, self.transitions, self.root = words, tags, transitions, root
        self.number = {transition: row for row, transition in enumerate(transitions)}
        self.word = ab.Lookup(len(words), dim)
        self.tag = ab.Lookup(len(tags), dim)
        self.enter = ab.Linear(2 * dim, dim)
        self.history = ab.Lookup(len(transitions), dim)
        self.stack_lstm = ab.LSTM(dim, dim)
        self.buffer_lstm = ab.LSTM(dim, dim)
        self.history_lstm = ab.LSTM(dim, dim)
        self.compose = ab.Linear(3 * dim, dim)
        self.hidden = ab.Linear(3 * dim, dim)
        self.out = ab.Linear(dim, len(transitions))


class Parse:
    """One sentence under way: a configuration, and what the model has made of it."""

    def __init__(self, model: Parser, sentence: Sentence, rng=None) -> None:
        self.model = model
        self.configuration = Configuration(len(sentence.words), model.root)
        words = model.words.rows([word.form.lower() for word in sentence.words], rng)
        tags = model.tags.rows(word.tag for word in sentence.words)
        self.vectors = [
            ab.tanh(model.enter(ab.concat([model.word[word], model.tag[tag]])))
            for word, tag in zip(words, tags, strict=True)
        ]
        # The buffer is read from its end, so its states are known before parsing starts.
        self.buffer = [model.buffer_lstm.start()]
        for vector in reversed(self.vectors):
            self.buffer.append(model.buffer_lstm.step(vector, self.buffer[-1]))
        # A stack of (vector, LSTM state): the state sums up all that lies below, too.
        self.stack = [(None, model.stack_lstm.start())]
        self.past = model.history_lstm.start()

    def scores(self) -> ab.Expression:
        """The scores of all transitions."""
        seen = [self.stack[-1][1].h, self.buffer[-1].h, self.past.h]
        return self.model.out(ab.tanh(self.model.hidden(ab.concat(seen))))

    def apply(self, transition: Transition) -> None:
        """Make a transition."""
        model = self.model
        row = model.number[transition]
        if transition.kind == SHIFT:
            self.push(self.vectors[self.configuration.next])
            self.buffer.pop()
        else:
            (below, _), (top, _) = self.stack[-2:]
            del self.stack[-2:]
            head, dependent = (top, below) if transition.kind == LEFT else (below, top)
            self.push(ab.tanh(model.compose(ab.concat([head, dependent, model.history[row]]))))
        self.past = model.history_lstm.step(model.history[row], self.past)
        self.configuration.apply(transition)

    def push(self, vector: ab.Expression) -> None:
        self.stack.append((vector, self.model.stack_lstm.step(vector, self.stack[-1][1])))


def parse(model: Parser, sentence: Sentence) -> list[tuple[int, str]]:
    """Head and relation of every word: the best legal transition, step by step."""
    state = Parse(model, sentence)
    shift = Transition(SHIFT)
    while not state.configuration.done:
        transition = shift
        if not state.configuration.forced:
            scores = state.scores().value()
            legal = [t for t in model.transitions if state.configuration.legal(t)]
            transition = max(legal, key=lambda t: scores[model.number[t]])
        state.apply(transition)
    return state.configuration.result()


# ---- what is learned, and what is measured


def losses(model: Parser, example: tuple[Sentence, list[Transition]], rng) -> list[ab.Expression]:
    """The loss of every gold transition that has an alternative."""
    sentence, transitions = example
    state, result = Parse(model, sentence, rng), []
    for transition in transitions:
        if not state.configuration.forced:
            result.append(ab.cross_entropy(state.scores(), model.number[transition]))
        state.apply(transition)
    return result


def evaluate(model: Parser, batches) -> dict[str, float]:
    """Attachment scores, labelled and unlabelled."""
    gold, predicted = [], []
    for examples in batches:
        for sentence, _ in examples:
            ab.new_graph()
            gold.append(sentence)
            predicted.append(parse(model, sentence))
    return attachment(gold, predicted)


def baseline(train: list[Sentence], dev: list[Sentence]) -> dict[str, float]:
    """Scores of the most frequent relation and head, told as a distance, of each tag."""
    seen: dict[str, Counter] = defaultdict(Counter)
    for sentence in train:
        for place, word in enumerate(sentence.words, start=1):
            distance = word.head - place if word.head else 0
            seen[word.tag][distance, word.relation] += 1
    usual = {tag: counts.most_common(1)[0][0] for tag, counts in seen.items()}
    predicted = []
    for sentence in dev:
        guesses = [usual.get(word.tag, (-1, "")) for word in sentence.words]
        predicted.append([
            (place + distance if distance else 0, relation)
            for place, (distance, relation) in enumerate(guesses, start=1)
        ])  # fmt: skip
    return attachment(dev, predicted)


# ---- main


def main(arguments=None) -> None:
    flags = training.Flags(__doc__, "CoNLL-U, train.conllu and dev.conllu", epochs=15,
                           batch_size=32, dim=48, learning_rate=3e-3)  # fmt: skip
    flags.add_argument("--output", metavar="FILE.conllu", help="write what the best model parses")
    options = flags.parse(arguments)
    train, dev = training.limited(options, *load(options))

    usable = [sentence for sentence in train if has_oracle(sentence)]
    if len(usable) < len(train):
        print(f"{len(train) - len(usable)} of {len(train)} training sentences are left out: "
              "not projective, or not one root")  # fmt: skip
    examples = [(sentence, oracle(sentence)) for sentence in usable]
    transitions = sorted({transition for _, gold in examples for transition in gold})
    words = Vocabulary(word.form.lower() for sentence in usable for word in sentence.words)
    tags = Vocabulary(word.tag for sentence in usable for word in sentence.words)
    every_word = [word for sentence in usable for word in sentence.words]
    root, _ = majority(word.relation for word in every_word if word.head == 0)
    model = Parser(words, tags, transitions, root, options.dim)
    training.train(
        training.Task(
            name="transition_parser",
            model=model,
            train=examples,
            dev=[(sentence, []) for sentence in dev],
            losses=lambda example, rng: losses(model, example, rng),
            evaluate=lambda batches: evaluate(model, batches),
            baseline=baseline(usable, dev),
            baseline_name="the most frequent head and relation of each tag",
            vocabulary=[*words, *tags, *map(str, transitions)],
        ),
        options,
    )
    if options.output is not None:
        predicted = []
        with ab.inference():
            for sentence in dev:
                ab.new_graph()
                predicted.append(sentence.with_arcs(parse(model, sentence)))
        readers.write_conllu(options.output, predicted)


if __name__ == "__main__":
    sys.exit(training.run(main))
