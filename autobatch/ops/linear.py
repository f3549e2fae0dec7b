"""Matrix products, affine maps and transposition.

A product with a weight runs in the matrix kernel on the packed weight, whatever the number
of rows; a product of two computed operands runs row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import OperandError, ShapeError
from .declare import Call, Form, Op, Operand, Sample, Shape, declare
from .elementwise import align, broadcast_shape
from .shapes import added, contiguous_strides, is_matrix, merge_axes


class NotWeightsError(OperandError):
    """`affine` or `linear` was given a matrix that is not a weight: compose it instead."""


def affine_params(
    inner: Sequence[int], m: int, r: int, *, bias: bool, columns: bool = False, trans: bool = False
) -> tuple[int, ...]:
    """Parameters of the kernel ``affine``; `inner` has the inner size of each pair."""
    return (len(inner), int(bias), m, r, int(columns), int(trans), *inner)


def sum_to(xp: Any, g: Any, shape: Shape) -> Any:
    """Sums `g` over the axes where `shape` is 1 and `g` is not."""
    axes = tuple(i for i, dim in enumerate(shape) if dim == 1 and g.shape[i] != 1)
    return added(xp, g, axes, True) if axes else g


# ------------------------------------------------------------------------------- matmul


def _matmul_shape(a: Shape, b: Shape) -> tuple[Shape, Shape]:
    """Shape of ``a @ b``, and the batch axes of it."""
    if not a or not b:
        raise ShapeError(
            f"matmul: expected operands with at least one axis, got shapes {a} and {b}; "
            f"multiply by a scalar with *"
        )
    k = b[0] if len(b) == 1 else b[-2]
    if a[-1] != k:
        hint = (
            "use * for the elementwise product"
            if a == b
            else "transpose an operand with ab.transpose"
        )
        raise ShapeError(
            f"matmul: expected the last axis of the left operand to equal the "
            f"{'only' if len(b) == 1 else 'second to last'} axis of the right one, got shapes "
            f"{a} and {b} ({a[-1]} against {k}); {hint}"
        )
    batch = broadcast_shape("matmul", [a[:-2], b[:-2]])
    return batch + a[-2:-1] + (b[-1:] if len(b) > 1 else ()), batch


def _batch_stride(own: Shape, common: Shape, matrix: int) -> int | None:
    """Elements from one matrix of an operand to the next; None if there is no one number."""
    size = math.prod(common)
    if math.prod(own) == 1:
        return 0
    return matrix if math.prod(own) == size else None


def _matmul_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    a, b = operands
    shape, common = _matmul_shape(a.shape, b.shape)
    m = a.shape[-2] if len(a.shape) > 1 else 1
    n = b.shape[-1] if len(b.shape) > 1 else 1
    k = a.shape[-1]
    nb = math.prod(common)
    flops = 2 * nb * m * k * n
    a_vector = a.weight and a.batch == 1 and len(a.shape) == 1 and k > 0
    b_vector = b.weight and b.batch == 1 and len(b.shape) == 1 and k > 0
    a_matrix, b_matrix = is_matrix(a), is_matrix(b)
    left = (a_matrix and not b_matrix) or (a_vector and not b.weight)
    right = (b_matrix and not a_matrix) or (b_vector and not a.weight)
    if left and len(b.shape) <= 2 and b.size:
        # n = 1: a column lies in memory as a vector does.
        params = affine_params((k,), m, n, bias=False, columns=n > 1)
        return Form(shape, kernel="affine", params=params, same=(True, False), flops=flops)
    if right and a.size:
        r = a.size // k
        params = affine_params((k,), n, r, bias=False, trans=True)
        return Form(shape, kernel="affine", params=params, same=(False, True), flops=flops)
    a_step = _batch_stride(a.shape[:-2], common, m * k)
    b_step = _batch_stride(b.shape[:-2], common, k * n)
    if a_step is None or b_step is None:
        # Two batch axes broadcast crosswise: rare, left to the formula.
        return Form(shape, flops=flops)
    params = (nb, m, k, n, a_step, k, 1, b_step, n, 1)
    return Form(shape, kernel="matmul", params=params, flops=flops)


def _as_matrices(xp: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Rows of `a` and `b` as stacks of matrices with the same number of axes."""
    a = a[:, None, :] if a.ndim == 2 else a
    b = b[:, :, None] if b.ndim == 2 else b
    ndim = max(a.ndim, b.ndim) - 1
    return align(xp, a, ndim), align(xp, b, ndim)


