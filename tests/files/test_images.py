"""Values into the scale of [-1, 1] and back; clean images, measurements, gaps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from noisewalk.errors import ConfigError
from noisewalk.files.images import (
    IMAGE_BOUND,
    LUMA,
    MEASUREMENT_BOUND,
    ValueRange,
    load_image,
    load_mask,
    load_measurement,
    save_png,
)

EPS = 2.0**-24  # rounding of float32, relative
RANGES = [
    ValueRange(-1, 1),
    ValueRange(0, 255),
    ValueRange(0, 65535),
    ValueRange(-32768, 32767),
    ValueRange(0.0, 1.0),
    ValueRange(-300.5, 1200.25),
]


def npy(path: Path, values: object) -> Path:
    np.save(path, np.asarray(values), allow_pickle=False)
    return path


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def equal(x: Tensor, values: object) -> bool:
    return x.dtype == torch.float32 and torch.equal(
        x, torch.as_tensor(np.asarray(values, dtype=np.float32))
    )


# --- ranges ---


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_every_small_integer_survives_the_way_there_and_back(dtype: str) -> None:
    info = np.iinfo(dtype)
    values = np.arange(info.min, info.max + 1).astype(dtype)
    unit = ValueRange.of(values.dtype)
    x = unit.to_unit(values)
    assert (x[0], x[-1]) == (-1, 1)
    assert torch.equal(unit.from_unit(x).round(), torch.from_numpy(values.astype(np.float64)))


@pytest.mark.parametrize("unit", RANGES)
def test_floats_survive_the_way_there_and_back_to_float32_precision(unit: ValueRange) -> None:
    values = np.random.default_rng(0).uniform(unit.low - 1, unit.high + 1, 1000)
    back = unit.from_unit(unit.to_unit(values)).numpy()
    x_max = 1 + 2 / (unit.high - unit.low)
    assert np.abs(back - values).max() <= 2 * EPS * x_max * (unit.high - unit.low) / 2


def test_the_range_minus_one_to_one_changes_nothing() -> None:
    values = np.concatenate(
        [noise(100), noise(100) * np.float32(1e6), noise(100) * np.float32(1e-30)]
    )
    unit = ValueRange(-1, 1)
    assert equal(unit.to_unit(values), values)
    assert torch.equal(unit.from_unit(unit.to_unit(values)).float(), torch.from_numpy(values))


@pytest.mark.parametrize("unit", RANGES)
def test_a_shift_by_sigma_in_the_files_unit_is_a_shift_by_the_scaled_sigma(
    unit: ValueRange,
) -> None:
    values = np.linspace(unit.low, unit.high, 50)
    sigma = (unit.high - unit.low) / 37
    shift = unit.to_unit(values + sigma).double() - unit.to_unit(values).double()
    assert unit.scale_sigma(sigma) == pytest.approx(2 / 37, rel=1e-12)
    assert (shift - unit.scale_sigma(sigma)).abs().max() <= 2 * EPS * (1 + 2 / 37)
    assert torch.equal(
        unit.scale_sigma(torch.tensor([sigma], dtype=torch.float64)),
        torch.tensor([unit.scale_sigma(sigma)], dtype=torch.float64),
    )


@pytest.mark.parametrize(
    ("low", "high"), [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf")), (-1.8e308, 1.8e308)]
)
def test_an_impossible_range_names_the_option(low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="--range"):
        ValueRange(low, high)


# --- clean images ---


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_a_clean_integer_image_maps_by_its_types_range(tmp_path: Path, dtype: str) -> None:
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


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float64"])
def test_a_given_range_goes_before_the_dtype(tmp_path: Path, dtype: str) -> None:
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
        (np.arange(4, dtype=np.uint32).reshape(1, 2, 2) * 1000, None),
        (np.array([[[0, 255], [3, 4]]], dtype=np.uint8), ValueRange(0, 1)),
    ):
        with pytest.raises(ConfigError, match="--range LO HI"):
            load_image(npy(tmp_path / "a.npy", values), (1, 2, 2), given)


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
    with pytest.raises(ConfigError, match=r"\(2, 3, 4, 5\); allowed are \(C, H, W\) and \(H, W\)"):
        load_image(npy(path, noise(2, 3, 4, 5)), (3, 4, 5))


@pytest.mark.parametrize("shape", [(1, 8, 9), (3, 8, 10), (3, 9, 9)])
def test_another_size_or_channel_count_names_fit(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = npy(tmp_path / "a.npy", noise(3, 8, 9))
    with pytest.raises(ConfigError, match=r"\(3, 8, 9\).*--fit crop, resize or pad"):
        load_image(path, shape)
    with pytest.raises(ConfigError, match=r"--fit is 'stretch'; allowed are crop, resize, pad"):
        load_image(path, shape, fit="stretch")  # type: ignore[arg-type]


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


@pytest.mark.parametrize("fit", ["crop", "resize", "pad"])
def test_an_image_of_the_right_shape_is_never_changed(tmp_path: Path, fit: str) -> None:
    values = noise(3, 8, 9)
    assert equal(load_image(npy(tmp_path / "a.npy", values), (3, 8, 9), fit=fit)[0], values)  # type: ignore[arg-type]


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


# --- measurements ---


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
        ConfigError,
        match=r"\(3, 4, 5\) but the operator's measurements have shape \(3, 4, 4\); --fit is not applied",
    ):
        load_measurement(npy(tmp_path / "a.npy", noise(3, 4, 5)), (3, 4, 4))


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


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
@pytest.mark.parametrize("mask_shape", [(4, 5), (1, 4, 5), (3, 4, 5)])
def test_a_mask_file_hides_whatever_is_under_its_zeros(
    tmp_path: Path, dtype: str, mask_shape: tuple[int, ...]
) -> None:
    mask = np.random.default_rng(2).random(mask_shape) < 0.5
    full = np.broadcast_to(mask, (3, 4, 5))
    values = noise(3, 4, 5)
    for rubbish in (np.nan, np.inf, -9999.0):
        path = npy(tmp_path / "a.npy", np.where(full, values, rubbish))
        y, observed, _ = load_measurement(
            path, (3, 4, 5), missing=npy(tmp_path / "m.npy", mask.astype(dtype))
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
            load_measurement(y, (1, 4, 4), missing=npy(tmp_path / "m.npy", mask))
    for name, message in {"m.jpg": r"neither \.npy", "absent.npy": "does not exist"}.items():
        with pytest.raises(ConfigError, match=message):
            load_measurement(y, (1, 4, 4), missing=tmp_path / name)


# --- writing ---


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_of_eight_bit_values_comes_back_exactly(tmp_path: Path, channels: int) -> None:
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
