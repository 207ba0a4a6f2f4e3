"""Distillation on trajectories: they are the teacher's own, kept in a file, and a student that
knows their ends costs nothing."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from noisewalk.errors import ConfigError, WeightsError
from noisewalk.priors.train import trajectory as module
from noisewalk.priors.train.augment import orbit
from noisewalk.priors.train.trajectory import (
    TrajectoryLoss,
    levels_of,
    offset_of,
    teacher_trajectories,
)

MEAN, VARIANCE = -0.3, 0.2
LOW, HIGH = 0.002, 80.0
FLOAT16 = 2.0**-10
"""Twice the rounding of one float16."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_teacher(x: Tensor, s: Tensor) -> Tensor:
    return MEAN + (x - MEAN) * VARIANCE / (VARIANCE + s**2)


def ode_end(x: Tensor, s: Tensor) -> Tensor:
    """The probability flow of N(MEAN, VARIANCE) down to sigma_min, in closed form: the perfect
    student."""
    return MEAN + (x - MEAN) * torch.sqrt((VARIANCE + LOW**2) / (VARIANCE + s**2))


def levels(num_steps: int) -> Tensor:
    ramp = torch.arange(num_steps, dtype=torch.float64) / (num_steps - 1)
    return (HIGH ** (1 / 7) + ramp * (LOW ** (1 / 7) - HIGH ** (1 / 7))) ** 7


def exact_trajectories(count: int, num_steps: int) -> Tensor:
    """(count, num_steps + 1, 1, 2, 2): exact, with their point at sigma_min as the end."""
    start = (
        MEAN
        + torch.sqrt(torch.tensor(VARIANCE + HIGH**2))
        * torch.randn(count, 1, 1, 2, 2, generator=seeded(5)).double()
    )
    s = levels(num_steps).view(1, -1, 1, 1, 1)
    points = MEAN + (start - MEAN) * torch.sqrt((VARIANCE + s**2) / (VARIANCE + HIGH**2))
    return torch.cat([points, points[:, -1:]], 1).float()


def error_of_the_end(x: Tensor) -> float:
    """Relative error of the whole flow's factor, which on Gaussian data is sqrt(v / (v +
    sigma_max^2)), fitted over the trajectories."""
    start, end = x[:, 0].double() - MEAN, x[:, -1].double() - MEAN
    return abs(
        float((start * end).sum() / (start**2).sum()) / math.sqrt(VARIANCE / (VARIANCE + HIGH**2))
        - 1
    )


def test_trajectories_start_at_sigma_max_z_and_end_where_the_flow_leads(
    play, tmp_path: Path
) -> None:
    x = teacher_trajectories(
        play("edm", gaussian_teacher), 300, 24, tmp_path / "sub" / "t.safetensors", batch_size=128
    )
    assert x.shape == (300, 25, 1, 2, 2)
    assert x.dtype == torch.float16
    z = x[:, 0].double() / HIGH
    assert abs(float(z.mean())) < 5 / math.sqrt(z.numel())
    assert abs(float(z.var()) - 1) < 5 * math.sqrt(2 / z.numel())
    assert len(torch.unique(z)) > 0.9 * z.numel()  # no batch repeats another's noise
    far = [
        error_of_the_end(
            teacher_trajectories(play("edm", gaussian_teacher), 100, n, tmp_path / f"{n}")
        )
        for n in (24, 48)
    ]
    assert far[1] < 0.01
    assert 3 < far[0] / far[1] < 6  # second order: 4 in the limit


def test_each_point_is_one_heun_step_from_the_one_before(play, tmp_path: Path) -> None:
    teacher = play("edm", gaussian_teacher)
    x = teacher_trajectories(teacher, 5, 6, tmp_path / "t").double()
    t = levels_of(teacher, 5, 6)[0].double()
    for i in range(6):
        a_t = t[i] / (VARIANCE + t[i] ** 2)
        if i < 5:
            gap, a_r = t[i + 1] - t[i], t[i + 1] / (VARIANCE + t[i + 1] ** 2)
            factor = 1 + gap / 2 * (a_t + a_r * (1 + gap * a_t))
        else:
            factor = 1 - t[i] * a_t  # the last step, to 0, is Euler's
        torch.testing.assert_close(
            x[:, i + 1], MEAN + (x[:, i] - MEAN) * factor, rtol=FLOAT16, atol=FLOAT16
        )


