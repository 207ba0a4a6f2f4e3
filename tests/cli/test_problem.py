"""From the files of a user to a problem, and what in them is refused in one line."""

import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from noisewalk import noise, operators
from noisewalk._simulate import simulate
from noisewalk.cli.problem import read_problem
from noisewalk.cli.sample import SampleOptions
from noisewalk.errors import ConfigError
from noisewalk.files import ValueRange
from noisewalk.likelihoods import Gaussian, Laplace, Poisson, StudentT, UnknownGaussian
from noisewalk.maps import Warp

SHAPE = (1, 16, 16)
FASHION = (1, 32, 32)
UNIT = ValueRange(-1.0, 1.0)


def read(path, operator="avgpool:factor=2", shape=SHAPE, **options):
    phi = Warp(shape)
    prior = SimpleNamespace(
        name="toy",
        shape=shape,
        denoiser=None,
        kind="generator",
        unit="-1 is night",
        card={},
        map=lambda num_steps, **_: phi,
    )
    return read_problem(
        SampleOptions(inputs=[Path(path)], prior="toy", operator=operator, **options), prior
    )


def degraded(path, operator="avgpool:factor=2", sigma_y=12.75, **options):
    return read(path, operator, sigma_y=sigma_y, simulate=True, **options)


def measured(tmp_path, values, likelihood="gaussian", operator="avgpool:factor=2", **options):
    np.save(tmp_path / "y.npy", values)
    return read(tmp_path / "y.npy", operator, likelihood=likelihood, **options)


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "clean.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)).save(path)
    return path


