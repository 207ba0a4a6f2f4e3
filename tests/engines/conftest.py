"""Puts this folder on the path, of workers too: the tests share `units`."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def path_of_workers(monkeypatch):
    """Workers that are no children of this process import what it can import."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))
