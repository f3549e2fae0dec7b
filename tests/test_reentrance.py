"""Blocks that end in any order, graphs that begin and end in the middle of things."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autobatch as ab
from autobatch import _core


def reader(kind: str) -> Iterator[None]:
    """A generator that holds a block for as long as it is open."""
    block = {
        "inference": ab.inference,
        "graph": ab.new_graph,
        "settings": lambda: ab.configure(strategy="depth"),
    }[kind]()
    with block:
        while True:
            yield


def numbers_are_right() -> None:
    w = ab.Parameter(init=[1.0, 2.0])
    ab.new_graph()
    loss = ab.sum(ab.square(w))
    loss.backward()
    assert loss.item() == 5.0
    np.testing.assert_array_equal(w.gradient(), [2.0, 4.0])


KINDS = st.sampled_from(["inference", "graph", "settings"])


@given(actions=st.lists(st.tuples(KINDS, st.integers(0, 5), st.booleans()), max_size=20))
def test_generators_close_in_any_order(actions: list[tuple[str, int, bool]]) -> None:
    """A model of the blocks says whether gradients and which settings there are."""
    before = ab.config.current().strategy
    opened: list[tuple[str, Iterator[None], bool]] = []  # kind, generator, in inference
    try:
        for kind, which, closes in actions:
            if closes and opened:
                opened.pop(which % len(opened))[1].close()
            else:
                around = [inference for k, _, inference in opened if k != "settings"]
                generator = reader(kind)
                next(generator)
                opened.append((kind, generator, kind == "inference" or around[-1:] == [True]))
            graphs = [inference for k, _, inference in opened if k != "settings"]
            w = ab.Parameter(init=[3.0])
            y = ab.sum(w * w)
            assert y.item() == 9.0
            if graphs[-1:] == [True]:
                with pytest.raises(ab.GradientError):
                    y.backward()
            else:
                y.backward()
                assert w.gradient() == [6.0]
            held = any(k == "settings" for k, _, _ in opened)
            assert ab.config.current().strategy == ("depth" if held else before)
    finally:
        for _, generator, _ in opened:
            generator.close()
    numbers_are_right()
    assert ab.config.current().strategy == before


@pytest.mark.parametrize("kind", ["inference", "graph", "settings"])
def test_another_thread_closes_a_generator(kind: str) -> None:
    before = ab.config.current()
    generator = reader(kind)
    next(generator)
    inside = ab.ones(2) * 2.0
    thread = threading.Thread(target=generator.close)
    thread.start()
    thread.join()
    assert ab.config.current() == before
    if kind != "settings":
        with pytest.raises(ab.StaleExpressionError):
            inside.value()
    numbers_are_right()


def test_readers_of_different_length_leave_nothing_open() -> None:
    def short(n: int) -> Iterator[int]:
        with ab.inference():
            yield from range(n)

    a, b = short(2), short(3)
    for _ in zip(a, b):
        pass
    list(a)
    b.close()
    numbers_are_right()


def test_many_graphs_in_a_row_cost_nothing() -> None:
    def chain(begin: Callable[[], object]) -> None:
        for _ in range(20_000):
            begin()
        assert ab.zeros(1).value() == [0.0]

    size = threading.stack_size(256 << 10)
    try:
        for begin in (ab.new_graph, lambda: ab.new_graph().__enter__()):
            thread = threading.Thread(target=chain, args=(begin,))
            thread.start()
            thread.join()
    finally:
        threading.stack_size(size)
    alive = [ab.new_graph() for _ in range(1000)]
    # Each that was replaced without a node has ended, but for the last but one.
    assert sum(graph.alive for graph in alive) == 1


def test_a_block_within_ends_what_a_graph_replaces() -> None:
    x = ab.ones(2) * 3.0
    ab.new_graph()
    with ab.new_graph():
        assert (ab.ones(1) * 2.0).value() == [2.0]
    with pytest.raises(ab.StaleExpressionError):
        x.value()
    with ab.new_graph():
        y = ab.ones(1) * 2.0
    with pytest.raises(ab.StaleExpressionError):
        y.value()


def test_a_finalizer_records() -> None:
    kept = []

    class Watched(ab.Parameter):
        def __del__(self) -> None:
            kept.append(ab.input([7.0, 7.0, 7.0]) * 1.0)

    p = Watched(3)
    x = p * 2.0
    del p, x
    ab.new_graph()
    y = ab.input([1.0, 2.0]) + 1.0
    np.testing.assert_array_equal(y.value(), [2.0, 3.0])
    np.testing.assert_array_equal(kept[0].value(), [7.0, 7.0, 7.0])


@pytest.mark.parametrize("records", [False, True])
def test_an_operand_begins_a_graph(records: bool) -> None:
    class Begins:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            ab.new_graph()
            if records:
                ab.zeros(1) + 1.0
            return np.ones(3)

    x = ab.input([1.0, 2.0, 3.0])
    for call in (
        lambda: ab.add(Begins(), Begins()),
        lambda: x + Begins(),
        lambda: ab.concat([x, Begins()]),
        lambda: ab.cell(lambda a, b: a + b)(ab.ones(3), Begins()),
        lambda: ab.sum([ab.ones(3), Begins(), Begins()]),
    ):
        with pytest.raises((ab.GraphError, ab.StaleExpressionError, ab.OperandError)):
            call()
    numbers_are_right()


def test_a_cell_may_not_begin_graphs() -> None:
    @ab.cell
    def begins(x):
        ab.new_graph()
        return x * 2.0

    with pytest.raises(ab.GraphError, match="begin a graph"):
        begins(ab.ones(2))
    assert (ab.ones(1) * 2.0).value() == [2.0]


W = 384


def long_loss(w: ab.Parameter, steps: int = 900) -> ab.Expression:
    """About half a second of work that no two steps of share."""
    h = ab.input(np.ones((W, 32)))
    for _ in range(steps):
        h = w @ h
    return ab.sum(h)


@pytest.fixture
def interrupted() -> Iterator[Callable[[Callable[[], object]], list[BaseException]]]:
    """Calls a function from a signal's handler, a moment from now; what it raised."""
    raised: list[BaseException] = []

    def install(function: Callable[[], object]) -> list[BaseException]:
        def handler(*_: object) -> None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            try:
                function()
                raised.append(StopIteration())
            except ab.AutobatchError as error:
                raised.append(error)

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        return raised

    yield install
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_a_handler_begins_a_graph_during_a_run(interrupted) -> None:
    w = ab.Parameter(init=np.eye(W) * 0.999)
    loss = long_loss(w)
    loss.backward()
    want = w.gradient()
    w.zero_grad()
    ab.new_graph()
    loss = long_loss(w)
    found: list[np.ndarray] = []

    def begins() -> None:
        ab.new_graph()
        found.append((ab.ones(2) * 2.0).value())

    raised = interrupted(begins)
    loss.backward()
    assert isinstance(raised[0], StopIteration)
    np.testing.assert_array_equal(found[0], [2.0, 2.0])
    np.testing.assert_array_equal(w.gradient(), want)
    numbers_are_right()


