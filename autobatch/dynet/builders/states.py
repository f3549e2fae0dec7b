"""States of recurrent networks: one step of a sequence, alone or in a stack of builders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import StaleExpressionError
from ..expressions import Expression
from ..graph import _CG

if TYPE_CHECKING:
    from ._base import _RNNBuilder

__all__ = [
    "RNNState",
    "StackedRNNState",
]


class StaleBuilderError(StaleExpressionError, ValueError):
    """A builder's state of a graph that is gone."""


class RNNState:
    """One step of a sequence; the states before it stay as they are.

    Made by a builder's ``initial_state()`` and by :meth:`add_input`.
    """

    __slots__ = ("_builder", "_output", "_prev", "_s", "_version")

    def __init__(
        self, builder: _RNNBuilder, prev: RNNState | None, s: tuple[Any, ...], output: Any
    ) -> None:
        self._builder, self._prev, self._s, self._output = builder, prev, s, output
        self._version = _CG._version

    def _fresh(self) -> _RNNBuilder:
        if self._version != _CG._version:
            raise StaleBuilderError(
                "Using stale builder: dy.renew_cg() was called since this state was made; begin "
                "with builder.initial_state() in the present graph"
            )
        return self._builder

    def add_input(self, x: Expression) -> RNNState:
        """The state after one more input."""
        builder = self._builder if self._version == _CG._version else self._fresh()
        if not builder._drops:
            s = builder._cell(builder._operands, x, self._s)
        elif builder._masks is None or builder._noise:
            return RNNState(builder, self, *builder._general_step(x, self._s))
        else:
            s = builder._cell(builder._operands, x, self._s, builder._masks)
        return RNNState(builder, self, s, s[-1])

    def add_inputs(self, xs: Iterable[Expression]) -> list[RNNState]:
        """The states after each of several inputs, one after the other."""
        states, state = [], self
        for x in xs:
            state = state.add_input(x)
            states.append(state)
        return states

    def transduce(self, xs: Iterable[Expression]) -> list[Any]:
        """The outputs after each of several inputs."""
        builder, s, outputs = self._fresh(), self._s, []
        step, operands = builder._cell, builder._operands
        if builder._drops:
            for x in xs:
                if builder._masks is None or builder._noise:
                    s, output = builder._general_step(x, s)
                else:
                    s = step(operands, x, s, builder._masks)
                    output = s[-1]
                outputs.append(output)
            return outputs
        for x in xs:
            s = step(operands, x, s)
            outputs.append(s[-1])
        return outputs

    def output(self) -> Any:
        """The output of the last layer; None before the first input."""
        return self._output

    def h(self) -> tuple[Any, ...]:
        """The outputs of all layers; empty before the first input."""
        return self._builder._parts(self._s)[1]

    def s(self) -> tuple[Any, ...]:
        """The state's vectors: memories of all layers, if any, then outputs of all layers."""
        return self._s

    def prev(self) -> RNNState | None:
        """The state before."""
        return self._prev

    def b(self) -> Any:
        """The builder."""
        return self._builder

    def set_h(self, es: Sequence[Expression] | None = None) -> RNNState:
        """A state whose outputs are given, and whose memories are this state's.

        Args:
            es: one vector for each layer.
        """
        builder = self._builder if self._version == _CG._version else self._fresh()
        h = s = builder._given(es, (builder._layers,))
        if builder._has_memory:
            s = (self._s[: builder._layers] or builder._zeros()) + h
        return RNNState(builder, self, s, h[-1] if h else None)

    def set_s(self, es: Sequence[Expression] | None = None) -> RNNState:
        """A state whose vectors are given.

        Args:
            es: as :meth:`s` gives them; memories only leave the outputs as they are.
        """
        builder = self._builder if self._version == _CG._version else self._fresh()
        return builder._with(self, es)


class StackedRNNState:
    """States of several builders, the output of each the input of the next.

    Args:
        states: one for each builder.
        prev: the stack before.
    """

    def __init__(self, states: Sequence[RNNState], prev: StackedRNNState | None = None) -> None:
        self._states = list(states)
        self._prev = prev

    def add_input(self, x: Expression) -> StackedRNNState:
        """The stack after one more input."""
        states = []
        for state in self._states:
            states.append(state.add_input(x))
            x = states[-1].output()
        return StackedRNNState(states, self)

    def add_inputs(self, xs: Iterable[Expression]) -> list[StackedRNNState]:
        """The stacks after each of several inputs."""
        stacks, stack = [], self
        for x in xs:
            stack = stack.add_input(x)
            stacks.append(stack)
        return stacks

    def output(self) -> Any:
        """The output of the last builder."""
        return self._states[-1].output()

    def prev(self) -> StackedRNNState | None:
        """The stack before."""
        return self._prev

    def h(self) -> list[tuple[Any, ...]]:
        """The outputs of all layers of each builder."""
        return [state.h() for state in self._states]

    def s(self) -> list[tuple[Any, ...]]:
        """The vectors of each builder's state."""
        return [state.s() for state in self._states]
