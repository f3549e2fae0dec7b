"""What would run, in which batches, and why not in fewer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from . import config
from .backends import cpu
from .engine import _graph_of, list_of
from .errors import OperandError
from .ops.declare import BoundForm
from .recording import Expression, Graph, forms

__all__ = ["BatchReport", "Explanation", "explain"]


@dataclass(frozen=True)
class BatchReport:
    """One batch.

    Attributes:
        op: the op's name.
        shapes: shapes of the operands.
        nodes: how many nodes it runs.
        rows: how many rows that is: nodes times their manual minibatch.
        flops: floating-point operations.
        gathered: bytes of operands that do not lie one after the other in memory, so that
            the kernel fetches them row by row.
        weights: nodes of the operands that all nodes of the batch share.
    """

    op: str
    shapes: tuple[tuple[int, ...], ...]
    nodes: int
    rows: int
    flops: int
    gathered: int
    weights: tuple[int, ...]


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; ``str()`` of it is a report to read.

    Attributes:
        batches: in running order.
        lower_bound: the least count of batches that any schedule could have.
        nodes: nodes that run.
        shared: nodes that were asked for and existed already.
        reasons: why nodes that look alike run in different batches, a sentence each.
        strategy: the strategy in force.
        ran: whether everything asked for had run, so that the batches are those in which the
            graph ran what it has run so far, and `lower_bound` is their count.
    """

    batches: tuple[BatchReport, ...]
    lower_bound: int
    nodes: int
    shared: int
    reasons: tuple[str, ...]
    strategy: str
    ran: bool = False

    def __str__(self) -> str:
        total = sum(batch.flops for batch in self.batches)
        gathered = sum(batch.gathered for batch in self.batches)
        if self.ran:
            what, bound = "all of it has run; the graph ran ", ""
        else:
            what, bound = "", f" (no schedule has fewer than {self.lower_bound})"
        lines = [
            f"{what}{self.nodes} nodes in {len(self.batches)} batches by strategy "
            f"{self.strategy!r}{bound}; {self.shared} more nodes were "
            f"shared; {total:,} FLOPs, {gathered:,} bytes gathered",
            "",
            f"{'batch':>6} {'nodes':>6} {'rows':>6} {'FLOPs':>12} {'gathered':>10}  op",
        ]
        for number, batch in enumerate(self.batches):
            shapes = ", ".join(_shape(shape) for shape in batch.shapes[:6])
            more = f", ... {len(batch.shapes)} operands" if len(batch.shapes) > 6 else ""
            lines.append(
                f"{number:>6} {batch.nodes:>6} {batch.rows:>6} {batch.flops:>12,} "
                f"{batch.gathered:>10,}  {batch.op}({shapes}{more})"
            )
        if self.reasons:
            lines += ["", "Not merged:", *(f"- {reason}" for reason in self.reasons)]
        return "\n".join(lines)


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"


def explain(expression: Expression | Sequence[Expression]) -> Explanation:
    """The batches that would run now for the values of expressions; runs nothing.

    Where all of them have run, the batches are those that their graph has run so far.

    Args:
        expression: one, or several of one graph.

    Raises:
        OperandError: neither an expression nor a list with at least one.
        StaleExpressionError: the graph is gone.

    >>> import autobatch as ab
    >>> a, b = ab.input([1.0, 2.0]), ab.input([3.0, 4.0])
    >>> report = ab.explain(ab.tanh(a) * ab.tanh(b))
    >>> len(report.batches), report.lower_bound
    (2, 2)
    >>> report.batches[0].op, report.batches[0].nodes
    ('tanh', 2)
    """
    expressions = (
        [expression] if isinstance(expression, Expression) else list_of("explain", expression)
    )
    if not expressions:
        raise OperandError("explain: expected at least one expression, got an empty list")
    graph = _graph_of(expressions)
    nodes = [one.node for one in expressions]
    first = len(cpu.tape(graph))
    bound = cpu.lower_bound(graph, nodes)
    cpu.plan(graph, nodes)
    try:
        batches = cpu.tape(graph, first)
        ran = first > 0 and not batches
        if ran:
            batches = cpu.tape(graph)
        addresses = cpu.node_table(graph)
        reports = tuple(_report(graph, addresses, form, members) for form, members in batches)
    finally:
        cpu.unplan(graph, first)
    return Explanation(
        batches=reports,
        lower_bound=len(reports) if ran else bound,
        nodes=sum(report.nodes for report in reports),
        shared=cpu.shared(graph),
        reasons=tuple(_reasons(batches, reports)),
        strategy=config.current().strategy,
        ran=ran,
    )


