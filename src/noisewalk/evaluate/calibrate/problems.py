"""Problems whose truth is known, simulated from the prior, and the quantities that are ranked."""

import math

import torch
from torch import Tensor

from ... import noise as keyed
from ..._checks import rows_of_call
from ...likelihoods.base import complete
from ...operators import observed_of
from ...posterior import NoisePosterior
from ...sampling.limits import check_memory
from ...types import State
from .calibration import NUM_PROJECTIONS
from .request import Request

TRUTH = 1 << 31  # step of the noise that makes the truth and its measurement: no run reaches it


def simulate(request: Request) -> tuple[NoisePosterior, State]:
    """One posterior a problem, and the truths: z* ~ N(0, I), y = A(Phi(z*)) + noise."""
    phi, operator, likelihood = request.phi, request.operator, request.likelihood
    batch = request.microbatch and rows_of_call(request.microbatch)
    check_memory(request.num_problems * _bytes_a_problem(request), request.device)
    rows = keyed.rows(request.seed, request.num_problems, device=request.device).at(TRUTH)
    z = rows.normal(tuple(phi.shape), keyed.INIT, request.dtype)
    with torch.no_grad():
        x = torch.cat([phi(part) for part in z.split(batch or len(z))])
        observed = observed_of(operator, tuple(x.shape[1:]))
        y = complete(likelihood).sample(operator(x), rows, observed)
    target = NoisePosterior(
        phi, operator, likelihood, y, microbatch=batch, differentiable=request.differentiable
    )
    return target, target(z)


def _bytes_a_problem(request: Request) -> int:
    """Bytes of the truth of a problem and of one state of its run."""
    return 4 * math.prod(request.phi.shape) * torch.zeros((), dtype=request.dtype).element_size()


def quantities(state: State, seed: int) -> Tensor:
    """(B, quantity) float64 on the CPU, in the order of `calibration.QUANTITIES`."""
    x, z = (part.to(torch.float64).flatten(1) for part in (state.x, state.z))
    radius, shape = z.square().sum(1), (x.shape[1], NUM_PROJECTIONS)
    directions = keyed.rows(seed, 1).normal(shape, keyed.PROBE, torch.float64)[0].to(x.device)
    plain = torch.stack([state.nll, -state.nll - 0.5 * radius, radius, x.mean(1)], 1)
    return torch.cat([plain, x @ directions], 1).cpu()