def _matmul_forward(call: Call, a: Any, b: Any) -> Any:
    left, right = _as_matrices(call.xp, a, b)
    y = call.xp.matmul(left, right)
    return y.reshape(y.shape[:1] + tuple(call.shape))


def _matmul_gradient(call: Call, j: int, dy: Any, y: Any, a: Any, b: Any) -> Any:
    xp = call.xp
    left, right = _as_matrices(xp, a, b)
    batch = tuple(
        max(p, q) if p and q else 0
        for p, q in zip(left.shape[1:-2], right.shape[1:-2], strict=True)
    )
    dy = dy.reshape(dy.shape[:1] + batch + (left.shape[-2], right.shape[-1]))
    if j == 0:
        g = sum_to(xp, xp.matmul(dy, xp.swapaxes(right, -1, -2)), left.shape)
        return g.reshape(a.shape)
    g = sum_to(xp, xp.matmul(xp.swapaxes(left, -1, -2), dy), right.shape)
    return g.reshape(b.shape)


def _weighted(*cases: tuple[Shape, Shape]) -> tuple[Sample, ...]:
    return tuple(Sample(shapes, weights=(True, False)) for shapes in cases)


declare(
    Op(
        name="matmul",
        inputs=("a", "b"),
        rule=_matmul_rule,
        forward=_matmul_forward,
        gradient=_matmul_gradient,
        reads_weights=True,
        doc="""Matrix product, the operator ``@``, with NumPy's rules.

Two vectors give their inner product; a matrix and a vector, in either order, a vector; two
matrices a matrix; arrays of more axes are stacks of matrices, whose leading axes broadcast.

A product with a weight (a parameter, or something computed from parameters only) batches
with all other products with that weight; its gradient is computed once per backward pass.

Args:
    a: (k,), (m, k) or (..., m, k).
    b: (k,), (k, n) or (..., k, n).

Raises:
    ShapeError: the inner sizes differ, or an operand is a scalar.

Example:
    >>> import numpy as np
    >>> import autobatch as ab
    >>> x = ab.input(np.array([1.0, 2.0]))
    >>> ab.matmul(np.array([[1.0, 0.0], [1.0, 1.0]]), x).value()
    array([1., 3.], dtype=float32)
""",
        samples=(
            Sample(((4, 3), (3,))),
            Sample(((4, 3), (3, 2))),
            Sample(((3,), (3, 2))),
            Sample(((3,), (3,))),
            Sample(((2, 4, 3), (2, 3, 5))),
            Sample(((2, 4, 3), (3, 5))),
            Sample(((4, 3), (2, 3, 5))),
            Sample(((2, 1, 4, 3), (1, 5, 3, 2))),
            Sample(((2, 4, 3), (3,))),
            Sample(((4, 0), (0, 2))),
            Sample(((0, 3), (3, 2))),
            Sample(((4, 3), (3,)), batches=(3, 3)),
            Sample(((4, 3), (3,)), batches=(1, 3)),
            Sample(((3,), (3, 2)), batches=(3, 1)),
            *_weighted(((4, 3), (3,)), ((40, 33), (33,)), ((4, 3), (3, 2)), ((4, 3), (3, 1))),
            *_weighted(((3,), (3,)), ((3,), (3, 2)), ((4, 3), (2, 3, 2))),
            Sample(((3,), (3, 4)), weights=(False, True)),
            Sample(((5, 3), (3, 4)), weights=(False, True)),
            Sample(((2, 5, 3), (3, 4)), weights=(False, True)),
            Sample(((5, 3), (3,)), weights=(False, True)),
            Sample(((4, 3), (3, 5)), weights=(True, True)),
            Sample(((4, 3), (3,)), weights=(True, True)),
            Sample(((4, 3), (3,)), batches=(1, 5), weights=(True, False)),
            Sample(((3,), (3, 4)), batches=(5, 1), weights=(False, True)),
            Sample(((4, 3), (3, 2)), batches=(1, 5), weights=(True, False)),
        ),
        errors=(
            (((4, 3), (4,)), {}, None, "matmul: expected the last axis"),
            (((4, 3), (4, 3)), {}, None, "use * for the elementwise product"),
            (((), (3,)), {}, None, "multiply by a scalar with *"),
            (((2, 4, 3), (3, 3, 5)), {}, None, "matmul: expected shapes that broadcast"),
        ),
    )
)


