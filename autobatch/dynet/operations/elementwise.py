"""What is computed element by element, of one operand or of two."""

from __future__ import annotations

from typing import Any

from ... import elementary
from ... import functions as F
from ...recording import recorder, traced
from ..expressions import _operand
from ._shared import _renamed
from .gradients import _stepped

__all__ = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bmax",
    "bmin",
    "cdiv",
    "ceil",
    "cmult",
    "colwise_add",
    "cos",
    "cosh",
    "cube",
    "elu",
    "erf",
    "exp",
    "floor",
    "lgamma",
    "log",
    "log_sigmoid",
    "logistic",
    "pow",
    "rectify",
    "round",
    "selu",
    "silu",
    "sin",
    "sinh",
    "softsign",
    "sqrt",
    "square",
    "tan",
    "tanh",
]


def _unary(name: str, ours: str, formula: str, example: str) -> Any:
    return _renamed(
        name,
        ours,
        f"""{formula}, elementwise.

    Args:
        x: an expression.

    >>> import autobatch.dynet as dy
    >>> {example}
    """,
    )


def _example(name: str, x: str, value: str) -> str:
    return f"f'{{dy.{name}(dy.scalarInput({x})).value():.4f}}'\n    '{float(value):.4f}'"


tanh = _unary("tanh", "tanh", "The hyperbolic tangent", _example("tanh", "1", "0.7616"))
exp = _unary("exp", "exp", "e to the x", _example("exp", "1", "2.7183"))
log = _unary("log", "log", "The natural logarithm", _example("log", "2", "0.6931"))
sqrt = _unary("sqrt", "sqrt", "The square root", _example("sqrt", "2", "1.4142"))
square = _unary("square", "square", "x times x", _example("square", "3", "9.0"))
cube = _unary("cube", "cube", "x to the 3", _example("cube", "2", "8.0"))
abs = _unary("abs", "abs", "The absolute value", _example("abs", "-2", "2.0"))
erf = _unary("erf", "erf", "The error function", _example("erf", "1", "0.8427"))
lgamma = _unary(
    "lgamma", "lgamma", "The logarithm of the gamma function", _example("lgamma", "4", "1.7918")
)
logistic = _unary(
    "logistic",
    "sigmoid",
    "The logistic function 1 / (1 + exp(-x))",
    _example("logistic", "0", "0.5"),
)
log_sigmoid = _unary(
    "log_sigmoid",
    "log_sigmoid",
    "The logarithm of `logistic`",
    _example("log_sigmoid", "0", "-0.6931"),
)
rectify = _unary("rectify", "relu", "max(x, 0)", _example("rectify", "-1", "0.0"))
softsign = _unary("softsign", "softsign", "x / (1 + abs(x))", _example("softsign", "1", "0.5"))
selu = _unary(
    "selu",
    "selu",
    "The scaled exponential linear unit (Klambauer and others 2017)",
    _example("selu", "1", "1.0507"),
)
sin = _unary("sin", "sin", "The sine", _example("sin", "1", "0.8415"))
cos = _unary("cos", "cos", "The cosine", _example("cos", "1", "0.5403"))
tan = _unary("tan", "tan", "The tangent", _example("tan", "1", "1.5574"))
asin = _unary("asin", "asin", "The inverse sine", _example("asin", "1", "1.5708"))
acos = _unary("acos", "acos", "The inverse cosine", _example("acos", "0", "1.5708"))
atan = _unary("atan", "atan", "The inverse tangent", _example("atan", "1", "0.7854"))
sinh = _unary("sinh", "sinh", "The hyperbolic sine", _example("sinh", "1", "1.1752"))
cosh = _unary("cosh", "cosh", "The hyperbolic cosine", _example("cosh", "1", "1.5431"))
asinh = _unary("asinh", "asinh", "The inverse hyperbolic sine", _example("asinh", "1", "0.8814"))
acosh = _unary("acosh", "acosh", "The inverse hyperbolic cosine", _example("acosh", "2", "1.317"))
atanh = _unary(
    "atanh", "atanh", "The inverse hyperbolic tangent", _example("atanh", "0.5", "0.5493")
)


