"""Puts this folder on the path: the tests share its modules that are no tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
