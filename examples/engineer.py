"""Fill clouds in a GeoTIFF of four bands, and get GeoTIFFs back with the same transform.

The script first makes the files that a remote-sensing engineer has: `scene.tif`, four bands of
16-bit digital numbers with a nodata border, and `clouds.tif`, which is nonzero under clouds. It
calls `noisewalk sample` as on the command line: three of the bands are restored as one posterior
by `satellite64`, whose own images are smaller. Then it restores a batch of five tiles, from a table
with the noise and the mask of each.

A digital number of 10,000 is the reflectance 1. The prior's images go from reflectance 0 to 0.2,
therefore `--range 0 2000`. The noise has a standard deviation of 60 numbers.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
import torch

import noisewalk as nw
from noisewalk.cli.main import main as noisewalk

LEVEL, HIGHEST, TILE, SEED = 60.0, 2000.0, 64, 11
NODATA = 0
BANDS = ("blue", "green", "red", "near infrared")
KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)  # UTM 33N, pixels are areas


def make_scene(path: Path, clouds: Path, shape: tuple[int, int], corner: float, seed: int) -> None:
    """A scene that the prior has drawn, with clouds over a third of it, and its cloud mask."""
    rng = np.random.default_rng(seed)
    phi = nw.load_prior("satellite64").map(shape=shape)
    with torch.no_grad():
        z = torch.from_numpy(rng.standard_normal((1, 3, *shape)).astype(np.float32))
        red, green, blue = HIGHEST * (phi(z)[0].numpy() + 1) / 2
    values = np.stack([blue, green, red, 1.5 * red])
    values = values + LEVEL * rng.standard_normal(values.shape)
    clear = nw.operators.CloudInpainting(0.65, (1, *shape), 8.0, seed=seed).observed.numpy()
    values[:, ~clear] = 9000.0
    stored = np.clip(values.round(), 1, 65535).astype(np.uint16)
    stored[:, :, : shape[1] // 16] = NODATA
    names = "".join(
        f'<Item name="DESCRIPTION" sample="{k}" role="description">{name}</Item>'
        for k, name in enumerate(BANDS)
    )
    tags = [
        (33550, "d", 3, (10.0, 10.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, corner, 5_000_000.0, 0.0), True),
        (34735, "H", len(KEYS), KEYS, True),
        (42112, "s", 0, f"<GDALMetadata>{names}</GDALMetadata>", True),
        (42113, "s", 0, str(NODATA), True),
    ]
    how = {"photometric": "minisblack", "planarconfig": "separate", "metadata": None}
    tifffile.imwrite(path, stored, extratags=tags, **how)
    tifffile.imwrite(clouds, (~clear).astype(np.uint8), photometric="minisblack", metadata=None)


def run(*words: object) -> None:
    """What is typed; an error ends the script."""
    sys.argv = ["noisewalk", "sample", *map(str, words)]
    try:
        noisewalk()
    except SystemExit as stop:
        if stop.code:
            raise


def restore(folder: Path, shape: tuple[int, int], more: Sequence[str]) -> None:
    """The scene, as one posterior."""
    make_scene(folder / "scene.tif", folder / "clouds.tif", shape, 600_000.0, SEED)
    run(
        folder / "scene.tif", "--bands", "3,2,1", "--prior", "satellite64",
        "--operator", "identity", "--range", 0, HIGHEST, "--sigma-y", LEVEL,
        "--missing", folder / "clouds.tif",
        "--out", folder / "restored", *more,
    )  # fmt: skip
    before, after = (
        nw.files.read_array(folder / name).georeference
        for name in ("scene.tif", "restored/mean.tif")
    )
    for code in (33550, 33922, 34735):
        if list(before.tags[code]) != list(after.tags[code]):
            raise SystemExit(f"the tag {code} is {after.tags[code]}, and was {before.tags[code]}")
    print(f"{folder}/restored/mean.tif has the transform of the scene and the bands {after.bands}")


def restore_batch(folder: Path, more: Sequence[str]) -> None:
    """Five tiles beside each other, each with its own noise and its own clouds."""
    rows = ["file,sigma_y,mask"]
    for k in range(5):
        name, clouds = f"tile{k}.tif", f"tile{k}-clouds.tif"
        corner = 600_000.0 + 10.0 * TILE * k
        make_scene(folder / name, folder / clouds, (TILE, TILE), corner, SEED + 1 + k)
        rows.append(f"{name},{LEVEL},{clouds}")
    (folder / "tiles.csv").write_text("\n".join(rows) + "\n")
    run(
        folder / "tiles.csv", "--bands", "3,2,1", "--prior", "satellite64",
        "--operator", "identity", "--range", 0, HIGHEST, "--out", folder / "tiles", *more,
    )  # fmt: skip


def main() -> None:
    """Make the files and restore them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("engineer"), help="the folder of all")
    parser.add_argument("--shape", type=int, nargs=2, default=(192, 320), help="rows and columns")
    parser.add_argument("more", nargs="*", help="after --: further options of noisewalk sample")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    restore(given.out, tuple(given.shape), given.more)
    restore_batch(given.out, given.more)


if __name__ == "__main__":
    main()
