"""Calls of DyNet's operations, with inputs, that both libraries must agree on.

Plain NumPy: `record.py` runs them under the wheel, `test_operations.py` under the drop-in.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Input(NamedTuple):
    """Dimensions of an input, the size of its minibatch, and the range of its numbers."""

    dims: tuple[int, ...]
    batch: int = 1
    low: float = -2.0
    high: float = 2.0


class Case(NamedTuple):
    """A call: ``call(dy, *expressions)``."""

    name: str
    call: Callable[..., Any]
    inputs: tuple[Input, ...]
    gradient: bool = True


CASES: list[Case] = []


def case(name: str, call: Callable[..., Any], *inputs: Any, gradient: bool = True) -> None:
    """Adds a call. Inputs are dimensions, or `Input`."""
    of = tuple(i if isinstance(i, Input) else Input(i) for i in inputs)
    CASES.append(Case(name, call, of, gradient))


def arrays(this: Case) -> list[np.ndarray]:
    """The inputs' numbers, the minibatch last, the same in every run."""
    rng = np.random.RandomState(zlib.crc32(this.name.encode()))
    found = []
    for dims, batch, low, high in this.inputs:
        shape = dims if batch == 1 else (*dims, batch)
        found.append(rng.uniform(low, high, shape).astype(np.float32).astype(np.float64))
    return found


def outcome(dy: Any, this: Case) -> dict[str, np.ndarray]:
    """Value, dimensions, and gradients of all inputs of a weighted sum of the result."""
    dy.renew_cg()
    xs = [
        dy.inputTensor(array, batched=of.batch > 1)
        for array, of in zip(arrays(this), this.inputs, strict=True)
    ]
    y = this.call(dy, *xs)
    dims, batch = y.dim()
    value = y.npvalue()
    found = {"value": value, "dims": np.array([*dims, batch])}
    if this.gradient:
        rng = np.random.RandomState(7)
        weights = rng.uniform(0.5, 1.5, dims if batch == 1 else (*dims, batch))
        total = dy.sum_elems(dy.cmult(y, dy.inputTensor(weights, batched=batch > 1)))
        if batch > 1:
            total = dy.sum_batches(total)
        total.forward()
        total.backward(full=True)
        for i, x in enumerate(xs):
            found[f"d{i}"] = np.asarray(x.gradient()).reshape(-1, order="F")
    return found


V, M, T = (5,), (4, 3), (2, 3, 4)
VB, MB = Input((5,), 3), Input((4, 3), 3)
P, PB = Input((5,), 1, 0.1, 3.0), Input((4, 3), 3, 0.1, 3.0)
U, UB = Input((5,), 1, 0.05, 0.95), Input((4, 3), 3, 0.05, 0.95)
S = (1,)

for _name in [
    "tanh",
    "exp",
    "square",
    "cube",
    "abs",
    "erf",
    "logistic",
    "log_sigmoid",
    "rectify",
    "selu",
    "sin",
    "cos",
    "atan",
    "sinh",
    "cosh",
    "asinh",
    "elu",
    "silu",
    "nobackprop",
    "flip_gradient",
]:
    for _i, _x in enumerate((V, M, MB)):
        case(f"{_name} {_i}", lambda dy, x, n=_name: getattr(dy, n)(x), _x)
for _name in ("log", "sqrt", "lgamma"):
    for _i, _x in enumerate((P, PB)):
        case(f"{_name} {_i}", lambda dy, x, n=_name: getattr(dy, n)(x), _x)
for _name in ("tan", "asin", "acos", "atanh"):
    for _i, _x in enumerate((U, UB)):
        case(f"{_name} {_i}", lambda dy, x, n=_name: getattr(dy, n)(x), _x)
for _i, _x in enumerate((Input((5,), 1, 1.1, 4.0), Input((4, 3), 3, 1.1, 4.0))):
    case(f"acosh {_i}", lambda dy, x: dy.acosh(x), _x)
case("softsign", lambda dy, x: dy.softsign(x), V)
case("softsign batch", lambda dy, x: dy.softsign(x), VB)
case("elu alpha", lambda dy, x: dy.elu(x, 2.5), V)
case("silu beta", lambda dy, x: dy.silu(x, 1.5), V)
for _name in ("round", "ceil", "floor"):
    for _mode in ("zero_gradient", "straight_through_gradient"):
        case(f"{_name} {_mode}", lambda dy, x, n=_name, m=_mode: getattr(dy, n)(x, m), MB)
