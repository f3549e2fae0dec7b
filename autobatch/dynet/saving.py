"""Saved models: DyNet's text format, and ``dynet.save`` and ``dynet.load`` of whole objects.

A file is a sequence of entries of two or three lines each::

    #Parameter# /name {2,3} 97 ZERO_GRAD
    +1.00000000e+00 +2.00000000e+00 ...

The header names the kind, the name, the dimensions and the number of bytes that follow; the
numbers are in column-major order, each followed by a blank. FULL_GRAD instead of ZERO_GRAD
announces a second line with the gradient. Of a lookup parameter the last dimension is the
number of rows. Equal parameters make equal bytes here and in DyNet.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from ..errors import FileFormatError
from ..files import path_of, replaced
from ..parameters import Lookup
from .parameters import Dims, LookupParameters, ParameterCollection, Parameters

__all__ = ["load", "load_generator", "save"]

_CHUNK = 1 << 16  # numbers formatted at a time
_PROTOCOL = 4  # of pickles: that of the Pythons DyNet was built for


@dataclass(frozen=True)
class Entry:
    """One parameter as a file holds it.

    Attributes:
        kind: "Parameter" or "LookupParameter".
        name: the full name.
        dims: the dimensions; of a lookup those of a row, then the number of rows.
        values: the numbers, flat, float32.
        gradient: the gradient, flat, or None if there was none.
    """

    kind: str
    name: str
    dims: Dims
    values: np.ndarray
    gradient: np.ndarray | None

    def fill(self, held: Any) -> None:
        """Puts numbers and gradient into a parameter of these dimensions."""
        stored = held._stored
        held._write(self.values.reshape(stored._data.shape))
        stored.zero_grad()
        if self.gradient is None:
            return
        gradient = self.gradient.reshape(stored._data.shape)
        if isinstance(stored, Lookup):
            rows = np.flatnonzero(gradient.reshape(len(gradient), -1).any(axis=1))
            stored._sparse.add(rows, gradient[rows])
        else:
            stored._ensure_grad()[...] = gradient


def _braced(dims: Dims) -> str:
    return "{" + ",".join(str(d) for d in dims) + "}"


def _line(file: IO[str], numbers: np.ndarray) -> None:
    flat = numbers.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK].tolist()
        file.write("%+.8e " * len(part) % tuple(part))
    file.write("\n")


def _write(file: IO[str], held: Any, name: str) -> None:
    stored = held._stored
    gradient = stored.gradient()
    length = (16 * stored.size + 1) * (1 if gradient is None else 2)
    state = "ZERO_GRAD" if gradient is None else "FULL_GRAD"
    file.write(f"#{held.kind}# {name} {_braced(held._file_dims())} {length} {state}\n")
    _line(file, stored._data)
    if gradient is not None:
        _line(file, gradient)


@contextmanager
def _opened(fname: str, mode: str) -> Iterator[IO[str]]:
    if not isinstance(fname, (str, bytes)) and not hasattr(fname, "__fspath__"):
        raise TypeError(f"expected the path of a file, got {fname!r}")
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(fname, mode, encoding="utf-8", newline="\n"))
        except OSError as error:
            what = "read model from" if mode == "r" else "write model to"
            raise RuntimeError(f"Could not {what} {fname}: {error.strerror}") from error
        yield file


@contextmanager
def _replaced(*names: str, append: bool = False) -> Iterator[Sequence[io.TextIOWrapper]]:
    """Files to write text to, see :func:`autobatch.files.replaced`."""
    for name in names:
        if not isinstance(name, (str, bytes)) and not hasattr(name, "__fspath__"):
            raise TypeError(f"expected the path of a file, got {name!r}")
    paths = [path_of("save", name) for name in names]
    try:
        with replaced("save", *paths, append=append) as files:
            texts = [io.TextIOWrapper(file, encoding="utf-8", newline="\n") for file in files]
            try:
                yield texts
            finally:
                for text in texts:
                    text.detach()  # which writes what it still holds
    except OSError as error:
        raise RuntimeError(f"Could not write model to {names[0]}: {error.strerror}") from error


def save_parameters(fname: str, named: Iterable[tuple[Any, str]], append: bool) -> None:
    """Writes parameters under the names given."""
    with _replaced(fname, append=append) as (file,):
        for held, name in named:
            _write(file, held, name)


def save_collection(fname: str, collection: ParameterCollection, name: str, append: bool) -> None:
    """Writes all parameters of a collection, then all lookup parameters."""
    own = collection.name()
    prefix = own if not name else name if name.endswith("/") else name + "/"
    everything = [*collection.parameters_list(), *collection.lookup_parameters_list()]
    save_parameters(fname, [(p, prefix + p.name()[len(own) :]) for p in everything], append)


@dataclass(frozen=True)
class _Header:
    kind: str
    name: str
    dims: Dims
    full: bool | None


def _header(line: str) -> _Header:
    words = line.split()
    kinds = {"#Parameter#": "Parameter", "#LookupParameter#": "LookupParameter"}
    if len(words) < 4 or words[0] not in kinds or words[2][0] + words[2][-1] != "{}":
        raise RuntimeError(f"Bad parameter specification in model: {line.strip()[:80]}")
    inner = words[2][1:-1]
    dims = tuple(int(d) for d in inner.split(",")) if inner else ()
    # Files of DyNet 2.0 do not say whether gradients follow; their number of bytes does.
    full = words[4] == "FULL_GRAD" if len(words) > 4 else int(words[3]) > 17 * math.prod(dims) + 1
    return _Header(kinds[words[0]], words[1], dims, full)


def _numbers(header: _Header, line: str) -> np.ndarray:
    size = math.prod(header.dims)
    numbers = np.array(line.split(), np.float64).astype(np.float32)
    if numbers.size != size:
        raise RuntimeError(
            f"{header.name}: expected {size} numbers for dimensions {_braced(header.dims)}, "
            f"found {numbers.size}"
        )
    return numbers


def entries(fname: str, prefix: str = "", exactly: bool = False) -> Iterator[Entry]:
    """The entries of a file whose names begin with `prefix`, or equal it.

    Raises:
        RuntimeError: the file cannot be read, or is no such file.
    """
    with _opened(fname, "r") as file:
        while line := file.readline():
            if not line.strip():
                continue
            header = _header(line)
            wanted = header.name == prefix if exactly else header.name.startswith(prefix)
            values = file.readline()
            gradient = file.readline() if header.full else None
            if wanted:
                yield Entry(
                    header.kind,
                    header.name,
                    header.dims,
                    _numbers(header, values),
                    None if gradient is None else _numbers(header, gradient),
                )


def read_entry(fname: str, key: str, kind: str) -> Entry:
    """The entry of a name and kind.

    Raises:
        RuntimeError: there is none.
    """
    for entry in entries(fname, key, exactly=True):
        if entry.kind == kind:
            return entry
    raise RuntimeError(f"Could not find key {key} in the model file {fname}")


def populate_one(fname: str, key: str, held: Any) -> None:
    """Fills one parameter from the entry of a name."""
    entry = read_entry(fname, key, held.kind)
    if entry.dims != held._file_dims():
        raise RuntimeError(
            f"Attempted to populate parameter where arguments don't match "
            f"({_braced(held._file_dims())} != {_braced(entry.dims)})"
        )
    entry.fill(held)


def populate_collection(fname: str, collection: ParameterCollection, prefix: str) -> None:
    """Fills a collection's parameters in order. Nothing is changed unless all fit."""
    waiting: dict[str, Any] = {
        "Parameter": collection.parameters_list(),
        "LookupParameter": collection.lookup_parameters_list(),
    }
    counts = dict.fromkeys(waiting, 0)
    fits = []
    for entry in entries(fname, prefix):
        place = counts[entry.kind]
        if place >= len(waiting[entry.kind]):
            raise RuntimeError(
                f"Too many {'lookup ' * (entry.kind != 'Parameter')}parameters to load in "
                f"populated model at {entry.name}"
            )
        held: Any = waiting[entry.kind][place]
        if entry.dims != held._file_dims():
            raise RuntimeError(
                f"Dimensions of parameter {entry.name} looked up from file "
                f"({_braced(entry.dims)}) do not match parameters to be populated "
                f"({_braced(held._file_dims())})"
            )
        fits.append((entry, held))
        counts[entry.kind] += 1
    expected = {kind: len(held) for kind, held in waiting.items()}
    if counts != expected:
        found, wanted = ("/".join(str(n) for n in c.values()) for c in (counts, expected))
        raise RuntimeError(
            f"Number of parameter/lookup parameter objects loaded from file ({found}) did not "
            f"match number to be populated ({wanted})"
        )
    for entry, held in fits:
        entry.fill(held)


