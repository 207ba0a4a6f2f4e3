"""Distillation on trajectories: a student that knows their ends costs nothing."""

import math
from dataclasses import replace

import pytest
import torch
from gaussian_flow import LOW, exact_trajectories, levels, ode_end, seeded

from noisewalk.errors import ConfigError
from noisewalk.priors.train.augment import orbit
from noisewalk.priors.train.losses.trajectory import TrajectoryLoss


def test_points_stand_at_their_own_levels(play) -> None:
    paths, moved = exact_trajectories(2, 9), levels(9).float().expand(2, -1).clone()
    paths[1] += 100.0  # a trajectory that its points betray
    moved[1, 1:-1] *= 1.3
    student = play("consistency", ode_end)
    TrajectoryLoss(student, paths, first=0.0, levels=moved)(
        student.network, torch.zeros(500, 1, 2, 2), seeded(), 0.0
    )
    (call,) = student.network.calls
    small = call.sigma < 10.0  # where 100 stands out of the noise
    of_second = call.x.flatten(1).mean(1) > 50.0
    for second in (False, True):
        met = call.sigma[small & (of_second == second)].double()[:, None]
        assert len(met) > 50
        assert float((met / moved[int(second)].double() - 1.0).abs().amin(1).max()) < 1e-5


def test_levels_of_another_shape_are_refused(play) -> None:
    with pytest.raises(ConfigError, match="levels must be of shape"):
        TrajectoryLoss(
            play("consistency", ode_end), exact_trajectories(3, 5), levels=torch.ones(3, 6)
        )


def test_the_loss_is_zero_for_the_perfect_student_at_every_level(play) -> None:
    student = play("consistency", ode_end)
    loss = TrajectoryLoss(student, exact_trajectories(7, 9))(
        student.network, torch.zeros(300, 1, 2, 2), seeded(), 0.0
    )
    assert loss.shape == (300,)
    assert (
        float(loss.detach().max()) < 1e-6
    )  # float32: off by e = 1e-5 per image, and the loss is e^2 / (2 c) with c = 1e-3
    assert (
        len(torch.unique(student.network.calls[0].sigma)) == 8
    )  # all but sigma_min, where nothing is to be learned
    worse = play("consistency", lambda x, s: ode_end(x, 1.02 * s))
    value = TrajectoryLoss(worse, exact_trajectories(7, 9))(
        worse.network, torch.zeros(300, 1, 2, 2), seeded(), 0.0
    ).detach()
    assert float(value[worse.network.calls[0].sigma > 1].min()) > 1e-4


def test_points_are_trajectory_points_at_their_level_a_share_of_them_the_first(play) -> None:
    student, paths, count = play("consistency", ode_end), exact_trajectories(3, 5), 4000
    TrajectoryLoss(student, paths, first=0.25)(
        student.network, torch.zeros(count, 1, 2, 2), seeded(), 0.0
    )
    (call,) = student.network.calls
    index = (torch.log(levels(5)) - torch.log(call.sigma)[:, None]).abs().argmin(1)
    torch.testing.assert_close(call.sigma, levels(5)[index], rtol=2e-6, atol=0)
    share = torch.bincount(index, minlength=5) / count
    for found, expected in zip(share.tolist(), [0.25, *3 * [0.75 / 3], 0.0], strict=True):
        assert abs(found - expected) <= 5 * math.sqrt(expected * (1 - expected) / count)
    gap = (paths[:, :-1][:, index].double() - call.x).abs().flatten(2).amax(2) / (
        1e-6 + call.sigma
    )  # (trajectory, point)
    row = gap.argmin(0)
    assert float(gap.amin(0).max()) < 1e-3
    assert float((torch.bincount(row, minlength=3) / count - 1 / 3).abs().max()) < 5 * math.sqrt(
        2 / 9 / count
    )


