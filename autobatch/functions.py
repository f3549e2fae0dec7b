"""The public functions that record ops.

A plain op's function is the recorder's C callable itself; the others settle attributes
(negative axes, -1 in a shape, lists instead of expressions) and record once. Nothing here
computes a number: values are computed when they are asked for.

Operands may be expressions, parameters, Python and NumPy numbers, and arrays.
"""

from __future__ import annotations

import builtins
import functools
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import plain, recording
from ._core import Expression, Param
from .errors import IndexRangeError, OperandError, ShapeError
from .ops.linear import NotWeightsError
from .ops.shapes import contiguous_strides, merge_axes
from .parameters import Lookup
from .recording import recorder

if TYPE_CHECKING:
    from typing import TypeAlias

    Like: TypeAlias = Expression | Param | np.ndarray | float
    Shape: TypeAlias = tuple[int, ...]

__all__ = [
    "abs",
    "add",
    "affine",
    "affine_transposed",
    "argmax",
    "binary_cross_entropy",
    "clip",
    "concat",
    "constant",
    "cos",
    "cross_entropy",
    "divide",
    "dot",
    "dropout",
    "elu",
    "erf",
    "exp",
    "full",
    "gelu",
    "hinge",
    "input",
    "leaky_relu",
    "linear",
    "log",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "lstm_cell",
    "matmul",
    "max",
    "maximum",
    "mean",
    "mean_batch",
    "min",
    "minimum",
    "multiply",
    "negative",
    "norm",
    "one_hot",
    "ones",
    "pick",
    "pick_batch_element",
    "power",
    "relu",
    "reshape",
    "select_rows",
    "selu",
    "sigmoid",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "softsign",
    "split",
    "sqrt",
    "square",
    "squared_error",
    "stack",
    "stop_gradient",
    "subtract",
    "sum",
    "sum_batch",
    "tanh",
    "transpose",
    "zeros",
]


class Unary(Protocol):
    """A recorded op of one operand."""

    def __call__(self, x: Like, /) -> Expression: ...


class Binary(Protocol):
    """A recorded op of two operands."""

    def __call__(self, x: Like, y: Like, /) -> Expression: ...


# ------------------------------------------------------------- ops without attributes

add: Binary = recorder("add")
subtract: Binary = recorder("subtract")
multiply: Binary = recorder("multiply")
divide: Binary = recorder("divide")
negative: Unary = recorder("negative")
maximum: Binary = recorder("maximum")
minimum: Binary = recorder("minimum")
matmul: Binary = recorder("matmul")
dot: Binary = recorder("dot")
lstm_cell: Binary = recorder("lstm_cell")
exp: Unary = recorder("exp")
log: Unary = recorder("log")
sqrt: Unary = recorder("sqrt")
square: Unary = recorder("square")
abs: Unary = recorder("abs")
sin: Unary = recorder("sin")
cos: Unary = recorder("cos")
erf: Unary = recorder("erf")
tanh: Unary = recorder("tanh")
sigmoid: Unary = recorder("sigmoid")
log_sigmoid: Unary = recorder("log_sigmoid")
softplus: Unary = recorder("softplus")
relu: Unary = recorder("relu")
selu: Unary = recorder("selu")
silu: Unary = recorder("silu")
softsign: Unary = recorder("softsign")
squared_error: Binary = recorder("squared_error")
stop_gradient: Unary = recorder("stop_gradient")
sum_batch: Unary = recorder("sum_batch")
mean_batch: Unary = recorder("mean_batch")

_power = recorder("power")
_clip = recorder("clip")
_leaky_relu = recorder("leaky_relu")
_elu = recorder("elu")
_gelu = {
    "none": recorder("gelu"),
    "tanh": recorder("gelu_tanh"),
    "sigmoid": recorder("gelu_sigmoid"),
}
_affine = recorder("affine")
_affine_transposed = recorder("affine_transposed")
_linear = recorder("linear")
_transpose = recorder("transpose")
_reshape = recorder("reshape")
_equal_parts = recording.equal_parts
_entry = recording.entry
_entries = recording.entries
_slice = recorder("slice")
_strided = recorder("strided")
_pick = recorder("pick")
_pick_each = recorder("pick_each")
_select_rows = recorder("select_rows")
_concat = recorder("concat")
_stack = recorder("stack")
_reduce = {
    name: recorder(name) for name in ("sum", "mean", "max", "min", "logsumexp", "norm", "argmax")
}
_nary_sum = recorder("nary_sum")
_nary_mean = recorder("nary_mean")
_nary_max = recorder("nary_max")
_softmax = recorder("softmax")
_log_softmax = recorder("log_softmax")
_log_softmax_restricted = recorder("log_softmax_restricted")
_cross_entropy = recorder("cross_entropy")
_cross_entropy_soft = recorder("cross_entropy_soft")
_binary_cross_entropy = recorder("binary_cross_entropy")
_binary_cross_entropy_logits = recorder("binary_cross_entropy_logits")
_hinge = recorder("hinge")
_dropout = recorder("dropout")
_full = recorder("full")
_one_hot = recorder("one_hot")
_lookup = recorder("lookup")
_lookup_batch = recorder("lookup_batch")
_pick_batch_element = recorder("pick_batch_element")


# ------------------------------------------------------------------ reading arguments


def _shape(op: str, x: Any) -> Shape:
    """The shape of any operand."""
    shape = getattr(x, "shape", None)
    return recording.operand_array(op, x).shape if shape is None else tuple(shape)


def _batch(x: Any) -> int:
    """The size of an operand's manual minibatch; 1 where there is none."""
    return getattr(x, "batch_size", 1)


def _is_one_hot(labels: Sequence[int]) -> bool:
    return builtins.sum(labels) == 1 and set(labels) == {0, 1}


def _is_operand(x: Any) -> bool:
    return hasattr(x, "shape") or isinstance(x, (int, float))


def _operands(op: str, xs: Any) -> Sequence[Any]:
    """A list of operands; any iterable will do, but not a single operand."""
    if not isinstance(xs, (list, tuple)):
        if _is_operand(xs) or not isinstance(xs, Iterable):
            raise OperandError(
                f"{op}: expected a list of expressions, got {type(xs).__name__}; write "
                f"ab.{op}([x, y])"
            )
        if isinstance(xs, (Mapping, Set)):
            raise OperandError(
                f"{op}: expected a list of expressions, got {type(xs).__name__}; give the values() "
                f"of a dict, and a list, which has an order, for a set"
            )
        xs = list(xs)
    if not xs:
        raise OperandError(f"{op}: expected at least one expression, got an empty list")
    return xs


