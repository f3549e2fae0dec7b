"""Expressions as DyNet's programs see them, and the inputs that begin a graph.

A DyNet tensor of dimensions (d0, ..., dn), column-major, is our array of shape
(dn, ..., d0), row-major: the same memory, the shape reversed. So the expressions are ours,
of a type that has DyNet's methods and operators; a scalar, (1,) in DyNet, is of shape () or
(1,). Nothing is wrapped, and recording costs what it costs there.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core, engine
from .. import functions as F
from ..backends import cpu
from ..engine import direct
from ..errors import (
    AutobatchError,
    GradientError,
    IndexRangeError,
    OperandError,
    ShapeError,
    StaleExpressionError,
)
from ..recording import columns_input, recorder
from ..selection import pick_batch_elements
from ..selection import sparse_input as _sparse_input
from . import random
from .graph import _CG, Node

if TYPE_CHECKING:
    from typing import TypeAlias

    Dims: TypeAlias = tuple[int, ...]
    _Base: TypeAlias = Any  # what C gives to the expressions of a graph is not written out
else:
    _Base = _core.Holder

__all__ = [
    "Expression",
    "NotSupportedError",
    "Tensor",
    "as_expression",
    "inputMatrix",
    "inputTensor",
    "inputTensorTranspose",
    "inputVector",
    "matInput",
    "scalarInput",
    "sparse_inputTensor",
    "vecInput",
    "wrap",
]

_PLACEHOLDER = recorder("placeholder").record

# Expression's own methods in C, which the drop-in's of the same name begin with.
_value = _core.Expression.value
_numbers = _core.Expression._numbers
_core_plain = _core.Expression._plain
_differentiate = _core.Expression._differentiate
_differentiate_full = _core.Expression._differentiate_full
_gradient_columns = _core.Expression._gradient_columns
_write = _core.Expression._write
_numbers_input = _core.numbers_input
_columns_begin = _core.columns_begin


class NotSupportedError(AutobatchError, NotImplementedError):
    """Something of DyNet's that the drop-in does not offer; the message names what does."""


class _Kind(type):
    """Expressions of a graph are instances of `Expression`, though of a type made in C."""

    def __instancecheck__(cls, thing: Any) -> bool:
        if cls.__name__ == "Expression" and type(thing) is Node:
            return True
        return super().__instancecheck__(thing)