def test_the_loss_is_the_pseudo_huber_distance_to_the_trajectorys_end(play) -> None:
    paths = torch.zeros(1, 4, 1, 2, 2)
    paths[0, -1] = torch.tensor([[0.1, -0.2], [0.3, 0.4]])
    student = play("consistency", lambda x, s: 0 * x)
    loss = TrajectoryLoss(student, paths, first=1.0, huber=0.1)(
        student.network, torch.zeros(2, 1, 2, 2), seeded(), 0.0
    )
    expected = math.sqrt(0.3 + (0.1 * 2) ** 2) - 0.1 * 2
    torch.testing.assert_close(loss, torch.full((2,), expected), rtol=1e-5, atol=0)


def test_the_network_under_training_is_the_one_that_learns(play) -> None:
    frozen, trained = play("consistency", ode_end), play("consistency", torch.mul).network
    TrajectoryLoss(replace(frozen, sigma_min=LOW), exact_trajectories(3, 5))(
        trained, torch.zeros(4, 1, 2, 2), seeded(), 0.0
    ).sum().backward()
    assert trained.shift.grad is not None
    assert frozen.network.calls == []


def test_values_that_are_not_allowed_are_refused(play) -> None:
    for bad in [{"first": -0.1}, {"first": 1.1}, {"first": math.nan}, {"huber": 0.0}]:
        with pytest.raises(ConfigError, match=next(iter(bad))):
            TrajectoryLoss(play("consistency", ode_end), exact_trajectories(3, 5), **bad)


def test_trajectories_that_the_student_cannot_follow_are_refused(play) -> None:
    for shape in [(3,), (0, 4, 1, 2, 2), (3, 3, 1, 2, 2), (3, 4, 1, 4, 4), (3, 4, 2, 2)]:
        with pytest.raises(ConfigError, match="trajectories"):
            TrajectoryLoss(play("consistency", ode_end), torch.zeros(shape))


def test_a_student_is_a_consistency_model(play) -> None:
    with pytest.raises(ConfigError, match="denoiser must be a denoiser of kind 'consistency'"):
        TrajectoryLoss(play("edm", ode_end), exact_trajectories(3, 5))


def test_it_prints_its_trajectories_by_their_hash(play) -> None:
    a, b = (
        repr(TrajectoryLoss(play("consistency", ode_end), k + exact_trajectories(3, 5)))
        for k in (0, 1)
    )
    assert "trajectories=Tensor[3, 6, 1, 2, 2]#" in a
    assert "\n" not in a
    assert a != b


def test_a_turned_trajectory_has_its_point_and_its_end_turned_alike(play) -> None:
    """Under the symmetry every pair is one of the eight turned ones; each of them occurs."""
    paths = torch.randn(1, 4, 1, 2, 2, generator=seeded(4)).half()
    seen = []
    student = play("consistency", lambda x, s: 0 * x)
    loss = TrajectoryLoss(student, paths, first=1.0, augment="dihedral")
    values = loss(student.network, torch.zeros(400, 1, 2, 2), seeded(), 0.0).detach()
    turned = orbit(paths.flatten(0, 1), "dihedral")  # (8, point, 1, 2, 2)
    for x in student.network.calls[0].x:
        gaps = (turned[:, 0].float() - x.float()).abs().flatten(1).amax(1)
        seen.append(int(gaps.argmin()))
        assert float(gaps.min()) < 0.1
    assert sorted(set(seen)) == list(range(8))
    assert (
        len(torch.unique(values.round(decimals=4))) == 1
    )  # the distance to 0 does not depend on the turn
    perfect = play("consistency", ode_end, (1, 2, 2))
    assert (
        float(
            TrajectoryLoss(perfect, exact_trajectories(7, 9), augment="dihedral")(
                perfect.network, torch.zeros(99, 1, 2, 2), seeded(), 0.0
            )
            .detach()
            .max()
        )
        < 1e-6
    )
    with pytest.raises(ConfigError, match="unknown augment 'turn': choose one of"):
        TrajectoryLoss(student, paths, augment="turn")
