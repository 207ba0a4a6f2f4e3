"""Randomised starts: exact for linear problems, careful elsewhere, and bitwise after any stop."""

import math

import pytest
import torch
from recorder import Recorder, drive

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.sampling import longer
from noisewalk.sampling.defaults import resolve
from noisewalk.sampling.execute import draw as run_of
from noisewalk.sampling.randomized import RandomizedStarts, _pruned, is_recipe
from noisewalk.storage.state import decode, encode

TRUTH = 1 << 31


def draw(*shape, seed=0):
    return noise.rows(seed, shape[0]).normal(shape[1:], noise.PROBE, torch.float64)


def started(starts, target, num_chains, seed=0):
    """Where the chains get to, the steps it took, and every work on the way."""
    rows, starts = noise.rows(seed, target.num_images, num_chains), starts.resolved(target)
    state = target(rows.normal(tuple(target.shape), noise.INIT, target.y.dtype))
    works = [starts.begin(target, state, rows)]
    while works[-1] is not None:
        state, work = starts.advance(target, state, works[-1], rows, len(works))
        works.append(work)
    return state, len(works) - 1, works[:-1]


def linear(shape, y, observed=None):
    """y = M z, with a noise level of every entry, M of d = prod(shape) columns, and M."""
    matrix = draw(4, math.prod(shape), seed=1)
    sigma = torch.tensor([0.1, 0.3, 1.0, 0.5], dtype=torch.float64)
    likelihood = nw.likelihoods.Gaussian(sigma)
    phi = nw.maps.Warp(shape, 0.0)
    return (
        nw.NoisePosterior(phi, lambda x: x.flatten(1) @ matrix.T, likelihood, y, observed),
        matrix,
        sigma,
    )


class Tangle(torch.nn.Module):
    """A small tanh network: many minima."""

    def __init__(self, dim=8, out=12):
        super().__init__()
        self.first, self.last = 2.5 * draw(32, dim, seed=11), draw(out, 32, seed=12) / 4

    def forward(self, z):
        return torch.tanh(z @ self.first.T) @ self.last.T


def tangled(likelihood=None, num_images=2, dim=8):
    phi = nw.maps.Generator(Tangle(dim), (dim,), (12,))
    with torch.no_grad():
        y = phi(draw(num_images, dim, seed=13)) + 0.1 * draw(num_images, 12, seed=14)
    noise_model = likelihood or nw.likelihoods.Gaussian(0.1)
    return nw.NoisePosterior(phi, torch.nn.Identity(), noise_model, y)


@pytest.mark.parametrize("shape", [(5,), (1, 2, 3)], ids=["low rank", "spectral"])
def test_for_a_linear_map_the_starts_are_the_posterior(shape):
    observed = torch.tensor([[True] * 4, [True, False, True, True]])
    target, matrix, sigma = linear(shape, draw(2, 4, seed=3), observed)
    count = 3000
    state, _, _ = started(RandomizedStarts(num_candidates=1), target, count)
    z = state.z.reshape(2, count, -1)
    for image in range(2):
        weight = observed[image] / sigma**2
        one = torch.eye(z.shape[2], dtype=torch.float64)
        precision = one + matrix.T @ (weight[:, None] * matrix)
        mean = torch.linalg.solve(precision, matrix.T @ (weight * target.y[image]))
        white = (z[image] - mean) @ torch.linalg.cholesky(precision)
        assert (white.mean(0).abs() < 5 / math.sqrt(count)).all()
        gap = white.T @ white / count - one
        assert (gap.abs() < 5 * math.sqrt(2 / count)).all()


def test_the_truths_rank_among_starts_alone_is_uniform_even_under_the_seed_of_the_measurement():
    problems, chains = 300, 15
    truth = noise.rows(5, problems).at(TRUTH).normal((5,), noise.INIT, torch.float64)
    empty, matrix, sigma = linear((5,), torch.zeros(problems, 4, dtype=torch.float64))
    target, *_ = linear((5,), empty.simulate(truth, seed=5))
    state, _, _ = started(RandomizedStarts(num_candidates=1), target, chains, seed=5)
    ranked = nw.diagnostics.sbc(truth, state.z.reshape(problems, chains, 5))
    assert (ranked.p_values > 0.01 / 5).all()
    fixed = torch.linalg.solve(  # what the same problems without perturbations would give
        torch.eye(5, dtype=torch.float64) + matrix.T @ (matrix / sigma[:, None] ** 2),
        (matrix.T @ (target.y / sigma**2).T),
    ).T
    narrow = fixed[:, None] + 0.5 * (state.z.reshape(problems, chains, 5) - fixed[:, None])
    assert nw.diagnostics.sbc(truth, narrow).p_values.min() < 1e-4


