"""Losses: each example's is one scalar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import OperandError, ShapeError
from .declare import Call, Form, Op, Operand, Sample, declare, double_bits
from .shapes import added


def _classes(name: str, x: Operand) -> int:
    if len(x.shape) != 1 or not x.shape[0]:
        raise ShapeError(
            f"{name}: expected a vector with a score for every class, got shape {x.shape}; "
            f"index or reshape it first"
        )
    return x.shape[0]


def label_batch(name: str, attrs: dict[str, Any], x: Operand) -> int | None:
    """The minibatch of a result whose labels make one: attribute ``batch``, 0 if they do not."""
    batch = attrs["batch"]
    if batch and x.batch not in (1, batch):
        raise ShapeError(
            f"{name}: expected one index or {x.batch} (the operand's minibatch), got {batch}"
        )
    return batch or None


def _log_softmax(xp: Any, x: Any) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - xp.log(added(xp, xp.exp(shifted), 1, True))


def _is_label(call: Call, x: Any) -> Any:
    """Mask (n, classes) of each row's label."""
    return call.xp.arange(x.shape[1]) == call.data[:, :1]


def _at_label(call: Call, x: Any) -> Any:
    """(n, 1): each row's number at its label."""
    return call.xp.take_along_axis(x, call.data[:, :1], axis=1)


# ------------------------------------------------------------------------ cross entropy


def _cross_entropy_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    classes = _classes("cross_entropy", x)
    return Form(
        (),
        batch=label_batch("cross_entropy", attrs, x),
        kernel="cross_entropy",
        params=(classes,),
        index_limit=classes,
        flops=15 * classes,
    )


def _cross_entropy_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    return dy[:, None] * (call.xp.exp(_log_softmax(call.xp, x)) - _is_label(call, x))


declare(
    Op(
        name="cross_entropy",
        inputs=("logits",),
        rule=_cross_entropy_rule,
        forward=lambda call, x: -_at_label(call, _log_softmax(call.xp, x))[:, 0],
        gradient=_cross_entropy_gradient,
        attrs=(("batch", "int"),),
        data=("label",),
        doc="-log softmax(logits)[label]; see ``autobatch.cross_entropy``.",
        samples=(
            Sample(((5,),), {"batch": 0}, (3,)),
            Sample(((1,),), {"batch": 0}, (0,)),
            Sample(((67,),), {"batch": 0}, (66,)),
            Sample(((5,),), {"batch": 0}, (2, 0, 4), batches=(3,)),
            Sample(((5,),), {"batch": 3}, (2, 0, 4)),
            Sample(((5,),), {"batch": 0}, (1,), low=-40.0, high=40.0),
        ),
        errors=(
            (((3, 4),), {"batch": 0}, (0,), "cross_entropy: expected a vector"),
            (((0,),), {"batch": 0}, (0,), "cross_entropy: expected a vector"),
            (((3,),), {"batch": 0}, (3,), "cross_entropy"),
            (((3,),), {"batch": 0}, (-1,), "cross_entropy"),
        ),
    )
)


def _soft_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    x, target = operands
    classes = _classes("cross_entropy", x)
    if target.shape != x.shape:
        raise ShapeError(
            f"cross_entropy: expected soft targets of the logits' shape {x.shape}, got "
            f"{target.shape}; a class is given as an int"
        )
    return Form((), kernel="cross_entropy_soft", params=(classes,), flops=17 * classes)


def _soft_forward(call: Call, x: Any, target: Any) -> Any:
    # A class without probability costs nothing, also where its logit is -inf.
    cost = call.xp.where(target == 0, 0, target * _log_softmax(call.xp, x))
    return -added(call.xp, cost, 1)


def _soft_gradient(call: Call, j: int, dy: Any, y: Any, x: Any, target: Any) -> Any:
    log_p = _log_softmax(call.xp, x)
    if j == 1:
        return -dy[:, None] * log_p
    return dy[:, None] * (call.xp.exp(log_p) * added(call.xp, target, 1, True) - target)


