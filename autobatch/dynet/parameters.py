"""Parameters and the collections that hold and name them, as DyNet's programs see them.

The numbers live in the parameters of autobatch: a DyNet tensor of dimensions
``(d0, ..., dn)``, column-major, is an array of shape ``(dn, ..., d0)``, row-major. The same
memory, the shape reversed.

Weight decay is DyNet's: every update shrinks all parameters of a collection by a factor.
DyNet keeps the factor apart from the numbers and multiplies at each use; here the numbers are
shrunk, and only what shows the numbers without the factor (``as_array``, ``set_value``)
knows of it.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import _core, functions
from ..engine import direct
from ..parameters import Lookup, Parameter
from ..recording import recorder
from . import config
from .expressions import Expression
from .graph import _CG
from .initializers import (
    ConstInitializer,
    Dims,
    GlorotInitializer,
    IdentityInitializer,
    NormalInitializer,
    PyInitializer,
    UniformInitializer,
)

__all__ = [
    "LookupParameters",
    "Model",
    "ParameterCollection",
    "Parameters",
    "const_parameter",
    "expr_trains",
    "parameter",
]

_LOOKUP_AGAIN = recorder("lookup_again").record

_expr_trains: bool | None = None


def expr_trains(trains: bool) -> None:
    """Decides what ``parameter.expr()`` means where the program does not say.

    In DyNet 2.0 it was the parameter; from 2.1 on, by an oversight, it is a constant: programs
    written for 2.0 run, and no longer train what they use so. The drop-in does as DyNet 2.1
    does and warns once; ``expr_trains(True)`` gives the parameter back to the trainer.

    Args:
        trains: whether ``expr()`` is trained. Setting it, either way, ends the warning.
    """
    global _expr_trains
    _expr_trains = bool(trains)


def _default_update() -> bool:
    global _expr_trains
    if _expr_trains is None:
        _expr_trains = False
        warnings.warn(
            "parameter.expr() is a constant, as in DyNet 2.1: what is computed with it is not "
            "trained. Use the parameter itself or expr(update=True), or restore the meaning of "
            "DyNet 2.0 with dynet.expr_trains(True)",
            UserWarning,
            stacklevel=3,
        )
    return _expr_trains


def _shape(dims: Dims) -> tuple[int, ...]:
    """The shape of the memory. Scalars of no dimension are kept as one number."""
    return dims[::-1] or (1,)


def _turned(array: np.ndarray, dims: Dims) -> np.ndarray:
    """An array in the dimensions a program sees, in double precision as DyNet's are."""
    return np.ascontiguousarray(array, np.float64).reshape(_shape(dims)).T.reshape(dims, order="F")


def _memory(array: Any, dims: Dims) -> np.ndarray:
    """The contrary of `_turned`: numbers as they lie in memory."""
    return np.asarray(array, np.float32).reshape(dims).T.reshape(_shape(dims))