for _mode in ("zero_gradient", "straight_through_gradient"):
    case(f"argmax {_mode}", lambda dy, x, m=_mode: dy.argmax(x, m), V)
    case(f"argmax batch {_mode}", lambda dy, x, m=_mode: dy.argmax(x, m), VB)
case("scale_gradient", lambda dy, x: dy.scale_gradient(x, 0.5), V)

# Operators.
case("add", lambda dy, x, y: x + y, V, V)
case("add broadcast", lambda dy, x, y: x + y, M, (4,))
case("add broadcast scalar", lambda dy, x, y: x + y, V, S)
case("add broadcast row", lambda dy, x, y: x + y, M, (1, 3))
case("add column", lambda dy, x, y: x + y, (3, 1), (3,))
case("add batch", lambda dy, x, y: x + y, MB, M)
case("subtract", lambda dy, x, y: x - y, V, V)
case("subtract batch", lambda dy, x, y: x - y, V, VB)
case("numbers", lambda dy, x: (x * 2 - 1 + 3) / 4, M)
case("negative", lambda dy, x: -x, MB)
case("power", lambda dy, x: x**3, P)
case("power half", lambda dy, x: x**0.5, P)
case("power scalar", lambda dy, x, y: x**y, P, Input(S, 1, 0.5, 2.0))
case("matrix vector", lambda dy, x, y: x * y, M, (3,))
case("matrix matrix", lambda dy, x, y: x * y, M, (3, 5))
case("matrix column", lambda dy, x, y: x * y, M, (3, 1))
case("column row", lambda dy, x, y: x * y, (3,), (1, 4))
case("row vector", lambda dy, x, y: x * y, (1, 3), (3,))
case("vector scalar", lambda dy, x, y: x * y, V, S)
case("matrix vector batch", lambda dy, x, y: x * y, M, Input((3,), 4))
case("matrix batch vector batch", lambda dy, x, y: x * y, MB, Input((3,), 3))
case("matrix batch matrix", lambda dy, x, y: x * y, MB, (3, 2))
case("column scalar", lambda dy, x, y: x * y, (4, 1), S)
case("scalars", lambda dy, x, y: x * y, S, S)
case("item", lambda dy, x: x[1], V)
case("item last", lambda dy, x: x[-1], VB)
case("item matrix", lambda dy, x: x[1], MB)
case("range", lambda dy, x: x[1:3], VB)
case("range matrix", lambda dy, x: x[1:3], M)
case("range columns", lambda dy, x: x[1:3, 0:2], MB)
case("range strides", lambda dy, x: x[0:4:2, 0:3:2], M)
case("range all", lambda dy, x: x[:, 1:2], T)

