"""Puts this folder on the path, where the tests share `run_edits`; gives a small run to edit."""

import sys
from pathlib import Path

import pytest
import torch

from noisewalk.storage.store import Layout, RunStore
from noisewalk.types import Info, State

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def small_run(tmp_path):
    """The folder of a run of one draw."""
    from run_edits import FACTS

    ones, flags = torch.ones(2), torch.ones(2, dtype=torch.bool)
    with RunStore.create_or_resume(tmp_path, FACTS, Layout(1, 2, (2,), (3,))) as store:
        store.put("y", torch.zeros(1, 3), ("image", "y_0"))
        state = State(torch.ones(2, 2), torch.ones(2, 3), ones, torch.ones(2, 2))
        store.append(state, Info(ones, flags, ~flags), {"n": 1, "z": ones}, {})
    return tmp_path
