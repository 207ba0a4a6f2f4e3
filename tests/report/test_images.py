import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from noisewalk.report import images


def test_grey_pixels_are_exact():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(images.picture(levels.astype(np.float32) / 127.5 - 1), levels)


def test_rgb_pixels_are_exact_and_only_display_clips():
    x = np.stack([np.full((2, 2), v) for v in (-7.0, 0.2, 3.0)])
    np.testing.assert_array_equal(
        images.picture(images.tile(x)), np.broadcast_to(np.uint8([0, 153, 255]), (2, 2, 3))
    )
    assert x.max() == 3.0


def test_channels_that_are_not_colours_are_tiled():
    x = np.arange(5 * 2 * 3, dtype=float).reshape(5, 2, 3)
    grid = images.tile(x)
    assert grid.shape == (4, 9)
    for channel in range(5):
        row, column = divmod(channel, 3)
        np.testing.assert_array_equal(
            grid[2 * row : 2 * row + 2, 3 * column : 3 * column + 3], x[channel]
        )
    assert np.isnan(grid[2:, 6:]).all()


def test_colours_are_those_of_the_table():
    table = matplotlib.colormaps["magma"](np.linspace(0, 1, 256), bytes=True)[:, :3]
    np.testing.assert_array_equal(
        images.coloured(np.linspace(0, 4, 256)[None], "magma", 0.0, 4.0)[0], table
    )
    np.testing.assert_array_equal(images.colour_bar("magma")[0], table)


def test_invalid_pixels_are_transparent_and_black():
    values = np.array([[0.0, np.nan], [np.inf, 1.0]])
    picture = images.coloured(
        values, "magma", 0.0, 1.0, valid=np.array([[True, True], [True, False]])
    )
    np.testing.assert_array_equal(picture[..., 3], [[255, 0], [0, 0]])
    assert not picture[picture[..., 3] == 0].any()


def test_png_gives_the_pixels_back():
    for shape in ((5, 7), (5, 7, 3), (5, 7, 4)):
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        np.testing.assert_array_equal(
            np.asarray(Image.open(io.BytesIO(images.png(pixels)))), pixels
        )


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [(32, 32, 6), (28, 28, 7), (64, 64, 3), (96, 32, 2), (256, 256, 1), (192, 1, 1)],
)
def test_enlargement_repeats_pixels(height, width, factor):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    large = images.enlarge(pixels)
    assert large.shape == (factor * height, factor * width)
    np.testing.assert_array_equal(large[::factor, ::factor], pixels)
    np.testing.assert_array_equal(large[factor - 1 :: factor, factor - 1 :: factor], pixels)


def test_a_thumbnail_averages_large_pictures_and_leaves_small_ones():
    pixels = np.random.default_rng(0).integers(0, 256, (256, 128, 3), np.uint8)
    small = images.thumbnail(pixels)
    assert small.shape == (128, 64, 3)
    mean = pixels.reshape(128, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(small - mean).max() <= 1.0  # rounding of each of two passes, half a level each
    assert images.thumbnail(small) is small


def test_a_sheet_lays_pictures_out_in_rows():
    pictures = [np.full((3, 2), 10 * k, np.uint8) for k in range(5)]
    sheet = images.sheet(pictures, columns=3, gap=1)
    assert sheet.shape == (7, 8, 4)
    for k in range(5):
        row, column = divmod(k, 3)
        assert (
            sheet[4 * row : 4 * row + 3, 3 * column : 3 * column + 2]
            == [10 * k, 10 * k, 10 * k, 255]
        ).all()
    assert not sheet[3].any()


def test_the_limit_is_round_in_the_users_unit_and_says_when_it_clips():
    values = np.linspace(0, 0.2, 1000)
    limit = images.upper_limit(values, scale=50.0)
    assert limit * 50 == pytest.approx(10.0)  # the 99.5 % quantile is 9.95
    assert not images.exceeds(values, limit)
    outlier = np.append(values, 5.0)
    assert images.upper_limit(outlier, 50.0) == pytest.approx(limit)
    assert images.exceeds(outlier, limit)
    assert images.upper_limit(np.zeros(4), 2.0) == 0.5
    assert images.upper_limit(np.full(4, np.nan)) == 1.0


def test_channels_combine_by_root_mean_square():
    assert images.root_mean_square(np.array([3.0, 4.0, 5.0])[:, None, None])[0, 0] == pytest.approx(
        np.sqrt(50 / 3)
    )