# ------------------------------------------------------------------------------- affine


def _split_pairs(
    op: str, operands: Sequence[Operand]
) -> tuple[Operand | None, list[tuple[Operand, Operand]]]:
    """The bias (if their number is odd) and the pairs (W, x)."""
    if len(operands) < 2:
        raise OperandError(
            f"{op}: expected [bias,] W1, x1, W2, x2, ..., got {len(operands)} operands"
        )
    if len(operands) > 64:  # the most for which a form says whether they are the same
        raise OperandError(
            f"{op}: expected at most 64 operands, got {len(operands)}; add two results"
        )
    bias = operands[0] if len(operands) % 2 else None
    rest = operands[len(operands) % 2 :]
    pairs = list(zip(rest[::2], rest[1::2], strict=True))
    return bias, pairs


def _pairs(
    op: str, operands: Sequence[Operand]
) -> tuple[Operand | None, list[tuple[Operand, Operand]]]:
    """As `_split_pairs`, with matrices of (m, k)."""
    bias, pairs = _split_pairs(op, operands)
    for i, (w, _) in enumerate(pairs, 1):
        if len(w.shape) != 2:
            raise ShapeError(
                f"{op}: expected W{i} to be a matrix (m, k), got shape {w.shape}; the order of "
                f"the operands is bias, W1, x1, W2, x2, ..."
            )
        if w.shape[0] != pairs[0][0].shape[0]:
            raise ShapeError(
                f"{op}: expected all matrices to have {pairs[0][0].shape[0]} rows as W1 has, "
                f"got W{i} of shape {w.shape}"
            )
    return bias, pairs


def _bias_check(op: str, bias: Operand | None, expected: Shape, hint: str) -> None:
    if bias is not None and bias.shape != expected:
        raise ShapeError(f"{op}: expected a bias of shape {expected}, got {bias.shape}; {hint}")


def _check_weights(op: str, pairs: Sequence[tuple[Operand, Operand]]) -> None:
    if not all(is_matrix(w) for w, _ in pairs):
        raise NotWeightsError(f"{op}: expected W to be a parameter, or computed from parameters")


def _same(bias: Operand | None, pairs: Sequence[Any]) -> tuple[bool, ...]:
    return (False,) * (bias is not None) + (True, False) * len(pairs)


