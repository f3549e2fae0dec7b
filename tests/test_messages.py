"""What users are told: errors, signatures, completion. Derived from the public names."""

from __future__ import annotations

import copy
import inspect
import itertools
import math
import pickle
import pydoc
import warnings

import numpy as np
import pytest

import autobatch as ab
from autobatch import config
from autobatch.errors import AutobatchError, OperandError, ShapeError

FUNCTIONS = [
    n for n in ab.__all__ if callable(getattr(ab, n)) and inspect.isroutine(getattr(ab, n))
]
CLASSES = [n for n in ab.__all__ if inspect.isclass(getattr(ab, n))]
MADE = {  # public classes that can be made from these arguments
    "Linear": (3, 4),
    "LSTM": (3, 4),
    "GRU": (3, 4),
    "RNN": (3, 4),
    "TreeLSTM": (3, 4),
    "ChildSumTreeLSTM": (3, 4),
    "BinaryTreeLSTM": (3, 4),
    "BiLSTM": (3, 4),
    "BiGRU": (3, 4),
    "Module": (),
    "Parameter": ((3,),),
    "Lookup": (4, 3),
    "Warmup": (4,),
    "Cosine": (4,),
    "Step": (4,),
    "Exponential": (0.5,),
    "InverseSqrt": (4,),
    "ConstantRate": (),
    "Zeros": (),
    "Glorot": (),
    "Normal": (),
    "Uniform": (1.0,),
    "Orthogonal": (),
}
TRAINERS = [n for n in CLASSES if issubclass(getattr(ab, n), ab.Trainer) and n != "Trainer"]


class Strange:
    """Looks like data, and lies."""

    def __array__(self, dtype=None, copy=None):
        return np.array("text")

    def __len__(self):
        return -1

    def __iter__(self):
        return iter([self])


HOSTILE = [
    *(None, "a", "", b"a", -1, 0, True, 2**63, -(2**63), 10**400, math.nan, math.inf, -0.5, 1j),
    *([], [[]], [None], ["a"], [10**400], [math.nan], (), {}, {"a": 1}, {1, 2}, slice(None)),
    *(object(), object, len, Strange(), [[1.0], [2.0, 3.0]], iter([1, 2]), range(3)),
    *(
        np.zeros(0),
        np.zeros((2, 0)),
        np.array("a"),
        np.array([None]),
        np.array(1j),
        np.float64("nan"),
    ),
]


def arguments(lead=()):
    """Hostile arguments one by one, after good ones, and in pairs."""
    yield ()
    for bad in HOSTILE:
        yield (bad,)
        for good in lead:
            yield (good, bad)
            yield (bad, good)
            yield (good, good, bad)
    yield from itertools.product(HOSTILE[::3], HOSTILE[1::4])
    yield (1,) * 12


