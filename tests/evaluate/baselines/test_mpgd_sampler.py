from itertools import pairwise

import torch
from torch import Tensor
from toys import Scale, draw

from noisewalk import noise
from noisewalk.evaluate.baselines import mpgd
from noisewalk.likelihoods import Gaussian
from noisewalk.maps.ode import karras_sigmas

SCALE = Scale(torch.tensor([0.2, 1.0, 3.0, 9.0], dtype=torch.float64))
MATRIX, Y = draw((3, 4), seed=1)[0], draw((3,), 2, seed=2)


def by_hand(rule: str, zeta: float, num_steps: int) -> Tensor:
    """The loop with the estimate's gradient worked out."""
    sigmas, rows = [*karras_sigmas(num_steps, 0.002, 80.0).tolist(), 0.0], noise.rows(3, 2)
    x = 80 * rows.normal((4,), noise.INIT, torch.float64)
    for i, (sigma, lower) in enumerate(pairwise(sigmas)):
        x0 = SCALE.gain(sigma) * x
        x0 = x0.clamp(-1, 1) if rule == "released" else x0
        residual = Y - x0 @ MATRIX.T
        slope = (
            10 * residual / residual.norm(dim=1, keepdim=True)
            if rule == "released"
            else residual / 0.3**2
        )
        x0 = x0 + zeta * slope @ MATRIX
        n = rows.at(i).normal((4,), noise.PROPOSAL, torch.float64)
        x = (
            x
            + (x - x0) / sigma * (lower**2 / sigma - sigma)
            + (lower**2 * (sigma**2 - lower**2)) ** 0.5 / sigma * n
        )
    return x


def test_a_rule_is_its_formula_and_nothing_is_clamped_after_it() -> None:
    for rule, zeta in (("released", 0.2), ("text", 0.02)):
        expected = by_hand(rule, zeta, 6)
        assert expected.abs().max() > 1
        how = {"zeta": zeta, "rule": rule, "likelihood": Gaussian(0.3)}
        found = mpgd(SCALE, lambda x: x @ MATRIX.T, Y, num_steps=6, seed=3, progress=False, **how)
        torch.testing.assert_close(found[:, 0], expected, rtol=1e-9, atol=1e-9)


def test_the_network_is_not_differentiated() -> None:
    modes = []

    class Watched(Scale):
        def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
            modes.append((torch.is_grad_enabled(), x_t.requires_grad))
            return super().__call__(x_t, sigma)

    with torch.enable_grad():
        mpgd(Watched(SCALE.variance), lambda x: x @ MATRIX.T, Y, num_steps=3, progress=False)
    assert modes == [(False, False)] * 3