def test_a_handler_changes_nothing_during_a_backward_pass(interrupted) -> None:
    w = ab.Parameter(init=np.eye(W) * 0.999)
    trainer = ab.SGD(w, 0.1)
    loss = long_loss(w)
    loss.backward()
    want, numbers = w.gradient(), w.value()
    changes = [trainer.update, w.zero_grad, lambda: w.set_value(numbers * 2.0)]
    for change in [None, *changes]:
        w.zero_grad()
        ab.new_graph()
        loss, small = long_loss(w), ab.sum(w * 0.0)
        loss.value()
        raised = interrupted(change or small.backward)
        loss.backward()
        assert isinstance(raised.pop(), ab.GraphError)
        np.testing.assert_array_equal(w.gradient(), want)
        np.testing.assert_array_equal(w.value(), numbers)


def test_another_thread_ends_the_block_of_a_graph_that_runs() -> None:
    w = ab.Parameter(init=np.eye(W) * 0.999)
    box: list[object] = []

    def body() -> None:
        with ab.new_graph() as graph:
            loss = long_loss(w)
            box.append(graph)
            try:
                box.append(loss.item())
            except ab.StaleExpressionError:  # the graph had ended before it ran
                box.append(1.0)

    thread = threading.Thread(target=body)
    thread.start()
    while not box:
        pass
    box[0].__exit__(None, None, None)  # type: ignore[attr-defined]
    thread.join()
    assert len(box) == 2
    assert np.isfinite(box[1])
    numbers_are_right()


def test_nested_inference_ends_with_the_outer_block() -> None:
    w = ab.Parameter(init=[2.0])
    with ab.inference():
        with ab.inference():
            pass
        with pytest.raises(ab.GradientError):
            ab.sum(w * 2.0).backward()
        ab.new_graph()
        with pytest.raises(ab.GradientError):
            ab.sum(w * 2.0).backward()
    assert not _core.in_inference()
    numbers_are_right()
