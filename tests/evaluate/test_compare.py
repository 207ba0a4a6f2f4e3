"""Samplers on one problem: runs and functions, what they cost, and what is not this problem."""

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError

SHAPE = (1, 12, 12)
MEAN, STD = 0.4, 0.6


class Identity(torch.nn.Module):
    """z -> z: x ~ N(0, I)."""

    def forward(self, z):
        return z


@pytest.fixture(scope="module")
def problem():
    """y = x + N(0, 1): the posterior is N(y / 2, 1 / 2)."""
    noise = torch.Generator().manual_seed(0)
    truth = 0.3 * torch.randn(2, *SHAPE, generator=noise)
    y = truth + torch.randn(2, *SHAPE, generator=noise)
    phi = nw.maps.Generator(Identity(), SHAPE, SHAPE)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(1.0), y)
    return target, truth


def exact(target, num_draws, seed):
    noise = torch.Generator().manual_seed(seed)
    size = target.num_images, 4, num_draws // 4, *target.data_shape
    return target.y[:, None, None] / 2 + 0.5**0.5 * torch.randn(size, generator=noise)


def calling(target, num_draws, seed):
    """A sampler that calls the target 3 times a draw."""
    for _ in range(3 * num_draws):
        target(torch.zeros(target.num_images, *target.shape))
    return exact(target, num_draws, seed)


def test_a_function_is_given_the_target_the_number_of_draws_and_the_seed(problem):
    given = []

    def record(*args):
        given.append(args)
        return exact(*args)

    found = nw.compare({"a": record}, problem[0], num_draws=8, seed=5)
    assert given == [(problem[0], 8, 5)]
    assert torch.equal(found.runs["a"].draws, exact(problem[0], 8, 5))
    nw.compare({"run": nw.Run(exact(problem[0], 12, 0)), "a": record}, problem[0])
    assert given[1][1:] == (12, 0)  # as many as the run has


def test_calls_are_those_of_the_target_or_of_the_run_that_comes_back(problem):
    target, _ = problem
    entries = {
        "counted": calling,
        "told": lambda target, n, seed: nw.Run(exact(target, n, seed), nfe=77, seconds=2.0),
        "unknown": exact,
    }
    table = nw.compare(entries, target, num_draws=8).table
    assert table["counted"]["nfe"].value == 3 * 8 * 2
    assert (table["told"]["nfe"].value, table["told"]["seconds"].value) == (77, 2.0)
    assert table["unknown"]["nfe"].value is None
    assert "nw.Run(draws, nfe=...)" in table["unknown"]["nfe"].why


def test_a_budget_makes_functions_draw_as_much_as_it_pays_for(problem):
    found = nw.compare({"a": calling, "b": exact}, problem[0], num_draws=8, budget=96)
    assert found.runs["a"].draws.shape[1:3] == (4, 4)
    assert found.runs["a"].nfe == 96
    assert found.runs["b"].draws.shape[1:3] == (4, 2)  # nothing is known of its calls
    assert "about 96 network calls" in found.to_markdown()


def test_samples_without_a_chain_axis_are_chains_of_one_draw(problem):
    def flat(target, num_draws, seed):
        return exact(target, num_draws, seed).flatten(1, 2)

    assert nw.compare({"a": flat}, problem[0], num_draws=8).runs["a"].draws.shape[:3] == (2, 8, 1)


def test_baselines_enter_as_they_are():
    operator, noise = nw.operators.AveragePool(2), nw.likelihoods.Gaussian(0.1)
    phi = nw.maps.Generator(Identity(), (1, 8, 8), (1, 8, 8))
    target = nw.NoisePosterior(phi, operator, noise, torch.zeros(1, 1, 4, 4))

    def denoiser(x_t, sigma):
        return x_t / (1 + sigma**2)

    denoiser.shape, denoiser.sigma_min, denoiser.sigma_max = (1, 8, 8), 0.002, 80.0

    def dps(target, num_draws, seed):
        counted = nw.baselines.CountedDenoiser(denoiser)
        how = {"num_samples": num_draws, "num_steps": 3, "seed": seed, "progress": False}
        x = nw.baselines.dps(counted, target.operator, target.y, **how)
        return nw.Run(x[:, :, None], nfe=counted.nfe)

    found = nw.compare({"dps": dps}, target, num_draws=4)
    assert found.table["dps"]["nfe"].value == 12
    assert found.table["dps"]["seconds"].value > 0


def test_the_problem_of_the_runs_is_that_of_the_comparison(problem):
    target, truth = problem
    runs = {"a": nw.Run(exact(target, 8, 0), target, truth), "b": exact}
    found = nw.compare(runs)
    assert found.table["b"]["psnr"].value is not None


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({}, "by name"),
        ({"a": 3}, "a must be a nw.Run or a function"),
        ({"a": nw.Run({"x": torch.zeros(2, 4, 0, *SHAPE)})}, "no draws"),
        ({"a": nw.Run(torch.zeros(2, 4, 2, 1, 3, 3))}, "a is not of this problem.*the target has"),
        (
            {"a": nw.Run({"x": torch.zeros(2, 4, 2, *SHAPE)}, y=torch.zeros(2, *SHAPE))},
            "measurement is not",
        ),
    ],
)
def test_what_is_not_of_the_problem_is_refused_by_name(problem, entries, match):
    with pytest.raises(ConfigError, match=match):
        nw.compare(entries, problem[0])


def test_bad_arguments_are_told_before_a_function_is_called(problem):
    target, truth = problem
    called = []
    entries = {"mine": lambda *given: called.append(given)}
    with pytest.raises(ConfigError, match="budget"):
        nw.compare(entries, target, budget=0)
    with pytest.raises(ConfigError, match="truth must be finite"):
        nw.compare(entries, target, torch.full_like(truth, torch.nan))
    assert called == []


def test_whole_numbers_are_no_draws(problem):
    with pytest.raises(ConfigError, match=r"draws of mine must be floating-point.*got int64"):
        nw.compare({"mine": lambda t, n, s: exact(t, n, s).long()}, problem[0])


def test_what_a_function_raises_names_its_entry(problem):
    with pytest.raises(ZeroDivisionError) as raised:
        nw.compare({"mine": lambda t, n, s: 1 / 0}, problem[0])
    assert raised.value.__notes__ == ["raised by the entry mine of nw.compare"]


def test_without_a_target_runs_must_agree_and_functions_are_refused(problem):
    one = nw.Run(exact(problem[0], 8, 0))
    with pytest.raises(ConfigError, match="give target"):
        nw.compare({"a": one, "b": exact})
    with pytest.raises(ConfigError, match="another shape"):
        nw.compare({"a": one, "b": nw.Run(torch.zeros(2, 4, 2, 1, 3, 3))})
    apart = {
        k: nw.Run({"x": one.draws}, y=torch.full((2, 1), v)) for k, v in (("a", 0.0), ("b", 1.0))
    }
    with pytest.raises(ConfigError, match="another measurement"):
        nw.compare(apart)