# Products.
case("affine", lambda dy, b, w, x: dy.affine_transform([b, w, x]), (4,), M, (3,))
case(
    "affine two",
    lambda dy, b, w, x, v, y: dy.affine_transform([b, w, x, v, y]),
    *((4,), M, (3,), (4, 2), (2,)),
)
case("affine matrix", lambda dy, b, w, x: dy.affine_transform([b, w, x]), (4,), M, (3, 5))
case("affine matrix bias", lambda dy, b, w, x: dy.affine_transform([b, w, x]), (4, 5), M, (3, 5))
case("affine column bias", lambda dy, b, w, x: dy.affine_transform([b, w, x]), (4, 1), M, (3,))
case("affine batch", lambda dy, b, w, x: dy.affine_transform([b, w, x]), (4,), M, Input((3,), 5))
case("affine scalar", lambda dy, b, w, x: dy.affine_transform([b, w, x]), S, (1, 3), (3,))
case("affine bias", lambda dy, b: dy.affine_transform([b]), (4,))
case("dot_product", lambda dy, x, y: dy.dot_product(x, y), V, V)
case("dot_product matrix", lambda dy, x, y: dy.dot_product(x, y), M, M)
case("dot_product batch", lambda dy, x, y: dy.dot_product(x, y), VB, VB)
case("trace_of_product", lambda dy, x, y: dy.trace_of_product(x, y), M, M)
case("cmult", lambda dy, x, y: dy.cmult(x, y), MB, MB)
case("cmult broadcast", lambda dy, x, y: dy.cmult(x, y), M, (4,))
case("cmult scalar", lambda dy, x, y: dy.cmult(x, y), V, S)
case("cdiv", lambda dy, x, y: dy.cdiv(x, y), V, P)
case("cdiv broadcast", lambda dy, x, y: dy.cdiv(x, y), MB, Input((4,), 1, 0.5, 2))
case("colwise_add", lambda dy, x, y: dy.colwise_add(x, y), M, (4,))
case("bmax", lambda dy, x, y: dy.bmax(x, y), VB, VB)
case("bmin", lambda dy, x, y: dy.bmin(x, y), M, M)
case("pow", lambda dy, x, y: dy.pow(x, y), P, Input(S, 1, 0.5, 2.0))
case("inverse", lambda dy, x: dy.inverse(x + dy.inputTensor(3 * np.eye(3))), (3, 3))
case("logdet", lambda dy, x: dy.logdet(x * dy.transpose(x) + dy.inputTensor(np.eye(3))), (3, 3))
case("circ_conv", lambda dy, x, y: dy.circ_conv(x, y), V, V)
case("circ_corr", lambda dy, x, y: dy.circ_corr(x, y), V, V)
case("contract3d_1d", lambda dy, x, y: dy.contract3d_1d(x, y), T, (4,))
case("contract3d_1d_bias", lambda dy, x, y, b: dy.contract3d_1d_bias(x, y, b), T, (4,), (2, 3))
case("contract3d_1d_1d", lambda dy, x, y, z: dy.contract3d_1d_1d(x, y, z), T, (4,), (3,))
case(
    "contract3d_1d_1d_bias",
    lambda dy, x, y, z, b: dy.contract3d_1d_1d_bias(x, y, z, b),
    *(T, (4,), (3,), (2,)),
)

# Sums and statistics.
for _name in ("esum", "average", "emax", "logsumexp"):
    case(_name, lambda dy, x, y, z, n=_name: getattr(dy, n)([x, y, z]), V, V, V)
    case(f"{_name} one", lambda dy, x, n=_name: getattr(dy, n)([x]), M)
case("esum batch", lambda dy, x, y: dy.esum([x, y]), MB, M)
case("esum scalars", lambda dy, x, y: dy.esum([x, dy.sum_elems(y)]), S, M)
for _name in ("sum_elems", "mean_elems", "std_elems", "l2_norm", "squared_norm"):
    for _i, _x in enumerate((V, M, MB)):
        case(f"{_name} {_i}", lambda dy, x, n=_name: getattr(dy, n)(x), _x)
for _name in ("sum_batches", "mean_batches", "std_batches"):
    for _i, _x in enumerate((VB, MB)):
        case(f"{_name} {_i}", lambda dy, x, n=_name: getattr(dy, n)(x), _x)
for _r in (1, 2, 3):
    case(f"moment_elems {_r}", lambda dy, x, r=_r: dy.moment_elems(x, r), MB)
    case(f"moment_batches {_r}", lambda dy, x, r=_r: dy.moment_batches(x, r), MB)
    case(f"moment_dim {_r}", lambda dy, x, r=_r: dy.moment_dim(x, [0], r, False), MB)
    case(f"moment_dim n {_r}", lambda dy, x, r=_r: dy.moment_dim(x, [1], r, False, 2), M)
    case(f"moment_dim batch {_r}", lambda dy, x, r=_r: dy.moment_dim(x, [0, 1], r, True), MB)
for _i, _d in enumerate(([0], [1], [0, 1])):
    case(f"sum_dim {_i}", lambda dy, x, d=_d: dy.sum_dim(x, d), MB)
    case(f"sum_dim batch {_i}", lambda dy, x, d=_d: dy.sum_dim(x, d, True), MB)
    case(f"mean_dim {_i}", lambda dy, x, d=_d: dy.mean_dim(x, d, False), MB)
    case(f"mean_dim n {_i}", lambda dy, x, d=_d: dy.mean_dim(x, d, False, 5), M)
    case(f"std_dim {_i}", lambda dy, x, d=_d: dy.std_dim(x, d, False), MB)
    case(f"std_dim batch {_i}", lambda dy, x, d=_d: dy.std_dim(x, d, True), MB)