def answers_or_refuses(call, *args, **named):
    """Whether a call ends with a result or an error of ours; the other error otherwise."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(*args, **named)
    except (AutobatchError, OSError):
        return None
    except RecursionError as error:
        return error
    except Exception as error:
        return error
    return None


def stray(call, lead=()):
    """Calls that raised something that is no error of ours."""
    found = []
    for args in arguments(lead):
        error = answers_or_refuses(call, *args)
        if error is not None:
            found.append(f"{args!r:.80}: {type(error).__name__}: {error}"[:300])
    for named in ({"unknown": 1}, {"x": None}, {"axis": "a"}, {"shape": "a"}, {"init": object()}):
        error = answers_or_refuses(call, **named)
        if error is not None:
            found.append(f"{named}: {type(error).__name__}: {error}"[:300])
    return found


@pytest.fixture
def settings_kept(tmp_path, monkeypatch):
    """Functions that write, or change settings, do it where it does no harm."""
    monkeypatch.chdir(tmp_path)
    base, rng = config._base, config._rng
    ab.new_graph()
    yield
    config._base, config._rng = base, rng
    config._local.blocks.settle()
    ab.new_graph()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_answers_or_raises_an_error_of_ours(name, settings_kept) -> None:
    assert stray(getattr(ab, name), (ab.input([1.0, 2.0]), ab.ones((2, 2)))) == []


@pytest.mark.parametrize("name", [n for n in CLASSES if not issubclass(getattr(ab, n), Exception)])
def test_a_class_makes_an_object_or_raises_an_error_of_ours(name, settings_kept) -> None:
    assert stray(getattr(ab, name), (ab.Parameter(3),)) == []


def made(name):
    cls = getattr(ab, name)
    if name in TRAINERS:
        return cls(ab.Parameter(3), learning_rate=0.1)
    if name == "Expression":
        return ab.input([[1.0, 2.0], [3.0, 4.0]]) * 2.0
    if name == "Graph":
        return ab.current_graph()
    return cls(*MADE[name])


METHODS = [
    (name, key)
    for name in [*MADE, *TRAINERS, "Expression", "Graph"]
    if hasattr(ab, name)
    for key in dir(getattr(ab, name))
    if (not key.startswith("_") or key == "__call__")
    and callable(getattr(getattr(ab, name), key))
    and not inspect.isclass(getattr(getattr(ab, name), key))
]


@pytest.mark.parametrize(("name", "key"), METHODS)
def test_a_method_answers_or_raises_an_error_of_ours(name, key, settings_kept) -> None:
    if key == "__call__" and not callable(made(name)):
        pytest.skip("is not called")
    with np.errstate(all="ignore"):
        found = stray(lambda *args, **named: getattr(made(name), key)(*args, **named))
    assert found == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: ab.sum(x, dim=0), "sum: .* 'dim', did you mean axis=.*sum\\(x, axis=None"),
        (lambda x: ab.zeros(3, 4), "zeros: the shape is one argument, \\(3, 4\\)"),
        (lambda x: ab.reshape(x, 2, 1), "reshape: the shape is one argument, \\(2, 1\\)"),
        (lambda x: ab.Adam(ab.Parameter(3), lr=1), "Adam: .*learning_rate=.*beta1=.*clip_norm="),
        (lambda x: ab.Adam(), "Adam: missing .*'model'"),
        (lambda x: ab.cross_entropy(x, lable=1), "did you mean label="),
        (lambda x: ab.affine(weights=1), "affine: there is no argument 'weights'"),
        (lambda x: x.value(1), "Expression.value: expected at most 0"),
        (lambda x: ab.configure(sed=1), "no setting is called 'sed'.*seed"),
        (lambda x: ab.LSTM(3), "LSTM: missing .*'hidden_dim'"),
        (lambda x: ab.Module(3), "Module: "),
        (lambda x: ab.Expression(3), "Expression: .*ab.input"),
    ],
)
def test_arguments_that_a_function_does_not_have_are_answered_by_those_it_has(call, words) -> None:
    with pytest.raises((OperandError, ab.ConfigurationError), match=words):
        call(ab.input([1.0, 2.0]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, w: ab.sum([x, ab.zeros(3)]), "^sum: expected expressions of one shape"),
        (lambda x, w: ab.linear(w, x), "^linear: .*order of the operands is x, weight, bias"),
        (lambda x, w: ab.linear(x, w, ab.zeros(9)), "^linear: expected a bias of shape \\(3,\\)"),
        (lambda x, w: ab.Linear(3, 4)(x), "^Linear: linear: expected x"),
        (lambda x, w: ab.LSTM(3, 4).step(x), "^LSTM.step: "),
        (lambda x, w: ab.concat([ab.zeros(())]), "^concat: expected operands with axes"),
    ],
)
def test_an_error_names_what_was_called_and_its_operands(call, words) -> None:
    with pytest.raises(ShapeError, match=words):
        call(ab.input([1.0, 2.0]), ab.Parameter((3, 2)))


def test_what_the_users_own_code_raises_passes_unchanged() -> None:
    class Mine:
        def __array__(self, dtype=None, copy=None):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ab.tanh(Mine())

    def recursive():
        ab.sum(ab.zeros(2), axis=0)
        recursive()

    with pytest.raises(RecursionError):
        recursive()


def test_an_exception_of_numpys_on_the_way_is_the_cause_of_ours() -> None:
    from autobatch.calls import guarded

    def reads(shape):
        return np.zeros(shape)

    with pytest.raises(TypeError) as caught:
        guarded(reads, "reads")("a")
    assert not isinstance(caught.value, AutobatchError)
    ours = guarded(np.reshape, "reads")
    with pytest.raises(OperandError, match=r"^reads: cannot take these arguments") as caught:
        ours(np.zeros(3), (2, 2))
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_signature_and_help_are_known(name) -> None:
    public = getattr(ab, name)
    if not (inspect.isclass(public) and issubclass(public, Exception)):
        assert inspect.signature(public) is not None
    text = pydoc.plain(pydoc.render_doc(public))
    assert name in text
    assert (public.__doc__ or "").strip().splitlines()[-1].strip() in text
    assert public.__module__.startswith("autobatch")


def test_signature_of_an_op_has_its_operands() -> None:
    assert str(inspect.signature(ab.tanh)) == "(x, /)"
    assert str(inspect.signature(ab.add)) == "(x, y, /)"
    assert list(inspect.signature(ab.affine).parameters) == ["bias", "pairs"]
    assert list(inspect.signature(ab.Expression.value).parameters) == ["self"]
    assert list(inspect.signature(ab.LSTM(3, 4).step).parameters) == ["x", "state"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_pickled_and_copied_by_its_name(name) -> None:
    public = getattr(ab, name)
    assert pickle.loads(pickle.dumps(public)) is public
    assert copy.deepcopy(public) is public


def test_ops_without_a_public_name_are_pickled_too() -> None:
    op = ab.recording.recorder("nary_sum")
    assert pickle.loads(pickle.dumps(op)) is op


def test_completion_offers_public_names_only() -> None:
    offered = set(dir(ab))
    assert set(ab.__all__) <= offered
    assert offered - set(ab.__all__) == {"__version__", "engine", "errors"}
    assert all(hasattr(ab, name) for name in offered)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (ab.inference, "ab.inference\\(\\) block has ended"),
        (ab.new_graph, "with ab.new_graph\\(\\) block has ended"),
    ],
)
def test_an_expression_of_a_block_that_has_ended_names_the_block(block, words) -> None:
    with block():
        x = ab.zeros(2)
    for use in (lambda: x + 1, lambda: x.value(), lambda: x.shape):
        with pytest.raises(ab.StaleExpressionError, match=words):
            use()
    x = ab.zeros(2)
    ab.new_graph()
    with pytest.raises(ab.StaleExpressionError, match="new_graph\\(\\) was called"):
        x.value()


@pytest.mark.parametrize(
    "setting",
    [
        {"memory_limit": 2**63},
        {"memory_limit": math.nan},
        {"memory_limit": True},
        {"threads": True},
        {"threads": 2**70},
        {"seed": -1},
        {"seed": 1.5},
        {"sharing": 1},
        {"profile": None},
        {"dtype": np.float32},
        {"backend": ["cpu"]},
        {"strategy": None},
        {"instruction_set": 3},
    ],
)
def test_a_setting_is_checked_when_it_is_set(setting) -> None:
    before = config.current()
    with pytest.raises(ab.ConfigurationError, match=next(iter(setting))):
        ab.configure(**setting)
    assert config.current() == before
    assert (ab.zeros(2) + 1).value().tolist() == [1, 1]


def test_explain_after_a_run_tells_what_ran() -> None:
    x = ab.input([1.0, 2.0])
    loss = ab.sum(ab.tanh(x))
    before = ab.explain(loss)
    loss.value()
    after = ab.explain(loss)
    assert (before.ran, after.ran) == (False, True)
    assert after.batches == before.batches
    assert "has run" in str(after)
    more = ab.explain(loss * 2.0)
    assert not more.ran
    assert [batch.op for batch in more.batches] == ["multiply"]


def test_explain_names_what_differs() -> None:
    x = [ab.input([float(i), 2.0]) for i in range(5)]
    report = ab.explain(
        [ab.sum(x[:2]), ab.sum(x[:3]), ab.leaky_relu(x[0], 0.1), ab.leaky_relu(x[0], 0.5)]
    )
    assert report.reasons[0].endswith("the number of operands (2, 3)")
    assert report.reasons[1].endswith("the attribute slope (0.1, 0.5)")
    report = ab.explain([ab.tanh(ab.input([1.0])), ab.tanh(ab.input([1.0, 2.0]))])
    assert report.reasons[0].endswith("operand shapes ((1,), (2,))")


@pytest.mark.parametrize("backend", ["cpu", "numpy"])
def test_phases_include_recording(backend) -> None:
    import time

    with ab.configure(profile=True, backend=backend):
        ab.new_graph()
        ab.engine.reset_timings()
        x = ab.input([1.0, 2.0])
        time.sleep(0.02)
        ab.sum(x * x).backward(wrt=[x])
        first = ab.engine.timings()
        assert first["record"] >= 0.02
        assert all(first[phase] > 0 for phase in ("schedule", "forward", "backward"))
        time.sleep(0.02)  # after the last run of a graph nothing is recorded
        ab.new_graph()
        ab.zeros(2).value()
        assert ab.engine.timings()["record"] < first["record"] + 0.02
    ab.new_graph()


@pytest.mark.parametrize("backend", ["cpu", "numpy"])
def test_the_gradient_of_what_has_not_run_is_zero(backend) -> None:
    with ab.configure(backend=backend):
        ab.new_graph()
        x = ab.input([1.0, 2.0])
        unused = ab.tanh(x * 5.0)
        ab.sum(x * 2.0).backward(wrt=[unused, x])
        assert unused.gradient().tolist() == [0.0, 0.0]
        assert x.gradient().tolist() == [2.0, 2.0]
    ab.new_graph()


def test_the_attributes_of_a_parameter_are_checked() -> None:
    parameter = ab.Parameter(3)
    parameter.name = "kept"
    for attribute, value in (("name", 3), ("name", None)):
        with pytest.raises(OperandError, match="must be a str"):
            setattr(parameter, attribute, value)
    for attribute in ("name", "trainable"):
        with pytest.raises(OperandError):
            delattr(parameter, attribute)
    assert parameter.trainable
    assert "'kept'" in repr(parameter)


@pytest.mark.parametrize("layer", [ab.GRU, ab.RNN, ab.LSTM])
def test_a_state_of_another_kind_is_refused(layer) -> None:
    for state in (3, "a", [ab.zeros(4)], layer(3, 4, layers=2).start()):
        with pytest.raises(OperandError, match=f"^{layer.__name__}.step: "):
            layer(3, 4).step(ab.zeros(3), state)
    if layer is not ab.LSTM:
        with pytest.raises(OperandError, match="expected the state of 1 layers"):
            layer(3, 4).step(ab.zeros(3), ab.zeros(4))


@pytest.mark.parametrize("name", ["check_gradient", "count_batches"])
def test_a_helper_of_tests_answers_or_raises_an_error_of_ours(name, settings_kept) -> None:
    from autobatch import testing

    assert stray(getattr(testing, name), (ab.input([1.0]), ab.Parameter(2))) == []
