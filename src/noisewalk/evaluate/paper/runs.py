"""One method's samples of one block of images, and the network calls that they cost."""

import math
from typing import Any

from torch import Tensor

from ...gaussians.refresh import Refresh
from ...kernels.langevin import Langevin
from ...sampling.defaults import NUM_WARMUP, leapfrogs
from ...sampling.sample import sample
from .bench import THIN, Bench, start_of
from .methods import Method
from .presets import Guided, Walk
from .tasks import Task

ADAM = 200  # steps of the exact kernel's warm start: for estimates alone


def draw(bench: Bench, task: Task, method: Method, y: Tensor, first: int) -> tuple[Tensor, int]:
    """Samples (N, chain, draw, *x) of (N, *y), the images from `first` on, and network calls."""
    found, n = bench.preset(method, task.name), bench.num_samples
    if isinstance(found, Guided) and method.family != "exact":
        return _guided(bench, task, method, found, y, first)
    target = bench.target(task, y, method.num_steps)
    # The rows of a run are numbered from 0: another block is another seed.
    common: dict[str, Any] = {"seed": (bench.seed << 20) + first, "progress": False}
    if isinstance(found, Walk) and method.family == "walk":
        common["warm_start"] = start_of(found.adam_steps, found.lr, found.betas)
        run = sample(target, Langevin(found.step_size, method.scheme), n, 1, **common)
    else:
        counts = n // bench.chains, bench.chains, bench.exact_warmup, THIN
        common |= {"plan": "long_chains", "refresh": Refresh()}
        run = sample(target, None, *counts, bench.exact_start, **common)
    if not run.complete:
        raise KeyboardInterrupt  # a run in memory ends early instead
    return run.draws, run.nfe


def expected_nfe(bench: Bench, method: Method, task: str) -> int:
    """Network calls of one image: an estimate for the exact kernel, exact for the rest."""
    n, found = bench.num_samples, bench.preset(method, task)
    if method.family == "exact":
        adam = ADAM if bench.adam_steps is None else bench.adam_steps
        warmup = NUM_WARMUP if bench.num_warmup is None else bench.num_warmup
        curvature = Refresh().calls(warmup, math.prod(bench.prior.shape))
        transitions = warmup + THIN * (n // bench.chains)
        chain = 1 + adam + curvature + leapfrogs(method.num_steps) * transitions
        return method.num_steps * bench.chains * chain
    if isinstance(found, Walk):
        return method.num_steps * (1 + found.adam_steps + n)
    return n * found.num_steps if found is not None else 0


def _guided(
    bench: Bench, task: Task, method: Method, found: Guided, y: Tensor, first: int
) -> tuple[Tensor, int]:
    from .. import baselines

    network = baselines.CountedDenoiser(bench.network(method).denoiser)  # type: ignore[arg-type]
    base = (network, bench.operator(task), y, bench.num_samples, found.num_steps, bench.seed)
    options: dict[str, Any] = {"batch_size": bench.microbatch, "progress": False}
    options["first_image"] = first
    own = {"zeta": found.zeta, "num_mc": found.num_mc}
    options |= {name: value for name, value in own.items() if value is not None}
    return getattr(baselines, method.family)(*base, **options)[:, None], network.nfe