case("sum_dim only batch", lambda dy, x: dy.sum_dim(x, [], True), MB)
case("sum_dim tensor", lambda dy, x: dy.sum_dim(x, [0, 2]), T)
for _d in (0, 1):
    for _i, _x in enumerate((M, MB)):
        case(f"max_dim {_d} {_i}", lambda dy, x, d=_d: dy.max_dim(x, d), _x)
        case(f"min_dim {_d} {_i}", lambda dy, x, d=_d: dy.min_dim(x, d=d), _x)
        case(f"logsumexp_dim {_d} {_i}", lambda dy, x, d=_d: dy.logsumexp_dim(x, d), _x)
        case(f"cumsum {_d} {_i}", lambda dy, x, d=_d: dy.cumsum(x, d), _x)
        case(f"softmax {_d} {_i}", lambda dy, x, d=_d: dy.softmax(x, d), _x)
case("max_dim vector", lambda dy, x: dy.max_dim(x), VB)
case("logsumexp_dim vector", lambda dy, x: dy.logsumexp_dim(x), V)
case("softmax", lambda dy, x: dy.softmax(x), VB)
case("log_softmax", lambda dy, x: dy.log_softmax(x), VB)
case("log_softmax matrix", lambda dy, x: dy.log_softmax(x), M)
case("log_softmax restrict", lambda dy, x: dy.log_softmax(x, [0, 3])[0], V)
case("sparsemax", lambda dy, x: dy.sparsemax(x), V)
case(
    "constrained_softmax",
    lambda dy, x, y: dy.constrained_softmax(x, y),
    V,
    Input((5,), 1, 0.1, 0.9),
)

# Losses.
case("pickneglogsoftmax", lambda dy, x: dy.pickneglogsoftmax(x, 2), V)
case("pickneglogsoftmax column", lambda dy, x: dy.pickneglogsoftmax(x, 2), (5, 1))
case("pickneglogsoftmax_batch", lambda dy, x: dy.pickneglogsoftmax_batch(x, [4, 0, 2]), VB)
case("hinge", lambda dy, x: dy.hinge(x, 1), V)
case("hinge margin", lambda dy, x: dy.hinge(x, 1, m=2.0), V)
case("hinge_batch", lambda dy, x: dy.hinge_batch(x, [4, 0, 2], 0.5), VB)
case("hinge_dim", lambda dy, x: dy.hinge_dim(x, [0, 3, 2]), M)
case("hinge_dim 1", lambda dy, x: dy.hinge_dim(x, [0, 2, 1, 1], d=1, m=0.7), M)
case("binary_log_loss", lambda dy, x, y: dy.binary_log_loss(x, y), U, U)
for _name in ("squared_distance", "l1_distance", "huber_distance"):
    case(_name, lambda dy, x, y, n=_name: getattr(dy, n)(x, y), V, V)
case("squared_distance batch", lambda dy, x, y: dy.squared_distance(x, y), MB, MB)
case("squared_distance repeated", lambda dy, x, y: dy.squared_distance(x, y), V, VB)
case("huber_distance c", lambda dy, x, y: dy.huber_distance(x, y, c=0.5), V, V)
case("pairwise_rank_loss", lambda dy, x, y: dy.pairwise_rank_loss(x, y), S, S)
case("pairwise_rank_loss row", lambda dy, x, y: dy.pairwise_rank_loss(x, y, 0.3), (1, 4), (1, 4))
case("poisson_loss", lambda dy, x: dy.poisson_loss(x, 3), S)

