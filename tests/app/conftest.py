"""What the tests of the app share."""

import sys
from pathlib import Path

import pytest

from noisewalk.app.choices import Choices
from noisewalk.app.preview import Preview
from noisewalk.app.rooms import example

sys.path.insert(0, str(Path(__file__).parent))  # the tests share `tiny_runs`


@pytest.fixture
def root(tmp_path):
    """The folder of an app."""
    for name in ("runs", "examples", "uploads"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def boot(root):
    """Choices with an example of fashion32."""
    return Choices(example(root, "Ankle boot"), prior="fashion32")


@pytest.fixture
def preview():
    """Of an image of 4 x 4 pixels."""
    return Preview("data:,y", "data:,truth", -1.0, 1.0, (4, 4), "title", (), "noisewalk sample")