def test_the_perturbation_is_not_the_noise_that_made_the_measurement():
    empty, matrix, _ = linear((5,), torch.zeros(3, 4, dtype=torch.float64))
    truth = draw(3, 5, seed=4)
    target, *_ = linear((5,), empty.simulate(truth, seed=7))
    _, _, works = started(RandomizedStarts(1, num_candidates=1), target, 2, seed=7)
    added = works[0]["y"].reshape(3, 2, 4) - target.y[:, None]
    own = target.y - truth @ matrix.T
    assert not torch.isclose(added, own[:, None], rtol=1e-3).any()


def test_a_row_that_has_arrived_costs_nothing_more():
    observed = torch.tensor([[True] + [False] * 11, [True] * 12])
    both = tangled()
    both = nw.NoisePosterior(both.phi, both.operator, both.likelihood, both.y, observed)
    starts, costs = RandomizedStarts(300, num_candidates=1), []
    for image in range(2):
        rows = slice(image, image + 1)
        one = nw.NoisePosterior(
            both.phi, both.operator, both.likelihood, both.y[rows], observed[rows]
        )
        started(starts, one, 3)
        costs.append(one.nfe)
    started(starts, both, 3)
    most = 3 + starts.resolved(both).calls(both, 3) // 2
    assert costs[0] < costs[1] <= most
    # the second image has other noise alone, yet the first one's early stop must show in the sum
    assert both.nfe < 2 * most - (most - costs[0]) // 2


def test_images_with_gaps_stop_before_their_last_nats_and_others_do_not():
    """Before the last step, every active row expects more than it must."""
    early, most = 0.012 * 1056, 0.012 * 8192
    for side, gap, ends in (
        (33, True, early),
        (33, False, 1e-4),
        (31, True, 1e-4),
        (100, True, most),
    ):
        phi, likelihood = nw.maps.Warp((1, side, side), 0.0), nw.likelihoods.Gaussian(0.1)
        y = draw(1, 1, side, side, seed=3)
        observed = torch.ones(1, side, side, dtype=torch.bool)
        observed[:, 0] = not gap
        target = nw.NoisePosterior(phi, wavy, likelihood, y, observed if gap else None)
        _, _, works = started(RandomizedStarts(), target, 3)
        predicted = [predicted_of(work) for work in works if "direction" in work["memory"]]
        assert all((some > ends).all() for some in predicted)
        assert (torch.cat(predicted).min() < 1.0) == (ends < 1.0)


def wavy(x):
    return x + 0.5 * torch.sin(2 * x)


def predicted_of(work):
    """Decreases that the active rows expect."""
    memory = work["memory"]
    slope = (memory["g"] * memory["direction"]).double().flatten(1).sum(1)
    return -0.5 * slope[memory["active"]]


def objective_of(target, state, work):
    found = target.with_measurements(work["y"])(state.z)
    return found.nll + (state.z - work["centre"]).square().sum(1) / 2


def test_several_candidates_reach_lower_minima_of_the_same_problems(monkeypatch):
    monkeypatch.setattr(longer, "MOST", 0)
    target, values = tangled(), {}
    for count in (1, 16):
        state, _, works = started(RandomizedStarts(num_candidates=count), target, 6)
        values[count] = objective_of(target, state, works[-1])
    better = values[1] - values[16]
    assert (better > -0.05).all()  # the first candidate is the one of a single start
    assert (better > 1).sum() >= 3


