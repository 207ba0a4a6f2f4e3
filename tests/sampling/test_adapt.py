import math

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.gaussians.low_rank import LowRank, largest_stable_step
from noisewalk.sampling.adapt import DualAveraging

SCALES = torch.tensor([1e-3, 1.0, 50.0], dtype=torch.float64)


def toy(step_size):
    """An acceptance that falls from 1 to 0 with the step: exp(-tau / scale), which meets delta at
    tau = -scale ln delta."""
    return torch.exp(-step_size / SCALES)


def adapted(adapter, first, rounds, chains=1, seed=None):
    adaptation, rates = adapter.start(first, 3), []
    generator = torch.Generator().manual_seed(seed or 0)
    for k in range(1, rounds + 1):
        rate = toy(adapter.current(adaptation)).repeat_interleave(chains)
        if seed is not None:
            rate = torch.bernoulli(rate, generator=generator)
        rates.append(rate.reshape(3, chains).mean(1))
        adaptation = adapter.update(adaptation, rate, k)
    return adaptation, torch.stack(rates)


@pytest.mark.parametrize("delta", [0.3, 0.574, 0.9])
def test_the_kept_step_meets_the_target_acceptance_of_every_image(delta):
    adapter = DualAveraging(delta)
    adaptation, _ = adapted(adapter, 1.0, 2000)
    expected = -SCALES * math.log(delta)
    torch.testing.assert_close(
        toy(adapter.final(adaptation)),
        torch.full((3,), delta, dtype=torch.float64),
        rtol=0,
        atol=0.01,
    )
    assert ((adapter.final(adaptation) / expected).log().abs() < 0.1).all()


@pytest.mark.parametrize("seed", [None, 1])
def test_the_mean_acceptance_differs_from_its_target_as_the_recursion_says(seed):
    adapter, rounds = DualAveraging(0.6), 400
    adaptation, rates = adapted(adapter, 1.0, rounds, chains=4, seed=seed)
    mu, log_step, _, error = adaptation
    torch.testing.assert_close(
        error, (0.6 - rates).sum(0) / (rounds + adapter.t0), rtol=1e-10, atol=1e-12
    )  # H is a plain average
    torch.testing.assert_close(
        error, adapter.gamma * (mu - log_step) / rounds**0.5, rtol=1e-10, atol=1e-12
    )  # so it falls as 1 / sqrt(k)


def test_one_update_is_the_papers_recursion():
    adapter = DualAveraging(0.8, gamma=0.1, t0=4.0, kappa=0.6)
    rates = torch.tensor([[0.2, 0.4], [1.0, 0.9]], dtype=torch.float64)  # two images, two chains
    start = adapter.start(0.05, 2)
    mu = math.log(10 * 0.05)
    torch.testing.assert_close(
        start,
        torch.tensor(
            [[mu] * 2, [math.log(0.05)] * 2, [math.log(0.05)] * 2, [0.0] * 2], dtype=torch.float64
        ),
    )
    one = adapter.update(start, rates.flatten(), 1)
    two = adapter.update(one, rates.flatten(), 2)
    for image, alpha in enumerate((0.3, 0.95)):
        h1 = (0.8 - alpha) / 5
        x1 = mu - h1 / 0.1
        h2 = (1 - 1 / 6) * h1 + (0.8 - alpha) / 6
        x2 = mu - math.sqrt(2) * h2 / 0.1
        weight = 2**-0.6
        assert one[:, image].tolist() == pytest.approx([mu, x1, x1, h1], rel=1e-12)
        assert two[:, image].tolist() == pytest.approx(
            [mu, x2, weight * x2 + (1 - weight) * x1, h2], rel=1e-12
        )


def test_an_image_does_not_know_the_others():
    adapter = DualAveraging()
    together, _ = adapted(adapter, 0.1, 20)
    alone = adapter.start(0.1, 1)
    for k in range(1, 21):
        alone = adapter.update(alone, torch.exp(-adapter.current(alone) / SCALES[1]), k)
    assert torch.equal(together[:, 1:2], alone)


