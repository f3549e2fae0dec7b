"""What an op declaration is made of.

An op is declared once, as an :class:`Op`. Everything else is derived from it: the
recorder's row of numbers, the kernels of elementwise ops, the oracle of the tests, the
rows of the benchmarks and the reference. This module imports NumPy only.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Shape = tuple[int, ...]


def double_bits(value: float) -> int:
    """The 64 bits of a double as a signed integer, the form in which kernels take it."""
    return struct.unpack("<q", struct.pack("<d", float(value)))[0]


class Operand(NamedTuple):
    """What a rule may know of an operand: everything but its value.

    Attributes:
        shape: its shape, without the manual minibatch.
        batch: the size of its manual minibatch; 1 where there is none.
        weight: it is a parameter, or computed from parameters only.
    """

    shape: Shape
    batch: int = 1
    weight: bool = False

    @property
    def size(self) -> int:
        """Number of elements of one batch element."""
        size = 1
        for dim in self.shape:
            size *= dim
        return size


class Form(NamedTuple):
    """A rule's answer: all that is fixed by op, attributes and operand shapes.

    Attributes:
        shape: shape of the result.
        batch: manual minibatch of the result. ``None``: the operands' common one
            (sizes other than 1 must agree).
        kernel: name of the compiled kernel; ``None``: the NumPy formula is used and the
            plan is cut around it.
        params: the kernel's numbers (see ``docs/kernels.md``); doubles by `double_bits`.
        same: per operand, whether all nodes of a batch must share it (the ``W`` of
            ``W @ x``). Such operands get their gradient once per backward pass.
        view: ``(offset, scale)``: the result is not computed but lies inside operand 0,
            ``offset + scale * data[0]`` elements from its start, contiguous.
        view_batch: the view drops the manual minibatch: ``data[0]`` picks its element.
        index_limit: every data word must be in ``[0, index_limit)``.
        batch_aware: the kernel reads the whole manual minibatch of its operands.
        block_gradient: no gradient passes from the result to the operands.
        flops: floating-point operations of one row, for `explain`.
    """

    shape: Shape
    batch: int | None = None
    kernel: str | None = None
    params: tuple[int, ...] = ()
    same: tuple[bool, ...] = ()
    view: tuple[int, int] | None = None
    view_batch: bool = False
    index_limit: int | None = None
    batch_aware: bool = False
    block_gradient: bool = False
    flops: int = 0


class BoundForm(NamedTuple):
    """A form with all that was fixed when it was interned.

    Attributes:
        op, attrs, operands: what was asked.
        form: what the rule answered.
        shape, batch, size: of the result; size is that of one element of the minibatch.
    """

    op: Op
    attrs: dict[str, Any]
    operands: tuple[Operand, ...]
    form: Form
    shape: Shape
    batch: int
    size: int


@dataclass
class Call:
    """What a formula knows beside its operands.

    Attributes:
        xp: the array module (numpy or cupy).
        attrs: the op's attributes by name.
        data: integer array (rows, words): each row's data; floats are stored by their
            bits, ``call.floats()`` gives them back.
        shape: shape of one row of the result.
        operands: the operands' `Operand`.
    """

    xp: Any
    attrs: dict[str, Any]
    data: np.ndarray
    shape: Shape
    operands: Sequence[Operand]

    def floats(self) -> np.ndarray:
        """The data words as doubles, an array of (rows, words)."""
        return self.data.view(np.float64)


Formula = Callable[..., Any]


@dataclass(frozen=True)
class Sample:
    """One case of an op for tests and benchmarks.

    Attributes:
        shapes: shapes of the operands.
        attrs: attributes by name.
        data: data words, or None.
        low, high: range of the operands' values (uniform), inside the op's domain and
            away from its kinks.
        batches: manual minibatch of each operand; empty: all 1.
        weights: which operands are parameters.
        diagonal: added to the diagonal of the operands' matrices, to make them regular.
    """

    shapes: tuple[Shape, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    data: tuple[Any, ...] | None = None
    low: float = -2.0
    high: float = 2.0
    batches: tuple[int, ...] = ()
    weights: tuple[bool, ...] = ()
    diagonal: float = 0.0


@dataclass(frozen=True)
class Op:
    """The declaration of an op.

    Attributes:
        name: the field's standard name; also the public function's unless `public` is False.
        inputs: names of the operands; a last one starting with ``*`` takes any number.
        rule: ``rule(attrs, operands) -> Form``: shape rule, batch rule and lowering in
            one. Called once per new combination; raises `ShapeError`.
        forward: ``forward(call, *xs)``: NumPy formula over rows. Every ``x`` has a leading
            row axis (length 1 for a `same` operand); returns (rows, *shape).
        gradient: ``gradient(call, j, dy, y, *xs)``: gradient of operand ``j``, shaped as
            ``xs[j]`` but with a row axis (summed over the rows for a `same` operand).
            Elementwise ops return it in the shape of ``dy``; the runner sums what was
            broadcast. None: no gradient.
        attrs: names and kinds of attributes: "int", "float" or "ints" (any number), in order.
        data: names of the data words, per batch element ("index", "label", ...); `float`
            data are declared as "name:float". A last one starting with ``*`` takes any number.
        expression: elementwise ops: the C expression of the value in ``a``, ``b``, ``c``
            (operands) and ``p0``, ``p1``... (float attributes).
        gradients: elementwise ops: per operand the C expression of the local derivative in
            ``a``, ``b``, ``c``, ``y`` and ``p0``...; None where there is none.
        random: never shared; its data hold the seed and the node's serial number.
        source: the value exists before anything runs (inputs, parameters).
        integer: the result is an integer index, and `value()` returns integers.
        table: operand 0 is a table of rows; each data word picks one, and gradients stay
            with the rows.
        surrogate: the gradient is on purpose not the value's derivative.
        alike: an elementwise op whose operands do not broadcast.
        reads_weights: the rule asks which operands are weights; forms differ by it.
        cost: elementwise ops: floating-point operations per element.
        doc: the public docstring: shapes, defaults, errors, source, executed example.
        samples: cases for tests and benchmarks.
        errors: cases that must raise: (shapes, attrs, data, text in the message).
        public: whether a public function of this name exists.
    """

    name: str
    inputs: tuple[str, ...]
    rule: Callable[[dict[str, Any], Sequence[Operand]], Form]
    forward: Formula | None
    gradient: Formula | None = None
    attrs: tuple[tuple[str, str], ...] = ()
    data: tuple[str, ...] = ()
    expression: str | None = None
    gradients: tuple[str | None, ...] = ()
    random: bool = False
    source: bool = False
    integer: bool = False
    table: bool = False
    surrogate: bool = False
    alike: bool = False
    reads_weights: bool = False
    cost: int = 1
    doc: str = ""
    samples: tuple[Sample, ...] = ()
    errors: tuple[tuple[Any, ...], ...] = ()
    public: bool = True

    @property
    def elementwise(self) -> bool:
        """Whether the op's kernels are rendered from its C expressions."""
        return self.expression is not None

    @property
    def variadic(self) -> bool:
        """Whether the op takes any number of operands."""
        return bool(self.inputs) and self.inputs[-1].startswith("*")


REGISTRY: dict[str, Op] = {}


def declare(op: Op) -> Op:
    """Adds a declaration to the registry; its place there is the op's number."""
    if op.name in REGISTRY:
        raise ValueError(f"the op {op.name!r} is declared twice")
    REGISTRY[op.name] = op
    return op
