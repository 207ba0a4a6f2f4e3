"""What `sample` settles before it runs."""

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.kernels.hmc import HMC
from noisewalk.sampling.chains import Chains
from noisewalk.sampling.defaults import (
    CALLS_PER_DRAW,
    FRICTION,
    NUM_WARMUP,
    default_kernel,
    resolve,
)
from noisewalk.sampling.execute import draw
from noisewalk.sampling.randomized import ADAM, LAST, NEWTON, ROUND


class Several:
    """The identity, said to take several calls."""

    shape = (3,)

    def __init__(self, nfe: int) -> None:
        self.nfe = nfe

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return z


def target(nfe: int = 1, differentiable: bool = True) -> nw.NoisePosterior:
    y = torch.tensor([[1.0, -1.0, 0.5]], dtype=torch.float64)
    return nw.NoisePosterior(
        Several(nfe), lambda x: x, nw.likelihoods.Gaussian(0.3), y, differentiable=differentiable
    )


@pytest.mark.parametrize(("nfe", "count"), [(1, 8), (2, 5), (35, 8)])
def test_a_draw_of_the_default_kernel_takes_ten_calls_of_a_short_map_at_most(
    nfe: int, count: int
) -> None:
    kernel = default_kernel(target(nfe))
    assert repr(kernel) == repr(HMC(0.1, count, friction=FRICTION))
    assert nfe > 2 or nfe * count <= CALLS_PER_DRAW


@pytest.mark.parametrize(
    "kernel",
    [
        nw.Langevin(0.1, "ei", adjust=True),
        nw.Langevin(0.01, "ei"),
        nw.EllipticalSlice(),
        nw.HMC(0.3, 3),
    ],
    ids=repr,
)
def test_a_refresh_fits_the_gaussian_that_a_kernel_is_built_on(kernel: object) -> None:
    run = nw.sample(
        target(),
        kernel,
        400,
        2,
        warm_start=None,
        refresh=nw.Refresh(rank=3),
        adapt=None,
        progress=False,
    )  # type: ignore[arg-type]
    assert run.spec["plan"]["refresh"]["name"] == "Refresh"
    # the posterior is that Gaussian: exact kernels always accept, slice sampling takes its first
    # point
    assert float(run.arrays["acceptance_rate"].mean()) > 0.95
    given = {"adapt": None, "num_warmup": 0, "warm_start": None, "progress": False}
    wide = nw.sample(target(), kernel, 400, 2, **given)  # type: ignore[arg-type]
    assert float(wide.arrays["acceptance_rate"].mean()) < float(
        run.arrays["acceptance_rate"].mean()
    )