def test_the_adaptation_does_not_depend_on_the_unit_of_the_step():
    adapter = DualAveraging()
    small, large = (
        adapter.start(torch.tensor([1e-4, 1e-2]), 2),
        adapter.start(torch.tensor([1e-1, 1e1]), 2),
    )
    for k in range(1, 30):
        rate = torch.tensor([0.1 * (k % 7), 0.5])
        small, large = adapter.update(small, rate, k), adapter.update(large, rate, k)
    for read in (adapter.current, adapter.final):
        torch.testing.assert_close(
            read(large) / read(small), torch.full((2,), 1e3, dtype=torch.float64), rtol=1e-5, atol=0
        )  # float32 steps


def test_high_acceptance_raises_the_step_and_low_acceptance_lowers_it():
    adapter = DualAveraging()
    adaptation = adapter.start(0.1, 2)
    for k in range(1, 50):
        adaptation = adapter.update(adaptation, torch.tensor([1.0, 0.0]), k)
    raised, lowered = adapter.final(adaptation)
    assert raised > 0.1 > lowered > 0


def test_the_largest_step_is_never_exceeded_and_is_left_again():
    adapter = DualAveraging(largest=0.2)
    adaptation = adapter.start(0.1, 2)
    for k in range(1, 30):
        adaptation = adapter.update(adaptation, torch.ones(2), k)
        assert float(adapter.current(adaptation).max()) <= 0.2 * (1 + 1e-12)
    assert adapter.final(adaptation).tolist() == pytest.approx([0.2, 0.2], rel=0.2)
    for k in range(30, 200):
        adaptation = adapter.update(adaptation, torch.zeros(2), k)
    assert float(adapter.final(adaptation).max()) < 0.1


def test_mala_accepts_as_asked_on_every_image():
    y, sigma = torch.zeros(2, 8, dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    stiff = torch.diag(torch.linspace(1.0, 6.0, 8, dtype=torch.float64))
    observed = torch.tensor(
        [[False] * 6 + [True] * 2, [True] * 2 + [False] * 6]
    )  # image 0 sees the stiff directions, image 1 the slack ones
    target = nw.NoisePosterior(
        nw.maps.Affine(stiff), torch.nn.Identity(), nw.likelihoods.Gaussian(sigma), y, observed
    )
    settings = {
        "num_draws": 100,
        "num_chains": 64,
        "num_warmup": 300,
        "warm_start": None,
        "progress": False,
    }
    run = nw.sample(target, nw.Langevin(1e-3, adjust=True), adapt=DualAveraging(0.6), **settings)
    rate = run.arrays["acceptance_rate"].mean((1, 2))
    torch.testing.assert_close(
        rate, torch.full((2,), 0.6, dtype=torch.float64), rtol=0, atol=0.03
    )  # 5 errors of 6400 correlated rates and the averaged step
    steps = run.arrays["step_size"][:, 0, 0]
    assert steps[1] > 4 * steps[0]
    assert (
        run.arrays["step_size"] == steps[:, None, None]
    ).all()  # no adaptation after the warm-up


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, float("nan")])
def test_an_impossible_target_is_refused(delta):
    with pytest.raises(ConfigError, match="target_accept"):
        DualAveraging(delta)


@pytest.mark.parametrize(
    "bad",
    [{"gamma": 0.0}, {"gamma": float("nan")}, {"t0": -1.0}, {"kappa": 0.0}, {"kappa": 1.5}],
    ids=str,
)
def test_impossible_constants_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        DualAveraging(**bad)


CURVATURES = torch.tensor([[399.0, 3.0], [7.0, 0.5]], dtype=torch.float64)
"""Eigenvalues of J^T W J of two images."""


