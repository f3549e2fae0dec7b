"""DyNet's operations: thin names over ours.

Dimension d of a DyNet tensor is our axis ``-1 - d``. What DyNet calls a list must be one,
and not empty.
"""

from __future__ import annotations

import builtins
import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import algebra, convolution, elementary, gradients, losses, selection, statistics
from .. import functions as F
from ..errors import IndexRangeError, OperandError, ShapeError
from ..recording import _DECLARATIONS, _make, recorder, traced
from .expressions import (
    NotSupportedError,
    _dims,
    _getitem,
    _item,
    _node,
    _operand,
    _shape,
    product,
)
from .graph import _CG, Node
from .random import Draw

__all__ = [
    "abs",
    "acos",
    "acosh",
    "affine_transform",
    "argmax",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "average",
    "binary_log_loss",
    "block_dropout",
    "bmax",
    "bmin",
    "cdiv",
    "ceil",
    "circ_conv",
    "circ_corr",
    "cmult",
    "colwise_add",
    "concatenate",
    "concatenate_cols",
    "concatenate_to_batch",
    "constant",
    "constrained_softmax",
    "contract3d_1d",
    "contract3d_1d_1d",
    "contract3d_1d_1d_bias",
    "contract3d_1d_bias",
    "conv2d",
    "conv2d_bias",
    "cos",
    "cosh",
    "cube",
    "cumsum",
    "dot_product",
    "dropout",
    "dropout_batch",
    "dropout_dim",
    "elu",
    "emax",
    "erf",
    "esum",
    "exp",
    "filter1d_narrow",
    "flip_gradient",
    "floor",
    "fold_rows",
    "forward",
    "hinge",
    "hinge_batch",
    "hinge_dim",
    "huber_distance",
    "inverse",
    "kmax_pooling",
    "kmh_ngram",
    "l1_distance",
    "l2_norm",
    "layer_norm",
    "lgamma",
    "log",
    "log_sigmoid",
    "log_softmax",
    "logdet",
    "logistic",
    "logsumexp",
    "logsumexp_dim",
    "lookup",
    "lookup_batch",
    "max_dim",
    "maxpooling2d",
    "mean_batches",
    "mean_dim",
    "mean_elems",
    "min_dim",
    "moment_batches",
    "moment_dim",
    "moment_elems",
    "nobackprop",
    "noise",
    "npvalues",
    "one_hot",
    "ones",
    "pairwise_rank_loss",
    "pick",
    "pick_batch",
    "pick_batch_elem",
    "pick_batch_elems",
    "pick_range",
    "pickneglogsoftmax",
    "pickneglogsoftmax_batch",
    "pickrange",
    "poisson_loss",
    "pow",
    "random_bernoulli",
    "random_gumbel",
    "random_normal",
    "random_uniform",
    "rectify",
    "reshape",
    "round",
    "scale_gradient",
    "select_cols",
    "select_rows",
    "selu",
    "silu",
    "sin",
    "sinh",
    "softmax",
    "softsign",
    "sparsemax",
    "sqrt",
    "square",
    "squared_distance",
    "squared_norm",
    "std_batches",
    "std_dim",
    "std_elems",
    "strided_select",
    "sum_batches",
    "sum_dim",
    "sum_elems",
    "tan",
    "tanh",
    "to_device",
    "trace_of_product",
    "transpose",
    "values",
    "vanilla_lstm_c",
    "vanilla_lstm_gates",
    "vanilla_lstm_gates_concat",
    "vanilla_lstm_gates_dropout",
    "vanilla_lstm_gates_dropout_concat",
    "vanilla_lstm_h",
    "weight_norm",
    "zeroes",
    "zeros",
]


class EmptyListError(OperandError, AssertionError):
    """A list of expressions that is empty."""


# ---------------------------------------------------------------------- reading arguments


def _listed(op: str, xs: Any) -> list[Any]:
    """A list of operands that is one, and not empty."""
    if type(xs) is not list:
        raise OperandError(f"{op}: expected a list of expressions, got {type(xs).__name__}")
    if not xs:
        raise EmptyListError(f"{op}: the list is empty")
    return xs


def _alike(xs: list[Any]) -> list[Any]:
    """Operands with scalars in one form: () and (1,) are both DyNet's (1,)."""
    return [F.reshape(_operand(x), (1,)) if _shape(x) == () else _operand(x) for x in xs]


def _axis(op: str, x: Any, d: Any) -> int:
    """Our axis of DyNet's dimension d, counted from the end."""
    d = operator.index(d)
    count = len(_shape(x)) or 1
    if not 0 <= d < count:
        raise ShapeError(f"{op}: expected a dimension from 0 to {count - 1}, got {d}")
    return -1 - d


def _index(op: str, index: Any, length: int) -> int:
    index = int(index)
    if not 0 <= index < length:
        raise IndexRangeError(f"{op}: expected an index from 0 to {length - 1}, got {index}")
    return index


def _full_shape(x: Any) -> tuple[int, ...]:
    """The shape of an operand with at least one axis."""
    return _shape(x) or (1,)


def _spread(x: Any) -> Any:
    """An operand with at least one axis."""
    return _operand(x) if _shape(x) else F.reshape(_operand(x), (1,))


def _batch(x: Any) -> int:
    return x.batch_size if type(x) is Node else 1


def _of_dim(op: str, dim: Any) -> tuple[int, ...]:
    """Our shape of DyNet's dimensions, an int or a tuple."""
    if hasattr(dim, "__index__"):
        return (operator.index(dim),)
    if not isinstance(dim, (tuple, list)):
        raise OperandError(f"{op}: expected dimensions, an int or a tuple, got {dim!r}")
    return tuple(operator.index(d) for d in reversed(dim))


def _indexed(ours: str, attrs: tuple[int, ...]) -> Callable[[Any], Any]:
    """A decorator: calls with a vector and an int stay in C, as does an op's name."""

    def decorate(function: Any) -> Any:
        number = next(i for i, op in enumerate(_DECLARATIONS) if op.name == ours)
        op = _make(number, _DECLARATIONS[number])
        try:
            return op.short_calls(function, None, True, attrs, True)
        except AttributeError:  # the limited API has none
            return function

    return decorate


def _plain(name: str, ours: str, doc: str) -> Any:
    """A name for an op without attributes, which stays in C."""
    number = next(i for i, op in enumerate(_DECLARATIONS) if op.name == ours)
    record = recorder(ours)

    def function(*args: Any, **named: Any) -> Any:
        return record(*args, *named.values())

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    op = _make(number, _DECLARATIONS[number])
    try:
        return op.short_calls(function, None, False, ())
    except AttributeError:
        return function


def _unary(name: str, ours: str, formula: str, example: str) -> Any:
    return _plain(
        name,
        ours,
        f"""{formula}, elementwise.

    Args:
        x: an expression.

    >>> import autobatch.dynet as dy
    >>> {example}
    """,
    )


# ---------------------------------------------------------------------- elementwise


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


def _binary(name: str, ours: str, formula: str, example: str) -> Any:
    return _plain(
        name,
        ours,
        f"""{formula}, elementwise; dimensions of 1 and minibatches of 1 are repeated.

    Args:
        x, y: expressions.

    >>> import autobatch.dynet as dy
    >>> x, y = dy.inputVector([1, 4]), dy.inputVector([3, 2])
    >>> dy.{name}(x, y).value()
    {example}
    """,
    )


