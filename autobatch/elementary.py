"""Inverse, hyperbolic and gamma functions, and rounding: ops without attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .recording import recorder

if TYPE_CHECKING:
    from .functions import Unary

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cosh",
    "cube",
    "floor",
    "lgamma",
    "round",
    "sign",
    "sinh",
    "tan",
]

tan: Unary = recorder("tan")
asin: Unary = recorder("asin")
acos: Unary = recorder("acos")
atan: Unary = recorder("atan")
sinh: Unary = recorder("sinh")
cosh: Unary = recorder("cosh")
asinh: Unary = recorder("asinh")
acosh: Unary = recorder("acosh")
atanh: Unary = recorder("atanh")
lgamma: Unary = recorder("lgamma")
cube: Unary = recorder("cube")
round: Unary = recorder("round")
floor: Unary = recorder("floor")
ceil: Unary = recorder("ceil")
sign: Unary = recorder("sign")