def test_the_levels_of_the_batches_fill_the_gaps_of_the_grid(play) -> None:
    found = levels_of(play("edm", gaussian_teacher), 2000, 9, batch_size=20).double()
    grid = levels(9)
    assert (found[:, 0] == grid[0].float()).all()
    assert torch.allclose(found[:, -1], grid[-1])
    places = (found ** (1 / 7) - HIGH ** (1 / 7)) / (LOW ** (1 / 7) - HIGH ** (1 / 7)) * 8
    assert (places.diff(dim=1) > 0.4).all()
    inner = places[::20, 1:-1].flatten().sort().values
    assert len(inner) == 100 * 7
    assert (
        float(inner.diff().max()) < 0.05
    )  # a hundredth of a place each, where a fixed grid leaves a whole one
    assert abs(sum(offset_of(k) for k in range(100))) / 100 < 0.02


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


def test_kept_trajectories_come_back_without_a_call_of_the_teacher(play, tmp_path: Path) -> None:
    teacher, cache = play("edm", gaussian_teacher), tmp_path / "t.safetensors"
    first = teacher_trajectories(teacher, 6, 4, cache)
    calls = len(teacher.network.calls)
    assert calls == 7  # 2 n - 1, once
    assert torch.equal(teacher_trajectories(teacher, 6, 4, cache), first)
    assert len(teacher.network.calls) == calls


