"""Every op has all that a declaration owes, or is listed here with the reason why not."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from samples import SAMPLES, Case

import autobatch as ab
import autobatch.dynet as dy
from autobatch import recording
from autobatch.errors import AutobatchError
from autobatch.ops import REGISTRY, Op, Operand
from autobatch.twin import TwinGraph

OPS = list(REGISTRY.values())
PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"

# Values that depend on no operand, or on none smoothly.
NO_GRADIENT = {
    "constant": "a source",
    "input": "a source",
    "placeholder": "a source",
    "parameter": "a source",
    "full": "has no operands",
    "one_hot": "has no operands",
    "argmax": "an index does not vary smoothly",
    "stop_gradient": "that is what it is for",
    "hardmax": "piecewise constant",
    "random_uniform": "has no operands",
    "random_normal": "has no operands",
    "random_gumbel": "has no operands",
    "random_bernoulli": "has no operands",
}
# Sources exist before anything runs; `lookup` is tested where lookups are.
NO_SAMPLES = {"constant", "input", "placeholder", "parameter", "lookup"}
# Samples that run by formula: the sample's number, and why no kernel takes it.
NO_KERNEL = {
    ("matmul", 7): "two stacks of matrices that broadcast crosswise",
    ("inverse", 5): "large: LAPACK does it, and its cubic work hides the cut of the plan",
    ("logdet", 5): "large: LAPACK does it",
}
# Take operands of every shape: nothing can be wrong at the record.
NO_ERRORS = {
    "constant",
    "input",
    "placeholder",
    "parameter",
    "lookup",
    "stop_gradient",
    "sum_batch",
    "mean_batch",
}
# Have no function of their own name: the public name that records them.
RECORDED_BY = {
    "placeholder": "input",
    "parameter": "Parameter",
    "lookup": "Lookup",
    "lookup_batch": "Lookup",
    "gelu_tanh": "gelu",
    "gelu_sigmoid": "gelu",
    "binary_cross_entropy_logits": "binary_cross_entropy",
    "nary_sum": "sum",
    "nary_mean": "mean",
    "nary_max": "max",
    "cross_entropy_soft": "cross_entropy",
    "slice": "Expression",
    "pick_each": "pick",
    "strided": "Expression",
    "batch_stack": "concat_batch",
    "log_softmax_restricted": "log_softmax",
    "unfold2d": "conv2d",
    "lookup_again": "dynet.lookup",
    "pick_again": "dynet.pick",
}


def form_of(case: Case):
    operands = [
        Operand(*about) for about in zip(case.shapes, case.batches, case.weights, strict=True)
    ]
    return case.declaration.rule(dict(case.attrs), operands)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_op_is_documented(op: Op) -> None:
    assert op.doc.strip()


@pytest.mark.parametrize("name", [op.name for op in OPS if op.public])
def test_public_op_has_a_function_with_an_example(name: str) -> None:
    assert ">>>" in getattr(ab, name).__doc__


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_op_has_samples(op: Op) -> None:
    assert bool(op.samples) != (op.name in NO_SAMPLES)
    for sample in op.samples:
        assert set(sample.attrs) == {name for name, _ in op.attrs}
        assert op.variadic or len(sample.shapes) == len(op.inputs)
    if op.inputs and op.samples:
        makes_one = op.name in ("lookup_batch", "lookup_again", "axis_to_batch")
        assert makes_one or any(max(sample.batches, default=1) > 1 for sample in op.samples), (
            "at least one sample with a manual minibatch"
        )


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_op_has_a_formula_and_a_gradient(op: Op) -> None:
    assert (op.forward is None) == (op.source and not op.table)
    assert (op.gradient is None) == (op.name in NO_GRADIENT)
    if op.elementwise:
        assert len(op.gradients) == len(op.inputs)
        assert None not in op.gradients


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_sample_has_a_kernel(case: Case) -> None:
    form = form_of(case)
    missing = form.kernel is None and form.view is None
    assert missing == ((case.op, case.number) in NO_KERNEL)
    assert form.kernel is None or form.kernel in recording._kernel_numbers
    if case.declaration.elementwise:
        assert form.kernel == case.op
    assert all(isinstance(p, int) for p in form.params)
    assert all(case.weights[j] for j, same in enumerate(form.same) if same)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_op_has_error_samples(op: Op) -> None:
    any_shape = op.elementwise and len(op.inputs) == 1
    assert op.errors or any_shape or op.name in NO_ERRORS


@pytest.mark.parametrize(
    ("name", "shapes", "attrs", "data", "text"),
    [(op.name, *error) for op in OPS for error in op.errors],
)
def test_error_sample_raises(name, shapes, attrs, data, text) -> None:
    graph = TwinGraph(sharing=False)
    operands = [graph.input(np.ones(shape)) for shape in shapes]
    with pytest.raises(AutobatchError) as caught:
        graph.record(name, operands, attrs, data or ())
    assert text in str(caught.value)


# The reference: one page for every name.

LISTED = Counter(
    name
    for page in PAGES.glob("*.rst")
    for name in re.findall(r"^\.\. auto\w+:: autobatch\.(\S+)$", page.read_text("utf-8"), re.M)
)


def public_names() -> list[str]:
    """What a program can say after ``autobatch.``, the package's inner modules left out."""
    names = {n for n, value in vars(ab).items() if n[0] != "_" and not inspect.ismodule(value)}
    drop_in = {f"dynet.{n}" for n in dy.__all__ if not inspect.ismodule(getattr(dy, n))}
    return sorted(names | drop_in | set(ab.__all__) | {op.name for op in OPS if op.public})


@pytest.mark.parametrize("name", public_names())
def test_public_name_has_one_place_in_the_reference(name: str) -> None:
    assert LISTED[name] == 1, "docs/reference lists each name once, on the page of its family"


@pytest.mark.parametrize("op", [op for op in OPS if not op.public], ids=lambda op: op.name)
def test_inner_op_is_recorded_by_a_name_in_the_reference(op: Op) -> None:
    assert LISTED[RECORDED_BY[op.name]] == 1


@pytest.mark.parametrize("name", LISTED)
def test_name_in_the_reference_exists(name: str) -> None:
    holder, _, last = f"autobatch.{name}".rpartition(".")
    module = importlib.import_module(holder)
    assert hasattr(module, last) or importlib.import_module(f"{holder}.{last}")


FUNCTIONS = [
    name
    for name, value in vars(ab).items()
    if name[0] != "_" and (inspect.isroutine(value) or isinstance(value, ab._core.Op))
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_names_every_argument(name: str) -> None:
    function = getattr(ab, name)
    if isinstance(function, ab._core.Op) and not hasattr(function, "__wrapped__"):
        arguments = [argument.removeprefix("*") for argument in REGISTRY[name].inputs]
    else:
        arguments = list(inspect.signature(function).parameters)
    doc = function.__doc__
    if not re.search(r"(as in|see) `\w+`", doc):  # another docstring, which explains them
        assert [a for a in arguments if not re.search(rf"\b{a}\b", doc)] == []


def test_exceptions_are_of_ops_that_exist() -> None:
    excepted = {*NO_GRADIENT, *NO_SAMPLES, *NO_ERRORS, *RECORDED_BY}
    excepted |= {name for name, _ in NO_KERNEL}
    assert excepted <= set(REGISTRY)
