"""What `sample` settles before it runs."""

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.kernels.hmc import HMC
from noisewalk.sampling.defaults import (
    CALLS_PER_DRAW,
    FRICTION,
    NUM_WARMUP,
    default_kernel,
    resolve,
)
from noisewalk.sampling.execute import draw


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
    run = nw.sample(target(), None, 5, 2, num_warmup=10, refresh=None, progress=False)
    assert run.spec["plan"]["refresh"] is None
    assert run.nfe == 2 * (1 + 200 + 8 * 15)


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
        resolve(target(), nw.HMC(0.1, 4), 5, 3, 10, refresh=nw.Refresh(rank=1)),
    ]
    for plan in plans:
        posterior = target(2) if plan is plans[0] else target()
        estimate = plan.estimate(posterior)
        run = draw(plan, posterior, progress=False)
        assert estimate.calls == run.nfe
        stored = sum(v.numel() * v.element_size() for v in run.arrays.values())
        assert estimate.disk == stored
