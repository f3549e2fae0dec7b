"""Modules: objects whose parameters are found by looking at their attributes."""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import sys
from collections.abc import Iterable, Iterator, Mapping, Set, Sized
from types import MemberDescriptorType, SimpleNamespace
from typing import Any, TypeVar, cast

import numpy as np

from . import _core, plain
from ._core import Expression
from .errors import ConfigurationError, OperandError
from .parameters import Lookup, Parameter, _Stored

AnyParameter = Parameter | Lookup
Self = TypeVar("Self", bound="Module")

__all__ = ["Module", "named_parameters"]


def _open(kind: type) -> bool:
    """Whether objects of a class may hold parameters: containers, and objects of classes that
    programs define. What works inside Python, NumPy and this package is closed."""
    if issubclass(kind, _CONTAINERS):
        return True
    if issubclass(kind, (type, Expression, _core.Trainer)) or not kind.__flags__ & _HEAP_TYPE:
        return False
    home = kind.__module__.partition(".")[0]
    return home == "__main__" or home not in _CLOSED


def _kept(value: Any) -> Iterable[Any]:
    """The objects in a container that may hold parameters. Those that the garbage collector
    does not track hold nothing but atoms, arrays of objects excepted."""
    return (p for p in value if gc.is_tracked(p) or isinstance(p, np.ndarray))


def _bears(parts: Iterable[Any]) -> bool:
    """Whether a parameter or module lies below any of many objects. All in C, level by level, so
    that a corpus in an attribute costs nanoseconds a part, and no nesting is too deep."""
    seen: set[int] = set()
    level = list(parts)
    while level:
        kinds = set(map(type, level))
        if any(issubclass(kind, (_Stored, Module)) for kind in kinds):
            return True
        if any(issubclass(kind, np.ndarray) for kind in kinds) and any(
            part.dtype.hasobject for part in level if isinstance(part, np.ndarray)
        ):
            return True
        closed = {kind for kind in kinds if not _open(kind)}
        fresh = {id(part): part for part in level if type(part) not in closed}
        for known in seen & fresh.keys():
            del fresh[known]
        seen |= fresh.keys()
        level = gc.get_referents(*fresh.values())
        arrays = any(issubclass(kind, np.ndarray) for kind in set(map(type, level)))
        level = list(_kept(level) if arrays else filter(gc.is_tracked, level))
    return False


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object, in its dictionary and its slots."""
    attributes: dict[str, Any] = getattr(value, "__dict__", {})
    yield from tuple(attributes.items())
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            member = vars(kind).get(name)
            if isinstance(member, MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # it was never assigned to
                    yield name, member.__get__(value)


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    """The named parts of a container that may be or hold parameters, in order."""
    if isinstance(value, Module):
        yield from vars(value).items()
    elif isinstance(value, functools.partial):
        yield from _children([value.func, *value.args])
        yield from _children(value.keywords)
    elif isinstance(value, Mapping):
        items = list(value.items())
        if len(items) < _MANY or _bears(_kept(part for _, part in items)):
            yield from ((str(key), part) for key, part in items)
    elif isinstance(value, np.ndarray):
        yield from ((str(index), part) for index, part in enumerate(value.flat))
    elif isinstance(value, _LISTED):
        parts: list[Any] = [*cast(Iterable[Any], value)]
        if len(parts) >= _MANY and not _bears(_kept(parts)):
            return
        if isinstance(value, Set) and any(isinstance(p, (_Stored, Module)) for p in parts):
            raise ConfigurationError(
                f"a {type(value).__name__} in a module holds parameters, whose order, and with "
                f"it their names, would change from run to run; use a list or a dict"
            )
        yield from ((str(index), part) for index, part in enumerate(parts))
    else:
        yield from _fields(value)


def _holds(value: Any) -> bool:
    """Whether a value is a parameter or may hold some."""
    if isinstance(value, np.ndarray):
        return bool(value.dtype.hasobject)
    return gc.is_tracked(value) and (isinstance(value, _Stored) or _open(type(value)))


def _paths(start: str, value: Any) -> Iterator[tuple[str, Any]]:
    for key, part in _children(value):
        yield start + key, part


def _walk(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every module and parameter below a value, each once, with its dotted name."""
    seen: set[int] = set()
    # What was seen is kept: the number of an object that is gone may be another's.
    todo, alive = [iter([(name, value)])], []
    while todo:
        for path, part in todo[-1]:
            if not _holds(part) or id(part) in seen:
                continue
            seen.add(id(part))
            alive.append(part)
            if isinstance(part, (_Stored, Module)):
                yield path, part
            if not isinstance(part, _Stored):
                todo.append(_paths(f"{path}." if path else "", part))
                break
        else:
            todo.pop()


def named_parameters(model: Any) -> dict[str, AnyParameter]:
    """The parameters of a module, a parameter, or lists and dicts of them, by dotted name.

    A parameter that is reached in several ways appears once, under the first name.

    Raises:
        OperandError: `model` is neither of these.
        ConfigurationError: two parameters would have the same name.

    >>> w = Parameter((2, 3))
    >>> list(named_parameters({"out": [w, Parameter(2), w]}))
    ['out.0', 'out.1']
    """
    if isinstance(model, Iterator):
        model = list(model)
    numbers = isinstance(model, np.ndarray) and not model.dtype.hasobject
    if not isinstance(model, (_Stored, *_CONTAINERS)) or numbers:
        raise OperandError(
            f"expected a Module, a Parameter or a collection of them, got {type(model).__name__}"
        )
    found: dict[str, AnyParameter] = {}
    for name, part in _walk(model, ""):
        if isinstance(part, (Parameter, Lookup)):
            name = name or part.name or "parameter"
            if name in found:
                raise ConfigurationError(
                    f"two parameters are named {name!r}; rename one of the attributes or keys"
                )
            found[name] = part
    return found


