"""What the tests of all dialects share; ``cuts`` and ``recordings`` stand beside it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # pytest's import mode importlib puts nothing there
