from itertools import pairwise

import torch
from torch import Tensor
from toys import Scale, draw

from noisewalk import noise
from noisewalk.evaluate.baselines import dps
from noisewalk.likelihoods import Gaussian
from noisewalk.maps.ode import karras_sigmas

SCALE = Scale(torch.tensor([0.2, 1.0, 3.0, 9.0], dtype=torch.float64))
MATRIX, Y = draw((3, 4), seed=1)[0], draw((3,), 2, seed=2)


def by_hand(rule: str, zeta: float, seed: int, num_steps: int) -> tuple[Tensor, int]:
    """The loop on a diagonal denoiser, its gradient worked out; and how often the clamp bit."""
    sigmas, rows, clamped = (
        [*karras_sigmas(num_steps, 0.002, 80.0).tolist(), 0.0],
        noise.rows(seed, 2),
        0,
    )
    x = 80 * rows.normal((4,), noise.INIT, torch.float64)
    for i, (sigma, lower) in enumerate(pairwise(sigmas)):
        gain, n = SCALE.gain(sigma), rows.at(i).normal((4,), noise.PROPOSAL, torch.float64)
        x0, inside = gain * x, torch.ones(2, 4, dtype=torch.bool)
        if rule == "released":
            inside = x0.abs() < 1
            x0, clamped = x0.clamp(-1, 1), clamped + int((~inside).sum())
        residual = Y - x0 @ MATRIX.T
        slope = (
            residual / residual.norm(dim=1, keepdim=True) * sigma
            if rule == "released"
            else residual / 0.3**2
        )
        gradient = -(slope @ MATRIX) * inside * gain
        euler = x + (x - x0) / sigma * (lower**2 / sigma - sigma)
        x = euler + (lower**2 * (sigma**2 - lower**2)) ** 0.5 / sigma * n - zeta * gradient
    return x, clamped


def test_the_released_rule_is_the_formula_clamp_included() -> None:
    expected, clamped = by_hand("released", 0.7, seed=3, num_steps=6)
    assert 0 < clamped < 6 * 8
    found = dps(SCALE, lambda x: x @ MATRIX.T, Y, num_steps=6, seed=3, progress=False, zeta=0.7)
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-9, atol=1e-9)


def test_the_text_is_the_formula() -> None:
    expected, _ = by_hand("text", 0.02, seed=3, num_steps=6)
    how = {"zeta": 0.02, "rule": "text", "likelihood": Gaussian(0.3)}
    found = dps(SCALE, lambda x: x @ MATRIX.T, Y, num_steps=6, seed=3, progress=False, **how)
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-9, atol=1e-9)
