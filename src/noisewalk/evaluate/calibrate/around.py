r"""Are the draws of a run those of its posterior? Calibration around this very measurement.

Draws of the run are taken as truths x'. From each, a second measurement y' of the same kind is
simulated, and $p(z | y, y')$, the posterior given both, is sampled. If x' is a draw of $p(x | y)$,
then x' and these draws have one law given y and y', and the rank of x' among them is uniform. Both
measurements together are one of an operator that gives A(x) twice: what is unknown of the noise is
shared.

Uniformity is tested by two scores of the ranks r from 0 to L, $s_1 \propto r - L / 2$ and
$s_2 \propto s_1^2 - E s_1^2$, with mean 0 and variance 1 and no correlation for uniform ranks:
$n (\bar s_1^2 + \bar s_2^2)$ is chi-square(2). They see draws of the run that are shifted, too
narrow or too wide. A draw that is the truth of k problems counts as one: n is $(\sum k)^2 / \sum
k^2$, since the variance of a sum of k scores is at most $k^2$ times that of one. Two exact tests
of all of x at once are in `exchange.py`.

References: Säilynoja, Schmitt, Bürkner and Vehtari, Posterior SBC: Simulation-Based Calibration
Checking Conditional on Data, 2025; Neyman, "Smooth test" for goodness of fit, 1937.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ... import noise as keyed
from ..._checks import seed_of, whole
from ...errors import ConfigError
from ...gaussians.refresh import Refresh, SpectralRefresh
from ...likelihoods.base import complete
from ...maps.per_image import for_images
from ...posterior import NoisePosterior
from ...sampling.chains import Chains
from ...sampling.defaults import default_kernel, resolve
from ...sampling.execute import draw
from ...sampling.limits import check_memory
from ...sampling.randomized import RandomizedStarts
from ...sampling.run import Run
from ...sampling.starts import Adam
from ...storage.spec import normal
from ...types import Operator, State
from ..diagnostics.ranks import coverage, holm, sbc
from .calibration import Calibration
from .exchange import exchange
from .problems import TRUTH, quantities
from .rebuild import target_of

APART = 1 << 55
"""Added to the seed: a truth must not share its noise with the chains among which it is ranked."""
SAME = 0.05  # relative difference between a stored draw and Phi(z) that its arithmetic may make
AT_ONCE = 1 << 17  # numbers in the x of one network call, where the target has no microbatch


@dataclass(frozen=True)
class Twice:
    """(B, *x) -> (B, 2, *y): A(x) for each of two measurements."""

    operator: Operator

    def __call__(self, x: Tensor) -> Tensor:
        """A(x), twice."""
        mean = self.operator(x)
        return torch.stack([mean, mean], 1)


@dataclass(frozen=True, eq=False)
class Around:
    """The problems of a calibration around a run's measurement, before their chains are run."""

    joint: NoisePosterior  # of y and y', an image a problem
    truth: State
    of_truth: Tensor  # (problem,) the number of its truth, from 0
    plan: Chains
    seed: int
    pace: float  # seconds a network call took in the run; 0: not known
    run_shape: tuple[int, int, int]  # (images, chains, draws) of the run

    @property
    def uses(self) -> Tensor:
        """(truth,) problems that each of the different truths has."""
        return self.of_truth.bincount()

    def cost(self) -> str:
        """What it will take, and whether draws are reused: one line for people."""
        problems, calls = self.joint.num_images, self.plan.estimate(self.joint).calls
        text = f"{problems} problems of {self.plan.num_rows} chains: about {calls:,} network calls"
        if self.pace:
            text += f", {max(1, round(calls * self.pace / 60)):,} min at the run's pace"
        if len(self.uses) < problems:
            text += f"; the run has few draws: {len(self.uses)} are the truths, each of up to "
            text += f"{int(self.uses.max())} problems, which then count as one"
        return text

    def calibration(self, progress: bool = True) -> Calibration:
        """Run the chains and rank the truths among their draws."""
        run = draw(self.plan, self.joint, progress=progress)
        if not run.complete:
            raise KeyboardInterrupt  # the draws so far would be ranked as if they were all
        return self.ranked([run], self.joint.nfe)

    def ranked(self, runs: Sequence[Run], nfe: int) -> Calibration:
        """Rank the truths among the draws of all problems, which are the images of the runs."""
        z, x, nll, rates = (
            torch.cat([run.arrays[name][:, :, -1] for run in runs])
            for name in ("z", "x", "nll", "acceptance_rate")
        )
        states = (State(z[:, k], x[:, k], nll[:, k], z[:, k]) for k in range(z.shape[1]))
        plain = [quantities(state, self.seed) for state in (self.truth, *states)]
        away = distances(torch.cat([self.truth.x[:, None].to(x), x], 1))
        true, drawn = torch.cat([torch.stack(plain, 1), away.cpu()], 2).split([1, z.shape[1]], 1)
        true = true[:, 0]
        ranks, inside = sbc(true, drawn, self.seed).ranks, coverage(true, drawn)
        p_values = uniformity(ranks, z.shape[1], self.uses)
        both = exchange(self.truth.x, x, self.of_truth, self.seed)
        p_values = holm(torch.cat([p_values, both]))
        rate = float(rates.double().mean())
        found = self.plan.kernel, ranks, z.shape[1], p_values, rate, nfe
        truths = len(self.uses)
        return Calibration("around", *found, None, inside, truths, self.run_shape)


