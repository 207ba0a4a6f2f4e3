"""The Langevin schemes; tests/laws holds their stationary laws and their acceptance."""

import math

import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.gaussians.low_rank import LowRank
from noisewalk.kernels.langevin import log_acceptance
from noisewalk.types import State

ROWS, DIM = 4, 5


class Flat:
    """A likelihood that is the same everywhere: the posterior is the prior."""

    def __call__(self, z: Tensor) -> State:
        return State(z, z, torch.zeros(len(z), dtype=torch.float64), torch.zeros_like(z))


def normal(step: int) -> Tensor:
    return noise.rows(0, 1, ROWS).at(step).normal((DIM,), noise.PROBE, torch.float64)


def test_the_exponential_scheme_never_rejects_where_the_posterior_is_its_own_gaussian() -> None:
    here, there = Flat()(normal(1)), Flat()(normal(2))
    for tau in (0.01, 0.5, 3.0):
        exponential = [math.exp(-tau), 1 - math.exp(-tau), math.sqrt(1 - math.exp(-2 * tau))]
        euler = [1 - tau, tau, math.sqrt(2 * tau)]
        ei, em = (
            log_acceptance(here, there, *torch.tensor(values, dtype=torch.float64))
            for values in (exponential, euler)
        )
        torch.testing.assert_close(ei, torch.zeros_like(ei), rtol=0, atol=1e-13)
        assert float(em.abs().min()) > 1e-4  # Euler-Maruyama is biased even there


def test_a_step_is_the_formula_of_its_scheme() -> None:
    z, rows = normal(3), noise.rows(1, 1, ROWS).at(4)
    xi = rows.normal((DIM,), noise.PROPOSAL, torch.float64)
    after, info, carry = nw.Langevin(0.2, "em").step(Flat()(z), Flat(), rows)
    torch.testing.assert_close(after.z, 0.8 * z + math.sqrt(0.4) * xi)
    assert info.accepted.all()
    assert carry is None
    after, _, _ = nw.Langevin(0.2, "ei").step(Flat()(z), Flat(), rows)
    torch.testing.assert_close(after.z, math.exp(-0.2) * z + math.sqrt(1 - math.exp(-0.4)) * xi)


def test_only_the_exponential_scheme_takes_a_preconditioner() -> None:
    reference = LowRank(torch.zeros(1, DIM), torch.zeros(1, 0, DIM), torch.zeros(1, 0))
    assert nw.Langevin(0.1, "ei", preconditioner=reference).takes_preconditioner
    assert not nw.Langevin(0.1, "em").takes_preconditioner
    with pytest.raises(ConfigError, match="Euler-Maruyama takes no preconditioner"):
        nw.Langevin(0.1, "em", preconditioner=reference)
    with pytest.raises(ConfigError, match="scheme"):
        nw.Langevin(0.1, "heun")