def test_a_stop_costs_no_more_than_a_batch(
    play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = teacher_trajectories(
        play("edm", gaussian_teacher), 7, 3, tmp_path / "whole", batch_size=2
    )
    teacher, cache, write = play("edm", gaussian_teacher), tmp_path / "t.safetensors", module._write
    left = iter(range(2))

    def stopped(*args) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr(module, "_write", stopped)
    with pytest.raises(KeyboardInterrupt):
        teacher_trajectories(teacher, 7, 3, cache, batch_size=2)
    monkeypatch.setattr(module, "_write", write)
    before = len(teacher.network.calls)
    assert torch.equal(teacher_trajectories(teacher, 7, 3, cache, batch_size=2), whole)
    assert len(teacher.network.calls) - before == 2 * 5  # two of four batches were kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.safetensors", "whole"]


def test_there_are_as_many_trajectories_and_points_as_asked_for(play, tmp_path: Path) -> None:
    teacher = play("edm", gaussian_teacher)
    for count, num_steps in ((6, 4), (3, 4), (3, 5), (8, 5)):
        made = teacher_trajectories(
            teacher, count, num_steps, tmp_path / f"{count}-{num_steps}", batch_size=4
        )
        assert made.shape == (count, num_steps + 1, 1, 2, 2)


def test_trajectories_are_made_alike_again_without_the_global_generator(
    play, tmp_path: Path
) -> None:
    teacher = play("edm", gaussian_teacher)
    state = torch.get_rng_state()
    first, second = (
        teacher_trajectories(teacher, 5, 3, tmp_path / name, seed=1, batch_size=2) for name in "ab"
    )
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_sets_their_noise(play, tmp_path: Path) -> None:
    starts = [
        teacher_trajectories(
            play("edm", gaussian_teacher), 5, 3, tmp_path / f"{seed}", seed, batch_size=2
        )[:, 0]
        for seed in (0, 1, 2)
    ]
    assert (
        len(torch.unique(torch.cat(starts))) > 0.9 * 60
    )  # 60 numbers, of which two may round to one float16


def test_kept_trajectories_are_used_for_what_they_were_made_from_alone(
    play, tmp_path: Path
) -> None:
    cache, kept = tmp_path / "t.safetensors", play("edm", gaussian_teacher)
    trained, wider = play("edm", gaussian_teacher), play("edm", gaussian_teacher, (1, 4, 4))
    trained.network.shift.data.fill_(0.1)
    first = teacher_trajectories(kept, 5, 3, cache)
    for teacher, changed, says in (
        (trained, {}, "teacher"),
        (wider, {}, "teacher"),
        (replace(kept, sigma_max=70.0), {}, "sigma_max=80.0.*now.*sigma_max=70.0"),
        (kept, {"count": 6}, "count 5, now 6"),
        (kept, {"num_steps": 4}, "num_steps 3, now 4"),
        (kept, {"seed": 1}, "seed 0, now 1"),
        (kept, {"batch_size": 2}, "batch_size 128, now 2"),
        (kept, {"bfloat16": True}, "bfloat16 False, now True"),
    ):
        calls = len(teacher.network.calls)
        with pytest.raises(ConfigError, match=says):
            teacher_trajectories(teacher, **{"count": 5, "num_steps": 3, "cache": cache, **changed})
        assert len(teacher.network.calls) == calls
        assert torch.equal(load_file(cache)["x"], first)


def test_a_cache_that_does_not_say_what_it_was_made_from_is_refused(play, tmp_path: Path) -> None:
    cache = tmp_path / "t.safetensors"
    save_file({"x": torch.zeros(5, 4, 1, 2, 2, dtype=torch.float16)}, cache)
    with pytest.raises(ConfigError, match="count not said, now 5"):
        teacher_trajectories(play("edm", gaussian_teacher), 5, 3, cache)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_cut_cache_is_named_with_what_to_do(play, tmp_path: Path, keep: int) -> None:
    cache = tmp_path / "t.safetensors"
    teacher_trajectories(play("edm", gaussian_teacher), 5, 3, cache)
    cache.write_bytes(cache.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"t\.safetensors.*remove the file") as error:
        teacher_trajectories(play("edm", gaussian_teacher), 5, 3, cache)
    assert "\n" not in str(error.value)


def test_a_kill_while_they_are_written_leaves_no_half_cache(
    play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(tensors, path, metadata) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", cut)
    with pytest.raises(KeyboardInterrupt):
        teacher_trajectories(play("edm", gaussian_teacher), 5, 3, tmp_path / "t.safetensors")
    assert not (tmp_path / "t.safetensors").exists()


@pytest.mark.parametrize(
    "bad",
    [{"count": 0}, {"num_steps": 1}, {"batch_size": 0}, {"seed": -1}, {"seed": 2**32}],
    ids=str,
)
def test_arguments_that_are_not_allowed_are_refused(
    play, tmp_path: Path, bad: dict[str, int]
) -> None:
    with pytest.raises(
        ConfigError, match={"count": "num_trajectories"}.get(name := next(iter(bad)), name)
    ):
        teacher_trajectories(
            play("edm", gaussian_teacher),
            **{"count": 5, "num_steps": 3, "cache": tmp_path / "t", **bad},
        )


def test_a_consistency_model_is_no_teacher(play, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="teacher must be a denoiser of kind 'edm'"):
        teacher_trajectories(play("consistency", ode_end), 5, 3, tmp_path / "t")


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


@pytest.mark.parametrize(
    "bad", [{"first": -0.1}, {"first": 1.1}, {"first": math.nan}, {"huber": 0.0}], ids=str
)
def test_values_that_are_not_allowed_are_refused(play, bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        TrajectoryLoss(play("consistency", ode_end), exact_trajectories(3, 5), **bad)


@pytest.mark.parametrize(
    "shape", [(3,), (0, 4, 1, 2, 2), (3, 3, 1, 2, 2), (3, 4, 1, 4, 4), (3, 4, 2, 2)], ids=str
)
def test_trajectories_that_the_student_cannot_follow_are_refused(
    play, shape: tuple[int, ...]
) -> None:
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
    with pytest.raises(ConfigError, match="augment must be one of"):
        TrajectoryLoss(student, paths, augment="turn")