class Expression(_Base, metaclass=_Kind):
    """A value to be computed. Made by operations and inputs; parameters are expressions, too.

    ``*`` is the matrix product; ``+ - /`` and a number broadcast. ``x[i]`` picks along the
    first dimension, ``x[a:b]`` takes a range.

    >>> import autobatch.dynet as dy
    >>> x = dy.inputVector([1, 2, 3])
    >>> x.dim(), (2 * x + 1)[0:2].value()
    (((3,), 1), [3.0, 5.0])
    """

    __slots__ = ()

    @property
    def ab(self) -> Any:
        """The operand for functions of autobatch."""
        return self if type(self) is Node else self._stored

    @property
    def dims(self) -> Dims:
        """DyNet's dimensions, without the minibatch."""
        return _dims(self)

    @property
    def batch(self) -> int:
        """The size of the minibatch."""
        return self.batch_size if type(self) is Node else 1

    @direct
    def dim(self) -> tuple[Dims, int]:
        """The dimensions, and the size of the minibatch."""
        if type(self) is not Node:
            return _dims(self), 1
        if not self.graph.alive:
            raise StaleExpressionError(
                "dim: this expression belongs to a graph that is gone (renew_cg() was called "
                "since it was recorded)"
            )
        return self.shape[::-1] or (1,), self.batch_size

    # ------------------------------------------------------------------ values

    @direct
    def npvalue(self, recalculate: bool = False) -> np.ndarray:
        """The value as an array of doubles; a minibatch is its last axis.

        Args:
            recalculate: computes the whole graph anew, and draws its random numbers again.

        >>> import autobatch.dynet as dy
        >>> dy.inputTensor([[1, 2], [3, 4]]).npvalue()
        array([[1., 2.],
               [3., 4.]])
        """
        node = _node(self)
        if not recalculate and (_CG.readable(node)):
            return _array(node, _value(node))
        return _array(node, _CG.values([node], recalculate)[0])

    @direct
    def value(self, recalculate: bool = False) -> Any:
        """The value: an array for two and more dimensions, else a list, or a float for one
        number. A minibatch counts as no dimension: its elements follow each other.

        >>> import autobatch.dynet as dy
        >>> dy.scalarInput(2).value(), dy.inputVector([1, 2]).value()
        (2.0, [1.0, 2.0])
        """
        if not recalculate and type(self) is Node and (_CG.readable(self)):
            plain = _core_plain(self)
            if plain is not None:
                return plain
        node = _node(self)
        return _plain(node, _CG.values([node], recalculate)[0])

    @direct
    def vec_value(self, recalculate: bool = False) -> list[float]:
        """The value as a flat list, in column-major order."""
        node = _node(self)
        if not recalculate and (_CG.readable(node)):
            numbers = _numbers(node)
            if numbers is not None:
                return numbers
        return _CG.values([node], recalculate)[0].reshape(-1).tolist()

    @direct
    def scalar_value(self, recalculate: bool = False) -> float:
        """The value of a scalar.

        Raises:
            ShapeError: there is more than one number.
        """
        node = _node(self)
        if not recalculate and (_CG.readable(node)):
            numbers = _numbers(node)
            if numbers is not None and len(numbers) == 1:
                return numbers[0]
        value = _CG.values([node], recalculate)[0]
        if value.size != 1:
            raise ShapeError(
                f"scalar_value: expected a scalar, got dimensions {_dims(node)} in a minibatch "
                f"of {node.batch_size}; use value() or npvalue()"
            )
        return value.item()

    def tensor_value(self, recalculate: bool = False) -> Tensor:
        """The value as a `Tensor`."""
        return Tensor(self.npvalue(recalculate), self.batch)

    @direct
    def forward(self, recalculate: bool = False) -> None:
        """Computes the value."""
        _CG.run(_node(self), recalculate)

    @direct
    def backward(self, full: bool = False) -> None:
        """Runs backward from a scalar; gradients of parameters add up until an update.

        Args:
            full: gradients of inputs are wanted, too.

        Raises:
            ShapeError: not a scalar.
        """
        node = _node(self)
        if _CG.direct and (_differentiate_full if full else _differentiate)(node):
            return
        shape = node.shape
        if node.batch_size != 1 or (shape and math.prod(shape) != 1):
            raise ShapeError(
                f"backward: expected a scalar, got dimensions {_dims(node)} in a minibatch of "
                f"{node.batch_size}; use sum_elems, and sum_batches for a minibatch"
            )
        _CG.differentiate(F.reshape(node, ()) if shape else node, full)

    def gradient(self) -> np.ndarray:
        """The gradient after ``backward()``, laid out as `npvalue`.

        Zero for inputs, and for what depends on inputs only: they have one after
        ``backward(full=True)``.

        Raises:
            GradientError: there was no backward pass, or this was recorded after its loss.

        >>> import autobatch.dynet as dy
        >>> x = dy.inputVector([1, 2])
        >>> loss = dy.squared_norm(x)
        >>> loss.backward()
        >>> x.gradient()
        array([0., 0.])
        >>> loss.backward(full=True)
        >>> x.gradient()
        array([2., 4.])
        """
        node = _node(self)
        columns = _gradient_columns(node)
        if columns is not None:
            return columns
        found = engine.found_gradient(node)
        loss = cpu.loss_of(node.graph)
        if node.node > loss >= 0:
            raise GradientError(
                f"gradient: this {node.op} was recorded after the loss that backward() was "
                f"called on; call it on a loss that depends on this"
            )
        if found is None:
            found = _missing_gradient(node, loss)
        return _array(node, found)

    @direct
    def set(self, values: Any) -> None:
        """Gives an input other numbers; the graph is computed anew when asked.

        Of ``dy.lookup(table)``, made without an index, and of `lookup_batch`, it changes the
        rows.

        Args:
            values: a number for a scalar, a flat list in column-major order or an array for
                others; of a `lookup` a row, of a `lookup_batch` a list of rows.

        >>> import autobatch.dynet as dy
        >>> x = dy.vecInput(2)
        >>> y = x * 2
        >>> x.set([1, 2])
        >>> y.value()
        [2.0, 4.0]
        >>> x.set([3, 4])
        >>> y.value()
        [6.0, 8.0]
        """
        _set(self, values)

    @direct
    def set_index(self, i: Any) -> None:
        """Gives ``dy.pick(x)``, made without an index, or a `pick_batch` other indices.

        Args:
            i: an int; for a minibatch a list.

        >>> import autobatch.dynet as dy
        >>> entry = dy.pick(dy.inputVector([1, 2, 3]))
        >>> entry.set_index(2)
        >>> entry.value()
        3.0
        """
        _set_index(self, i)

    # ------------------------------------------------------------------ operators

    # + - * / @, unary minus and [] are slots of the C types.

    def __pow__(self, other: Any, modulo: None = None) -> Any:
        return F.power(_operand(self), _operand(other))

    def __rpow__(self, other: Any) -> Any:
        return F.power(_operand(other), _operand(self))

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"expression {self.node}/{_CG.version()}"


