"""Files that cannot be read and option values that mean nothing, each with what its line says."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 8


def make_files() -> None:
    """Good and malformed files, in the current folder."""
    rng = np.random.default_rng(0)
    good = rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    np.save("y.npy", good)
    arrays = {
        "nan": np.where(np.eye(SIDE) > 0, np.nan, good),
        "inf": np.where(np.eye(SIDE) > 0, np.inf, good),
        "all-nan": np.full((SIDE, SIDE), np.nan),
        "large": 1e6 * good,
        "wide": 300 * good,
        "empty": np.zeros((0, SIDE)),
        "line": np.zeros(SIDE),
        "deep": np.zeros((2, 2, SIDE, SIDE)),
        "complex": good + 1j,
        "words": np.full((SIDE, SIDE), "a"),
        "channel-last": np.zeros((SIDE, SIDE, 3)),
        "two-bands": np.zeros((2, SIDE, SIDE)),
        "small": np.zeros((4, 4)),
        "deep16": rng.integers(0, 4000, (SIDE, SIDE), np.uint16),
        "zeros": np.zeros((SIDE, SIDE), np.uint8),
        "ones": np.ones((SIDE, SIDE), np.uint8),
        "halves": np.full((SIDE, SIDE), 0.5),
        "levels": np.full((SIDE, SIDE), 0.1),
        "bad-levels": np.full((SIDE, SIDE), -0.1),
        "flat-psf": np.zeros((3, 3)),
        "psf": np.full((3, 3), 1 / 3),
        "psf-nan": np.full((3, 3), np.nan),
        "psf-large": np.ones((31, 31)),
    }
    for name, values in arrays.items():
        np.save(f"{name}.npy", values)
    np.savez("two.npz", a=good, b=good)
    np.savez("none.npz")
    Path("objects.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False")
    whole = Path("y.npy").read_bytes()
    Path("cut.npy").write_bytes(whole[:-20])
    Path("header.npy").write_bytes(whole[:20])
    Path("nothing.npy").write_bytes(b"")
    Path("text.npy").write_text("1 2 3")
    Path("text.png").write_text("no picture")
    Path("text.tif").write_text("no image")
    Path("text.fits").write_text("no exposure")
    Path("text.nc").write_text("no netcdf")
    Path("text.fits.gz").write_bytes(gzip.compress(b"no exposure"))
    Path("cut.fits.gz").write_bytes(gzip.compress(b"SIMPLE  =                    T")[:12])
    with zipfile.ZipFile("fake.npz", "w") as archive:
        archive.writestr("y.npy", b"no array")
    Path("y.xyz").write_text("1")
    Path("y").write_text("1")
    Path("folder.npy").mkdir()
    Path("empty.zarr").mkdir()
    picture = rng.integers(0, 256, (SIDE, SIDE, 4), np.uint8)
    Image.fromarray(picture[..., :2]).save("transparent.png")
    Image.fromarray(picture[..., :3]).save("colour.png")
    Image.fromarray(picture[..., 0]).save("mask.jpg")
    Image.fromarray(picture[..., :3]).convert("CMYK").save("cmyk.jpg")
    Path("cut.png").write_bytes(Path("colour.png").read_bytes()[:60])
    Image.fromarray(np.zeros((9000, 9000), np.uint8)).resize((900, 900)).save("huge.png")


FILES = [
    ("absent.npy", "does not exist"),
    ("y.xyz", "has the extension '.xyz'"),
    ("y", "has the extension ''"),
    ("folder.npy", "holds no file to read"),
    ("nothing.npy", "is empty (0 bytes)"),
    ("text.npy", "is not a NumPy file"),
    ("objects.npy", "cannot be read as .npy"),
    ("cut.npy", "cannot be read as .npy"),
    ("header.npy", "cannot be read as .npy"),
    ("fake.npz", "cannot be read as .npz"),
    ("none.npz", "0 arrays"),
    ("two.npz", "2 arrays (a, b)"),
    ("two.npz[c]", "none is 'c'"),
    ("y.npy[a]", "has no part 'a'"),
    ("text.png", "cannot be read as .png"),
    ("cut.png", "cannot be read as .png"),
    ("text.tif", "cannot be read as .tif"),
    ("text.fits", "cannot be read as .fits"),
    ("text.fits.gz", "cannot be read as .fits.gz"),
    ("cut.fits.gz", "cannot be read as .fits.gz"),
    ("text.nc", "cannot be read as .nc"),
    ("empty.zarr", "cannot be read as .zarr"),
    ("colour.png[1]", "has no part '1'"),
    ("transparent.png", "transparent pixels"),
    ("cmyk.jpg", "has shape (3, 8, 8)"),
    ("colour.png", "has shape (3, 8, 8)"),
    ("huge.png", "has shape (1, 900, 900)"),
    ("nan.npy", "--missing nan"),
    ("inf.npy", "infinite values"),
    ("large.npy", "--range LO HI"),
    ("deep16.npy", "of unknown range"),
    ("empty.npy", "which has no values"),
    ("line.npy", "has shape (8,)"),
    ("deep.npy", "has shape (2, 2, 8, 8)"),
    ("complex.npy", "allowed are real numbers"),
    ("words.npy", "allowed are real numbers"),
    ("channel-last.npy", "channel-last"),
    ("two-bands.npy", "choose 1 of its bands"),
    ("small.npy", "has shape (1, 4, 4)"),
]
"""A file in place of y.npy, and a part of the line that refuses it."""

VALUES = [
    ("--sigma-y 0", "above 0"),
    ("--sigma-y -1", "above 0"),
    ("--sigma-y nan", "above 0"),
    ("--sigma-y much", "is no number and no map"),
    ("--sigma-y small.npy", "has shape (1, 4, 4)"),
    ("--sigma-y bad-levels.npy", "are not positive numbers"),
    ("--range 1 0", "LO below HI"),
    ("--range 0 nan", "finite"),
    ("--range 0 1e-9", "far outside"),
    ("--range 0 one", "--range"),
    ("--band-range 0:1,0:1", "2 ranges for 1 bands"),
    ("--band-range 0-1", "LO:HI"),
    ("--range 0 1 --band-range 0:1", "give one"),
    ("--bands 0", "from 1 on"),
    ("--bands 2", "has 1 bands"),
    ("--bands one", "from 1 on"),
    ("--missing 77", "marks none of 64"),
    ("--missing nan", "marks none of 64"),
    ("--missing absent.npy", "does not exist"),
    ("--missing zeros.npy", "zero everywhere"),
    ("--missing ones.npy", "no observed entry"),
    ("--missing halves.npy", "other than 0 and 1"),
    ("--missing mask.jpg", "is a JPEG"),
    ("--missing small.npy", "has shape (1, 4, 4)"),
    ("--missing ones.npy --bits 9", "no bit 9"),
    ("--missing ones.npy --bits 1", "none of the bits 1"),
    ("--missing nan --bits 1", "give --missing FILE"),
    ("--bits 1", "give --missing FILE too"),
    ("--observed zeros.npy", "no observed entry"),
    ("--operator", "--operator"),
    ("--operator blurr", "did you mean 'blur'"),
    ("--operator avgpool:factor=0", "at least 1"),
    ("--operator avgpool:factor=3", "must divide the sides"),
    ("--operator avgpool:factor=3,edge=fold", "crop, pad"),
    ("--operator conv", "a file must be given"),
    ("--operator conv:absent.npy", "does not exist"),
    ("--operator conv:psf.npy", "normalize=true"),
    ("--operator conv:psf.npy,normalize=maybe", "true or false"),
    ("--operator conv:flat-psf.npy", "must not sum to 0"),
    ("--operator conv:psf-nan.npy", "must be finite"),
    ("--operator conv:psf-large.npy,normalize=true", "crop the kernel"),
    ("--operator conv:psf.npy,normalize=true,boundary=fold", "reflect, zero, wrap, valid"),
    ("--operator mask:small.npy", "has shape (1, 4, 4)"),
    ("--operator inpaint:keep=2", "keep"),
    ("--likelihood gauss", "unknown likelihood 'gauss'"),
    ("--likelihood poisson:gain=0", "gain"),
    ("--likelihood poisson:gain=1,read=-1", "read"),
    ("--seed -1", "seed"),
    ("--seed one", "--seed"),
    ("--window 8", "window"),
    ("--margin 8", "margin"),
    ("--variance --sigma-y nan", "above 0"),
    ("--chains 1000000000", "of memory"),
    ("--num-draws 1000000000000", "on the disk"),
    ("--kernel smc --num-particles 1000000000000", "of memory"),
    ("--microbatch 100000000000000000000", "from 1 to"),
    ("--thin 100000000000000000000000", "thin must be a whole number from 1 to"),
]
"""Options beside those of a run that is right, and a part of the line that refuses them."""
