from itertools import pairwise

import pytest
import torch
from torch import Tensor
from toys import Scale, Smooth, draw

from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.evaluate.baselines import dps, lgd
from noisewalk.likelihoods import Gaussian
from noisewalk.maps.ode import karras_sigmas

SCALE = Scale(torch.tensor([0.2, 1.0, 3.0, 9.0], dtype=torch.float64), sigma_max=1.0)
MATRIX, Y = draw((3, 4), seed=1)[0], draw((3,), 2, seed=2)


def operator(x: Tensor) -> Tensor:
    return x @ MATRIX.T


def by_hand(rule: str, zeta: float, copies: int, num_steps: int) -> Tensor:
    """The loop on a diagonal denoiser, its gradient worked out."""
    sigmas, rows = [*karras_sigmas(num_steps, 0.002, 1.0).tolist(), 0.0], noise.rows(3, 2)
    x = rows.normal((4,), noise.INIT, torch.float64)
    for i, (sigma, lower) in enumerate(pairwise(sigmas)):
        gain, here = SCALE.gain(sigma), rows.at(i)
        x0, inside = gain * x, torch.ones(2, 4, dtype=torch.bool)
        if rule == "released":
            x0, inside = x0.clamp(-1, 1), x0.abs() < 1
        perturbed = x0[:, None] + sigma / (1 + sigma**2) ** 0.5 * here.normal(
            (copies, 4), noise.JITTER, torch.float64
        )
        residual = Y[:, None] - operator(perturbed)
        if rule == "released":
            slope = (residual / residual.norm(dim=2, keepdim=True)).sum(1) * sigma
        else:
            share = torch.softmax(-(residual**2).sum(2) / (2 * 0.3**2), 1)
            slope = (share[..., None] * residual).sum(1) / 0.3**2
        euler = x + (x - x0) / sigma * (lower**2 / sigma - sigma)
        n = here.normal((4,), noise.PROPOSAL, torch.float64)
        x = (
            euler
            + (lower**2 * (sigma**2 - lower**2)) ** 0.5 / sigma * n
            + zeta * (slope @ MATRIX) * inside * gain
        )
    return x


def test_a_rule_is_its_formula() -> None:
    for rule, zeta in (("released", 0.7), ("text", 0.02)):
        for copies in (1, 3):
            how = {"zeta": zeta, "num_mc": copies, "rule": rule, "likelihood": Gaussian(0.3)}
            found = lgd(SCALE, operator, Y, num_steps=6, seed=3, progress=False, **how)[:, 0]
            expected = by_hand(rule, zeta, copies, 6)
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_at_small_noise_levels_it_is_dps() -> None:
    quiet = Scale(SCALE.variance, sigma_min=1e-9, sigma_max=1e-6)
    for rule, copies, zeta in (("released", 1, 1e4), ("text", 1, 0.01), ("text", 4, 0.01)):
        how = {
            "progress": False,
            "num_steps": 4,
            "rule": rule,
            "likelihood": Gaussian(0.3),
            "zeta": zeta,
        }
        one, other = lgd(quiet, operator, Y, num_mc=copies, **how), dps(quiet, operator, Y, **how)
        assert other.abs().max() > 1e-2
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_copies_are_a_whole_number() -> None:
    with pytest.raises(ConfigError, match="num_mc"):
        lgd(Smooth(), lambda x: x, torch.zeros(1, 1, 8, 8), num_mc=0)
