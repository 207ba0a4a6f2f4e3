"""The two ways to draw: `sample` by Markov chains, `tempered_smc` by particles."""

from pathlib import Path
from typing import Any

from ..gaussians.refresh import Schedule
from ..types import Kernel
from .adapt import DualAveraging
from .defaults import resolve, resolve_smc
from .execute import draw
from .run import Run
from .starts import Start


def sample(
    target: Any,
    kernel: Kernel | None = None,
    num_draws: int | str = "auto",
    num_chains: int | str = "auto",
    num_warmup: int | str = "auto",
    thin: int | str = "auto",
    warm_start: Start | str | None = "auto",
    adapt: DualAveraging | str | None = "auto",
    seed: int = 0,
    store: str | Path | None = None,
    progress: bool = True,
    refresh: Schedule | str | None = "auto",
    plan: str = "auto",
) -> Run:
    """Draw from the posterior in noise space and map the draws to data.

    Without a kernel, many short chains run from randomised starts ("short_chains"): 16 an image, of
    which each gives its last draw. They move by Hamiltonian Monte Carlo around the Gauss-Newton
    Gaussian and keep their velocities; the warm-up adapts their step and fits the Gaussian. With an
    exact kernel, or where starts cannot be randomised, a few chains run long ("long_chains"): 4 of
    100 draws. Where the target has no gradient, they move by elliptical slice sampling.
    `adapt=None, num_warmup=0` runs a kernel as given; an unadjusted one always runs so.

    Cost in network calls: (1 + K + e (num_warmup + thin num_draws)) x rows x phi.nfe, K the steps
    of the start and e the kernel's evaluations a transition (8 by default, 5 where phi takes two
    calls), and those of the Gauss-Newton fits; `Plan.estimate` says it before a run.

    Arguments:
        target: the posterior, usually a `NoisePosterior`.
        kernel: a transition; None is the sound default.
        num_draws: draws kept per chain; "auto" is 1 of short chains, 100 of long ones.
        num_chains: chains per image; "auto" is 16 short or 4 long ones.
        num_warmup: transitions discarded first; "auto" is 8 of short chains, else 120 for an exact
            kernel and 0 for another.
        thin: transitions per kept draw; "auto" is 1, and in short chains 16 for the first draw.
        warm_start: `RandomizedStarts()` or `Adam()`; "auto" is the first where the likelihood can
            be perturbed; None starts at z ~ N(0, I).
        adapt: adaptation of the step during the warm-up; "auto": of an exact kernel's.
        seed: of all noise, 0 to 2^56 - 1.
        store: folder of a run on disk, or an address such as `s3://bucket/run`. If it holds this
            very run, sampling goes on where it stopped, also with more draws.
            `nw.report.build_report(store)` makes the page.
        progress: show a progress bar on a terminal, a line a minute elsewhere.
        refresh: when the warm-up fits the kernel's Gaussian anew; "auto", for the default kernel
            and an adapted HMC without a preconditioner: `SpectralRefresh` where z has the shape of
            an image, `Refresh` elsewhere.
        plan: "short_chains" or "long_chains"; "auto": long with a kernel or another start.

    Returns:
        The run. If interrupted by the keyboard, a run in memory returns the draws so far.

    Raises:
        ConfigError: a value out of range.
        DivergedError: a chain starts where the target is not finite, or every chain has diverged;
            its `run` holds the draws before, if there are any.
        StoreError: the folder holds something else.

    Example:
        >>> phi = nw.maps.Affine(torch.eye(3), torch.zeros(3))
        >>> likelihood = nw.likelihoods.Gaussian(0.5)
        >>> target = nw.NoisePosterior(phi, lambda x: x, likelihood, torch.ones(1, 3))
        >>> run = nw.sample(target, num_draws=20, num_warmup=20, progress=False)
        >>> run.draws.shape
        torch.Size([1, 16, 20, 3])
    """
    chains = resolve(
        target,
        kernel,
        num_draws=num_draws,
        num_chains=num_chains,
        num_warmup=num_warmup,
        thin=thin,
        warm_start=warm_start,
        adapt=adapt,
        seed=seed,
        refresh=refresh,
        plan=plan,
    )
    return draw(chains, target, store, progress)


def tempered_smc(
    target: Any,
    num_particles: int,
    num_carried: int | None = None,
    ess_fraction: float | None = None,
    kernel: Kernel | None = None,
    num_moves: int | tuple[int, int] | None = None,
    seed: int = 0,
    store: str | Path | None = None,
    progress: bool = True,
    rank: int | None = None,
) -> Run:
    """Carry particles from the prior to the posterior; finds several modes, and estimates log p(y).

    Cost in network calls: P (1 + stages x num_moves x the kernel's evaluations) x phi.nfe per
    image, for P carried particles.

    Arguments:
        target: the posterior.
        num_particles: equally weighted draws that come back, per image.
        num_carried: particles carried, at least as many; None: as many.
        ess_fraction: effective sample size kept between temperatures, in (0, 1); None: 0.5.
        kernel: an exact transition; None: `SplitHMC` of 6 leapfrogs, HMC for fewer than 32
            particles, or elliptical slice sampling where there is no gradient.
        num_moves: transitions at each temperature, 4 for None. With a pair (least, most), the
            particles move until they have forgotten their places after the resampling.
        seed: of all noise.
        store: folder or address of a run; if it holds this very run, it goes on where it stopped.
        progress: show a progress bar on a terminal, a line a minute elsewhere.
        rank: move by HMC, or the given kernel, around the Gauss-Newton Gaussian of this rank,
            fitted anew at each temperature; None: no such Gaussian.

    Returns:
        The run: chain axis = particles, one draw; `log_evidence` and `log_evidence_error` (image,).

    Raises:
        ConfigError: a value out of range.
        DivergedError: no particle of an image is finite.
        StoreError: the folder holds something else.

    Example:
        >>> phi = nw.maps.Affine(torch.eye(2), torch.zeros(2))
        >>> likelihood = nw.likelihoods.Gaussian(0.5)
        >>> target = nw.NoisePosterior(phi, lambda x: x, likelihood, torch.ones(1, 2))
        >>> nw.tempered_smc(target, 64, progress=False).draws.shape
        torch.Size([1, 64, 1, 2])
    """
    plan = resolve_smc(
        target, num_particles, num_carried, ess_fraction, kernel, num_moves, seed, rank
    )
    return draw(plan, target, store, progress)