# Whole objects.


def _names() -> Any:
    from .. import dynet

    return dynet


@contextmanager
def _as_dynet_names_them() -> Iterator[None]:
    """Lets classes of this module be pickled as those of DyNet's extension module."""
    public = _names()
    classes = [c for c in vars(public).values() if isinstance(c, type)]
    ours = [c for c in classes if c.__module__.startswith(f"{public.__name__}.")]
    modules = [c.__module__ for c in ours]
    before = sys.modules.get("_dynet")
    try:
        sys.modules["_dynet"] = public
        for c in ours:
            c.__module__ = "_dynet"
        yield
    finally:
        for c, module in zip(ours, modules):
            c.__module__ = module
        if before is None:
            del sys.modules["_dynet"]
        else:
            sys.modules["_dynet"] = before


_MODULES = ("_dynet", "_gdynet", "dynet", "autobatch.dynet")  # of DyNet's names in files


class _Unpickler(pickle.Unpickler):
    """Finds DyNet's builders and operations, and the classes that the caller names.

    Nothing else of a pickle is looked up, so that reading a file runs no code but theirs.
    """

    def __init__(self, file: IO[bytes], classes: Iterable[type]) -> None:
        super().__init__(file)
        self._own = {(c.__module__, c.__qualname__): c for c in classes}
        self._own |= {("__main__", c.__qualname__): c for c in self._own.values()}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._own:
            return self._own[module, name]
        found = None
        if module in _MODULES or module.startswith("autobatch.dynet."):
            public = _names()
            found = getattr(public, name, None) if name in public.__all__ else None
        home = str(getattr(found, "__module__", ""))
        if isinstance(found, type):
            good = home.startswith(("autobatch.dynet.builders", "autobatch.dynet.parameters"))
        else:
            good = callable(found) and home.startswith("autobatch.dynet.operations")
        if not good:
            raise FileFormatError(
                f"load: the file refers to {module}.{name}, which is neither a builder nor an "
                f"operation of DyNet's; if you trust the file and it is a class of your program, "
                f"name it: load(basename, params, classes=[{name.rpartition('.')[2]}])"
            )
        return found


