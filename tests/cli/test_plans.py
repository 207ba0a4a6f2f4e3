"""From the options of `noisewalk sample` to a plan."""

import pytest
import torch

import noisewalk as nw
from noisewalk.cli.plans import kernel_of, plan_of
from noisewalk.cli.sample import SampleOptions
from noisewalk.errors import ConfigError
from noisewalk.sampling.defaults import FRICTION


def target(differentiable=True):
    phi, likelihood = nw.maps.Affine(torch.eye(3), torch.zeros(3)), nw.likelihoods.Gaussian(1.0)
    y = torch.zeros(1, 3)
    return nw.NoisePosterior(phi, lambda x: x, likelihood, y, differentiable=differentiable)


def plan(differentiable=True, **options):
    return plan_of(
        SampleOptions(inputs=["y"], prior="prior", operator="identity", **options),
        target(differentiable),
    )


def test_without_options_the_plan_is_that_of_sample():
    usual = plan()
    assert repr(usual.kernel) == repr(nw.HMC(0.1, 8, friction=FRICTION))
    assert (usual.num_draws, usual.num_chains, usual.num_warmup, usual.thin) == (1, 16, 8, 1)
    assert usual.num_settling == 15
    assert usual.warm_start == nw.RandomizedStarts().resolved(target())
    assert usual.refresh == nw.Refresh((0.0,), num_rows=2)
    assert usual.adapt is not None
    long = plan(plan="long_chains")
    assert (long.num_draws, long.num_chains, long.num_warmup, long.thin) == (100, 4, 120, 1)
    assert (long.num_settling, long.refresh) == (0, nw.Refresh())


def test_starts_have_names_and_steps():
    assert plan(start="prior").warm_start is None
    assert plan(warm_start=0).warm_start is None
    assert plan(start="adam").warm_start == nw.Adam()
    assert plan(start="adam", warm_start=7, lr=0.5).warm_start == nw.Adam(7, 0.5)
    for start in (None, "randomized"):
        assert plan(start=start, warm_start=7).warm_start.num_steps == 7
    assert plan(start="adam").num_chains == 4  # short chains are right from randomised starts
    assert plan(False).warm_start is None


def test_a_kernel_without_a_step_is_adapted():
    for name, thin in (("hmc", 1), ("mala", 10), ("pcnl", 10), ("slice", 1)):
        found = plan(kernel=name)
        assert (found.num_warmup, found.thin) == (120, thin), name
        assert (found.adapt is None) == (name == "slice")
        assert (found.refresh is None) == (name != "hmc")
    found = plan(num_leapfrog=4, plan="long_chains")
    assert repr(found.kernel) == repr(nw.HMC(0.1, 4, friction=FRICTION))
    assert (found.adapt is None, repr(found.refresh)) == (False, repr(nw.Refresh()))


def test_a_kernel_whose_step_is_typed_runs_as_given():
    for name in (None, "hmc", "mala", "pcnl", "em", "ei"):
        found = plan(kernel=name, step_size=0.05)
        assert (found.adapt, found.refresh, found.num_warmup, found.thin) == (None, None, 0, 1)
        assert found.kernel.step_size == 0.05
        found = plan(kernel=name, step_size=0.05, num_warmup=9)
        assert (found.adapt, found.refresh, found.num_warmup) == (None, None, 9)
    for steps in (None, 4):
        kernel = plan(step_size=0.05, num_leapfrog=steps).kernel
        assert repr(kernel) == repr(nw.HMC(0.05, steps or 8, friction=FRICTION))


def test_a_rank_builds_a_kernel_on_a_gauss_newton_gaussian():
    for name in (None, "hmc", "pcnl", "slice"):
        for step in (None, 0.1):
            if name == "slice" and step is not None:
                continue
            found = plan(kernel=name, rank=7, step_size=step)
            assert (found.refresh.rank, found.num_warmup) == (7, 8 if name is None is step else 120)
            assert (found.adapt is None) == (name == "slice" or step is not None)
            found = plan(kernel=name, spectral=True, step_size=step)
            assert found.refresh == nw.SpectralRefresh()


