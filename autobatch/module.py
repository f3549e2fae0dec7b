"""Modules: objects whose parameters are found by looking at their attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from .errors import ConfigurationError, OperandError
from .parameters import Lookup, Parameter, _Stored

AnyParameter = Parameter | Lookup
Self = TypeVar("Self", bound="Module")

__all__ = ["Module", "named_parameters"]


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    """The named parts of a container, in order; nothing for any other value."""
    if isinstance(value, Module):
        yield from vars(value).items()
    elif isinstance(value, Mapping):
        yield from ((str(key), part) for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((str(index), part) for index, part in enumerate(value))


def _walk(value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Every module and parameter below a value, each once, with its dotted name."""
    if not isinstance(value, _HOLDERS) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, (_Stored, Module)):
        yield name, value
    for key, part in _children(value):
        # Asked here too: a vocabulary of many words must not cost a generator a word.
        if isinstance(part, _HOLDERS):
            yield from _walk(part, f"{name}.{key}" if name else key, seen)


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
    if not isinstance(model, _HOLDERS):
        raise OperandError(
            f"expected a Module, a Parameter or a collection of them, got {type(model).__name__}"
        )
    found: dict[str, AnyParameter] = {}
    for name, part in _walk(model, "", set()):
        if isinstance(part, (Parameter, Lookup)):
            name = name or part.name or "parameter"
            if name in found:
                raise ConfigurationError(
                    f"two parameters are named {name!r}; rename one of the attributes or keys"
                )
            found[name] = part
    return found


class Module:
    """Base class of models and layers.

    Attributes that are parameters or modules, or lists, tuples and dicts of them, belong to
    the module; nothing needs to be declared, and what is appended to a list later belongs
    too. A parameter's name is the path to it: ``"layers.0.weight"``.

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
        object.__setattr__(self, name, value)
        # Names for messages only; named_parameters() finds out for itself.
        for path, part in _walk(value, name, set()):
            if isinstance(part, _Stored):
                part.name = path

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
        return [part for _, part in _walk(self, "", set()) if isinstance(part, Module)]

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
        lines = []
        for name, value in vars(self).items():
            if any(True for _ in _walk(value, "", set())):
                text = _describe(value).replace("\n", "\n  ")
                lines.append(f"  {name}: {text}")
        kind = type(self).__name__
        return f"{kind}(\n" + "\n".join(lines) + "\n)" if lines else f"{kind}()"


# What may be, or hold, a parameter.
_HOLDERS = (_Stored, Module, Mapping, list, tuple)


def _describe(value: Any) -> str:
    """A parameter by its kind and shape, containers by their parts."""
    if isinstance(value, _Stored):
        return f"{type(value).__name__}{value.shape}"
    if isinstance(value, Module):
        return repr(value)
    parts = "".join(
        f"\n  {key}: " + _describe(part).replace("\n", "\n  ") for key, part in _children(value)
    )
    opening, closing = ("{", "}") if isinstance(value, Mapping) else ("[", "]")
    return f"{opening}{parts}\n{closing}"
