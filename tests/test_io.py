"""Saving and loading: training resumes bit for bit, and damaged files change nothing."""

from __future__ import annotations

import json
import os
import stat
import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from safetensors.numpy import load_file, save_file

import autobatch as ab
from autobatch import trainers
from autobatch.errors import ConfigurationError, FileFormatError, OperandError
from autobatch.module import Module, named_parameters
from autobatch.parameters import Lookup, Parameter

KINDS = ["SGD", "Momentum", "Adagrad", "RMSProp", "Adam", "AdamW"]


class Layer(Module):
    def __init__(self, dim):
        self.weight = Parameter((dim, dim))
        self.scale = Parameter(())


class Model(Module):
    def __init__(self):
        self.words = Lookup(20, 3)
        self.layers = [Layer(2), Layer(3)]


def learn(model, trainer, steps):
    """Updates with random gradients; some parameters are used late or never."""
    rng = ab.config.rng()
    for _ in range(steps):
        for layer in model.layers[: 1 + (trainer.step > 3)]:
            layer.weight._ensure_grad()[...] += rng.normal(size=layer.weight.shape)
        model.words._sparse.add(rng.integers(0, 15, size=4), rng.normal(size=(4, 3)))
        trainer.update()


def snapshot(model, trainer=None):
    """All that saving should keep."""
    values = {name: parameter.value() for name, parameter in model.named_parameters()}
    state = None if trainer is None else trainer.state_dict()
    return values, state, ab.config.rng().bit_generator.state


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# ---- what was saved comes back


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_training_resumes_bit_for_bit(path, kind, at, dtype):
    model = Model()
    trainer = getattr(trainers, kind)(model, learning_rate=0.01, clip_norm=1.0)
    learn(model, trainer, at)
    trainer.learning_rate = 0.02
    ab.save(path, model, trainer, {"epoch": at})
    learn(model, trainer, 6)
    expected = snapshot(model, trainer)

    ab.configure(seed=99)
    other = Model()
    resumed = getattr(trainers, kind)(other)
    learn(other, resumed, 2)  # state that must be forgotten
    assert ab.load(path, other, resumed) == {"epoch": at}
    assert (resumed.step, resumed.learning_rate) == (at, 0.02)
    learn(other, resumed, 6)
    np.testing.assert_equal(snapshot(other, resumed), expected)


class Reader(Module):
    def __init__(self):
        self.words = Lookup(20, 3)
        self.lstm = ab.LSTM(3, 4, layers=2, dropout=0.3)
        self.out = ab.Linear(4, 5)


def train(model, trainer, steps):
    losses = []
    for _ in range(steps):
        ab.new_graph()
        sentences = [ab.config.rng().integers(0, 20, size=n) for n in (2, 5, 3)]
        hidden = [model.lstm.last([model.words[int(i)] for i in ids]) for ids in sentences]
        loss = ab.mean([ab.cross_entropy(model.out(h), n) for n, h in enumerate(hidden)])
        loss.backward()
        trainer.update()
        losses.append(loss.item())
    return losses


def test_training_with_dropout_resumes_bit_for_bit(path):
    model = Reader()
    trainer = ab.Adam(model, learning_rate=0.01, clip_norm=1.0)
    train(model, trainer, 3)
    ab.save(path, model, trainer)
    losses = train(model, trainer, 5)
    expected = snapshot(model, trainer)
    ab.configure(seed=99)
    other = Reader()
    resumed = ab.Adam(other)
    train(other, resumed, 1)
    ab.load(path, other, resumed)
    assert train(other, resumed, 5) == losses
    np.testing.assert_equal(snapshot(other, resumed), expected)


def test_without_a_trainer_only_parameters_change(path):
    model = Model()
    trainer = ab.Adam(model)
    learn(model, trainer, 2)
    ab.save(path, model, trainer)
    saved, _, _ = snapshot(model)
    learn(model, trainer, 2)
    _, state, random = snapshot(model, trainer)
    assert ab.load(path, model) == {}
    np.testing.assert_equal(snapshot(model, trainer), (saved, state, random))