def test_explicit_numbers_win():
    found = plan(num_draws=2, chains=3, num_warmup=5, thin=2, warm_start=7, seed=8)
    assert (found.num_draws, found.num_chains, found.num_warmup, found.thin) == (2, 3, 5, 2)
    assert (found.warm_start.num_steps, found.num_settling, found.seed) == (7, 0, 8)


def test_moves_are_one_number_or_the_least_and_the_most():
    for text, moves in ((None, 4), ("6", 6), ("2,16", (2, 16)), ("2, 16", (2, 16))):
        assert plan(kernel="smc", num_moves=text).num_moves == moves


def test_smc_moves_as_it_does_in_python():
    found = plan(kernel="smc")
    assert repr(found) == repr(plan(kernel="smc", num_particles=200))
    assert repr(found.kernel) == repr(nw.SplitHMC(0.2, 6))
    changed = {"step_size": 0.1, "num_leapfrog": 4}
    assert repr(plan(kernel="smc", **changed).kernel) == repr(nw.SplitHMC(0.1, 4))
    few = plan(kernel="smc", num_particles=20, **changed)
    assert repr(few.kernel) == repr(nw.HMC(0.1, 4))
    assert repr(plan(False, kernel="smc").kernel) == repr(nw.EllipticalSlice())


def test_a_rank_of_smc_is_for_hmc():
    found = plan(kernel="smc", num_particles=20, num_moves="2,16", rank=92)
    assert (repr(found.kernel), found.rank) == (repr(nw.HMC(0.1, 8)), 92)
    found = plan(kernel="smc", num_particles=20, step_size=0.05, num_leapfrog=4, rank=92)
    assert repr(found.kernel) == repr(nw.HMC(0.05, 4))


def test_no_leapfrogs_are_refused_and_not_taken_for_the_usual_number():
    with pytest.raises(ConfigError, match="num_leapfrog"):
        plan(kernel="smc", num_leapfrog=0)


def test_slice_sampling_reads_neither_step_nor_leapfrogs():
    for change in ({"step_size": 0.1}, {"num_leapfrog": 4}):
        with pytest.raises(ConfigError, match="does not read"):
            plan(False, kernel="smc", **change)


def test_moves_that_are_none_are_refused():
    for text, says in (
        ("many", "--num-moves"),
        ("0", "num_moves"),
        ("4,2", "num_moves"),
        ("1,2,3", "num_moves"),
        ("", "--num-moves"),
    ):
        with pytest.raises(ConfigError, match=says):
            plan(kernel="smc", num_moves=text)


def test_a_kernel_that_cannot_be_is_refused():
    for step in (0.0, float("nan"), -1e-3, float("inf")):
        for name in (None, "em"):
            with pytest.raises(ConfigError, match="step_size must be"):
                plan(kernel=name, step_size=step)
    for name in ("em", "ei"):
        with pytest.raises(ConfigError, match="--step-size"):
            plan(kernel=name)
    with pytest.raises(ConfigError, match="em, ei, mala, pcnl, hmc, slice, smc"):
        kernel_of("walk", None, None, 1)


def test_what_chains_do_is_said_in_one_sentence():
    steps = "transitions: 8 to adapt the step, 16 to the draw; HMC, seed 3"
    assert plan(seed=3).in_words == f"16 chains from randomised starts of 275 steps; {steps}"
    given = {"kernel": "em", "step_size": 0.01, "num_draws": 9, "chains": 1, "thin": 2}
    found = plan(**given, start="adam", warm_start=20)
    steps = f"2 to the first of 9 draws, 2 between draws; {found.kernel}, seed {found.seed}"
    assert found.in_words == f"1 chain from starts by Adam of 20 steps; transitions: {steps}"
