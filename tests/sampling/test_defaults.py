"""What `sample` settles before it runs."""

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.kernels.hmc import HMC
from noisewalk.sampling.defaults import CALLS_PER_DRAW, FRICTION, default_kernel


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
        target(), kernel, 400, 2, warm_start=None, refresh=nw.Refresh(rank=3), progress=False
    )  # type: ignore[arg-type]
    assert "refresh" in run.spec
    # the posterior is that Gaussian: exact kernels always accept, slice sampling takes its first
    # point
    assert float(run.arrays["acceptance_rate"].mean()) > 0.95
    wide = nw.sample(target(), kernel, 400, 2, warm_start=None, progress=False)  # type: ignore[arg-type]
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
        nw.sample(target(1, differentiable), kernel, 5, **{"refresh": nw.Refresh(), **change})  # type: ignore[arg-type]


def test_the_default_kernel_can_do_without_its_gaussian() -> None:
    run = nw.sample(target(), None, 5, 2, num_warmup=10, refresh=None, progress=False)
    assert run.spec["refresh"] == "None"
    assert run.nfe == 2 * (1 + 200 + 8 * 15)
