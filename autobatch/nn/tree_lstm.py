"""LSTMs over trees (Tai, Socher and Manning 2015)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .. import functions as F
from ..errors import OperandError
from ..module import Module
from ..recording import cell
from .weights import bias, stacked, whole

if TYPE_CHECKING:
    from .._core import Expression

Node = TypeVar("Node")


class TreeState(NamedTuple):
    """The state of a tree's node.

    Attributes:
        h: hidden vector, the output.
        c: cell.

    >>> import autobatch as ab
    >>> h, c = ab.TreeLSTM(3, 4).step(ab.zeros(3))
    >>> h.shape, c.shape
    ((4,), (4,))
    """

    h: Expression
    c: Expression


class _Tree(Module):
    """What both forms share: sizes, and the walk over a whole tree."""

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        owner = type(self).__name__
        self.input_dim = whole(owner, "input_dim", input_dim)
        self.hidden_dim = whole(owner, "hidden_dim", hidden_dim)

    def step(self, x: Any = None, children: Sequence[TreeState] = ()) -> TreeState:
        """The state of one node."""
        raise NotImplementedError(f"{type(self).__name__} does not define step")

    def __call__(
        self,
        root: Node,
        children: Callable[[Node], Sequence[Node]],
        inputs: Callable[[Node], Any],
    ) -> list[tuple[Node, TreeState]]:
        """The states of all nodes of a tree, however deep it is.

        Args:
            root: the tree.
            children: answers the children of a node, in order; none for a leaf.
            inputs: answers the vector of a node, (input_dim,), or None where it has none.

        Returns:
            Every node with its state, children before their parents, the root last.
        """
        done: list[tuple[Node, TreeState]] = []
        states: list[TreeState] = []  # of subtrees whose parents are not done
        todo: list[tuple[Node, int]] = [(root, -1)]
        while todo:
            node, count = todo.pop()
            if count < 0:
                below = list(children(node))
                todo.append((node, len(below)))
                todo.extend((child, -1) for child in reversed(below))
                continue
            first = len(states) - count
            state = self.step(inputs(node), states[first:])
            states[first:] = [state]
            done.append((node, state))
        return done

    def _nothing(self) -> OperandError:
        return OperandError(f"{type(self).__name__}: a node without children needs an input")


class TreeLSTM(_Tree):
    """The N-ary Tree-LSTM: children are ordered and each place has weights of its own.

    ``i, o = sigmoid(W x + sum_k U_k h_k + b)``, ``u = tanh(W x + sum_k U_k h_k + b)``, each with
    its own W, U, b; for child k ``f_k = sigmoid(V x + sum_l U_kl h_l + b_k)``;
    ``c = i * u + sum_k f_k * c_k``, ``h = o * tanh(c)``. Where a node has no input, or fewer
    children, their terms are left out. The forget gates' biases begin at 1.

    Args:
        input_dim: size of an input vector.
        hidden_dim: size of hidden vector and cell.
        arity: the largest number of children; default 2.

    Raises:
        ConfigurationError: a size is no whole number above 0.

    >>> import autobatch as ab
    >>> tree = ab.TreeLSTM(3, 4)
    >>> left, right = tree.step(ab.zeros(3)), tree.step(ab.zeros(3))
    >>> tree.step(children=[left, right]).h.shape
    (4,)
    >>> states = tree(("a", "b"), children=lambda n: n if isinstance(n, tuple) else (),
    ...               inputs=lambda n: ab.zeros(3) if isinstance(n, str) else None)
    >>> [node for node, state in states]
    ['a', 'b', ('a', 'b')]
    """

    def __init__(self, input_dim: int, hidden_dim: int, arity: int = 2) -> None:
        super().__init__(input_dim, hidden_dim)
        self.arity = whole("TreeLSTM", "arity", arity)
        dim = self.hidden_dim
        # The gates lie in the order f_1 .. f_N, i, o, u: a leaf uses the last three alone.
        self.weight_x = stacked(3, dim, self.input_dim)
        self.forget_x = stacked(1, dim, self.input_dim)
        self.weight_h = [stacked(self.arity + 3, dim, dim) for _ in range(self.arity)]
        self.bias = bias((self.arity * dim, 1.0), (3 * dim, 0.0))

    def step(self, x: Any = None, children: Sequence[TreeState] = ()) -> TreeState:
        """The state of one node.

        Args:
            x: its vector, (input_dim,); None: it has none.
            children: the states of its children, at most `arity`.

        Raises:
            OperandError: there are too many children, or neither children nor an input.
        """
        if not children:
            if x is None:
                raise self._nothing()
            return _leaf(self.bias, self.weight_x, x)
        if len(children) > self.arity:
            raise OperandError(
                f"TreeLSTM: expected at most {self.arity} children, got {len(children)}; "
                f"make it with arity={len(children)}"
            )
        # As many products as children: those of the places that have one.
        weights = self.weight_h[: len(children)]
        if x is None:
            return _inner(self.bias, weights, list(children))
        return _inner_with_input(
            self.bias, weights, list(children), self.weight_x, self.forget_x, x
        )


def _state(i: Any, o: Any, u: Any, forgotten: list[Any]) -> TreeState:
    terms = [F.sigmoid(i) * F.tanh(u), *forgotten]
    c = F.sum(terms) if forgotten else terms[0]
    return TreeState(F.sigmoid(o) * F.tanh(c), c)


def _gates(bias: Any, weights: Sequence[Any], children: Sequence[TreeState]) -> Any:
    pairs = [part for w, child in zip(weights, children) for part in (w, child.h)]
    return F.affine(bias, *pairs)


@cell
def _leaf(bias: Any, weight_x: Any, x: Any) -> TreeState:
    forgets = bias.shape[0] - weight_x.shape[0]
    i, o, u = F.split(F.affine(bias[forgets:], weight_x, x), 3)
    return _state(i, o, u, [])


@cell
def _inner(bias: Any, weights: Sequence[Any], children: Sequence[TreeState]) -> TreeState:
    parts = bias.shape[0] // children[0].h.shape[0]
    f = list(F.split(_gates(bias, weights, children), parts))
    i, o, u = f[-3:]
    return _state(i, o, u, [F.sigmoid(g) * child.c for g, child in zip(f, children)])


@cell
def _inner_with_input(
    bias: Any,
    weights: Sequence[Any],
    children: Sequence[TreeState],
    weight_x: Any,
    forget_x: Any,
    x: Any,
) -> TreeState:
    gates = _gates(bias, weights, children)
    dim = children[0].h.shape[0]
    forgets = bias.shape[0] - 3 * dim
    i, o, u = F.split(F.affine(gates[forgets:], weight_x, x), 3)
    of_x = F.affine(None, forget_x, x)
    f = [part + of_x for part in F.split(gates[:forgets], forgets // dim)]
    return _state(i, o, u, [F.sigmoid(g) * child.c for g, child in zip(f, children)])


class ChildSumTreeLSTM(_Tree):
    """The child-sum Tree-LSTM: any number of children, in no order.

    With ``s`` the sum of the children's ``h``: ``i, o = sigmoid(W x + U s + b)``,
    ``u = tanh(W x + U s + b)``, each with its own W, U, b; for child k
    ``f_k = sigmoid(V x + T h_k + d)``; ``c = i * u + sum_k f_k * c_k``, ``h = o * tanh(c)``. Where
    a node has no input or no children, their terms are left out. The forget gates' bias
    begins at 1.

    Args:
        input_dim: size of an input vector.
        hidden_dim: size of hidden vector and cell.

    Raises:
        ConfigurationError: a size is no whole number above 0.

    >>> import autobatch as ab
    >>> tree = ab.ChildSumTreeLSTM(3, 4)
    >>> leaves = [tree.step(ab.zeros(3)) for _ in range(3)]
    >>> tree.step(ab.zeros(3), leaves).h.shape
    (4,)
    """

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__(input_dim, hidden_dim)
        dim = self.hidden_dim
        self.weight_x = stacked(3, dim, self.input_dim)
        self.forget_x = stacked(1, dim, self.input_dim)
        self.weight_h = stacked(3, dim, dim)
        self.forget_h = stacked(1, dim, dim)
        self.bias = bias((3 * dim, 0.0))
        self.forget_bias = bias((dim, 1.0))

    def step(self, x: Any = None, children: Sequence[TreeState] = ()) -> TreeState:
        """The state of one node.

        Args:
            x: its vector, (input_dim,); None: it has none.
            children: the states of its children, any number.

        Raises:
            OperandError: there are neither children nor an input.
        """
        pairs = [] if x is None else [self.weight_x, x]
        if children:
            hidden = [child.h for child in children]
            pairs += [self.weight_h, F.sum(hidden) if len(hidden) > 1 else hidden[0]]
        elif x is None:
            raise self._nothing()
        i, o, u = F.split(F.affine(self.bias, *pairs), 3)
        c = F.sigmoid(i) * F.tanh(u)
        if children:
            base = self.forget_bias if x is None else F.affine(self.forget_bias, self.forget_x, x)
            forgets = (F.sigmoid(F.affine(base, self.forget_h, h)) for h in hidden)
            c = F.sum([c, *(f * child.c for f, child in zip(forgets, children))])
        return TreeState(F.sigmoid(o) * F.tanh(c), c)