def _affine_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    bias, pairs = _pairs("affine", operands)
    m = pairs[0][0].shape[0]
    first = pairs[0][1].shape
    for i, (w, x) in enumerate(pairs, 1):
        if len(x.shape) not in (1, 2) or x.shape[0] != w.shape[1] or x.shape[1:] != first[1:]:
            raise ShapeError(
                f"affine: expected x{i} of shape ({w.shape[1]},"
                f"{'' if not first[1:] else f' {first[1]}'}) for W{i} of shape {w.shape}, got "
                f"{x.shape}; for rows of inputs, (r, k), use ab.linear"
            )
    if len(first) == 1:
        _bias_check("affine", bias, (m,), "it is added to W @ x")
    else:
        _bias_check("affine", bias, (m, 1), "use b[:, None] to add it to every column")
    _check_weights("affine", pairs)
    r = first[1] if len(first) == 2 else 1
    inner = tuple(w.shape[1] for w, _ in pairs)
    return Form(
        (m, *first[1:]),
        kernel="affine",
        params=affine_params(inner, m, r, bias=bias is not None, columns=r != 1),
        same=_same(bias, pairs),
        flops=2 * m * r * sum(inner),
    )


def _affine_forward(call: Call, *xs: Any) -> Any:
    odd = len(xs) % 2
    y: Any = xs[0] if odd else 0
    for w, x in zip(xs[odd::2], xs[odd + 1 :: 2], strict=True):
        product = call.xp.matmul(w, x if x.ndim == 3 else x[:, :, None])
        y = y + product.reshape(product.shape[:1] + tuple(call.shape))
    return y


def _affine_gradient(call: Call, j: int, dy: Any, y: Any, *xs: Any) -> Any:
    xp, odd = call.xp, len(xs) % 2
    if odd and j == 0:
        return sum_to(xp, dy, xs[0].shape)
    columns = dy if dy.ndim == 3 else dy[:, :, None]
    if (j - odd) % 2 == 0:
        x = xs[j + 1] if xs[j + 1].ndim == 3 else xs[j + 1][:, :, None]
        return sum_to(xp, xp.matmul(columns, xp.swapaxes(x, 1, 2)), xs[j].shape)
    return xp.matmul(xp.swapaxes(xs[j - 1], 1, 2), columns).reshape(dy.shape[:1] + xs[j].shape[1:])


_AFFINE = (False, True, False)

declare(
    Op(
        name="affine",
        inputs=("*operands",),
        rule=_affine_rule,
        forward=_affine_forward,
        gradient=_affine_gradient,
        reads_weights=True,
        doc="bias + W1 @ x1 + W2 @ x2 + ... in one kernel; see ``autobatch.affine``.",
        samples=(
            Sample(((4,), (4, 3), (3,)), weights=(True, True, False)),
            Sample(((4,), (4, 3), (3,)), weights=_AFFINE),
            Sample(((4, 3), (3,)), weights=(True, False)),
            Sample(
                ((40,), (40, 33), (33,), (40, 17), (17,)), weights=(True, True, False, True, False)
            ),
            Sample(((4, 1), (4, 3), (3, 5)), weights=(True, True, False)),
            Sample(((4, 1), (4, 3), (3, 1)), weights=(True, True, False)),
            Sample(((4, 3), (3, 5), (4, 2), (2, 5)), weights=(True, False, True, False)),
            Sample(((4,), (4, 3), (3,)), batches=(1, 1, 5), weights=(True, True, False)),
            Sample(
                ((4,), (4, 3), (3,), (4, 2), (2,)),
                batches=(1, 1, 5, 1, 1),
                weights=(True, True, False, True, False),
            ),
        ),
        errors=(
            (((4,),), {}, None, "affine: expected [bias,] W1, x1"),
            (((4,), (3,), (3,)), {}, None, "affine: expected W1 to be a matrix"),
            (((4,), (4, 3), (4,)), {}, None, "affine: expected x1 of shape (3,)"),
            (((3,), (4, 3), (3,)), {}, None, "affine: expected a bias of shape (4,)"),
            (((4,), (4, 3), (3, 2)), {}, None, "affine: expected a bias of shape (4, 1)"),
            (((4, 3), (3,), (5, 2), (2,)), {}, None, "affine: expected all matrices"),
        ),
    )
)


# ------------------------------------------------------------------------------- linear