declare(
    Op(
        name="cross_entropy_soft",
        inputs=("logits", "target"),
        rule=_soft_rule,
        forward=_soft_forward,
        gradient=_soft_gradient,
        doc="-sum(target * log softmax(logits)); see ``autobatch.cross_entropy``.",
        samples=(
            Sample(((5,), (5,))),
            Sample(((67,), (67,))),
            Sample(((5,), (5,)), batches=(3, 3)),
            Sample(((5,), (5,)), batches=(3, 1)),
        ),
        errors=(
            (((3,), (4,)), {}, None, "cross_entropy: expected soft targets"),
            (((3, 4), (3, 4)), {}, None, "cross_entropy: expected a vector"),
        ),
        public=False,
    )
)


# -------------------------------------------------------------------------------- hinge


def _hinge_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    classes = _classes("hinge", x)
    if not attrs["margin"] >= 0:
        raise OperandError(f"hinge: expected a margin of at least 0, got {attrs['margin']}")
    return Form(
        (),
        batch=label_batch("hinge", attrs, x),
        kernel="hinge",
        params=(classes, double_bits(attrs["margin"])),
        index_limit=classes,
        flops=4 * classes,
    )


def _hinge_excess(call: Call, x: Any) -> Any:
    """(n, classes): by how much each wrong class violates the margin, else 0."""
    excess = call.attrs["margin"] - _at_label(call, x) + x
    return call.xp.where(_is_label(call, x) | (excess <= 0), 0, excess)


def _hinge_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    violated = (_hinge_excess(call, x) != 0).astype(x.dtype)
    count = violated.sum(axis=1, keepdims=True)
    return dy[:, None] * (violated - _is_label(call, x) * count)


declare(
    Op(
        name="hinge",
        inputs=("scores",),
        rule=_hinge_rule,
        forward=lambda call, x: added(call.xp, _hinge_excess(call, x), 1),
        gradient=_hinge_gradient,
        attrs=(("batch", "int"), ("margin", "float")),
        data=("label",),
        doc="sum over wrong classes j of max(0, margin - x[label] + x[j]); ``autobatch.hinge``.",
        samples=(
            Sample(((5,),), {"batch": 0, "margin": 1.0}, (3,)),
            Sample(((1,),), {"batch": 0, "margin": 1.0}, (0,)),
            Sample(((67,),), {"batch": 0, "margin": 0.5}, (66,)),
            Sample(((5,),), {"batch": 0, "margin": 1.0}, (2, 0, 4), batches=(3,)),
            Sample(((5,),), {"batch": 3, "margin": 2.0}, (2, 0, 4)),
        ),
        errors=(
            (((3, 4),), {"batch": 0, "margin": 1.0}, (0,), "hinge: expected a vector"),
            (((3,),), {"batch": 0, "margin": -1.0}, (0,), "hinge: expected a margin"),
            (((3,),), {"batch": 0, "margin": 1.0}, (3,), "hinge"),
        ),
    )
)


# ------------------------------------------------------------------------ squared error


def _squared_error_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    a, b = operands
    if a.shape != b.shape:
        raise ShapeError(
            f"squared_error: expected a prediction and a target of one shape, got {a.shape} and "
            f"{b.shape}; reshape one of them"
        )
    return Form((), kernel="squared_error", params=(a.size,), flops=3 * a.size)


def _squared_error_forward(call: Call, a: Any, b: Any) -> Any:
    square = call.xp.square(a - b)
    return _total(call.xp, square)


def _squared_error_gradient(call: Call, j: int, dy: Any, y: Any, a: Any, b: Any) -> Any:
    scale = (2 if j == 0 else -2) * dy
    return scale.reshape(dy.shape + (1,) * (a.ndim - 1)) * (a - b)