@pytest.mark.parametrize(
    ("kernel", "differentiable", "change", "says"),
    [
        (nw.Langevin(0.1), True, {}, "takes no preconditioner"),
        (nw.EllipticalSlice(), False, {"warm_start": None}, "not differentiable"),
        (nw.HMC(0.1), True, {"num_warmup": 0}, "needs a warm-up"),
        (nw.HMC(0.1), True, {"refresh": 3}, "must be nw.Refresh"),
    ],
)
def test_a_refresh_that_cannot_be_is_refused(
    kernel: object, differentiable: bool, change: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        nw.sample(target(1, differentiable), kernel, 5, **{"refresh": nw.Refresh(), **change})


def test_the_default_kernel_can_do_without_its_gaussian() -> None:
    settings = {"warm_start": nw.Adam(20), "plan": "long_chains", "progress": False}
    run = nw.sample(target(), None, 5, 2, num_warmup=10, refresh=None, **settings)  # type: ignore[arg-type]
    assert run.spec["plan"]["refresh"] is None
    assert run.nfe == 2 * (1 + 20 + 8 * 15)


def test_an_exact_kernel_is_adapted_and_an_unadjusted_one_runs_as_given() -> None:
    adapted = resolve(target(), nw.HMC(0.3, 3))
    assert (adapted.num_warmup, adapted.refresh) == (NUM_WARMUP, nw.Refresh())
    assert adapted.adapt == nw.DualAveraging(0.8, largest=nw.HMC(0.3, 3).quarter_turn)
    assert resolve(target(), nw.Langevin(0.1, adjust=True)).adapt == nw.DualAveraging()
    sliced = resolve(target(), nw.EllipticalSlice())
    assert (sliced.num_warmup, sliced.adapt, sliced.refresh) == (NUM_WARMUP, None, None)
    as_given = [
        resolve(target(), nw.HMC(0.3, 3), adapt=None, num_warmup=0),
        resolve(target(), nw.HMC(0.3, 3), num_warmup=0),
        resolve(target(), nw.Langevin(0.1)),
        resolve(target(), nw.Langevin(0.1, "ei")),
    ]
    for plan in as_given:
        assert (plan.num_warmup, plan.adapt, plan.refresh) == (0, None, None)
    own = nw.gauss_newton(target(), target()(torch.zeros(1, 3, dtype=torch.float64)))
    assert resolve(target(), nw.HMC(0.3, 3, preconditioner=own)).refresh is None


def test_the_estimate_is_what_a_run_costs() -> None:
    plans = [
        resolve(target(2), None, 5, 3, 10, 2, nw.Adam(7), refresh=nw.SpectralRefresh(num_probes=2)),
        resolve(target(), nw.Langevin(0.1), 5, 3, warm_start=None),
        resolve(target(), nw.HMC(0.1, 4), 5, 3, 10, 1, nw.Adam(7), refresh=nw.Refresh(rank=1)),
    ]
    for plan in plans:
        posterior = target(2) if plan is plans[0] else target()
        estimate = plan.estimate(posterior)
        run = draw(plan, posterior, progress=False)
        assert estimate.calls == run.nfe
        stored = sum(v.numel() * v.element_size() for v in run.arrays.values())
        assert estimate.disk == stored


def numbers(plan: Chains) -> tuple[int, ...]:
    return plan.num_chains, plan.num_draws, plan.num_warmup, plan.thin, plan.num_settling


SHORT_NUMBERS, LONG_NUMBERS = (16, 1, 8, 1, 15), (4, 100, NUM_WARMUP, 1, 0)


def test_without_a_kernel_many_short_chains_start_at_randomised_problems() -> None:
    plan = resolve(target())
    assert numbers(plan) == SHORT_NUMBERS
    assert repr(plan.kernel) == repr(default_kernel(target()))
    assert plan.warm_start == nw.RandomizedStarts(ADAM + 2 * ROUND + LAST, "lbfgs", 16)
    assert plan.refresh == nw.Refresh(at=(0.0,), num_rows=2)
    y = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    phi, noise = nw.maps.Warp((1, 4, 4)), nw.likelihoods.Gaussian(0.3)
    image = resolve(nw.NoisePosterior(phi, torch.nn.Identity(), noise, y))
    assert image.warm_start == nw.RandomizedStarts(ADAM + NEWTON, "lbfgs", 1)
    assert image.refresh == nw.SpectralRefresh(at=(0.0,), num_rows=2)


def test_a_kernel_or_starts_by_hand_get_a_few_long_chains() -> None:
    for plan in (
        resolve(target(), nw.HMC(0.3, 3)),
        resolve(target(), warm_start=nw.Adam(5)),
        resolve(target(), warm_start=None),
        resolve(target(), plan="long_chains"),
    ):
        assert numbers(plan) == LONG_NUMBERS
        assert plan.refresh == nw.Refresh()
    assert isinstance(resolve(target(), nw.HMC(0.3, 3)).warm_start, nw.RandomizedStarts)
    asked = resolve(target(), nw.HMC(0.3, 3), warm_start=nw.Adam(5), plan="short_chains")
    assert numbers(asked) == SHORT_NUMBERS


@pytest.mark.parametrize("plan", ["short_chains", "long_chains"])
def test_numbers_that_are_given_win_under_both_plans(plan: str) -> None:
    given = {"num_chains": 3, "num_draws": 7, "num_warmup": 5, "thin": 2}
    assert numbers(resolve(target(), plan=plan, **given)) == (3, 7, 5, 2, 0)  # type: ignore[arg-type]
    for name, value in given.items():
        changed = numbers(resolve(target(), plan=plan, **{name: value}))  # type: ignore[arg-type]
        assert value in changed


@pytest.mark.parametrize("draws", [1, 5, 100])
def test_more_draws_of_a_short_chain_follow_the_first(draws: int) -> None:
    plan = resolve(target(), num_draws=draws)
    assert numbers(plan) == (16, draws, *SHORT_NUMBERS[2:])
    assert plan.num_transitions == 8 + 16 + draws - 1


def test_an_unknown_plan_is_refused() -> None:
    with pytest.raises(ConfigError, match="auto, short_chains, long_chains"):
        resolve(target(), plan="short")


def test_without_gradients_long_chains_slice() -> None:
    plan = resolve(target(differentiable=False))
    assert isinstance(plan.kernel, nw.EllipticalSlice)
    assert numbers(plan) == LONG_NUMBERS
    assert (plan.warm_start, plan.refresh, plan.adapt) == (None, None, None)


class Unperturbed:
    def nll(
        self, mean: torch.Tensor, y: torch.Tensor, observed: torch.Tensor | None = None
    ) -> torch.Tensor:
        return (y - mean).to(torch.float64).abs().sum(1)


def test_a_likelihood_without_perturb_starts_by_adam_and_the_run_says_so_once() -> None:
    own = nw.NoisePosterior(Several(1), lambda x: x, Unperturbed(), target().y)
    with pytest.warns(UserWarning, match="no method perturb") as told:
        plan = resolve(own, num_warmup=3, refresh=None)
    assert len(told) == 1
    assert plan.warm_start == nw.Adam()
    assert (plan.num_chains, plan.num_draws) == (4, 100)
    with pytest.raises(ConfigError, match="perturb"):
        resolve(own, warm_start=nw.RandomizedStarts())


class Flat(Unperturbed):
    """Without a curvature, but with starts."""

    def perturb(
        self, y: torch.Tensor, mean: torch.Tensor, noise: object, observed: object = None
    ) -> torch.Tensor:
        return y


def test_a_likelihood_without_curvature_is_sampled_without_a_gaussian() -> None:
    own = nw.NoisePosterior(Several(1), lambda x: x, Flat(), target().y)
    assert resolve(own).refresh is None
