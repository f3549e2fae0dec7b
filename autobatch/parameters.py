"""Parameters: numbers that outlive a graph and that trainers change.

:class:`Parameter` is used whole; :class:`Lookup` is a table of rows, of which a graph uses
some and whose gradient is kept by row. Both derive from the C type that the recorder knows,
so they can stand wherever an expression can.
"""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import config, plain
from ._core import Param, Turn
from .backends.memory import address_of, aligned_zeros
from .errors import MemoryLimitError, OperandError, ShapeError
from .initializers import Constant, FromArray, Glorot, Initializer, Uniform

if TYPE_CHECKING:
    from ._core import Expression

Shape = tuple[int, ...]

_turn = Turn()  # to change numbers: no backward pass goes on meanwhile


def _checked_shape(owner: str, shape: Any) -> Shape:
    """A shape as a tuple of positive Python integers."""
    try:
        if plain.is_single(shape):
            dims: Shape = (plain.whole(owner, "shape", shape),)
        else:
            dims = plain.wholes(owner, "shape", shape)
    except OperandError as error:
        raise OperandError(f"{error}; values are given as {owner}(init=array)") from None
    if any(dim < 1 for dim in dims):
        raise ShapeError(f"{owner}: every dimension must be at least 1, got shape {dims}")
    if math.prod(dims) > 2**58:
        raise MemoryLimitError(f"{owner}: no memory holds the numbers of shape {dims}")
    return dims


def _initializer(owner: str, init: Any) -> Initializer:
    if isinstance(init, Initializer):
        return init
    if isinstance(init, (int, float)):
        return Constant(init)
    return FromArray(plain.array(owner, init))


def _held(owner: str, given: Any, values: np.ndarray) -> None:
    """Refuses finite numbers that the number type rounds to infinity."""
    wrong = np.isinf(values) & np.isfinite(given)
    if wrong.any():
        raise OperandError(
            f"{owner}: {int(wrong.sum())} of {wrong.size} numbers are too large for {values.dtype}"
        )


class SparseGradient:
    """The gradient of a lookup's used rows, in the order in which they were first used.

    A row that a backward pass reaches takes the next slot; its gradient is summed in
    ``values[slot]``. Unused slots are always zero. The engine fills the slots, so the table,
    which it knows, is told where they lie.

    Attributes:
        slot_of_row: int32 (rows,): a row's slot, -1 where it has none.
        row_of_slot: int64 (capacity,): the row of each slot.
        values: (capacity, *dim): the gradients; zero from `count` on.

    >>> table = Lookup(10, 2)
    >>> sparse = table._sparse
    >>> sparse.add([7, 3, 7], np.ones((3, 2)))
    >>> sparse.row_of_slot[: sparse.count], sparse.values[: sparse.count, 0]
    (array([7, 3]), array([2., 1.], dtype=float32))
    """

    __slots__ = ("_table", "row_of_slot", "slot_of_row", "values")

    def __init__(self, table: Param, dtype: Any) -> None:
        # A table holds its sparse gradient: not the other way round, too, or they would wait
        # for the collector.
        self._table = weakref.ref(table)
        rows, *dim = table.shape
        self.slot_of_row = np.empty(rows, np.int32)
        self.slot_of_row.fill(-1)
        # The table is not told yet: it looks for nothing where there is no memory for a slot.
        self.row_of_slot, self.values = np.empty(0, np.int64), np.empty((0, *dim), dtype)

    def _place(self, row_of_slot: np.ndarray, values: np.ndarray) -> None:
        self.row_of_slot, self.values = row_of_slot, values
        where = address_of(values), address_of(self.slot_of_row), address_of(row_of_slot)
        self._owner._bind_rows(*where, len(row_of_slot))

    @property
    def _owner(self) -> Param:
        table = self._table()
        assert table is not None, "the table is gone"
        return table

    @property
    def count(self) -> int:
        """Slots in use."""
        return self._owner._slots

    @property
    def capacity(self) -> int:
        """Slots there is memory for."""
        return len(self.row_of_slot)

    def reserve(self, extra: int) -> None:
        """Makes room for `extra` more slots. Addresses of the arrays may change.

        There are never more slots than rows, however often they are used.
        """
        need = min(self.count + extra, len(self.slot_of_row))
        if need <= self.capacity:
            return
        capacity = min(max(need, 2 * self.capacity, 16), len(self.slot_of_row))
        row_of_slot = np.zeros(capacity, np.int64)
        values = aligned_zeros((capacity, *self.values.shape[1:]), self.values.dtype)
        if count := self.count:
            row_of_slot[:count] = self.row_of_slot[:count]
            values[:count] = self.values[:count]
        self._place(row_of_slot, values)

    def add(self, rows: Any, gradients: np.ndarray) -> None:
        """Adds ``gradients[i]`` to the gradient of row ``rows[i]``; rows may repeat."""
        rows = np.asarray(rows, np.int64)
        _, first = np.unique(rows, return_index=True)
        order = rows[np.sort(first)]  # in order of first use, as slots are given out
        fresh = order[self.slot_of_row[order] < 0]
        self.reserve(len(fresh))
        start = self.count
        end = self._owner._slots = start + len(fresh)
        self.row_of_slot[start:end] = fresh
        self.slot_of_row[fresh] = np.arange(start, end)
        np.add.at(self.values, self.slot_of_row[rows], gradients)


