"""EDM's loss: its formula, its noise, and that its optimum is the posterior mean."""

import math

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.priors.train.losses.diffusion import DiffusionLoss


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_loss_is_the_formula_computed_by_hand_from_the_points_it_evaluates(play) -> None:
    def bent(x, s):
        return 0.3 * x + torch.tanh(x) / (1 + s)

    x = torch.randn(6, 2, 3, 4, generator=seeded(1)).clamp(-1, 1)
    trained = play("edm", bent, (2, 3, 4)).network
    loss = DiffusionLoss(play("edm", lambda x, s: 0 * x, (2, 3, 4)))(trained, x, seeded(), 0.5)
    (call,) = trained.calls
    for i in range(6):
        sigma, x_t = float(call.sigma[i]), call.x[i]
        error = bent(x_t, sigma) - x[i].double()
        weight = (sigma**2 + 0.25) / (sigma * 0.5) ** 2
        # float32: sigma and x_t carry a few 1e-7 of their size, and the error is at least of the
        # order of sigma
        assert float(loss[i].detach()) == pytest.approx(weight * float((error**2).mean()), rel=2e-4)


@pytest.mark.parametrize(("mean", "std"), [(-1.2, 1.2), (-1.0, 1.4)])
def test_the_noise_is_standard_normal_and_its_level_lognormal_and_independent(
    play, mean: float, std: float
) -> None:
    count = 20000
    denoiser = play("edm", lambda x, s: 0 * x, (1, 1, 1))
    DiffusionLoss(denoiser, mean, std)(denoiser.network, torch.zeros(count, 1, 1, 1), seeded(), 0.0)
    (call,) = denoiser.network.calls
    n, level = call.x.flatten() / call.sigma, (torch.log(call.sigma) - mean) / std
    se = 1 / math.sqrt(count)
    for sample in (n, level):
        assert abs(float(sample.mean())) < 5 * se
        assert abs(float(sample.var()) - 1) < 5 * math.sqrt(2) * se
        assert abs(float((sample**4).mean()) - 3) < 5 * math.sqrt(96) * se
    assert abs(float((n * level).mean())) < 5 * se


def test_the_loss_of_the_posterior_mean_of_N_0_sigma_data_is_chi_square_at_every_level(
    play,
) -> None:
    count, pixels = 4000, 4
    denoiser = play("edm", lambda x, s: x * 0.25 / (0.25 + s**2))
    x = 0.5 * torch.randn(count, 1, 2, 2, generator=seeded(2))
    loss = DiffusionLoss(denoiser)(denoiser.network, x, seeded(), 0.0).detach().double()
    assert abs(float(loss.mean()) - 1) < 5 * math.sqrt(2 / pixels / count)
    # Var of chi2_k / k: 2 / k, whose estimate has the variance (mu_4 - mu_2^2) / count with mu_4 =
    # (12 k^2 + 48 k) / k^4
    spread = math.sqrt(((12 * pixels**2 + 48 * pixels) / pixels**4 - (2 / pixels) ** 2) / count)
    assert abs(float(loss.var()) - 2 / pixels) < 5 * spread
    level = torch.log(denoiser.network.calls[0].sigma)
    assert abs(float(torch.corrcoef(torch.stack([loss, level]))[0, 1])) < 5 / math.sqrt(count)


MEAN, VARIANCE = 0.3, 0.09
DIRECTIONS = {
    "constant": lambda x, s: 1 + 0 * x,
    "linear": lambda x, s: (x - MEAN) / torch.sqrt(VARIANCE + s**2),
    "cubic": lambda x, s: ((x - MEAN) / torch.sqrt(VARIANCE + s**2)) ** 3,
    "at high noise": lambda x, s: (x - MEAN) / torch.sqrt(VARIANCE + s**2) * (s > 0.5),
    "at low noise": lambda x, s: (x - MEAN) / torch.sqrt(VARIANCE + s**2) * (s < 0.1),
}


def slope(play, variance: float, direction: str) -> torch.Tensor:
    """Derivative of each image's loss at the denoiser of N(MEAN, variance), along a direction; the
    loss is quadratic, so the difference is exact."""

    def loss(step: float) -> torch.Tensor:
        def moved(x, s):
            exact = MEAN + (x - MEAN) * variance / (variance + s**2)
            return exact + step * DIRECTIONS[direction](x, s) * s / torch.sqrt(s**2 + 0.25)

        denoiser = play("edm", moved)
        x = MEAN + math.sqrt(VARIANCE) * torch.randn(3000, 1, 2, 2, generator=seeded(3))
        return DiffusionLoss(denoiser)(denoiser.network, x, seeded(), 0.0).double()

    return (loss(0.5) - loss(-0.5)).detach()


def significance(sample: torch.Tensor) -> float:
    return abs(float(sample.mean() / sample.std())) * math.sqrt(len(sample))


def test_the_optimum_on_gaussian_data_is_the_closed_form_denoiser(play) -> None:
    for direction in DIRECTIONS:
        assert significance(slope(play, VARIANCE, direction)) < 4.5


def test_the_denoiser_of_another_variance_is_no_optimum(play) -> None:
    for direction in ["linear", "cubic", "at high noise", "at low noise"]:
        assert significance(slope(play, 2 * VARIANCE, direction)) > 4.5


def test_values_that_are_not_allowed_are_refused(play) -> None:
    for bad in [{"p_mean": math.inf}, {"p_std": 0.0}, {"p_std": -1.0}, {"p_std": math.nan}]:
        with pytest.raises(ConfigError, match=next(iter(bad))):
            DiffusionLoss(play("edm", torch.mul), **bad)


def test_the_scaling_of_a_consistency_model_is_refused(play) -> None:
    with pytest.raises(ConfigError, match="kind 'edm', got one of kind 'consistency'"):
        DiffusionLoss(play("consistency", torch.mul))


def test_an_images_loss_does_not_depend_on_the_other_images(play) -> None:
    denoiser = play("edm", lambda x, s: torch.tanh(x))
    x = torch.zeros(3, 1, 2, 2)
    alone = DiffusionLoss(denoiser)(denoiser.network, x, seeded(), 0.0)
    x[1] = torch.nan
    beside = DiffusionLoss(denoiser)(denoiser.network, x, seeded(), 0.0)
    assert alone.shape == (3,)
    assert torch.equal(alone[[0, 2]], beside[[0, 2]])
    assert beside[1].isnan()
