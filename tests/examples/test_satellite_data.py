"""examples/satellite_data.py on small scenes that overlap."""

import io
import itertools
import math
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

Load = Callable[[str], ModuleType]
SIDE = 4
SHAPES = (60, 72), (50, 66)


@pytest.fixture
def module(example: Load, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script with crops of 4 x 4."""
    module = example("satellite_data")
    monkeypatch.setattr(module, "SIDE", SIDE)
    return module


@pytest.mark.parametrize(
    "corners", [((5, 30), (0, 0)), ((0, 0), (5, 30)), ((0, 0), (0, 0)), ((40, 3), (0, 0))]
)
def test_no_land_is_in_two_splits(module: ModuleType, corners: tuple[tuple[int, int], ...]) -> None:
    """A pixel's number is that of its land, the same in both scenes."""
    ids = np.repeat(1 + np.arange(110 * 110).reshape(110, 110, 1), 3, 2)
    scenes = [
        ids[top : top + rows, left : left + columns].copy()
        for (top, left), (rows, columns) in zip(corners, SHAPES, strict=True)
    ]
    for scene in scenes:
        scene[np.add.outer(np.arange(scene.shape[0]), np.arange(scene.shape[1])) < 9] = (
            0  # an empty corner
        )
    whole = [set(scene.ravel()) - {0} for scene in scenes]
    east = [set(scene[:, 2 * scene.shape[1] // 3 :].ravel()) - {0} for scene in scenes]
    assert (whole[0] - east[0]) & east[1] or (whole[1] - east[1]) & east[
        0
    ]  # thirds by file would leak
    land = module.divide(list(zip(corners, scenes, strict=True)), np.random.default_rng(0))
    assert (
        set(np.concatenate(list(land.values())).ravel()) - {0} == whole[0] | whole[1]
    )  # nothing is lost
    places = np.concatenate([part[..., 0].ravel() for part in land.values()])
    assert np.unique(places[places > 0], return_counts=True)[1].max() == 1  # one copy
    cut = {name: module.crops(part, 40, np.random.default_rng(1)) for name, part in land.items()}
    seen = {name: set(images.ravel()) for name, images in cut.items()}
    for a, b in itertools.combinations(seen.values(), 2):
        assert not a & b
    for name, images in cut.items():
        assert len({image.tobytes() for image in images}) == 40
        rows, columns = np.divmod(images[..., 0] - 1, 110)
        assert (np.diff(rows, axis=1) == 1).all()
        assert (np.diff(columns, axis=2) == 1).all()
        assert (seen[name] <= (east[0] | east[1])) == (name == "test")
        assert (not seen[name] & (east[0] | east[1])) == (name != "test")


def test_more_crops_than_there_are(module: ModuleType) -> None:
    land = np.ones((SIDE + 2, SIDE + 1, 3), np.uint8)
    assert module.crops(land, 6, np.random.default_rng(0)).shape == (6, SIDE, SIDE, 3)
    land[0, 0] = 0
    with pytest.raises(SystemExit, match="6 crops of 4 x 4 pixels were asked for, but only 5"):
        module.crops(land, 6, np.random.default_rng(0))


def archives(folder: Path) -> list[str]:
    """40 tiles of train/, 6 of val/, each of one colour with blue 7; two scenes with bands in one
    file and in three, reflectance rising eastwards."""
    tifffile = pytest.importorskip("tifffile")
    with zipfile.ZipFile(folder / "tiles.zip", "w") as archive:
        for k in range(46):
            buffer = io.BytesIO()
            Image.fromarray(np.full((SIDE, SIDE, 3), (k, 255 - k, 7), np.uint8)).save(buffer, "png")
            archive.writestr(f"data/{'train' if k < 40 else 'val'}/{k}.png", buffer.getvalue())
    with tarfile.open(folder / "scenes.tar.gz", "w:gz") as archive:
        for name, (rows, columns) in zip("ab", SHAPES, strict=True):
            shown = np.linspace(0.02, 0.25, columns) + np.zeros((3, rows, 1))
            dn = (
                (
                    (
                        shown
                        * np.array([1.0, 0.8, 0.6])[:, None, None]
                        * math.sin(math.radians(40.0))
                        + 0.1
                    )
                    / 2e-5
                )
                .round()
                .astype(np.uint16)
            )  # blue, green, red
            dn[:, 0, :3] = 0
            dn[:, 1, 0] = 1
            files = {"RT.TIF": dn} if name == "a" else {f"RT_B{k + 2}.TIF": dn[k] for k in range(3)}
            for ending, image in files.items():
                buffer = io.BytesIO()
                tifffile.imwrite(buffer, image, photometric="minisblack")
                member = tarfile.TarInfo(f"x/LC08_{name}_2020_{ending}")
                member.size = buffer.tell()
                buffer.seek(0)
                archive.addfile(member, buffer)
    return [
        "--sentinel",
        str(folder / "tiles.zip"),
        "--landsat",
        str(folder / "scenes.tar.gz"),
        "--crops",
        "30",
        "--select",
        "10",
    ]


def test_the_whole_example(
    module: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = archives(tmp_path)
    monkeypatch.setattr(
        module,
        "SCENES",
        {"a": ((5, 30), ("RT.TIF",)), "b": ((0, 0), ("RT_B2.TIF", "RT_B3.TIF", "RT_B4.TIF"))},
    )

    def run(out: str, *more: str) -> dict[str, np.ndarray]:
        monkeypatch.setattr(
            sys, "argv", ["satellite_data.py", *words, "--out", str(tmp_path / out), *more]
        )
        module.main()
        assert sorted(path.name for path in (tmp_path / out).iterdir()) == [
            "landsat_east.npz",
            "landsat_test.npz",
            "select.npz",
            "test.npz",
            "train.npz",
        ]
        found = {}
        for name in ("train", "select", "test", "landsat_test", "landsat_east"):
            with np.load(tmp_path / out / f"{name}.npz") as file:
                found |= {f"{name}/{key}": file[key] for key in file}
        return found

    first = run("first")
    assert "train.npz: 30 tiles and 60 crops (66.7%)" in capsys.readouterr().out
    bundled = first.pop("landsat_test/images")
    assert len(bundled) == 12  # two crops for each of the six tiles
    assert {image.tobytes() for image in bundled} <= {
        image.tobytes() for image in first["test/images"]
    }
    tiles = {}
    for name, count in {"train": 30, "select": 10, "test": 6}.items():
        images = first.pop(f"{name}/images")
        assert images.shape == (3 * count, SIDE, SIDE, 3)
        assert images.dtype == np.uint8
        is_tile = (images == images[:, :1, :1]).all((1, 2, 3)) & (images[:, 0, 0, 2] == 7)
        assert is_tile.sum() == count
        assert not is_tile[:count].all()  # in random order
        assert images[~is_tile].min() > 0
        tiles[name] = set(images[is_tile, 0, 0, 0])
        first[f"{name}/images"] = images
    assert tiles["train"] | tiles["select"] == set(range(40))
    assert tiles["test"] == set(range(40, 46))
    assert set(first) == {
        "train/images",
        "select/images",
        "test/images",
        "landsat_east/a",
        "landsat_east/b",
    }
    for (name, (_, endings)), (rows, columns) in zip(module.SCENES.items(), SHAPES, strict=True):
        scene = module.reflectance(tmp_path / "scenes.tar.gz", name, endings)
        assert np.array_equal(first[f"landsat_east/{name}"], scene[:, 2 * columns // 3 :])
        expected = (
            np.linspace(0.02, 0.25, columns)[:, None] * [0.6, 0.8, 1.0] / module.BRIGHTEST * 255.0
        )  # red, green, blue
        assert np.abs(scene[2:] - np.minimum(expected, 255.0)).max() <= 0.6
        assert (scene[0, :3] == 0).all()
        assert (scene[1, 0] == 1).all()
        assert len(scene) == rows

    again, other = run("again"), run("other", "--seed", "1")
    for key, array in first.items():
        assert np.array_equal(again[key], array)
        assert np.array_equal(other[key], array) == key.startswith("landsat_east")
    words[-1] = "40"
    with pytest.raises(SystemExit):
        run("none")
    assert "--select must leave some of the 40 tiles" in capsys.readouterr().err
