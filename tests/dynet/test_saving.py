"""Files: byte for byte DyNet's, and read in both directions."""

from __future__ import annotations

import os
import pickle
import sys

import model_cases
import numpy as np
import pytest
from recorded_model import RECORDED, check

import autobatch as ab
import autobatch.dynet as dy


@pytest.mark.parametrize(
    "name", ["file_of_a_collection", "files_of_parts", "file_of_objects", "meta_of_objects"]
)
def test_the_bytes_are_dynets(name):
    check(name)


def filled(m):
    return [p.as_array() for p in m.parameters_list() + m.lookup_parameters_list()]


@pytest.fixture
def model():
    dy.reset_random_seed(4)
    dy.renew_cg()
    return dy.ParameterCollection()


def test_a_collection_saved_by_dynet_is_loaded(tmp_path):
    text = RECORDED["file_of_a_collection"]
    (tmp_path / "theirs").write_text(text)
    dy.reset_random_seed(model_cases.SEED + 1)
    m = model_cases.stored(dy, str(tmp_path / "other"))
    assert (tmp_path / "other").read_text() != text
    m.populate(str(tmp_path / "theirs"))
    m.save(str(tmp_path / "ours"))
    assert (tmp_path / "ours").read_text() == text  # gradients too


def test_objects_saved_by_dynet_are_loaded(tmp_path):
    data, meta = RECORDED["file_of_objects"], bytes.fromhex(RECORDED["meta_of_objects"])
    (tmp_path / "theirs.data").write_text(data)
    (tmp_path / "theirs.meta").write_bytes(meta)
    m = dy.ParameterCollection()
    found = dy.load(str(tmp_path / "theirs"), m)
    assert [type(thing).__name__ for thing in found] == [
        "Parameters",
        "VanillaLSTMBuilder",
        "LookupParameters",
        "BiRNNBuilder",
        "CompactVanillaLSTMBuilder",
        "CoupledLSTMBuilder",
        "SimpleRNNBuilder",
        "GRUBuilder",
        "SparseLSTMBuilder",
    ]
    dy.save(str(tmp_path / "ours"), found)
    assert (tmp_path / "ours.meta").read_bytes() == meta
    # Loaded parameters keep their names; values are equal whatever the names.
    assert (tmp_path / "ours.data").read_text().split("\n")[1::2] == data.split("\n")[1::2]


def test_values_come_back_exactly(model, tmp_path, rng):
    shapes = [(), (1,), (5,), (3, 4), (2, 3, 4), (0, 2)]
    arrays = [rng.normal(size=shape).astype(np.float32) * 1e3 for shape in shapes]
    for array in arrays:
        model.parameters_from_numpy(np.asarray(array))
        if array.ndim and array.size:
            model.lookup_parameters_from_numpy(array)
    path = str(tmp_path / "model")
    model.save(path)
    before = filled(model)
    for p in model.parameters_list() + model.lookup_parameters_list():
        p.zero()
    model.populate(path)
    for one, other in zip(before, filled(model)):
        np.testing.assert_array_equal(one, other)


def test_numbers_that_are_not_finite_come_back(model, tmp_path):
    p = model.add_parameters(4, init=np.array([np.nan, np.inf, -np.inf, -0.0]))
    path = str(tmp_path / "model")
    model.save(path)
    p.zero()
    model.populate(path)
    np.testing.assert_array_equal(p.as_array(), [np.nan, np.inf, -np.inf, 0])


def test_one_parameter_from_a_file(model, tmp_path):
    path = str(tmp_path / "model")
    p = model.add_subcollection("sub").add_parameters((2, 3), name="foo")
    t = model.add_lookup_parameters((4, 2), name="words")
    model.save(path)
    p2, t2 = model.add_parameters((2, 3)), model.add_lookup_parameters((4, 2))
    p2.populate(path, "/sub/foo")
    t2.populate(path, key="/words")
    np.testing.assert_array_equal(p2.as_array(), p.as_array())
    np.testing.assert_array_equal(t2.as_array(), t.as_array())

    other = dy.ParameterCollection()
    p3, t3 = other.load_param(path, "/sub/foo"), other.load_lookup_param(path, "/words")
    assert (p3.name(), t3.name(), other.parameter_count()) == ("/sub/foo", "/words", 14)
    np.testing.assert_array_equal(t3.as_array(), t.as_array())
    assert other.add_parameters(1).name() == "/_2"  # as in DyNet, loading uses names up

    part = dy.ParameterCollection()
    p4 = part.add_parameters((2, 3))
    part.populate(path, "/sub/")
    np.testing.assert_array_equal(p4.as_array(), p.as_array())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, path: m.populate(path), "Too many parameters"),
        (lambda m, path: m.populate(path, "/none"), r"\(0/0\) did not match .* \(1/1\)"),
        (lambda m, path: m.parameters_list()[0].populate(path, "/_1"), r"\{2,3\} != \{4\}"),
        (lambda m, path: m.parameters_list()[0].populate(path, "/no"), "Could not find key /no"),
        (lambda m, path: m.load_param(path, "/words"), "Could not find key /words"),
        (lambda m, path: m.populate(path + ".no"), "Could not read model"),
        (lambda m, path: m.save(path + "/no"), "Could not write model"),
    ],
)
def test_errors(model, tmp_path, call, words):
    path = str(tmp_path / "model")
    model.add_parameters((2, 3))
    model.add_parameters(4)
    model.add_lookup_parameters((4, 2), name="words")
    model.save(path)
    m = dy.ParameterCollection()
    m.add_parameters((2, 3), init=1.0)
    m.add_lookup_parameters((4, 2), init=1.0)
    with pytest.raises(RuntimeError, match=words):
        call(m, path)
    assert all((array == 1).all() for array in filled(m)), "a failed populate changed something"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("junk\n1 2\n", "Bad parameter specification"),
        ("#Parameter# /_0 {2} 33 ZERO_GRAD\n1\n", "expected 2 numbers"),
        ("#Parameter# /_0 {3} 49 ZERO_GRAD\n1 2 3\n", "do not match"),
    ],
)
def test_damaged_files(model, tmp_path, text, words):
    (tmp_path / "model").write_text(text)
    model.add_parameters(2)
    with pytest.raises(RuntimeError, match=words):
        model.populate(str(tmp_path / "model"))


