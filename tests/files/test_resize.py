"""Clean images of another size or channel count."""

from pathlib import Path

import numpy as np
import pytest
from file_samples import EPS, equal, noise, npy

from noisewalk.errors import ConfigError
from noisewalk.files.measurement import load_image
from noisewalk.files.resize import LUMA


def test_crop_is_the_centre_untouched(tmp_path: Path) -> None:
    values = noise(3, 10, 13)
    path = npy(tmp_path / "a.npy", values)
    assert equal(load_image(path, (3, 6, 5), fit="crop")[0], values[:, 2:8, 4:9])
    with pytest.raises(ConfigError, match="too small to crop"):
        load_image(path, (3, 11, 5), fit="crop")


def test_pad_is_centred_on_the_darkest_value(tmp_path: Path) -> None:
    values = noise(1, 4, 3)
    path = npy(tmp_path / "a.npy", values)
    x, _ = load_image(path, (1, 7, 7), fit="pad")
    assert equal(x[:, 1:5, 2:5], values)
    assert float(x.sum()) == pytest.approx(float(values.sum()) - (49 - 12), abs=49 * 49 * EPS)
    assert int((x == -1).sum()) == 49 - 12
    with pytest.raises(ConfigError, match="too large to pad"):
        load_image(path, (1, 7, 2), fit="pad")


def test_an_image_of_the_right_shape_is_never_changed(tmp_path: Path) -> None:
    for fit in ("crop", "resize", "pad"):
        values = noise(3, 8, 9)
        assert equal(load_image(npy(tmp_path / "a.npy", values), (3, 8, 9), fit=fit)[0], values)


def test_resize_keeps_the_aspect_ratio_and_does_not_alias(tmp_path: Path) -> None:
    wide = np.full((1, 32, 96), -1, dtype=np.float32)
    wide[:, :, 32:64] = np.tile(
        [0.5, -0.5, -0.5, 0.5], 8
    )  # stripes of period 4 = the step, mean 0, in the centre square
    x, _ = load_image(npy(tmp_path / "a.npy", wide), (1, 8, 8), fit="resize")
    assert (
        float(x[:, :, 2:-2].abs().max()) < 32 * EPS
    )  # a filter of unit partition cancels them; four-tap interpolation gives -0.5
    assert float(x.min()) >= -0.5  # nothing of the sides, no overshoot
    constant = np.full((3, 5, 9), 0.3, dtype=np.float32)
    up, _ = load_image(npy(tmp_path / "b.npy", constant), (3, 20, 20), fit="resize")
    assert equal(up, np.full((3, 20, 20), 0.3))


def test_channels_convert_by_rec_601_and_by_repetition(tmp_path: Path) -> None:
    rgb, grey = noise(3, 4, 4), noise(1, 4, 4)
    path = tmp_path / "a.npy"
    x, _ = load_image(npy(path, rgb), (1, 4, 4), fit="crop")
    np.testing.assert_allclose(
        x.numpy(), np.einsum("c,chw->hw", LUMA, rgb.astype(float))[None], atol=4 * EPS
    )
    assert equal(load_image(npy(path, grey), (3, 4, 4), fit="pad")[0], np.repeat(grey, 3, axis=0))
    for values, shape in ((noise(4, 6, 6), (3, 6, 6)), (rgb, (4, 4, 4))):
        with pytest.raises(ConfigError, match=r"converts 3 to 1 \(grey\) and 1 to 3 only"):
            load_image(npy(path, values), shape, fit="crop")
