"""Other packages' ``import dynet``, and flags of DyNet's that have no effect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import autobatch.dynet as dy

HERE = Path(__file__).parents[2]


def _run(code: str, folder: Path, *arguments: str) -> str:
    (folder / "program.py").write_text(f"import sys\nsys.path.insert(0, {str(HERE)!r})\n{code}")
    done = subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_packages_find_the_drop_in_under_dynets_names_after_install(tmp_path: Path) -> None:
    (tmp_path / "package.py").write_text(
        "import _dynet, dynet as dy, dynet_config\nfrom dynet import tanh\n"
    )
    printed = _run(
        "import autobatch.dynet as dy\n"
        "first = dy.random_uniform(2, 0, 1).value()\n"
        "dy.install(), dy.install()\n"
        "import package\n"
        "assert package.dy is package._dynet is dy and package.tanh is dy.tanh\n"
        "assert package.dynet_config is dy.dynet_config\n"
        "assert dy.__spec__.name == 'autobatch.dynet'\n"
        "dy.renew_cg()\n"
        "print(first, dy.random_uniform(2, 0, 1).value())\n",
        tmp_path,
        "--dynet-seed",
        "3",
    )
    dy.reset_random_seed(3)
    drawn = [dy.random_uniform(2, 0, 1).value() for _ in range(2)]
    assert printed == f"{drawn[0]} {drawn[1]}\n"  # the stream of random numbers goes on


def test_install_is_refused_where_another_dynet_is_imported(tmp_path: Path) -> None:
    (tmp_path / "dynet.py").write_text("")
    printed = _run(
        "import dynet\nimport autobatch.dynet as dy\n"
        "try:\n    dy.install()\nexcept ImportError as error:\n    print(error)\n"
        "assert sys.modules['dynet'] is dynet\n",
        tmp_path,
    )
    assert printed.startswith("install: dynet is imported already, from ")


def test_flags_without_effect_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["p", "--dynet-l2", "0.001", "--dynet-gpu-ids", "0"])
    dy.init()
    assert dy.config.weight_decay() == 0


@pytest.mark.parametrize(
    "builder", ["LSTMBuilder", "CompactVanillaLSTMBuilder", "CoupledLSTMBuilder",
                "SimpleRNNBuilder", "SparseLSTMBuilder", "GRUBuilder", "FastLSTMBuilder"],
)  # fmt: skip
def test_parameters_are_inputs_of_recurrent_layers_under_dropout(builder: str) -> None:
    m = dy.ParameterCollection()
    p, table = m.add_parameters(4), m.add_lookup_parameters((5, 4))
    rnn = getattr(dy, builder)(1, 4, 4, m)
    rnn.set_dropout(0.3)
    dy.renew_cg()
    outputs = rnn.initial_state().transduce([p, table[1]])
    assert [y.dim() for y in outputs] == [((4,), 1)] * 2
    dy.sum_elems(dy.esum([rnn.initial_state().add_input(p).output(), *outputs])).backward()
    assert np.abs(p.grad_as_array()).sum() > 0


@pytest.mark.parametrize(("dim", "dims"), [(0, (4,)), (1, (3,))])
def test_pick_batch_of_no_minibatch_picks_an_entry_for_each_index(
    dim: int, dims: tuple[int, ...]
) -> None:
    w = dy.ParameterCollection().add_parameters((3, 4))
    dy.renew_cg()
    picked = dy.pick_batch(w, [0, 2, 1], dim)
    assert picked.dim() == (dims, 3)
    np.testing.assert_array_equal(picked.npvalue(), w.as_array().take([0, 2, 1], dim).T
                                  if dim == 0 else w.as_array().take([0, 2, 1], 1))  # fmt: skip
    dy.sum_batches(dy.sum_elems(picked)).backward()
    assert w.grad_as_array().sum() == 3 * dims[0]
    picked.set_index([1, 1, 0])
    np.testing.assert_array_equal(picked.npvalue()[..., 0], w.as_array().take(1, dim))


def test_pick_batch_of_a_vector_gives_numbers() -> None:
    v = dy.inputVector([5, 6, 7])
    assert dy.pick_batch(v, [0, 2, 1]).dim() == ((1,), 3)
    assert dy.pick_batch(v, [0, 2, 1]).vec_value() == [5, 7, 6]


def test_tables_take_the_initializers_of_square_matrices() -> None:
    m = dy.ParameterCollection()
    for init in ("identity", dy.IdentityInitializer()):
        table = m.add_lookup_parameters((5, 5), init=init)
        np.testing.assert_array_equal(table.as_array(), np.eye(5))
    q = m.add_lookup_parameters((5, 5), init=dy.SaxeInitializer()).as_array()
    np.testing.assert_allclose(q @ q.T, np.eye(5), atol=1e-6)
    dy.reset_random_seed(3)
    row = m.add_lookup_parameters((3, 3), init=dy.SaxeInitializer()).as_array()[0]
    np.testing.assert_allclose(row, [0.43455133, -0.31411865, -0.84409374], rtol=1e-5)  # DyNet's
    for init in ("identity", dy.SaxeInitializer()):
        with pytest.raises(RuntimeError, match="not a square"):
            m.add_lookup_parameters((4, 5), init=init)


@pytest.mark.parametrize(
    "first",
    ["p.npvalue()", "p.value()", "table[0] + p", "p.expr(True)", "p.forward()", "sum(table)",
     "table.npvalue()", "dy.GRUBuilder(1, 3, 3, m).initial_state().add_input(p)"],
)  # fmt: skip
def test_any_first_use_of_a_parameter_begins_a_graph_of_dynets(tmp_path: Path, first: str) -> None:
    _run(
        "import autobatch.dynet as dy\nm = dy.ParameterCollection()\n"
        "p, table = m.add_parameters(3), m.add_lookup_parameters((4, 3))\n"
        f"{first}\n{first}\n"
        "assert dy.tanh(p).dim() == table[1].dim() == ((3,), 1)\n",
        tmp_path,
    )


@pytest.mark.parametrize("two", [2.0, 2.7, np.float32(2), np.float64(2.5)])
def test_floats_are_taken_for_sizes_and_dimensions_as_dynet_takes_them(two: float) -> None:
    w = dy.inputTensor(np.arange(12.0).reshape(3, 4))
    one = two - 1
    assert dy.zeros((two,)).dim() == dy.ones((two,)).dim() == dy.constant((two,), 1).dim()
    assert dy.random_normal((two, 3)).dim() == dy.random_uniform((two, 3), 0, 1).dim()
    assert dy.random_bernoulli((two,), 0.5).dim() == dy.zeros(2).dim() == ((2,), 1)
    assert dy.reshape(dy.inputVector([1, 2, 3, 4]), (two, 2)).dim() == ((2, 2), 1)
    assert dy.max_dim(w, one).dim() == dy.pick(w, 1, one).dim() == ((3,), 1)
    with pytest.raises(dy.expressions.OperandError, match="expected an int, got nan"):
        dy.zeros((float("nan"),))


def test_powers_by_the_method_take_three_arguments_as_dynets_do() -> None:
    x = dy.inputVector([2, 3])
    assert dy.Expression.__pow__(x, 2, None).value() == [4, 9]


def test_parameters_that_stand_for_none_are_refused() -> None:
    for kind in (dy.Parameters, dy.LookupParameters):
        for use in (lambda p: p[0], lambda p: p.npvalue(), lambda p: dy.tanh(p)):
            with pytest.raises((AttributeError, dy.expressions.OperandError)):
                use(kind.__new__(kind))