def test_loading_makes_the_change_known(path, monkeypatch):
    model = Model()
    ab.save(path, model)
    touched = []
    for kind in (Parameter, Lookup):
        monkeypatch.setattr(kind, "_touch", lambda self: touched.append(self), raising=False)
    ab.load(path, model)
    assert touched == model.parameters()


def test_shared_parameters_are_saved_once(path):
    model = Model()
    model.tied = model.words
    ab.save(path, model)
    other = Model()
    other.tied = other.words
    ab.load(path, other)
    np.testing.assert_equal(snapshot(other)[0], snapshot(model)[0])
    assert "tied" not in load_file(path)


@pytest.mark.parametrize("make", [lambda: Parameter(3), lambda: [Parameter(()), Lookup(2, 2)]])
def test_models_that_are_no_modules(path, make):
    model, other = make(), make()
    ab.save(path, model)
    ab.load(path, other)
    mine, loaded = (list(named_parameters(part).values()) for part in (model, other))
    assert [p.value().tolist() for p in mine] == [p.value().tolist() for p in loaded]


def test_any_reader_finds_the_parameters(path):
    model = Model()
    trainer = ab.Adam(model)
    learn(model, trainer, 1)
    ab.save(path, model, trainer)
    arrays = load_file(path)
    for name, parameter in model.named_parameters():
        assert np.array_equal(arrays[name], parameter.value())
    assert np.array_equal(arrays["@trainer/m/words"], trainer.state_dict()["state"]["m"]["words"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(metadata=st.dictionaries(st.text(), JSON, max_size=4))
def test_metadata_come_back(metadata, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "metadata.safetensors"
    model = Parameter(1)
    ab.save(path, model, metadata=metadata)
    assert ab.load(path, model) == metadata
    assert ab.load_metadata(path) == metadata


# ---- writing


@pytest.mark.parametrize("metadata", [{"a": object()}, {"a": np.ones(2)}, {1j: 2}])
def test_metadata_that_json_cannot_hold(path, metadata):
    with pytest.raises(OperandError, match="JSON"):
        ab.save(path, Parameter(1), metadata=metadata)
    assert os.listdir(path.parent) == []


def test_arguments_are_checked(path):
    with pytest.raises(OperandError, match="got int"):
        ab.save(path, 3)
    with pytest.raises(ConfigurationError, match="no parameters"):
        ab.save(path, Module())
    with pytest.raises(OperandError, match="expected a Trainer, got Parameter"):
        ab.save(path, Parameter(1), Parameter(1))
    with pytest.raises(ConfigurationError, match="rename"):
        ab.save(path, {"@trainer/x": Parameter(1)})
    assert os.listdir(path.parent) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "none" / "model"
    with pytest.raises(OSError, match="none"):
        ab.save(path, Parameter(1))


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    model = Parameter(2)
    ab.save(path, model)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    model.set_value([7, 8])
    with pytest.raises(OSError, match=r"No space left.*model\.safetensors"):
        ab.save(path, model)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_saving_follows_links_and_keeps_the_mode(path, tmp_path):
    ab.save(path, Parameter(init=[1]))
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(path)
    ab.save(link, Parameter(init=[2]))
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_file(path)["parameter"] == 2
    assert sorted(os.listdir(tmp_path)) == ["link", path.name]


# ---- files of something else, and damaged ones


def refused(path, text, model=None, trainer=None):
    """Loading fails with this text, names the file and changes nothing."""
    model = Model() if model is None else model
    before = snapshot(model, trainer)
    with pytest.raises(FileFormatError, match=text) as caught:
        ab.load(path, model, trainer)
    assert str(path) in str(caught.value)
    np.testing.assert_equal(snapshot(model, trainer), before)


def test_files_that_are_not_there(path, tmp_path):
    refused(path, "no such file")
    refused(tmp_path, "directory")
    with pytest.raises(FileFormatError, match="no such file"):
        ab.load_metadata(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x00" * 100, b"\xff" * 100, (2**40).to_bytes(8, "little") + b"{}"]
)
def test_files_that_are_no_safetensors(path, content):
    path.write_bytes(content)
    refused(path, "not a whole safetensors file")


def test_a_safetensors_file_of_another_program(path):
    arrays = {name: p.value() for name, p in Model().named_parameters()}
    save_file(arrays, path)
    refused(path, "not written by autobatch's save")
    save_file(arrays, path, {"format": "pt"})
    refused(path, "not written by autobatch's save")


def test_another_version(path):
    save_file({}, path, {"format": "autobatch", "version": "2"})
    refused(path, "version 2")


def test_every_truncation_is_noticed(path):
    model = {"a": Parameter(3), "b": Lookup(2, 2)}
    trainer = ab.SGD(model)
    ab.save(path, model, trainer)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=r"model\.safetensors"):
            ab.load(path, model, trainer)


@settings(max_examples=200, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_noticed(place, bit, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    model = Model()
    trainer = ab.Momentum(model)
    learn(model, trainer, 1)
    ab.save(path, model, trainer)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    before = snapshot(model, trainer)
    with pytest.raises(FileFormatError, match=r"flipped\.safetensors"):
        ab.load(path, model, trainer)
    np.testing.assert_equal(snapshot(model, trainer), before)


def rewrite(path, change):
    """Changes arrays and the contents of the header, and makes the checksums right again."""
    arrays = load_file(path)
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    contents = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["contents"])
    change(arrays, contents)
    for name in contents["checksums"]:
        if name in arrays:
            contents["checksums"][name] = zlib.crc32(arrays[name].tobytes())
    text = json.dumps(contents)
    header = {"format": "autobatch", "version": "1", "contents": text}
    save_file(arrays, path, {**header, "checksum": str(zlib.crc32(text.encode()))})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda a, c: a.pop("words"), "damaged: array 'words' is missing"),
        (lambda a, c: a.update(more=np.ones(2)), "damaged: array 'more'"),
        (lambda a, c: c["parameters"].remove("words"), "the file lacks 'words'"),
        (lambda a, c: c["parameters"].append("more"), "the model lacks 'more'"),
        (
            lambda a, c: a.update(words=np.ones((20, 4), "f4")),
            r"'words': the model's shape is \(20, 3\), the file's \(20, 4\)",
        ),
        (
            lambda a, c: a.update(words=a["words"].astype("f8")),
            r"'words': the model's numbers are float32, .* configure\(dtype='float64'\)",
        ),
        (lambda a, c: c["trainer"].update(kind="SGD"), "expected the state of Adam"),
        (lambda a, c: c["trainer"].update(step=-1), "step"),
        (lambda a, c: c["trainer"]["settings"].pop("beta1"), "expected the settings"),
        (
            lambda a, c: a.update({"@trainer/m/words": np.ones((2, 2), "f4")}),
            r"state 'm' of parameter 'words'",
        ),
        (lambda a, c: c["random"].update(bit_generator="other"), "random generator"),
        (lambda a, c: c.update(random=None), "random generator"),
    ],
)
def test_a_file_that_does_not_fit(path, change, text):
    model = Model()
    trainer = ab.Adam(model)
    learn(model, trainer, 1)
    ab.save(path, model, trainer)
    learn(model, trainer, 1)
    rewrite(path, change)
    refused(path, text, model, trainer)


def test_the_file_of_another_model(path):
    ab.save(path, {f"p{i}": Parameter(1) for i in range(8)})
    refused(path, r"the file lacks 'words'.*; the model lacks 'p0', .* and 3 more")


def test_the_file_of_another_trainer(path):
    model = Model()
    ab.save(path, model)
    refused(path, "saved without a trainer", model, ab.Adam(model))
    ab.save(path, model, ab.SGD(model))
    refused(path, "expected the state of Adam, got that of SGD", model, ab.Adam(model))
    part = ab.Momentum(model.layers[0])
    model.layers[0].weight._ensure_grad()
    part.update()
    ab.save(path, model, part)
    refused(path, "parameter 'weight', which is not trained here", model, ab.Momentum(model))