def _linear_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    bias, pairs = _pairs("linear", operands)
    m = pairs[0][0].shape[0]
    lead = pairs[0][1].shape[:-1]
    for i, (w, x) in enumerate(pairs, 1):
        if not x.shape or x.shape[-1] != w.shape[1] or x.shape[:-1] != lead:
            raise ShapeError(
                f"linear: expected x{i} of shape {(*lead, w.shape[1])} for W{i} of shape "
                f"{w.shape}, got {x.shape}; W has a row for every output"
            )
    _bias_check("linear", bias, (m,), "it has a number for every output")
    _check_weights("linear", pairs)
    r = math.prod(lead)
    inner = tuple(w.shape[1] for w, _ in pairs)
    return Form(
        (*lead, m),
        kernel="affine",
        params=affine_params(inner, m, r, bias=bias is not None),
        same=_same(bias, pairs),
        flops=2 * m * r * sum(inner),
    )


def _rows(x: Any) -> Any:
    """(n, ..., k) as (n, r, k)."""
    return x.reshape((x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1]))


def _linear_forward(call: Call, *xs: Any) -> Any:
    xp, odd = call.xp, len(xs) % 2
    y: Any = xs[0][:, None, :] if odd else 0
    for w, x in zip(xs[odd::2], xs[odd + 1 :: 2], strict=True):
        y = y + xp.matmul(_rows(x), xp.swapaxes(w, 1, 2))
    return y.reshape(y.shape[:1] + tuple(call.shape))


def _linear_gradient(call: Call, j: int, dy: Any, y: Any, *xs: Any) -> Any:
    xp, odd = call.xp, len(xs) % 2
    dy = _rows(dy)
    if odd and j == 0:
        return sum_to(xp, added(xp, dy, 1), xs[0].shape)
    if (j - odd) % 2 == 0:
        return sum_to(xp, xp.matmul(xp.swapaxes(dy, 1, 2), _rows(xs[j + 1])), xs[j].shape)
    return xp.matmul(dy, xs[j - 1]).reshape(dy.shape[:1] + xs[j].shape[1:])


declare(
    Op(
        name="linear",
        inputs=("*operands",),
        rule=_linear_rule,
        forward=_linear_forward,
        gradient=_linear_gradient,
        reads_weights=True,
        doc="bias + x1 @ W1.T + x2 @ W2.T + ... in one kernel; see ``autobatch.linear``.",
        samples=(
            Sample(((4,), (4, 3), (5, 3)), weights=(True, True, False)),
            Sample(((4,), (4, 3), (2, 5, 3)), weights=(True, True, False)),
            Sample(((4, 3), (5, 3)), weights=(True, False)),
            Sample(((4, 3), (0, 3)), weights=(True, False)),
            Sample(
                ((4,), (4, 3), (5, 3), (4, 2), (5, 2)), weights=(True, True, False, True, False)
            ),
            Sample(((4,), (4, 3), (5, 3)), batches=(1, 1, 3), weights=(True, True, False)),
        ),
        errors=(
            (((4,), (4, 3), (5, 4)), {}, None, "linear: expected x1 of shape (5, 3)"),
            (((3,), (4, 3), (5, 3)), {}, None, "linear: expected a bias of shape (4,)"),
        ),
    )
)


# ------------------------------------------------------------------- affine, transposed


def _affine_transposed_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    name = "affine_transposed"
    bias, pairs = _split_pairs(name, operands)
    for i, (w, _) in enumerate(pairs, 1):
        if len(w.shape) != 2 or w.shape[1] != pairs[0][0].shape[-1]:
            raise ShapeError(
                f"{name}: expected W{i} to be a matrix (k{i}, m) with as many columns as W1, got "
                f"shapes {pairs[0][0].shape} and {w.shape}; the order of the operands is bias, W1, "
                f"x1, W2, x2, ..."
            )
    m = pairs[0][0].shape[1]
    lead = pairs[0][1].shape[:-1]
    for i, (w, x) in enumerate(pairs, 1):
        if not x.shape or x.shape[-1] != w.shape[0] or x.shape[:-1] != lead:
            raise ShapeError(
                f"{name}: expected x{i} of shape {(*lead, w.shape[0])} for W{i} of shape "
                f"{w.shape}, got {x.shape}"
            )
    _bias_check(name, bias, (m,), "it has a number for every output")
    _check_weights(name, pairs)
    r = math.prod(lead)
    inner = tuple(w.shape[0] for w, _ in pairs)
    # Layout 2 of the kernel: as `affine`, with stored weights (k, m).
    params = (len(inner), int(bias is not None), m, r, 0, 2, *inner)
    return Form(
        (*lead, m),
        kernel="affine",
        params=params,
        same=_same(bias, pairs),
        flops=2 * m * r * sum(inner),
    )


