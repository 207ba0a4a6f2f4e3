"""Latent inversion: on maps whose answer is known, and on a tiny random network."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from noisewalk.errors import ConfigError
from noisewalk.maps.consistency import Consistency
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.train.inversion import Inversion, invert, summarise_inversion
from noisewalk.priors.train.network import new_network


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Scaled:
    """x = gain z + 0.1, pixel by pixel."""

    shape = data_shape = (1, 2, 2)
    nfe = 1
    gain = torch.tensor([0.5, 1.0, 2.0, 0.25]).view(1, 2, 2)

    def __call__(self, z: Tensor) -> Tensor:
        return self.gain * z + 0.1


def test_the_likelihoods_fit_of_an_invertible_map_is_exact() -> None:
    phi, images = Scaled(), 0.3 * normal(3, 1, 2, 2).clamp(-1, 1)
    found = invert(phi, images, num_steps=300, lr=0.05, batch_size=2)
    torch.testing.assert_close(found.z, (images - 0.1) / phi.gain, atol=1e-4, rtol=0)
    assert float(found.psnr.min()) > 50
    torch.testing.assert_close(found.size, found.z.double().square().mean((1, 2, 3)))


def test_the_weight_shrinks_z_as_ridge_regression_does() -> None:
    phi, images = Scaled(), 0.3 * normal(3, 1, 2, 2).clamp(-1, 1)
    free = float(invert(phi, images, num_steps=300, lr=0.05).size.mean())
    for weight in (0.04, 0.5):
        found = invert(phi, images, num_steps=300, lr=0.05, prior_weight=weight)
        # where gain (gain z + shift - x) + w z = 0
        expected = phi.gain * (images - 0.1) / (phi.gain**2 + weight)
        torch.testing.assert_close(found.z, expected, atol=1e-4, rtol=0)
        assert float(found.size.mean()) < free


@pytest.fixture(scope="module")
def student() -> NetworkDenoiser:
    network = new_network(8, 1, (32,)).eval().requires_grad_(False)
    return NetworkDenoiser(network, "consistency", (1, 8, 8))


@pytest.mark.parametrize("midpoints", [(), (1.0,)], ids=["one step", "two steps"])
def test_what_a_network_makes_is_found_again_better_than_what_it_cannot_make(
    student: NetworkDenoiser, midpoints: tuple[float, ...]
) -> None:
    phi = Consistency(replace(student, sigma_max=2.0), midpoints)
    with torch.no_grad():
        own = phi(normal(3, 1, 8, 8))
    calls: list[int] = []

    class Counted(Consistency):
        def __call__(self, z: Tensor) -> Tensor:
            calls.append(len(z))
            return super().__call__(z)

    before, after = (invert(phi, own, steps, lr=0.05) for steps in (0, 30))
    assert float((after.psnr - before.psnr).min()) > 3
    found = invert(Counted(phi.denoiser, midpoints), own, 4, batch_size=2)
    assert calls.count(2) + calls.count(1) == len(calls)
    assert sum(calls) == 3 * 6  # the start, four steps, and the fit, three images each
    with torch.no_grad():
        error = (
            (((phi(found.z) + 1) / 2).clamp(0, 1) - ((own + 1) / 2).clamp(0, 1))
            .double()
            .square()
            .mean((1, 2, 3))
        )
    torch.testing.assert_close(found.psnr, -10 * torch.log10(error), atol=1e-3, rtol=0)


def test_the_start_is_one_noise_per_image_whatever_the_batch(student: NetworkDenoiser) -> None:
    phi, images = Consistency(student), torch.zeros(3, 1, 8, 8)
    whole, parts = (invert(phi, images, 0, batch_size=b).z for b in (3, 2))
    assert torch.equal(whole, parts)
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole, invert(phi, images, 0, seed=1).z)


def test_values_that_are_not_allowed_are_refused(student: NetworkDenoiser) -> None:
    for bad in [{"prior_weight": -0.1}, {"prior_weight": math.nan}, {"num_steps": -1}, {"lr": 0.0}]:
        with pytest.raises(ConfigError, match=next(iter(bad))):
            invert(Consistency(student), torch.zeros(1, 1, 8, 8), **{"num_steps": 1, **bad})


def test_the_summary_is_the_means_and_their_errors() -> None:
    found = Inversion(torch.zeros(2, 1), torch.tensor([20.0, 24.0]), torch.tensor([0.9, 1.1]))
    assert summarise_inversion(found) == pytest.approx(
        {"psnr": 22.0, "psnr_se": 2.0, "z_squared_per_dim": 1.0, "z_squared_per_dim_se": 0.1}
    )
