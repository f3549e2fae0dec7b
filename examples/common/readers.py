"""Readers of the three file formats. A malformed file raises `FileFormatError` with file and line.

| example | files in ``--data DIR`` | one line |
|---|---|---|
| ``tree_lstm.py`` | ``train.txt``, ``dev.txt`` | one s-expression, ``(3 (2 It) (4 works))`` |
| ``tagger.py`` | ``train.txt``, ``dev.txt`` | ``word|tag word|tag ...`` |
| ``language_model.py`` | ``train.txt``, ``dev.txt`` | ``word word ...``, or the tagger's files |
| ``transition_parser.py`` | ``train.conllu``, ``dev.conllu`` | CoNLL-U |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn

from autobatch.errors import FileFormatError

# A model walks its tree by plain recursion, so a tree must fit Python's stack of calls.
MAX_DEPTH = 300

# A word may hold spaces that are not ASCII, which `str.split` would cut at.
TOKEN = re.compile(r"[^ \t\r\n]+")
BYTE_ORDER_MARK = "\ufeff"


class TaggedWord(NamedTuple):
    """A word and its tag."""

    word: str
    tag: str


@dataclass(slots=True)
class Tree:
    """A labelled tree. A leaf has a word and no children; any other node has two children."""

    label: int
    word: str | None = None
    children: tuple[Tree, ...] = ()

    def nodes(self) -> Iterator[Tree]:
        """All nodes, the root first."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children))

    def words(self) -> list[str]:
        """The words of the leaves, from left to right."""
        return [node.word for node in self.nodes() if node.word is not None]

    def __str__(self) -> str:
        if self.word is not None:
            return f"({self.label} {self.word})"
        return f"({self.label} {' '.join(map(str, self.children))})"


def fail(path: str | Path, line: int | None, expected: str, got: str) -> NoReturn:
    """Raise `FileFormatError` that names the place, what was expected and what was found."""
    place = f"{path}" if line is None else f"{path}:{line}"
    raise FileFormatError(f"{place}: expected {expected}, got {got}")


def quoted(text: str, limit: int = 40) -> str:
    """`text` in quotes, cut to what fits an error message."""
    return repr(text if len(text) <= limit else text[:limit] + "...")


def text_lines(path: str | Path) -> list[str]:
    """The lines of a UTF-8 file as they stand, each with the line end it has."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        fail(path, None, "a readable file", error.strerror or str(error))
    lines = []
    # Not str.splitlines: it also cuts at characters that are legal inside a word.
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            fail(path, number, "UTF-8 text", f"byte 0x{line[error.start]:02x}")
    return lines


def filled_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Number and text of every line that is not blank."""
    for number, line in enumerate(text_lines(path), start=1):
        text = line.removeprefix(BYTE_ORDER_MARK).strip(" \t\r\n")
        if text:
            yield number, text


def find_split(directory: str | Path, name: str) -> Path:
    """The path of one file of a data directory, for instance ``train.txt``."""
    if not Path(directory).is_dir():
        fail(directory, None, f"a directory that holds {name}", "no such directory")
    path = Path(directory) / name
    if not path.is_file():
        there = sorted(entry.name for entry in Path(directory).iterdir())[:8]
        fail(path, None, "a file", f"none (the directory holds {', '.join(there) or 'nothing'})")
    return path


# ---- trees

TREE_TOKEN = re.compile(r"[()]|[^ \t\r\n()]+")


def parse_tree(text: str, path: str | Path = "<text>", line: int = 1) -> Tree:
    """One s-expression: ``(label word)`` or ``(label tree tree)``, labels whole numbers from 0.

    >>> str(parse_tree("(3 (2 It) (4 works))").children[1])
    '(4 works)'
    """

    def wrong(expected: str, got: str) -> NoReturn:
        fail(path, line, expected + " in a tree like (3 (2 It) (4 works))", got)

    open_nodes: list[list] = []  # label, word, children of every node not yet closed
    tree = None
    for token in TREE_TOKEN.findall(text):
        if tree is not None:
            wrong("one tree a line", f"{quoted(token)} after its end")
        elif token == "(":
            if open_nodes and (open_nodes[-1][0] is None or open_nodes[-1][1] is not None):
                wrong("a label, then one word or two trees", "'('")
            if len(open_nodes) == MAX_DEPTH:
                wrong(f"at most {MAX_DEPTH} levels", "more")
            open_nodes.append([None, None, []])
        elif not open_nodes:
            wrong("'('", quoted(token))
        elif token == ")":
            label, word, children = open_nodes.pop()
            if label is None or (word is None and len(children) != 2):
                wrong("a label, then one word or two trees", f"{len(children)} trees before ')'")
            node = Tree(label, word, tuple(children))
            if open_nodes:
                open_nodes[-1][2].append(node)
            else:
                tree = node
        elif open_nodes[-1][0] is None:
            if not (token.isascii() and token.isdigit() and len(token) < 10):
                wrong("a whole number as label", quoted(token))
            open_nodes[-1][0] = int(token)
        elif open_nodes[-1][1] is not None or open_nodes[-1][2]:
            wrong("')'", quoted(token))
        else:
            open_nodes[-1][1] = token
    if tree is None:
        wrong(f"{max(1, len(open_nodes))} more ')'" if open_nodes else "'('", "the line's end")
    return tree