def _affine_transposed_forward(call: Call, *xs: Any) -> Any:
    xp, odd = call.xp, len(xs) % 2
    y: Any = xs[0][:, None, :] if odd else 0
    for w, x in zip(xs[odd::2], xs[odd + 1 :: 2], strict=True):
        y = y + xp.matmul(_rows(x), w)
    return y.reshape(y.shape[:1] + tuple(call.shape))


def _affine_transposed_gradient(call: Call, j: int, dy: Any, y: Any, *xs: Any) -> Any:
    xp, odd = call.xp, len(xs) % 2
    dy = _rows(dy)
    if odd and j == 0:
        return sum_to(xp, added(xp, dy, 1), xs[0].shape)
    if (j - odd) % 2 == 0:
        return sum_to(xp, xp.matmul(xp.swapaxes(_rows(xs[j + 1]), 1, 2), dy), xs[j].shape)
    return xp.matmul(dy, xp.swapaxes(xs[j - 1], 1, 2)).reshape(dy.shape[:1] + xs[j].shape[1:])


declare(
    Op(
        name="affine_transposed",
        inputs=("*operands",),
        rule=_affine_transposed_rule,
        forward=_affine_transposed_forward,
        gradient=_affine_transposed_gradient,
        reads_weights=True,
        doc="bias + W1.T @ x1 + W2.T @ x2 + ... in one kernel; ``autobatch.affine_transposed``.",
        samples=(
            Sample(((4,), (3, 4), (3,)), weights=(True, True, False)),
            Sample(((4,), (3, 4), (3,)), weights=_AFFINE),
            Sample(((3, 4), (3,)), weights=(True, False)),
            Sample(
                ((40,), (33, 40), (33,), (17, 40), (17,)), weights=(True, True, False, True, False)
            ),
            Sample(((4,), (3, 4), (5, 3)), weights=(True, True, False)),
            Sample(((4,), (3, 4), (2, 5, 3)), weights=(True, True, False)),
            Sample(((3, 4), (5, 3), (2, 4), (5, 2)), weights=(True, False, True, False)),
            Sample(((4,), (3, 4), (3,)), batches=(1, 1, 5), weights=(True, True, False)),
            Sample(
                ((4,), (3, 4), (3,), (2, 4), (2,)),
                batches=(1, 1, 5, 1, 1),
                weights=(True, True, False, True, False),
            ),
        ),
        errors=(
            (((4,),), {}, None, "affine_transposed: expected [bias,] W1, x1"),
            (((4,), (3,), (3,)), {}, None, "affine_transposed: expected W1 to be a matrix"),
            (((4,), (3, 4), (4,)), {}, None, "affine_transposed: expected x1 of shape (3,)"),
            (((3,), (3, 4), (3,)), {}, None, "affine_transposed: expected a bias of shape (4,)"),
            (((3, 4), (3,), (2, 5), (2,)), {}, None, "affine_transposed: expected W2"),
        ),
    )
)


# -------------------------------------------------------------------------- dot, transpose


def _dot_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    a, b = operands
    if a.shape != b.shape:
        raise ShapeError(
            f"dot: expected operands of one shape, got {a.shape} and {b.shape}; the matrix "
            f"product is @"
        )
    return Form((), kernel="dot", params=(a.size,), flops=2 * a.size)


