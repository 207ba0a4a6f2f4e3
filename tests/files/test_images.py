"""PNG and JPEG pictures, read exactly and written for display."""

from pathlib import Path

import numpy as np
import pytest
import torch
from file_samples import check_exact, example, png
from PIL import Image

from noisewalk.errors import ConfigError
from noisewalk.files.arrays import read_array
from noisewalk.files.images import save_png
from noisewalk.files.measurement import load_image
from noisewalk.files.ranges import ValueRange


def test_png_modes_come_back_exactly(tmp_path: Path) -> None:
    rgb, grey, deep = example("uint8"), example("uint8", (5, 7)), example("uint16", (5, 7))
    last = np.moveaxis(rgb, 0, -1)
    check_exact(png(tmp_path / "rgb.PNG", last, format="PNG"), rgb)
    check_exact(png(tmp_path / "grey.png", grey), grey[None])
    check_exact(png(tmp_path / "deep.png", deep), deep[None])
    check_exact(
        png(tmp_path / "bits.png", grey > 100), np.where(grey > 100, 255, 0).astype(np.uint8)[None]
    )
    opaque = np.full((5, 7), 255, np.uint8)
    check_exact(png(tmp_path / "rgba.png", np.dstack([last, opaque])), rgb)
    check_exact(png(tmp_path / "la.png", np.dstack([grey, opaque])), grey[None])
    palette = Image.fromarray(grey % 4)
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    palette.save(tmp_path / "palette.png")
    check_exact(
        tmp_path / "palette.png",
        np.stack([10 + 30 * (grey % 4) + k for k in (0, 10, 20)]).astype(np.uint8),
    )


def test_jpeg_is_read_as_decoded_and_turned_upright(tmp_path: Path) -> None:
    values = np.zeros((16, 32, 3), np.uint8)
    values[:, 16:] = (200, 100, 50)
    upright = np.asarray(Image.open(png(tmp_path / "a.jpg", values, quality=95)))
    check_exact(tmp_path / "a.jpg", np.moveaxis(upright, -1, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    turned = read_array(png(tmp_path / "b.jpeg", values, quality=95, exif=exif)).values
    np.testing.assert_array_equal(turned, np.moveaxis(np.rot90(upright, -1), -1, 0))


def test_a_png_of_eight_bit_values_comes_back_exactly(tmp_path: Path) -> None:
    for channels in (1, 3):
        values = np.arange(256).reshape(1, 16, 16) // np.arange(1, channels + 1)[:, None, None]
        x = ValueRange(0, 255).to_unit(values)
        save_png(x.requires_grad_(), tmp_path / "a.png")
        assert torch.equal(load_image(tmp_path / "a.png", (channels, 16, 16))[0], x)


def test_a_png_is_clipped_and_refuses_what_it_cannot_show(tmp_path: Path) -> None:
    save_png(torch.tensor([[[-7.0, 1.2, torch.inf]]]), tmp_path / "a.png")
    assert np.asarray(Image.open(tmp_path / "a.png")).tolist() == [[0, 255, 255]]
    for x, message in (
        (torch.zeros(4, 2, 2), r"\(4, 2, 2\)"),
        (torch.zeros(2, 2), r"\(2, 2\)"),
        (torch.full((1, 2, 2), torch.nan), "4 NaN"),
    ):
        with pytest.raises(ConfigError, match=message):
            save_png(x, tmp_path / "b.png")
    with pytest.raises(ConfigError, match="cannot be written"):
        save_png(torch.zeros(1, 2, 2), tmp_path / "absent" / "a.png")
