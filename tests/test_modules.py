"""Modules: parameters in every container, data beside them, cycles and depth, freezing."""

import collections
import dataclasses
import functools
import types

import numpy as np
import pytest

import autobatch as ab
from autobatch.errors import ConfigurationError, OperandError


class Model(ab.Module):
    pass


class Slots:
    __slots__ = ("empty", "held")

    def __init__(self, held):
        self.held = held


class Plain:
    def __init__(self, held):
        self.parts = [held]


@dataclasses.dataclass
class Record:
    held: object


def objects(held):
    array = np.empty((1, 2), object)
    array[0, 1] = held
    return array


CONTAINERS = {
    "list": (lambda p: [p], "0"),
    "tuple": (lambda p: (1, p), "1"),
    "dict": (lambda p: {"a": [p]}, "a.0"),
    "deque": (lambda p: collections.deque([p]), "0"),
    "array of objects": (objects, "1"),
    "namespace": (lambda p: types.SimpleNamespace(a=p), "a"),
    "user list": (lambda p: collections.UserList([p]), "0"),
    "user dict": (lambda p: collections.UserDict(a=p), "a"),
    "ordered": (lambda p: collections.OrderedDict(a=p), "a"),
    "default": (lambda p: collections.defaultdict(list, a=[p]), "a.0"),
    "values": (lambda p: {"a": p}.values(), "0"),
    "named tuple": (collections.namedtuple("Pair", "held"), "0"),
    "dataclass": (Record, "held"),
    "object": (Plain, "parts.0"),
    "slots": (Slots, "held"),
    "partial": (lambda p: functools.partial(max, p), "1"),
    "behind much data": (lambda p: [(i, i) for i in range(500)] + [[Plain(p)]], "500.0.parts.0"),
    "in a large dict": (lambda p: {i: i for i in range(500)} | {"a": p}, "a"),
    "in an array in a long list": (lambda p: [0] * 500 + [objects(p)], "500.1"),
}


@pytest.mark.parametrize("case", CONTAINERS)
@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: ab.Linear(2, 2)])
def test_parameters_in_a_container_belong_to_the_module(case, wrap):
    build, path = CONTAINERS[case]
    held = wrap(ab.Parameter(2))
    model = Model()
    model.part = build(held)
    names = [name for name, _ in model.named_parameters()]
    if isinstance(held, ab.Parameter):
        assert names == [f"part.{path}"]
    else:
        assert names == [f"part.{path}.weight", f"part.{path}.bias"]
        model.eval()
        assert not held.training


@pytest.mark.parametrize("kind", [set, frozenset])
def test_parameters_in_a_set_are_refused(kind):
    model = Model()
    with pytest.raises(ConfigurationError, match="whose order"):
        model.part = kind([ab.Parameter(2)])
    assert not hasattr(model, "part")
    model.words = kind(["a", "b"])
    assert model.parameters() == []


def test_what_is_put_into_a_long_list_later_is_found():
    model = Model()
    model.layers = [None] * 1000
    assert model.parameters() == []
    model.layers[700] = ab.Parameter(2)
    assert [name for name, _ in model.named_parameters()] == ["layers.700"]


def test_a_corpus_in_an_attribute_is_not_walked_in_python(monkeypatch):
    from autobatch import module

    asked = 0
    holds = module._holds

    def counted(value):
        nonlocal asked
        asked += 1
        return holds(value)

    monkeypatch.setattr(module, "_holds", counted)
    model = Model()
    model.data = [(i, [i]) for i in range(20_000)]
    assert asked < 10
    model.eval(), model.zero_grad(), model.parameters()
    assert asked < 100


def test_no_nesting_of_data_is_too_deep():
    tree = (1, 2)
    for _ in range(5000):
        tree = (tree, [1])
    model = Model()
    model.tree = tree
    model.w = ab.Parameter(2)
    assert len(model.parameters()) == 1
    assert "w: Parameter" in repr(model)


def test_modules_may_lie_thousands_deep():
    top = last = Model()
    for _ in range(2000):
        last.below = Model()
        last = last.below
    last.w = ab.Parameter(2)
    assert len(top.parameters()) == 1
    assert len(top.modules()) == 2001
    assert "w: Parameter" in repr(top)


def test_a_module_that_knows_its_parent_has_a_text():
    model, child = Model(), Model()
    child.parent, child.w = model, ab.Parameter(2)
    model.children = [child]
    model.itself = model
    text = repr(model)
    assert "parent: Model(...)" in text
    assert "w: Parameter(2,)" in text
    assert len(model.parameters()) == 1


def test_frozen_modules_keep_their_numbers():
    model = Model()
    model.first, model.second = ab.Linear(2, 2), ab.Linear(2, 1)
    trainer = ab.Adam(model, 0.1)
    kept = model.first.weight.value()
    assert model.first.freeze() is model.first
    frozen = [not part.trainable for part in (model.first, model.second, model)]
    assert frozen == [True, False, True]
    ab.sum(model.second(model.first(ab.input([1.0, 2.0])))).backward()
    trainer.update()
    assert (model.first.weight.value() == kept).all()
    model.trainable = True
    ab.new_graph()
    ab.sum(model.second(model.first(ab.input([1.0, 2.0])))).backward()
    trainer.update()
    assert (model.first.weight.value() != kept).any()


@pytest.mark.parametrize("wrong", ["no", 2, None])
def test_trainable_of_a_module_is_true_or_false(wrong):
    model = Model()
    model.w = ab.Parameter(2)
    with pytest.raises((ConfigurationError, OperandError), match="trainable"):
        model.trainable = wrong
    assert model.w.trainable


def test_trainers_take_views_of_dicts():
    p = ab.Parameter(2)
    assert list(ab.SGD({"a": p}.values(), 0.1).parameters.values()) == [p]
