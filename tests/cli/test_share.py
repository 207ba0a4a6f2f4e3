"""Files in one network batch: each moves as it does alone."""

from dataclasses import replace

import pytest
import torch

import noisewalk as nw
from noisewalk.cli.problem import Problem
from noisewalk.cli.share import Part, stacked
from noisewalk.files.ranges import UNSCALED
from noisewalk.sampling.defaults import resolve
from noisewalk.sampling.execute import draw
from noisewalk.storage.store import open_store

SEEDS = (3, 1 << 50)
MAP = torch.full((1, 4, 4), 0.25, dtype=torch.float64)


def problems(levels, gaps=False):
    phi, operator = nw.maps.Warp((1, 8, 8), 0.5), nw.operators.AveragePool(2)
    made = []
    for k, level in enumerate(levels):
        y = nw.noise.rows(k, 1).normal((1, 4, 4), 0)
        hidden = nw.noise.rows(k, 1).uniform((1, 4, 4), 1) > 0.2 if gaps else None
        noise = nw.likelihoods.Gaussian(level)
        named = ("y", "warp", phi, "avgpool:factor=2", operator, noise, y, UNSCALED)
        made.append(Problem(*named, observed=hidden))
    return made


@pytest.mark.parametrize("levels", [(0.2, 0.4), (0.3 * MAP, MAP)])
@pytest.mark.parametrize("gaps", [False, True])
def test_one_posterior_of_several_files_is_that_of_each(levels, gaps):
    alone = problems(levels, gaps)
    target = stacked(alone)
    z = nw.noise.rows(7, 6).normal((1, 8, 8), 0)
    state = target(z)
    for k, problem in enumerate(alone):
        own = problem.target()(z[3 * k : 3 * k + 3])
        for part, whole in zip(own, state, strict=True):
            torch.testing.assert_close(whole[3 * k : 3 * k + 3], part, atol=1e-5, rtol=1e-5)


def test_the_rows_of_a_shared_call_go_by_the_size_of_the_image():
    phi = nw.maps.Generator(lambda z: z[:, :1, None, None].expand(-1, 1, 64, 64), (5,), (1, 64, 64))
    y = torch.zeros(1, 1, 32, 32)
    alone = [replace(one, phi=phi, y=y) for one in problems((0.2, 0.4))]
    assert stacked(alone).microbatch == 32


def test_a_shared_run_gives_each_file_its_steps_and_goes_on_as_it_would_alone(tmp_path):
    alone = problems((0.2, 0.4), gaps=True)
    target, some = stacked(alone), {"num_chains": 2, "num_draws": 1, "num_warmup": 2}
    plan = replace(resolve(target, plan="short_chains", **some), seeds=SEEDS)
    draw(plan, target, tmp_path / "shared", False)
    shared = open_store(tmp_path / "shared")
    for k, (problem, seed) in enumerate(zip(alone, SEEDS, strict=True)):
        own = problem.target()
        mine = resolve(own, plan="short_chains", seed=seed, **some)
        run = draw(mine, own, None, False)
        part = draw(Part(mine, shared, k), problem.target(), tmp_path / f"{k}", False)
        for name in ("x", "z", "nll", "acceptance_rate", "step_size"):
            given = part.arrays[name][...], run.arrays[name][...]
            torch.testing.assert_close(*given, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(part.early_x, run.early_x, atol=1e-5, rtol=1e-5)
        longer = replace(mine, num_draws=2)
        further = draw(longer, problem.target(), tmp_path / f"{k}", False)
        expected = draw(longer, problem.target(), None, False)
        torch.testing.assert_close(further.draws[...], expected.draws, atol=1e-4, rtol=1e-4)
