"""Files into arrays: exact values for every format, one clear error for everything else."""

import gzip
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from file_samples import FLOATS, INTS, check_exact, example, fits, npy, png, tifffile, written
from PIL import Image

from noisewalk.errors import ConfigError, MissingExtraError
from noisewalk.files.arrays import read_array


def test_numpy_files_come_back_exactly(tmp_path: Path) -> None:
    for dtype in ("bool", *INTS, "int64", "uint64", "float16", *FLOATS):
        values = example(dtype)
        check_exact(npy(tmp_path / "a.npy", values), values)
        np.savez(tmp_path / "a.npz", anything=values)
        check_exact(tmp_path / "a.npz", values)


def test_big_endian_numpy_files_become_native(tmp_path: Path) -> None:
    values = example("float32")
    check_exact(npy(tmp_path / "a.npy", values.astype(">f4")), values)


def test_npz_gives_y_among_several_and_else_lists_the_names(tmp_path: Path) -> None:
    y = example("float32")
    np.savez(tmp_path / "a.npz", y=y, truth=2 * y)
    check_exact(tmp_path / "a.npz", y)
    np.savez(tmp_path / "b.npz", first=y, second=y)
    with pytest.raises(ConfigError, match="first, second"):
        read_array(tmp_path / "b.npz")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".npy", ".npz", ".fits"])
def test_damaged_files_are_one_clear_error(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, suffix)
    whole = path.read_bytes()
    length = {".fits": 2880 + 24 * 24}.get(suffix, len(whole))  # the rest of a FITS file is padding
    for keep in (1, 8, 30, 200, length // 2, length - 30):
        path.write_bytes(whole[:keep])
        with pytest.raises(ConfigError, match=r"a\.") as caught:
            read_array(path)
        assert "\n" not in str(caught.value)
    for rubbish in (b"not an image at all " * 20, bytes(500)):
        path.write_bytes(rubbish)
        with pytest.raises(ConfigError, match=r"a\."):
            read_array(path)
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="is empty"):
        read_array(path)
    assert not [r for r in caplog.records if r.levelname == "ERROR"]
    assert capfd.readouterr().err == ""


def test_parts_that_are_missing_altogether_are_noticed(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", example("uint8", (64, 64)), photometric="minisblack", tile=(16, 16)
    )
    (tmp_path / "a.tif").write_bytes(
        (tmp_path / "a.tif").read_bytes()[: -2 * 16 * 16]
    )  # tifffile fills absent tiles with zeros
    with pytest.raises(ConfigError, match="truncated"):
        read_array(tmp_path / "a.tif")
    fits.HDUList([fits.PrimaryHDU(example("uint8")), fits.ImageHDU(example("uint8"))]).writeto(
        tmp_path / "a.fits"
    )
    (tmp_path / "a.fits").write_bytes(
        (tmp_path / "a.fits").read_bytes()[: 2 * 2880 + 200]
    )  # astropy leaves the second image out
    with pytest.raises(ConfigError, match="damaged"):
        read_array(tmp_path / "a.fits")


def test_the_decoders_own_error_is_chained(tmp_path: Path) -> None:
    path = written(tmp_path, ".png")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ConfigError) as caught:
        read_array(path)
    assert isinstance(caught.value.__cause__, OSError)


def test_what_is_not_a_readable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    (tmp_path / "b.png").write_bytes(b"x")
    (tmp_path / "pickle.npy").write_bytes(b"\x80\x04]\x94.")
    for name, message in {
        "absent.png": "does not exist",
        "folder.png": "is a folder",
        "a.gif": r"'\.gif'; allowed are \.png",
        "b.png/c.png": "cannot be opened",
        "nul\0.png": "cannot be opened",
        "pickle.npy": "never loaded",
    }.items():
        with pytest.raises(ConfigError, match=message):
            read_array(tmp_path / name)


def test_objects_complex_text_and_empty_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ConfigError, match="allow_pickle=False"):
        read_array(tmp_path / "o.npy")
    for values, message in (([1j], "complex128"), (["a"], "<U1"), (np.zeros((0, 3)), "no values")):
        with pytest.raises(ConfigError, match=message):
            read_array(npy(tmp_path / "a.npy", values))


