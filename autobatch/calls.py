"""What a call of a public function says when it fails.

Every public function and method goes through `guarded`, which costs a call nothing until it
fails. Then three things are settled in one place, whatever function it was: arguments that it
does not have get an error that lists those it has; an exception of Python's or NumPy's own, met
on the way, becomes one of ours that names the function; and an error that names an op the user
did not call names the function instead. What the user's own code raises passes unchanged.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TypeVar, cast

from . import _core
from .errors import AutobatchError, MemoryLimitError, OperandError

__all__ = ["guard_class", "guarded"]

F = TypeVar("F", bound=Callable[..., Any])

# Arguments as other libraries call them.
_ELSEWHERE = {
    "dim": "axis",
    "dims": "axes",
    "keepdim": "keepdims",
    "lr": "learning_rate",
    "p": "rate",
    "size": "shape",
    "negative_slope": "slope",
    "min": "low",
    "max": "high",
    "input_size": "input_dim",
    "in_features": "input_dim",
    "hidden_size": "hidden_dim",
    "out_features": "output_dim",
    "num_layers": "layers",
    "num_embeddings": "rows",
    "embedding_dim": "dim",
    "betas": "beta1",
    "params": "model",
    "input": "x",
    "max_norm": "clip_norm",
}

# What bad arguments may run into. A file's errors are the system's; an assertion is our fault.
_STRAY = (
    *(TypeError, ValueError, ArithmeticError, AttributeError, LookupError, RuntimeError),
    *(BufferError, MemoryError),
)

_DEEP = 64  # frames of ours below one call: a recursion that is not the user's

_op_names: set[str] = set()


def tell_ops(names: Iterable[str]) -> None:
    """Tells which words before a colon are ops. Called once."""
    _op_names.update(names)


def _depth_within(trace: TracebackType | None) -> int | None:
    """How many calls an exception went through; None if one of them was of the user's code."""
    depth = 0
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        known = module in (__package__, "numpy") or module in sys.stdlib_module_names
        if not known and not module.startswith("namedtuple_"):
            return None
        depth += 1
        trace = trace.tb_next
    return depth


def _parameters(function: Any, method: bool) -> inspect.Signature | None:
    """The signature without annotations (and self)."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    # Those that exist to be refused are not said.
    said = [p for p in found.parameters.values() if str(p.annotation) != "NoReturn"]
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in said]
    return inspect.Signature(plain[1:] if method else plain)


def _of_class(cls: type) -> inspect.Signature | None:
    """What makes objects of a class, with what ``**settings`` pass on to its bases."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            own = _parameters(vars(base)["__init__"], True)
            if own is None:
                return None
            first = not found
            for name, parameter in own.parameters.items():
                if parameter.kind is not parameter.VAR_KEYWORD and name not in found:
                    kind = parameter.kind if first else parameter.KEYWORD_ONLY
                    found[name] = parameter.replace(kind=kind)
            if all(p.kind is not p.VAR_KEYWORD for p in own.parameters.values()):
                break
    return inspect.Signature(list(found.values()))


