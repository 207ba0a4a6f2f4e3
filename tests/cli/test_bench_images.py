"""The images of a benchmark are found with their classes, and none is squashed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noisewalk.cli import bench_images
from noisewalk.cli.bench_images import files_of, pool_of
from noisewalk.errors import ConfigError
from noisewalk.priors.prior import Prior


def save(path: Path, width: int = 8, height: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path)
    return path


def test_a_folder_of_webp_is_read(tmp_path: Path) -> None:
    paths = [save(tmp_path / "0" / "1" / "b.webp"), save(tmp_path / "a.png")]
    assert files_of(tmp_path, None) == (paths, None)
    assert files_of(None, None) == ([], None)


def test_folders_of_numbers_are_classes_and_give_one_image_each_in_turn(tmp_path: Path) -> None:
    first, second = save(tmp_path / "9" / "a.png"), save(tmp_path / "9" / "b.png")
    other = save(tmp_path / "207" / "c.webp")
    assert files_of(tmp_path, "folders") == ([first, other, second], (9, 207, 9))


def test_names_of_imagenet_are_classes_where_all_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [save(tmp_path / name / "a.png") for name in ("n01440764", "n01443537", "n02099601")]
    with pytest.raises(ConfigError, match=r"'n01440764' is no class; give each .*, or a CSV"):
        files_of(tmp_path, "folders")
    monkeypatch.setattr(bench_images, "CLASSES", 3)
    assert files_of(tmp_path, "folders") == (paths, (0, 1, 2))


def test_a_table_gives_classes_and_the_order(tmp_path: Path) -> None:
    a, b = save(tmp_path / "a.png"), save(tmp_path / "b.png")
    save(tmp_path / "c.png")
    (table := tmp_path / "classes.csv").write_text("file,class\nb.png,3\na.png, 5\n\n")
    assert files_of(tmp_path, str(table)) == ([b, a], (3, 5))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no row"),
        ("a.png,3\nb.png\n", "has a row 'b.png'"),
        ("a.png,cat\nb.png,dog\n", "has a row 'b.png,dog'"),
        ("lost.png,3\n", "lost.png, which is not there"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, text: str, says: str) -> None:
    save(tmp_path / "a.png")
    (table := tmp_path / "classes.csv").write_text(text)
    with pytest.raises(ConfigError, match=says):
        files_of(tmp_path, str(table))


def test_other_sources_have_no_classes(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "a.npz").touch()
    for images in (None, tmp_path / "a.npz"):
        with pytest.raises(ConfigError, match=r"--labels is for a folder of images"):
            files_of(images, "folders")
    with pytest.raises(ConfigError, match=r"itself.* is no class"):
        files_of(tmp_path, "folders")
    with pytest.raises(ConfigError, match=r"cannot be read"):
        files_of(tmp_path, str(tmp_path / "none.csv"))


def test_a_wide_photograph_is_cut_and_not_squashed(tmp_path: Path) -> None:
    """A disc stays one: its width and its height agree."""
    y, x = np.mgrid[:64, :96]
    disc = ((y - 31.5) ** 2 + (x - 47.5) ** 2 < 20**2).astype(np.uint8) * 255
    Image.fromarray(disc).save(path := tmp_path / "disc.png")
    pool = pool_of(tmp_path, [path], Prior("any", {"shape": [1, 32, 32]}, None))
    inside = pool[0, 0] > 0
    assert tuple(pool.shape) == (1, 1, 32, 32)
    assert int(inside.any(0).sum()) == int(inside.any(1).sum()) == 20
    assert torch.equal(inside, inside.flip(1))