def around(
    run: Run,
    target: NoisePosterior | None = None,
    num_problems: int = 40,
    num_chains: int = 8,
    seed: int = 0,
    progress: bool = True,
) -> Calibration:
    """Rank draws of a run among those given its measurement and a second one; the cost is printed
    first if `progress`. The run's verdict takes it into account from then on."""
    prepared = prepare(run, target, num_problems, num_chains, seed)
    if progress:
        print(prepared.cost(), file=sys.stderr, flush=True)
    found = prepared.calibration(progress)
    if found.counts:
        run.note_calibration(found.passed)
    return found


def prepare(
    run: Run, target: NoisePosterior | None, num_problems: int, num_chains: int, seed: int
) -> Around:
    """The problems, their truths and their plan."""
    if not isinstance(run, Run):
        raise ConfigError(f"run must be a Run, such as nw.open_run(folder), got {run!r}")
    count, own = whole("num_problems", num_problems, 20), (seed_of(seed) + APART) % (2 * APART)
    chains = whole("num_chains", num_chains, 2)
    if "z" not in run.arrays or run.draws.shape[2] == 0:
        lacks = "draws" if "z" in run.arrays else "z, the draws in noise space,"
        raise ConfigError(f"the run has no {lacks} to take truths from: sample with nw.sample")
    target = target_of(run) if target is None else target
    _check(run, target)
    check_memory(count * chains * 4 * math.prod(run.z.shape[3:]), target.y.device)
    places = chosen(tuple(run.draws.shape[:3]), count, own)
    image = places[0].to(target.y.device)
    x, z = (run.arrays[name][places].to(target.y) for name in ("x", "z"))
    joint = _joint(run, target, x, image, own)
    truth = joint.value(z, torch.arange(count, device=z.device), count)
    _check_truths(run, target, truth.x, x, image, places)
    of_truth = torch.stack(places).unique(dim=1, return_inverse=True)[1]
    pace = run.seconds / run.nfe if run.nfe else 0.0
    plan, shape = _plan(run, joint, chains, own), run.draws.shape
    return Around(joint, truth, of_truth, plan, own, pace, (shape[0], shape[1], shape[2]))