# Shape.
case("reshape", lambda dy, x: dy.reshape(x, (2, 6)), M)
case("reshape batch", lambda dy, x: dy.reshape(x, (12,)), MB)
case("reshape from batch", lambda dy, x: dy.reshape(x, (6, 6)), MB)
case("reshape to batch", lambda dy, x: dy.reshape(x, (2, 2), batch_size=3), M)
case("reshape batch to batch", lambda dy, x: dy.reshape(x, (6,), batch_size=6), MB)
case("transpose", lambda dy, x: dy.transpose(x), MB)
case("transpose vector", lambda dy, x: dy.transpose(x), V)
case("transpose row", lambda dy, x: dy.transpose(x), (1, 5))
case("transpose tensor", lambda dy, x: dy.transpose(x, [2, 0, 1]), T)
case("transpose tensor 2", lambda dy, x: dy.transpose(x, [1, 0, 2]), T)
case("concatenate", lambda dy, x, y, z: dy.concatenate([x, y, z]), V, S, (2,))
case("concatenate 1", lambda dy, x, y: dy.concatenate([x, y], d=1), V, V)
case("concatenate matrix", lambda dy, x, y: dy.concatenate([x, y]), M, (2, 3))
case("concatenate matrix 1", lambda dy, x, y: dy.concatenate([x, y], 1), M, (4, 2))
case("concatenate batch", lambda dy, x, y: dy.concatenate([x, y]), VB, (2,))
case("concatenate_cols", lambda dy, x, y: dy.concatenate_cols([x, y]), V, V)
case("concatenate_cols batch", lambda dy, x, y: dy.concatenate_cols([x, y]), V, VB)
case("concatenate_cols matrix", lambda dy, x, y: dy.concatenate_cols([x, y]), M, (4, 2))
case("concatenate_to_batch", lambda dy, x, y: dy.concatenate_to_batch([x, y, x]), V, VB)
case("pick", lambda dy, x: dy.pick(x, 2), V)
case("pick matrix", lambda dy, x: dy.pick(x, 2), MB)
case("pick dim", lambda dy, x: dy.pick(x, 2, 1), M)
case("pick tensor", lambda dy, x: dy.pick(x, 1, dim=2), T)
case("pick_batch", lambda dy, x: dy.pick_batch(x, [4, 0, 2]), VB)
case("pick_batch dim", lambda dy, x: dy.pick_batch(x, [2, 0, 1], dim=1), MB)
case("pick_range", lambda dy, x: dy.pick_range(x, 1, 4), VB)
case("pick_range dim", lambda dy, x: dy.pick_range(x, 1, 3, 1), M)
case("pickrange", lambda dy, x: dy.pickrange(x, 1, 4), V)
case("pick_batch_elem", lambda dy, x: dy.pick_batch_elem(x, 1), MB)
case("pick_batch_elems", lambda dy, x: dy.pick_batch_elems(x, [2, 0]), MB)
case("select_rows", lambda dy, x: dy.select_rows(x, [3, 1]), M)
case("select_rows vector", lambda dy, x: dy.select_rows(x, [3, 1]), V)
case("select_cols", lambda dy, x: dy.select_cols(x, [2, 0]), M)
case("strided_select", lambda dy, x: dy.strided_select(x, [2, 1], [0, 1], [4, 3]), MB)
case("strided_select batch", lambda dy, x: dy.strided_select(x, [1, 2, 2], [1], [3, 3]), MB)

# Constants.
case("zeros", lambda dy: dy.zeros((2, 3)), gradient=False)
case("zeros batch", lambda dy: dy.zeros((2,), batch_size=3), gradient=False)
case("ones", lambda dy: dy.ones(3), gradient=False)
case("constant", lambda dy: dy.constant((2, 3), 2.5), gradient=False)
case("constant batch", lambda dy: dy.constant((2,), 2.5, 3), gradient=False)
case("one_hot", lambda dy: dy.one_hot(4, 2), gradient=False)
case("scalarInput", lambda dy: dy.scalarInput(3), gradient=False)
case("inputVector", lambda dy: dy.inputVector([1, 2]), gradient=False)
case("vecInput", lambda dy: dy.vecInput(3), gradient=False)
case("inputTensor list", lambda dy: dy.inputTensor([[1, 2], [3, 4]]), gradient=False)
case("inputTensor arrays", lambda dy: dy.inputTensor([np.ones(2), np.zeros(2)]), gradient=False)
case(
    "sparse_inputTensor",
    lambda dy: dy.sparse_inputTensor([[0, 1], [0, 2]], [5.0, 6.0], (2, 3), defval=-1),
    gradient=False,
)
case(
    "sparse_inputTensor batch",
    lambda dy: dy.sparse_inputTensor(([0, 1], [0, 2], [1, 1]), [5.0, 6.0], (2, 3, 2), batched=True),
    gradient=False,
)