def save(basename: str, objects: Iterable[Any]) -> None:
    """Saves parameters, builders, and objects of a program's own.

    An object of another class must have an attribute ``spec`` that can be pickled, a method
    ``param_collection()``, and a class method ``from_spec(spec, collection)``.

    Args:
        basename: the files are ``basename.data``, in the text format, and ``basename.meta``,
            pickled.
        objects: what to save, in this order.

    Raises:
        AttributeError: an object cannot be saved so.
    """
    with _replaced(f"{basename}.data", f"{basename}.meta") as (data, described):
        meta = described.buffer
        for held in objects:
            if isinstance(held, (Parameters, LookupParameters)):
                kind = "Parameters" if isinstance(held, Parameters) else "LookupParameters"
                pickle.dump((kind, held.name()), meta, _PROTOCOL)
                _write(data, held, held.name())
                continue
            spec, collection = held.spec, held.param_collection()
            with _as_dynet_names_them():
                pickle.dump((type(held), spec, collection.name()), meta, _PROTOCOL)
            for part in (*collection.parameters_list(), *collection.lookup_parameters_list()):
                _write(data, part, part.name())


def load_generator(
    basename: str, params: ParameterCollection, classes: Iterable[type] = ()
) -> Iterator[Any]:
    """Loads what :func:`save` saved, one object after the other.

    Args:
        basename: as given to :func:`save`.
        params: the collection that the parameters are added to.
        classes: classes of the program's own that the file may name. The meta file is a pickle,
            of which nothing is looked up but DyNet's builders and operations and these: name
            classes only for a file that you trust, whose contents they will be given.
            Default: none.

    Raises:
        FileFormatError: the file refers to anything else, or is no such file.
    """
    own = list(classes)
    name = f"{basename}.data"
    with open(f"{basename}.meta", "rb") as meta:
        while meta.peek(1):
            try:
                described = _Unpickler(meta, own).load()
            except (FileFormatError, OSError, MemoryError):
                raise
            except Exception as error:  # whatever a damaged pickle leads to
                raise FileFormatError(f"load: {basename}.meta is damaged: {error}") from error
            if not _is_described(described, own):
                raise FileFormatError(
                    f"load: {basename}.meta is no file of saved objects: it holds "
                    f"{type(described).__name__}, not an object's kind, spec and name"
                )
            if described[0] == "Parameters":
                yield params.load_param(name, described[1])
            elif described[0] == "LookupParameters":
                yield params.load_lookup_param(name, described[1])
            else:
                kind, spec, saved = described
                made = kind.from_spec(spec, params)
                made.param_collection().populate(name, saved)
                yield made


def _is_described(found: Any, own: list[type]) -> bool:
    """Whether it is what `save` writes for one object."""
    if not isinstance(found, tuple) or not found:
        return False
    if found[0] in ("Parameters", "LookupParameters"):
        return len(found) == 2 and isinstance(found[1], str)
    if len(found) != 3 or not isinstance(found[0], type) or not isinstance(found[2], str):
        return False
    return found[0] in own or hasattr(found[0], "from_spec")


def load(basename: str, params: ParameterCollection, classes: Iterable[type] = ()) -> list[Any]:
    """Loads what :func:`save` saved, as a list in the same order.

    Args:
        basename: as given to :func:`save`.
        params: the collection that the parameters are added to.
        classes: classes of the program's own that the file may name, if the file is trusted;
            see :func:`load_generator`.

    Raises:
        FileFormatError: the file refers to anything else, or is no such file.
    """
    return list(load_generator(basename, params, classes))