def chosen(shape: tuple[int, ...], count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """(count,) image, chain and draw of every truth: as many of each image and of each of its
    chains as can be, far apart within a chain, and none twice where there are enough."""
    images, chains, draws = shape
    order, first = keyed.rows(seed, images).uniform((2, chains), keyed.JITTER).unbind(1)
    k = torch.arange(count)
    image, turn = k % images, k // images
    chain, laps = order.argsort(1)[image, turn % chains], -(-count // (images * chains))
    draw = ((turn // chains + first[image, chain]) * draws / laps).long().clamp(max=draws - 1)
    return image, chain, draw


def distances(x: Tensor) -> Tensor:
    """(problem, draw, 1) squared distances of (problem, draw, ...) from their mean: in high
    dimension they tell most of the spread."""
    flat = x.to(torch.float64).flatten(2)
    return (flat - flat.mean(1, keepdim=True)).square().sum(2, keepdim=True)


def uniformity(ranks: Tensor, num_draws: int, uses: Tensor) -> Tensor:
    """(quantity,) p-values of the ranks, (problem, quantity), 0 to num_draws."""
    line = torch.arange(num_draws + 1, dtype=torch.float64) - num_draws / 2
    square = line**2 - line.square().mean()
    scores = torch.stack([s / s.square().mean().sqrt() for s in (line, square)])
    independent = float(uses.sum()) ** 2 / float(uses.square().sum())
    return torch.exp(-0.5 * independent * scores[:, ranks].mean(1).square().sum(0))


def _plan(run: Run, joint: NoisePosterior, num_chains: int, seed: int) -> Chains:
    """How the problems are sampled: one draw a chain, with the run's own warm-up where the run has
    the default kernel."""
    told, settings = run.spec.get("plan", {}), {}
    if told.get("kernel") == normal(default_kernel(joint).facts()) and told.get("num_warmup"):
        known = (Adam, RandomizedStarts, Refresh, SpectralRefresh)
        classes: dict[str, Any] = {c.__name__: c for c in known}
        for name in ("warm_start", "refresh"):
            facts = dict(told.get(name) or {})
            if (cls := classes.get(facts.pop("name", ""))) is not None:
                settings[name] = cls(**{k: _tuple(v) for k, v in facts.items()})
        settings["num_warmup"] = told["num_warmup"]
    return resolve(joint, num_draws=1, num_chains=num_chains, seed=seed, **settings)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _joint(run: Run, target: NoisePosterior, x: Tensor, image: Tensor, seed: int) -> NoisePosterior:
    """The posterior given y and a second measurement simulated from every x."""
    usual = max(math.prod(run.draws.shape[:2]), AT_ONCE // max(1, math.prod(x.shape[1:])))
    size, y = target.microbatch or usual, target.y[image]
    observed = None if target.observed is None else target.observed[image]
    with torch.no_grad():
        mean = torch.cat([target.operator(part) for part in x.split(size)])
    noise = keyed.rows(seed, len(x), device=x.device).at(TRUTH)
    likelihood = complete(target.likelihood).of_rows(image, y.ndim)
    again = likelihood.replicate(mean, y, noise, observed)
    both = None if observed is None else torch.stack([observed, observed], 1)
    return NoisePosterior(
        for_images(target.phi, image),
        Twice(target.operator),
        likelihood.of_pairs(y.ndim),
        torch.stack([y, again.to(y)], 1),
        both,
        size,
        target.differentiable,
    )


def _check(run: Run, target: Any) -> None:
    """ConfigError unless the target is of the run's shapes and measurement."""
    if not isinstance(target, NoisePosterior):
        raise ConfigError(f"target must be a nw.NoisePosterior, got {type(target).__name__}")
    shapes = {"images": run.draws.shape[:1], "x": run.draws.shape[3:], "z": run.z.shape[3:]}
    wanted = {"images": (target.num_images,), "x": target.data_shape, "z": target.shape}
    for name, shape in shapes.items():
        if tuple(shape) != tuple(wanted[name]):
            got = f"{name} of shape {tuple(wanted[name])}, the run's is {tuple(shape)}"
            raise ConfigError(f"the target has {got}: give the target that the run was made of")
    y = run.y
    if y is not None and (y.shape != target.y.shape or not torch.equal(y.to(target.y), target.y)):
        other = "the target has another measurement y than the run"
        raise ConfigError(f"{other}: give the target that the run was made of")


def _check_truths(
    run: Run,
    target: NoisePosterior,
    found: Tensor,
    x: Tensor,
    image: Tensor,
    places: tuple[Tensor, ...],
) -> None:
    """ConfigError unless the target's Phi and L_y are those by which the run was made."""
    wrong = "Phi(z)" if (found - x).norm() > SAME * x.norm() else None
    if wrong is None and "nll" in run.arrays:
        observed = None if target.observed is None else target.observed[image]
        with torch.no_grad():
            likelihood = complete(target.likelihood).of_rows(image, target.y.ndim)
            nll = likelihood.nll(target.operator(x), target.y[image], observed).cpu()
        told, size = run.arrays["nll"][places].cpu(), target.num_observed[image].cpu()
        apart = (nll - told).abs() > SAME * torch.maximum(told.abs(), size)
        wrong = "L_y(x)" if bool(apart.any()) else None
    if wrong is not None:
        other = f"the target gives another {wrong} than the run's draws have"
        raise ConfigError(f"{other}: give the target that the run was made of")
