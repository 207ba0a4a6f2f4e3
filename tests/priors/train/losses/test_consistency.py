"""The bootstrapped losses: which points they compare, what a perfect student costs, and where
gradients stop."""

import math
import types

import pytest
import torch
from torch import Tensor

from noisewalk.errors import ConfigError
from noisewalk.priors.train.losses.consistency import DistillLoss

MEAN, VARIANCE = 0.2, 0.16
LOW, HIGH = 0.002, 80.0
TINY = 1e-6
"""A perfect student's loss in float32: it is off by e = 1e-5 per image, and the loss is e^2 / (2 c)
with c = 1e-3, weighted by at most 10."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grid(num_levels: int) -> Tensor:
    """The levels of Karras et al., descending."""
    ramp = torch.arange(num_levels, dtype=torch.float64) / (num_levels - 1)
    return (HIGH ** (1 / 7) + ramp * (LOW ** (1 / 7) - HIGH ** (1 / 7))) ** 7


def heun_factors(levels: Tensor) -> Tensor:
    """What one Heun step from each level to the next multiplies x - mean by, on Gaussian data: the
    slope there is a(t) (x - mean)."""
    t, r = levels[:-1], levels[1:]
    a_t, a_r = t / (VARIANCE + t**2), r / (VARIANCE + r**2)
    return 1 + (r - t) / 2 * (a_t + a_r * (1 + (r - t) * a_t))


def gaussian_teacher(x: Tensor, s: Tensor) -> Tensor:
    return MEAN + (x - MEAN) * VARIANCE / (VARIANCE + s**2)


def end_of_heun(x: Tensor, s: Tensor) -> Tensor:
    """Where the Heun steps of the 18-level grid lead from (x, s): its perfect student."""
    levels = grid(18)
    product = torch.cat(
        [heun_factors(levels).flip(0).cumprod(0).flip(0), torch.ones(1, dtype=torch.float64)]
    )
    index = (torch.log(levels) - torch.log(s.flatten())[:, None]).abs().argmin(1)
    return MEAN + (x - MEAN) * product[index].view(-1, 1, 1, 1)


def towards_the_point(x: Tensor, s: Tensor) -> Tensor:
    """The perfect student when every image is the constant MEAN: trajectories are straight lines
    that shrink with sigma."""
    return MEAN + (x - MEAN) * LOW / s


def asked(network) -> tuple[types.SimpleNamespace, types.SimpleNamespace]:
    """The student's call with gradient and the one without, with sigma as a column."""
    assert len(network.calls) == 2
    found = {
        c.with_grad: types.SimpleNamespace(x=c.x, sigma=c.sigma, s=c.sigma.view(-1, 1, 1, 1))
        for c in network.calls
    }
    return found[True], found[False]


def images(count: int, shape: tuple[int, ...] = (1, 2, 2)) -> Tensor:
    return MEAN + math.sqrt(VARIANCE) * torch.randn(count, *shape, generator=seeded(9))


def test_cd_is_zero_for_the_student_that_knows_where_the_teachers_steps_lead(play) -> None:
    student, teacher = play("consistency", end_of_heun), play("edm", gaussian_teacher)
    loss = DistillLoss(student, teacher, "cd", num_levels=18)(
        student.network, images(200), seeded(), 0.5
    )
    assert loss.shape == (200,)
    assert float(loss.detach().abs().max()) < TINY
    loss.mean().backward()
    assert float(student.network.shift.grad.abs()) < 0.05  # at most 2 |e| / c
    assert teacher.network.shift.grad is None


def test_cd_tells_a_student_of_another_variance(play) -> None:
    student = play("consistency", lambda x, s: MEAN + 1.05 * (end_of_heun(x, s) - MEAN))
    loss = DistillLoss(student, play("edm", gaussian_teacher), "cd")(
        student.network, images(200), seeded(), 0.5
    ).detach()
    lowest = (
        asked(student.network)[1].sigma < 1.5 * LOW
    )  # there the goal is the point itself, 5 % away; elsewhere both ends are scaled alike
    assert 0 < int(lowest.sum()) < 200
    assert float(loss[lowest].min()) > 1e-3
    assert float(loss[~lowest].max()) < TINY