def read_trees(path: str | Path) -> list[Tree]:
    """The trees of a file, one a line; blank lines are skipped."""
    trees = [parse_tree(text, path, number) for number, text in filled_lines(path)]
    return trees or fail(path, None, "at least one tree", "an empty file")


# ---- words with tags, and words alone


def parse_tagged(text: str, path: str | Path = "<text>", line: int = 1) -> list[TaggedWord]:
    """One sentence of ``word|tag``; the last bar separates, so a word may hold bars.

    >>> parse_tagged("Anna|PER sings|O")[0]
    TaggedWord(word='Anna', tag='PER')
    """
    sentence = []
    for token in TOKEN.findall(text):
        word, _, tag = token.rpartition("|")
        if not word or not tag:
            fail(path, line, "word|tag", quoted(token))
        sentence.append(TaggedWord(word, tag))
    return sentence


def read_tagged(path: str | Path) -> list[list[TaggedWord]]:
    """The sentences of a ``word|tag`` file, one a line; blank lines are skipped."""
    sentences = [parse_tagged(text, path, number) for number, text in filled_lines(path)]
    return sentences or fail(path, None, "at least one sentence", "an empty file")


def read_words(path: str | Path) -> list[list[str]]:
    """The sentences of a text file, words separated by spaces; blank lines are skipped.

    Where every word of the first sentence ends in ``|tag`` it is the tagger's format, and the
    tags are dropped.
    """
    sentences = [TOKEN.findall(text) for _, text in filled_lines(path)]
    if not sentences:
        fail(path, None, "at least one sentence", "an empty file")
    if all(0 < word.rfind("|") < len(word) - 1 for word in sentences[0]):
        return [[word for word, _ in sentence] for sentence in read_tagged(path)]
    return sentences


# ---- dependencies


@dataclass(frozen=True)
class Word:
    """A syntactic word of a sentence. Head 0 is the root, 1 the sentence's first word."""

    form: str
    tag: str
    head: int
    relation: str


@dataclass(frozen=True)
class Sentence:
    """A CoNLL-U sentence.

    Attributes:
        words: its syntactic words.
        lines: its text as read, blank lines after it included: comments, multiword ranges
            (``1-2``) and empty nodes (``1.1``) live here only, and are written back as they are.
        rows: for every word, the index of its line.
    """

    words: tuple[Word, ...]
    lines: tuple[str, ...] = field(repr=False)
    rows: tuple[int, ...] = field(repr=False)

    @property
    def heads(self) -> list[int]:
        """Head of every word."""
        return [word.head for word in self.words]

    def with_arcs(self, arcs: Sequence[tuple[int, str]]) -> Sentence:
        """The same sentence with other heads and relations, one pair a word.

        A line changes only where its head or relation does; its enhanced dependencies (DEPS)
        then become ``_``, because they described the old arc.
        """
        lines, words = list(self.lines), []
        for word, row, (head, relation) in zip(self.words, self.rows, arcs, strict=True):
            if (head, relation) != (word.head, word.relation):
                columns = lines[row].split("\t")
                columns[6:9] = str(head), relation, "_"
                lines[row] = "\t".join(columns)
            words.append(Word(word.form, word.tag, head, relation))
        return Sentence(tuple(words), tuple(lines), self.rows)

    def __str__(self) -> str:
        return "".join(self.lines)


def is_projective(heads: Sequence[int]) -> bool:
    """Whether no two arcs cross, the arc from the root (at place 0) included.

    >>> is_projective([2, 0, 2]), is_projective([3, 4, 0, 3])
    (True, False)
    """
    # Arcs cross exactly where a word inside one of them has its head outside.
    for dependent, head in enumerate(heads, start=1):
        low, high = min(dependent, head), max(dependent, head)
        for between in range(low + 1, high):
            if not low <= heads[between - 1] <= high:
                return False
    return True


WORD_ID = re.compile(r"[1-9][0-9]{0,8}")
RANGE_ID = re.compile(r"([1-9][0-9]{0,8})-([1-9][0-9]{0,8})")
EMPTY_ID = re.compile(r"(0|[1-9][0-9]{0,8})\.([1-9][0-9]{0,8})")
HEAD = re.compile(r"0|[1-9][0-9]{0,8}")


