"""What Python and NumPy may ask of an expression or a parameter beside arithmetic.

What asks for its numbers in so many words is answered: ``float(x)``, ``int(x)``, ``round(x)``,
``format(x, ".3f")``, ``np.asarray(x)``, and ``xs[i]`` for an i that is an integer result. What
would decide by numbers that are not there yet, or cut the gradient unseen, is refused with what
to write for it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

import numpy as np

from ._core import Expression, Param
from .errors import OperandError
from .ops import REGISTRY
from .recording import forms, recorder

_Operand = Expression | Param


def _kind(x: _Operand) -> str:
    return "an expression" if isinstance(x, Expression) else f"a {type(x).__name__}"


def _single(what: str, x: _Operand) -> Any:
    """The one number of an operand, for `what` of it."""
    if isinstance(x, Expression):
        return x.item()
    numbers = np.asarray(x)
    if numbers.size != 1:
        raise OperandError(
            f"{what} of {_kind(x)}: expected one element, got shape {x.shape}; use value()"
        )
    return numbers.item()


# ------------------------------------------------------------------------------- numbers


def _float(x: _Operand) -> float:
    return float(_single("float()", x))


def _int(x: _Operand) -> int:
    number = _single("int()", x)
    if not math.isfinite(number):
        raise OperandError(f"int() of {number}, the value of {_kind(x)}, which is no integer")
    return int(number)


def _round(x: _Operand, digits: int | None = None) -> Any:
    if x.shape:
        raise OperandError(
            f"round() of {_kind(x)}: expected one number, got shape {x.shape}; ab.round(x) "
            f"rounds every element, round(x.value(), digits) the numbers"
        )
    return round(_single("round()", x), digits)


def _format(x: _Operand, spec: str) -> str:
    return format(_single("format()", x), spec) if spec else str(x)


def _index(x: Expression) -> int:
    if not forms[x._form].op.integer:
        raise OperandError(
            f"expected an int, got the result of {x.op}, which is no integer; int(x) or "
            f"x.item() makes a number of it"
        )
    return int(_single("an index", x))


def _abs(x: _Operand) -> Expression:
    return recorder("abs")(x)


# -------------------------------------------------------------------------------- entries


def _rows(what: str, x: _Operand) -> range:
    if not x.shape:
        raise OperandError(f"{what} a scalar: {_kind(x)} of shape () has no axes; use item()")
    return range(x.shape[0])


def _iter(x: _Operand) -> Iterator[Expression]:
    """The entries of the first axis."""
    return map(x.__getitem__, _rows("iteration over", x))


def _reversed(x: _Operand) -> Iterator[Expression]:
    return map(x.__getitem__, reversed(_rows("reversed() of", x)))


# ------------------------------------------------------------------- what is not answered

_PLAIN = (bool, int, float, complex, np.ndarray, np.generic, list, tuple)


def _comparison(name: str, sign: str, hint: str) -> Callable[[Any, Any], Any]:
    def compare(x: Any, other: Any) -> Any:
        if not isinstance(other, _PLAIN) and not hasattr(type(other), "__array__"):
            return NotImplemented  # None, say, is another object
        raise OperandError(
            f"{_kind(x)} {sign} {type(other).__name__}: expressions and parameters have no truth "
            f"value before they run; {hint}"
        )

    compare.__name__ = name
    return compare


_SAME = "compare x.item() or x.value(); whether two names are one object: x is y"
_ORDER = "compare x.item() or x.value(); the larger one is ab.maximum(x, y), of a list ab.max(xs)"


def _contains(x: Any, other: Any) -> NoReturn:
    raise OperandError(
        f"whether something is in {_kind(x)} is not known before it runs; look in x.value()"
    )


def _truth(x: Any) -> NoReturn:
    raise OperandError(
        f"{_kind(x)} has no truth value; whether there is one: `x is not None`; its numbers: "
        f"x.value()"
    )


def _no_operator(sign: str, hint: str) -> Callable[..., NoReturn]:
    def refuse(x: Any, *others: Any) -> NoReturn:
        raise OperandError(f"expressions and parameters have no operator {sign}; {hint}")

    return refuse


_OPERATORS = {
    "floordiv": ("//", "ab.floor(x / y) is the same"),
    "mod": ("%", "x - y * ab.floor(x / y) is the same"),
    "divmod": ("divmod", "ab.floor(x / y) is the first, x less y times that the second"),
    "and": ("&", "decide by x.value()"),
    "or": ("|", "decide by x.value()"),
    "xor": ("^", "decide by x.value()"),
    "lshift": ("<<", "they hold real numbers"),
    "rshift": (">>", "they hold real numbers"),
}

# ------------------------------------------------------------------------ NumPy's functions

# Those of ours that have another name, or are no op.
_NAMES = {
    "absolute": "abs",
    "amax": "max",
    "amin": "min",
    "append": "concat",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctanh": "atanh",
    "array_split": "split",
    "average": "mean",
    "column_stack": "stack",
    "concatenate": "concat",
    "convolve": "filter1d",
    "cumulative_sum": "cumsum",
    "dstack": "stack",
    "expand_dims": "reshape",
    "fabs": "abs",
    "float_power": "power",
    "full_like": "full",
    "hsplit": "split",
    "hstack": "concat",
    "inner": "dot",
    "inv": "inverse",
    "logaddexp": "logsumexp",
    "matrix_transpose": "transpose",
    "matvec": "matmul",
    "moveaxis": "transpose",
    "ones_like": "ones",
    "permute_dims": "transpose",
    "ravel": "reshape",
    "rint": "round",
    "row_stack": "stack",
    "slogdet": "logdet",
    "split": "split",
    "squeeze": "reshape",
    "swapaxes": "transpose",
    "take": "take",
    "tensordot": "tensordot",
    "true_divide": "divide",
    "vdot": "dot",
    "vecdot": "dot",
    "vecmat": "matmul",
    "vsplit": "split",
    "vstack": "stack",
    "zeros_like": "zeros",
}
# Those that look at no numbers.
_SHAPES: dict[Any, Callable[[tuple[int, ...]], Any]] = {
    np.shape: tuple,
    np.ndim: len,
    np.size: math.prod,
}
# What arrays on the left of an operator ask.
_RECORDED = {
    np.add: recorder("add"),
    np.subtract: recorder("subtract"),
    np.multiply: recorder("multiply"),
    np.true_divide: recorder("divide"),
    np.power: recorder("power"),
    np.matmul: recorder("matmul"),
}


def _ours(name: str) -> str | None:
    if name in _NAMES:
        return _NAMES[name]
    return name if name in REGISTRY and REGISTRY[name].public else None


def _refuse(name: str) -> NoReturn:
    ours = _ours(name)
    hint = f"use ab.{ours}, or" if ours else "use"
    raise OperandError(
        f"np.{name} takes arrays: of an expression or a parameter the gradient would be lost; "
        f"{hint} x.value() for its numbers alone"
    )


def _array(x: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    """``np.asarray(x)``: a copy, since graphs and parameters would not notice a change."""
    caller: FrameType | None = sys._getframe(1)
    asker = ""
    while caller is not None and caller.f_globals.get("__name__", "").startswith("numpy."):
        asker = caller.f_code.co_name
        if caller.f_globals["__name__"].startswith("numpy.testing"):
            asker = ""  # which compares numbers
            break
        caller = caller.f_back
    if asker:  # an array function that was given a list of expressions
        _refuse(asker)
    if dtype is not None and np.dtype(dtype).kind == "O":
        raise OperandError(
            f"an array of objects would hold the numbers of {_kind(x)}, without a gradient; keep "
            f"expressions in a list, or join them by ab.stack(list)"
        )
    if copy is False:
        raise ValueError("the numbers of expressions and parameters are only given out as a copy")
    numbers = x.value()
    return numbers if dtype is None else numbers.astype(dtype)


def _array_function(x: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    look = _SHAPES.get(function)
    if look is not None and len(args) == 1 and not kwargs:
        return look(x.shape)
    _refuse(function.__name__)


def _array_ufunc(x: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    record = _RECORDED.get(ufunc) if method == "__call__" else None
    # `array += x` comes with the array as `out`, and makes an expression of its name.
    onto = kwargs and (set(kwargs) != {"out"} or kwargs["out"][0] is not inputs[0])
    if record is None or onto:
        _refuse(ufunc.__name__)
    return record(*inputs)


class _ArrayUfunc:
    """The same of parameters: NumPy's C code finds it on the type. Masked arrays, which would
    take a parameter's `_data`, ask the object: None says that operators are its own."""

    def __get__(self, x: Any, kind: type) -> Any:
        return _array_ufunc if x is None else None


def _attach() -> None:
    methods: dict[str, Any] = {
        "__abs__": _abs,
        "__array__": _array,
        "__array_function__": _array_function,
        "__array_ufunc__": _array_ufunc,
        "__contains__": _contains,
        "__float__": _float,
        "__format__": _format,
        "__int__": _int,
        "__invert__": _no_operator("~", "decide by x.value()"),
        "__iter__": _iter,
        "__reversed__": _reversed,
        "__round__": _round,
        "__trunc__": _int,
    }
    for name, sign in (("eq", "=="), ("ne", "!=")):
        methods[f"__{name}__"] = _comparison(name, sign, _SAME)
    for name, sign in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")):
        methods[f"__{name}__"] = _comparison(name, sign, _ORDER)
    for name, (sign, hint) in _OPERATORS.items():
        methods[f"__{name}__"] = methods[f"__r{name}__"] = _no_operator(sign, hint)
    ufunc = {"__array_ufunc__": _ArrayUfunc()}
    for kind, own in ((Expression, {"__index__": _index}), (Param, {"__bool__": _truth} | ufunc)):
        for name, method in (methods | own).items():
            setattr(kind, name, method)


_attach()