def _misfit(signature: inspect.Signature, given: tuple[Any, ...], named: dict[str, Any]) -> str:
    """Why arguments do not fit a signature; nothing if they do."""
    try:
        signature.bind(*given, **named)
        return ""
    except TypeError as error:
        text = str(error)
    parameters = signature.parameters
    if unknown := [name for name in named if name not in parameters]:
        name = unknown[0]
        alike = _ELSEWHERE.get(name)
        if alike not in parameters:
            alike = next(iter(difflib.get_close_matches(name, parameters, 1)), None)
        return f"there is no argument {name!r}" + (f", did you mean {alike}=?" if alike else "")
    by_place = [
        p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(given) > len(by_place):
        names = [p.name for p in by_place]
        if "shape" in names and all(isinstance(one, int) for one in given[names.index("shape") :]):
            sizes = ", ".join(map(str, given[names.index("shape") :]))
            return f"the shape is one argument, ({sizes})"
        more = f"{len(by_place)} argument{'s' * (len(by_place) != 1)} by position"
        return f"expected at most {more}, got {len(given)}"
    return text


def _settle(
    name: str, method: bool, function: Any, args: tuple[Any, ...], named: dict[str, Any], error: Any
) -> None:
    """Raises a better error, if there is one, for a call that has failed."""
    if method and args:
        owner, _, rest = name.partition(".")
        cls = args[0] if isinstance(args[0], type) else type(args[0])
        name = f"{cls.__name__ or owner}.{rest}" if rest else cls.__name__
    if isinstance(error, AutobatchError):
        if _depth_within(error.__traceback__) is not None:
            _rename(name, method, error)
        return
    if not isinstance(error, _STRAY):
        return
    depth = _depth_within(error.__traceback__)
    if depth is None or (isinstance(error, RecursionError) and depth < _DEEP):
        return
    if isinstance(error, MemoryError):
        raise _settled(MemoryLimitError, name, f"the system gave no memory: {error}") from error
    if method and "." not in name and getattr(function, "__name__", "") == "__init__" and args:
        signature = _of_class(type(args[0]))
    else:
        signature = _parameters(function, method)
    usage = "" if signature is None else f"; expected {name}{signature}"
    if depth == 0 and isinstance(error, TypeError):
        own = args[1:] if method else args
        why = "" if signature is None else _misfit(signature, own, named)
        raise _settled(OperandError, name, f"{why or error}{usage}") from None
    if isinstance(error, NotImplementedError):  # what a subclass owes
        raise _settled(OperandError, name, str(error)) from None
    kind = type(error).__name__
    why = f"cannot take these arguments ({kind}: {error}){usage}"
    raise _settled(OperandError, name, why) from error


def _settled(kind: type[AutobatchError], name: str, why: str) -> AutobatchError:
    made = kind(f"{name}: {why}")
    made._settled = name  # type: ignore[attr-defined]
    return made


def _rename(name: str, method: bool, error: AutobatchError) -> None:
    """Has an error begin with the name of what the user called."""
    text = str(error)
    found = re.match(r"([\w.]+): ", text)
    if found is None or error.args != (text,):
        return
    op = found[1]
    settled = getattr(error, "_settled", None) == op  # of a public function that ours called
    if op == name or not (settled or op in _op_names or op.startswith("_")):
        return
    inner = "" if settled or op.startswith("_") or not method else f"{op}: "
    if settled:
        error._settled = name  # type: ignore[attr-defined]
    error.args = (f"{name}: {inner}{text[found.end() :]}",)


def guarded(function: F, name: str, method: bool = False, module: str | None = None) -> F:
    """A callable like `function` whose failed calls say what is wrong in the user's terms.

    Args:
        function: of Python or C.
        name: in errors; a method's is "Class.method", or "Class" if it is called like one.
        method: the first argument is the object.
        module: where users find it; default: the function's own.
    """
    failed = functools.partial(_settle, name, method)
    made: Any
    if hasattr(_core, "Direct"):
        made = functools.update_wrapper(_core.Direct(function, failed), function)
    else:  # the limited API

        @functools.wraps(function)
        def made(*args: Any, **named: Any) -> Any:
            try:
                return function(*args, **named)
            except Exception as error:
                inner = error.with_traceback(error.__traceback__.tb_next)  # type: ignore[union-attr]
                failed(function, args, named, inner)
                raise

    if module is not None:
        made.__module__ = module
    return cast(F, made)


_SPECIAL = ("__init__", "__call__")


def _makes(cls: type) -> Callable[..., None]:
    """An ``__init__`` for a class without one, which goes on with those of other bases."""

    def __init__(self: Any, *args: Any, **named: Any) -> None:
        following = super(cls, self)
        if (args or named) and getattr(following.__init__, "__objclass__", None) is object:  # type: ignore[misc]
            raise OperandError(f"{type(self).__name__}: expected no arguments")
        following.__init__(*args, **named)  # type: ignore[misc]

    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    )
    return __init__


def guard_class(cls: type) -> None:
    """Guards the public methods that a class itself defines, and how its objects are made."""
    if issubclass(cls, tuple):
        if cls.__new__ is tuple.__new__ or "__new__" in vars(cls):
            made = guarded(cls.__new__, cls.__name__, method=True)
            cls.__new__ = staticmethod(made)  # type: ignore[method-assign]
    elif cls.__init__ is object.__init__ and cls.__new__ is object.__new__:
        cls.__init__ = _makes(cls)  # type: ignore[method-assign]
    for key, method in list(vars(cls).items()):
        if (key.startswith("_") and key not in _SPECIAL) or not (
            inspect.isfunction(method) or inspect.ismethoddescriptor(method)
        ):
            continue
        if isinstance(method, (staticmethod, classmethod)):
            continue
        name = cls.__name__ if key in _SPECIAL else f"{cls.__name__}.{key}"
        setattr(cls, key, guarded(method, name, method=True))
