"""Law: ranks of exact draws are uniform around their measurement; draws that are too narrow, too
wide or shifted are found."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.evaluate.calibrate import around as module
from noisewalk.evaluate.calibrate.around import chosen, distances, prepare, uniformity
from noisewalk.evaluate.calibrate.problems import simulate
from noisewalk.evaluate.calibrate.request import Request
from noisewalk.sampling.defaults import resolve

sys.path.insert(0, str(Path(__file__).parent))  # the tests share `exact_runs`
from exact_runs import linear, of_one_number, scaled

LIKELIHOODS = {
    "gaussian": nw.likelihoods.Gaussian(0.3),
    "per pixel": nw.likelihoods.Gaussian(torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 1.0])),
    "poisson": nw.likelihoods.Poisson(20.0),
    "laplace": nw.likelihoods.Laplace(0.2),
    "student-t": nw.likelihoods.StudentT(3.0, 0.2),
    "unknown": nw.likelihoods.UnknownGaussian(1.5, 0.1),
}


def measured(likelihood: Any, images: int) -> Tensor:
    """Measurements of truths from the prior."""
    phi = nw.maps.Affine(torch.eye(1, dtype=torch.float64))
    settings: dict[str, Any] = {"num_problems": images, "dtype": torch.float64, "seed": 3}
    return simulate(Request(phi, scaled, likelihood, **settings))[0].y


@pytest.mark.parametrize("seed", range(3))
def test_ranks_of_exact_draws_are_uniform(seed: int) -> None:
    run, target = linear(20, 4, 5, seed)
    found = nw.calibrate(run, target, num_problems=400, seed=seed, progress=False)
    assert (found.test, found.num_draws, found.num_truths) == ("around", 8, 400)
    assert found.p_value > 0.001
    place = found.ranks.double() / 8
    # of uniform ranks from 0 to 8: mean 1/2, variance 5/48, and that of a square's mean
    assert float((place.mean(0) - 0.5).abs().max()) < 4 * (5 / 48 / 400) ** 0.5
    assert float(((place - 0.5).square().mean(0) - 5 / 48).abs().max()) < 4 * 0.093 / 400**0.5
    inside = found.coverage
    assert inside is not None
    error = (inside.empirical - inside.nominal[:, None]) / inside.standard_error
    assert float(error.abs().max()) < 4.5


@pytest.mark.parametrize(
    ("seed", "fault"), [(0, {"scale": 0.7}), (1, {"scale": 1.4}), (2, {"shift": 0.5})]
)
def test_draws_that_are_too_narrow_too_wide_or_shifted_are_found(
    seed: int, fault: dict[str, float]
) -> None:
    run, target = linear(1, 4, 50, seed, **fault)
    found = nw.calibrate(run, target, num_problems=200, seed=seed, progress=False)
    assert found.p_value < 0.01
    assert not found.passed


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_exact_draws_of_every_likelihood_pass(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    y = measured(likelihood, 30)
    if name == "unknown":  # far above the level that its prior expects, which must not matter
        y = y + torch.randn(30, 6, generator=torch.Generator().manual_seed(5))
    run, target = of_one_number(likelihood, y, 10)
    found = nw.calibrate(run, target, num_problems=300, progress=False)
    assert found.p_value > 0.002, name


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_both_measurements_count(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    y = measured(likelihood, 20)[:2]
    y[1, 4] = torch.nan  # a gap
    observed = torch.isfinite(y)
    target = nw.NoisePosterior(
        nw.maps.Affine(torch.eye(1, dtype=torch.float64)), scaled, likelihood, y, observed
    )
    z = torch.linspace(-1, 1, 40, dtype=torch.float64).reshape(2, 20, 1, 1)
    prepared = prepare(nw.Run({"x": z, "z": z}), target, 40, 2, 0)
    joint, x = prepared.joint, prepared.truth.x
    first, second = joint.y[:, 0], joint.y[:, 1]
    gaps = joint.observed
    assert gaps is not None
    assert torch.equal(gaps[:, 0], gaps[:, 1])
    assert int((~gaps).sum()) == 2 * 20
    apart = sum(likelihood.nll(scaled(x), one, gaps[:, 0]) for one in (first, second))
    if name == "unknown":  # one level for both: twice as many readings of it
        both = torch.cat([first, second], 1), torch.cat([gaps[:, 0], gaps[:, 1]], 1)
        apart = likelihood.nll(scaled(x).repeat(1, 2), *both)
    torch.testing.assert_close(prepared.truth.nll, apart)


def test_truths_are_spread_and_taken_once_where_there_are_enough() -> None:
    places = torch.stack(chosen((2, 4, 25), 40, 7))
    assert len(places.unique(dim=1).T) == 40
    image, chain, draw = places
    assert torch.bincount(image).tolist() == [20, 20]
    assert torch.bincount(4 * image + chain).tolist() == [5] * 8
    one = draw[(image == 0) & (chain == 2)].sort().values
    assert one.diff().tolist() == [5] * 4
    assert not torch.equal(torch.stack(chosen((2, 4, 25), 40, 8)), places)
    again, uses = torch.stack(chosen((1, 16, 1), 40, 0)).unique(dim=1, return_counts=True)
    assert again.shape == (3, 16)
    assert sorted(uses.tolist()) == [2] * 8 + [3] * 8


def test_reused_truths_count_as_one_and_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    run, target = linear(1, 16, 1)
    found = nw.calibrate(run, target, num_chains=2)
    said = capsys.readouterr().err
    assert "few draws: 16 are the truths, each of up to 3 problems, which then count as one" in said
    assert said.startswith("40 problems of 2 chains: about ")
    assert "network calls, " in said.split(";")[0]
    assert found.num_truths == 16
    ranks = torch.arange(40)[:, None] % 3
    once, twice = torch.ones(40), torch.full((20,), 2)
    shared = uniformity(ranks, 2, twice)
    torch.testing.assert_close(uniformity(ranks, 2, once), shared**2)


def test_p_values_are_those_of_uniform_ranks() -> None:
    ranks = torch.randint(0, 9, (40, 20000), generator=torch.Generator().manual_seed(0))
    p_values = uniformity(ranks, 8, torch.ones(40))
    for level in (0.5, 0.1, 0.01):
        error = 4 * (level * (1 - level) / 20000) ** 0.5
        assert abs(float((p_values < level).double().mean()) - level) < error + 0.15 * level
    never = torch.full((40, 1), 8)
    assert float(uniformity(never, 8, torch.ones(40))) < 1e-10


def test_distances_are_from_the_mean() -> None:
    x = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]])
    assert distances(x)[..., 0].tolist() == [[2.0, 2.0, 4.0]]


def test_the_plan_is_the_runs_own_where_it_has_the_default_kernel() -> None:
    _, target = linear(1, 1, 1)
    settings: dict[str, Any] = {
        "num_draws": 20,
        "num_chains": 1,
        "progress": False,
        "num_warmup": 7,
    }
    start = nw.Adam(5, 0.1)
    run = nw.sample(target, **settings, warm_start=start, refresh=nw.Refresh((0.0,), 2))
    plan = prepare(run, target, 20, 2, 0).plan
    assert (plan.num_warmup, plan.warm_start, plan.refresh) == (7, start, nw.Refresh((0.0,), 2))
    assert (plan.num_draws, plan.num_chains) == (1, 2)
    other = nw.sample(target, nw.HMC(0.1, 2), **settings, refresh=None)
    given = prepare(other, target, 20, 2, 0)
    usual, joint = given.plan, given.joint
    alike = resolve(joint, num_draws=1, num_chains=2, seed=usual.seed)
    assert usual.facts() == alike.facts()
    starts = nw.RandomizedStarts(num_steps=30, num_candidates=1)
    short = nw.sample(target, num_chains=20, warm_start=starts, progress=False)
    assert prepare(short, target, 20, 2, 0).plan.warm_start == starts.resolved(target)
    assert plan.seed != run.spec["plan"]["seed"]


def test_a_target_without_gradients_is_calibrated() -> None:
    run, target = linear(1, 5, 8)
    parts = target.phi, target.operator, target.likelihood, target.y
    plain = nw.NoisePosterior(*parts, differentiable=False)
    found = nw.calibrate(run=run, target=plain, num_problems=20, num_chains=2, progress=False)
    assert isinstance(found.kernel, nw.EllipticalSlice)


def test_what_is_not_the_runs_target_is_refused() -> None:
    run, target = linear(1, 5, 8)
    phi, operator, likelihood, y = target.phi, target.operator, target.likelihood, target.y
    others = {
        "another measurement": nw.NoisePosterior(phi, operator, likelihood, y + 1),
        "images of shape": nw.NoisePosterior(phi, operator, likelihood, y.expand(2, -1)),
        "Phi": nw.NoisePosterior(nw.maps.Affine(-phi.matrix), operator, likelihood, y),
        "must be a nw.NoisePosterior": phi,
    }
    for says, other in others.items():
        with pytest.raises(ConfigError, match=says):
            nw.calibrate(run, other, progress=False)
    sampled = nw.sample(target, nw.EllipticalSlice(), 20, 2, num_warmup=0, progress=False)
    louder = nw.NoisePosterior(phi, operator, nw.likelihoods.Gaussian(1.0), y)
    with pytest.raises(ConfigError, match="another L_y"):
        nw.calibrate(sampled, louder, progress=False)


def test_what_cannot_be_calibrated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    run, target = linear(1, 5, 8)
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (run, {}, "target="),
        (nw.Run({"x": run.draws}), {"target": target}, "no z"),
        (nw.Run({k: v[:, :, :0] for k, v in run.arrays.items()}), {}, "no draws"),
        (run, {"target": target, "num_problems": 5}, "num_problems"),
        (run, {"target": target, "num_chains": 1}, "num_chains"),
        (run, {"target": target, "seed": -1}, "seed"),
    ]
    monkeypatch.setattr(module, "draw", None)  # nothing is sampled
    for given, change, says in cases:
        with pytest.raises(ConfigError, match=says):
            nw.calibrate(given, progress=False, **change)
    with pytest.raises(ConfigError, match="run must be a Run"):
        nw.calibrate(run="run")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="num_draws"):
        nw.calibrate(run, num_draws=3)  # type: ignore[call-overload]


@pytest.mark.parametrize("fault", [{}, {"shift": 1.5}])
def test_a_calibration_that_counts_is_in_the_run_s_verdict_from_then_on(
    fault: dict[str, float],
) -> None:
    run, target = linear(1, 16, 1, 0, **fault)
    assert run.calibrated is None
    few = nw.calibrate(run, target, num_problems=20, num_chains=2, progress=False)
    assert few.counts is not few.passed
    assert run.calibrated is (None if few.passed else False)
    found = nw.calibrate(run, target, num_problems=48, progress=False)
    assert (found.num_truths, found.counts) == (16, True)
    assert run.calibrated is found.passed is (not fault)
    assert found.quantities[-2:] == ("shift of x", "spread of x")
    assert len(found.p_values) == len(found.quantities)


def test_each_image_keeps_its_own_noise_level() -> None:
    levels = torch.tensor([0.2, 0.6, 0.4], dtype=torch.float64)[:, None]
    phi = nw.maps.Affine(torch.eye(6, dtype=torch.float64))
    z = torch.linspace(-1, 1, 3 * 20 * 6, dtype=torch.float64).reshape(3, 20, 1, 6)
    y = torch.zeros(3, 6, dtype=torch.float64)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(levels), y)
    prepared = prepare(nw.Run({"x": z, "z": z}), target, 30, 2, 0)
    image = chosen((3, 20, 1), 30, prepared.seed)[0]
    joint, x = prepared.joint, prepared.truth.x
    away = (joint.y - x[:, None]) / levels[image][:, None]
    assert float((away[:, 1] ** 2).mean()) == pytest.approx(1.0, abs=4 * (2 / 180) ** 0.5)
    nll = (
        0.5 * away.square()
        + torch.log(levels[image][:, None])
        + 0.5 * torch.log(torch.tensor(2 * torch.pi))
    )
    torch.testing.assert_close(prepared.truth.nll, nll.sum((1, 2)))
