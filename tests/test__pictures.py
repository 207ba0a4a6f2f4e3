"""Pictures and cards: what is unknown is transparent, and text is escaped."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from noisewalk import _pictures


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((3, 4, 5), (4, 5, 3)),
        ((1, 4, 5), (4, 5)),
        ((2, 4, 5), (4, 10)),
        ((4, 5), (4, 5)),
        ((7,), (1, 7)),
    ],
)
def test_every_array_has_a_flat_form(shape: tuple[int, ...], shown: tuple[int, ...]) -> None:
    assert _pictures.flat(np.zeros(shape)).shape == shown


def test_limits_are_the_scale_where_it_is_used_and_quantiles_elsewhere() -> None:
    assert _pictures.limits(np.linspace(-0.9, 1.0, 50)) == (-1.0, 1.0)
    low, high = _pictures.limits(np.linspace(-0.1, 0.1, 1001))
    assert -0.1 <= low < -0.09 < 0.09 < high <= 0.1
    assert _pictures.limits(np.array([np.nan])) == (-1.0, 1.0)
    low, high = _pictures.limits(np.zeros(3))
    assert low < 0 < high


def test_the_end_of_a_bar_has_two_digits_and_is_above_nearly_all() -> None:
    assert _pictures.upper(np.linspace(0, 0.1234, 1000)) == pytest.approx(0.13)
    assert _pictures.upper(np.zeros(2)) == 1.0


def test_what_is_not_known_is_transparent() -> None:
    pixels = _pictures.shades(np.array([[np.nan, 1.0]]), -1.0, 1.0)
    assert pixels.tolist() == [[[0, 0, 0, 0], [255, 255, 255, 255]]]


def test_a_large_picture_is_stored_small() -> None:
    content = _pictures.uri(np.zeros((300, 900), np.uint8)).partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (256, 85)


def test_a_map_of_deviations_begins_black() -> None:
    colours = _pictures.heat(np.array([[0.0, 1.0]]), 1.0)
    assert int(colours[0, 0].sum()) < 20 < 400 < int(colours[0, 1].sum())
    assert _pictures.over_channels(np.full((4, 2, 2), 3.0)).tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_a_card_escapes_what_it_is_given() -> None:
    bad = "<script>alert('&\"')</script>"
    page = _pictures.card(bad, bad, [(bad, np.zeros((2, 2), np.uint8))], {bad: bad})
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 6