def _report(graph: Graph, table: dict[str, Any], form: int, members: list[int]) -> BatchReport:
    bound = forms[form]
    operands = [cpu.operands_of(graph, node) for node in members]
    size = cpu.itemsize(graph)
    gathered, weights = 0, []
    for j, operand in enumerate(bound.operands):
        column = [own[j] for own in operands]
        if j < len(bound.form.same) and bound.form.same[j]:
            weights.append(column[0])
            continue
        if len(set(column)) == 1:
            continue  # one row for all
        width = operand.size * operand.batch
        roots = table["root"][column]
        places = table["address"][roots] + table["offset"][column]
        steps = places[1:] - places[:-1]
        if (table["address"][roots] < 0).any() or (steps != steps[:1]).any():
            gathered += len(column) * width * size
    rows = len(members) * bound.batch
    flops = (bound.form.flops or bound.size) * rows
    shapes = tuple(operand.shape for operand in bound.operands)
    return BatchReport(bound.op.name, shapes, len(members), rows, flops, gathered, tuple(weights))


def _reasons(batches: list[tuple[int, list[int]]], reports: Sequence[BatchReport]) -> list[str]:
    """Compares the batches of each op pairwise by what separates their profiles."""
    by_op: dict[str, dict[tuple[int, tuple[int, ...]], int]] = defaultdict(dict)
    for (form, _), report in zip(batches, reports, strict=True):
        key = (form, report.weights)
        by_op[report.op][key] = by_op[report.op].get(key, 0) + 1
    found = []
    for op, profiles in by_op.items():
        chained = [count for count in profiles.values() if count > 1]
        if chained:
            found.append(
                f"{op}: {sum(chained)} batches of {len(chained)} "
                f"profile{'s' * (len(chained) > 1)}, because nodes wait for others of their "
                f"own profile, or the strategy ran some of them early"
            )
        keys = list(profiles)
        if len(keys) < 2:
            continue
        bounds = [forms[form] for form, _ in keys]
        why = _differences(bounds)
        forms_of = {form for form, _ in keys}
        if len(forms_of) < len(keys):
            why.append("weights (each batch multiplies by one)")
        found.append(f"{op}: {len(keys)} profiles, which differ in {', '.join(why)}")
    return found


_SHOWN = 4  # values of what differs, in a reason


def _differences(bounds: Sequence[BoundForm]) -> list[str]:
    """What tells the forms of one op apart, with its values."""
    found = []
    if values := _values(len(bound.operands) for bound in bounds):
        found.append(f"the number of operands ({values})")
    else:
        if values := _values(tuple(o.shape for o in bound.operands) for bound in bounds):
            found.append(f"operand shapes ({values})")
        if values := _values(tuple(o.batch for o in bound.operands) for bound in bounds):
            found.append(f"sizes of the manual minibatch ({values})")
        weights = (tuple(j for j, o in enumerate(b.operands) if o.weight) for b in bounds)
        if values := _values(weights):
            found.append(f"which operands are weights ({values})")
    for name in bounds[0].attrs:
        if values := _values(bound.attrs.get(name) for bound in bounds):
            found.append(f"the attribute {name} ({values})")
    return found


def _values(of: Iterable[Any]) -> str:
    """What differs, the first few; nothing if all are alike."""
    distinct = list(dict.fromkeys(of))
    if len(distinct) < 2:
        return ""
    shown = ", ".join(map(_value, distinct[:_SHOWN]))
    return shown + f", ... {len(distinct)} in all" * (len(distinct) > _SHOWN)


def _value(value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    text = "none" if value == () else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