def test_cd_compares_neighbours_of_the_grid_a_heun_step_apart(play) -> None:
    student, teacher = play("consistency", end_of_heun), play("edm", gaussian_teacher)
    count, levels = 400, grid(18)
    DistillLoss(student, teacher, "cd", num_levels=18)(
        student.network, images(count), seeded(), 0.0
    )
    upper, lower = asked(student.network)
    index = (torch.log(levels) - torch.log(upper.sigma)[:, None]).abs().argmin(1)
    torch.testing.assert_close(upper.sigma, levels[index], rtol=2e-6, atol=0)
    torch.testing.assert_close(lower.sigma, levels[index + 1], rtol=2e-6, atol=0)
    step = MEAN + (upper.x - MEAN) * heun_factors(levels)[index].view(-1, 1, 1, 1)
    torch.testing.assert_close(lower.x, step, rtol=5e-6, atol=5e-6)
    share = torch.bincount(index, minlength=18)[:17] / count
    assert float((share - 1 / 17).abs().max()) < 5 * math.sqrt(1 / 17 / count)
    noise = (upper.x - images(count)) / upper.s
    assert abs(float(noise.mean())) < 5 / math.sqrt(noise.numel())
    assert abs(float(noise[upper.sigma > 0.1].var()) - 1) < 5 * math.sqrt(
        2 / noise[upper.sigma > 0.1].numel()
    )


def test_ct_is_zero_for_the_perfect_student_of_a_single_image(play) -> None:
    student = play("consistency", towards_the_point)
    loss = DistillLoss(
        student, student, "ct", p_mean=math.log(5), p_std=0.3
    )  # levels whose r stays above sigma_min
    value = loss(student.network, torch.full((200, 1, 2, 2), MEAN), seeded(), 0.3)
    assert float(value.detach().abs().max()) < TINY
    worse = play("consistency", lambda x, s: MEAN + (x - MEAN) * torch.sqrt(LOW / s))
    assert (
        float(loss(worse.network, torch.full((200, 1, 2, 2), MEAN), seeded(), 0.3).detach().min())
        > 1e-3
    )


def test_ct_is_zero_for_the_perfect_student_at_the_lowest_levels_too(play) -> None:
    student = play("consistency", towards_the_point)
    loss = DistillLoss(student, student, "ct", p_mean=-4.0, p_std=0.5)
    value = loss(student.network, torch.full((200, 1, 2, 2), MEAN), seeded(), 0.0)
    upper, lower = asked(student.network)
    torch.testing.assert_close(
        lower.sigma, torch.full_like(lower.sigma, LOW), rtol=2e-6, atol=0
    )  # the first gaps reach below sigma_min
    assert float(upper.sigma.max()) < 0.2
    assert float(value.detach().abs().max()) < TINY


def test_ct_compares_two_levels_of_the_same_image_and_noise_without_a_teacher(play) -> None:
    student, teacher, x = play("consistency", torch.mul), play("edm", torch.mul), images(500)
    DistillLoss(student, teacher, "ct")(student.network, x, seeded(), 0.6)
    assert teacher.network.calls == []
    upper, lower = asked(student.network)
    assert bool((lower.sigma < upper.sigma).all())
    assert float(lower.sigma.min()) >= LOW * (1 - 2e-6)
    assert float(upper.sigma.max()) <= HIGH * (1 + 2e-6)
    apart = (lower.sigma > 0.05) & (upper.sigma > 0.05)  # where float32 still holds the noise
    assert int(apart.sum()) > 200
    noise = ((upper.x - x) / upper.s)[apart]
    torch.testing.assert_close(((lower.x - x) / lower.s)[apart], noise, rtol=1e-4, atol=1e-4)
    assert abs(float(noise.mean())) < 5 / math.sqrt(noise.numel())
    assert abs(float(noise.var()) - 1) < 5 * math.sqrt(2 / noise.numel())


def test_ct_draws_lognormal_levels(play) -> None:
    student, count = play("consistency", torch.mul, (1, 1, 1)), 20000
    DistillLoss(student, student, "ct", p_mean=-0.8, p_std=1.5)(
        student.network, torch.zeros(count, 1, 1, 1), seeded(), 0.5
    )
    level = (
        torch.log(asked(student.network)[0].sigma) + 0.8
    ) / 1.5  # 2 sigma_min is 3.1 and sigma_max 3.5 standard deviations away
    assert abs(float(level.median())) < 5 * math.sqrt(math.pi / 2 / count)
    for quantile, at in ((0.1587, -1.0), (0.8413, 1.0)):
        assert abs(float((level < at).double().mean()) - quantile) < 5 * math.sqrt(
            0.1587 * 0.8413 / count
        )