cmult = _binary("cmult", "multiply", "x times y", "[3.0, 8.0]")
cdiv = _binary("cdiv", "divide", "x divided by y", "[0.3333333432674408, 2.0]")
bmax = _binary("bmax", "maximum", "The larger of x and y", "[3.0, 4.0]")
bmin = _binary("bmin", "minimum", "The smaller of x and y", "[1.0, 2.0]")
colwise_add = _plain(
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
    return F.elu(_operand(x), alpha)


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


_MODES = {"zero_gradient": False, "straight_through_gradient": True}


def _mode(op: str, gradient_mode: str) -> bool:
    try:
        return _MODES[gradient_mode]
    except (KeyError, TypeError):
        raise ShapeError(
            f"{op}: unknown gradient mode {gradient_mode!r}; there are {', '.join(_MODES)}"
        ) from None


def _stepped(op: str, function: Callable[[Any], Any], x: Any, gradient_mode: str) -> Any:
    x = _operand(x)
    straight = _mode(op, gradient_mode)
    y = function(x)
    return gradients.straight_through(y, x) if straight else y


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


def argmax(x: Any, gradient_mode: str) -> Any:
    """A vector of zeros with a 1 where x is largest; arguments as in `round`.

    >>> import autobatch.dynet as dy
    >>> dy.argmax(dy.inputVector([1, 3, 2]), "zero_gradient").value()
    [0.0, 1.0, 0.0]
    """
    if len(_shape(x)) > 1:
        raise ShapeError(f"argmax: expected a vector, got dimensions {_dims(x)}")
    return _stepped(
        "argmax", functools.partial(statistics.hardmax, axis=-1), _spread(x), gradient_mode
    )


@traced
def nobackprop(x: Any) -> Any:
    """x, with no gradient passed back.

    >>> import autobatch.dynet as dy
    >>> dy.nobackprop(dy.scalarInput(2)).value()
    2.0
    """
    return F.stop_gradient(x)


@traced
def scale_gradient(x: Any, lambd: float = 1.0) -> Any:
    """x, with its gradient multiplied by `lambd`.

    >>> import autobatch.dynet as dy
    >>> dy.scale_gradient(dy.scalarInput(2), 0.5).value()
    2.0
    """
    return gradients.scale_gradient(_operand(x), float(lambd))


@traced
def flip_gradient(x: Any) -> Any:
    """x, with its gradient negated.

    >>> import autobatch.dynet as dy
    >>> dy.flip_gradient(dy.scalarInput(2)).value()
    2.0
    """
    return gradients.reverse_gradient(_operand(x))


def to_device(e: Any, device_str: str) -> Any:
    """The expression itself: devices are not placed one by one.

    Raises:
        NotSupportedError: a device other than the CPU.
    """
    if device_str not in ("", "CPU"):
        raise NotSupportedError(
            f"to_device: there is no device {device_str!r}; a whole program of autobatch runs on "
            f"a GPU by autobatch.use('cuda')"
        )
    return e


# ---------------------------------------------------------------------- products


@traced
def affine_transform(exprs: list[Any]) -> Any:
    """``b + W1 * x1 + W2 * x2 + ...`` in one kernel.

    Args:
        exprs: [b, W1, x1, W2, x2, ...].

    >>> import autobatch.dynet as dy
    >>> W = dy.inputTensor([[1, 2], [3, 4]])
    >>> dy.affine_transform([dy.inputVector([1, 1]), W, dy.inputVector([1, 0])]).value()
    [2.0, 4.0]
    """
    if type(exprs) is not list or not exprs:
        _listed("affine_transform", exprs)
    if len(exprs) % 2 and len(exprs) > 1:
        try:
            return F.affine_transposed(*exprs)
        except (ShapeError, OperandError):
            pass  # other layouts of the bias and of vectors, below; or a true mistake
    elif len(exprs) == 1:
        return _node(exprs[0])
    else:
        raise ShapeError(
            f"affine_transform: expected an odd number of expressions, got {len(exprs)}"
        )
    total = product(exprs[1], exprs[2])
    for w, x in zip(exprs[3::2], exprs[4::2], strict=True):
        total = F.add(total, product(w, x))
    bias, shape = exprs[0], _full_shape(total)
    own = _full_shape(bias)
    if own[-1] != shape[-1]:
        raise ShapeError(
            f"affine_transform: expected a bias of {shape[-1]} rows, got dimensions {_dims(bias)}"
        )
    if math.prod(own) == math.prod(shape):
        bias = F.reshape(_operand(bias), shape)
    return F.add(total, bias)


def _vectors(op: str, x: Any, y: Any) -> tuple[Any, Any]:
    """Two operands of one size, in one form."""
    left, right = _shape(x), _shape(y)
    x, y = _operand(x), _operand(y)
    if left == right:
        return x, y
    if math.prod(left) != math.prod(right):
        raise ShapeError(f"{op}: got dimensions {_dims(x)} and {_dims(y)}")
    return x, F.reshape(y, left)


@traced
def dot_product(x: Any, y: Any) -> Any:
    """The sum of the elementwise product.

    >>> import autobatch.dynet as dy
    >>> dy.dot_product(dy.inputVector([1, 2]), dy.inputVector([3, 4])).value()
    11.0
    """
    try:
        return F.dot(x, y)
    except ShapeError:
        return F.dot(*_vectors("dot_product", x, y))


@traced
def trace_of_product(x: Any, y: Any) -> Any:
    """The trace of ``x * transpose(y)``: the sum of the elementwise product.

    >>> import autobatch.dynet as dy
    >>> dy.trace_of_product(dy.inputTensor([[1, 2]]), dy.inputTensor([[3, 4]])).value()
    11.0
    """
    try:
        return F.dot(x, y)
    except ShapeError:
        return F.dot(*_vectors("trace_of_product", x, y))


@traced
def inverse(x: Any) -> Any:
    """The inverse of a square matrix.

    >>> import autobatch.dynet as dy
    >>> dy.inverse(dy.inputTensor([[2, 0], [0, 4]])).npvalue()
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return algebra.inverse(_operand(x))


@traced
def logdet(x: Any) -> Any:
    """The logarithm of the determinant of a square matrix.

    >>> import autobatch.dynet as dy
    >>> f"{dy.logdet(dy.inputTensor([[2, 0], [0, 4]])).value():.4f}"
    '2.0794'
    """
    return algebra.logdet(_operand(x))


@traced
def circ_conv(u: Any, v: Any) -> Any:
    """The circular convolution of two vectors.

    >>> import autobatch.dynet as dy
    >>> dy.circ_conv(dy.inputVector([1, 2, 0]), dy.inputVector([1, 0, 1])).value()
    [3.0, 2.0, 1.0]
    """
    return algebra.circular_convolution(_operand(u), _operand(v))


@traced
def circ_corr(u: Any, v: Any) -> Any:
    """The circular correlation of two vectors.

    >>> import autobatch.dynet as dy
    >>> dy.circ_corr(dy.inputVector([1, 2, 0]), dy.inputVector([1, 0, 1])).value()
    [1.0, 2.0, 3.0]
    """
    return algebra.circular_correlation(_operand(u), _operand(v))


@traced
def contract3d_1d(x: Any, y: Any) -> Any:
    """The sum over k of ``x[i, j, k] * y[k]``: a matrix.

    Args:
        x: dimensions (m, n, k).
        y: dimensions (k,).

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.contract3d_1d(dy.inputTensor(np.ones((1, 2, 3))), dy.inputVector([1, 2, 3])).npvalue()
    array([[6., 6.]])
    """
    shape = _shape(x)
    if len(shape) != 3 or _shape(y) != shape[:1]:
        raise ShapeError(
            f"contract3d_1d: expected dimensions (m, n, k) and (k,), got {_dims(x)} and {_dims(y)}"
        )
    return algebra.tensordot(_operand(y), _operand(x))


@traced
def contract3d_1d_bias(x: Any, y: Any, b: Any) -> Any:
    """`contract3d_1d` plus a bias of dimensions (m, n)."""
    return F.add(contract3d_1d(x, y), b)


@traced
def contract3d_1d_1d(x: Any, y: Any, z: Any) -> Any:
    """The sum over j and k of ``x[i, j, k] * y[k] * z[j]``: a vector.

    Args:
        x: dimensions (m, n, k).
        y: dimensions (k,).
        z: dimensions (n,).

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> x = dy.inputTensor(np.ones((1, 2, 3)))
    >>> dy.contract3d_1d_1d(x, dy.inputVector([1, 2, 3]), dy.inputVector([1, 1])).value()
    12.0
    """
    return product(contract3d_1d(x, y), z)


@traced
def contract3d_1d_1d_bias(x: Any, y: Any, z: Any, b: Any) -> Any:
    """`contract3d_1d_1d` plus a bias of dimensions (m,)."""
    return F.add(contract3d_1d_1d(x, y, z), b)


# ---------------------------------------------------------------------- sums and statistics


def _nary(op: str, record: Any, xs: Any) -> Any:
    if type(xs) is not list or not xs:
        _listed(op, xs)
    try:
        return record(xs)
    except ShapeError:
        same = _alike(xs)
        if not builtins.any(a is not b for a, b in zip(same, xs, strict=True)):
            raise
        return record(same)


_sum = recorder("nary_sum")
_mean = recorder("nary_mean")
_max = recorder("nary_max")


@traced
def esum(xs: list[Any]) -> Any:
    """The sum of a list of expressions of the same dimensions.

    >>> import autobatch.dynet as dy
    >>> dy.esum([dy.scalarInput(1), dy.scalarInput(2)]).value()
    3.0
    """
    return _nary("esum", _sum, xs)


@traced
def average(xs: list[Any]) -> Any:
    """The mean of a list of expressions of the same dimensions.

    >>> import autobatch.dynet as dy
    >>> dy.average([dy.scalarInput(1), dy.scalarInput(2)]).value()
    1.5
    """
    return _nary("average", _mean, xs)


@traced
def emax(xs: list[Any]) -> Any:
    """The elementwise maximum of a list of expressions of the same dimensions.

    >>> import autobatch.dynet as dy
    >>> dy.emax([dy.scalarInput(1), dy.scalarInput(2)]).value()
    2.0
    """
    return _nary("emax", _max, xs)


@traced
def logsumexp(xs: list[Any]) -> Any:
    """The logarithm of the sum of exponentials of a list of expressions, elementwise.

    >>> import autobatch.dynet as dy
    >>> f"{dy.logsumexp([dy.scalarInput(0), dy.scalarInput(0)]).value():.4f}"
    '0.6931'
    """
    return F.logsumexp(_alike(_listed("logsumexp", xs)))


@traced
def sum_elems(x: Any) -> Any:
    """The sum of all elements.

    >>> import autobatch.dynet as dy
    >>> dy.sum_elems(dy.inputVector([1, 2])).value()
    3.0
    """
    return F.sum(_operand(x))


@traced
def mean_elems(x: Any) -> Any:
    """The mean of all elements.

    >>> import autobatch.dynet as dy
    >>> dy.mean_elems(dy.inputVector([1, 2])).value()
    1.5
    """
    return F.mean(_operand(x))


@traced
def moment_elems(x: Any, r: int) -> Any:
    """The mean of the r-th powers of all elements.

    >>> import autobatch.dynet as dy
    >>> dy.moment_elems(dy.inputVector([1, 3]), 2).value()
    5.0
    """
    return statistics.moment(_operand(x), int(r))


@traced
def std_elems(x: Any) -> Any:
    """The standard deviation of all elements, their number in the denominator.

    >>> import autobatch.dynet as dy
    >>> dy.std_elems(dy.inputVector([1, 3])).value()
    1.0
    """
    return statistics.std(_operand(x))


@traced
def sum_batches(x: Any) -> Any:
    """The sum over the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.sum_batches(dy.inputTensor(np.ones((2, 3)), batched=True)).value()
    [3.0, 3.0]
    """
    return F.sum_batch(x)


@traced
def mean_batches(x: Any) -> Any:
    """The mean over the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.mean_batches(dy.inputTensor(np.ones((2, 3)), batched=True)).value()
    [1.0, 1.0]
    """
    return F.mean_batch(x)


@traced
def moment_batches(x: Any, r: int) -> Any:
    """The mean of the r-th powers over the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.moment_batches(dy.inputTensor(np.array([[1.0, 3.0]]), batched=True), 2).value()
    5.0
    """
    return statistics.moment_batch(_operand(x), int(r))


@traced
def std_batches(x: Any) -> Any:
    """The standard deviation over the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.std_batches(dy.inputTensor(np.array([[1.0, 3.0]]), batched=True)).value()
    1.0
    """
    return statistics.std_batch(_operand(x))


def _over(op: str, x: Any, d: Any, b: Any) -> tuple[Any, tuple[int, ...], int]:
    """An operand, the axes to reduce, and how many numbers each result is made of."""
    if not isinstance(d, list):
        raise OperandError(f"{op}: expected a list of dimensions, got {type(d).__name__}")
    axes = tuple(sorted({_axis(op, x, i) for i in d}))
    shape = _full_shape(x)
    count = math.prod(shape[axis] for axis in axes)
    if not b:
        return _spread(x), axes, count
    stacked = selection.batch_to_axis(_spread(x))
    return stacked, (0, *(len(shape) + 1 + axis for axis in axes)), count * _batch(x)


def _named_axes(axes: tuple[int, ...], x: Any) -> tuple[int, ...]:
    count = len(x.shape)
    return tuple(axis % count for axis in axes)


@traced
def sum_dim(x: Any, d: list[int], b: bool = False) -> Any:
    """The sum over dimensions, which are dropped.

    Args:
        x: an expression.
        d: a list of dimensions.
        b: over the minibatch, too. Default: False.

    >>> import autobatch.dynet as dy
    >>> dy.sum_dim(dy.inputTensor([[1, 2], [3, 4]]), [0]).value()
    [4.0, 6.0]
    """
    if b and not d:
        return F.sum_batch(x)
    x, axes, _ = _over("sum_dim", x, d, b)
    return F.sum(x, axis=_named_axes(axes, x)) if axes else x


@traced
def mean_dim(x: Any, d: list[int], b: bool, n: int = 0) -> Any:
    """The mean over dimensions, which are dropped.

    Args:
        x: an expression.
        d: a list of dimensions.
        b: over the minibatch, too.
        n: divides by this number instead of their size, if above 0.

    >>> import autobatch.dynet as dy
    >>> dy.mean_dim(dy.inputTensor([[1, 2], [3, 4]]), [0], False).value()
    [2.0, 3.0]
    """
    return moment_dim(x, d, 1, b, n)


@traced
def moment_dim(x: Any, d: list[int], r: int, b: bool, n: int = 0) -> Any:
    """The mean of the r-th powers over dimensions; arguments as in `mean_dim`.

    >>> import autobatch.dynet as dy
    >>> dy.moment_dim(dy.inputTensor([[1, 2], [3, 4]]), [0], 2, False).value()
    [5.0, 10.0]
    """
    x, axes, count = _over("moment_dim", x, d, b)
    if not axes:
        return statistics.moment(F.stack([x]), int(r), axis=0)
    y = statistics.moment(x, int(r), axis=_named_axes(axes, x))
    return F.multiply(y, count / n) if n > 0 else y


@traced
def std_dim(x: Any, d: list[int], b: bool, n: int = 0) -> Any:
    """The standard deviation over dimensions; arguments as in `mean_dim`.

    >>> import autobatch.dynet as dy
    >>> dy.std_dim(dy.inputTensor([[1, 2], [3, 4]]), [0], False).value()
    [1.0, 1.0]
    """
    x, axes, count = _over("std_dim", x, d, b)
    if not axes:
        return F.multiply(x, 0.0)
    named = _named_axes(axes, x)
    if not n or n == count:
        return statistics.std(x, axis=named)
    mean = F.multiply(F.sum(x, axis=named, keepdims=True), 1.0 / n)
    return F.sqrt(F.multiply(F.sum(F.square(F.subtract(x, mean)), axis=named), 1.0 / n))


@traced
def max_dim(x: Any, d: int = 0) -> Any:
    """The maximum over a dimension, which is dropped.

    >>> import autobatch.dynet as dy
    >>> dy.max_dim(dy.inputTensor([[1, 2], [3, 4]])).value()
    [3.0, 4.0]
    """
    axis = _axis("max_dim", x, d)
    return F.max(_spread(x), axis=axis)


@traced
def min_dim(x: Any, d: int = 0) -> Any:
    """The minimum over a dimension, which is dropped.

    >>> import autobatch.dynet as dy
    >>> dy.min_dim(dy.inputTensor([[1, 2], [3, 4]])).value()
    [1.0, 2.0]
    """
    axis = _axis("min_dim", x, d)
    return F.min(_spread(x), axis=axis)


@traced
def logsumexp_dim(x: Any, d: int = 0) -> Any:
    """The logarithm of the sum of exponentials over a dimension, which is dropped.

    >>> import autobatch.dynet as dy
    >>> f"{dy.logsumexp_dim(dy.inputVector([0, 0])).value():.4f}"
    '0.6931'
    """
    axis = _axis("logsumexp_dim", x, d)
    return F.logsumexp(_spread(x), axis=axis)


@traced
def cumsum(x: Any, d: int = 0) -> Any:
    """The cumulative sum along a dimension.

    >>> import autobatch.dynet as dy
    >>> dy.cumsum(dy.inputVector([1, 2, 3])).value()
    [1.0, 3.0, 6.0]
    """
    axis = _axis("cumsum", x, d)
    return statistics.cumsum(_spread(x), axis=axis)


# ---------------------------------------------------------------------- probabilities, losses


def _two_at_most(op: str, x: Any) -> None:
    if len(_shape(x)) > 2:
        raise ShapeError(f"{op}: expected at most 2 dimensions, got {_dims(x)}")


@traced
def softmax(x: Any, d: int = 0) -> Any:
    """``exp(x) / sum(exp(x))`` along a dimension.

    >>> import autobatch.dynet as dy
    >>> dy.softmax(dy.inputVector([1, 1])).value()
    [0.5, 0.5]
    """
    if type(x) is Node and len(x.shape) == 1 and d == 0:
        return _softmax((x,), (0,), ())
    _two_at_most("softmax", x)
    axis = _axis("softmax", x, d)
    return F.softmax(_spread(x), axis)


@traced
def log_softmax(x: Any, restrict: list[int] | None = None) -> Any:
    """The logarithm of `softmax`, by column.

    Args:
        x: a vector or a matrix.
        restrict: the elements of a vector to take into account; the others are -inf.

    >>> import autobatch.dynet as dy
    >>> dy.log_softmax(dy.inputVector([1, 1, 1]), [0]).value()
    [0.0, -inf, -inf]
    """
    if type(x) is Node and restrict is None and len(x.shape) == 1:
        return _log_softmax((x,), (0,), ())
    _two_at_most("log_softmax", x)
    if restrict is None:
        return F.log_softmax(_spread(x), -1)
    if len(_shape(x)) > 1:
        raise ShapeError(f"log_softmax: restrict expects a vector, got dimensions {_dims(x)}")
    return F.log_softmax(_spread(x), restrict=restrict)


@traced
def sparsemax(x: Any) -> Any:
    """The Euclidean projection onto the probability simplex (Martins and Astudillo 2016).

    >>> import autobatch.dynet as dy
    >>> dy.sparsemax(dy.inputVector([1, 2, 3])).value()
    [0.0, 0.0, 1.0]
    """
    return losses.sparsemax(_flat("sparsemax", x))


@traced
def constrained_softmax(x: Any, y: Any) -> Any:
    """`softmax` with an upper bound for every probability (Martins and Kreutzer 2017).

    Args:
        x: a vector of scores.
        y: a vector of bounds.

    >>> import autobatch.dynet as dy
    >>> x, y = dy.inputVector([1, 1]), dy.inputVector([0.25, 1])
    >>> dy.constrained_softmax(x, y).value()
    [0.25, 0.75]
    """
    return losses.constrained_softmax(
        _flat("constrained_softmax", x), _flat("constrained_softmax", y)
    )


def _flat(op: str, x: Any) -> Any:
    """A vector; a column is one, too."""
    shape = _shape(x)
    if len(shape) == 1:
        return _operand(x)
    if math.prod(shape[:-1]) == 1:
        return F.reshape(_operand(x), shape[-1:] or (1,))
    raise ShapeError(f"{op}: expected a vector, got dimensions {_dims(x)}")


_cross_entropy = F.cross_entropy
_cross_entropy_record = recorder("cross_entropy").record
_softmax = recorder("softmax").record
_log_softmax = recorder("log_softmax").record


@_indexed("cross_entropy", (0,))
def pickneglogsoftmax(x: Any, v: Any) -> Any:
    """``-log(softmax(x)[v])``.

    Args:
        x: a vector of scores.
        v: the true class.

    Raises:
        IndexRangeError: no such class.

    >>> import autobatch.dynet as dy
    >>> f"{dy.pickneglogsoftmax(dy.inputVector([1, 1]), 0).value():.4f}"
    '0.6931'
    """
    if type(v) is not int:
        if hasattr(v, "__len__"):
            return pickneglogsoftmax_batch(x, v)
        v = int(v)
    if type(x) is Node and len(x.shape) == 1:
        return _cross_entropy(x, v)
    return _cross_entropy(_flat("pickneglogsoftmax", x), v)


def pickneglogsoftmax_batch(x: Any, vs: Sequence[int]) -> Any:
    """`pickneglogsoftmax` with a class for every element of the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> x = dy.inputTensor(np.zeros((2, 3)), batched=True)
    >>> [f"{loss:.4f}" for loss in dy.pickneglogsoftmax_batch(x, [0, 1, 1]).value()]
    ['0.6931', '0.6931', '0.6931']
    """
    labels = _labels("pickneglogsoftmax_batch", vs, x)
    if type(x) is Node and len(x.shape) == 1:
        return _cross_entropy_record((x,), (0,), tuple(labels))
    return _cross_entropy(_flat("pickneglogsoftmax", x), labels)


def _labels(op: str, vs: Any, x: Any) -> list[int]:
    labels = [int(v) for v in vs]
    if len(labels) != _batch(x):
        raise ShapeError(
            f"{op}: expected an index for each of {_batch(x)} elements of the minibatch, got "
            f"{len(labels)}"
        )
    return labels


@traced
def hinge(x: Any, v: int, m: float = 1.0) -> Any:
    """The sum over the wrong classes j of ``max(0, m - x[v] + x[j])``.

    >>> import autobatch.dynet as dy
    >>> dy.hinge(dy.inputVector([0, 1, 1.5]), 2).value()
    0.5
    """
    return F.hinge(_flat("hinge", x), int(v), float(m))


@traced
def hinge_batch(x: Any, vs: Sequence[int], m: float = 1.0) -> Any:
    """`hinge` with a class for every element of the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.hinge_batch(dy.inputTensor(np.zeros((2, 2)), batched=True), [0, 1]).value()
    [1.0, 1.0]
    """
    return F.hinge(_flat("hinge_batch", x), _labels("hinge_batch", vs, x), float(m))


@traced
def hinge_dim(x: Any, v: Sequence[int], d: int = 0, m: float = 1.0) -> Any:
    """`hinge` along a dimension of a matrix.

    Args:
        x: a matrix of scores.
        v: the true class for each index of the other dimension.
        d: the dimension of the classes.
        m: the margin.

    >>> import autobatch.dynet as dy
    >>> dy.hinge_dim(dy.inputTensor([[0, 1], [3, 1]]), [0, 1]).value()
    [4.0, 1.0]
    """
    if len(_shape(x)) != 2 or _batch(x) > 1:
        raise ShapeError(
            f"hinge_dim: expected a matrix without a minibatch, got dimensions {_dims(x)} in a "
            f"minibatch of {_batch(x)}"
        )
    x = _operand(x)
    if _axis("hinge_dim", x, d) == -2:
        x = F.transpose(x)
    return F.hinge(x, [int(label) for label in v], float(m))


@traced
def binary_log_loss(x: Any, y: Any) -> Any:
    """The sum of ``-y * log(x) - (1 - y) * log(1 - x)``.

    >>> import autobatch.dynet as dy
    >>> f"{dy.binary_log_loss(dy.scalarInput(0.8), dy.scalarInput(1)).value():.4f}"
    '0.2231'
    """
    return F.binary_cross_entropy(*_vectors("binary_log_loss", x, y))


@traced
def squared_distance(x: Any, y: Any) -> Any:
    """The sum of the squared differences.

    >>> import autobatch.dynet as dy
    >>> dy.squared_distance(dy.inputVector([1, 2]), dy.inputVector([1, 4])).value()
    4.0
    """
    try:
        return F.squared_error(x, y)
    except ShapeError:
        return F.squared_error(*_vectors("squared_distance", x, y))


@traced
def l1_distance(x: Any, y: Any) -> Any:
    """The sum of the absolute differences.

    >>> import autobatch.dynet as dy
    >>> dy.l1_distance(dy.inputVector([1, 2]), dy.inputVector([1, 4])).value()
    2.0
    """
    try:
        return losses.absolute_error(x, y)
    except ShapeError:
        return losses.absolute_error(*_vectors("l1_distance", x, y))


@traced
def huber_distance(x: Any, y: Any, c: float = 1.345) -> Any:
    """The sum of d^2 / 2 of differences d up to c, and of ``c * (abs(d) - c / 2)`` beyond.

    Args:
        x, y: expressions of the same dimensions.
        c: default 1.345.

    >>> import autobatch.dynet as dy
    >>> dy.huber_distance(dy.inputVector([1, 2]), dy.inputVector([1, 4]), c=1).value()
    1.5
    """
    return losses.huber(*_vectors("huber_distance", x, y), float(c))


@traced
def l2_norm(x: Any) -> Any:
    """The square root of the sum of squares.

    >>> import autobatch.dynet as dy
    >>> dy.l2_norm(dy.inputVector([3, 4])).value()
    5.0
    """
    return F.norm(_operand(x))


@traced
def squared_norm(x: Any) -> Any:
    """The sum of squares.

    >>> import autobatch.dynet as dy
    >>> dy.squared_norm(dy.inputVector([3, 4])).value()
    25.0
    """
    return F.dot(x, x)


@traced
def pairwise_rank_loss(x: Any, y: Any, m: float = 1.0) -> Any:
    """``max(0, m - x + y)``, elementwise.

    >>> import autobatch.dynet as dy
    >>> dy.pairwise_rank_loss(dy.scalarInput(1), dy.scalarInput(0.5)).value()
    0.5
    """
    return losses.margin_ranking(_operand(x), _operand(y), float(m))


@traced
def poisson_loss(log_lambda: Any, x: int) -> Any:
    """Minus the logarithm of the Poisson probability of x.

    Args:
        log_lambda: the logarithm of the distribution's mean, a scalar.
        x: a count.

    >>> import autobatch.dynet as dy
    >>> f"{dy.poisson_loss(dy.scalarInput(2), 3).value():.4f}"
    '3.1808'
    """
    if math.prod(_shape(log_lambda)) != 1:
        raise ShapeError(f"poisson_loss: expected a scalar, got dimensions {_dims(log_lambda)}")
    return losses.poisson_nll(_operand(log_lambda), float(x))


# ---------------------------------------------------------------------- shape


@traced
def reshape(x: Any, d: tuple[int, ...], batch_size: int = 1) -> Any:
    """The same elements, in column-major order, in other dimensions.

    Args:
        x: an expression.
        d: a tuple. Of the size of x: the minibatch stays. Otherwise of the size of all its
            elements together.
        batch_size: of the result. Default: 1.

    >>> import autobatch.dynet as dy
    >>> dy.reshape(dy.inputVector([1, 2, 3, 4]), (2, 2)).npvalue()
    array([[1., 3.],
           [2., 4.]])
    """
    if not isinstance(d, tuple):
        raise OperandError(f"reshape: expected a tuple of dimensions, got {type(d).__name__}")
    shape = d[::-1]
    if batch_size == 1:
        try:
            return _reshape((x,), shape, ())
        except ShapeError:
            pass  # the minibatch is to be joined, below; or a true mistake
    own, batch = math.prod(_shape(x)), _batch(x)
    x = _operand(x)
    if math.prod(shape) == own and batch_size in (1, batch):
        return F.reshape(x, shape)
    if math.prod(shape) * batch_size != own * batch:
        raise ShapeError(
            f"reshape: {d} in a minibatch of {batch_size} has another size than {_dims(x)} in a "
            f"minibatch of {batch}"
        )
    if batch > 1:
        x = selection.batch_to_axis(x)
    if batch_size == 1:
        return F.reshape(x, shape)
    return selection.axis_to_batch(F.reshape(x, (int(batch_size), *shape)))


_reshape = recorder("reshape").record
_transpose = recorder("transpose").record


@traced
def transpose(x: Any, dims: Sequence[int] = (1, 0)) -> Any:
    """Permutes the dimensions.

    Args:
        x: an expression; a vector counts as a column.
        dims: dimension i of the result is dimension ``dims[i]`` of x. Default: [1, 0].

    >>> import autobatch.dynet as dy
    >>> dy.transpose(dy.inputVector([1, 2])).dim()
    ((1, 2), 1)
    """
    shape = _full_shape(x)
    if dims == (1, 0) and len(shape) <= 2:
        return _transpose((x,), (1, 0), ()) if len(shape) == 2 else _reshape((x,), (*shape, 1), ())
    count = len(dims)
    x = _operand(x)
    if count < len(shape):
        raise ShapeError(
            f"transpose: expected {len(shape)} dimensions for {_dims(x)}, got {list(dims)}"
        )
    if count > len(shape):
        x = F.reshape(x, (1,) * (count - len(shape)) + shape)
    return F.transpose(x, [count - 1 - dims[count - 1 - axis] for axis in range(count)])


@traced
def concatenate(xs: list[Any], d: int = 0) -> Any:
    """Joins expressions along a dimension.

    Args:
        xs: a list; sizes are equal but along the dimension.
        d: default 0.

    >>> import autobatch.dynet as dy
    >>> dy.concatenate([dy.inputVector([1, 2]), dy.scalarInput(3)]).value()
    [1.0, 2.0, 3.0]
    """
    if type(xs) is not list or not xs:
        _listed("concatenate", xs)
    axis = len(_shape(xs[0])) - 1 - d
    if axis >= 0:
        try:
            return _concat(tuple(xs), (axis,), ())
        except ShapeError:
            pass  # dimensions of 1 to be added or dropped, below; or a true mistake
    shapes = [_shape(x) for x in xs]
    # Missing dimensions are of size 1; what has one too many keeps it if the first has it.
    count = builtins.max(len(shapes[0]), d + 1, 1)
    joined = []
    for x, shape in zip(xs, shapes, strict=True):
        if len(shape) > count and builtins.all(dim == 1 for dim in shape[: len(shape) - count]):
            x = F.reshape(_operand(x), shape[len(shape) - count :])
        elif len(shape) < count:
            x = F.reshape(_operand(x), (1,) * (count - len(shape)) + shape)
        joined.append(x)
    return _concat(tuple(joined), (count - 1 - d,), ())


_concat = recorder("concat").record
_lookup_again = recorder("lookup_again").record
_pick_again = recorder("pick_again").record


@traced
def concatenate_cols(xs: list[Any]) -> Any:
    """Joins columns, or matrices, side by side.

    >>> import autobatch.dynet as dy
    >>> dy.concatenate_cols([dy.inputVector([1, 2]), dy.inputVector([3, 4])]).npvalue()
    array([[1., 3.],
           [2., 4.]])
    """
    _listed("concatenate_cols", xs)
    first = _full_shape(xs[0])
    if len(first) == 1 and builtins.all(_shape(x) == first for x in xs):
        return F.stack(xs)
    return concatenate(xs, 1)


@traced
def concatenate_to_batch(xs: list[Any]) -> Any:
    """Joins the minibatches of expressions of the same dimensions.

    >>> import autobatch.dynet as dy
    >>> dy.concatenate_to_batch([dy.inputVector([1, 2]), dy.inputVector([3, 4])]).npvalue()
    array([[1., 3.],
           [2., 4.]])
    """
    return selection.concat_batch(_alike(_listed("concatenate_to_batch", xs)))


def pick(e: Any, index: int | None = None, dim: int = 0) -> Any:
    """The entry at an index of a dimension, which is dropped.

    Args:
        e: an expression.
        index: default 0, which `Expression.set_index` may change; negative ones are out of
            range. Others it may change in a program's first graphs, and where it has done so;
            elsewhere equal picks are one node.
        dim: default 0.

    >>> import autobatch.dynet as dy
    >>> dy.pick(dy.inputTensor([[1, 2], [3, 4]]), 1).value()
    [3.0, 4.0]
    """
    if not _CG.movable:
        if type(e) is Node and type(index) is int and index >= 0 and len(e.shape) == dim + 1:
            return _item(e, index)  # along our first axis: a view, in C
    elif hasattr(index, "__index__"):
        place = _index("pick", index, _full_shape(e)[_axis("pick", e, dim)])
        return _pick_again(_leading("pick", e, dim), (0,), (place,) * _batch(e))
    shape = _full_shape(e)
    if not isinstance(index, int):
        if index is None:
            return _pick_again(_leading("pick", e, dim), (0,), (0,) * _batch(e))
        if hasattr(index, "__len__"):
            return pick_batch(e, index, dim)
        index = int(index)
    axis = _axis("pick", e, dim)
    return F.pick(_spread(e), _index("pick", index, shape[axis]), axis)


def _leading(op: str, e: Any, dim: int) -> tuple[Any]:
    """An operand whose leading axis is DyNet's dimension `dim`."""
    axis, count, x = _axis(op, e, dim), len(_full_shape(e)), _spread(e)
    if axis % count:
        x = F.transpose(x, [axis % count, *(i for i in range(count) if i != axis % count)])
    return (x,)


def pick_batch(e: Any, indices: Sequence[int], dim: int = 0) -> Any:
    """`pick` with an index for every element of the minibatch.

    `Expression.set_index` may change the indices.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> e = dy.inputTensor(np.array([[1, 2], [3, 4]]), batched=True)
    >>> dy.pick_batch(e, [0, 1]).value()
    [1.0, 4.0]
    """
    axis = _axis("pick_batch", e, dim)
    length = _full_shape(e)[axis]
    places = [_index("pick_batch", i, length) for i in _labels("pick_batch", indices, e)]
    return _pick_again(_leading("pick_batch", e, dim), (0,), tuple(places))


@traced
def pick_range(e: Any, s: int, v: int, d: int = 0) -> Any:
    """The entries s, ..., v - 1 along a dimension.

    >>> import autobatch.dynet as dy
    >>> dy.pick_range(dy.inputVector([1, 2, 3]), 1, 3).value()
    [2.0, 3.0]
    """
    if type(e) is Node:
        shape = e.shape
        if len(shape) == d + 1 and 0 <= s < v <= shape[0]:
            return _item(e, slice(int(s), int(v)))
    axis = _axis("pick_range", e, d)
    shape = _full_shape(e)
    length = shape[axis]
    if not 0 <= s < v <= length:
        raise ShapeError(f"pick_range: expected 0 <= from < to <= {length}, got {s} and {v}")
    before = (slice(None),) * (len(shape) + axis)
    return F._getitem(_spread(e), (*before, slice(int(s), int(v))))


def pickrange(e: Any, s: int, v: int) -> Any:
    """The old name of `pick_range`."""
    return pick_range(e, s, v)


@traced
def pick_batch_elem(e: Any, v: int) -> Any:
    """One element of the minibatch.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> e = dy.inputTensor(np.array([[1, 2], [3, 4]]), batched=True)
    >>> dy.pick_batch_elem(e, 1).value()
    [2.0, 4.0]
    """
    return F.pick_batch_element(_operand(e), _index("pick_batch_elem", v, _batch(e)))


@traced
def pick_batch_elems(e: Any, vs: Sequence[int]) -> Any:
    """Several elements of the minibatch, in any order.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> e = dy.inputTensor(np.array([[1, 2], [3, 4]]), batched=True)
    >>> dy.pick_batch_elems(e, [1, 0]).npvalue()
    array([[2., 1.],
           [4., 3.]])
    """
    places = [_index("pick_batch_elems", v, _batch(e)) for v in vs]
    return selection.pick_batch_elements(_operand(e), places)


@traced
def select_rows(e: Any, rs: Sequence[int]) -> Any:
    """Rows in any order: entries of dimension 0.

    >>> import autobatch.dynet as dy
    >>> dy.select_rows(dy.inputTensor([[1, 2], [3, 4]]), [1]).npvalue()
    array([[3., 4.]])
    """
    length = _full_shape(e)[-1]
    places = [_index("select_rows", r, length) for r in rs]
    x = _spread(e)
    return (
        F.select_rows(x, places) if len(_full_shape(e)) == 1 else selection.take(x, places, axis=-1)
    )


@traced
def select_cols(e: Any, cs: Sequence[int]) -> Any:
    """Columns of a matrix in any order.

    >>> import autobatch.dynet as dy
    >>> dy.select_cols(dy.inputTensor([[1, 2], [3, 4]]), [1]).npvalue()
    array([[2.],
           [4.]])
    """
    shape = _shape(e)
    if len(shape) != 2:
        raise ShapeError(f"select_cols: expected a matrix, got dimensions {_dims(e)}")
    return F.select_rows(_operand(e), [_index("select_cols", c, shape[0]) for c in cs])


@traced
def strided_select(
    x: Any, strides: Sequence[int], range_from: Sequence[int], range_to: Sequence[int]
) -> Any:
    """Every n-th entry of ranges of the dimensions.

    Args:
        x: an expression.
        strides: for each dimension, at least 1; left out: 1. One for the minibatch may follow.
        range_from: first indices; left out: 0.
        range_to: one after the last indices; left out: the sizes.

    >>> import autobatch.dynet as dy
    >>> dy.strided_select(dy.inputTensor([[1, 2, 3], [4, 5, 6]]), [1, 2], [], []).npvalue()
    array([[1., 3.],
           [4., 6.]])
    """
    count = builtins.max(len(strides), len(range_from), len(range_to))

    def entry(given: Sequence[int], i: int) -> int | None:
        return int(given[i]) if i < len(given) else None

    slices = [
        slice(entry(range_from, i), entry(range_to, i), entry(strides, i)) for i in range(count)
    ]
    return _getitem(x, tuple(slices)) if count else x


# ---------------------------------------------------------------------- constants, tables


@traced
def constant(dim: Any, val: float, batch_size: int = 1) -> Any:
    """A tensor of one number.

    Args:
        dim: an int or a tuple.
        val: the number.
        batch_size: default 1.

    >>> import autobatch.dynet as dy
    >>> dy.constant((2,), 3).value()
    [3.0, 3.0]
    """
    shape = _of_dim("constant", dim)
    if batch_size == 1:
        return F.full(shape, float(val))
    return F.input(np.full((int(batch_size), *shape), float(val)), batched=True)


@traced
def zeros(dim: Any, batch_size: int = 1) -> Any:
    """A tensor of zeros; arguments as in `constant`.

    >>> import autobatch.dynet as dy
    >>> dy.zeros(2).value()
    [0.0, 0.0]
    """
    return constant(dim, 0.0, batch_size)


zeroes = zeros


@traced
def ones(dim: Any, batch_size: int = 1) -> Any:
    """A tensor of ones; arguments as in `constant`.

    >>> import autobatch.dynet as dy
    >>> dy.ones(2).value()
    [1.0, 1.0]
    """
    return constant(dim, 1.0, batch_size)


@traced
def one_hot(d: int, idx: int | Sequence[int], device: str = "") -> Any:
    """A vector of zeros with a 1.

    Args:
        d: its length.
        idx: where the 1 stands; a list makes a minibatch.

    >>> import autobatch.dynet as dy
    >>> dy.one_hot(3, 1).value()
    [0.0, 1.0, 0.0]
    """
    return F.one_hot(idx, d)


def lookup(p: Any, index: int | None = None, update: bool = True) -> Any:
    """A row of a table.

    Args:
        p: LookupParameters.
        index: the row. Default: 0, which `Expression.set` may change. Others it may change in a
            program's first graphs, and where it has done so; elsewhere lookups of one row are
            one node.
        update: whether it is trained. Default: True.

    Raises:
        IndexRangeError: no such row.

    >>> import autobatch.dynet as dy
    >>> p = dy.ParameterCollection().add_lookup_parameters((5, 2), init=1)
    >>> dy.lookup(p, 3).value()
    [1.0, 1.0]
    """
    if index is None or _CG.movable:
        row = _lookup_again((_operand(p),), (1,), (operator.index(index or 0),))
    else:
        row = _operand(p)[index]
    return row if update else F.stop_gradient(row)


def lookup_batch(p: Any, indices: Sequence[int], update: bool = True) -> Any:
    """Rows of a table as a minibatch; `Expression.set` may change them.

    >>> import autobatch.dynet as dy
    >>> p = dy.ParameterCollection().add_lookup_parameters((5, 2), init=1)
    >>> dy.lookup_batch(p, [3, 0]).dim()
    ((2,), 2)
    """
    rows = p.batch(indices)
    return rows if update else F.stop_gradient(rows)


# ---------------------------------------------------------------------- random numbers


def _probability(op: str, p: Any) -> float:
    p = float(p)
    if not 0 <= p <= 1:
        raise ShapeError(f"{op}: expected a probability from 0 to 1, got {p}")
    return p


def _mask(op: str, x: Any, p: Any, shape: tuple[int, ...], batch: int) -> Any:
    """x times a mask of zeros, with probability p, and ``1 / (1 - p)``."""
    return F.multiply(x, _CG.delayed(shape, batch, _mask_draw(op, p)))


@functools.lru_cache(maxsize=256)
def _mask_draw(op: str, p: Any) -> Draw:
    keep = 1.0 - _probability(op, p)
    return Draw.bernoulli(keep, 1.0 / keep if keep else 0.0)


def dropout(x: Any, p: float) -> Any:
    """Zeroes elements with probability p and multiplies the others by ``1 / (1 - p)``.

    >>> import autobatch.dynet as dy
    >>> sorted(set(dy.dropout(dy.ones(100), 0.5).value()))
    [0.0, 2.0]
    """
    if type(x) is Node:
        return _mask("dropout", x, p, x.shape, x.batch_size)
    return _mask("dropout", x, p, _shape(x), 1)


def dropout_dim(x: Any, d: int, p: float) -> Any:
    """`dropout` of whole lines along a dimension.

    >>> import autobatch.dynet as dy
    >>> x = dy.dropout_dim(dy.ones((2, 50)), 0, 0.5).npvalue()
    >>> bool((x[0] == x[1]).all())
    True
    """
    axis = _axis("dropout_dim", x, d)
    shape = list(_full_shape(x))
    shape[axis] = 1
    return _mask("dropout_dim", x, p, tuple(shape), _batch(x))


def dropout_batch(x: Any, p: float) -> Any:
    """`dropout` of whole elements of the minibatch.

    >>> import autobatch.dynet as dy
    >>> x = dy.dropout_batch(dy.ones((2,), batch_size=50), 0.5).npvalue()
    >>> bool((x[0] == x[1]).all())
    True
    """
    return _mask("dropout_batch", x, p, (), _batch(x))


def block_dropout(x: Any, p: float) -> Any:
    """`dropout` of all of x at once.

    >>> import autobatch.dynet as dy
    >>> len(set(dy.block_dropout(dy.ones(100), 0.5).value()))
    1
    """
    return _mask("block_dropout", x, p, (), 1)


def noise(x: Any, stddev: float) -> Any:
    """x plus normally distributed numbers of mean 0.

    >>> import autobatch.dynet as dy
    >>> dy.noise(dy.ones(2), 0.0).value()
    [1.0, 1.0]
    """
    shape, batch, stddev = _shape(x), _batch(x), float(stddev)
    return F.add(x, _CG.delayed(shape, batch, Draw.normal(0.0, stddev)))


def _drawn(op: str, dim: Any, batch_size: int, draw: Draw) -> Any:
    return _CG.delayed(_of_dim(op, dim), int(batch_size), draw)


def random_normal(dim: Any, mean: float = 0.0, stddev: float = 1.0, batch_size: int = 1) -> Any:
    """Normally distributed numbers.

    Args:
        dim: an int or a tuple.
        mean, stddev: default 0 and 1.
        batch_size: default 1.

    >>> import autobatch.dynet as dy
    >>> dy.random_normal((2, 3)).dim()
    ((2, 3), 1)
    """
    return _drawn("random_normal", dim, batch_size, Draw.normal(float(mean), float(stddev)))


def random_uniform(dim: Any, left: float, right: float, batch_size: int = 1) -> Any:
    """Numbers from ``[left, right)``, all equally likely.

    >>> import autobatch.dynet as dy
    >>> 1 <= dy.random_uniform(1, 1, 2).value() < 2
    True
    """
    return _drawn("random_uniform", dim, batch_size, Draw.uniform(float(left), float(right)))


def random_bernoulli(dim: Any, p: float, scale: float = 1.0, batch_size: int = 1) -> Any:
    """`scale` with probability p, else 0.

    >>> import autobatch.dynet as dy
    >>> sorted(set(dy.random_bernoulli(100, 0.5, 2.0).value()))
    [0.0, 2.0]
    """
    draw = Draw.bernoulli(_probability("random_bernoulli", p), float(scale))
    return _drawn("random_bernoulli", dim, batch_size, draw)


def random_gumbel(dim: Any, mu: float = 0.0, beta: float = 1.0, batch_size: int = 1) -> Any:
    """Numbers of the Gumbel distribution, of location mu and scale beta.

    >>> import autobatch.dynet as dy
    >>> dy.random_gumbel(3).dim()
    ((3,), 1)
    """
    return _drawn("random_gumbel", dim, batch_size, Draw.gumbel(float(mu), float(beta)))


# ---------------------------------------------------------------------- normalisation, filters


@traced
def layer_norm(x: Any, g: Any, b: Any) -> Any:
    """``g * (x - mean) / std + b`` over the elements of x (Ba, Kiros, Hinton 2016).

    >>> import autobatch.dynet as dy
    >>> g, b = dy.ones(2), dy.zeros(2)
    >>> [f"{v:.4f}" for v in dy.layer_norm(dy.inputVector([1, 3]), g, b).value()]
    ['-1.0000', '1.0000']
    """
    # DyNet adds 1e-8 to the deviation; the variance is that of the vector.
    return statistics.layer_norm(
        _flat("layer_norm", x), _flat("layer_norm", g), _flat("layer_norm", b), epsilon=1e-16
    )


@traced
def weight_norm(w: Any, g: Any) -> Any:
    """``g * w / norm(w)`` (Salimans and Kingma 2016).

    Args:
        w: any dimensions.
        g: a scalar.

    >>> import autobatch.dynet as dy
    >>> dy.weight_norm(dy.inputVector([3, 4]), dy.scalarInput(10)).value()
    [6.0, 8.0]
    """
    return statistics.weight_norm(_operand(w), _operand(g))


@traced
def conv2d(x: Any, f: Any, stride: Sequence[int], is_valid: bool = True) -> Any:
    """Convolution (correlation) of an image with filters.

    Args:
        x: dimensions (height, width, channels), or (height, width).
        f: dimensions (height, width, channels, filters).
        stride: of the height and of the width.
        is_valid: filters stay inside the image; False: as many results as
            ``ceil(size / stride)``, with zeros around the image.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> x, f = dy.inputTensor(np.ones((4, 4, 1))), dy.inputTensor(np.ones((2, 2, 1, 3)))
    >>> dy.conv2d(x, f, [1, 1]).dim()
    ((3, 3, 3), 1)
    """
    return _convolve(x, f, None, stride, is_valid)


@traced
def conv2d_bias(x: Any, f: Any, b: Any, stride: Sequence[int], is_valid: bool = True) -> Any:
    """`conv2d` plus a number for every filter.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> x, f = dy.inputTensor(np.ones((4, 4, 1))), dy.inputTensor(np.ones((2, 2, 1, 1)))
    >>> dy.conv2d_bias(x, f, dy.inputVector([1]), [2, 2]).npvalue()[:, :, 0]
    array([[5., 5.],
           [5., 5.]])
    """
    return _convolve(x, f, b, stride, is_valid)


def _image(op: str, x: Any) -> Any:
    """(channels, width, height) of an image that may lack channels."""
    shape = _shape(x)
    if len(shape) == 2:
        return F.reshape(_operand(x), (1, *shape))
    if len(shape) != 3:
        raise ShapeError(f"{op}: expected (height, width, channels), got {_dims(x)}")
    return _operand(x)


def _window(op: str, stride: Any) -> tuple[int, int]:
    if len(stride) != 2:
        raise ShapeError(f"{op}: expected two numbers, of height and width, got {stride}")
    return int(stride[1]), int(stride[0])


def _convolve(x: Any, f: Any, b: Any, stride: Any, is_valid: bool) -> Any:
    image = _image("conv2d", x)
    if len(_shape(f)) != 4:
        raise ShapeError(
            f"conv2d: expected filters (height, width, channels, filters), got {_dims(f)}"
        )
    # Ours are (channels, height, width): the two sides of the image change places.
    padding = "valid" if is_valid else "same"
    step = _window("conv2d", stride)
    return convolution.conv2d(image, _operand(f), bias=_operand(b), stride=step, padding=padding)


@traced
def maxpooling2d(x: Any, ksize: Sequence[int], stride: Sequence[int], is_valid: bool = True) -> Any:
    """The maximum of each window of an image.

    Args:
        x: dimensions (height, width, channels), or (height, width).
        ksize: the window's height and width.
        stride, is_valid: as in `conv2d`.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> x = dy.inputTensor(np.arange(16.0).reshape(4, 4))
    >>> dy.maxpooling2d(x, [2, 2], [2, 2]).npvalue()
    array([[ 5.,  7.],
           [13., 15.]])
    """
    size, step = _window("maxpooling2d", ksize), _window("maxpooling2d", stride)
    padding = "valid" if is_valid else "same"
    pooled = convolution.max_pool2d(_image("maxpooling2d", x), size, stride=step, padding=padding)
    return F.reshape(pooled, pooled.shape[1:]) if len(_shape(x)) == 2 else pooled


@traced
def filter1d_narrow(x: Any, y: Any) -> Any:
    """Convolution along the columns, without padding.

    Args:
        x: dimensions (rows, columns).
        y: dimensions (rows, width) or (rows, width, filters).

    Returns:
        (filters, columns - width + 1).

    >>> import autobatch.dynet as dy
    >>> x, y = dy.inputTensor([[0, 1, 2], [3, 4, 5]]), dy.inputTensor([[1, 1], [1, 1]])
    >>> dy.filter1d_narrow(x, y).npvalue()
    array([[ 8., 12.]])
    """
    window = _shape(y)
    if len(window) == 2:
        y = F.reshape(_operand(y), (1, *window))
    return convolution.filter1d(_operand(x), _operand(y))


@traced
def kmax_pooling(x: Any, k: int, d: int = 1) -> Any:
    """The k largest entries along a dimension, in their order.

    >>> import autobatch.dynet as dy
    >>> dy.kmax_pooling(dy.inputTensor([[3, 1, 2]]), 2).npvalue()
    array([[3., 2.]])
    """
    axis = _axis("kmax_pooling", x, d)
    return statistics.kmax(_operand(x), int(k), axis=axis)


@traced
def kmh_ngram(x: Any, n: int) -> Any:
    """Sums of n neighbouring columns.

    >>> import autobatch.dynet as dy
    >>> dy.kmh_ngram(dy.inputTensor([[0, 1, 2]]), 2).npvalue()
    array([[1., 3.]])
    """
    if len(_shape(x)) != 2:
        raise ShapeError(f"kmh_ngram: expected a matrix, got dimensions {_dims(x)}")
    return convolution.sliding_sum(_operand(x), int(n), axis=0)


@traced
def fold_rows(x: Any, nrows: int = 2) -> Any:
    """Sums of `nrows` neighbouring rows.

    >>> import autobatch.dynet as dy
    >>> dy.fold_rows(dy.inputTensor([[0, 1], [2, 3]])).npvalue()
    array([[2., 4.]])
    """
    return convolution.fold(_spread(x), int(nrows), axis=-1)


# ---------------------------------------------------------------------- cells of an LSTM


def vanilla_lstm_gates_dropout_concat(
    x_t: list[Any],
    h_tm1: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    dropout_mask_x: Any,
    dropout_mask_h: Any,
    weightnoise_std: float = 0.0,
) -> Any:
    """The gates of an LSTM step: i, f, o after the logistic function, g after tanh.

    Args:
        x_t: inputs, to be joined.
        h_tm1: the state before.
        Wx, Wh, b: dimensions (4h, inputs), (4h, h), (4h,); 1 is added to the forget gate's.
        dropout_mask_x, dropout_mask_h: factors of the inputs and of the state.
        weightnoise_std: standard deviation of noise added to the weights.

    Returns:
        (4h,).
    """
    x = concatenate(x_t) if len(x_t) > 1 else x_t[0]
    if dropout_mask_x is not None:
        x = F.multiply(x, dropout_mask_x)
        h_tm1 = F.multiply(h_tm1, dropout_mask_h)
    if weightnoise_std > 0:
        Wx, Wh, b = (noise(w, weightnoise_std) for w in (Wx, Wh, b))
    i, f, o, g = F.split(affine_transform([b, Wx, x, Wh, h_tm1]), 4, axis=-1)
    return F.concat([F.sigmoid(i), F.sigmoid(F.add(f, 1.0)), F.sigmoid(o), F.tanh(g)], axis=-1)


def vanilla_lstm_gates_concat(
    x_t: list[Any],
    h_tm1: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    weightnoise_std: float = 0.0,
) -> Any:
    """`vanilla_lstm_gates_dropout_concat` without masks."""
    return vanilla_lstm_gates_dropout_concat(x_t, h_tm1, Wx, Wh, b, None, None, weightnoise_std)


def vanilla_lstm_gates_dropout(
    x_t: Any,
    h_tm1: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    dropout_mask_x: Any,
    dropout_mask_h: Any,
    weightnoise_std: float = 0.0,
) -> Any:
    """`vanilla_lstm_gates_dropout_concat` of one input."""
    return vanilla_lstm_gates_dropout_concat(
        [x_t], h_tm1, Wx, Wh, b, dropout_mask_x, dropout_mask_h, weightnoise_std
    )


def vanilla_lstm_gates(
    x_t: Any,
    h_tm1: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    weightnoise_std: float = 0.0,
) -> Any:
    """`vanilla_lstm_gates_concat` of one input."""
    return vanilla_lstm_gates_concat([x_t], h_tm1, Wx, Wh, b, weightnoise_std)


@traced
def vanilla_lstm_c(c_tm1: Any, gates_t: Any) -> Any:
    """The cell of an LSTM step, ``i * g + f * c``, from the cell before and the gates."""
    i, f, _, g = F.split(_operand(gates_t), 4, axis=-1)
    return F.add(F.multiply(i, g), F.multiply(f, c_tm1))


@traced
def vanilla_lstm_h(c_t: Any, gates_t: Any) -> Any:
    """The output of an LSTM step, ``o * tanh(c)``, from its cell and gates."""
    o = F.split(_operand(gates_t), 4, axis=-1)[2]
    return F.multiply(o, F.tanh(c_t))


# ---------------------------------------------------------------------- several values


def forward(exps: list[Any], recalculate: bool = False) -> None:
    """Computes several expressions together.

    >>> import autobatch.dynet as dy
    >>> dy.forward([dy.scalarInput(1)])
    """
    _CG.values([_node(e) for e in exps], recalculate)


def values(exps: list[Any], recalculate: bool = False) -> list[Any]:
    """The values of several expressions, computed together.

    >>> import autobatch.dynet as dy
    >>> dy.values([dy.scalarInput(1), dy.inputVector([2, 3])])
    [1.0, [2.0, 3.0]]
    """
    forward(exps, recalculate)
    return [e.value() for e in exps]


def npvalues(exps: list[Any], recalculate: bool = False) -> list[np.ndarray]:
    """The values of several expressions as arrays, computed together.

    >>> import autobatch.dynet as dy
    >>> dy.npvalues([dy.scalarInput(1), dy.inputVector([2, 3])])
    [array([1.]), array([2., 3.])]
    """
    forward(exps, recalculate)
    return [e.npvalue() for e in exps]
