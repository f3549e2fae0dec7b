"""Arguments that are data: numbers, whole numbers and arrays that exist before anything runs.

Expressions and parameters are operands. Where data are expected they are refused: reading one
would run the graph and lose its gradient without a word. Refused, too, is what would read as
something else: truth values as numbers, and arrays whose class gives their numbers a meaning
(masks, units, another product).
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Set
from reprlib import repr as show
from typing import Any

import numpy as np

from ._core import Expression, Holder, Param
from .errors import AutobatchError, OperandError, ShapeError

__all__ = [
    "are_ints",
    "array",
    "flag",
    "is_single",
    "number",
    "only_by_name",
    "refuse_operands",
    "whole",
    "wholes",
]

_OPERANDS = (Expression, Param, Holder)
_NUMBERS = frozenset({bool, int, float, np.float32, np.float64, np.int32, np.int64, np.bool_})
_SEQUENCES, _INTS = (list, tuple), {int}
_REAL = "biuf"  # kinds of NumPy's types


def _name(operand: Any) -> str:
    return "an expression" if isinstance(operand, Expression) else f"a {type(operand).__name__}"


def _strange(values: Any) -> Any:
    """The first thing inside data that is none: an operand, or an array of another class."""
    kind = type(values)
    if kind in _NUMBERS or (kind in _SEQUENCES and set(map(type, values)) <= _NUMBERS):
        return None
    if isinstance(values, (str, bytes)):
        return None
    if isinstance(values, _OPERANDS):
        return values
    if isinstance(values, np.ndarray):
        if kind is not np.ndarray and not isinstance(values, np.memmap):
            return values
        parts: Any = values.flat if values.dtype.kind == "O" else ()
    elif kind in _SEQUENCES:
        parts = values
    elif (
        hasattr(values, "__array__")
        or not (hasattr(values, "__len__") and hasattr(values, "__getitem__"))
        or isinstance(values, (Mapping, range))
    ):
        return None
    else:  # NumPy takes it for a sequence
        parts = values
    # Lists may be nested deeper than calls, and hold themselves.
    try:
        todo, seen = [iter(parts)], {id(values)}
    except TypeError:
        return None
    while todo:
        for part in todo[-1]:
            if isinstance(part, (list, tuple)):
                if id(part) not in seen and not set(map(type, part)) <= _NUMBERS:
                    seen.add(id(part))
                    todo.append(iter(part))
                    break
            elif part is not values and (found := _strange(part)) is not None:
                return found
        else:
            todo.pop()
    return None


def refuse_operands(owner: str, values: Any, expected: str = "expected numbers") -> None:
    """Raises an error if data are, or hold, what is no data.

    Args:
        owner: the function that is named in errors.
        values: any object.
        expected: what was, for the error.

    Raises:
        OperandError: an expression or a parameter, also inside of lists; or an array of a
            class of its own.
    """
    found = _strange(values)
    if found is None:
        return
    inside = "" if found is values else f"a {type(values).__name__} with "
    if isinstance(found, np.ndarray):
        kind = type(found)
        alone = "np.asarray(array)" if kind is not np.ma.MaskedArray else "array.filled(number)"
        raise OperandError(
            f"{owner}: {expected}, got {inside}a {kind.__module__.split('.')[0]} "
            f"{kind.__name__}, whose numbers mean more than that; {alone} gives a plain array"
        )
    if inside:
        repair = (
            "ab.stack(list) joins expressions along a new axis, ab.concat(list) along one that "
            "they have; value() gives their numbers alone"
        )
    else:
        repair = "item() or " * isinstance(found, Expression) + "value() gives its numbers alone"
    raise OperandError(
        f"{owner}: {expected}, got {inside}{_name(found)}, whose gradient would be lost; {repair}"
    )


def _asarray(owner: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except AutobatchError:
        raise
    except ValueError as error:
        raise ShapeError(f"{owner}: the values do not form an array: {error}") from None
    except (TypeError, OverflowError, RuntimeError) as error:
        raise OperandError(f"{owner}: expected real numbers: {error}") from error


def array(owner: str, values: Any) -> np.ndarray:
    """An array of real numbers from an array, a number, or nested sequences of numbers.

    Raises:
        OperandError: expressions or parameters, arrays of a class of their own, or anything
            but real numbers.
        ShapeError: lists of different lengths.

    >>> array("input", [[1, 2], [3, 4]]).shape
    (2, 2)
    """
    if type(values) is not np.ndarray or values.dtype.kind not in _REAL:
        refuse_operands(owner, values)
        values = _asarray(owner, values)
    if values.dtype.kind not in _REAL:
        raise OperandError(f"{owner}: expected real numbers, got an array of {values.dtype}")
    return values


def _scalar(owner: str, value: Any, kinds: str) -> Any:
    """A number out of an array without axes and the like; None: it is of another kind."""
    if isinstance(value, (bool, str, bytes, bytearray)):
        return None
    if not hasattr(value, "__array__"):
        return value
    given = _asarray(owner, value)
    return None if given.ndim or given.dtype.kind not in kinds else given.item()


def number(owner: str, name: str, value: Any, error: type[Exception] = OperandError) -> float:
    """A real number as a float.

    Args:
        owner: the function that is named in errors.
        name: the argument's.
        value: a number of Python or NumPy, or an array without axes.
        error: raised for anything else. An expression or a parameter is always an OperandError.

    >>> number("clip", "high", 2)
    2.0
    """
    if type(value) is float:
        return value
    refuse_operands(owner, value, f"{name} must be a number")
    try:
        return float(_scalar(owner, value, "iuf"))
    except (TypeError, ValueError, OverflowError):
        raise error(f"{owner}: {name} must be a number, got {show(value)}") from None


def whole(owner: str, name: str, value: Any, error: type[Exception] = OperandError) -> int:
    """A whole number as an int; arguments as for `number`. Truth values and floats are none.

    >>> whole("softmax", "axis", np.int8(-1))
    -1
    """
    if type(value) is int:
        return value
    refuse_operands(owner, value, f"{name} must be an int")
    try:
        return operator.index(_scalar(owner, value, "iu"))
    except TypeError:
        raise error(f"{owner}: {name} must be an int, got {show(value)}") from None


def flag(owner: str, name: str, value: Any) -> bool:
    """A truth value, and nothing that merely has one: an axis, say, or an initializer.

    >>> flag("sum", "keepdims", np.bool_(True))
    True
    """
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    refuse_operands(owner, value, f"{name} must be True or False")
    raise OperandError(f"{owner}: {name} must be True or False, got {show(value)}")


def only_by_name(owner: str, more: tuple[Any, ...], how: str) -> None:
    """Refuses arguments by position that would read as something else.

    Args:
        more: those given.
        how: what to write for them.
    """
    if more:
        raise OperandError(f"{owner}: got {show(more[0])} by position, which is ambiguous; {how}")


def is_single(value: Any) -> bool:
    """Whether a value is meant as one number, not as a sequence of them."""
    return isinstance(value, (int, np.generic)) or (
        hasattr(value, "__index__") and getattr(value, "shape", ()) == ()
    )


def are_ints(values: Any) -> bool:
    """Whether a value is a list or tuple of ints, as most sequences of indices are."""
    return type(values) in _SEQUENCES and set(map(type, values)) == _INTS


def wholes(
    owner: str, name: str, values: Any, error: type[Exception] = OperandError
) -> tuple[int, ...]:
    """A sequence of whole numbers, or an integer array of one axis, as a tuple of ints.

    >>> wholes("take", "ids", np.array([2, 0], np.uint8))
    (2, 0)
    """
    if are_ints(values):
        return tuple(values)
    refuse_operands(owner, values, f"{name} must be ints")
    if hasattr(values, "__array__"):
        given = _asarray(owner, values)
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            got = f"an array of {given.dtype} of shape {given.shape}"
            raise error(f"{owner}: {name} must be an int or a sequence of ints, got {got}")
        return tuple(given.tolist())
    if isinstance(values, (str, bytes, Mapping, Set, Iterator)) or not hasattr(values, "__iter__"):
        raise error(f"{owner}: {name} must be an int or a sequence of ints, got {show(values)}")
    return tuple([whole(owner, name, value, error) for value in values])
