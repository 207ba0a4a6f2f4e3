"""Continuous-time distillation: the tangent is that of the closed form, a perfect student has none,
and the gradient goes against it."""

import math

import pytest
import torch
from torch import Tensor

from noisewalk.errors import ConfigError
from noisewalk.priors.train.losses.continuous_consistency import FLOOR, TangentLoss

MEAN, VARIANCE, LOW = 0.2, 0.16, 0.002
DATA = 0.5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def teacher_of(x: Tensor, s: Tensor) -> Tensor:
    return MEAN + (x - MEAN) * VARIANCE / (VARIANCE + s**2)


def ode_end(x: Tensor, s: Tensor) -> Tensor:
    """The probability flow of N(MEAN, VARIANCE) down to sigma_min: the perfect student."""
    return MEAN + (x - MEAN) * torch.sqrt((VARIANCE + LOW**2) / (VARIANCE + s**2))


def images(count: int) -> Tensor:
    return (MEAN + math.sqrt(VARIANCE) * torch.randn(count, 1, 2, 2, generator=seeded(3))).double()


def test_the_perfect_student_has_no_tangent(play) -> None:
    student, teacher = play("consistency", ode_end), play("edm", teacher_of)
    loss = TangentLoss(student, teacher, p_mean=0.0, p_std=1.0)(
        student.network, images(200), seeded(), 0.0
    )
    assert loss.shape == (200,)
    assert float(loss.detach().max()) < 1e-3
    worse = play(
        "consistency",
        lambda x, s: MEAN + (x - MEAN) * torch.sqrt((VARIANCE + LOW**2) / (VARIANCE + s**1.9)),
    )
    assert (
        float(
            TangentLoss(worse, teacher, p_mean=0.0, p_std=1.0)(
                worse.network, images(200), seeded(), 0.0
            )
            .detach()
            .median()
        )
        > 0.05
    )


def test_the_loss_is_the_normalised_tangent_and_its_gradient_goes_against_it(play) -> None:
    student, teacher = play("consistency", lambda x, s: x / (1 + s)), play("edm", teacher_of)
    network = student.network
    loss = TangentLoss(student, teacher, p_mean=0.5, p_std=0.7)(network, images(50), seeded(), 0.0)
    call = next(call for call in network.calls if call.with_grad)
    x, t = call.x, call.sigma.view(-1, 1, 1, 1)
    slope = (x - teacher_of(x, t)) / t
    c_out = (t - LOW) * DATA / torch.sqrt(t**2 + DATA**2)
    g = t / c_out * (slope / (1 + t) - x / (1 + t) ** 2)  # by hand
    size = g.square().flatten(1).mean(1).sqrt().view(-1, 1, 1, 1)
    direction = g / (size + FLOOR)
    torch.testing.assert_close(loss, direction.square().flatten(1).mean(1), rtol=1e-4, atol=1e-6)
    (gradient,) = torch.autograd.grad(loss.sum(), network.shift)
    torch.testing.assert_close(
        gradient,
        (2 * direction).flatten(1).mean(1).div(c_out.flatten()).sum(),
        rtol=1e-3,
        atol=1e-4,
    )


def test_a_step_of_training_lowers_the_tangent(play) -> None:
    """The student ode_end + shift, whose tangent is that of the shift: its gradient leads back to
    0."""
    student, teacher = play("consistency", lambda x, s: ode_end(x, s)), play("edm", teacher_of)
    for shift in (-0.3, 0.3):
        moved = play("consistency", lambda x, s, shift=shift: ode_end(x, s) + shift * s / (1 + s))
        loss = TangentLoss(moved, teacher, p_mean=0.0, p_std=0.5)(
            moved.network, images(400), seeded(), 0.0
        ).sum()
        (gradient,) = torch.autograd.grad(loss, moved.network.shift)
        assert float(gradient) * shift > 0
    assert student.kind == "consistency"


def test_levels_stay_inside_and_the_noise_is_the_generators(play) -> None:
    student, teacher = play("consistency", ode_end), play("edm", teacher_of)
    state = torch.get_rng_state()
    first, second = (
        TangentLoss(student, teacher, p_mean=-6.0, p_std=4.0)(
            student.network, images(300), seeded(7), 0.0
        )
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    sigma = torch.cat([call.sigma for call in student.network.calls])
    assert float(sigma.min()) >= 2 * LOW * (1 - 1e-5)
    assert float(sigma.max()) <= 80.0 * (1 + 1e-5)


def test_values_that_are_not_allowed_are_refused(play) -> None:
    for bad in [{"p_mean": math.nan}, {"p_std": 0.0}]:
        with pytest.raises(ConfigError, match=next(iter(bad))):
            TangentLoss(play("consistency", ode_end), play("edm", teacher_of), **bad)


def test_kinds_are_checked(play) -> None:
    with pytest.raises(ConfigError, match="denoiser must be a denoiser of kind 'consistency'"):
        TangentLoss(play("edm", teacher_of), play("edm", teacher_of))
    with pytest.raises(ConfigError, match="teacher must be a denoiser of kind 'edm'"):
        TangentLoss(play("consistency", ode_end), play("consistency", ode_end))
