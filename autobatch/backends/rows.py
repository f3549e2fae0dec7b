"""Rows of flat arrays: where they lie, gathering, storing and adding them.

A *store* is a flat array of one number type; a row is `size` neighbouring numbers of one.
Positions are worked out on the host, beforehand; what a plan needs of them goes to the
device in one copy (`Pool`). Nothing here knows which module's arrays it moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Ticket = tuple[int, int, tuple[int, ...]]
Get = Callable[[Ticket], Any]


class Pool:
    """Integer arrays that go to the device in one copy."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._length = 0

    def add(self, array: Any) -> Ticket:
        """A ticket for an array, for the function that `upload` returns."""
        array = np.asarray(array, np.int64)
        start, self._length = self._length, self._length + array.size
        self._parts.append(array.reshape(-1))
        return start, self._length, array.shape

    def upload(self, xp: Any) -> Get:
        """Copies all arrays; returns the function from ticket to device array."""
        flat = xp.asarray(np.concatenate([np.zeros(0, np.int64), *self._parts]))
        return lambda ticket: flat[ticket[0] : ticket[1]].reshape(ticket[2])


@dataclass
class Rows:
    """Where some rows lie.

    Attributes:
        shape: shape of the array that `gather` makes of them, rows first.
        size: elements of a row.
        store, start: per row, arrays of the host.
        parts: per store: (store, ticket of the rows or None for all, ticket of the starts
            or a slice where the rows lie side by side).
    """

    shape: tuple[int, ...]
    size: int
    store: np.ndarray
    start: np.ndarray
    parts: list[tuple[int, Ticket | None, Ticket | slice]]


def locate(
    store: np.ndarray, start: np.ndarray, size: int, shape: tuple[int, ...], pool: Pool
) -> Rows:
    """`Rows` of the given places; ``shape``: of one row."""
    parts: list[tuple[int, Ticket | None, Ticket | slice]] = []
    for place in np.unique(store).tolist():
        here = np.flatnonzero(store == place)
        which = None if len(here) == len(store) else pool.add(here)
        first = int(start[here[0]])
        if (start[here] == first + size * np.arange(len(here))).all():
            parts.append((place, which, slice(first, first + size * len(here))))
        else:
            parts.append((place, which, pool.add(start[here])))
    return Rows((len(start), *shape), size, store, start, parts)


def _elements(xp: Any, starts: Any, size: int) -> Any:
    return starts[:, None] + xp.arange(size)


def gather(xp: Any, stores: list[Any], rows: Rows, get: Get) -> Any:
    """The rows as an array of ``rows.shape``; may share memory with its store."""
    held = []
    for store, which, at in rows.parts:
        if isinstance(at, slice):
            found = stores[store][at].reshape((at.stop - at.start) // max(rows.size, 1), rows.size)
        else:
            found = stores[store][_elements(xp, get(at), rows.size)]
        if which is None and rows.size:
            return found.reshape(rows.shape)
        held.append((which, found))
    result = xp.zeros((len(rows.start), rows.size), stores[0].dtype)
    for which, found in held:
        if which is not None and rows.size:
            result[get(which)] = found
    return result.reshape(rows.shape)


def put(xp: Any, stores: list[Any], rows: Rows, get: Get, value: Any) -> None:
    """Stores an array that broadcasts to ``rows.shape``."""
    if not rows.size:
        return
    value = xp.broadcast_to(value, rows.shape).reshape(len(rows.start), rows.size)
    for store, which, at in rows.parts:
        part = value if which is None else value[get(which)]
        if isinstance(at, slice):
            stores[store][at] = part.reshape(-1)
        else:
            stores[store][_elements(xp, get(at), rows.size)] = part


@dataclass
class RowSum:
    """Steps that add rows to stores, no two at one place in one step.

    Atomic additions on a device would come in another order, and give other bits, on every
    run. So rows of one place are first added up in pairs, and rows that overlap otherwise
    take turns.
    """

    size: int
    merges: list[tuple[Ticket, Ticket]]  # (to, from): row numbers
    turns: list[tuple[int, Ticket, Ticket]]  # (store, row numbers, starts)


def turns_apart(start: np.ndarray, size: int) -> list[np.ndarray]:
    """Splits ascending, distinct starts into sets whose rows do not overlap."""
    if len(start) < 2 or np.diff(start).min() >= size:
        return [np.arange(len(start))]
    turns: list[list[int]] = []
    ends: list[int] = []
    for i, at in enumerate(start.tolist()):
        turn = next((t for t, end in enumerate(ends) if end <= at), len(turns))
        if turn == len(turns):
            turns.append([])
            ends.append(0)
        turns[turn].append(i)
        ends[turn] = at + size
    return [np.array(turn) for turn in turns]


def plan_sum(x: Rows, rows: np.ndarray, pool: Pool) -> RowSum:
    """The steps that add the given rows of an array shaped as ``x`` to where ``x`` lies."""
    plan = RowSum(x.size, [], [])
    if x.size == 0 or len(rows) == 0:
        return plan
    rows = rows[np.lexsort((x.start[rows], x.store[rows]))]
    store, start = x.store[rows], x.start[rows]
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (np.diff(store) != 0) | (np.diff(start) != 0)
    heads = np.flatnonzero(fresh)
    rank = np.arange(len(rows)) - np.repeat(heads, np.diff(np.append(heads, len(rows))))
    alive = rows
    while rank.any():
        odd = np.flatnonzero(rank % 2)
        plan.merges.append((pool.add(alive[odd - 1]), pool.add(alive[odd])))
        keep = rank % 2 == 0
        alive, rank = alive[keep], rank[keep] // 2
    for place in np.unique(store).tolist():
        first = rows[fresh & (store == place)]
        for turn in turns_apart(x.start[first], x.size):
            chosen = first[turn]
            plan.turns.append((place, pool.add(chosen), pool.add(x.start[chosen])))
    return plan


def add(xp: Any, stores: list[Any], plan: RowSum, rows: Any, get: Get) -> None:
    """Adds an array of rows as planned."""
    if not plan.turns:
        return
    rows = rows.reshape(-1, plan.size)
    if plan.merges:
        rows = rows.copy()
    for into, of in plan.merges:
        rows[get(into)] += rows[get(of)]
    for store, which, starts in plan.turns:
        at = _elements(xp, get(starts), plan.size)
        stores[store][at] += rows[get(which)]