def _axis(op: str, axis: Any, ndim: int, got: Any) -> int:
    """An axis in [0, ndim)."""
    index = plain.whole(op, "axis", axis)
    if not -ndim <= index < ndim:
        raise ShapeError(
            f"{op}: expected an axis from {-ndim} to {ndim - 1} for shape {got}, got {index}"
            if ndim
            else f"{op}: expected an operand with axes, got a scalar and axis {index}"
        )
    return index % ndim


def _index(op: str, index: Any, length: int) -> int:
    """An index in [0, length), from one that may be negative."""
    value = index if type(index) is int else plain.whole(op, "index", index)
    if not -length <= value < length:
        raise IndexRangeError(
            f"{op}: expected an index from {-length} to {length - 1}, got {value}"
            if length
            else f"{op}: got index {value} of an axis of size 0"
        )
    return value + length if value < 0 else value


def _labels(op: str, labels: Any) -> tuple[int, ...]:
    """A sequence of ints (or an integer array of one axis) as a tuple."""
    found = plain.wholes(op, "index", labels)
    if not found:
        raise OperandError(f"{op}: expected at least one index, got an empty sequence")
    return found


def _indices(op: str, ids: Any, length: int) -> tuple[int, ...]:
    """A sequence of indices in [0, length)."""
    found = _labels(op, ids)
    if builtins.min(found) >= 0 and builtins.max(found) < length:
        return found
    return tuple([_index(op, i, length) for i in found])


def _several(op: str, name: str, given: Any) -> tuple[int, ...]:
    """An int or a sequence of ints as a tuple."""
    if type(given) is int or plain.is_single(given):
        return (plain.whole(op, name, given),)
    return plain.wholes(op, name, given)


def _dims(op: str, shape: Any) -> Shape:
    """A shape given as an int or a sequence of ints."""
    return _several(op, "shape", shape)


# ---------------------------------------------------------------------------- sources


def input(array: Any, batched: bool = False) -> Expression:
    """Records an array; its numbers are copied now.

    Args:
        array: real numbers of any dtype and strides, or (nested) lists of them. Each input is
            a leaf of its own, whatever its content, and may be named in ``backward(wrt=...)``;
            numbers that repeat and need no gradient are better recorded by `constant`.
        batched: the first axis is a manual minibatch; the expression's shape is that of the
            rest. Default: False.

    Raises:
        OperandError: not an array of real numbers.
        ShapeError: ``batched`` and no first axis, or one of size 0.

    Example:
        >>> import autobatch as ab
        >>> x = ab.input([[1, 2, 3], [4, 5, 6]])
        >>> x.shape
        (2, 3)
        >>> x = ab.input([[1, 2, 3], [4, 5, 6]], batched=True)
        >>> x.shape, x.batch_size
        ((3,), 2)
    """
    return recording.input_array(*_outside("input", array, batched))


def constant(array: Any, batched: bool = False) -> Expression:
    """Records numbers that are no leaf: equal constants are one node, and none has a gradient.

    So do numbers and arrays that are operands by themselves, as in ``x * 2`` or ``x + array``.

    Args:
        array, batched: as for `input`.

    Raises:
        OperandError, ShapeError: as `input` does.

    Example:
        >>> import autobatch as ab
        >>> ab.constant([1, 2]).node == ab.constant([1, 2]).node
        True
        >>> ab.input([1, 2]).node == ab.input([1, 2]).node
        False
    """
    return recording.constant_array(*_outside("constant", array, batched))


def _outside(op: str, array: Any, batched: bool) -> tuple[np.ndarray, bool]:
    """The numbers of an array, and whether its first axis is a minibatch."""
    if isinstance(array, (Expression, Param)):
        raise OperandError(
            f"{op}: expected an array, got {type(array).__name__}, which can be used as it is"
        )
    numbers, batched = plain.array(op, array), plain.flag(op, "batched", batched)
    if batched and (numbers.ndim == 0 or numbers.shape[0] == 0):
        raise ShapeError(
            f"{op}: expected a first axis with the elements of the minibatch, got shape "
            f"{numbers.shape}"
        )
    return numbers, batched


def full(shape: int | Sequence[int], value: float) -> Expression:
    """An array of one number.

    Args:
        shape: an int or a sequence of ints; ``()`` for a scalar.
        value: the number. Arrays of one shape batch together whatever it is.

    Raises:
        ShapeError: a negative size.

    Example:
        >>> import autobatch as ab
        >>> ab.full(2, 0.5).value()
        array([0.5, 0.5], dtype=float32)
    """
    return _full.record((), _dims("full", shape), (plain.number("full", "value", value),))


def zeros(shape: int | Sequence[int]) -> Expression:
    """An array of zeros; see `full`.

    Example:
        >>> import autobatch as ab
        >>> ab.zeros((1, 2)).value()
        array([[0., 0.]], dtype=float32)
    """
    return _full.record((), _dims("zeros", shape), (0.0,))


def ones(shape: int | Sequence[int]) -> Expression:
    """An array of ones; see `full`.

    Example:
        >>> import autobatch as ab
        >>> ab.ones(2).value()
        array([1., 1.], dtype=float32)
    """
    return _full.record((), _dims("ones", shape), (1.0,))


def one_hot(index: int | Sequence[int], size: int) -> Expression:
    """A vector of zeros with a 1 at `index`.

    Args:
        index: an int from 0 to ``size - 1``; a sequence makes a manual minibatch.
        size: length of the vector.

    Raises:
        IndexRangeError: an index outside its range.

    Example:
        >>> import autobatch as ab
        >>> ab.one_hot(1, 3).value()
        array([0., 1., 0.], dtype=float32)
    """
    size = plain.whole("one_hot", "size", size)
    labels = _several("one_hot", "index", index)
    if not labels:
        raise OperandError("one_hot: expected at least one index, got an empty sequence")
    batch = 0 if plain.is_single(index) else len(labels)
    return _one_hot.record((), (batch, size), labels)