# Normalisation, filters, images.
case("layer_norm", lambda dy, x, g, b: dy.layer_norm(x, g, b), V, V, V)
case("layer_norm batch", lambda dy, x, g, b: dy.layer_norm(x, g, b), VB, V, V)
case("weight_norm", lambda dy, x, g: dy.weight_norm(x, g), M, S)
case("filter1d_narrow", lambda dy, x, y: dy.filter1d_narrow(x, y), (3, 6), (3, 2))
case("filter1d_narrow many", lambda dy, x, y: dy.filter1d_narrow(x, y), (3, 6), (3, 2, 4))
case("kmax_pooling", lambda dy, x: dy.kmax_pooling(x, 2), (3, 5))
case("kmax_pooling 0", lambda dy, x: dy.kmax_pooling(x, 2, 0), (5, 3))
case("kmh_ngram", lambda dy, x: dy.kmh_ngram(x, 3), (3, 5))
case("fold_rows", lambda dy, x: dy.fold_rows(x), (4, 3))
for _valid in (True, False):
    for _stride in ([1, 1], [2, 1], [2, 3]):
        _what = f"{_stride} {_valid}"
        case(
            f"conv2d {_what}",
            lambda dy, x, f, s=_stride, v=_valid: dy.conv2d(x, f, s, is_valid=v),
            *((5, 6, 2), (3, 2, 2, 4)),
        )
        case(
            f"conv2d_bias {_what}",
            lambda dy, x, f, b, s=_stride, v=_valid: dy.conv2d_bias(x, f, b, s, is_valid=v),
            *(Input((5, 6, 2), 3), (3, 2, 2, 4), (4,)),
        )
        case(
            f"maxpooling2d {_what}",
            lambda dy, x, s=_stride, v=_valid: dy.maxpooling2d(x, [2, 3], s, is_valid=v),
            Input((5, 6, 2), 2),
        )
case("maxpooling2d matrix", lambda dy, x: dy.maxpooling2d(x, [2, 2], [2, 2]), (4, 6))
case("conv2d matrix", lambda dy, x, f: dy.conv2d(x, f, [1, 1]), (4, 6), (2, 2, 1, 3))

# Cells.
case(
    "vanilla_lstm_gates_concat",
    lambda dy, x, y, h, w, u, b: dy.vanilla_lstm_gates_concat([x, y], h, w, u, b),
    *((3,), (1,), (2,), (8, 4), (8, 2), (8,)),
)
case(
    "vanilla_lstm_gates_dropout_concat",
    lambda dy, x, h, w, u, b, m, n: dy.vanilla_lstm_gates_dropout_concat([x], h, w, u, b, m, n),
    *((3,), (2,), (8, 3), (8, 2), (8,), (3,), (2,)),
)
case("vanilla_lstm_c", lambda dy, c, g: dy.vanilla_lstm_c(c, g), (2,), (8,))
case("vanilla_lstm_h", lambda dy, c, g: dy.vanilla_lstm_h(c, g), (2,), (8,))


# Random numbers, by seed: ``call(dy)`` after the stream is begun with seed 11.
RANDOM: dict[str, Callable[[Any], Any]] = {
    "random_normal": lambda dy: dy.random_normal((3, 4)),
    "random_normal scaled": lambda dy: dy.random_normal((33,), 1.0, 2.0, batch_size=3),
    "random_uniform": lambda dy: dy.random_uniform((3, 4), -3, 5),
    "random_bernoulli": lambda dy: dy.random_bernoulli((9,), 0.3, 2.0, batch_size=2),
    "random_gumbel": lambda dy: dy.random_gumbel((9,)),
    "noise": lambda dy: dy.noise(dy.ones((5, 2)), 0.5),
    "dropout": lambda dy: dy.dropout(dy.ones((5, 2), batch_size=2), 0.3),
    "dropout_dim": lambda dy: dy.dropout_dim(dy.ones((5, 4)), 1, 0.5),
    "dropout_batch": lambda dy: dy.dropout_batch(dy.ones((2,), batch_size=9), 0.5),
    "block_dropout": lambda dy: dy.block_dropout(dy.ones((2,)), 0.5),
}


def drawn(dy: Any) -> dict[str, np.ndarray]:
    """All random calls in one graph, then one of them anew, and a parameter."""
    dy.renew_cg()
    dy.reset_random_seed(11)
    nodes = {name: call(dy) for name, call in RANDOM.items()}
    dy.forward(list(nodes.values()))
    found = {name: node.npvalue() for name, node in nodes.items()}
    found["again"] = nodes["block_dropout"].npvalue(recalculate=True)
    found["after"] = nodes["random_uniform"].npvalue()
    found["parameter"] = dy.ParameterCollection().add_parameters((3, 4)).as_array()
    return found