class _Stored(Param):
    """What parameters and lookups share: the numbers, their gradient, their name."""

    def __init__(self, shape: Shape, init: Initializer) -> None:
        dtype = np.dtype(config.current().dtype)
        with np.errstate(over="ignore"):
            values = init(shape, dtype)
        given = init.values(shape) if isinstance(init, (Constant, FromArray)) else 0.0
        _held(type(self).__name__, given, values)
        super().__init__(shape, isinstance(self, Lookup), dtype.itemsize, "")
        self._data[...] = values

    @property
    def dtype(self) -> np.dtype:
        """The number type, the configuration's when the parameter was made."""
        return self._data.dtype

    @property
    def size(self) -> int:
        """How many numbers the parameter holds."""
        return self._data.size

    def value(self) -> np.ndarray:
        """A copy of the numbers.

        >>> Parameter(init=[1.0, 2.0]).value()
        array([1., 2.], dtype=float32)
        """
        return self._data.copy()

    def set_value(self, values: Any) -> None:
        """Replaces the numbers; graphs recorded before keep no claim on the old ones.

        Raises:
            ShapeError: `values` has another shape.
            OperandError: `values` are not real numbers, or finite ones that the number type rounds
            to infinity. Infinities themselves are taken.

        >>> p = Parameter(2)
        >>> p.set_value([3, 4])
        >>> p.value()
        array([3., 4.], dtype=float32)
        """
        array = plain.array(f"set_value of {self._label()}", values)
        if array.shape != self._data.shape:
            raise ShapeError(
                f"set_value of {self._label()}: expected shape {self._data.shape}, "
                f"got {array.shape}"
            )
        with np.errstate(over="ignore"):
            values = array.astype(self._data.dtype)
        _held(f"set_value of {self._label()}", array, values)
        with _turn:
            self._data[...] = values
            self._touch()

    @property
    def _grad(self) -> np.ndarray | None:
        """The dense gradient, if there is one."""
        return self._room if self._graded else None

    def _ensure_grad(self) -> np.ndarray:
        """The dense gradient to add to; zero where nothing was added since the last update."""
        if not self._graded:
            self._room[...] = 0
            self._graded = True
        return self._room

    def _kept_gradient(self) -> Any:
        """What `_restore_gradient` takes to make the gradient what it is now."""
        return None if self._grad is None else self._grad.copy()

    def _restore_gradient(self, kept: Any) -> None:
        self._forget()
        if kept is not None:
            self._ensure_grad()[...] = kept

    def gradient(self) -> np.ndarray | None:
        """A copy of the gradient, in the parameter's shape; None if there is none yet."""
        return None if self._grad is None else self._grad.copy()

    def zero_grad(self) -> None:
        """Forgets the gradient; of a lookup it costs what was used, not the table's size."""
        with _turn:
            self._forget()

    def _label(self) -> str:
        kind = type(self).__name__
        return f"{kind} {self.name!r}" if self.name else f"a {kind} of shape {self._data.shape}"

    def __reduce__(self) -> tuple[Any, ...]:
        # The state is what a program, or a subclass, has attached.
        attached = {name: value for name, value in vars(self).items() if name != "_sparse"}
        numbers = type(self), self._data.copy(), self.name, self.trainable
        return _rebuild, numbers, attached or None

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        return f"{type(self).__name__}({name}shape={self._data.shape}, dtype={self._data.dtype})"


class Parameter(_Stored):
    """An array of trained numbers.

    Args:
        shape: an int or a tuple of ints; may be left out where `init` is an array.
        init: by name only: an :class:`~autobatch.initializers.Initializer`, an array (copied),
            or a number for every element. Default: ``Glorot()``.

    Attributes:
        name: its name in messages; a module gives it that of the attribute.
        trainable: whether trainers change it; default True.

    Raises:
        ShapeError: a dimension is smaller than 1, or `init` has another shape.
        OperandError: `shape` is no shape, or `init` no numbers.

    >>> Parameter((3, 2)).shape
    (3, 2)
    >>> Parameter(init=[[1, 2], [3, 4]]).value()
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    >>> Parameter(3, init=0).value()
    array([0., 0., 0.], dtype=float32)
    """

    def __init__(
        self, shape: int | Sequence[int] | None = None, *more: NoReturn, init: Any = None
    ) -> None:
        plain.only_by_name("Parameter", more, "Parameter((4, 4)) has two axes, init=... its values")
        source = Glorot() if init is None else _initializer("Parameter", init)
        if shape is None:
            if not isinstance(source, FromArray):
                raise OperandError("Parameter: give a shape, or an array as init=array")
            shape = source.values(()).shape
        super().__init__(_checked_shape("Parameter", shape), source)