def _row(table: Lookup, index: Any) -> Expression:
    """A row of a lookup: ``lookup[index]``."""
    if not plain.is_single(index):
        plain.refuse_operands("lookup", index, "expected the number of a row")
        raise OperandError(
            f"lookup: expected the number of a row, got {type(index).__name__}; several rows as a "
            f"manual minibatch: lookup.batch(ids), along an axis: ab.take(lookup, ids)"
        )
    return _lookup.record((table,), (), (plain.whole("lookup", "the number of a row", index),))


def _rows_of(table: Param, ids: Sequence[int]) -> Expression:
    """Rows of a lookup as a manual minibatch: ``Lookup.batch``."""
    rows = _labels("lookup", ids)
    return _lookup_batch.record((table,), (len(rows),), rows)


# ------------------------------------------------------------------------ elementwise


def power(x: Like, y: Like) -> Expression:
    """x to the power y, elementwise, with broadcasting (the operator ``**``).

    The exponents -1, 0.5, 1, 2 and 3 become a division, a square root or products.

    Args:
        x, y: shapes that broadcast. A negative x with a y that is not an integer gives NaN.

    Raises:
        ShapeError: the shapes do not broadcast.

    Example:
        >>> import autobatch as ab
        >>> ab.power(2.0, 3.0).item()
        8.0
    """
    if isinstance(y, (int, float, np.number)) and not isinstance(x, (int, float, np.number)):
        if y == 2:
            return square(x)
        if y == 3:
            return multiply(square(x), x)
        if y == 0.5:
            return sqrt(x)
        if y == -1:
            return divide(1.0, x)
        if y == 1 and isinstance(x, Expression):
            return x
    return _power(x, y)


def clip(x: Like, low: float | None = None, high: float | None = None) -> Expression:
    """x limited to the interval from `low` to `high`, elementwise.

    The derivative is 1 inside the closed interval and 0 outside.

    Args:
        x: any shape; the result has the same.
        low, high: the bounds; None for none. Default: None.

    Raises:
        OperandError: `low` is above `high`.

    Example:
        >>> import autobatch as ab
        >>> ab.clip(1.5, high=1.0).item()
        1.0
    """
    lower = -math.inf if low is None else plain.number("clip", "low", low)
    upper = math.inf if high is None else plain.number("clip", "high", high)
    return _clip.record((x,), (lower, upper), ())


def leaky_relu(x: Like, slope: float = 0.01) -> Expression:
    """x where positive, ``slope * x`` elsewhere, elementwise. The derivative at 0 is `slope`.

    Args:
        x: any shape; the result has the same.
        slope: default 0.01.

    Example:
        >>> import autobatch as ab
        >>> ab.leaky_relu(-1.0, slope=0.5).item()
        -0.5
    """
    return _leaky_relu.record((x,), (plain.number("leaky_relu", "slope", slope),), ())


def elu(x: Like, alpha: float = 1.0) -> Expression:
    """x where positive, ``alpha * (exp(x) - 1)`` elsewhere, elementwise.

    Source: Clevert, Unterthiner, Hochreiter 2016, "Fast and accurate deep network learning by
    exponential linear units".

    Args:
        x: any shape; the result has the same.
        alpha: default 1.

    Example:
        >>> import autobatch as ab
        >>> round(ab.elu(-0.5, alpha=2.0).item(), 4)
        -0.7869
    """
    return _elu.record((x,), (plain.number("elu", "alpha", alpha),), ())


def gelu(x: Like, approximate: str = "none") -> Expression:
    """x times the normal distribution function of x, elementwise.

    Source: Hendrycks and Gimpel 2016, "Gaussian error linear units".

    Args:
        x: any shape; the result has the same.
        approximate: "none": by the error function; "tanh": x (1 + tanh(sqrt(2/pi)
            (x + 0.044715 x^3))) / 2; "sigmoid": x sigmoid(1.702 x). Default: "none".

    Raises:
        OperandError: another `approximate`.

    Example:
        >>> import autobatch as ab
        >>> round(ab.gelu(0.5).item(), 4)
        0.3457
        >>> round(ab.gelu(0.5, approximate="sigmoid").item(), 4)
        0.3504
    """
    try:
        form = _gelu[approximate]
    except (KeyError, TypeError):
        raise OperandError(
            f'gelu: expected approximate to be "none", "tanh" or "sigmoid", '
            f"got {plain.show(approximate)}"
        ) from None
    return form(x)


def dropout(x: Like, rate: float = 0.5) -> Expression:
    """Zeroes each element with probability `rate` and divides the others by ``1 - rate``.

    Every call draws anew, from the seed of the configuration; a node is never shared. Leave
    the call out when evaluating.

    Source: Srivastava and others 2014, "Dropout", in its inverted form.

    Args:
        x: any shape; the result has the same.
        rate: at least 0 and below 1. Default: 0.5.

    Raises:
        OperandError: a rate outside its range.

    Example:
        >>> import autobatch as ab
        >>> y = ab.dropout(ab.ones(1000), 0.75)
        >>> sorted(set(y.value().tolist()))
        [0.0, 4.0]
    """
    rate = plain.number("dropout", "rate", rate)
    if rate == 0 and isinstance(x, Expression):
        return x
    words: list[int] = []
    for _ in range(_batch(x)):
        words += recording.next_serial()
    return _dropout.record((x,), (rate,), tuple(words))


# ----------------------------------------------------------------------------- linear


def affine(bias: Like | None, *pairs: Like) -> Expression:
    """``bias + W1 @ x1 + W2 @ x2 + ...`` in one kernel call for all examples.

    Args:
        bias: (m,) where the x are vectors, (m, 1) where they are matrices; None for none.
        pairs: W1, x1, W2, x2, ...: matrices (m, k_i), and vectors (k_i,) or matrices
            (k_i, r). Where the W are not weights, the products are recorded one by one.

    Returns:
        (m,) or (m, r).

    Raises:
        OperandError: no pair.
        ShapeError: the shapes do not fit together.

    Example:
        >>> import numpy as np
        >>> import autobatch as ab
        >>> W = ab.Parameter(init=np.array([[1.0, 2.0], [0.0, 1.0]]))
        >>> ab.affine(ab.ones(2), W, np.array([3.0, 4.0])).value()
        array([12.,  5.], dtype=float32)
    """
    if len(pairs) % 2:
        raise OperandError(
            f"affine: expected bias, W1, x1, W2, x2, ..., got {len(pairs) + 1} operands; the bias "
            f"may be None"
        )
    try:
        return _affine.record(pairs if bias is None else (bias, *pairs), (), ())
    except NotWeightsError:
        total = matmul(pairs[0], pairs[1])
        for w, x in zip(pairs[2::2], pairs[3::2], strict=True):
            total = add(total, matmul(w, x))
        return total if bias is None else add(total, bias)