class _NotThere(AttributeError, TypeError):
    """What Python or NumPy asked of an expression is not there."""


class _Absent:
    """Hides what expressions of ours answer: DyNet's are objects to Python and to NumPy, so that an
    array of them is an array of objects, and nothing turns them into numbers unasked."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, thing: Any, owner: Any = None) -> Any:
        raise _NotThere(
            f"an Expression has no {self.name}; its numbers are expression.npvalue() and "
            f"expression.value(), its dimensions expression.dim()"
        )


_HIDDEN = (
    *("array", "array_function", "array_ufunc", "dlpack", "dlpack_device", "len", "iter"),
    *("contains", "reversed", "float", "int", "index", "abs", "round", "trunc", "floor", "ceil"),
    *("divmod", "rdivmod", "floordiv", "rfloordiv", "mod", "rmod"),
)


def _give() -> None:
    """Gives the C type the methods; operators and indexing it has already."""
    for name, thing in vars(Expression).items():
        if callable(thing) or isinstance(thing, property):
            setattr(Node, name, thing)
    # What expressions of ours refuse: DyNet's are objects like any other to Python and NumPy.
    for name in ("eq", "ne", "lt", "le", "gt", "ge", "format"):
        setattr(Node, f"__{name}__", getattr(object, f"__{name}__"))
    for name in _HIDDEN:
        for kind in (Node, Expression):
            if hasattr(kind, f"__{name}__"):
                setattr(kind, f"__{name}__", _Absent(f"__{name}__"))
    Node.__name__ = Node.__qualname__ = "Expression"
    Node.__module__ = "autobatch.dynet"
    Node.__doc__ = Expression.__doc__


_give()


def _missing_gradient(node: Any, loss: int) -> np.ndarray:
    """The gradient of what depends on no trained parameter: zeros, of the loss itself a one.

    DyNet's pass also reaches through what is not trained to the parameters behind it, ours
    only a full one.
    """
    waiting, seen = [node.node], set()
    while waiting:
        number = waiting.pop()
        if number in seen:
            continue
        seen.add(number)
        if node.graph.expression(number).op == "parameter":
            raise GradientError(
                f"gradient: backward() made none for this {node.op}, which depends on parameters "
                f"only through nobackprop, const_parameter or the like; use backward(full=True)"
            )
        waiting += cpu.operands_of(node.graph, number)
    shape = (node.batch_size, *node.shape) if node.batch_size > 1 else node.shape
    return np.full(shape, float(node.node == loss))


# ---------------------------------------------------------------------- reading operands


def _operand(x: Any) -> Any:
    """What stands for x among our functions: an expression, a parameter, a number."""
    return x._stored if isinstance(x, _core.Holder) else x


def _node(x: Any) -> Any:
    """x as an expression of the present graph."""
    return x if type(x) is Node else x._expression()


def as_expression(x: Any) -> Any:
    """Parameters, lookup parameters and numbers as expressions of the present graph.

    >>> import autobatch.dynet as dy
    >>> from autobatch.dynet.expressions import as_expression
    >>> as_expression(2.5).value()
    2.5
    """
    if type(x) is Node:
        return x
    if isinstance(x, _core.Holder):
        return x._expression()
    if isinstance(x, _core.Param):
        return x._expression()
    return F.input(x)


def wrap(x: Any, dims: Sequence[int] | None = None, batch: int | None = None) -> Any:
    """One of our expressions or parameters as DyNet's, in the dimensions given.

    >>> import autobatch as ab
    >>> import autobatch.dynet as dy
    >>> _ = dy.renew_cg()
    >>> dy.expressions.wrap(ab.zeros((3, 2))).dim()
    ((2, 3), 1)
    """
    node = as_expression(x)
    if dims is not None and node.shape[::-1] != tuple(dims):
        return F.reshape(node, tuple(reversed(tuple(dims))))
    return node


def _shape(x: Any) -> Dims:
    """The shape of any operand as our functions see it."""
    if type(x) is Node:
        return x.shape
    if isinstance(x, _core.Holder):
        return x._stored.shape
    if isinstance(x, (int, float)):
        return ()
    try:
        return tuple(x.shape)
    except AttributeError:
        raise OperandError(f"expected an Expression, got {type(x).__name__}") from None


def _dims(x: Any) -> Dims:
    return tuple(_shape(x)[::-1]) or (1,)


def _array(node: Any, value: np.ndarray) -> np.ndarray:
    """A value of ours as DyNet lays it out: reversed axes, doubles, scalars as (1,)."""
    if not node.shape:
        value = value.reshape((*value.shape, 1))
    return np.ascontiguousarray(value.T, np.float64)


def _plain(node: Any, value: np.ndarray) -> Any:
    if len(node.shape) > 1:
        return _array(node, value)
    return value.item() if value.size == 1 else value.reshape(-1).tolist()


# ---------------------------------------------------------------------- operators


def product(a: Any, b: Any) -> Any:
    """The matrix product; a number scales. Dimensions (m, k) and (k,) or (k, n).

    Raises:
        ShapeError: the inner dimensions differ.
    """
    left = a.shape if type(a) is Node else _shape(a)
    right = _shape(b)
    if len(left) == 2 and not right and left[0] == 1:  # a column times a scalar
        return F.multiply(F.reshape(_operand(a), left[1:]), b)
    if len(left) == 2:
        try:
            return F.matmul(b, a)
        except ShapeError:
            pass  # another column, below; or a true mistake
    if isinstance(b, np.generic) or isinstance(a, np.generic):
        return F.multiply(a, b)
    # What is left are columns times a row or a number.
    if len(left) < 2 and math.prod(right) != 1 and len(right) == 2 and right[-1] == 1:
        return F.multiply(b, a)
    if math.prod(right) == 1 and len(right) < 2 and (len(left) < 2 or left[0] == 1):
        return F.multiply(a if len(left) < 2 else F.reshape(_operand(a), left[1:]), b)
    if len(left) < 2 and right == (1, 1):
        return F.multiply(F.reshape(_operand(a), (1, *(left or (1,)))), b)
    raise ShapeError(
        f"product: expected dimensions (m, k) and (k,) or (k, n), got {_dims(a)} and {_dims(b)}; "
        f"the elementwise product is cmult"
    )


def _getitem(x: Any, key: Any) -> Any:
    shape, x = _shape(x), _operand(x)
    if hasattr(key, "__index__"):
        length = shape[-1] if shape else 1
        index = int(key)
        if not -length <= index < length:
            raise IndexRangeError(
                f"indexing: expected an index from {-length} to {length - 1}, got {index}"
            )
        index %= length
        if len(shape) < 2:
            return F.pick(x, index) if shape else x
        return F.pick(x, index, axis=-1)
    keys = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(k, slice) for k in keys):
        raise OperandError(
            f"indexing: expected an int, a slice or a tuple of slices, got {key!r}; one entry of "
            f"another dimension is dy.pick(x, index, dim)"
        )
    lengths = [*(shape[::-1] or (1,)), x.batch_size if type(x) is Node else 1]
    if len(keys) > len(lengths):
        raise ShapeError(
            f"indexing: got {len(keys)} slices for dimensions {_dims(x)} and the minibatch"
        )
    ranges = []
    for k, length in zip(keys, lengths, strict=False):
        if not all(end is None or hasattr(end, "__index__") for end in (k.start, k.stop, k.step)):
            raise OperandError(f"indexing: expected a slice of ints, got {k!r}")
        start = 0 if k.start is None else operator.index(k.start)
        stop = length if k.stop is None else operator.index(k.stop)
        step = 1 if k.step is None else operator.index(k.step)
        if not (0 <= start < stop <= length and step >= 1):
            raise ShapeError(
                f"indexing: expected 0 <= from < to <= {length} and a step of at least 1, got "
                f"{start}:{stop}:{step}"
            )
        ranges.append(slice(start, stop, step))
    if len(ranges) == len(lengths):
        wanted = range(*ranges.pop().indices(lengths[-1]))
        if len(wanted) < lengths[-1]:
            x = pick_batch_elements(x, wanted)
    if not shape:
        return x
    whole = (slice(None),) * (len(shape) - len(ranges))
    return F._getitem(x, (*whole, *reversed(ranges)))


_core.set_columns(product, _getitem)


# ---------------------------------------------------------------------- inputs


def _numbers_of(op: str, given: Any) -> np.ndarray:
    try:
        array = np.asarray(given)
        # NumPy takes texts for the numbers in them, and None for a NaN.
        kind = array.dtype.kind
        if kind in "biuf" or (kind == "O" and all(hasattr(n, "__float__") for n in array.flat)):
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise OperandError(f"{op}: expected numbers, got {given!r}")


def _float(numbers: np.ndarray) -> bytes:
    return np.ascontiguousarray(numbers, _CODES[_CG._itemsize]).tobytes()


_CODES = {4: "f", 8: "d"}


def _input(shape: Dims, batch: int, content: bytes) -> Any:
    """An input that `set` may change: each is a node of its own."""
    _columns_begin()
    return _PLACEHOLDER((), (batch, *shape), content)


def _set(x: Any, values: Any) -> None:
    if type(x) is Node and _write(x, values):
        return
    op = x.op if type(x) is Node else type(x).__name__
    if op == "stop_gradient":  # of a lookup that is not trained
        x = x.graph.expression(cpu.operands_of(x.graph, x.node)[0])
        op = x.op
    if op == "lookup_again":
        _redirect(x, values)
        return
    if op != "placeholder":
        likely = (
            "; this one is one node with its equals: make it by dy.lookup(table), without an index"
            if op == "lookup"
            else ""
        )
        raise OperandError(
            f"set: expected an input (vecInput, scalarInput, inputVector), dy.lookup(table) or "
            f"dy.lookup_batch(...), got {op}{likely}"
        )
    numbers = np.asarray(values, _CODES[_CG._itemsize])
    size = math.prod(x.shape) * x.batch_size
    if numbers.size != size:
        raise ShapeError(f"set: expected {size} numbers, got {numbers.size}")
    engine.write(x, numbers.T if numbers.ndim > 1 else numbers)
    _CG.invalidate()


def _set_index(x: Any, index: Any) -> None:
    op = x.op if type(x) is Node else type(x).__name__
    if op != "pick_again":
        raise OperandError(
            f"set_index: expected dy.pick(x), without an index, or dy.pick_batch(...), got {op}; "
            f"others are shared with equal ones: pick again"
        )
    _redirect(x, index)


def _redirect(x: Any, places: Any) -> None:
    """Changes the rows or entries that x takes."""
    given = [operator.index(i) for i in places] if hasattr(places, "__len__") else None
    engine.redirect(x, [operator.index(places)] * x.batch_size if given is None else given)
    _CG.moved = _CG.movable = True
    _core.redirect_directly(True)
    _CG.invalidate()


def _zero_content(itemsize: int, sizes: tuple[int, ...]) -> bytes:
    """The content of an input of zeros; that of small ones is made once."""
    known = _ZEROS.get((itemsize, sizes))
    if known is None:
        if min(sizes) < 0:
            raise ShapeError(f"an input's dimensions are at least 0, got {sizes[:0:-1]}")
        known = bytes(itemsize * math.prod(sizes))
        if len(known) <= _KEPT_BYTES and len(_ZEROS) < _KEPT:
            _ZEROS[itemsize, sizes] = known
    return known


_ZEROS: dict[tuple[int, tuple[int, ...]], bytes] = {}
_KEPT, _KEPT_BYTES = 256, 4096


def vecInput(dim: int, device: str = "") -> Any:
    """A vector of zeros, to be filled by `Expression.set`.

    Args:
        dim: its length.
        device: accepted.
    """
    words = (1, int(dim))
    _columns_begin()
    return _PLACEHOLDER((), words, _zero_content(_CG._itemsize, words))


def scalarInput(s: float, device: str = "") -> Any:
    """A number, which may be changed by `Expression.set`.

    >>> import autobatch.dynet as dy
    >>> dy.scalarInput(3).value()
    3.0
    """
    if type(s) is float or type(s) is int:
        made = _numbers_input(s)
        if made is not None:
            return made
    number = _numbers_of("scalarInput", s)
    if number.size != 1:
        raise OperandError(f"scalarInput: expected a number, got {s!r}")
    return _input((), 1, _float(number))


def inputVector(v: Any, device: str = "") -> Any:
    """A vector of numbers.

    Args:
        v: a list or an array; flattened.

    >>> import autobatch.dynet as dy
    >>> dy.inputVector([1, 2]).value()
    [1.0, 2.0]
    """
    if type(v) is list:
        made = _numbers_input(v)
        if made is not None:
            return made
    elif type(v) is np.ndarray and v.ndim == 1:
        made = columns_input(v, False)
        if made is not None:
            return made
    numbers = _numbers_of("inputVector", v)
    if numbers.ndim != 1:
        if numbers.ndim == 0:
            raise OperandError(f"inputVector: expected a list of numbers, got {v!r}")
        numbers = numbers.reshape(-1, order="F")
    return _input(numbers.shape, 1, _float(numbers))


def inputTensor(
    arr: Any, batched: bool = False, device: str = "", reusable_expr: bool = False
) -> Any:
    """A tensor of numbers.

    Args:
        arr: an array, whose shape gives the dimensions; a list of arrays, the elements of a
            minibatch; a (nested) list of numbers.
        batched: the last axis is a minibatch. Default: False.
        device, reusable_expr: accepted.

    >>> import numpy as np
    >>> import autobatch.dynet as dy
    >>> dy.inputTensor(np.zeros((2, 3)), batched=True).dim()
    ((2,), 3)
    """
    if isinstance(arr, list) and arr and isinstance(arr[0], np.ndarray):
        arr, batched = np.stack(arr, axis=-1), True
    made = None
    if type(arr) is np.ndarray:
        made = columns_input(arr, batched)
    elif type(arr) is list:
        made = None if batched else _numbers_input(arr)
        made = _core.lists_input(arr, batched) if made is None else made
    if made is not None:
        return made
    if not isinstance(arr, (list, np.ndarray)):
        raise OperandError(
            f"inputTensor: expected an array or a list of numbers or arrays, got "
            f"{type(arr).__name__}"
        )
    try:
        numbers = np.asarray(arr, np.float64).T
    except (TypeError, ValueError) as error:
        raise OperandError(f"inputTensor: expected numbers: {error}") from None
    if batched:
        if not numbers.ndim:
            raise ShapeError("inputTensor: a minibatch needs at least one axis")
        return _input(numbers.shape[1:], numbers.shape[0], _float(numbers))
    return _input(numbers.shape, 1, _float(numbers))


def inputTensorTranspose(
    arr: Any, dim: Dims | None = None, batch_size: int = 1, device: str = ""
) -> Any:
    """A tensor from a flat array in column-major order.

    Args:
        arr: a flat list or array: an array's memory, column by column.
        dim: a tuple. Default: a vector.
        batch_size: default 1.
        device: accepted.

    Raises:
        OperandError: the array has more than one axis, or `dim` is no tuple.
        ShapeError: another number of elements.

    >>> import autobatch.dynet as dy
    >>> dy.inputTensorTranspose([1, 2, 3, 4], (2, 2)).npvalue()
    array([[1., 3.],
           [2., 4.]])
    """
    numbers = np.asarray(arr, np.float64)
    if numbers.ndim != 1:
        raise OperandError(
            f"inputTensorTranspose: expected a flat array, got one of shape {numbers.shape}; use "
            f"inputTensor(array)"
        )
    if dim is None:
        dim = (numbers.size // batch_size,)
    if not isinstance(dim, tuple):
        raise OperandError(f"inputTensorTranspose: expected dim to be a tuple, got {dim!r}")
    if math.prod(dim) * batch_size != numbers.size:
        raise ShapeError(
            f"inputTensorTranspose: {dim} in a minibatch of {batch_size} does not match the "
            f"{numbers.size} numbers given"
        )
    return _input(tuple(reversed(dim)), int(batch_size), _float(numbers))


def matInput(d1: int, d2: int) -> Any:
    """A matrix of zeros, to be filled by `Expression.set`. Use `inputTensor`."""
    words = (1, int(d2), int(d1))
    _columns_begin()
    return _PLACEHOLDER((), words, _zero_content(_CG._itemsize, words))


def inputMatrix(v: Any, d: Sequence[int]) -> Any:
    """A matrix from a flat list in column-major order. Use `inputTensor`.

    >>> import autobatch.dynet as dy
    >>> dy.inputMatrix([1, 2, 3, 4], (2, 2)).npvalue()
    array([[1., 3.],
           [2., 4.]])
    """
    numbers = np.asarray(v, np.float64).reshape(tuple(reversed(tuple(d))))
    return _input(numbers.shape, 1, _float(numbers))


def sparse_inputTensor(
    idxs: Any,
    values: Any,
    shape: Sequence[int],
    batched: bool = False,
    defval: float = 0.0,
    device: str = "",
) -> Any:
    """A tensor given by its entries.

    Args:
        idxs: for each axis (the minibatch's last) a list of indices.
        values: the numbers there.
        shape: of the array.
        batched: the last axis is a minibatch. Default: False.
        defval: the number elsewhere. Default: 0.

    >>> import autobatch.dynet as dy
    >>> dy.sparse_inputTensor(([0, 1], [0, 2]), [5, 6], (2, 3)).npvalue()
    array([[5., 0., 0.],
           [0., 0., 6.]])
    """
    if len(shape) == 1 and not batched:
        made = _sparse_vector(idxs, values, shape[0], defval)
        if made is not None:
            return made
    _columns_begin()
    places = list(reversed([list(i) for i in idxs]))
    return _sparse_input(places, values, tuple(reversed(tuple(shape))), float(defval), batched)


def _sparse_vector(idxs: Any, values: Any, size: Any, default: Any) -> Any:
    """A short vector from lists of ints and of numbers; None: another case, or an error."""
    if not (type(idxs) is list and len(idxs) == 1 and type(idxs[0]) is type(values) is list):
        return None
    (places,) = idxs
    if type(size) is not int or size > 512 or len(places) != len(values):
        return None
    numbers = [default] * size
    for place, number in zip(places, values, strict=True):
        if type(place) is not int or not 0 <= place < size:
            return None
        numbers[place] = number
    return _numbers_input(numbers)


# ---------------------------------------------------------------------- tensors


class Tensor:
    """The numbers of an expression, computed.

    >>> import autobatch.dynet as dy
    >>> dy.inputVector([1, 3, 2]).tensor_value().argmax().as_numpy()
    array([1])
    """

    def __init__(self, array: np.ndarray, batch: int) -> None:
        self._array = array
        self._batched = batch > 1

    def as_numpy(self) -> np.ndarray:
        """The numbers; a minibatch is the last axis."""
        return self._array

    def argmax(self, dim: int = 0, num: int = 1) -> Tensor:
        """Indices of the `num` largest elements along a dimension, the largest first."""
        if num == 1 and not np.isnan(self._array.sum()):  # which sorting puts last
            return Tensor._of(self._array.argmax(dim, keepdims=True), self)
        return self.topk(dim, num)[1]

    def topk(self, dim: int = 0, num: int = 1) -> tuple[Tensor, Tensor]:
        """The `num` largest elements along a dimension, and their indices."""
        order = np.argsort(-self._array, axis=dim, kind="stable")
        best = np.take(order, range(num), axis=dim)
        values = np.take_along_axis(self._array, best, axis=dim)
        return Tensor._of(values, self), Tensor._of(best, self)

    def categorical_sample_log_prob(self, dim: int = 0, num: int = 1) -> Tensor:
        """Indices drawn with the probabilities whose logarithms these numbers are.

        By the maximum of Gumbel noise added to them (Gumbel 1954).
        """
        turned = self._array.T
        drawn = [
            np.argmax((turned + random.gumbel(turned.size).reshape(turned.shape)).T, axis=dim)
            for _ in range(num)
        ]
        return Tensor._of(np.stack(drawn, axis=dim), self)

    @staticmethod
    def _of(array: np.ndarray, like: Tensor) -> Tensor:
        return Tensor(array, 2 if like._batched else 1)

    def __repr__(self) -> str:
        kind = "int" if self._array.dtype.kind == "i" else "float"
        return f"<Dynet Tensor:{kind}>"
