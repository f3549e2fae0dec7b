"""Windows over images, and circular products.

An image is (channels, height, width). Where windows begin is given by their size, a step
and the rows and columns of padding above and left of the image; how many there are, by the
result's shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import OperandError, ShapeError
from .declare import Call, Form, Op, Operand, Sample, declare

_WINDOW = tuple((name, "int") for name in ("kh", "kw", "sh", "sw", "top", "left", "oh", "ow"))


def _window(name: str, attrs: dict[str, Any], x: Operand) -> tuple[int, ...]:
    """The kernel's numbers, checked."""
    if len(x.shape) != 3:
        raise ShapeError(
            f"{name}: expected an image of shape (channels, height, width), got {x.shape}; "
            f"reshape a matrix to one channel"
        )
    kh, kw, sh, sw, top, left, oh, ow = (attrs[key] for key, _ in _WINDOW)
    if min(kh, kw, sh, sw) < 1:
        raise OperandError(
            f"{name}: expected windows and steps of at least 1, got windows of {kh} x {kw} and "
            f"steps of {sh} and {sw}"
        )
    if min(oh, ow) < 0 or not (0 <= top < kh and 0 <= left < kw):
        raise ShapeError(
            f"{name}: expected windows that fit into the image, got windows of {kh} x {kw} in "
            f"shape {x.shape}; use padding='same'"
        )
    return (*x.shape, kh, kw, sh, sw, top, left, oh, ow)


def _sizes(call: Call) -> tuple[int, ...]:
    return tuple(call.attrs[key] for key, _ in _WINDOW)


def _padded(call: Call, x: Any, fill: float) -> Any:
    """Images with all rows and columns that any window covers."""
    kh, kw, sh, sw, top, left, oh, ow = _sizes(call)
    _, channels, height, width = x.shape
    below = max((oh - 1) * sh + kh - top - height, 0)
    right = max((ow - 1) * sw + kw - left - width, 0)
    whole = call.xp.full(
        (len(x), channels, top + height + below, left + width + right), fill, x.dtype
    )
    whole[:, :, top : top + height, left : left + width] = x
    return whole


def _corner(call: Call, whole: Any, ky: int, kx: int) -> Any:
    """(n, channels, oh, ow): the number at one place of every window; a view."""
    _, _, sh, sw, _, _, oh, ow = _sizes(call)
    return whole[:, :, ky : ky + oh * sh : sh, kx : kx + ow * sw : sw][:, :, :oh, :ow]


# ----------------------------------------------------------------------------- unfold2d


def _unfold_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    params = _window("unfold2d", attrs, x)
    channels, _, _, kh, kw, *_, oh, ow = params
    shape = (oh * ow, channels * kh * kw)
    return Form(shape, kernel="unfold2d", params=params, flops=math.prod(shape))


def _unfold_forward(call: Call, x: Any) -> Any:
    kh, kw, _, _, _, _, oh, ow = _sizes(call)
    whole = _padded(call, x, 0)
    y = call.xp.zeros((len(x), oh, ow, x.shape[1], kh, kw), x.dtype)
    for ky in range(kh):
        for kx in range(kw):
            y[..., ky, kx] = call.xp.moveaxis(_corner(call, whole, ky, kx), 1, 3)
    return y.reshape((len(x), *call.shape))