def test_transparency_is_refused(tmp_path: Path) -> None:
    rgba = example("uint8", (5, 7, 4))
    deep = example("uint16", (5, 7))
    paths = [
        png(tmp_path / "rgba.png", rgba),
        png(tmp_path / "la.png", rgba[..., 2:]),
        png(
            tmp_path / "key.png", rgba[..., :3], transparency=tuple(int(v) for v in rgba[2, 3, :3])
        ),
        png(tmp_path / "deep.png", deep, transparency=int(deep[2, 3])),
        tmp_path / "rgba.tif",
    ]
    tifffile.imwrite(paths[-1], rgba, photometric="rgb", extrasamples=["unassalpha"])
    for path in paths:
        with pytest.raises(ConfigError, match="transparent"):
            read_array(path)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_what_a_decoder_would_change_in_silence_is_refused(tmp_path: Path) -> None:
    deep = (
        chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(13)))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + deep)
    Image.new("CMYK", (8, 8)).save(tmp_path / "cmyk.jpg")
    grey = example("uint8", (5, 7))
    tifffile.imwrite(
        tmp_path / "turned.tif", grey, photometric="minisblack", extratags=[(274, 3, 1, 6, True)]
    )
    tifffile.imwrite(
        tmp_path / "stack.tif", example("uint8", (2, 3, 5, 7)), photometric="minisblack"
    )
    tifffile.imwrite(tmp_path / "cmyk.tif", example("uint8", (5, 7, 4)), photometric="separated")
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        file.write(grey, photometric="minisblack")
        file.write(grey[:3], photometric="minisblack")
    fits.HDUList([fits.PrimaryHDU(grey), fits.ImageHDU(grey, name="ERR")]).writeto(
        tmp_path / "two.fits"
    )
    fits.PrimaryHDU().writeto(tmp_path / "none.fits")
    for name, message in {
        "deep.png": "16-bit PNG",
        "cmyk.jpg": "mode CMYK",
        "turned.tif": "orientation 6",
        "stack.tif": r"\(2, 3, 5, 7\)",
        "cmyk.tif": "SEPARATED",
        "two.tif": "2 images",
        "two.fits": r"\[0\] PRIMARY, \[1\] ERR\): choose one, as in two.fits\[ERR\]",
        "none.fits": "holds no image",
    }.items():
        with pytest.raises(ConfigError, match=message):
            read_array(tmp_path / name)


@pytest.mark.parametrize(
    ("suffix", "module", "line"),
    [
        (".tif", "tifffile", r"noisewalk\[tiff\]"),
        (".fits", "astropy.io.fits", r"noisewalk\[fits\]"),
    ],
)
def test_a_missing_extra_prints_its_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, module: str, line: str
) -> None:
    path = written(tmp_path, suffix)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=line):
        read_array(path)


SIDE = 13_000
REFUSED = """
import resource, sys
from noisewalk.errors import ConfigError
from noisewalk.files import load_image, open
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
open(sys.argv[1])
before = peak()
for path in sys.argv[2:]:
    for read in (
        lambda: load_image(path, (1, 64, 64)),
        lambda: load_image(path, (3, 64, 64), fit="crop"),
        lambda: open(path),
    ):
        try:
            read()
        except ConfigError as error:
            assert "13000" in str(error), error
        else:
            raise SystemExit(f"{path} was read")
print((peak() - before) // 1024)
"""


def bombs(folder: Path) -> list[Path]:
    """Files of at most a megabyte that hold far more values than are read."""
    zeros = zlib.compress(bytes(SIDE * SIDE), 9)
    rows = zlib.compress(bytes(SIDE * (SIDE + 1)), 9)
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    layout = {"shape": (SIDE, SIDE), "dtype": np.uint8, "photometric": "minisblack"}
    tifffile.imwrite(
        folder / "a.tif", iter([zeros]), **layout, compression="zlib", rowsperstrip=SIDE
    )
    shape = {"descr": "|u1", "fortran_order": False, "shape": (SIDE, SIDE)}
    packed = zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED)
    with packed as archive, archive.open("y.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, shape)
        file.write(bytes(SIDE * SIDE))
    cards = [("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", SIDE), ("NAXIS2", SIDE)]
    whole = fits.Header(cards).tostring().encode() + bytes(SIDE * SIDE + -SIDE * SIDE % 2880)
    (folder / "a.fits.gz").write_bytes(gzip.compress(whole))
    return [folder / name for name in ("a.png", "a.tif", "a.npz", "a.fits.gz")]


def test_a_small_file_of_a_huge_array_is_refused_by_its_header(tmp_path: Path) -> None:
    paths = bombs(tmp_path)
    assert max(path.stat().st_size for path in paths) < 1e6
    small = npy(tmp_path / "y.npy", np.zeros((4, 4)))
    words = [sys.executable, "-c", REFUSED, str(small), *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100  # MB; one of these arrays has 169
