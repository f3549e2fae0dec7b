"""The backends: compiled kernels, and the NumPy formulas on any array module.

Importing this loads the compiled one, with a word to OpenMP.
"""

from __future__ import annotations

import os

# OpenMP's threads look for the next run for milliseconds after each, on processors that others
# want: beside one busy process on two processors, runs took twice as long. There is no call to say
# that they shall sleep; the libraries of GCC and of LLVM read these variables while they are
# loaded, which is here.
_PATIENCE = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
_unset = [name for name in _PATIENCE if not {name, "OMP_WAIT_POLICY"} & os.environ.keys()]
os.environ.update({name: _PATIENCE[name] for name in _unset})
try:
    from . import _cpu  # noqa: F401
finally:
    for name in _unset:
        del os.environ[name]
