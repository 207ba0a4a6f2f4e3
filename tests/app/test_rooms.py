"""The app's folder goes with it, and old runs go after a day."""

import os
import time

import numpy as np
from PIL import Image

from noisewalk.app.rooms import EXAMPLES, example, new_room, remove_old, rooms


def test_the_folder_of_an_app_goes_with_it():
    with rooms() as root:
        assert new_room(root).is_dir()
        assert len({new_room(root).parent.name for _ in range(3)}) == 3
    assert not root.exists()


def test_folders_go_after_a_day_and_nothing_else_does(tmp_path):
    old, new, file = tmp_path / "app-old", tmp_path / "app-new", tmp_path / "app-file"
    other, link = tmp_path / "other", tmp_path / "app-link"
    for folder in (old, new, other):
        folder.mkdir()
    file.touch()
    link.symlink_to(other)
    yesterday = time.time() - 25 * 3600
    for path in (old, file, other):
        os.utime(path, (yesterday, yesterday))
    assert remove_old(tmp_path, "app-") == [old]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "app-file",
        "app-link",
        "app-new",
        "other",
    ]


def test_examples_are_pictures_of_their_priors_size(root):
    for name, (prior, _) in EXAMPLES.items():
        pixels = np.asarray(Image.open(example(root, name)))
        assert pixels.shape == ((32, 32) if prior == "fashion32" else (64, 64, 3))
    assert not list(root.glob("examples/*.part.png"))