def _size(container: Any) -> int:
    """How many parts a container has; an array without axes has one."""
    return container.size if isinstance(container, np.ndarray) else len(container)


class Module:
    """Base class of models and layers.

    Attributes that are parameters or modules, or containers of them, belong to the module;
    nothing needs to be declared, and what is appended to a list later belongs too. Containers
    are lists, tuples, dicts, deques, arrays of objects, dataclasses and objects of your own
    classes. In a set, which has no order, parameters are refused. A parameter's name is the
    path to it: ``"layers.0.weight"``.

    Attributes:
        training: whether the module is being trained; layers with dropout look at it.
            Default True, set by :meth:`train` and :meth:`eval`.

    >>> class Scale(Module):
    ...     def __init__(self, dim):
    ...         self.weight = Parameter(dim, init=1)
    >>> class Model(Module):
    ...     def __init__(self):
    ...         self.words = Lookup(10, 4)
    ...         self.layers = [Scale(4), Scale(4)]
    >>> model = Model()
    >>> [name for name, _ in model.named_parameters()]
    ['words', 'layers.0.weight', 'layers.1.weight']
    >>> model.count()
    48
    """

    training: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        # Names for messages only; named_parameters() finds out for itself. Parameters in a
        # large container go without: assigning data costs nothing.
        if isinstance(value, (_Stored, Module)) or (
            isinstance(value, _CONTAINERS) and isinstance(value, Sized) and _size(value) < _MANY
        ):
            for path, part in _walk(value, name):
                if isinstance(part, _Stored):
                    part.name = path
        object.__setattr__(self, name, value)

    @property
    def trainable(self) -> bool:
        """Whether all parameters of the module are; assigning to it is :meth:`freeze` or
        :meth:`unfreeze`."""
        return all(parameter.trainable for parameter in self.parameters())

    @trainable.setter
    def trainable(self, value: bool) -> None:
        flag = plain.flag(type(self).__name__, "trainable", value)
        for parameter in self.parameters():
            parameter.trainable = flag

    def freeze(self: Self) -> Self:
        """Makes trainers leave all parameters of the module as they are, until :meth:`unfreeze`;
        answers the module. Parameters that are assigned to it later are not frozen.

        >>> class Model(Module):
        ...     def __init__(self):
        ...         self.weight = Parameter(3)
        >>> model = Model().freeze()
        >>> model.weight.trainable, model.count(), model.unfreeze().count()
        (False, 0, 3)
        """
        self.trainable = False
        return self

    def unfreeze(self: Self) -> Self:
        """Makes trainers change all parameters of the module again; answers the module."""
        self.trainable = True
        return self

    def named_parameters(self) -> Iterator[tuple[str, AnyParameter]]:
        """Name and parameter, in the order of the attributes; shared ones once.

        Raises:
            ConfigurationError: two parameters would have the same name.
        """
        yield from named_parameters(self).items()

    def parameters(self) -> list[AnyParameter]:
        """The parameters, in the order of the attributes; shared ones once."""
        return list(named_parameters(self).values())

    def modules(self) -> list[Module]:
        """This module and all modules below it, each once."""
        return [part for _, part in _walk(self, "") if isinstance(part, Module)]

    def count(self) -> int:
        """How many numbers are trained in all (those of parameters set `trainable`)."""
        return sum(p.size for p in self.parameters() if p.trainable)

    def zero_grad(self) -> None:
        """Forgets the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def train(self: Self, mode: bool = True) -> Self:
        """Sets :attr:`training` here and in all modules below; answers the module.

        >>> Module().train(False).training
        False
        """
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self: Self) -> Self:
        """The same as ``train(False)``."""
        return self.train(False)

    def __repr__(self) -> str:
        return _describe(self)


_HEAP_TYPE = 1 << 9  # Python's flag of classes that are made while it runs
_MANY = 64  # parts from which on it is asked first whether there is anything among them
_CLOSED = frozenset({*sys.stdlib_module_names, "numpy", "autobatch"})
_VIEWS: tuple[type, ...] = (type({}.values()), type({}.keys()), type({}.items()))
_LISTED = (list, tuple, collections.deque, collections.UserList, Set, *_VIEWS)
_CONTAINERS = (Module, Mapping, *_LISTED, np.ndarray, SimpleNamespace, functools.partial)


def _describe(model: Module) -> str:
    """A module's text: parameters by kind and shape, containers by their parts. What was told
    before is told by its class alone."""
    told: set[int] = set()
    lines: list[str] = []

    def begin(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]] | None:
        """Writes the first line of a value; answers what is to be told below it."""
        pad, kind = "  " * depth + (f"{name}: " if name else ""), type(value).__name__
        if isinstance(value, _Stored):
            lines.append(f"{pad}{kind}{value.shape}")
            return None
        if id(value) in told:
            lines.append(f"{pad}{kind}(...)")
            return None
        told.add(id(value))
        parts = [item for item in _children(value) if _holds(item[1]) and _bears([item[1]])]
        listed = isinstance(value, (list, tuple))
        opening = "{" if isinstance(value, Mapping) else "[" if listed else f"{kind}("
        closing = {"{": "}", "[": "]"}.get(opening, ")")
        if not parts:
            lines.append(pad + opening + closing)
            return None
        lines.append(pad + opening)
        closings.append("  " * depth + closing)
        return iter(parts)

    closings: list[str] = []
    todo = [iter([("", model)])]
    while todo:
        for name, value in todo[-1]:
            below = begin(name, value, len(todo) - 1)
            if below is not None:
                todo.append(below)
                break
        else:
            todo.pop()
            if todo:
                lines.append(closings.pop())
    return "\n".join(lines)