def parse_conllu(lines: Iterable[str], path: str | Path = "<text>") -> list[Sentence]:
    """The sentences of CoNLL-U lines. Heads must form a tree below the root 0.

    >>> text = "1\\tGo\\tgo\\tVERB\\t_\\t_\\t0\\troot\\t_\\t_\\n\\n"
    >>> parse_conllu(text.splitlines(keepends=True))[0].words
    (Word(form='Go', tag='VERB', head=0, relation='root'),)
    """
    sentences: list[Sentence] = []
    block: list[str] = []
    start = 1
    ended = False  # the block's words are over: only blank lines may still belong to it
    for number, line in enumerate(lines, start=1):
        blank = not line.strip("\r\n" + BYTE_ORDER_MARK)
        if ended and not blank:
            sentences.append(parse_sentence(block, path, start))
            block, start, ended = [], number, False
        block.append(line)
        # Blank lines in front of the first sentence belong to it.
        ended = blank and any(text.strip("\r\n" + BYTE_ORDER_MARK) for text in block)
    if any(text.strip("\r\n" + BYTE_ORDER_MARK) for text in block):
        sentences.append(parse_sentence(block, path, start))
    return sentences or fail(path, None, "at least one sentence", "an empty file")


def parse_sentence(block: list[str], path: str | Path, start: int) -> Sentence:
    """One sentence; `start` is the number of the block's first line."""
    words: list[Word] = []
    rows: list[int] = []
    last_empty = (0, 0)
    range_end, range_line = 0, 0
    for row, raw in enumerate(block):
        number, line = start + row, raw.rstrip("\r\n").removeprefix(BYTE_ORDER_MARK)
        if not line:
            continue
        if line.startswith("#"):
            if words:
                fail(path, number, "comments before the words", quoted(line))
            continue
        columns = line.split("\t")
        if len(columns) != 10:
            fail(path, number, "10 columns separated by tabs", f"{len(columns)}: {quoted(line)}")
        if not all(columns):
            fail(path, number, "no empty column ('_' where nothing is known)", quoted(line))
        name, form, _, tag, _, _, head, relation, _, _ = columns
        if match := RANGE_ID.fullmatch(name):
            first, last = int(match[1]), int(match[2])
            if first != len(words) + 1 or last <= first or first <= range_end:
                fail(path, number, f"a range that starts at {len(words) + 1}", quoted(name))
            range_end, range_line = last, number
        elif match := EMPTY_ID.fullmatch(name):
            empty = int(match[1]), int(match[2])
            follows = last_empty[1] + 1 if last_empty[0] == len(words) else 1
            if empty != (len(words), follows):
                fail(path, number, f"empty node {len(words)}.{follows}", quoted(name))
            last_empty = empty
        else:
            if not WORD_ID.fullmatch(name) or int(name) != len(words) + 1:
                fail(path, number, f"word number {len(words) + 1}", quoted(name))
            if not HEAD.fullmatch(head):
                fail(path, number, "a whole number as head", quoted(head))
            words.append(Word(form, tag, int(head), relation))
            rows.append(row)
    if not words:
        fail(path, start, "a sentence with words", "comments or empty nodes only")
    if range_end > len(words):
        fail(path, range_line, f"a range that ends by {len(words)}", f"the end {range_end}")
    check_tree([word.head for word in words], [start + row for row in rows], path)
    return Sentence(tuple(words), tuple(block), tuple(rows))


def check_tree(heads: list[int], numbers: list[int], path: str | Path) -> None:
    """Every word must reach the root 0 over its heads; `numbers` are the words' lines."""
    reaches_root = [True] + [False] * len(heads)
    for word, (head, number) in enumerate(zip(heads, numbers, strict=True), start=1):
        if head > len(heads) or head == word:
            fail(path, number, f"another word's number from 0 to {len(heads)} as head", str(head))
    for word in range(1, len(heads) + 1):
        way: list[int] = []
        while not reaches_root[word]:
            if word in way:
                cycle = f"a cycle through word {word}"
                fail(path, numbers[word - 1], "heads that lead to the root", cycle)
            way.append(word)
            word = heads[word - 1]
        for passed in way:
            reaches_root[passed] = True


def read_conllu(path: str | Path) -> list[Sentence]:
    """The sentences of a CoNLL-U file."""
    return parse_conllu(text_lines(path), path)


def write_conllu(path: str | Path, sentences: Iterable[Sentence]) -> None:
    """Write sentences as they were read but for changed arcs; byte for byte where none changed."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        missing = ""
        for sentence in sentences:
            file.write(missing + str(sentence))
            # The last sentence of a file may lack its blank line: that matters before another.
            ended = not sentence.lines[-1].strip("\r\n")
            missing = "" if ended else "\n" if sentence.lines[-1].endswith("\n") else "\n\n"