def gaussian_posteriors(dim=4):
    """Two images, each of whose posteriors has the precisions 1 + CURVATURES in its first two
    coordinates and 1 in the rest, mean 0."""
    observed = torch.zeros(2, 4, dtype=torch.bool)
    observed[0, :2] = observed[1, 2:] = True
    matrix = torch.zeros(4, dim, dtype=torch.float64)
    matrix[[0, 1, 2, 3], [0, 1, 0, 1]] = CURVATURES.flatten().sqrt()
    y = torch.zeros(2, 4, dtype=torch.float64)
    return nw.NoisePosterior(
        nw.maps.Affine(matrix), torch.nn.Identity(), nw.likelihoods.Gaussian(1.0), y, observed
    )


def test_the_largest_stable_step_comes_from_each_images_top_curvature():
    target = gaussian_posteriors()
    found = nw.gauss_newton(
        target, target(nw.noise.rows(0, 2, 3).normal((4,), nw.noise.INIT, torch.float64)), rank=1
    )
    torch.testing.assert_close(
        largest_stable_step(found, 0.25), 0.5 / (1.0 + CURVATURES.amax(1)), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(
        largest_stable_step(found), 2.0 * largest_stable_step(found, 0.25), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("fraction", [0.5, 0.8])
def test_at_the_largest_stable_step_the_stiffest_variance_is_too_large_by_what_is_promised(
    fraction,
):
    target, chains = gaussian_posteriors(), 4000
    rows = nw.noise.rows(3, 2, chains)
    state = target(torch.zeros(2 * chains, 4, dtype=torch.float64))
    kernel = nw.Langevin(largest_stable_step(nw.gauss_newton(target, state, rank=2), fraction))
    for k in range(1, 60):  # (1 - 2 f)^2 a step in the stiffest direction: 0.6^118 at f = 0.8
        state, _, _ = kernel.step(state, target, rows.at(k))
    variance = state.z.reshape(2, chains, 4)[:, :, 0].square().mean(1) * (1.0 + CURVATURES[:, 0])
    torch.testing.assert_close(
        variance,
        torch.full((2,), 1.0 / (1.0 - fraction), dtype=torch.float64),
        rtol=5 * (2.0 / chains) ** 0.5,
        atol=0,
    )


@pytest.mark.parametrize(("over", "bounded"), [(0.9, True), (1.1, False)])
def test_the_limit_of_stability_is_where_it_is_said_to_be(over, bounded):
    target = gaussian_posteriors()
    state = target(torch.ones(2, 4, dtype=torch.float64))
    limit = 2.0 * largest_stable_step(nw.gauss_newton(target, state, rank=2))
    kernel, rows = nw.Langevin(over * limit), nw.noise.rows(0, 2)
    for k in range(1, 200):
        state, _, _ = kernel.step(state, target, rows.at(k))
    scaled = state.z[:, 0].square() * (
        1.0 + CURVATURES[:, 0]
    )  # stationary: 1 / (1 - 0.9) = 10 times a chi-square; else 1.2^398 = 1e31
    assert bool((scaled < 10 * 25).all() if bounded else (scaled > 1e20).all())


def test_without_curvature_the_step_is_the_priors_own():
    flat = LowRank(torch.zeros(3, 5), torch.zeros(3, 0, 5), torch.zeros(3, 0))
    assert torch.equal(largest_stable_step(flat), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_a_fraction_that_is_not_stable_is_refused(fraction):
    with pytest.raises(ConfigError, match="fraction"):
        largest_stable_step(
            LowRank(torch.zeros(1, 5), torch.zeros(1, 0, 5), torch.zeros(1, 0)), fraction
        )


def test_an_acceptance_that_is_not_a_number_counts_as_a_rejection() -> None:
    adapt = nw.DualAveraging(0.8)
    rejected, unknown = torch.zeros(2), torch.tensor([float("nan"), 0.0])
    start = adapt.start(0.1, num_images=1)
    assert torch.equal(adapt.update(start, rejected, 1), adapt.update(start, unknown, 1))


def test_a_step_without_a_bound_stays_a_number() -> None:
    adapt = nw.DualAveraging()
    found = adapt.start(0.1, 1)
    for k in range(1, 8000):
        found = adapt.update(found, torch.ones(2), k)
    assert torch.isfinite(adapt.current(found)).all()
    assert torch.isfinite(adapt.final(found)).all()