def test_an_image_file_is_degraded_in_its_own_unit(png):
    problem = degraded(png, seed=3)
    pixels = np.asarray(Image.open(png), np.float64)
    np.testing.assert_allclose(problem.truth[0, 0].numpy(), pixels / 127.5 - 1, atol=1e-6)
    assert problem.likelihood.sigma_y == pytest.approx(0.1)
    assert problem.value_range == ValueRange(0.0, 255.0)
    assert problem.title == "clean.png: avgpool:factor=2"
    assert problem.observed is None
    expected = operators.AveragePool(2)(problem.truth)
    expected = expected + 0.1 * noise.rows(3, 1).normal((1, 8, 8), noise.SIMULATE)
    torch.testing.assert_close(problem.y, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(problem.y, degraded(png, seed=3).y)
    assert not torch.equal(problem.y, degraded(png, seed=4).y)


def test_what_the_operator_hides_is_not_simulated(png):
    problem = degraded(png, "box:top=2,left=3,height=4,width=5")
    assert (problem.y[:, :, 2:6, 3:8] == 0).all()
    assert int((problem.y == 0).sum()) == 20
    assert problem.target().num_observed.tolist() == [256 - 20]


def test_the_target_is_the_problem_as_it_says(png):
    problem = degraded(png)
    target = problem.target(microbatch=3)
    assert (target.phi, target.operator) == (problem.phi, operators.AveragePool(2))
    assert (target.microbatch, target.num_images) == (3, 1)
    z = noise.rows(1, 1, 4).normal(SHAPE, noise.PROBE)
    mean = operators.AveragePool(2)(problem.phi(z))
    expected = problem.likelihood.nll(mean, problem.y.expand(4, 1, 8, 8))
    torch.testing.assert_close(target(z).nll, expected, rtol=1e-6, atol=1e-6)


def test_the_facts_are_json_and_complete(png):
    facts = json.loads(json.dumps(degraded(png, "hdr:factor=2").facts()))
    assert facts == {
        "title": "clean.png: hdr:factor=2",
        "prior": "toy",
        "operator": "hdr:factor=2",
        "likelihood": "gaussian",
        "sigma_y": 12.75,
        "unit_scale": 127.5,
        "range": [0.0, 255.0],
        "source": "clean.png",
        "simulated": True,
    }


def test_a_run_keeps_the_truth_and_what_the_operator_was_read_from(png, tmp_path):
    np.save(tmp_path / "mask.npy", np.arange(256).reshape(16, 16) % 2 == 0)
    problem = degraded(png, f"mask:{tmp_path / 'mask.npy'}")
    arrays = problem.arrays()
    assert set(arrays) == {"operator_0_mask", "truth"}
    assert torch.equal(arrays["truth"], problem.truth)
    assert len(arrays["operator_0_mask"]) == 1


def test_a_problem_in_double_precision_is_the_same_one(png):
    problem, twice = degraded(png), degraded(png, dtype="float64")
    assert twice.y.dtype == twice.truth.dtype == torch.float64
    assert torch.equal(twice.y.float(), problem.y)
    assert torch.equal(twice.truth.float(), problem.truth)


def test_an_image_of_another_size_needs_to_be_fitted(png):
    with pytest.raises(ConfigError, match="--fit"):
        degraded(png, "hdr:factor=2", shape=(1, 8, 8))
    fitted = degraded(png, "hdr:factor=2", shape=(1, 8, 8), fit="crop")
    assert fitted.y.shape == (1, 1, 8, 8)


def test_a_measurement_file_is_y_on_the_librarys_scale(tmp_path):
    values = np.random.default_rng(1).uniform(100, 300, (8, 8))
    problem = measured(tmp_path, values, sigma_y=5.0, range=(100, 300))
    np.testing.assert_allclose(problem.y[0, 0].numpy(), (values - 200) / 100, atol=1e-6)
    assert problem.likelihood.sigma_y == pytest.approx(0.05)
    assert (problem.truth, problem.observed, problem.facts()["simulated"]) == (None, None, False)


def test_a_file_of_unknown_range_is_told_what_the_priors_images_are_in(tmp_path):
    path = tmp_path / "y.npy"
    np.save(path, np.ones(SHAPE, np.uint16))
    for clean in (False, True):
        with pytest.raises(ConfigError, match=r"99 % .*--range LO HI.*toy's images: -1 is night"):
            read(path, "identity", sigma_y=1, simulate=clean)


def test_gaps_of_a_measurement_come_on_top_of_the_operators_own(tmp_path):
    values = np.zeros((16, 16), np.float32)
    values[0, :4] = np.nan
    operator = "box:top=8,left=0,height=8,width=16"
    with pytest.raises(ConfigError, match="--missing"):
        measured(tmp_path, values, operator=operator, sigma_y=0.1)
    problem = measured(tmp_path, values, operator=operator, sigma_y=0.1, missing="nan")
    assert problem.observed.shape == (1, *SHAPE)
    assert int((~problem.observed).sum()) == 4
    assert problem.target().num_observed.tolist() == [8 * 16 - 4]


def test_the_noise_is_scaled_by_half_the_range(tmp_path):
    y, bounds = np.full((8, 8), 30.0), {"range": (10.0, 50.0)}
    gaussian = measured(tmp_path, y, sigma_y=2.0, **bounds).likelihood
    assert gaussian.sigma_y == pytest.approx(0.1)
    for text, expected in (
        ("laplace:scale=2", Laplace(0.1)),
        ("studentt:df=4,scale=2", StudentT(4.0, 0.1)),
        ("unknown", UnknownGaussian()),
        ("unknown:concentration=2,rate=8", UnknownGaussian(2.0, 0.02)),
    ):
        assert measured(tmp_path, y, text, **bounds).likelihood == expected


def test_a_poisson_measurement_stays_counts_whatever_the_type_and_the_range(tmp_path):
    for dtype in (np.uint8, np.uint16, np.int64, np.float32):
        for bounds in (None, (0.0, 1000.0)):
            counts = np.arange(64).reshape(8, 8).astype(dtype)
            problem = measured(tmp_path, counts, "poisson:peak=30", range=bounds)
            assert np.array_equal(problem.y[0, 0].numpy(), counts.astype(np.float32))
            assert problem.likelihood == Poisson(30.0)
            assert problem.value_range == (UNIT if bounds is None else ValueRange(*bounds))
            assert problem.target().num_observed.tolist() == [64]
            assert all("--range 0 1" not in doubt for doubt in problem.doubts())


def test_counts_below_0_are_refused_unless_missing(tmp_path):
    counts = np.ones((8, 8))
    counts[0, :2] = -1
    with pytest.raises(ConfigError, match=r"Poisson wants counts.* 2 observed entries"):
        measured(tmp_path, counts, "poisson:peak=30").target()
    mask = str(tmp_path / "mask.npy")
    np.save(mask, counts >= 0)
    target = measured(tmp_path, counts, "poisson:peak=30", observed=mask).target()
    assert target.num_observed.tolist() == [62]


def test_an_unknown_level_is_simulated_at_one_that_the_sampler_is_not_told(png):
    problem = degraded(png, likelihood="unknown", seed=5)
    assert problem.likelihood == UnknownGaussian()
    assert torch.equal(problem.y, degraded(png, seed=5).y)
    facts = json.loads(json.dumps(problem.facts()))
    assert facts["likelihood"] == "unknown"
    assert facts["simulated_by"] == "Gaussian(sigma_y=0.1)"
    assert "sigma_y" not in facts
    with pytest.raises(ConfigError, match="--sigma-y"):
        degraded(png, likelihood="unknown", sigma_y=None)
    known = "unknown:concentration=3,rate=300"
    drawn = degraded(png, likelihood=known, sigma_y=None, seed=5)
    assert drawn.facts()["likelihood"] == known
    assert drawn.likelihood == UnknownGaussian(3.0, 300 / 127.5**2)
    assert drawn.simulated_by is None


def test_simulated_counts_are_counts_at_the_peaks_scale(png):
    problem = degraded(png, likelihood="poisson:peak=200", sigma_y=None, seed=5)
    rate = 100 * (operators.AveragePool(2)(problem.truth) + 1)
    assert torch.equal(problem.y, problem.y.round())
    spread = float(((problem.y - rate) ** 2 / rate).mean())
    assert abs(spread - 1) < 5 * math.sqrt((2 + 1 / 50) / 64)


def test_floats_from_0_to_1_without_a_range_are_doubted_and_those_from_minus_1_are_not(tmp_path):
    x = torch.tanh(noise.rows(0, 1).normal(SHAPE, noise.PROBE)).abs()
    box = "box:top=2,left=3,height=4,width=5"
    for operator in ("identity", "avgpool:factor=2", box, "hdr"):
        for shift, expected in ((0.0, 1), (-1.0, 0)):
            clean = x * (1 - shift) + shift
            np.save(tmp_path / "clean.npy", clean[0].numpy())
            A = operators.parse(operator, SHAPE)
            y = simulate(A, Gaussian(0.01), clean)[0].numpy()
            for problem in (
                degraded(tmp_path / "clean.npy", operator, 0.01),
                measured(tmp_path, y, operator=operator, sigma_y=0.01),
            ):
                doubts = problem.doubts()
                assert len(doubts) == expected
                assert all("--range 0 1" in doubt for doubt in doubts)


def test_magnitudes_that_are_never_negative_are_not_doubted(tmp_path):
    x = torch.tanh(noise.rows(0, 1).normal(SHAPE, noise.PROBE))
    y = simulate(operators.parse("phase", SHAPE), Gaussian(0.01), x)[0].abs().numpy()
    problem = measured(tmp_path, y, operator="phase", sigma_y=0.01, range=(-1.0, 1.0))
    assert problem.doubts() == []


def test_a_measurement_that_fills_little_of_its_range_is_doubted(tmp_path):
    values, bounds = np.random.default_rng(0).uniform(0, 100, SHAPE), (0, 65535)
    problem = measured(tmp_path, values, operator="identity", sigma_y=1.0, range=bounds)
    (doubt,) = problem.doubts()
    assert "0.15 % of 0 to 65535" in doubt


def picture(path, mode="L", size=(32, 32)):
    Image.new(mode, size).save(path)
    return path


def entries(**changes):
    """A plausible y; `changes` say which flat entries hold what."""
    y = np.zeros(FASHION, np.float32)
    for place, value in changes.items():
        y.flat[int(place[1:])] = value
    return y


def test_a_picture_of_another_size_or_channel_count_names_fit(sample):
    for mode, size in (("L", (28, 28)), ("RGB", (32, 32)), ("RGB", (40, 30))):
        says = sample(picture("p.png", mode, size), "--simulate", sigma_y=10)
        assert "--fit" in says
        assert str((3 if mode == "RGB" else 1, size[1], size[0])) in says
        assert str(FASHION) in says


def test_a_fit_that_cannot_be_is_refused_with_the_ones_that_can(sample):
    for side, fit, says in ((20, "crop", "pad or resize"), (40, "pad", "crop or resize")):
        clean = picture("p.png", size=(side, side))
        assert says in sample(clean, "--simulate", sigma_y=10, fit=fit)


def test_an_operator_that_cannot_be_says_what_is_wrong_with_it(sample):
    for operator, says in (
        ("blurr", "'blur'"),
        (":", "known: "),
        ("avgpool", "factor"),
        ("avgpool:4", "key=value"),
        ("avgpool:factor=", "whole number"),
        ("avgpool:factor=2.5", "whole number"),
        ("avgpool:factor=0", "at least 1"),
        ("blur:kernel_size=4", "kernel_size"),
        ("blur:std=-1", "std"),
        ("inpaint:keep=1.5", "keep"),
        ("box:top=30,left=0,height=8,width=8", "32"),
        ("box:top=0,left=0,height=32,width=32", "32"),
        ("mask:absent.npy", "absent.npy"),
        ("conv:absent.npy", "absent.npy"),
        ("hdr:factor=2+", "'2+'"),
    ):
        assert says in sample(operator=operator), operator


def test_a_likelihood_that_cannot_be_is_refused(sample):
    np.save("y.npy", np.full(FASHION, -0.5, np.float32))
    for text, sigma, flags, says in (
        ("cauchy", None, (), "studentt:df=D,scale=S"),
        ("poisson", None, (), "peak"),
        ("poisson:30", None, (), "keys of poisson: peak"),
        ("laplace:scale=0", None, (), "scale"),
        ("gaussian", None, (), "--sigma-y"),
        ("poisson:peak=30", 0.1, (), "leave it out"),
        ("laplace:scale=1", 0.1, (), "leave it out"),
        ("studentt:df=3,scale=1", 0.1, (), "leave it out"),
        ("unknown", 0.1, (), "leave it out"),
        ("poisson:peak=30", None, (), "Poisson wants counts"),
        ("poisson:peak=30", 0.1, ("--simulate",), "leave it out"),
        ("unknown", None, ("--simulate",), "give --sigma-y"),
    ):
        assert says in sample("y.npy", *flags, likelihood=text, sigma_y=sigma), text


def test_a_noise_level_that_is_none_is_refused(sample):
    picture("p.png")
    for sigma in ("0", "-0.1", "nan", "inf", None):
        assert "--sigma-y" in sample(sigma_y=sigma)
        assert "--sigma-y" in sample("p.png", "--simulate", sigma_y=sigma)


def test_nan_in_an_observed_entry_names_missing(sample):
    np.save("y.npy", entries(e0=np.nan, e5=np.nan, e9=np.inf))
    says = sample()
    assert "--missing" in says
    assert "2 NaN and 1 infinite" in says


def test_a_gap_does_not_excuse_another_entry(sample):
    np.save("y.npy", entries(e0=np.nan, e9=np.inf))
    assert "infinite" in sample(missing="nan")
    np.save("mask.npy", entries(e3=1) == 0)  # hides entry 3, not entry 0
    assert "1 NaN" in sample(observed="mask.npy")


def test_a_measurement_without_an_observed_entry_is_refused(sample):
    np.save("y.npy", np.full(FASHION, np.nan, np.float32))
    assert "no observed entry" in sample(missing="nan")


def test_a_mask_that_cannot_be_used_is_named(sample):
    np.save("small.npy", np.ones((8, 8), bool))
    for mask in ("absent.npy", "mask.txt", "small.npy"):
        assert mask in sample(missing=mask)
        assert mask in sample(observed=mask)


def test_a_measurement_of_another_shape_says_both_shapes(sample):
    for shape in ((1, 8, 8), (8, 8), (3, 32, 32), (2, 1, 32, 32), (32, 32, 1, 1), (1024,)):
        np.save("y.npy", np.zeros(shape, np.float32))
        says = sample(operator="avgpool:factor=2")
        assert str((1, 16, 16)) in says
        assert str(shape if len(shape) != 2 else (1, *shape)) in says


def test_a_range_that_is_none_is_refused(sample):
    for flags in ((), ("--simulate",)):
        for low, high in (("1", "-1"), ("2", "2"), ("nan", "1")):
            assert "--range LO HI" in sample("y.npy", *flags, "--range", low, high)


def test_floats_beyond_their_scale_name_the_range(sample):
    np.save("y.npy", entries(e0=255.0))
    assert "--range" in sample()


def test_a_damaged_file_is_named(sample):
    noisy = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    Image.fromarray(noisy).save("whole.png")
    half = Path("whole.png").read_bytes()
    damaged = {
        "truncated.png": half[: len(half) // 2],
        "truncated.npy": Path("y.npy").read_bytes()[:300],
        "empty.png": b"",
        **dict.fromkeys(("text.png", "text.jpg", "text.npy", "text.npz"), b"not an image at all"),
    }
    for name, content in damaged.items():
        Path(name).write_bytes(content)
        for flags in ((), ("--simulate",)):
            assert name in sample(name, *flags)


def test_a_file_that_is_not_there_or_no_image_is_named(sample):
    os.mkdir("folder")
    for known in ("notes.txt", "noextension"):
        Path(known).touch()
    absent = ("absent.png", "absent/y.npy", "y.npy/y.npy")
    for name in (*absent, "folder", "notes.txt", "noextension"):
        for flags in ((), ("--simulate",)):
            assert name in sample(name, *flags)