def affine_transposed(bias: Like | None, *pairs: Like) -> Expression:
    """``bias + W1.T @ x1 + W2.T @ x2 + ...`` in one kernel call for all examples.

    As `affine`, for weights stored transposed; of rows, each is taken by itself.

    Args:
        bias: (m,); None for none.
        pairs: W1, x1, W2, x2, ...: matrices (k_i, m), and vectors (k_i,) or rows
            (..., k_i), for which the term is ``x @ W``. Where the W are not weights, the
            products are recorded one by one.

    Returns:
        (m,) or (..., m).

    Raises:
        OperandError: no pair.
        ShapeError: the shapes do not fit together.

    Example:
        >>> import numpy as np
        >>> import autobatch as ab
        >>> W = ab.Parameter(init=np.array([[1.0, 0.0], [2.0, 1.0]]))
        >>> ab.affine_transposed(ab.ones(2), W, np.array([3.0, 4.0])).value()
        array([12.,  5.], dtype=float32)
    """
    if len(pairs) % 2:
        raise OperandError(
            f"affine_transposed: expected bias, W1, x1, W2, x2, ..., got {len(pairs) + 1} "
            f"operands; the bias may be None"
        )
    try:
        return _affine_transposed.record(pairs if bias is None else (bias, *pairs), (), ())
    except NotWeightsError:
        total = matmul(pairs[1], pairs[0])
        for w, x in zip(pairs[2::2], pairs[3::2], strict=True):
            total = add(total, matmul(x, w))
        return total if bias is None else add(total, bias)


def linear(x: Like, weight: Like, bias: Like | None = None) -> Expression:
    """``x @ weight.T + bias``: a linear layer over the last axis.

    Args:
        x: (k,) or (..., k).
        weight: (m, k), a row for every output.
        bias: (m,); None for none. Default: None.

    Returns:
        (m,) or (..., m).

    Raises:
        ShapeError: the shapes do not fit together.

    Example:
        >>> import numpy as np
        >>> import autobatch as ab
        >>> W = ab.Parameter(init=np.array([[1.0, 2.0], [0.0, 1.0]]))
        >>> ab.linear(np.array([[3.0, 4.0], [1.0, 0.0]]), W).value()
        array([[11.,  4.],
               [ 1.,  0.]], dtype=float32)
    """
    try:
        if len(_shape("linear", x)) == 1:
            return affine(bias, weight, x)
        try:
            return _linear(weight, x) if bias is None else _linear(bias, weight, x)
        except NotWeightsError:
            product = matmul(x, transpose(weight))
            return product if bias is None else add(product, bias)
    except ShapeError as error:
        given = _shape("linear", x), _shape("linear", weight)
        if len(given[1]) == 2 and given[0][-1:] == given[1][1:]:
            wanted = (given[1][0],)
            if bias is None or _shape("linear", bias) == wanted:
                raise  # sizes of manual minibatches
            raise ShapeError(
                f"linear: expected a bias of shape {wanted}, got {_shape('linear', bias)}"
            ) from error
        raise ShapeError(
            f"linear: expected x of shape (..., k) and weight (m, k), got x of shape {given[0]} "
            f"and weight {given[1]}; the order of the operands is x, weight, bias"
        ) from None


def transpose(x: Like, axes: Sequence[int] | None = None) -> Expression:
    """Permutes the axes.

    Args:
        x: any shape.
        axes: axis ``i`` of the result is axis ``axes[i]`` of x. Default: the reverse order.

    Raises:
        ShapeError: `axes` is not a permutation.

    Example:
        >>> import autobatch as ab
        >>> ab.transpose(ab.zeros((2, 3, 4))).shape
        (4, 3, 2)
        >>> ab.transpose(ab.zeros((2, 3, 4)), (0, 2, 1)).shape
        (2, 4, 3)
    """
    shape = _shape("transpose", x)
    if axes is None:
        order = tuple(range(len(shape) - 1, -1, -1))
    else:
        given = plain.wholes("transpose", "axes", axes)
        order = tuple(_axis("transpose", axis, len(shape), shape) for axis in given)
    return _transpose.record((x,), order, ())


# ------------------------------------------------------------------------- reductions


def _over_axes(name: str, x: Any, axis: Any, keepdims: bool) -> Expression:
    """Records a reduction; axes that are not neighbours are reduced one run after another."""
    op, shape = _reduce[name], _shape(name, x)
    ndim = len(shape)
    keep = 0 if keepdims is False else int(plain.flag(name, "keepdims", keepdims))
    if axis is None:
        return op.record((x,), (0, ndim, keep), ())
    if type(axis) is int or plain.is_single(axis):
        return op.record((x,), (_axis(name, axis, ndim, shape), 1, keep), ())
    given = plain.wholes(name, "axis", axis)
    axes = sorted(_axis(name, a, ndim, shape) for a in given)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: expected different axes, got {given}")
    runs: list[list[int]] = []
    for a in axes:
        if runs and a == builtins.sum(runs[-1]):
            runs[-1][1] += 1
        else:
            runs.append([a, 1])
    for first, count in reversed(runs or [[0, 0]]):
        x = op.record((x,), (first, count, keep), ())
    return x


def _over_list(name: str, x: Any, axis: Any, keepdims: bool) -> Sequence[Any] | None:
    """The operands, if `x` is a list of them; None if it is one operand."""
    if _is_operand(x):
        return None
    xs = _operands(name, x)
    if axis is not None or plain.flag(name, "keepdims", keepdims):
        raise OperandError(
            f"{name}: a list of expressions is reduced elementwise and takes no axis; to reduce "
            f"along axes too, use ab.stack(list) first"
        )
    return xs