def test_files_of_dynet_2_0_do_not_name_their_gradients(model, tmp_path):
    p, q = model.add_parameters(2), model.add_parameters(1)
    lines = ["#Parameter# /_0 {2} 66", "1 2", "3 4", "#Parameter# /_1 {1} 17", "5"]
    (tmp_path / "model").write_text("\n".join(lines) + "\n")
    model.populate(str(tmp_path / "model"))
    assert (p.as_array().tolist(), p.grad_as_array().tolist()) == ([1, 2], [3, 4])
    assert q.as_array().tolist() == [5]


class Tagger:
    """A class of a program's own."""

    def __init__(self, size, collection):
        self.spec = (size,)
        self.pc = collection.add_subcollection("tagger")
        self.words = self.pc.add_lookup_parameters((5, size))
        self.lstm = dy.LSTMBuilder(1, size, size, self.pc)

    def param_collection(self):
        return self.pc

    @classmethod
    def from_spec(cls, spec, collection):
        return cls(*spec, collection)


def test_objects_of_a_programs_own_classes(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, Tagger.__module__, sys.modules[__name__])
    path = str(tmp_path / "model")
    w = model.add_parameters((2, 2))
    tagger = Tagger(3, model)
    dy.save(path, (thing for thing in [tagger, w]))
    m = dy.ParameterCollection()
    with pytest.raises(ab.FileFormatError, match=r"Tagger.*classes=\[Tagger\]"):
        dy.load(path, dy.ParameterCollection())
    loader = dy.load_generator(path, m, classes=[Tagger])
    other, w2 = next(loader), next(loader)
    assert isinstance(other, Tagger)
    np.testing.assert_array_equal(other.words.as_array(), tagger.words.as_array())
    np.testing.assert_array_equal(w2.as_array(), w.as_array())
    for one, two in zip(tagger.lstm.get_parameters()[0], other.lstm.get_parameters()[0]):
        np.testing.assert_array_equal(one.as_array(), two.as_array())
    assert list(loader) == []


def test_what_cannot_be_saved(model, tmp_path):
    with pytest.raises(AttributeError, match="spec"):
        dy.save(str(tmp_path / "model"), [3])
    with pytest.raises(FileNotFoundError):
        dy.load(str(tmp_path / "none"), model)


def test_classes_keep_their_modules(model, tmp_path):
    before = sys.modules.get("_dynet"), dy.GRUBuilder.__module__
    dy.save(str(tmp_path / "model"), [dy.GRUBuilder(1, 2, 2, model)])
    assert (sys.modules.get("_dynet"), dy.GRUBuilder.__module__) == before
    meta = (tmp_path / "model.meta").read_bytes()
    assert b"_dynet" in meta
    assert b"autobatch" not in meta
    assert pickle.loads(pickle.dumps(dy.GRUBuilder)) is dy.GRUBuilder


class Runs:
    """A pickle that runs a command when it is read."""

    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    "held",
    [
        Runs(),
        (dy.GRUBuilder, (Runs(),), "/"),
        ("Parameters", Runs()),
        (os.system, ("touch ran",), "/"),
        (eval, ("1",), "/"),
        (dy.save, ("ran", []), "/"),
    ],
    ids=str,
)
def test_reading_a_file_runs_none_of_its_code(held, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.data").write_text("")
    (tmp_path / "bad.meta").write_bytes(pickle.dumps(held))
    with pytest.raises(ab.FileFormatError):
        dy.load("bad", model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.data", "bad.meta"]


@pytest.mark.parametrize("name", ["os.system", "np.load", "pickle.loads", "sys", "load", "init"])
def test_names_of_the_drop_in_that_are_no_builders_are_refused(name, model, tmp_path):
    body = b"\x80\x02c_dynet\n" + name.encode() + b"\n."
    (tmp_path / "bad.data").write_text("")
    (tmp_path / "bad.meta").write_bytes(body)
    with pytest.raises(ab.FileFormatError, match="neither a builder nor an operation"):
        dy.load(str(tmp_path / "bad"), model)


@pytest.mark.parametrize("content", [b"", b"x", b"\x80\x04", pickle.dumps(3), pickle.dumps(())])
def test_damaged_files_of_objects_are_told(content, model, tmp_path):
    (tmp_path / "bad.data").write_text("")
    (tmp_path / "bad.meta").write_bytes(content)
    if content:
        with pytest.raises(ab.FileFormatError):
            dy.load(str(tmp_path / "bad"), model)
    else:
        assert dy.load(str(tmp_path / "bad"), model) == []
