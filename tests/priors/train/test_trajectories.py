"""Trajectories: the teacher's own, made once and kept in a file that says what they are."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gaussian_flow import FLOAT16, HIGH, LOW, MEAN, VARIANCE, gaussian_teacher, levels, ode_end
from safetensors.torch import load_file, save_file
from torch import Tensor

from noisewalk.errors import ConfigError, WeightsError
from noisewalk.priors.train import trajectories as module
from noisewalk.priors.train.trajectories import levels_of, offset_of, teacher_trajectories


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


def test_arguments_that_are_not_allowed_are_refused(play, tmp_path: Path) -> None:
    for bad in [{"count": 0}, {"num_steps": 1}, {"batch_size": 0}, {"seed": -1}, {"seed": 2**32}]:
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