def _unfold_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    kh, kw, _, _, top, left, oh, ow = _sizes(call)
    whole = _padded(call, call.xp.zeros(dy.shape[:1] + x.shape[1:], dy.dtype), 0)
    dy = dy.reshape((len(dy), oh, ow, x.shape[1], kh, kw))
    for ky in range(kh):
        for kx in range(kw):
            part = _corner(call, whole, ky, kx)
            part += call.xp.moveaxis(dy[..., ky, kx], 3, 1)
    return whole[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def _case(shape: tuple[int, ...], *numbers: int, batch: int = 1) -> Sample:
    attrs = {key: number for (key, _), number in zip(_WINDOW, numbers, strict=True)}
    return Sample((shape,), attrs, batches=(batch,))


_CASES = (
    _case((1, 5, 6), 2, 3, 1, 1, 0, 0, 4, 4),
    _case((2, 5, 6), 2, 3, 1, 1, 0, 1, 5, 6),
    _case((3, 5, 7), 3, 2, 2, 3, 0, 0, 2, 2),
    _case((2, 5, 6), 3, 3, 2, 2, 1, 0, 3, 3),
    _case((1, 4, 4), 1, 1, 1, 1, 0, 0, 4, 4),
    _case((1, 1, 5), 1, 3, 1, 1, 0, 0, 1, 3),
    _case((2, 5, 6), 2, 3, 1, 1, 0, 0, 0, 4),
    _case((0, 5, 6), 2, 3, 1, 1, 0, 0, 4, 4),
    _case((2, 5, 6), 2, 3, 1, 2, 0, 0, 4, 2, batch=3),
)


def _errors(name: str) -> tuple[tuple[Any, ...], ...]:
    attrs = dict(_CASES[0].attrs)
    return (
        (((5, 6),), attrs, None, f"{name}: expected an image"),
        (((1, 5, 6),), {**attrs, "sh": 0}, None, f"{name}: expected windows and steps"),
        (((1, 1, 6),), {**attrs, "oh": -1}, None, f"{name}: expected windows that fit"),
    )


declare(
    Op(
        name="unfold2d",
        inputs=("x",),
        rule=_unfold_rule,
        forward=_unfold_forward,
        gradient=_unfold_gradient,
        attrs=_WINDOW,
        doc="The windows of an image as rows of a matrix; see ``autobatch.conv2d``.",
        samples=_CASES,
        errors=_errors("unfold2d"),
        public=False,
    )
)

# --------------------------------------------------------------------------- max_pool2d


def _pool_rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
    (x,) = operands
    params = _window("max_pool2d", attrs, x)
    shape = (x.shape[0], *params[-2:])
    work = math.prod(shape) * attrs["kh"] * attrs["kw"]
    return Form(shape, kernel="max_pool2d", params=params, flops=work)


def _pool_forward(call: Call, x: Any) -> Any:
    kh, kw = _sizes(call)[:2]
    whole = _padded(call, x, -math.inf)
    y = call.xp.full((len(x), *call.shape), -math.inf, x.dtype)
    for ky in range(kh):
        for kx in range(kw):
            y = call.xp.maximum(y, _corner(call, whole, ky, kx))
    return y


def _pool_gradient(call: Call, j: int, dy: Any, y: Any, x: Any) -> Any:
    xp = call.xp
    kh, kw, _, _, top, left, _, _ = _sizes(call)
    whole = _padded(call, x, -math.inf)
    dx = xp.zeros(whole.shape, dy.dtype)
    inside = _padded(call, xp.ones(x.shape, bool), False)
    free = xp.ones(y.shape, bool)
    for ky in range(kh):
        for kx in range(kw):
            here = _corner(call, whole, ky, kx)
            wins = free & ((here == y) | xp.isnan(here)) & _corner(call, inside, ky, kx)
            free = free & ~wins
            part = _corner(call, dx, ky, kx)
            part += xp.where(wins, dy, 0)
    return dx[:, :, top : top + x.shape[2], left : left + x.shape[3]]


declare(
    Op(
        name="max_pool2d",
        inputs=("x",),
        rule=_pool_rule,
        forward=_pool_forward,
        gradient=_pool_gradient,
        attrs=_WINDOW,
        doc="The largest number of every window of an image; see ``autobatch.max_pool2d``.",
        samples=_CASES,
        errors=_errors("max_pool2d"),
    )
)

# ----------------------------------------------------------------------------- circular


def _circular(name: str, correlate: bool, doc: str) -> None:
    def rule(attrs: dict[str, Any], operands: Sequence[Operand]) -> Form:
        u, v = operands
        if len(u.shape) != 1 or u.shape != v.shape:
            raise ShapeError(
                f"{name}: expected two vectors of one length, got shapes {u.shape} and {v.shape}"
            )
        return Form(
            u.shape, kernel="circular", params=(u.size, int(correlate)), flops=2 * u.size**2
        )

    def turned(xp: Any, x: Any, backwards: bool) -> Any:
        """(n, d, d): row k is x moved by k places, reversed or not."""
        places = xp.arange(x.shape[1])
        step = places[:, None] - places if backwards else places[:, None] + places
        return x[:, step % max(x.shape[1], 1)]

    def sum_with(xp: Any, u: Any, v: Any, backwards: bool) -> Any:
        return xp.matmul(turned(xp, v, backwards), u[:, :, None])[:, :, 0]

    def gradient(call: Call, j: int, dy: Any, y: Any, u: Any, v: Any) -> Any:
        if not correlate:
            return sum_with(call.xp, v if j == 0 else u, dy, False)
        if j == 0:
            return sum_with(call.xp, dy, v, False)
        return sum_with(call.xp, u, dy, True)

    declare(
        Op(
            name=name,
            inputs=("u", "v"),
            rule=rule,
            forward=lambda call, u, v: sum_with(call.xp, u, v, not correlate),
            gradient=gradient,
            doc=doc,
            samples=(
                Sample(((5,), (5,))),
                Sample(((1,), (1,))),
                Sample(((34,), (34,))),
                Sample(((0,), (0,))),
                Sample(((5,), (5,)), batches=(3, 3)),
                Sample(((5,), (5,)), batches=(3, 1)),
            ),
            errors=(
                (((3,), (4,)), {}, None, f"{name}: expected two vectors"),
                (((3, 2), (3, 2)), {}, None, f"{name}: expected two vectors"),
            ),
        )
    )


_circular(
    "circular_convolution",
    correlate=False,
    doc="""Circular convolution: element k is the sum over i of ``u[i] * v[(k - i) % n]``.

Args:
    u, v: vectors of one length n; so is the result.

Raises:
    ShapeError: no vectors, or of different lengths.

Example:
    >>> import numpy as np
    >>> import autobatch as ab
    >>> ab.circular_convolution(np.array([1.0, 2.0, 0.0]), np.array([1.0, 0.0, 1.0])).value()
    array([3., 2., 1.], dtype=float32)
""",
)
_circular(
    "circular_correlation",
    correlate=True,
    doc="""Circular correlation: element k is the sum over i of ``u[i] * v[(i + k) % n]``.

Args:
    u, v: vectors of one length n; so is the result.

Raises:
    ShapeError: no vectors, or of different lengths.

Example:
    >>> import numpy as np
    >>> import autobatch as ab
    >>> ab.circular_correlation(np.array([1.0, 2.0, 0.0]), np.array([1.0, 0.0, 1.0])).value()
    array([1., 2., 3.], dtype=float32)
""",
)