def _binary_doc(name: str, formula: str, example: str) -> str:
    return f"""{formula}, elementwise; dimensions of 1 and minibatches of 1 are repeated.

    Args:
        x, y: expressions.

    >>> import autobatch.dynet as dy
    >>> x, y = dy.inputVector([1, 4]), dy.inputVector([3, 2])
    >>> dy.{name}(x, y).value()
    {example}
    """


def _binary(name: str, ours: str, formula: str, example: str) -> Any:
    return _renamed(name, ours, _binary_doc(name, formula, example))


def _swapped(name: str, ours: str, formula: str, example: str) -> Any:
    """Of equal numbers our op gives the gradient to its first operand, DyNet's to its second."""
    record = recorder(ours)

    def function(x: Any, y: Any) -> Any:
        return record(y, x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = _binary_doc(name, formula, example)
    return traced(function)


cmult = _binary("cmult", "multiply", "x times y", "[3.0, 8.0]")
cdiv = _binary("cdiv", "divide", "x divided by y", "[0.3333333432674408, 2.0]")
bmax = _swapped("bmax", "maximum", "The larger of x and y", "[3.0, 4.0]")
bmin = _swapped("bmin", "minimum", "The smaller of x and y", "[1.0, 2.0]")
colwise_add = _renamed(
    "colwise_add",
    "add",
    """The vector y added to each column of x.

    Args:
        x: dimensions (m, n).
        y: dimensions (m,).

    >>> import autobatch.dynet as dy
    >>> dy.colwise_add(dy.inputTensor([[1, 2], [3, 4]]), dy.inputVector([10, 20])).npvalue()
    array([[11., 12.],
           [23., 24.]])
    """,
)


@traced
def pow(x: Any, y: Any) -> Any:
    """x to the power y, a scalar, elementwise.

    >>> import autobatch.dynet as dy
    >>> dy.pow(dy.inputVector([1, 2]), dy.scalarInput(3)).value()
    [1.0, 8.0]
    """
    return F.power(_operand(x), _operand(y))


@traced
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where positive, ``alpha * (exp(x) - 1)`` elsewhere.

    >>> import autobatch.dynet as dy
    >>> f"{dy.elu(dy.scalarInput(-1)).value():.4f}"
    '-0.6321'
    """
    return F.elu(_operand(x), float(alpha))


@traced
def silu(x: Any, beta: float = 1.0) -> Any:
    """``x * logistic(beta * x)``, elementwise.

    >>> import autobatch.dynet as dy
    >>> f"{dy.silu(dy.scalarInput(1)).value():.4f}"
    '0.7311'
    """
    if beta == 1:
        return F.silu(x)
    return F.multiply(x, F.sigmoid(F.multiply(x, float(beta))))


def round(x: Any, gradient_mode: str) -> Any:
    """The nearest whole numbers; halves go to the even one.

    Args:
        x: an expression.
        gradient_mode: "zero_gradient", or "straight_through_gradient" for that of x itself.

    >>> import autobatch.dynet as dy
    >>> dy.round(dy.inputVector([0.4, 1.6]), "zero_gradient").value()
    [0.0, 2.0]
    """
    return _stepped("round", elementary.round, x, gradient_mode)


def ceil(x: Any, gradient_mode: str) -> Any:
    """The next whole numbers upwards; arguments as in `round`.

    >>> import autobatch.dynet as dy
    >>> dy.ceil(dy.inputVector([0.4, 1.6]), "zero_gradient").value()
    [1.0, 2.0]
    """
    return _stepped("ceil", elementary.ceil, x, gradient_mode)


def floor(x: Any, gradient_mode: str) -> Any:
    """The next whole numbers downwards; arguments as in `round`.

    >>> import autobatch.dynet as dy
    >>> dy.floor(dy.inputVector([0.4, 1.6]), "zero_gradient").value()
    [0.0, 1.0]
    """
    return _stepped("floor", elementary.floor, x, gradient_mode)
