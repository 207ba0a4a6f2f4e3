import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from noisewalk import noise, operators
from noisewalk.cli.problem import from_image, from_measurement, simulated
from noisewalk.errors import ConfigError
from noisewalk.files import ValueRange
from noisewalk.likelihoods import Gaussian, Laplace, Poisson, StudentT, UnknownGaussian
from noisewalk.maps import Warp

SHAPE = (1, 16, 16)
PRIOR, PHI = SimpleNamespace(name="toy", shape=SHAPE), Warp(SHAPE)
BYTES, UNIT = ValueRange(0.0, 255.0), ValueRange(-1.0, 1.0)


def images(count=2, seed=0):
    return torch.tanh(noise.rows(seed, count).normal(SHAPE, noise.PROBE))


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "clean.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)).save(path)
    return path


def test_a_simulated_measurement_is_the_operator_plus_keyed_noise_of_every_image():
    x = images()
    problem = simulated(PRIOR, PHI, "avgpool:factor=2", Gaussian(0.1), x, BYTES, "two", seed=3)
    expected = operators.AveragePool(2)(x) + 0.1 * noise.rows(3, 2).normal(
        (1, 8, 8), noise.SIMULATE
    )
    torch.testing.assert_close(problem.y, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(problem.truth, x)
    assert problem.observed is None
    assert not torch.equal(
        problem.y,
        simulated(PRIOR, PHI, "avgpool:factor=2", Gaussian(0.1), x, BYTES, "two", seed=4).y,
    )
    first = simulated(PRIOR, PHI, "avgpool:factor=2", Gaussian(0.1), x[:1], BYTES, "one", seed=3)
    torch.testing.assert_close(
        first.y, problem.y[:1], rtol=1e-6, atol=1e-6
    )  # an image's noise does not know the others


def test_simulated_noise_has_the_asked_level():
    shape = (1, 96, 96)
    problem = simulated(
        SimpleNamespace(name="toy", shape=shape),
        Warp(shape),
        "hdr:factor=1",
        Gaussian(0.3),
        torch.zeros(2, *shape),
        UNIT,
        "zeros",
    )
    size = problem.y.numel()
    assert abs(float(problem.y.double().square().mean()) / 0.09 - 1) < 5 * math.sqrt(2 / size)


def test_what_the_operator_hides_is_not_simulated():
    problem = simulated(
        PRIOR, PHI, "box:top=2,left=3,height=4,width=5", Gaussian(0.1), images(), BYTES, "two"
    )
    assert (problem.y[:, :, 2:6, 3:8] == 0).all()
    assert int((problem.y == 0).sum()) == 2 * 20
    assert problem.target().num_observed.tolist() == [256 - 20] * 2


def test_the_target_is_the_problem_as_it_says():
    problem = simulated(PRIOR, PHI, "avgpool:factor=2", Gaussian(0.1), images(), BYTES, "two")
    target = problem.target(microbatch=3)
    assert (target.phi, target.operator, target.microbatch, target.num_images) == (
        PHI,
        operators.AveragePool(2),
        3,
        2,
    )
    z = noise.rows(1, 2, 2).normal(SHAPE, noise.PROBE)
    expected = Gaussian(0.1).nll(operators.AveragePool(2)(PHI(z)), problem.y[[0, 0, 1, 1]])
    torch.testing.assert_close(target(z).nll, expected, rtol=1e-6, atol=1e-6)


def test_the_facts_are_json_and_complete():
    problem = simulated(PRIOR, PHI, "hdr:factor=2", Gaussian(0.1), images(), BYTES, "two")
    facts = json.loads(json.dumps(problem.facts()))
    assert facts["title"] == "two: hdr:factor=2"
    assert facts["value_range"] == [0.0, 255.0]
    assert (facts["prior"], facts["operator"], facts["sigma_y"], facts["simulated"]) == (
        "toy",
        "hdr:factor=2",
        0.1,
        True,
    )


def test_an_image_file_is_degraded_in_its_own_unit(png):
    problem = from_image(
        png, PRIOR, PHI, "avgpool:factor=2", "gaussian", 12.75, None, None, 5, "cpu"
    )
    pixels = np.asarray(Image.open(png), np.float64)
    np.testing.assert_allclose(problem.truth[0, 0].numpy(), pixels / 127.5 - 1, atol=1e-6)
    assert problem.likelihood.sigma_y == pytest.approx(0.1)
    assert problem.value_range == BYTES
    assert problem.title == "clean.png: avgpool:factor=2"
    again = simulated(
        PRIOR, PHI, "avgpool:factor=2", problem.likelihood, problem.truth, BYTES, "clean.png", 5
    )
    assert torch.equal(problem.y, again.y)


def test_an_image_of_another_size_needs_to_be_fitted(png):
    small = SimpleNamespace(name="toy", shape=(1, 8, 8))
    with pytest.raises(ConfigError, match="--fit"):
        from_image(
            png, small, Warp((1, 8, 8)), "hdr:factor=2", "gaussian", 10.0, None, None, 0, "cpu"
        )
    assert from_image(
        png, small, Warp((1, 8, 8)), "hdr:factor=2", "gaussian", 10.0, None, "crop", 0, "cpu"
    ).y.shape == (1, 1, 8, 8)


def test_a_measurement_file_is_y_on_the_librarys_scale(tmp_path):
    values = np.random.default_rng(1).uniform(100, 300, (8, 8))
    np.save(tmp_path / "y.npy", values)
    problem = from_measurement(
        tmp_path / "y.npy",
        PRIOR,
        PHI,
        "avgpool:factor=2",
        "gaussian",
        5.0,
        ValueRange(100, 300),
        None,
        "cpu",
    )
    np.testing.assert_allclose(problem.y[0, 0].numpy(), (values - 200) / 100, atol=1e-6)
    assert problem.likelihood.sigma_y == pytest.approx(0.05)
    assert (problem.truth, problem.observed, problem.facts()["simulated"]) == (None, None, False)


def test_gaps_of_a_measurement_come_on_top_of_the_operators_own(tmp_path):
    values = np.zeros((16, 16), np.float32)
    values[0, :4] = np.nan
    np.save(tmp_path / "y.npy", values)
    operator = "box:top=8,left=0,height=8,width=16"
    with pytest.raises(ConfigError, match="--missing"):
        from_measurement(
            tmp_path / "y.npy", PRIOR, PHI, operator, "gaussian", 0.1, None, None, "cpu"
        )
    problem = from_measurement(
        tmp_path / "y.npy", PRIOR, PHI, operator, "gaussian", 0.1, None, "nan", "cpu"
    )
    assert problem.observed.shape == (1, *SHAPE)
    assert int((~problem.observed).sum()) == 4
    assert problem.target().num_observed.tolist() == [8 * 16 - 4]


def measured(tmp_path, values, likelihood, sigma_y=None, value_range=None, missing=None):
    np.save(tmp_path / "y.npy", values)
    return from_measurement(
        tmp_path / "y.npy",
        PRIOR,
        PHI,
        "avgpool:factor=2",
        likelihood,
        sigma_y,
        value_range,
        missing,
        "cpu",
    )


def test_the_noise_is_scaled_by_half_the_range(tmp_path):
    y, bounds = np.full((8, 8), 30.0), ValueRange(10.0, 50.0)
    assert measured(tmp_path, y, "gaussian", 2.0, bounds).likelihood.sigma_y == pytest.approx(0.1)
    assert measured(tmp_path, y, "laplace:scale=2", None, bounds).likelihood == Laplace(0.1)
    assert measured(tmp_path, y, "studentt:df=4,scale=2", None, bounds).likelihood == StudentT(
        4.0, 0.1
    )
    assert measured(tmp_path, y, "unknown", None, bounds).likelihood == UnknownGaussian()
    assert measured(
        tmp_path, y, "unknown:concentration=2,rate=8", None, bounds
    ).likelihood == UnknownGaussian(2.0, 0.02)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32])
