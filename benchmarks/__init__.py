"""``python -m benchmarks``: autobatch beside its rivals, in one run."""

import sys
from pathlib import Path

# The installed package is measured, not the sources beside this folder, which may be unbuilt.
_root = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _root] + [str(_root)]
