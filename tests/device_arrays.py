"""An array module that is as strict about its device as CuPy, without one.

Its arrays are no NumPy arrays: NumPy cannot read them, functions of this module take no
NumPy arrays (but `asarray` and `array` do), and only `asnumpy` leads back. Code that runs
on it does not mix up host and device.
"""

from __future__ import annotations

import operator
from types import SimpleNamespace
from typing import Any

import numpy as np

# CuPy has no counterpart of these.
ABSENT = {
    "bmat", "fromiter", "frompyfunc", "ix_", "matrix", "ndindex", "nditer", "piecewise",
    "recarray", "testing", "vectorize",
}  # fmt: skip


def _lower(value: Any) -> Any:
    if isinstance(value, DeviceArray):
        return value._held
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array where one of the device is expected")
    if isinstance(value, (tuple, list)):
        return type(value)(_lower(v) for v in value)
    if isinstance(value, slice):
        return value
    return value


def _lift(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return DeviceArray(np.asarray(value))
    if isinstance(value, (tuple, list)):
        return type(value)(_lift(v) for v in value)
    return value


def _wrap(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        lowered = {name: _lower(value) for name, value in kwargs.items()}
        return _lift(function(*_lower(args), **lowered))

    return call


class DeviceArray:
    """An array that only this module's functions read."""

    __array_ufunc__ = None  # NumPy arrays on the left of an operator give way, then fail

    def __init__(self, held: np.ndarray) -> None:
        self._held = held

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("implicit conversion of a device array to NumPy")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._held, name)
        return _wrap(found) if callable(found) else _lift(found) if name == "T" else found

    def __getitem__(self, key: Any) -> Any:
        return _lift(self._held[_lower(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._held[_lower(key)] = _lower(value)

    def __len__(self) -> int:
        return len(self._held)

    def __bool__(self) -> bool:
        raise TypeError("a decision on a device array waits for the device")

    __hash__ = None  # type: ignore[assignment]


def _binary(name: str) -> None:
    function = getattr(operator, name)

    def forward(self: DeviceArray, other: Any) -> Any:
        return _lift(function(self._held, _lower(other)))

    def reflected(self: DeviceArray, other: Any) -> Any:
        return _lift(function(_lower(other), self._held))

    def in_place(self: DeviceArray, other: Any) -> DeviceArray:
        self._held[...] = function(self._held, _lower(other))
        return self

    bare = name.strip("_")
    setattr(DeviceArray, f"__{bare}__", forward)
    if bare not in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(DeviceArray, f"__r{bare}__", reflected)
        setattr(DeviceArray, f"__i{bare}__", in_place)


for _name in (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor",
    "lshift", "rshift", "lt", "le", "gt", "ge", "eq", "ne",
):  # fmt: skip
    _binary(_name)


def _unary(name: str) -> None:
    function = getattr(operator, name)
    setattr(DeviceArray, f"__{name}__", lambda self: _lift(function(self._held)))


for _name in ("neg", "pos", "abs", "invert"):
    _unary(_name)


class DeviceModule:
    """What stands for the module ``cupy``."""

    def __getattr__(self, name: str) -> Any:
        if name in ABSENT:
            raise AttributeError(f"the device's module has no {name}")
        found = getattr(np, name)
        if isinstance(found, np.ufunc):
            methods = {m: _wrap(getattr(found, m)) for m in ("at", "reduce", "accumulate")}
            return _Function(found, methods)
        if isinstance(found, type) or not callable(found):
            return found
        return _wrap(found)

    linalg = SimpleNamespace(
        inv=_wrap(np.linalg.inv), slogdet=_wrap(lambda x: tuple(np.linalg.slogdet(x)))
    )

    @staticmethod
    def asarray(array: Any, dtype: Any = None) -> DeviceArray:
        return DeviceArray(np.array(getattr(array, "_held", array), dtype, order="C"))

    array = asarray

    @staticmethod
    def asnumpy(array: DeviceArray) -> np.ndarray:
        return array._held.copy()


class _Function(SimpleNamespace):
    def __init__(self, function: Any, methods: dict[str, Any]) -> None:
        super().__init__(**methods)
        self._call = _wrap(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)