@pytest.mark.parametrize("value_range", [None, ValueRange(0.0, 1000.0)])
def test_a_poisson_measurement_stays_counts_whatever_the_type_and_the_range(
    tmp_path, dtype, value_range
):
    counts = np.arange(64).reshape(8, 8).astype(dtype)
    problem = measured(tmp_path, counts, "poisson:peak=30", None, value_range)
    assert np.array_equal(problem.y[0, 0].numpy(), counts.astype(np.float32))
    assert problem.likelihood == Poisson(30.0)
    assert problem.value_range == (value_range or UNIT)  # of the outputs
    assert problem.target().num_observed.tolist() == [64]


def test_counts_below_0_are_refused_unless_missing(tmp_path):
    counts = np.ones((8, 8))
    counts[0, :2] = -1
    with pytest.raises(ConfigError, match=r"Poisson wants counts.* 2 observed entries"):
        measured(tmp_path, counts, "poisson:peak=30").target()
    np.save(tmp_path / "mask.npy", counts >= 0)
    assert measured(
        tmp_path, counts, "poisson:peak=30", missing=tmp_path / "mask.npy"
    ).target().num_observed.tolist() == [62]


@pytest.mark.parametrize("sigma", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_a_noise_level_that_is_none_is_refused(tmp_path, png, sigma):
    with pytest.raises(ConfigError, match="--sigma-y"):
        measured(tmp_path, np.zeros((8, 8)), "gaussian", sigma)
    with pytest.raises(ConfigError, match="--sigma-y"):
        from_image(png, PRIOR, PHI, "avgpool:factor=2", "gaussian", sigma, None, None, 0, "cpu")


@pytest.mark.parametrize(
    "likelihood", ["poisson:peak=30", "laplace:scale=1", "studentt:df=3,scale=1", "unknown"]
)
def test_a_noise_level_beside_another_likelihood_is_refused(tmp_path, likelihood):
    with pytest.raises(ConfigError, match="--sigma-y"):
        measured(tmp_path, np.zeros((8, 8)), likelihood, 0.1)


def test_an_unknown_level_is_simulated_at_one_that_the_sampler_is_not_told(png):
    arguments = png, PRIOR, PHI, "avgpool:factor=2"
    problem = from_image(*arguments, "unknown", 12.75, None, None, 5, "cpu")
    assert problem.likelihood == UnknownGaussian()
    assert torch.equal(problem.y, from_image(*arguments, "gaussian", 12.75, None, None, 5, "cpu").y)
    facts = json.loads(json.dumps(problem.facts()))
    assert (facts["likelihood"], facts["simulated_by"], "sigma_y" in facts) == (
        "unknown:concentration=0.001,rate=0.001",
        "Gaussian(sigma_y=0.1)",
        False,
    )
    with pytest.raises(ConfigError, match="--sigma-y"):
        from_image(*arguments, "unknown", None, None, None, 5, "cpu")
    drawn = from_image(*arguments, "unknown:concentration=3,rate=300", None, None, None, 5, "cpu")
    assert drawn.facts()["likelihood"].startswith("unknown:concentration=3.0,rate=0.0184")
    assert drawn.simulated_by is None


def test_simulated_counts_are_counts_at_the_peaks_scale(png):
    problem = from_image(
        png, PRIOR, PHI, "avgpool:factor=2", "poisson:peak=200", None, None, None, 5, "cpu"
    )
    rate = 100 * (operators.AveragePool(2)(problem.truth) + 1)
    assert torch.equal(problem.y, problem.y.round())
    assert abs(float(((problem.y - rate) ** 2 / rate).mean()) - 1) < 5 * math.sqrt(
        (2 + 1 / 50) / 64
    )


@pytest.mark.parametrize(
    "operator", ["identity", "avgpool:factor=2", "box:top=2,left=3,height=4,width=5", "hdr"]
)
def test_floats_from_0_to_1_without_a_range_are_doubted_and_those_from_minus_1_are_not(
    tmp_path, operator
):
    for shift, expected in ((0.0, ["--range 0 1"]), (-1.0, [])):
        problem = simulated(
            PRIOR, PHI, operator, Gaussian(0.01), images().abs() * (1 - shift) + shift, UNIT, "two"
        )
        assert [
            key for doubt in problem.doubts() for key in ["--range 0 1"] if key in doubt
        ] == expected
        assert len(problem.doubts()) == len(expected)
        np.save(tmp_path / "y.npy", problem.y[0].numpy())
        measured = from_measurement(
            tmp_path / "y.npy", PRIOR, PHI, operator, "gaussian", 0.01, None, None, "cpu"
        )
        assert len(measured.doubts()) == len(expected)


def test_magnitudes_that_are_never_negative_are_not_doubted(tmp_path):
    problem = simulated(PRIOR, PHI, "phase", Gaussian(0.01), images(), UNIT, "two")
    np.save(tmp_path / "y.npy", problem.y[0].abs().numpy())
    assert (
        from_measurement(
            tmp_path / "y.npy", PRIOR, PHI, "phase", "gaussian", 0.01, UNIT, None, "cpu"
        ).doubts()
        == []
    )


def test_a_measurement_that_fills_little_of_its_range_is_doubted(tmp_path):
    np.save(tmp_path / "y.npy", np.random.default_rng(0).uniform(0, 100, SHAPE))
    problem = from_measurement(
        tmp_path / "y.npy",
        PRIOR,
        PHI,
        "identity",
        "gaussian",
        1.0,
        ValueRange(0, 65535),
        None,
        "cpu",
    )
    assert len(problem.doubts()) == 1
    assert "0.15 % of 0 to 65535" in problem.doubts()[0]
