"""From the options of the command line to objects."""

from types import SimpleNamespace

import pytest

import noisewalk as nw
from noisewalk.cli.options import map_of, rows_at_once, smc_of
from noisewalk.errors import ConfigError
from noisewalk.kernels.split_hmc import SplitHMC

SMOOTH, ROUGH = SimpleNamespace(differentiable=True), SimpleNamespace(differentiable=False)


@pytest.mark.parametrize(
    ("text", "moves"), [(None, 4), ("6", 6), ("2,16", (2, 16)), ("2, 16", (2, 16))]
)
def test_moves_are_one_number_or_the_least_and_the_most(text, moves):
    assert smc_of(SMOOTH, 20, None, None, text, None, 0).num_moves == moves


def test_smc_moves_as_it_does_in_python():
    assert repr(smc_of(SMOOTH, 200, None, None, None, None, 3).kernel) == repr(SplitHMC(0.2, 6))
    assert repr(smc_of(SMOOTH, 200, 0.1, 4, None, None, 3).kernel) == repr(SplitHMC(0.1, 4))
    assert repr(smc_of(SMOOTH, 20, 0.1, 4, None, None, 3).kernel) == repr(nw.HMC(0.1, 4))
    assert repr(smc_of(ROUGH, 20, None, None, None, None, 3).kernel) == repr(nw.EllipticalSlice())


def test_a_rank_is_for_hmc():
    plan = smc_of(SMOOTH, 20, None, None, "2,16", 92, 0)
    assert (repr(plan.kernel), plan.rank) == (repr(nw.HMC(0.1, 8)), 92)
    assert repr(smc_of(SMOOTH, 20, 0.05, 4, None, 92, 0).kernel) == repr(nw.HMC(0.05, 4))


def test_no_leapfrogs_are_refused_and_not_taken_for_the_usual_number():
    with pytest.raises(ConfigError, match="num_leapfrog"):
        smc_of(SMOOTH, 20, None, 0, None, None, 0)


@pytest.mark.parametrize(("step_size", "num_leapfrog"), [(0.1, None), (None, 4)])
def test_slice_sampling_reads_neither_step_nor_leapfrogs(step_size, num_leapfrog):
    with pytest.raises(ConfigError, match="does not read"):
        smc_of(ROUGH, 20, step_size, num_leapfrog, None, None, 0)


def test_a_diffusion_model_is_mapped_by_its_probability_flow():
    prior = nw.load_prior("fashion32-edm")
    assert repr(map_of(prior, 1)) == repr(prior.ode_map())
    with pytest.raises(ConfigError, match="--num-steps"):
        map_of(prior, 2)


@pytest.mark.parametrize(
    ("side", "rows"), [(28, 128), (32, 128), (64, 32), (128, 8), (256, 2), (1024, 1)]
)
def test_large_images_are_computed_a_few_at_a_time(side, rows):
    assert rows_at_once((3, side, side)) == rows
