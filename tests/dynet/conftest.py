"""The cases lie beside the tests, and are also run by scripts under the wheel."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