declare(
    Op(
        name="squared_error",
        inputs=("x", "target"),
        rule=_squared_error_rule,
        forward=_squared_error_forward,
        gradient=_squared_error_gradient,
        doc="""Sum of (x - target)^2 over all elements, a scalar.

Args:
    x, target: any shape, the same. Both get a gradient.

Raises:
    ShapeError: the shapes differ (they do not broadcast: a target of another shape is more
        often a mistake than meant).

Example:
    >>> import numpy as np
    >>> import autobatch as ab
    >>> ab.squared_error(np.array([1.0, 2.0]), np.array([0.0, 4.0])).item()
    5.0
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
        errors=((((3,), (4,)), {}, None, "squared_error: expected a prediction"),),
    )
)


# ------------------------------------------------------------------ absolute error, Huber


def _pair_rule(name: str, operands: Sequence[Operand]) -> Operand:
    a, b = operands
    if a.shape != b.shape:
        raise ShapeError(
            f"{name}: expected a prediction and a target of one shape, got {a.shape} and "
            f"{b.shape}; reshape one of them"
        )
    return a


def _absolute_error_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    a = _pair_rule("absolute_error", operands)
    return Form((), kernel="absolute_error", params=(a.size,), flops=2 * a.size)


def _total(xp: Any, x: Any) -> Any:
    """(n, ...) summed over all axes but the first."""
    return added(xp, x, tuple(range(1, x.ndim))) if x.ndim > 1 else x


def _per_element(dy: Any, x: Any) -> Any:
    """(n) with the axes of x."""
    return dy.reshape(dy.shape + (1,) * (x.ndim - 1))


def _absolute_error_gradient(call: Call, j: int, dy: Any, y: Any, a: Any, b: Any) -> Any:
    off = a - b if j == 0 else b - a
    return _per_element(dy, off) * call.xp.sign(off)


# Their difference is 0 nowhere: the operands' ranges are one, so at random it is not.
_PAIRS = (
    Sample(((5,), (5,))),
    Sample(((3, 4), (3, 4))),
    Sample(((), ())),
    Sample(((0,), (0,))),
    Sample(((67,), (67,))),
    Sample(((5,), (5,)), batches=(3, 3)),
    Sample(((5,), (5,)), batches=(3, 1)),
)

declare(
    Op(
        name="absolute_error",
        inputs=("x", "target"),
        rule=_absolute_error_rule,
        forward=lambda call, a, b: _total(call.xp, call.xp.abs(a - b)),
        gradient=_absolute_error_gradient,
        doc="""Sum of abs(x - target) over all elements, a scalar (the L1 distance).

The derivative where they are equal is 0.

Args:
    x, target: any shape, the same. Both get a gradient.

Raises:
    ShapeError: the shapes differ.

Example:
    >>> import numpy as np
    >>> import autobatch as ab
    >>> ab.absolute_error(np.array([1.0, 2.0]), np.array([0.0, 4.0])).item()
    3.0
""",
        samples=_PAIRS,
        errors=((((3,), (4,)), {}, None, "absolute_error: expected a prediction"),),
    )
)


def _huber_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    a = _pair_rule("huber", operands)
    if not attrs["delta"] > 0:
        raise OperandError(f"huber: expected a delta above 0, got {attrs['delta']}")
    params = (a.size, double_bits(attrs["delta"]))
    return Form((), kernel="huber", params=params, flops=5 * a.size)


def _huber_forward(call: Call, a: Any, b: Any) -> Any:
    delta, off = call.attrs["delta"], call.xp.abs(a - b)
    return _total(call.xp, call.xp.where(off > delta, delta * (off - 0.5 * delta), 0.5 * off * off))


def _huber_gradient(call: Call, j: int, dy: Any, y: Any, a: Any, b: Any) -> Any:
    off = a - b if j == 0 else b - a
    delta = call.attrs["delta"]
    return _per_element(dy, off) * call.xp.clip(off, -delta, delta)


declare(
    Op(
        name="huber",
        inputs=("x", "target"),
        rule=_huber_rule,
        forward=_huber_forward,
        gradient=_huber_gradient,
        attrs=(("delta", "float"),),
        doc="Squares of small differences, absolute values of large ones; ``autobatch.huber``.",
        samples=tuple(
            Sample(pair.shapes, {"delta": delta}, batches=pair.batches)
            for pair, delta in zip(_PAIRS, (1.0, 0.5, 1.345, 1.0, 1.345, 0.5, 2.0), strict=True)
        ),
        errors=(
            (((3,), (4,)), {"delta": 1.0}, None, "huber: expected a prediction"),
            (((3,), (3,)), {"delta": 0.0}, None, "huber: expected a delta"),
        ),
    )
)
