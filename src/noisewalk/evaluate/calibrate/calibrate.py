"""Is the sampler right on this kind of problem, and around this measurement? The entry to the
tests."""

from typing import Any, Literal, overload

import torch

from ...gaussians.refresh import Schedule
from ...posterior import NoisePosterior
from ...sampling.run import Run
from ...sampling.starts import Start
from ...types import Kernel, Likelihood, NoiseMap, Operator
from .around import around
from .calibration import Calibration
from .converged import converged
from .exactness import exactness
from .problems import simulate
from .request import Request


@overload
def calibrate(
    phi: NoiseMap,
    operator: Operator,
    likelihood: Likelihood,
    kernel: Kernel | Literal["smc"] | None = None,
    num_problems: int = 200,
    test: str = "exactness",
    seed: int = 0,
    num_draws: int = 19,
    thin: int | str = "auto",
    microbatch: int | None = None,
    num_warmup: int | str = "auto",
    warm_start: Start | str | None = "auto",
    adapted: bool = False,
    num_carried: int | None = None,
    progress: bool = True,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    differentiable: bool = True,
    refresh: Schedule | Literal["auto"] | None = "auto",
) -> Calibration: ...


@overload
def calibrate(
    run: Run,
    target: NoisePosterior | None = None,
    num_problems: int = 40,
    num_chains: int = 8,
    seed: int = 0,
    progress: bool = True,
) -> Calibration: ...


@torch.inference_mode(False)
def calibrate(*given: Any, **named: Any) -> Calibration:
    """Rank truths among draws: of problems simulated from the prior, or around a run's measurement.

    `calibrate(phi, operator, likelihood, kernel=None, num_problems=200, test="exactness", ...)`
    tests the sampler on problems from the prior, all in one batch. "exactness" asks whether the
    kernel keeps the posterior, "converged" whether runs, as a user would make them, are long
    enough.

    `calibrate(run, target=None, num_problems=40, num_chains=8, seed=0, progress=True)` asks whether
    the draws of this run are those of its posterior. Draws of the run are the truths x'. From each
    a second measurement y' is simulated, and p(z | y, y') is sampled by `num_chains` chains of one
    draw each. It counts the truths as independent: chains that move slowly are found, too. The cost
    is printed first. It costs that of `nw.sample` with num_problems images.

    Ranked are the negative log-likelihood, the log posterior, |z|^2, the mean of x and projections
    of x. P-values are adjusted by Holm's method.

    Cost in network calls on problems from the prior: for "exactness" num_problems x num_draws x
    thin x the kernel's evaluations. The default kernel costs about 60 + 129 + 21 times its
    evaluations a problem more: a run that knows nothing of the truth fits it to each y. For
    "converged" the cost is that of `nw.sample` or `nw.tempered_smc`.

    References: Besag and Clifford, Generalized Monte Carlo significance tests, 1989 ("exactness");
    Talts et al., Validating Bayesian Inference Algorithms with Simulation-Based Calibration, 2018,
    and Lemos et al., Sampling-Based Accuracy Testing of Posterior Estimators, 2023 ("converged");
    Säilynoja et al., Posterior SBC, 2025 (around a run's measurement).

    Of problems from the prior:
        phi: map.
        operator: A.
        likelihood: p(y | A(x)).
        kernel: a transition, "smc" (for "converged" alone), or None for the default kernel.
        num_problems: simulated problems, at least 20.
        test: "exactness" or "converged".
        seed: of all noise.
        num_draws: places besides the truth's, or draws of a run; at least 2.
        thin: transitions between places or draws; "auto": 1, or 2 where a kernel keeps velocities.
        microbatch: rows per network call; None: all.
        num_warmup: as in `nw.sample`, for "converged".
        warm_start: as in `nw.sample`, for "converged".
        adapted: adapt a given exact kernel as `nw.sample` does, for "exactness" in 20 transitions.
        num_carried: particles of "smc"; None: num_draws.
        progress: show a progress bar on a terminal, a line a minute elsewhere.
        device: where the map's weights are.
        dtype: of noise, measurements and draws.
        differentiable: False for a map or an operator without gradients, as in `NoisePosterior`.
        refresh: as in `nw.sample`; "auto": of a low rank for an adapted kernel, none for others.

    Around the measurement of a run:
        run: its draws need z.
        target: what the run was made of; None: made anew from a stored run of the command line.
        num_problems: truths, at least 20; a run with fewer draws uses some of them again, and these
            count as one. The verdict of the run takes a pass into account from 16 different ones.
        num_chains: draws of each problem, at least 2; for the verdict, at least 8.
        seed: of all noise; it is independent of the run's.
        progress: print the cost and show a progress bar.

    Arguments:
        *given: of the first form, or a run and what follows it.
        **named: the same by name.

    Returns:
        Ranks, p-values, a plot.

    Raises:
        ConfigError: a value out of range, a kernel or a refresh that does not suit the test, a
            target that is not the run's, or a run that needs one.

    Example:
        >>> phi, noise = nw.maps.Affine(torch.eye(2), torch.zeros(2)), nw.likelihoods.Gaussian(0.5)
        >>> kernel = nw.EllipticalSlice()
        >>> found = nw.calibrate(phi, abs, noise, kernel, num_problems=20, progress=False)
        >>> found.ranks.shape
        torch.Size([20, 8])
        >>> target = nw.NoisePosterior(phi, abs, noise, torch.ones(1, 2))
        >>> run = nw.sample(target, kernel, 20, num_warmup=20, progress=False)
        >>> nw.calibrate(run, target, num_problems=20, num_chains=2, progress=False).ranks.max() < 3
        tensor(True)
    """
    if "run" in named or isinstance((*given, None)[0], Run):
        return around(*given, **named)
    request = Request(*given, **named)
    target, truth = simulate(request)
    return (exactness if request.test == "exactness" else converged)(request, target, truth)
