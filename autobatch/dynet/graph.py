"""The one computation graph that DyNet's programs know, and what it keeps beside ours.

A graph is begun by `renew_cg`. Values are computed when they are asked for; random numbers
are drawn then, too, in the order in which their nodes were made, as DyNet draws them. What
waits to be drawn is kept in C beside the graph, see kernels/core/draw.c.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core, engine
from ..backends import cpu
from ..errors import AutobatchError, GradientError, IndexRangeError, ShapeError
from ..recording import current_graph
from .random import Draw

__all__ = [
    "ComputationGraph",
    "cg",
    "cg_checkpoint",
    "cg_revert",
    "cg_version",
    "dump_cg",
    "print_graphviz",
    "print_text_graphviz",
    "renew_cg",
]

# The type of the expressions of DyNet's graphs; `expressions` gives it its methods.
Node = _core.new_expression_type()

# How many updates a graph's further use is looked out for: what few programs do, and takes time.
_TRIALS = 3
_NOTHING, _ALL = 0, 2  # of Graph.direct


class InvalidValueError(AutobatchError, RuntimeError):
    """A value that is not a number, found where validity is checked."""


class ComputationGraph(_core.Computation):
    """The present graph; there is one of it.

    Attributes:
        direct: no value is to be checked and no parameter was updated without being kept, so that
            values may be asked for without going through `values`.
        movable: whether `lookup` and `pick` make nodes of their own, whose row or entry may be
            set. So they do in the first graphs, and for good in programs that set one; elsewhere
            equal ones are one node.

    >>> import autobatch.dynet as dy
    >>> graph = dy.renew_cg()
    >>> graph is dy.cg(), graph.version() == dy.cg_version()
    (True, True)
    """

    def __init__(self) -> None:
        raise RuntimeError("there is one computation graph: use dy.cg(), dy.renew_cg()")

    def _begin(self) -> None:
        self._version = 0
        self._check = False
        self.movable = True
        self.moved = False  # a row or an entry was set
        self.look_out()
        self._checkpoints: list[int] = []
        self._only()

    def renew(
        self,
        immediate_compute: bool = False,
        check_validity: bool = False,
        autobatching: int | None = None,
    ) -> ComputationGraph:
        """Begins a new graph; expressions of the old one end. See `renew_cg`."""
        self._renew()
        self._check = bool(check_validity)
        if self._check:
            self._graph.direct = _NOTHING
        return self

    def version(self) -> int:
        """How many graphs there have been."""
        return self._version

    def checkpoint(self) -> None:
        """See `cg_checkpoint`."""
        self._checkpoints.append(len(self._graph))

    def revert(self) -> None:
        """See `cg_revert`."""
        if self._checkpoints:
            self._graph._drop_draws(self._checkpoints.pop())

    # ------------------------------------------------------------------ running

    @property
    def direct(self) -> bool:
        return self._graph.direct == _ALL

    @property
    def _itemsize(self) -> int:
        return current_graph()._itemsize

    def delayed(self, shape: tuple[int, ...], batch: int, draw: Draw) -> Any:
        """An input whose numbers are drawn when its value is first needed.

        Args:
            shape: ours, row-major.
            batch: size of the minibatch.
            draw: what is drawn, in memory order, a minibatch's elements in turn.
        """
        dims = shape[::-1]
        made = _core.drawn(draw, dims, batch)
        if made is None:
            raise ShapeError(f"a tensor has 16 dimensions of at least 0, or fewer, got {dims}")
        return made

    def readable(self, node: Any) -> bool:
        """Whether a value may be read without going through `values`: all is `direct`, or what
        was computed before an update is read after it."""
        return self.direct or (
            self._graph._updated
            and not self._check
            and node.graph is self._graph
            and node._computed()
        )

    def invalidate(self) -> None:
        """Forgets what was computed, random numbers too."""
        engine.forget(self._graph)
        self.restart()

    def restart(self) -> None:
        """Nothing counts as computed, nor as drawn, any more."""
        self._graph._updated = False
        self._graph._redraw()
        if not self._check:
            self._graph.direct = _ALL

    # ------------------------------------------------------------------ after an update

    # What a graph knows of parameters that are changed: see kernels/core/keep.c.

    def look_out(self) -> None:
        """Keeps the numbers of the next few updates: there is a new trainer."""
        _core.keep_updates(_TRIALS)

    def update(self, parameters: list[Any], tables: list[Any], every_row: bool) -> None:
        """A trainer is about to change parameters.

        Args:
            parameters, tables: Parameters and LookupParameters.
            every_row: rows without a gradient will be changed, too.
        """
        self._graph._before_update(parameters, tables, every_row)

    def write(self, held: Any) -> None:
        """A program is about to change a parameter, or rows of a table."""
        self._graph._keep([held], True)

    def values(self, nodes: Sequence[Any], recalculate: bool = False) -> list[np.ndarray]:
        """The values of expressions as our arrays, the minibatch first."""
        if recalculate:
            self.invalidate()
        self._notice()
        found = engine.values(nodes)
        if self._check:
            for node, value in zip(nodes, found, strict=True):
                if np.isnan(value).any():
                    raise InvalidValueError(
                        f"NaN or Inf detected in the value of {node.op}, node {node.node}"
                    )
        return found

    def run(self, node: Any, recalculate: bool = False) -> None:
        """Computes an expression."""
        self.values([node], recalculate)

    def differentiate(self, loss: Any, full: bool) -> None:
        """Runs backward from a scalar of shape ().

        Args:
            loss: the expression.
            full: gradients of inputs and of all that depends on them are wanted, too.
        """
        self.run(loss)
        ends = self._graph._ends(loss.node) if full else []
        wrt = [self._graph.expression(node) for node in ends]
        self._notice()
        _core.Expression.backward(loss, wrt)

    def _notice(self) -> None:
        """Something is computed: if after an update, its numbers are kept from now on."""
        if self._graph._updated:
            _core.keep_updates(-1)

    def _at(self, index: int | None) -> Any:
        """The node of a number as an expression; None: the last."""
        count = len(self._graph)
        if index is None:
            if not count:
                raise GradientError("the graph is empty: there is nothing to run")
            return self._graph.expression(count - 1)
        index = operator.index(index)
        if not 0 <= index < count:
            raise IndexRangeError(
                f"expected the number of a node, from 0 to {count - 1}, got {index}"
            )
        return self._graph.expression(index)

    def forward_scalar(self, index: int | None = None) -> float:
        """The value of a node that is a scalar; all is computed and drawn anew.

        Args:
            index: the node's number in this graph, as an expression's ``repr`` tells it: two
                equal nodes are one. Default: the last.

        >>> import autobatch.dynet as dy
        >>> graph = dy.renew_cg()
        >>> x = dy.scalarInput(2) * 3
        >>> graph.forward_scalar()
        6.0
        """
        return float(self._at(index).scalar_value(True))

    def inc_forward_scalar(self, index: int | None = None) -> float:
        """As `forward_scalar`; what has been computed is not computed again."""
        return float(self._at(index).scalar_value())

    def forward_vec(self, index: int | None = None) -> list[float]:
        """The value of a node as a flat list; otherwise as `forward_scalar`."""
        found: list[float] = self._at(index).vec_value(True)
        return found

    def inc_forward_vec(self, index: int | None = None) -> list[float]:
        """As `forward_vec`; what has been computed is not computed again."""
        found: list[float] = self._at(index).vec_value()
        return found

    def forward(self, index: int | None = None) -> None:
        """Computes a node; otherwise as `forward_scalar`."""
        self._at(index).forward(True)

    def inc_forward(self, index: int | None = None) -> None:
        """As `forward`; what has been computed is not computed again."""
        self._at(index).forward()

    def backward(self, index: int | None = None, full: bool = False) -> None:
        """Runs backward from a node that is a scalar.

        Args:
            index: its number; default: the last.
            full: gradients of inputs are wanted, too.
        """
        self._at(index).backward(full)

    # ------------------------------------------------------------------ inputs

    def inputMatrixLiteral(
        self, v: Any, d: tuple[int, ...], batch_size: int = 1, device: str = ""
    ) -> Any:
        """See `inputTensorTranspose`."""
        from .expressions import inputTensorTranspose

        return inputTensorTranspose(v, d, batch_size, device)

    def inputSparseTensor(
        self,
        idxs: Sequence[int],
        v: Sequence[float],
        dim: tuple[int, ...],
        batch_size: int = 1,
        defval: float = 0.0,
        device: str = "",
    ) -> Any:
        """A tensor given by its entries, counted in column-major order; see `sparse_inputTensor`.

        Args:
            idxs: the places of entries, the elements of the minibatch one after the other.
            v: the numbers there.
            dim: a tuple.
            batch_size: default 1.
            defval: the number elsewhere. Default: 0.
            device: accepted.

        >>> import autobatch.dynet as dy
        >>> dy.cg().inputSparseTensor([0, 3], [5, 6], (2, 2)).npvalue()
        array([[5., 0.],
               [0., 6.]])
        """
        from .expressions import inputTensorTranspose

        numbers = np.full(math.prod(dim) * batch_size, float(defval))
        places = [operator.index(i) for i in idxs]
        if len(places) != len(v):
            raise ShapeError(f"inputSparseTensor: got {len(places)} places, {len(v)} numbers")
        if not all(0 <= i < numbers.size for i in places):
            raise IndexRangeError(
                f"inputSparseTensor: expected places from 0 to {numbers.size - 1}, got {places}"
            )
        numbers[places] = v
        return inputTensorTranspose(numbers, dim, batch_size, device)

    # ------------------------------------------------------------------ looking at it

    def print_graphviz(self) -> None:
        """Prints the graph in the language of Graphviz."""
        print("digraph G {\n  rankdir=LR;\n  nodesep=.05;")
        for number in range(len(self._graph)):
            node: Any = self._graph.expression(number)
            dims = ",".join(map(str, node.dims))
            batch = f"X{node.batch}" if node.batch > 1 else ""
            print(f'  N{number} [label="v{number} = {node.op}({{{dims}{batch}}})"];')
            for operand in cpu.operands_of(self._graph, number):
                print(f"  N{operand} -> N{number};")
        print("}")

    def dump(
        self,
        filename: str = "",
        show_values: bool = True,
        show_gradients: bool = True,
        nan_check_only: bool = False,
    ) -> None:
        """Writes every node with its value and its gradient; see `dump_cg`."""

        def told(numbers: np.ndarray) -> str:
            if nan_check_only:
                return " valid" if np.isfinite(numbers).all() else " invalid"
            return f"\n{numbers}"

        lines = []
        for number in range(len(self._graph)):
            node: Any = self._graph.expression(number)
            lines.append(f"Node {number}")
            if show_values:
                lines.append(f"Value:{told(node.npvalue())}")
            if show_gradients:
                try:
                    gradient = told(node.gradient())
                except GradientError:
                    gradient = " (not computed)"
                lines.append(f"Gradient:{gradient}")
        text = "".join(f"{line}\n" for line in lines)
        if filename:
            Path(filename).write_text(text)
        else:
            print(text, end="")


_CG: ComputationGraph = ComputationGraph.__new__(ComputationGraph)
_CG._begin()


def cg() -> ComputationGraph:
    """The present graph.

    >>> import autobatch.dynet as dy
    >>> dy.cg() is dy.renew_cg()
    True
    """
    return _CG


@engine.direct
def renew_cg(
    immediate_compute: bool = False,
    check_validity: bool = False,
    autobatching: int | None = None,
) -> ComputationGraph:
    """Begins a new graph: the expressions of the old one end.

    Args:
        immediate_compute: accepted. Errors of shapes and types are always raised at once, and
            values are computed when they are asked for.
        check_validity: values that are asked for and hold a NaN raise an error.
        autobatching: accepted. Graphs are always batched.

    >>> import autobatch.dynet as dy
    >>> x = dy.scalarInput(1)
    >>> _ = dy.renew_cg()
    >>> x.value()
    Traceback (most recent call last):
        ...
    autobatch.errors.StaleExpressionError: this expression belongs to a graph that is gone ...
    """
    return _CG.renew(immediate_compute, check_validity, autobatching)


def cg_version() -> int:
    """How many graphs there have been."""
    return _CG.version()


def cg_checkpoint() -> None:
    """Remembers the present state of the graph; states are a stack.

    >>> import autobatch.dynet as dy
    >>> _ = dy.renew_cg()
    >>> x = dy.scalarInput(2)
    >>> dy.cg_checkpoint()
    >>> (x * x).value()
    4.0
    >>> dy.cg_revert()
    >>> (x + x).value()
    4.0
    """
    _CG.checkpoint()


def cg_revert() -> None:
    """Goes back to the last state remembered; without one, does nothing.

    What was recorded since then is not needed any more. It stays readable, but random numbers
    that were not drawn are 0. Its memory is given back with the graph: equal nodes that are
    recorded again are found there.
    """
    _CG.revert()


def print_text_graphviz() -> None:
    """Prints the graph in the language of Graphviz."""
    _CG.print_graphviz()


def print_graphviz(**options: Any) -> None:
    """Prints the graph in the language of Graphviz; the options of the viewer are ignored."""
    _CG.print_graphviz()


def dump_cg(
    filename: str = "",
    show_values: bool = True,
    show_gradients: bool = True,
    nan_check_only: bool = False,
) -> None:
    """Prints every node of the graph with its value and its gradient.

    Args:
        filename: writes them into this file instead.
        show_values: values are computed, where they were not. Default: True.
        show_gradients: those of the last backward pass. Default: True.
        nan_check_only: says only whether all numbers are finite: valid or invalid.

    >>> import autobatch.dynet as dy
    >>> _ = dy.renew_cg()
    >>> x = dy.inputVector([1, 2])
    >>> dy.dump_cg()
    Node 0
    Value:
    [1. 2.]
    Gradient: (not computed)
    """
    _CG.dump(filename, show_values, show_gradients, nan_check_only)