class Lookup(_Stored):
    """A table of trained rows, such as word vectors; trainers change the rows that were used.

    ``lookup[i]`` is row ``i`` as an expression of shape `dim`; ``lookup.batch(ids)`` is a
    manual minibatch of rows.

    Args:
        rows: the number of rows.
        dim: shape of a row, an int or a tuple of ints.
        init: by name, as for :class:`Parameter`: the whole table, ``(rows, *dim)``. With an
            array, `rows` and `dim` may be left out. Default: uniform with variance
            ``1 / size of a row``, so that a row's expected squared length is 1 however many
            rows there are.

    Raises:
        ShapeError: a dimension is smaller than 1, or `init` has another shape.
        OperandError: `rows` and `dim` are no shape, or `init` no numbers.

    >>> Lookup(1000, 64).shape
    (1000, 64)
    >>> Lookup(init=[[1, 2], [3, 4], [5, 6]]).shape
    (3, 2)
    """

    def __init__(
        self,
        rows: int | None = None,
        dim: int | Sequence[int] | None = None,
        *more: NoReturn,
        init: Any = None,
    ) -> None:
        plain.only_by_name(
            "Lookup", more, "Lookup(9, (4, 4)) has two axes a row, init=... its values"
        )
        source = None if init is None else _initializer("Lookup", init)
        if rows is None or dim is None:
            if not isinstance(source, FromArray) or rows is not None or dim is not None:
                raise OperandError(
                    "Lookup: give the number of rows and the dimension of a row, "
                    "or an array as init=array"
                )
            shape = source.values(()).shape
            if len(shape) < 2:
                raise ShapeError(
                    f"Lookup: expected an array of rows, (rows, dim), got shape {shape}"
                )
        else:
            count = _checked_shape("Lookup", rows)
            if len(count) != 1:
                raise OperandError(f"Lookup: rows must be an int, got {rows!r}")
            shape = count + _checked_shape("Lookup", dim)
        shape = _checked_shape("Lookup", shape)
        if source is None:
            source = Uniform(math.sqrt(3.0 / math.prod(shape[1:])))
        super().__init__(shape, source)

    @functools.cached_property
    def _sparse(self) -> SparseGradient:
        return SparseGradient(self, self.dtype)

    def batch(self, ids: Sequence[int]) -> Expression:
        """Rows as a manual minibatch: one expression of shape `dim` and batch size ``len(ids)``.

        Raises:
            OperandError: `ids` is no list of integers, or empty.
            IndexRangeError: there is no such row.

        >>> import autobatch as ab
        >>> table = ab.Lookup(init=[[1, 2], [3, 4], [5, 6]])
        >>> rows = table.batch([2, 0, 2])
        >>> rows.shape, rows.batch_size
        ((2,), 3)
        """
        from .functions import _rows_of

        return _rows_of(self, ids)

    def _kept_gradient(self) -> Any:
        count = self._sparse.count
        rows = self._sparse.row_of_slot[:count].copy()
        return super()._kept_gradient(), rows, self._sparse.values[:count].copy()

    def _restore_gradient(self, kept: Any) -> None:
        dense, rows, values = kept
        super()._restore_gradient(dense)
        if len(rows):
            self._sparse.add(rows, values)

    def gradient(self) -> np.ndarray | None:
        """A dense copy of the gradient, shape ``(rows, *dim)``; None if there is none yet."""
        if self._grad is None and self._slots == 0:
            return None
        dense = np.zeros_like(self._data) if self._grad is None else self._grad.copy()
        sparse = self._sparse
        dense[sparse.row_of_slot[: sparse.count]] += sparse.values[: sparse.count]
        return dense

    def _merge_sparse(self) -> np.ndarray:
        """Moves the gradients of the used rows into the dense gradient and answers that."""
        dense, sparse = self._ensure_grad(), self._sparse
        dense[sparse.row_of_slot[: sparse.count]] += sparse.values[: sparse.count]
        self._forget()
        self._graded = True
        return dense


def _rebuild(kind: type[_Stored], data: np.ndarray, name: str, trainable: bool) -> _Stored:
    """Copying and pickling: a parameter of equal numbers, without a gradient."""
    stored = kind.__new__(kind)
    Param.__init__(stored, data.shape, issubclass(kind, Lookup), data.itemsize, name)
    stored._data[...] = data
    stored.trainable = trainable
    return stored
