"""Masks: which entries of a measurement are observed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from file_samples import equal, load_measurement, noise, npy, tifffile
from PIL import Image

from noisewalk.errors import ConfigError
from noisewalk.files.masks import load_mask
from noisewalk.files.ranges import ValueRange


def test_a_mask_file_hides_whatever_is_under_its_zeros(tmp_path: Path) -> None:
    for mask_shape in ((4, 5), (1, 4, 5), (3, 4, 5)):
        for dtype in ("bool", "uint8", "float32"):
            mask = np.random.default_rng(2).random(mask_shape) < 0.5
            full = np.broadcast_to(mask, (3, 4, 5))
            values = noise(3, 4, 5)
            for rubbish in (np.nan, np.inf, -9999.0):
                path = npy(tmp_path / "a.npy", np.where(full, values, rubbish))
                y, observed, _ = load_measurement(
                    path, (3, 4, 5), observed=npy(tmp_path / "m.npy", mask.astype(dtype))
                )
                assert observed is not None
                assert torch.equal(observed, torch.from_numpy(full.copy()))
                assert equal(y, np.where(full, values, 0))


def test_png_masks_are_observed_where_not_black(tmp_path: Path) -> None:
    grey = np.array([[0, 1], [255, 0]], dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "m.png")
    assert torch.equal(
        load_mask(tmp_path / "m.png", (3, 2, 2)), torch.from_numpy(grey != 0).expand(3, 2, 2)
    )


def test_unusable_masks_are_refused(tmp_path: Path) -> None:
    y = npy(tmp_path / "y.npy", noise(1, 4, 4))
    for mask, message in (
        (np.zeros((4, 4)), "no observed entry"),
        (np.full((4, 4), 0.5), "other than 0"),
        (np.ones((4, 5)), r"allowed are \(4, 4\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_measurement(y, (1, 4, 4), observed=npy(tmp_path / "m.npy", mask))
    for name, message in {"m.jpg": "is a JPEG", "absent.npy": "does not exist"}.items():
        with pytest.raises(ConfigError, match=message):
            load_measurement(y, (1, 4, 4), observed=tmp_path / name)


def test_a_file_of_missing_entries_is_nonzero_where_they_are(tmp_path: Path) -> None:
    flags, values = np.array([[0, 2], [16, 18]], np.uint16), noise(1, 2, 2)
    y, dq = npy(tmp_path / "y.npy", values), npy(tmp_path / "dq.npy", flags)
    marked = {None: flags, "1": flags & 2, "4": flags & 16, "0,4": flags & 16}
    for bits, expected in marked.items():
        _, observed, _ = load_measurement(y, (1, 2, 2), missing=dq, bits=bits)
        assert observed is not None
        assert torch.equal(~observed[0], torch.from_numpy(expected != 0))
    tifffile.imwrite(tmp_path / "m.tif", flags.astype(np.uint8), photometric="minisblack")
    _, observed, _ = load_measurement(y, (1, 2, 2), missing=tmp_path / "m.tif")
    assert observed is not None
    assert torch.equal(~observed[0], torch.from_numpy(flags != 0))


def test_a_mark_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    y = npy(tmp_path / "y.npy", noise(1, 2, 2))
    zeros = npy(tmp_path / "m.npy", np.zeros((2, 2), np.uint8))
    for missing, bits, message in (
        ("-9999", None, "--missing -9999 marks none of 4 entries"),
        ("nan", None, "--missing nan marks none of 4"),
        (zeros, None, "zero everywhere: nonzero means missing"),
        (zeros, "3", "none of the bits 3 is set"),
        (zeros, "8", "no bit 8"),
        ("nan", "1", "--bits belongs to"),
        (None, "1", "--bits belongs to"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_measurement(y, (1, 2, 2), missing=missing, bits=bits)


def test_a_painted_mask_is_turned_for_a_measurement_in_fits(tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    values, top = noise(1, 4, 4).astype(np.float32), np.zeros((4, 4), np.uint8)
    top[0] = 255
    fits.PrimaryHDU(values).writeto(tmp_path / "y.fits")
    npy(tmp_path / "y.npy", values)
    Image.fromarray(top).save(tmp_path / "m.png")
    Image.fromarray(255 - top).save(tmp_path / "o.png")
    npy(tmp_path / "m.npy", top)
    for y, given, row in (
        ("y.fits", {"missing": tmp_path / "m.png"}, 3),
        ("y.fits", {"observed": tmp_path / "o.png"}, 3),
        ("y.fits", {"missing": tmp_path / "m.npy"}, 0),
        ("y.npy", {"missing": tmp_path / "m.png"}, 0),
    ):
        _, observed, _ = load_measurement(tmp_path / y, (1, 4, 4), ValueRange(-1, 1), **given)
        assert observed is not None
        assert (~observed[0, :, 0]).nonzero().flatten().tolist() == [row]


def test_what_a_mask_marks_as_missing_is_missing(tmp_path: Path) -> None:
    y, path = npy(tmp_path / "y.npy", noise(1, 1, 4)), tmp_path / "m.tif"
    flags = np.array([[0, 1, 1, 255]], np.uint8)
    tags = [(42113, "s", 0, "255", True)]
    tifffile.imwrite(path, flags, photometric="minisblack", extratags=tags, metadata=None)
    for given, seen in (
        ({"observed": path}, [False, True, True, False]),
        ({"missing": path}, [True, False, False, False]),
    ):
        _, observed, _ = load_measurement(y, (1, 1, 4), **given)
        assert observed is not None
        assert observed.flatten().tolist() == seen


@pytest.mark.parametrize("dtype", ["int8", "int16", "int64"])
def test_the_sign_of_a_flag_is_a_bit(tmp_path: Path, dtype: str) -> None:
    y, flags = npy(tmp_path / "y.npy", noise(1, 1, 3)), np.array([[-1, 0, 1]], dtype)
    last = str(8 * flags.itemsize - 1)
    _, observed, _ = load_measurement(
        y, (1, 1, 3), missing=npy(tmp_path / "m.npy", flags), bits=last
    )
    assert observed is not None
    assert observed.flatten().tolist() == [False, True, True]