def test_a_round_keeps_the_best_of_every_chain():
    f = torch.tensor([5.0, 1.0, torch.nan, 3.0, 2.0, torch.inf, 9.0, 8.0], dtype=torch.float64)
    z = torch.arange(8.0, dtype=torch.float64)[:, None]
    work = {
        "centre": torch.zeros(2, 1),
        "chain": torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]),
        "memory": {"z": z, "f": f, "pairs": [(z, z, f)]},
    }
    found = _pruned(work, 2)
    assert found["memory"]["z"].flatten().tolist() == [1, 3, 4, 7]
    assert found["chain"].tolist() == [0, 0, 1, 1]
    assert found["memory"]["pairs"][0][0].flatten().tolist() == [1, 3, 4, 7]
    assert _pruned(work, 1)["memory"]["z"].flatten().tolist() == [1, 4]


@pytest.mark.parametrize("optimizer", ["auto", "adam"])
@pytest.mark.parametrize(("num_steps", "count"), [(1, 1), (2, 16), (9, 3), (40, 5), ("auto", 1)])
def test_every_setting_goes_down_and_costs_no_more_than_it_says(
    monkeypatch, optimizer, num_steps, count
):
    monkeypatch.setattr(longer, "MOST", 0)
    target = tangled()
    starts, built = RandomizedStarts(num_steps, optimizer, count).resolved(target), target.nfe
    assert sum(steps for steps, _ in starts.phases(target)) == starts.num_steps
    state, taken, works = started(starts, target, 3)
    once_more = sum("first" in work for work in works)  # then each step and one evaluation more
    assert taken <= starts.num_steps + once_more
    assert target.nfe - built <= 6 + starts.calls(target, 3) + 6 * (1 + once_more)
    if optimizer == "adam":  # nothing stops early
        assert taken == starts.num_steps
        assert target.nfe - built == 6 + starts.calls(target, 3)
    first = works[0]["memory"]["f"].reshape(6, -1).min(1).values
    assert (objective_of(target, state, works[-1]) < first).all()


def minima(monkeypatch, far):
    """Targets' calls, states, objectives and works of eight chains."""
    monkeypatch.setattr("noisewalk.sampling.second_try.FAR", far)
    target = tangled()
    state, _, works = started(RandomizedStarts(num_candidates=1), target, 8)
    return target.nfe, state, objective_of(target, state, works[-1]).reshape(2, 8), works


def test_a_chain_far_above_the_lowest_minimum_tries_once_more_from_there(monkeypatch):
    calls, _, before, works = minima(monkeypatch, math.inf)
    assert not any("first" in work for work in works)
    more_calls, _, after, works = minima(monkeypatch, 6.0)
    far = before > before.min(1, keepdim=True).values + max(6.0 * math.sqrt(12 / 2), 0.2 * 12)
    assert 2 <= far.sum() < far.numel() - 1
    assert torch.equal(after[~far], before[~far])
    assert (after[far] <= before[far]).all()
    assert (after[far] < before[far] - 1).any()
    tries = sum("first" in work for work in works)
    assert calls < more_calls <= calls + far.sum() * (1 + tries)
    assert torch.equal(works[-1]["again"].reshape(2, 8), far)


@pytest.mark.parametrize("far", [6.0, math.inf])
def test_a_run_keeps_which_chains_tried_again(monkeypatch, tmp_path, far):
    _, _, _, works = minima(monkeypatch, far)
    plan = chains(tangled(), RandomizedStarts(num_candidates=1), num_chains=8, seed=0)
    stored = run_of(plan, tangled(), tmp_path / "run", progress=False)
    for run in (run_of(plan, tangled(), progress=False), stored):
        if far == math.inf:
            assert run.tried_again is None
        else:
            assert torch.equal(run.tried_again.flatten(), works[-1]["again"])


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({}, True),
        ({"num_steps": 79}, False),
        ({"num_candidates": 16}, False),
        ({"num_steps": 275, "num_candidates": 16}, True),
        ({"optimizer": "adam"}, False),
        ({"name": "Adam"}, False),
        ({"lr": 0.01}, False),
    ],
)
def test_the_recipe_is_known_from_what_a_run_has_written(changes, there):
    usual = {"name": "RandomizedStarts", "num_steps": 80, "optimizer": "lbfgs", "num_candidates": 1}
    assert is_recipe({**usual, **changes}) is there