class _Held(Expression):
    """What parameters and lookup parameters share. `_stored`, of the C base class, is the
    parameter of autobatch that has the numbers; that is what operations take."""

    __slots__ = ("_collection", "_dims", "_name")

    _stored: Any
    _collection: ParameterCollection
    _dims: Dims
    _name: str

    kind = "Parameter"

    def __init__(self) -> None:
        raise TypeError(
            f"{type(self).__name__} are made by a ParameterCollection: add_parameters(...) "
            f"or add_lookup_parameters(...)"
        )

    def _factor(self) -> float:
        """What weight decay has made of the numbers so far."""
        return self._collection._root()._decayed

    def _write(self, data: np.ndarray) -> None:
        """Replaces the numbers, given without the factor of weight decay."""
        factor = self._factor()
        _CG.write(self)
        self._stored._data[...] = data if factor == 1.0 else data * np.float32(factor)
        self._stored._touch()

    def _plain(self) -> np.ndarray:
        """The numbers without the factor of weight decay."""
        factor = self._factor()
        data = self._stored._data
        return data if factor == 1.0 else data / np.float32(factor)

    def _full_gradient(self) -> np.ndarray:
        gradient = self._stored.gradient()
        return np.zeros_like(self._stored._data) if gradient is None else gradient

    def name(self) -> str:
        """The full name: collections, then the parameter, ``/`` between them."""
        return self._name

    def is_updated(self) -> bool:
        """Whether trainers change the numbers."""
        return not self._stored._frozen

    def set_updated(self, b: bool) -> None:
        """Sets whether trainers change the numbers. Gradients are summed either way, and are
        kept until an update uses them."""
        self._stored._frozen = not b

    def scale(self, s: float) -> None:
        """Multiplies the numbers by `s`."""
        _CG.write(self)
        data = self._stored._data
        data *= np.float32(s)
        self._stored._touch()

    def scale_gradient(self, s: float) -> None:
        """Multiplies the gradient by `s`."""
        gradient = self._stored._grad
        if gradient is not None:
            gradient *= np.float32(s)

    def zero(self) -> None:
        """Makes all numbers 0."""
        _CG.write(self)
        self._stored._data[...] = 0
        self._stored._touch()

    def save(self, fname: str, key: str = "", append: bool = False) -> None:
        """Writes numbers and gradient to a text file.

        Args:
            fname: the file's path.
            key: the name to write; default: the parameter's.
            append: add to the file instead of replacing it.
        """
        from .saving import save_parameters

        save_parameters(fname, [(self, key or self._name)], append)

    def write_to_textfile(self, fname: str, key: str = "", append: bool = False) -> None:
        """The old name of :meth:`save`."""
        self.save(fname, key, append)

    def _file_dims(self) -> Dims:
        """The dimensions that files give: of a lookup the number of rows last."""
        return self._dims

    def _populate(self, fname: str, key: str) -> None:
        from .saving import populate_one

        if not key:
            raise ValueError("populate() requires a non-empty key, the name in the file")
        populate_one(fname, key, self)

    def populate_from_textfile(self, fname: str, key: str = "") -> None:
        """The old name of :meth:`populate`."""
        self._populate(fname, key)

    def as_array(self) -> np.ndarray:
        """The numbers, of shape :meth:`shape`, float64."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{self.kind} {self._name}"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{self!r} cannot be pickled; save it with dynet.save(...) or its collection with "
            f"collection.save(...)"
        )


class Parameters(_Held):
    """A tensor of trained numbers. It is used as an expression.

    Made by :meth:`ParameterCollection.add_parameters`.

    >>> import autobatch.dynet as dy
    >>> p = dy.ParameterCollection().add_parameters((2, 3), init=1)
    >>> p, p.shape()
    (Parameter /_0, (2, 3))
    """

    __slots__ = ()

    def shape(self) -> Dims:
        """The dimensions."""
        return self._dims

    def as_array(self) -> np.ndarray:
        """The numbers, float64, without the factor of weight decay."""
        return _turned(self._plain(), self._dims)

    def grad_as_array(self) -> np.ndarray:
        """The gradient summed since the last update, float64."""
        return _turned(self._full_gradient(), self._dims)

    def set_value(self, arr: Any) -> None:
        """Replaces the numbers.

        Raises:
            ValueError: the shape is not exactly the parameter's.
        """
        array = np.asarray(arr, np.float32)
        if array.shape != self._dims:
            raise ValueError(
                f"Shape of values and parameter don't match in Parameters.set_value: "
                f"{array.shape} != {self._dims}"
            )
        self._write(_memory(array, self._dims))

    def clip_inplace(self, left: float, right: float) -> None:
        """Limits every number to ``[left, right]``."""
        data = self._stored._data
        _CG.write(self)
        np.minimum(np.maximum(data, np.float32(left)), np.float32(right), out=data)
        self._stored._touch()

    def populate(self, fname: str, key: str) -> None:
        """Reads numbers and gradient from a file.

        Args:
            fname: the file's path.
            key: the name in the file.

        Raises:
            RuntimeError: there is no such name, or its dimensions are others.
        """
        self._populate(fname, key)

    def expr(self, update: bool | None = None) -> Expression:
        """The parameter as an expression of the present graph.

        Args:
            update: False: a constant, no gradient reaches the parameter. Default: False, as in
                DyNet 2.1; see :func:`expr_trains`.
        """
        if _default_update() if update is None else update:
            made: Expression = self._expression()
            return made
        return const_parameter(self)


class LookupParameters(_Held):
    """A table of trained rows, updated by row. ``table[i]`` is row i as an expression.

    Made by :meth:`ParameterCollection.add_lookup_parameters`. Used as an expression itself it
    is the tensor of all rows, the row number being the last dimension.

    >>> import autobatch.dynet as dy
    >>> _ = dy.renew_cg()
    >>> table = dy.ParameterCollection().add_lookup_parameters((5, 3), init=1)
    >>> len(table), table[4].value()
    (5, [1.0, 1.0, 1.0])
    """

    __slots__ = ()

    kind = "LookupParameter"

    # `_dims` is the shape that programs see, rows first. Brackets take a row, in C.

    @property
    def _row_dims(self) -> Dims:
        return self._dims[1:]

    def __len__(self) -> int:
        return self._dims[0]

    def __iter__(self) -> Iterator[Expression]:
        return (self[i] for i in range(len(self)))

    @direct
    def batch(self, i: Sequence[int]) -> Expression:  # type: ignore[override]
        """Rows as a minibatch, one element for each number in the list."""
        rows = functions._labels("lookup", i)
        found: Any = _LOOKUP_AGAIN((self._stored,), (len(rows),), rows)
        return found

    def expr(self, update: bool = True) -> Expression:
        """The table itself."""
        return self if update else const_parameter(self)

    def shape(self) -> Dims:
        """The number of rows, then the dimensions of a row."""
        return self._dims

    def _file_dims(self) -> Dims:
        return (*self._dims[1:], self._dims[0])

    def _rows(self, array: np.ndarray, count: int) -> np.ndarray:
        """Rows as programs see them, from rows as they lie in memory."""
        row = self._row_dims
        array = np.ascontiguousarray(array, np.float64).reshape((count, *reversed(row)))
        return array.transpose((0, *range(array.ndim - 1, 0, -1)))

    def as_array(self) -> np.ndarray:
        """All rows, float64, without the factor of weight decay."""
        return self._rows(self._plain(), len(self))

    def grad_as_array(self) -> np.ndarray:
        """The gradient of all rows, float64."""
        return self._rows(self._full_gradient(), len(self))

    def _checked(self, row: int) -> int:
        index = operator.index(int(row))
        if not 0 <= index < len(self):
            raise IndexError(f"{self!r} has {len(self)} rows; there is no row {row}")
        return index

    def row_as_array(self, row: int) -> np.ndarray:
        """One row, float64."""
        if len(self._dims) == 2 and self._factor() == 1.0:
            numbers: np.ndarray = self._stored._data[self._checked(row)].astype(np.float64)
            return numbers
        return self.rows_as_array([row])[0]

    def rows_as_array(self, rows: Sequence[int]) -> np.ndarray:
        """Several rows, float64, one after the other."""
        wanted = self._wanted(rows)
        numbers, factor = self._stored._data[wanted], self._factor()
        return self._rows(numbers if factor == 1.0 else numbers / np.float32(factor), len(wanted))

    def row_grad_as_array(self, row: int) -> np.ndarray:
        """The gradient of one row, float64."""
        return self.rows_grad_as_array([row])[0]

    def rows_grad_as_array(self, rows: Sequence[int]) -> np.ndarray:
        """The gradients of several rows, float64."""
        wanted = self._wanted(rows)
        stored = self._stored
        if stored._grad is not None:
            return self._rows(self._full_gradient()[wanted], len(wanted))
        found = np.zeros((len(wanted), *stored._data.shape[1:]), stored._data.dtype)
        sparse = stored._sparse
        for place, slot in enumerate(sparse.slot_of_row[wanted]):
            if slot >= 0:
                found[place] = sparse.values[slot]
        return self._rows(found, len(wanted))

    def _wanted(self, rows: Sequence[int]) -> list[int]:
        wanted = [self._checked(row) for row in rows]
        if not wanted:
            raise ValueError(f"{self!r}: the list of rows is empty")
        return wanted

    def init_row(self, i: int, row: Any) -> None:
        """Replaces one row.

        Args:
            i: its number.
            row: its numbers; a flat list is taken in column-major order.
        """
        index, dims = self._checked(i), self._row_dims
        _CG.write(self)
        if self._factor() == 1.0 and self._stored._write_row(index, row):
            return  # a vector: programs read theirs from files, a row at a time
        numbers = np.asarray(row, np.float32)
        if numbers.size != math.prod(dims):
            raise ValueError(
                f"{self!r}: expected a row of {math.prod(dims)} numbers, got {numbers.size}"
            )
        flat = numbers.reshape(-1, order="F")
        data = self._stored._data
        data[index] = (flat * np.float32(self._factor())).reshape(data.shape[1:])
        self._stored._touch()

    def init_from_array(self, arr: Any) -> None:
        """Replaces the first rows by those of an array of shape ``(rows, ...)``.

        Raises:
            ValueError: too many rows, or rows of other dimensions.
        """
        array = np.asarray(arr, np.float32)
        if len(array) > len(self):
            raise ValueError(f"{self!r}: too many rows: {len(array)} of {len(self)}")
        if array.shape[1:] != self._row_dims:
            raise ValueError(
                f"{self!r}: dim mismatch: rows of {array.shape[1:]}, expected {self._row_dims}"
            )
        self._write_rows(array)

    def _write_rows(self, array: np.ndarray) -> None:
        """Replaces the first rows, given as programs see them."""
        data = self._stored._data
        _CG.write(self)
        turned = array.transpose((0, *range(array.ndim - 1, 0, -1)))
        data[: len(array)] = turned.reshape((len(array), *data.shape[1:]))
        if self._factor() != 1.0:
            data[: len(array)] *= np.float32(self._factor())
        self._stored._touch()

    def scale_gradient(self, s: float) -> None:
        super().scale_gradient(s)
        sparse = self._stored._sparse
        sparse.values[: sparse.count] *= np.float32(s)

    def populate(self, fname: str, key: str = "") -> None:
        """Reads numbers and gradient from a file.

        Args:
            fname: the file's path.
            key: the name in the file.

        Raises:
            RuntimeError: there is no such name, or its dimensions are others.
        """
        self._populate(fname, key)


_announced = False


@direct
def parameter(*args: Any) -> Any:
    """Does nothing any more: what it is given comes back, several things as a tuple.

    Before DyNet 2.1, parameters had to be added to each graph.
    """
    global _announced
    if not _announced:
        _announced = True
        print(
            "The dy.parameter(...) call is now DEPRECATED.\n"
            "        There is no longer need to explicitly add parameters to the computation "
            "graph.\n"
            "        Any used parameter will be added automatically."
        )
    return args[0] if len(args) == 1 else args


def const_parameter(*args: Any) -> Any:
    """The parameter as a constant: no gradient reaches it.

    Args:
        args: Parameters or LookupParameters; constants of several are a list.
    """
    constants = [functions.stop_gradient(p) for p in args]
    return constants[0] if len(constants) == 1 else constants


def _checked_name(what: str, name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{what} name must be a string, got {name!r}")
    if "/" in name or "_" in name:
        raise RuntimeError(f"{what} name could not include '/' and '_'; got {name!r}")
    return name


def _checked_dims(dim: Any) -> Dims:
    if type(dim) is int:
        dim = (dim,)
    elif isinstance(dim, (int, np.integer)):
        dim = (int(dim),)
    elif not isinstance(dim, tuple):
        raise TypeError(f"expected dimensions, an int or a tuple of ints, got {dim!r}")
    dims = dim
    for d in dim:
        if type(d) is not int:
            dims = tuple([int(d) for d in dim])
            break
    if (dims and min(dims) < 0) or len(dims) > 7:
        raise ValueError(f"expected at most 7 dimensions, none of them negative, got {dims}")
    return dims


_GLOROT, _ZEROS = GlorotInitializer(), ConstInitializer(0.0)


def _initializer(init: Any, mean: float, std: float, scale: float, he: Dims) -> PyInitializer:
    if isinstance(init, PyInitializer):
        return init
    if isinstance(init, (int, float, np.number)):
        return ConstInitializer(float(init))
    if init == "glorot":
        return _GLOROT
    if init == "uniform":
        return UniformInitializer(scale)
    if init == "normal":
        return NormalInitializer(mean, std * std)
    if init == "he":
        return NormalInitializer(0.0, 1 / (2 * he[-1]))
    if init == "identity":
        return IdentityInitializer()
    raise ValueError(
        f"Didn't recognize initializer {init!r}; there are 'normal', 'uniform', 'glorot', 'he', "
        f"'identity', a number, an array, and the initializer classes"
    )


class ParameterCollection:
    """Holds parameters and sub-collections, names them, saves and loads them.

    Names are paths. A parameter without a name of its own is ``_0``, ``_1``, ...; a second
    ``foo`` is ``foo_1``. Parameters and lookup parameters are counted together, collections
    apart.

    >>> import autobatch.dynet as dy
    >>> m = dy.ParameterCollection()
    >>> sub = m.add_subcollection("sub")
    >>> sub.add_parameters(3, name="foo"), sub.add_lookup_parameters((10, 3)), sub.name()
    (Parameter /sub/foo, LookupParameter /sub/_0, '/sub/')
    """

    def __init__(self, parent: ParameterCollection | None = None) -> None:
        if parent is not None and not isinstance(parent, ParameterCollection):
            raise TypeError(
                f"expected a ParameterCollection, got {type(parent).__name__}; parameters are "
                f"added by add_parameters(...)"
            )
        self._begin("/", None, config.weight_decay())

    def _begin(self, name: str, parent: ParameterCollection | None, decay: float) -> None:
        self._name = name
        self._parent = parent
        self._parameters: list[Parameters] = []
        self._lookups: list[LookupParameters] = []
        self._counts: dict[str, int] = {}
        self._subcollections: dict[str, int] = {}
        self._decay = float(np.float32(decay))
        # Of a root the factor that all its numbers were multiplied by; of any collection what
        # its trainer divides its steps by.
        self._decayed = 1.0

    def _root(self) -> ParameterCollection:
        collection = self
        while collection._parent is not None:
            collection = collection._parent
        return collection

    def _unique(self, counts: dict[str, int], name: str) -> str:
        number = counts.get(name, 0)
        counts[name] = number + 1
        if not name:
            return f"_{number}"
        return f"{name}_{number}" if number else name

    def _new(self, name: str, dims: Dims, source: PyInitializer, lookup: bool) -> Any:
        """A parameter that an initializer gives its numbers."""
        # Small programs make many: this and what it calls is kept short.
        stored: Any
        made: Any
        if lookup:
            stored, made = (
                Lookup._begun(_table(dims), True, name),
                LookupParameters.__new__(LookupParameters),
            )
            source.fill(stored, (*dims[1:], dims[0]), True)
        else:
            stored, made = (
                Parameter._begun(dims[::-1] or (1,), False, name),
                Parameters.__new__(Parameters),
            )
            source.fill(stored, dims)
        made._stored, made._collection, made._name, made._dims = stored, self, name, dims
        collection = self
        while True:
            (collection._lookups if lookup else collection._parameters).append(made)
            if collection._parent is None:
                break
            collection = collection._parent
        if collection._decayed != 1.0:
            data = stored._data
            data *= np.float32(collection._decayed)
        return made

    def add_parameters(
        self,
        dim: Any,
        init: Any = None,
        name: str = "",
        device: str = "",
        scale: float = 1.0,
        mean: float = 0.0,
        std: float = 1.0,
    ) -> Parameters:
        """Adds a parameter.

        Args:
            dim: its dimensions, a tuple or an int.
            init: a number for every element; an array, which also gives the dimensions;
                "normal" (`mean`, `std`), "uniform" (``[-scale, scale)``), "glorot", "he",
                "identity"; or an initializer. Default: "glorot".
            name: may not contain ``/`` or ``_``.
            device: only "" and "CPU".
        """
        name = self._named("Parameter", name, device)
        if isinstance(init, np.ndarray):
            data = _memory(init, init.shape)
            made: Parameters = self._new(name, init.shape, _ZEROS, False)
            made._write(data)
            return made
        dims = _checked_dims(dim)
        source = _GLOROT if init is None else _initializer(init, mean, std, scale, dims)
        return self._new(name, dims, source, False)

    def add_lookup_parameters(
        self,
        dim: Any,
        init: Any = None,
        name: str = "",
        device: str = "",
        scale: float = 1.0,
        mean: float = 0.0,
        std: float = 1.0,
    ) -> LookupParameters:
        """Adds a table of rows.

        Args:
            dim: the number of rows, then the dimensions of a row.
            init, name, device, scale, mean, std: as for :meth:`add_parameters`. An array is
                of shape ``(rows, ...)``.
        """
        name = self._named("LookupParameter", name, device)
        if isinstance(init, np.ndarray):
            data = np.asarray(init, np.float32)
            made: LookupParameters = self._new(name, init.shape, _ZEROS, True)
            made._write_rows(data)
            return made
        dims = _checked_dims(tuple(dim) if isinstance(dim, list) else dim)
        if not isinstance(dim, (tuple, list)):
            dims = (*dims, 1)
        source = _GLOROT if init is None else _initializer(init, mean, std, scale, dims)
        return self._new(name, dims, source, True)

    def parameters_from_numpy(self, array: Any, name: str = "", device: str = "") -> Parameters:
        """Adds a parameter of an array's shape and numbers."""
        return self.add_parameters((), np.asarray(array), name, device)

    def lookup_parameters_from_numpy(
        self, array: Any, name: str = "", device: str = ""
    ) -> LookupParameters:
        """Adds a table of an array's rows, shape ``(rows, ...)``.

        DyNet permutes the numbers of rows of more than one dimension; here they stay in place.
        """
        return self.add_lookup_parameters((), np.asarray(array), name, device)

    def _named(self, what: str, name: str, device: str) -> str:
        """The full name of a new parameter that is called `name`, which may be empty."""
        if device != "" and device != "CPU":
            raise RuntimeError(
                f"Invalid device name: {device}; parameters live on the CPU. A whole program of "
                f"autobatch runs on a GPU by autobatch.use('cuda')"
            )
        if name != "":
            _checked_name(what, name)
        return self._name + self._unique(self._counts, name)

    def add_subcollection(self, name: str = "") -> ParameterCollection:
        """Adds a collection whose parameters belong to this one too.

        Args:
            name: may not contain ``/`` or ``_``; default: a number.
        """
        name = self._unique(self._subcollections, _checked_name("Submodel", name or ""))
        made = ParameterCollection.__new__(ParameterCollection)
        made._begin(f"{self._name}{name}/", self, self._decay)
        return made

    def name(self) -> str:
        """The full name: it begins and ends with ``/``."""
        return self._name

    def parameters_list(self) -> list[Parameters]:
        """The parameters of this collection and of all below it, in the order of their making."""
        return list(self._parameters)

    def lookup_parameters_list(self) -> list[LookupParameters]:
        """The lookup parameters of this collection and of all below it."""
        return list(self._lookups)

    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(p._stored.size for p in [*self._parameters, *self._lookups] if p.is_updated())

    def set_weight_decay(self, lam: float) -> None:
        """Sets how much every update shrinks the parameters: by the factor ``1 - lam``."""
        self._decay = float(np.float32(lam))
        _core.Trainer._ask_all()

    def set_weight_decay_lambda(self, lam: float) -> None:
        """The old name of :meth:`set_weight_decay`."""
        self.set_weight_decay(lam)

    def get_weight_decay(self) -> float:
        """The weight decay."""
        return self._decay

    def _shrink(self) -> None:
        """The weight decay of one update by a trainer of this collection."""
        by = np.float32(1.0 - self._decay)
        self._decayed *= float(by)
        if self._parent is None:
            self._multiply(by)
        if self._decayed < 0.25:
            # As DyNet does lest the factor vanish: it goes into the numbers, where a root's have it
            # already, but for those that trainers leave alone, which are again what they were.
            if self._parent is not None:
                self._multiply(np.float32(self._decayed), frozen=False)
            else:
                self._multiply(np.float32(1 / self._decayed), frozen=True)
            self._decayed = 1.0

    def _multiply(self, by: np.float32, frozen: bool | None = None) -> None:
        """Multiplies the numbers, of parameters that are frozen or that are not, or of all."""
        for held in [*self._parameters, *self._lookups]:
            if frozen is None or held._stored._frozen == frozen:
                data = held._stored._data
                data *= by
                held._stored._touch()

    def save(self, fname: str, name: str = "", append: bool = False) -> None:
        """Writes all parameters, then all lookup parameters, to a text file.

        Args:
            fname: the file's path.
            name: put in place of this collection's name; default: this collection's.
            append: add to the file instead of replacing it.
        """
        from .saving import save_collection

        save_collection(fname, self, name, append)

    def write_to_textfile(self, fname: str, key: str = "", append: bool = False) -> None:
        """The old name of :meth:`save`."""
        self.save(fname, key, append)

    def populate(self, fname: str, key: str = "") -> None:
        """Reads the numbers of all parameters from a file, in the order in which they were made.

        Args:
            fname: the file's path.
            key: of the file only what has a name that begins so; default: all.

        Raises:
            RuntimeError: the file holds more or fewer parameters, or of other dimensions.
        """
        from .saving import populate_collection

        populate_collection(fname, self, key)

    def populate_from_textfile(self, fname: str, key: str = "") -> None:
        """The old name of :meth:`populate`."""
        self.populate(fname, key)

    def load_param(self, fname: str, key: str) -> Parameters:
        """Adds a parameter that a file holds, under the name it has there.

        Args:
            fname: the file's path.
            key: the full name.

        Raises:
            RuntimeError: the file holds no such parameter.
        """
        from .saving import read_entry

        entry = read_entry(fname, key, "Parameter")
        made: Parameters = self._new(self._loaded(key), entry.dims, _ZEROS, False)
        entry.fill(made)
        return made

    def load_lookup_param(self, fname: str, key: str) -> LookupParameters:
        """Adds a table that a file holds, under the name it has there.

        Args:
            fname: the file's path.
            key: the full name.

        Raises:
            RuntimeError: the file holds no such table.
        """
        from .saving import read_entry

        entry = read_entry(fname, key, "LookupParameter")
        dims = (entry.dims[-1], *entry.dims[:-1])
        made: LookupParameters = self._new(self._loaded(key), dims, _ZEROS, True)
        entry.fill(made)
        return made

    def _loaded(self, key: str) -> str:
        self._unique(self._counts, "")  # the name it would have had is used up, as in DyNet
        return key

    def __reduce__(self) -> Any:
        raise TypeError("a ParameterCollection cannot be pickled; use its save(...)")


def _table(dims: Dims) -> tuple[int, ...]:
    """The shape of a table's memory."""
    return (dims[0], *_shape(dims[1:]))


Model = ParameterCollection
