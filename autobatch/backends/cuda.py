"""Runs plans on a GPU, by the ops' formulas on CuPy arrays. The only importer of CuPy."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from ..errors import ConfigurationError
from .formula import FormulaBackend


def load_cupy() -> Any:
    """The module ``cupy``, once it is known to reach a GPU.

    Raises:
        ConfigurationError: CuPy is not installed, or there is no usable GPU.
    """
    try:
        import cupy
    except ImportError as error:
        raise ConfigurationError(
            f"the backend 'cuda' needs CuPy, which cannot be imported ({error}); "
            "`pip install autobatch[cuda]` installs it, or go on with use('cpu')"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's own kinds: no driver, too old a driver, no device
        raise ConfigurationError(
            f"the backend 'cuda' finds no usable GPU ({error}); check the driver with "
            "`nvidia-smi`, install the CuPy that fits it (`pip install autobatch[cuda]` "
            "is for CUDA 12), or go on with use('cpu')"
        ) from error
    if count == 0:
        raise ConfigurationError("the backend 'cuda' finds no GPU; go on with use('cpu')")
    return cupy


class CudaBackend(FormulaBackend):
    """`FormulaBackend` on CuPy arrays; parameters and trainers stay on the host.

    A parameter is copied to the device once per change of its numbers.

    Raises:
        ConfigurationError: CuPy is not installed, or there is no usable GPU.
    """

    name = "cuda"

    def __init__(self) -> None:
        super().__init__(load_cupy())
        self._copies: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def host(self, array: Any) -> np.ndarray:
        """A NumPy array of the same content; waits for the device."""
        return self.xp.asnumpy(array)

    def parameter(self, parameter: Any, dtype: np.dtype) -> Any:
        version, copy = self._copies.get(parameter, (None, None))
        if version != parameter._version or copy.dtype != dtype:
            copy = self.xp.asarray(parameter._data, dtype).reshape(-1)
            self._copies[parameter] = parameter._version, copy
        return copy