def test_a_second_try_goes_on_bitwise(monkeypatch, tmp_path):
    _, state, _, works = minima(monkeypatch, 6.0)
    target, starts = tangled(), RandomizedStarts(num_candidates=1)
    rows, starts = noise.rows(0, 2, 8), starts.resolved(target)
    for k, kept in enumerate(works):
        if "first" not in kept or k % 5:
            continue
        (tmp_path / "work").write_bytes(b"".join(encode(kept)))
        found, work = state, decode(tmp_path / "work")
        while work is not None:
            found, work = starts.advance(target, found, work, rows, k + 1)
        assert torch.equal(found.z, state.z)


def test_no_step_is_the_centre():
    target = tangled()
    built = target.nfe
    state, taken, _ = started(RandomizedStarts(0), target, 3)
    expected = noise.rows(0, 2, 3).normal((8,), noise.INIT, torch.float64)
    assert taken == 0
    assert torch.equal(state.z, expected)
    assert target.nfe - built == 6


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_steps": -1}, "num_steps"),
        ({"num_candidates": 0}, "num_candidates"),
        ({"num_steps": 1.5}, "num_steps"),
        ({"optimizer": "sgd"}, "auto, lbfgs, adam"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        RandomizedStarts(**settings)


LIKELIHOODS = [nw.likelihoods.Gaussian(0.1), nw.likelihoods.UnknownGaussian()]


def chains(target, starts, **changes):
    settings = {"num_draws": 2, "num_chains": 2, "num_warmup": 3, "thin": 3, "seed": 3, **changes}
    refresh = nw.Refresh(at=(0.0,), rank=1, num_rows=1)
    kernel = nw.HMC(0.1, 2, friction=0.5)
    return resolve(target, kernel, warm_start=starts, refresh=refresh, **settings)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=["noise", "noise at a fit"])
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_from_every_state_the_run_goes_on_bitwise(tmp_path, monkeypatch, likelihood, optimizer):
    monkeypatch.setattr("noisewalk.sampling.chains.CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr("noisewalk.sampling.chains.SHARE", 0)
    for name, steps in (("ADAM", 3), ("ROUND", 3), ("LAST", 6)):
        monkeypatch.setattr(f"noisewalk.sampling.randomized.{name}", steps)
    whole, starts = Recorder(), RandomizedStarts("auto", optimizer, 5)
    plan = chains(tangled(likelihood), starts)
    ticks = drive(tangled(likelihood), plan, whole)
    rounds = len(plan.warm_start.phases(tangled(likelihood)))
    assert rounds == 4 + (likelihood is LIKELIHOODS[1])
    assert {s["start"]["phase"] for s, _ in whole.states if s["start"]} == set(range(rounds))
    assert any(sampler["block"] for sampler, _ in whole.states)
    for sampler, missing in whole.states:
        (tmp_path / "state").write_bytes(b"".join(encode(sampler)))
        rest = Recorder(decode(tmp_path / "state"))
        after = drive(tangled(likelihood), plan, rest)
        assert [tick[:4] for tick in after] == [t[:4] for t in ticks[len(ticks) - len(after) :]]
        for found, expected in zip(rest.draws, whole.draws[missing:], strict=True):
            for one, other in zip(
                (*found[0], *found[1]), (*expected[0], *expected[1]), strict=True
            ):
                assert torch.equal(one, other)
        early = whole.kept if sampler["transitions"] <= plan.num_warmup else {}
        assert rest.kept.keys() == early.keys()
        assert all(torch.equal(rest.kept[name], early[name]) for name in early)


def test_the_early_states_are_zarr_arrays_with_names_of_their_axes(tmp_path):
    import zarr

    target = tangled()
    run_of(chains(target, RandomizedStarts(2, num_candidates=1)), target, tmp_path, progress=False)
    group = zarr.open_group(tmp_path / "run.zarr", mode="r")
    found = {name: group[name].metadata.dimension_names for name in ("early_x", "early_lp")}
    assert found == {"early_x": ("image", "chain", "early_x_0"), "early_lp": ("image", "chain")}
    assert group["early_x"].shape == (2, 2, 12)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=["noise", "noise at a fit"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_the_estimate_is_what_a_run_costs_where_nothing_stops(monkeypatch, likelihood, optimizer):
    monkeypatch.setattr("noisewalk.sampling.second_try.FAR", math.inf)
    target = tangled(likelihood)
    plan, before = chains(target, RandomizedStarts(12, optimizer, 5)), target.nfe
    run = run_of(plan, target, progress=False)
    assert run.nfe == target.nfe - before == plan.estimate(target).calls


def test_the_estimate_of_memory_counts_what_the_optimiser_remembers():
    target, *_ = linear((1, 4, 5), draw(2, 4, seed=3))  # in numbers of 8 bytes
    plain = chains(target, None).estimate(target).memory
    rows = 2 * chains(target, None).num_chains
    for starts, numbers in (
        (nw.Adam(9), 2 * 20),
        (RandomizedStarts(80, num_candidates=1), (1 + 2 * 12 + 3) * 20 + 12 + 4),
        (RandomizedStarts(80, "adam", 1), (1 + 5) * 20 + 4),
    ):
        plan = chains(target, starts)
        assert plan.estimate(target).memory - plain == 8 * rows * numbers
    target, work = tangled(), None
    starts = RandomizedStarts("auto", num_candidates=16).resolved(target)
    state = target(draw(2, 8, seed=4))
    rows, held = noise.rows(0, 2, 1), 0
    work = starts.begin(target, state, rows)
    for k in range(1, int(starts.num_steps) + 1):
        state, work = starts.advance(target, state, work, rows, k)
        if work is None:
            break
        held = max(held, sum(part.numel() for pair in work["memory"]["pairs"] for part in pair))
    assert 0.5 * starts.numbers(target) < held / 2 < starts.numbers(target)


def test_a_likelihood_without_a_curvature_starts_without_its_gaussian():
    class Plain:
        def nll(self, mean, y, observed=None):
            return 2.0 * (mean - y).double().square().flatten(1).sum(1)

        def perturb(self, y, mean, noise, observed=None):
            return y + 0.5 * noise.normal(tuple(y.shape[1:]), 0, y.dtype)

    phi = nw.maps.Generator(torch.nn.Identity(), (1, 4, 4), (1, 4, 4))
    target = nw.NoisePosterior(phi, torch.nn.Identity(), Plain(), torch.ones(1, 1, 4, 4))
    run = nw.sample(target, num_chains=8, refresh=None, progress=False)
    assert run.spec["plan"]["warm_start"]["name"] == "RandomizedStarts"
    assert abs(float(run.mean.mean()) - 0.8) < 5 * (0.2 / 128) ** 0.5


def test_the_estimate_is_a_bound_where_rows_stop():
    target, *_ = linear((5,), draw(2, 4, seed=3))
    plan, before = chains(target, RandomizedStarts(60, num_candidates=5)), target.nfe
    run = run_of(plan, target, progress=False)
    assert run.nfe == target.nfe - before < 0.9 * plan.estimate(target).calls


@pytest.mark.parametrize(
    "starts", [RandomizedStarts(3, num_candidates=1), nw.Adam(30, 0.1), None], ids=repr
)
def test_the_stationary_law_is_the_posterior_whatever_the_start(starts):
    amplitude, sigma, y = 0.8, 0.5, torch.tensor([[0.4], [1.5]], dtype=torch.float64)
    target = nw.NoisePosterior(
        nw.maps.Warp((1,), amplitude), torch.nn.Identity(), nw.likelihoods.Gaussian(sigma), y
    )
    count = 3000
    run = nw.sample(
        target, num_chains=count, thin=40, warm_start=starts, plan="short_chains", progress=False
    )
    grid = torch.linspace(-8, 8, 40001, dtype=torch.float64)
    misfit = (y - grid - amplitude * torch.sin(grid)) / sigma
    weight = torch.softmax(-0.5 * (misfit**2 + grid**2), dim=1)
    for power in (1, 2, 3):
        exact = (weight * grid**power).sum(1)
        spread = ((weight * grid ** (2 * power)).sum(1) - exact**2).sqrt()
        found = (run.z[:, :, 0, 0] ** power).mean(1)
        assert ((found - exact).abs() < 5 * spread / math.sqrt(count)).all()
