"""What the examples in docstrings take as imported."""

from typing import Any

import pytest
import torch

import noisewalk


@pytest.fixture(autouse=True)
def imported(doctest_namespace: dict[str, Any]) -> None:
    """`import torch` and `import noisewalk as nw`."""
    doctest_namespace.update(nw=noisewalk, torch=torch)