def sum(
    x: Like | Iterable[Like], axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Expression:
    """Sum over axes, or elementwise over a list of expressions.

    Args:
        x: any shape; or a list of operands of one shape, whose sum has that shape.
        axis: an axis or several; negative ones count from the end. Default: None, all.
        keepdims: keeps the reduced axes with size 1. Default: False.

    Raises:
        OperandError: an empty list.
        ShapeError: no such axis, or shapes in the list that differ.

    Example:
        >>> import autobatch as ab
        >>> x = ab.input([[1, 2], [3, 4]])
        >>> ab.sum(x).item()
        10.0
        >>> ab.sum(x, axis=0).value()
        array([4., 6.], dtype=float32)
        >>> ab.sum([x, x, x]).value()
        array([[ 3.,  6.],
               [ 9., 12.]], dtype=float32)
    """
    xs = _over_list("sum", x, axis, keepdims)
    return _over_axes("sum", x, axis, keepdims) if xs is None else _nary_sum(xs)


def mean(
    x: Like | Iterable[Like], axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Expression:
    """Mean over axes, or elementwise over a list of expressions; arguments as in `sum`.

    Raises:
        OperandError: an empty list.
        ShapeError: no such axis, an empty one, or shapes in the list that differ.

    Example:
        >>> import autobatch as ab
        >>> ab.mean(ab.input([[1, 2], [3, 4]]), axis=1).value()
        array([1.5, 3.5], dtype=float32)
        >>> ab.mean([ab.input(1.0), ab.input(2.0)]).item()
        1.5
    """
    xs = _over_list("mean", x, axis, keepdims)
    return _over_axes("mean", x, axis, keepdims) if xs is None else _nary_mean(xs)


def max(
    x: Like | Iterable[Like], axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Expression:
    """Maximum over axes, or elementwise over a list of expressions; arguments as in `sum`.

    NaN if any element is. Of equal elements the first gets the gradient.

    Raises:
        OperandError: an empty list.
        ShapeError: no such axis, an empty one, or shapes in the list that differ.

    Example:
        >>> import autobatch as ab
        >>> ab.max(ab.input([[1, 4], [3, 2]]), axis=0).value()
        array([3., 4.], dtype=float32)
        >>> ab.max([ab.input([1, 4]), ab.input([3, 2])]).value()
        array([3., 4.], dtype=float32)
    """
    xs = _over_list("max", x, axis, keepdims)
    return _over_axes("max", x, axis, keepdims) if xs is None else _nary_max(xs)


def min(
    x: Like | Iterable[Like], axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Expression:
    """Minimum over axes, or elementwise over a list of expressions; arguments as in `sum`.

    NaN if any element is. Of equal elements the first gets the gradient.

    Raises:
        OperandError: an empty list.
        ShapeError: no such axis, an empty one, or shapes in the list that differ.

    Example:
        >>> import autobatch as ab
        >>> ab.min(ab.input([[1, 4], [3, 2]]), axis=0).value()
        array([1., 2.], dtype=float32)
    """
    xs = _over_list("min", x, axis, keepdims)
    if xs is None:
        return _over_axes("min", x, axis, keepdims)
    return _over_axes("min", _stack.record(tuple(xs), (0,), ()), 0, False)


def logsumexp(
    x: Like | Iterable[Like], axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Expression:
    """``log(sum(exp(x)))`` over axes, or elementwise over a list, without overflow.

    Arguments as in `sum`.

    Raises:
        OperandError: an empty list.
        ShapeError: no such axis, an empty one, or shapes in the list that differ.

    Example:
        >>> import autobatch as ab
        >>> round(ab.logsumexp(ab.input([1.0, 2.0])).item(), 4)
        2.3133
        >>> round(ab.logsumexp([ab.input(1000.0), ab.input(1000.0)]).item(), 3)
        1000.693
    """
    xs = _over_list("logsumexp", x, axis, keepdims)
    if xs is None:
        return _over_axes("logsumexp", x, axis, keepdims)
    return _over_axes("logsumexp", _stack.record(tuple(xs), (0,), ()), 0, False)


def norm(x: Like, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Expression:
    """Euclidean norm over axes: the square root of the sum of squares.

    The gradient where the norm is 0 is 0.

    Args:
        x: any shape.
        axis, keepdims: as in `sum`.

    Raises:
        ShapeError: no such axis.

    Example:
        >>> import autobatch as ab
        >>> ab.norm(ab.input([3.0, 4.0])).item()
        5.0
    """
    return _over_axes("norm", x, axis, keepdims)


def argmax(x: Like | Iterable[Like], axis: int | None = None, keepdims: bool = False) -> Expression:
    """Index of the largest element, of the first if several are; NaN counts as the largest.

    The result has no gradient; its ``value()`` holds integers.

    Args:
        x: any shape; or a list of operands of one shape, of which the index is found
            elementwise.
        axis: the axis to search along. Default: None, all elements in row-major order.
        keepdims: keeps the axis with size 1. Default: False.

    Raises:
        ShapeError: no such axis, or nothing to search.

    Example:
        >>> import autobatch as ab
        >>> int(ab.argmax(ab.input([1.0, 5.0, 2.0])).value())
        1
    """
    xs = _over_list("argmax", x, axis, keepdims)
    if xs is not None:
        return _over_axes("argmax", _stack.record(tuple(xs), (0,), ()), 0, False)
    if axis is not None:
        axis = plain.whole("argmax", "axis", axis)
    return _over_axes("argmax", x, axis, keepdims)


def softmax(x: Like, axis: int = -1) -> Expression:
    """``exp(x) / sum(exp(x))`` along an axis.

    Args:
        x: at least one axis; the result has the same shape.
        axis: default -1, the last.

    Raises:
        ShapeError: no such axis.

    Example:
        >>> import autobatch as ab
        >>> ab.softmax(ab.input([1.0, 1.0])).value()
        array([0.5, 0.5], dtype=float32)
    """
    shape = _shape("softmax", x)
    return _softmax.record((x,), (_axis("softmax", axis, len(shape), shape),), ())


def log_softmax(x: Like, axis: int = -1, restrict: Sequence[int] | None = None) -> Expression:
    """The logarithm of `softmax`, without overflow or underflow.

    Args:
        x: at least one axis; the result has the same shape.
        axis: default -1, the last.
        restrict: the classes of a vector that take part; the others get -inf, and no
            gradient. Sets of one size batch together. Default: None, all.

    Raises:
        ShapeError: no such axis; `restrict` and no vector.
        IndexRangeError: a class outside its range.

    Example:
        >>> import autobatch as ab
        >>> ab.log_softmax(ab.input([1.0, 1.0])).value().round(4)
        array([-0.6931, -0.6931], dtype=float32)
        >>> ab.log_softmax(ab.input([1.0, 5.0, 1.0]), restrict=[0, 2]).value().round(4)
        array([-0.6931,    -inf, -0.6931], dtype=float32)
    """
    shape = _shape("log_softmax", x)
    axis = _axis("log_softmax", axis, len(shape), shape)
    if restrict is None:
        return _log_softmax.record((x,), (axis,), ())
    classes = tuple(sorted(set(_indices("log_softmax", restrict, shape[axis]))))
    return _log_softmax_restricted.record((x,), (len(classes),), classes * _batch(x))


# ----------------------------------------------------------------------------- losses


def _labelled(name: str, op: Any, x: Any, label: Any, attrs: tuple[float, ...]) -> Expression:
    """A loss with a label, or several: of a vector by minibatch element, of a matrix by row."""
    shape, batch = _shape(name, x), _batch(x)
    if not plain.are_ints(label) and plain.is_single(label):
        return op.record((x,), (0, *attrs), (plain.whole(name, "label", label),) * batch)
    labels = plain.wholes(name, "label", label)
    if not labels:
        raise OperandError(f"{name}: expected at least one label, got an empty sequence")
    if batch == 1 and shape == (len(labels),) and len(labels) > 1 and _is_one_hot(labels):
        raise OperandError(
            f"{name}: expected the number of a class, got {list(labels)}, which can only be a "
            f"one-hot vector; its class is {labels.index(1)}"
        )
    if len(shape) == 2 and batch == 1:
        if len(labels) != shape[0]:
            raise ShapeError(
                f"{name}: expected a label for each of the {shape[0]} rows of shape {shape}, got "
                f"{len(labels)}"
            )
        rows = (_pick.record((x,), (), (i,)) for i in range(shape[0]))
        losses = [
            op.record((row,), (0, *attrs), (label,))
            for row, label in zip(rows, labels, strict=True)
        ]
        return _stack.record(tuple(losses), (0,), ())
    return op.record((x,), (0 if len(labels) == batch else len(labels), *attrs), tuple(labels))


def cross_entropy(
    logits: Like, label: int | Sequence[int] | Expression | Param | np.ndarray
) -> Expression:
    """``-log(softmax(logits)[label])``, in nats.

    Args:
        logits: (classes,), with or without a manual minibatch; or (rows, classes).
        label: an int from 0 to ``classes - 1``. A sequence of ints: one for every element of
            the minibatch (logits without one are repeated), or for every row. An expression
            or an array of floats, (classes,): a distribution over the classes, which gives
            ``-sum(label * log_softmax(logits))``.

    Returns:
        A scalar; (rows,) for logits with rows.

    Raises:
        ShapeError: logits of another shape; a number of labels that does not fit.
        IndexRangeError: a label outside its range.

    Example:
        >>> import autobatch as ab
        >>> logits = ab.input([0.0, 1.0, 2.0])
        >>> round(ab.cross_entropy(logits, 2).item(), 4)
        0.4076
        >>> ab.cross_entropy(logits, [2, 0]).value().round(4)
        array([0.4076, 2.4076], dtype=float32)
    """
    if isinstance(label, (Expression, Param)):
        return _cross_entropy_soft(logits, label)
    if not plain.are_ints(label) and not plain.is_single(label):
        array = plain.array("cross_entropy", label)
        if array.dtype.kind == "f" and array.size and array.ndim:
            return _cross_entropy_soft(logits, array)
    return _labelled("cross_entropy", _cross_entropy, logits, label, ())


def hinge(scores: Like, label: int | Sequence[int], margin: float = 1.0) -> Expression:
    """Sum over the wrong classes j of ``max(0, margin - scores[label] + scores[j])``.

    Source: Weston and Watkins 1999, "Support vector machines for multi-class pattern
    recognition".

    Args:
        scores: (classes,), with or without a manual minibatch; or (rows, classes).
        label: an int, or a sequence of ints as in `cross_entropy`.
        margin: at least 0. Default: 1.

    Returns:
        A scalar; (rows,) for scores with rows.

    Raises:
        ShapeError: scores of another shape; a number of labels that does not fit.
        IndexRangeError: a label outside its range.
        OperandError: a negative margin.

    Example:
        >>> import autobatch as ab
        >>> ab.hinge(ab.input([0.0, 1.0, 1.5]), 2).item()
        0.5
    """
    return _labelled("hinge", _hinge, scores, label, (plain.number("hinge", "margin", margin),))


def binary_cross_entropy(x: Like, target: Like, from_logits: bool = False) -> Expression:
    """``-sum(target * log(x) + (1 - target) * log(1 - x))``, in nats.

    Args:
        x: probabilities; with `from_logits`, any numbers, whose sigmoid is taken.
        target: probabilities (most often 0 or 1), of the shape of x.
        from_logits: more exact than a `sigmoid` before. Default: False.

    Returns:
        A scalar: the sum over all elements.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import autobatch as ab
        >>> round(ab.binary_cross_entropy(0.8, 1.0).item(), 4)
        0.2231
        >>> round(ab.binary_cross_entropy(2.0, 1.0, from_logits=True).item(), 4)
        0.1269
    """
    from_logits = plain.flag("binary_cross_entropy", "from_logits", from_logits)
    form = _binary_cross_entropy_logits if from_logits else _binary_cross_entropy
    loss = form(x, target)
    return sum(loss) if loss.shape else loss


# ---------------------------------------------------------------------- joining, shape


def concat(xs: Iterable[Like], axis: int = 0) -> Expression:
    """Joins expressions along an axis that they have.

    Args:
        xs: a list of operands whose shapes are equal except along the axis.
        axis: negative ones count from the end. Default: 0.

    Raises:
        OperandError: an empty list, or no list.
        ShapeError: shapes that do not fit, or no such axis.

    Example:
        >>> import autobatch as ab
        >>> ab.concat([ab.zeros(2), ab.ones(1)]).value()
        array([0., 0., 1.], dtype=float32)
    """
    xs = _operands("concat", xs)
    if type(axis) is not int or axis:
        shape = _shape("concat", xs[0])
        axis = _axis("concat", axis, len(shape), shape)
    return _concat.record(tuple(xs), (axis,), ())


def stack(xs: Iterable[Like], axis: int = 0) -> Expression:
    """Joins expressions of one shape along a new axis.

    Args:
        xs: a list of operands of one shape.
        axis: place of the new axis in the result; negative ones count from the end.
            Default: 0.

    Raises:
        OperandError: an empty list, or no list.
        ShapeError: shapes that differ, or no such axis.

    Example:
        >>> import autobatch as ab
        >>> ab.stack([ab.zeros(2), ab.ones(2)], axis=1).value()
        array([[0., 1.],
               [0., 1.]], dtype=float32)
    """
    xs = _operands("stack", xs)
    if type(axis) is not int or axis:
        shape = _shape("stack", xs[0])
        axis = _axis("stack", axis, len(shape) + 1, shape)
    return _stack.record(tuple(xs), (axis,), ())


def _step(shape: Shape, axis: int, count: int) -> int:
    """The length of each of `count` equal parts."""
    if count < 1 or shape[axis] % count:
        raise ShapeError(
            f"split: expected a number of parts that divides the {shape[axis]} entries of axis "
            f"{axis} of shape {shape}, got {count}; cut at positions with a list of them"
        )
    return shape[axis] // count


# Recurrent layers split at every step, always alike; equal tuples that are the same object
# also save the recorder from comparing them.
@functools.lru_cache(maxsize=1024)
def _parts(shape: Shape, count: int, batch: int) -> tuple[Shape, list[tuple[int, ...]]]:
    """Shape of each of `count` parts of the leading axis, and the data word of each view."""
    part = (_step(shape, 0, count), *shape[1:])
    return part, [(start * math.prod(part),) * batch for start in range(count)]


def split(x: Like, parts: int | Sequence[int], axis: int = 0) -> list[Expression]:
    """Cuts an expression along an axis.

    Along the first axis the parts are views and cost nothing.

    Args:
        x: at least one axis.
        parts: the number of equal parts; or the positions at which to cut, as in
            ``numpy.split``.
        axis: negative ones count from the end. Default: 0.

    Raises:
        ShapeError: the axis does not divide into that many parts, or there is no such axis.

    Example:
        >>> import autobatch as ab
        >>> a, b = ab.split(ab.input([1, 2, 3, 4]), 2)
        >>> b.value()
        array([3., 4.], dtype=float32)
        >>> [part.shape for part in ab.split(ab.input([1, 2, 3, 4]), [1])]
        [(1,), (3,)]
    """
    if type(axis) is int and axis == 0 and (made := _equal_parts(x, parts)) is not None:
        return made
    axis = plain.whole("split", "axis", axis)
    shape = _shape("split", x)
    if axis == 0 and type(parts) is int and shape:
        attrs, starts = _parts(shape, parts, _batch(x))
        return [_slice.record((x,), attrs, start) for start in starts]
    axis = _axis("split", axis, len(shape), shape)
    length = shape[axis]
    if not plain.is_single(parts):
        cuts = [0, *plain.wholes("split", "parts", parts), length]
    else:
        count = plain.whole("split", "parts", parts)
        step = _step(shape, axis, count)
        cuts = list(range(0, length + 1, step)) if step else [0] * (count + 1)
    return [_part(x, start, stop, axis) for start, stop in zip(cuts[:-1], cuts[1:], strict=True)]


def reshape(x: Like, shape: int | Sequence[int]) -> Expression:
    """The same elements, in row-major order, in another shape; a view.

    Args:
        x: any shape.
        shape: an int or a sequence of ints; one may be -1 and is worked out.

    Raises:
        ShapeError: another number of elements.

    Example:
        >>> import autobatch as ab
        >>> ab.reshape(ab.zeros((2, 6)), (3, -1)).shape
        (3, 4)
    """
    dims = _dims("reshape", shape)
    if -1 in dims:
        known = -math.prod(dims)
        size = math.prod(_shape("reshape", x))
        if known > 0 and size % known == 0:
            at = dims.index(-1)
            dims = (*dims[:at], size // known, *dims[at + 1 :])
    return _reshape.record((x,), dims, ())


# --------------------------------------------------------------------------- indexing


def _getitem(x: Any, key: Any) -> Expression:
    """``x[key]`` with NumPy's basic indexing: ints, slices, None and an ellipsis.

    What is contiguous is a view whose place is data; the rest is copied. The copy begins at
    a view too, so that the same pattern at another place has the same form.

    The usual keys do not come here: kernels/core/index.c records the same nodes.
    """
    if isinstance(x, Lookup):
        return _row(x, key)
    batch = _batch(x)
    if plain.is_single(key):
        shape = x.shape
        if not shape:
            raise IndexRangeError("indexing: a scalar has no axes to index")
        index = _index("indexing", key, shape[0])
        return _pick.record((x,), (), (index,) * batch)
    shape = _shape("indexing", x)
    if type(key) is slice and key.step is None and shape:
        start, stop = key.start, key.stop
        if type(start) in _BOUNDS and type(stop) in _BOUNDS:
            dims, offset = _range(shape, start, stop)
            if dims == shape:
                return x if isinstance(x, Expression) else x._expression()
            return _slice.record((x,), dims, (offset,) * batch)
    dims, strides, offset = _walk(shape, key if isinstance(key, tuple) else (key,))
    sizes, steps = merge_axes(dims, strides)
    if len(sizes) == 1 and (steps[0] == 1 or sizes[0] <= 1):
        if dims == shape:
            return x if isinstance(x, Expression) else x._expression()
        return _slice.record((x,), dims, (offset,) * batch)
    reach = [(dim - 1) * stride for dim, stride in zip(dims, strides, strict=True)]
    back = builtins.sum(r for r in reach if r < 0)
    span = builtins.sum(builtins.abs(r) for r in reach) + 1
    window = _slice.record((x,), (span,), (offset + back,) * batch)
    return _strided.record((window,), (-back, *dims, *strides), ())


_BOUNDS = (int, type(None))


@functools.lru_cache(maxsize=4096)
def _range(shape: Shape, start: int | None, stop: int | None) -> tuple[Shape, int]:
    """Shape and offset (in elements) of ``x[start:stop]`` inside a contiguous x."""
    first, last, _ = slice(start, stop).indices(shape[0])
    dims = (builtins.max(last - first, 0), *shape[1:])
    return dims, 0 if 0 in dims else first * math.prod(shape[1:])


def _part(x: Any, start: int, stop: int, axis: int) -> Expression:
    """The entries from `start` to `stop`, as slices take them, of an axis in [0, ndim)."""
    made = _entries(x, start, stop, axis)
    return _getitem(x, (*(slice(None),) * axis, slice(start, stop))) if made is None else made


def _walk(shape: Shape, key: tuple[Any, ...]) -> tuple[Shape, Shape, int]:
    """Shape, strides and offset (in elements) of ``x[key]`` inside a contiguous x."""
    given = builtins.sum(1 for item in key if item is not None and item is not Ellipsis)
    if builtins.sum(1 for item in key if item is Ellipsis) > 1:
        raise IndexRangeError("indexing: expected at most one ellipsis (...)")
    if given > len(shape):
        raise IndexRangeError(
            f"indexing: expected at most {len(shape)} indices for shape {shape}, got {given}"
        )
    if not any(item is Ellipsis for item in key):
        key = (*key, Ellipsis)
    own = contiguous_strides(shape)
    dims: list[int] = []
    strides: list[int] = []
    offset = axis = 0
    for item in key:
        if item is None:
            dims.append(1)
            strides.append(0)
        elif item is Ellipsis:
            for _ in range(len(shape) - given):
                dims.append(shape[axis])
                strides.append(own[axis])
                axis += 1
        elif isinstance(item, slice):
            ends = [
                None if end is None else plain.whole("indexing", "the end or step of a slice", end)
                for end in (item.start, item.stop, item.step)
            ]
            if ends[2] == 0:
                raise OperandError("indexing: the step of a slice cannot be 0")
            start, stop, step = slice(*ends).indices(shape[axis])
            dims.append(len(range(start, stop, step)))
            strides.append(step * own[axis])
            offset += start * own[axis]
            axis += 1
        elif plain.is_single(item) or hasattr(item, "__index__"):
            offset += _index("indexing", item, shape[axis]) * own[axis]
            axis += 1
        else:
            raise OperandError(
                f"indexing: expected ints, slices, None or ..., got {type(item).__name__}; rows "
                f"in any order are taken by ab.select_rows(x, ids)"
            )
    if 0 in dims:
        offset = 0
    return tuple(dims), tuple(strides), offset


def pick(x: Like, index: int | Sequence[int], axis: int = 0) -> Expression:
    """The entry at `index` along an axis.

    The index is data: picks of different entries batch together. Along the first axis, one
    index is a view and costs nothing.

    Args:
        x: at least one axis.
        index: an int; negative ones count from the end. A sequence of ints: one for every
            element of the minibatch (an x without one is repeated).
        axis: negative ones count from the end. Default: 0.

    Returns:
        The shape of x without the axis.

    Raises:
        IndexRangeError: an index outside its range.
        ShapeError: no such axis, or a number of indices that is not the minibatch's.

    Example:
        >>> import autobatch as ab
        >>> x = ab.input([1.0, 2.0, 3.0])
        >>> ab.pick(x, -1).item()
        3.0
        >>> ab.pick(x, [0, 2]).value()
        array([1., 3.], dtype=float32)
    """
    made = _entry(x, index, axis)
    if made is not None:
        return made
    shape = _shape("pick", x)
    axis = _axis("pick", axis, len(shape), shape)
    if plain.is_single(index):
        place = _index("pick", index, shape[axis])
        if axis == 0:
            return _pick.record((x,), (), (place,) * _batch(x))
        return _getitem(x, (*(slice(None),) * axis, place))
    places = _indices("pick", index, shape[axis])
    if axis:
        x = transpose(x, (axis, *range(axis), *range(axis + 1, len(shape))))
    return _pick_each.record((x,), (0 if len(places) == _batch(x) else len(places),), places)


def select_rows(x: Like, ids: Sequence[int]) -> Expression:
    """Entries of the first axis, in any order, any number of times.

    The ids are data: selections of one length batch together.

    Args:
        x: (rows, ...).
        ids: a sequence of ints; negative ones count from the end.

    Returns:
        (len(ids), ...).

    Raises:
        IndexRangeError: an id outside its range.
        OperandError: an empty sequence, or not a sequence of ints.

    Example:
        >>> import autobatch as ab
        >>> x = ab.input([[1, 2], [3, 4], [5, 6]])
        >>> ab.select_rows(x, [2, 0]).value()
        array([[5., 6.],
               [1., 2.]], dtype=float32)
    """
    shape = _shape("select_rows", x)
    if not shape:
        raise ShapeError("select_rows: expected an operand with at least one axis, got a scalar")
    rows = _indices("select_rows", ids, shape[0])
    return _select_rows.record((x,), (len(rows),), rows * _batch(x))


def pick_batch_element(x: Like, index: int) -> Expression:
    """One element of a manual minibatch, as an expression without one; a view.

    Args:
        x: any shape, any minibatch.
        index: an int; negative ones count from the end.

    Raises:
        IndexRangeError: an index outside the minibatch.

    Example:
        >>> import autobatch as ab
        >>> x = ab.input([[1, 2], [3, 4]], batched=True)
        >>> ab.pick_batch_element(x, 1).value()
        array([3., 4.], dtype=float32)
    """
    return _pick_batch_element.record((x,), (), (_index("pick_batch_element", index, _batch(x)),))


recording.set_getitem(_getitem)

# Calls of the common form stay in C; these functions serve the others.
affine = recording.short_calls("affine", affine, unless=NotWeightsError)
affine_transposed = recording.short_calls(
    "affine_transposed", affine_transposed, unless=NotWeightsError
)
cross_entropy = recording.short_calls("cross_entropy", cross_entropy, index_attrs=(0,))