def test_the_gap_of_ct_halves_as_often_as_asked(play) -> None:
    gaps = []
    for done in (0.0, 0.13, 0.26, 0.5, 0.999):
        student = play("consistency", torch.mul)
        DistillLoss(student, student, "ct", p_mean=2.0, p_std=0.3, halvings=8)(
            student.network, images(100), seeded(), done
        )
        upper, lower = asked(student.network)
        gaps.append(1 - lower.sigma / upper.sigma)
    for k, gap in zip((1, 2, 4, 7), gaps[1:], strict=True):
        torch.testing.assert_close(gaps[0] / gap, torch.full_like(gap, 2.0**k), rtol=1e-3, atol=0)


def test_the_levels_of_ct_stay_between_sigma_min_and_sigma_max(play) -> None:
    for p_mean, bound in [(math.log(HIGH), HIGH), (math.log(LOW), LOW)]:
        student = play("consistency", torch.mul)
        DistillLoss(student, student, "ct", p_mean=p_mean, p_std=2.0)(
            student.network, images(100), seeded(), 0.99
        )
        upper, lower = asked(student.network)
        assert float(lower.sigma.min()) >= LOW * (1 - 2e-6)
        assert float(upper.sigma.max()) <= HIGH * (1 + 2e-6)
        assert bool((lower.sigma < upper.sigma).all())
        assert (
            float((torch.log(upper.sigma / bound).abs() < math.log(3)).double().mean()) > 0.2
        )  # up to the bound, and not short of it


@pytest.mark.parametrize("recipe", ["cd", "ct"])
@pytest.mark.parametrize("huber", [0.00054, 0.03])
def test_the_loss_is_the_pseudo_huber_distance_and_its_gradient_stops_at_the_goal(
    play, recipe: str, huber: float
) -> None:
    def f(x, s):
        return torch.tanh(x / torch.sqrt(1 + s**2)) + 0.1 * torch.log(s)

    student, shape = play("consistency", f, (2, 3, 3)), (2, 3, 3)
    c = huber * math.sqrt(18)
    loss = DistillLoss(
        student, play("edm", gaussian_teacher, shape), recipe, p_mean=1.0, p_std=0.5, huber=huber
    )
    value = loss(student.network, images(40, shape), seeded(), 0.3)
    upper, lower = asked(student.network)
    inner = lower.sigma > 1.5 * LOW
    difference = f(upper.x, upper.s) - f(lower.x, lower.s)
    root = torch.sqrt((difference**2).flatten(1).sum(1) + c**2)
    gap = upper.sigma - lower.sigma
    weight = 1.0 / gap if recipe == "ct" else torch.ones_like(gap)
    torch.testing.assert_close(
        value.double()[inner], (weight * (root - c))[inner], rtol=1e-4, atol=1e-6
    )
    (grad,) = torch.autograd.grad(value[inner].sum(), student.network.shift)
    # A shift of f moves only the student's end; were the goal to move along, the derivative would
    # be 0.
    by_hand = (weight * difference.flatten(1).sum(1) / root)[inner].sum()
    assert float(grad) == pytest.approx(float(by_hand), rel=1e-4)
    assert abs(float(by_hand)) > 0.1


def test_an_images_loss_does_not_depend_on_the_other_images(play) -> None:
    for recipe in ["cd", "ct"]:
        student = play("consistency", end_of_heun)
        loss = DistillLoss(student, play("edm", gaussian_teacher), recipe)
        x = images(3)
        alone = loss(student.network, x, seeded(), 0.0)
        x[1] = torch.nan
        beside = loss(student.network, x, seeded(), 0.0)
        assert torch.equal(alone[[0, 2]], beside[[0, 2]])
        assert beside[1].isnan()


def test_an_unknown_recipe_is_refused_with_the_choices(play) -> None:
    student = play("consistency", torch.mul)
    with pytest.raises(ConfigError, match="unknown recipe 'cdd': choose one of cd, ct"):
        DistillLoss(student, student, "cdd")


def test_values_that_are_not_allowed_are_refused(play) -> None:
    for bad in [
        {"num_levels": 1},
        {"halvings": -1},
        {"halvings": 0.5},
        {"huber": 0.0},
        {"huber": -1.0},
        {"p_std": 0.0},
        {"p_mean": math.nan},
    ]:
        with pytest.raises(ConfigError, match=next(iter(bad))):
            DistillLoss(play("consistency", torch.mul), play("edm", torch.mul), **bad)


def test_students_are_consistency_models_and_the_teacher_of_cd_a_diffusion_model(play) -> None:
    student, teacher = play("consistency", torch.mul), play("edm", torch.mul)
    with pytest.raises(ConfigError, match="denoiser must be a denoiser of kind 'consistency'"):
        DistillLoss(teacher, teacher, "ct")
    with pytest.raises(ConfigError, match="teacher must be a denoiser of kind 'edm'"):
        DistillLoss(student, student, "cd")
