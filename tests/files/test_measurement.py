"""Clean images and measurements, their ranges and gaps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from file_samples import equal, fits, load_measurement, noise, npy, tifffile
from PIL import Image

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.files.measurement import IMAGE_BOUND, MEASUREMENT_BOUND, load_image
from noisewalk.files.ranges import ValueRange


def test_a_clean_image_of_8_bits_maps_by_its_types_range(tmp_path: Path) -> None:
    for dtype in ("uint8", "int8"):
        info = np.iinfo(dtype)
        values = np.random.default_rng(0).integers(
            info.min, info.max, (3, 4, 6), dtype=dtype, endpoint=True
        )
        x, unit = load_image(npy(tmp_path / "a.npy", values), (3, 4, 6))
        assert unit == ValueRange(info.min, info.max)
        assert torch.equal(unit.from_unit(x).round(), torch.from_numpy(values.astype(np.float64)))


def test_a_clean_float_image_is_taken_as_it_is_and_a_plane_has_one_channel(tmp_path: Path) -> None:
    values = noise(4, 6)
    x, unit = load_image(npy(tmp_path / "a.npy", values), (1, 4, 6))
    assert equal(x, values[None])
    assert unit == ValueRange(-1, 1)


def test_a_given_range_goes_before_the_dtype(tmp_path: Path) -> None:
    for dtype in ("uint8", "int64", "float64"):
        values = np.array([[[10, 60, 110]]], dtype=dtype)
        x, unit = load_image(npy(tmp_path / "a.npy", values), (1, 1, 3), ValueRange(10, 110))
        assert equal(x, [[[-1, 0, 1]]])
        assert unit == ValueRange(10, 110)


def test_values_that_no_range_explains_name_the_option(tmp_path: Path) -> None:
    edge = np.full((1, 2, 2), IMAGE_BOUND)
    assert equal(load_image(npy(tmp_path / "a.npy", edge), (1, 2, 2))[0], edge)
    for values, given in (
        (edge * 1.01, None),
        (np.array([[[0.0, 255.0], [3.0, 4.0]]]), None),
        (np.arange(4).reshape(1, 2, 2), None),  # int64
        (np.array([[[0, 65535], [3, 4]]], np.uint16), None),
        (np.array([[[0, 255], [3, 4]]], dtype=np.uint8), ValueRange(0, 1)),
    ):
        with pytest.raises(ConfigError, match="--range LO HI"):
            load_image(npy(tmp_path / "a.npy", values), (1, 2, 2), given)


@pytest.mark.parametrize("suffix", [".tif", ".fits"])
@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_a_file_of_unknown_range_is_refused_with_a_proposal(
    tmp_path: Path, suffix: str, dtype: str
) -> None:
    values = (np.arange(101).reshape(1, 101) * (0.003 if dtype == "float32" else 30)).astype(dtype)
    path, high = tmp_path / f"a{suffix}", float(values.max())
    if suffix == ".tif":
        tifffile.imwrite(path, values, photometric="minisblack")
    else:
        fits.PrimaryHDU(values).writeto(path)
    quantiles = f"minimum 0, 1 % {high / 100:.6g}, 99 % {high * 0.99:.6g}, maximum {high:.6g}"
    for read in (load_image, load_measurement):
        with pytest.raises(ConfigError) as caught:
            read(path, (1, 1, 101))
        assert quantiles in str(caught.value)
        assert f"--range 0 {high:.3g}" in str(caught.value)
    unit = ValueRange(0.0, high)
    assert equal(load_measurement(path, (1, 1, 101), unit)[0], unit.to_unit(values[None]))


def test_a_clean_image_must_be_finite(tmp_path: Path) -> None:
    values = noise(1, 4, 4)
    values[0, 0, :2] = np.nan, np.inf
    with pytest.raises(ConfigError, match="2 NaN or infinite values of 16"):
        load_image(npy(tmp_path / "a.npy", values), (1, 4, 4))


def test_channel_last_arrays_are_told_how_to_transpose(tmp_path: Path) -> None:
    path = npy(tmp_path / "a.npy", noise(8, 9, 3))
    with pytest.raises(ConfigError, match=r"\(3, 8, 9\).*np\.moveaxis\(a, -1, 0\)"):
        load_image(path, (3, 8, 9), fit="resize")
    with pytest.raises(ConfigError, match=r"np\.moveaxis\(a, -1, 0\)"):
        load_measurement(path, (3, 8, 9))
    with pytest.raises(ConfigError, match=r"\(2, 3, 4, 5\).*; allowed are \(C, H, W\) and"):
        load_image(npy(path, noise(2, 3, 4, 5)), (3, 4, 5))


def test_another_size_or_channel_count_names_fit(tmp_path: Path) -> None:
    for shape in ((1, 8, 9), (3, 8, 10), (3, 9, 9)):
        path = npy(tmp_path / "a.npy", noise(3, 8, 9))
        with pytest.raises(ConfigError, match=r"\(3, 8, 9\).*--fit crop, resize or pad"):
            load_image(path, shape)
        with pytest.raises(ConfigError, match=r"--fit 'stretch': choose one of crop, resize, pad"):
            load_image(path, shape, fit="stretch")  # type: ignore[arg-type]


def test_a_measurement_comes_back_exactly_and_fully_observed(tmp_path: Path) -> None:
    values = noise(3, 4, 4) * np.float32(MEASUREMENT_BOUND)
    y, observed, unit = load_measurement(npy(tmp_path / "a.npy", values), (3, 4, 4))
    assert equal(y, values)
    assert observed is None
    assert unit == ValueRange(-1, 1)
    for shape in ((1, 4, 4), (4, 4)):
        assert equal(
            load_measurement(npy(tmp_path / "a.npy", values[0]), shape)[0], values[0].reshape(shape)
        )


def test_counts_stay_counts_under_the_identity_range(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(30, (1, 4, 4))
    assert equal(
        load_measurement(npy(tmp_path / "a.npy", counts), (1, 4, 4), ValueRange(-1, 1))[0], counts
    )
    for values in (counts, counts.astype(float)):
        with pytest.raises(ConfigError, match="--range LO HI"):
            load_measurement(npy(tmp_path / "a.npy", values), (1, 4, 4))


def test_a_measurement_is_never_fitted(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"\(3, 4, 5\), but \(3, 4, 4\) is needed; --fit is not applied"
    ):
        load_measurement(npy(tmp_path / "a.npy", noise(3, 4, 5)), (3, 4, 4))


def test_missing_channels_and_windows_of_pictures_are_told(tmp_path: Path) -> None:
    has = "the file lacks bands, of 3: take a prior of images with 1"
    with pytest.raises(ConfigError, match=has):
        load_measurement(npy(tmp_path / "a.npy", noise(1, 4, 5)), (3, 4, 4))
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=r"\.tif files windows such as \[0:64,0:64\]"):
        load_measurement(f"{tmp_path}/a.png[0:2,0:2]", (1, 2, 2))


def test_nan_and_inf_are_counted_and_name_missing(tmp_path: Path) -> None:
    values = noise(1, 4, 4)
    values[0, 0] = np.nan, np.nan, np.inf, 0.5
    path = npy(tmp_path / "a.npy", values)
    with pytest.raises(
        ConfigError, match=r"2 NaN and 1 infinite values among 16 observed.*--missing nan"
    ):
        load_measurement(path, (1, 4, 4))
    with pytest.raises(ConfigError, match="0 NaN and 1 infinite values among 14 observed"):
        load_measurement(path, (1, 4, 4), missing="nan")


def test_a_number_can_mark_gaps(tmp_path: Path) -> None:
    values = noise(1, 4, 4)
    values[0, 1, :3] = -9999.0
    path = npy(tmp_path / "a.npy", values)
    with pytest.raises(ConfigError, match=r"far outside 0 to 0\.3.*--missing VALUE"):
        load_measurement(path, (1, 4, 4), ValueRange(0.0, 0.3))
    y, observed, _ = load_measurement(path, (1, 4, 4), ValueRange(-1.5, 1.5), missing="-9999")
    assert observed is not None
    assert torch.equal(observed, torch.from_numpy(values != -9999.0))
    assert not y[~observed].any()
    y, observed, _ = load_measurement(
        npy(tmp_path / "b.npy", np.where(values < -9.0, np.nan, values)), (1, 4, 4), missing="NaN"
    )
    assert observed is not None
    assert int(observed.sum()) == 13


def test_what_the_operator_does_not_read_may_be_anything(tmp_path: Path) -> None:
    values, read = noise(1, 4, 4), torch.ones(1, 4, 4, dtype=torch.bool)
    values[0, 0], read[0, 0] = np.nan, False
    y, observed, _ = load_measurement(npy(tmp_path / "a.npy", values), (1, 4, 4), read=read)
    assert observed is None
    assert torch.equal(y, torch.from_numpy(np.nan_to_num(values)))
    with pytest.raises(ConfigError, match="no observed entry"):
        load_measurement(tmp_path / "a.npy", (1, 4, 4), missing="nan", read=~read)


def test_missing_nan_leaves_exactly_the_nan_entries_out(tmp_path: Path) -> None:
    values = noise(3, 4, 4)
    gaps = np.random.default_rng(1).random((3, 4, 4)) < 0.3
    y, observed, _ = load_measurement(
        npy(tmp_path / "a.npy", np.where(gaps, np.nan, values)), (3, 4, 4), missing="nan"
    )
    assert observed is not None
    assert torch.equal(observed, torch.from_numpy(~gaps))
    assert equal(y, np.where(gaps, 0, values))
    with pytest.raises(ConfigError, match="no observed entry"):
        load_measurement(
            npy(tmp_path / "a.npy", np.full((3, 4, 4), np.nan)), (3, 4, 4), missing="nan"
        )


def test_a_measurement_shows_itself_in_a_notebook():
    observed = torch.tensor([[[[True, False]]]])
    given = nw.files.Measurement(torch.zeros(1, 1, 1, 2), observed, 0.1, "<K>")
    page = given._repr_html_()
    assert page.count("<img") == 1
    assert "1 of 2" in page
    assert "&lt;K&gt;" in page
    assert "<K>" not in page