def _per_row(x: Any, like: Any) -> Any:
    """(n,) shaped to multiply rows `like`."""
    return x.reshape(x.shape + (1,) * (like.ndim - 1))


declare(
    Op(
        name="dot",
        inputs=("a", "b"),
        rule=_dot_rule,
        forward=lambda call, a, b: (
            added(call.xp, (a * b).reshape((a.shape[0], -1)), 1)
            if a.size
            else call.xp.zeros(a.shape[:1], a.dtype)
        ),
        gradient=lambda call, j, dy, y, a, b: _per_row(dy, a) * (b if j == 0 else a),
        doc="""Sum of the elementwise product of two operands of one shape, a scalar.

Args:
    a, b: any shape, the same.

Raises:
    ShapeError: the shapes differ.

Example:
    >>> import numpy as np
    >>> import autobatch as ab
    >>> ab.dot(np.array([1.0, 2.0]), np.array([3.0, 4.0])).item()
    11.0
""",
        samples=(
            Sample(((5,), (5,))),
            Sample(((3, 4), (3, 4))),
            Sample(((), ())),
            Sample(((0,), (0,))),
            Sample(((67,), (67,))),
            Sample(((5,), (5,)), batches=(3, 3)),
            Sample(((5,), (5,)), batches=(3, 1)),
        ),
        errors=((((3,), (4,)), {}, None, "dot: expected operands of one shape"),),
    )
)


def strided_form(x: Operand, shape: Shape, strides: Sequence[int], offset: int) -> Form:
    """The form of a result that walks over its operand with strides.

    It is a view where the walk is contiguous, a strided copy elsewhere.
    """
    dims, steps = merge_axes(shape, strides)
    if len(dims) == 1 and (steps == (1,) or dims[0] <= 1):
        return Form(shape, view=(offset, 0))
    params = (len(dims), *dims, *steps, offset, x.size)
    return Form(shape, kernel="copy_strided", params=params)


def _transpose_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    axes = attrs["axes"]
    if sorted(axes) != list(range(len(x.shape))):
        raise ShapeError(
            f"transpose: expected axes to be a permutation of the {len(x.shape)} axes of shape "
            f"{x.shape}, got {axes}"
        )
    strides = contiguous_strides(x.shape)
    return strided_form(x, tuple(x.shape[a] for a in axes), [strides[a] for a in axes], 0)


def _transpose_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    axes = call.attrs["axes"]
    inverse = sorted(range(len(axes)), key=lambda i: axes[i])
    return call.xp.transpose(dy, (0, *(i + 1 for i in inverse)))


declare(
    Op(
        name="transpose",
        inputs=("x",),
        rule=_transpose_rule,
        forward=lambda call, x: call.xp.transpose(x, (0, *(a + 1 for a in call.attrs["axes"]))),
        gradient=_transpose_gradient,
        attrs=(("axes", "ints"),),
        doc="Permutes the axes; see ``autobatch.transpose``.",
        samples=(
            Sample(((3, 4),), {"axes": (1, 0)}),
            Sample(((2, 3, 4),), {"axes": (2, 0, 1)}),
            Sample(((2, 3, 4),), {"axes": (0, 2, 1)}),
            Sample(((2, 3, 4),), {"axes": (1, 2, 0)}),
            Sample(((5,),), {"axes": (0,)}),
            Sample(((1, 4),), {"axes": (1, 0)}),
            Sample(((0, 4),), {"axes": (1, 0)}),
            Sample(((3, 4),), {"axes": (1, 0)}, batches=(3,)),
        ),
        errors=(
            (((3, 4),), {"axes": (0, 0)}, None, "transpose: expected axes to be a permutation"),
            (((3, 4),), {"axes": (0,)}, None, "transpose: expected axes to be a permutation"),
        ),
    )
)
