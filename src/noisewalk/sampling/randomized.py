r"""Randomised starts: every chain minimises a perturbed problem of its own.

$$z^* = \arg\min_z L_{y^*}(\Phi(z)) + \tfrac12 |z - c|^2, \qquad c \sim N(0, I), \quad
y^* = y + e,$$
with e noise of the likelihood's own kind (`Likelihood.perturb`). For a linear map and Gaussian
noise the minimiser is an exact draw of the posterior.

References: Kitanidis, Quasi-linear geostatistical theory for inversing, 1995; Oliver, He and
Reynolds, Conditioning permeability fields to pressure data, 1996; Bardsley et al.,
Randomize-then-optimize, 2014, doi 10.1137/140964023; Jamieson and Talwalkar, Non-stochastic best
arm identification, 2016 (successive halving, here by quarters).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import noise as keyed
from .._checks import one_of, whole
from ..errors import ConfigError
from ..gaussians.reference import Reference
from ..gaussians.refresh import SpectralRefresh, is_image, unpack
from ..kernels.metropolis import column, finite_values
from ..likelihoods.base import complete
from ..noise import Noise
from ..types import State
from . import lbfgs, longer, second_try
from .starts import Adam, Start, Work

ADAM, NEWTON = 5, 75  # steps of one candidate
ROUND, LAST = 60, 150  # L-BFGS steps of a round with several candidates, and of the winner
PRUNED = 4  # candidates of which a round keeps one
CANDIDATES = 16  # of a chain where z is no image
FITTED_ROWS = 2  # rows an image from which the preconditioner is fitted
CANDIDATE = 1 << 30
"""Step of the noise of y*, and of the extra candidates after it: no run reaches it, and a
measurement simulated with the run's seed has the noise of step 0."""
FLAT_HISTORY = 40
"""Steps that L-BFGS remembers where z is no image: the Gauss-Newton Gaussians of a GAN differ too
much from place to place to start from one."""
EARLY, MANY, MOST = 0.012, 1024, 8192
"""Nats an observed entry at which an image with gaps stops of which so many are observed, MOST at
most: about a hundredth of the expected minimum. The exact minimisers spread too far where nothing
is observed, and the transitions relax what is stiff at once. On a large field a step gains less an
entry long before the minimum."""
FIRST, SPECTRAL = Adam(ADAM, 0.01), SpectralRefresh(num_rows=FITTED_ROWS)


@dataclass(frozen=True)
class RandomizedStarts(Start):
    """Start every chain at the minimiser of a perturbed problem: an exact posterior draw for a
    linear map with Gaussian noise, close to one elsewhere, where the transitions correct it. Images
    with gaps stop before their minimum if 1,024 entries or more are observed.

    The chains' stationary law is the posterior whatever the start. Where chains do not move between
    modes, the modes have the weights that the starts gave them.

    A few steps of Adam are followed by L-BFGS, around the spectral Gaussian where z has the shape
    of an image. Every row has its own line search and stops by itself. Large images with gaps stop
    early, as the exact minimisers spread too far where nothing is observed. With several candidates
    a chain, all on one perturbed problem, each round keeps the best quarter. A chain that ends in a
    minimum far above the lowest of its image tries once more, on its own problem, from where
    another chain of the image is.

    Arguments:
        num_steps: optimiser steps of a chain, one evaluation of each candidate left; "auto": 80,
            or 275 with several candidates, of which most take 65. A second try takes 50 more. A
            chain stops before, or goes on by up to 225 steps while it still gains much.
        optimizer: "auto" is "lbfgs"; "adam" takes all steps by Adam, which needs many more.
        num_candidates: starts of which each chain keeps the best; "auto": 1 where z has the shape
            of an image, 16 elsewhere, as minima of a generator's latent are local.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> phi, noise = nw.maps.Affine(torch.eye(3)), nw.likelihoods.Gaussian(0.5)
        >>> target = nw.NoisePosterior(phi, lambda x: x, noise, torch.ones(1, 3))
        >>> starts = nw.RandomizedStarts(num_candidates=1)
        >>> run = nw.sample(target, warm_start=starts, num_draws=5, progress=False)
        >>> run.draws.shape[3:]
        torch.Size([3])
    """

    num_steps: int | str = "auto"
    optimizer: str = "auto"
    num_candidates: int | str = "auto"
    words: ClassVar[str] = "randomised starts"

    def __post_init__(self) -> None:
        one_of("optimizer", self.optimizer, ("auto", "lbfgs", "adam"))
        for name, least in (("num_steps", 0), ("num_candidates", 1)):
            value = getattr(self, name)
            if value != "auto":
                checked = whole(f"RandomizedStarts' {name}", value, least)
                object.__setattr__(self, name, checked)

    def resolved(self, target: Any) -> "RandomizedStarts":
        """With "auto" replaced by what it means for a target."""
        if target.differentiable and self.num_steps != 0 and not target.perturbs:
            raise ConfigError(
                "RandomizedStarts needs a likelihood with a method perturb(y, mean, noise, "
                "observed=None): add one that gives a measurement centred at y, or set "
                "warm_start=nw.Adam()"
            )
        usual = 1 if is_image(tuple(target.shape)) else CANDIDATES
        count = usual if self.num_candidates == "auto" else int(self.num_candidates)
        steps = int(sum(_usual(count))) if self.num_steps == "auto" else int(self.num_steps)
        return RandomizedStarts(steps, "adam" if self.optimizer == "adam" else "lbfgs", count)

    def phases(self, target: Any) -> list[tuple[int, int]]:
        """(steps, candidates) of Adam's part and of each round, the last in two where y is
        perturbed at a fit: before the second."""
        usual = _usual(int(self.num_candidates))
        left = [int(self.num_candidates)]
        left += [max(1, math.ceil(left[0] / PRUNED**k)) for k in range(len(usual) - 1)]
        if target.perturbs_at_fit:
            usual, left = [*usual[:-1], usual[-1] / 2, usual[-1] / 2], [*left, 1]
        shares = [sum(usual[:k]) / sum(usual) for k in range(len(usual) + 1)]
        ends = [round(int(self.num_steps) * share) for share in shares]
        ends[1:] = [max(1, end) for end in ends[1:]]  # the first step is Adam's
        return [(ends[k + 1] - ends[k], left[k]) for k in range(len(usual))]

    def calls(self, target: Any, num_chains: int) -> int:
        """That of chains which neither stop early nor go on, nor try once more."""
        if not self.num_steps:
            return 0
        each = 1 + int(self.num_candidates) + 2 * target.perturbs_at_fit
        each += sum(steps * left for steps, left in self.phases(target))
        fits = self.optimizer != "adam" and _takes_gaussian(target)
        fit = SPECTRAL.calls_each(math.prod(target.shape)) if fits else 0
        return target.num_images * (num_chains * each + SPECTRAL.rows_of(num_chains) * fit)

    def numbers(self, target: Any) -> int:
        """Centre, measurement, and what the optimiser remembers of every candidate."""
        history = lbfgs.HISTORY if is_image(tuple(target.shape)) else FLAT_HISTORY
        first, *rounds = [left for _, left in self.phases(target)]
        dim, y = math.prod(target.shape), math.prod(target.y.shape[1:])
        newton = (history * (2 * dim + 1) + 3 * dim) * max(rounds)
        return dim + y + max(5 * dim * first, 0 if self.optimizer == "adam" else newton)

    def begin(self, target: Any, state: State, rows: Noise) -> Work | None:
        """The perturbed problems and their candidates: the first starts at the centre."""
        if self.num_steps == 0:
            return None
        count, shape, dtype = int(self.num_candidates), tuple(state.z.shape[1:]), state.z.dtype
        places = [rows.at(CANDIDATE + k).normal(shape, keyed.INIT, dtype) for k in range(1, count)]
        z = torch.stack([state.z, *places], 1).flatten(0, 1)
        y = target.y.repeat_interleave(len(state.z) // target.num_images, 0)
        if not target.perturbs_at_fit:
            y = target.perturb(y, rows.at(CANDIDATE))
        chain = torch.arange(len(state.z), device=z.device).repeat_interleave(count)
        work = {"centre": state.z, "y": y, "chain": chain, "phase": 0, "taken": 0}
        f, g = _objective(target, work)(z, torch.arange(len(z), device=z.device))
        zero = torch.zeros_like(z)
        work["memory"] = {"z": z, "f": f, "g": g, "m": zero, "v": zero, "pairs": []}
        return work

    def advance(
        self, target: Any, state: State, work: Work, rows: Noise, k: int
    ) -> tuple[State, Work | None]:
        """One step of every candidate that is left; after the last, the best of each chain."""
        objective = _objective(target, work)
        if work["phase"] == 0 or self.optimizer == "adam":
            memory = _adam_step(work["memory"], objective, k)
        else:
            memory = lbfgs.step(work["memory"], objective, _newton(target, work))
        work = {**work, "memory": memory, "taken": work["taken"] + 1}
        phases = self.phases(target)
        if work["phase"] + 1 == len(phases) and self._is_whole:
            work = longer.marked(work, phases[-1][0], target.num_observed)
        while _is_over(work, phases[work["phase"]][0]):
            if work["phase"] + 1 < len(phases):
                work = self._next(target, work, rows, phases)
                continue
            work = second_try.better(_pruned(work, 1))
            far = second_try.far(work["memory"]["f"], target.num_observed)
            if "first" in work or not self._is_whole or not bool(far.any()):
                return target(work["memory"]["z"]), None
            work = longer.over(work)
            work = second_try.begun(work, far, _objective(target, work), _newton(target, work))
        return state, work

    @property
    def _is_whole(self) -> bool:
        """Whether the steps are those of the recipe: after fewer, nothing has arrived."""
        usual = sum(_usual(int(self.num_candidates)))
        return self.optimizer != "adam" and int(self.num_steps) >= usual

    def _next(self, target: Any, work: Work, rows: Noise, phases: list[tuple[int, int]]) -> Work:
        """The next round: fewer candidates, and L-BFGS after Adam."""
        phase = work["phase"] + 1
        work = {**_pruned(work, phases[phase][1]), "phase": phase, "taken": 0}
        newton = self.optimizer != "adam"
        if newton and phase == 1 and _takes_gaussian(target):
            work = {**work, "reference": _fitted(target, work, rows).pack()}
        at_fit = target.perturbs_at_fit and phase + 1 == len(phases)
        if at_fit:
            work = _perturbed(target, work, rows)
        if newton and (phase == 1 or at_fit):
            memory = work["memory"]
            begun = lbfgs.begin(memory["z"], memory["f"], memory["g"], _newton(target, work))
            work = {**work, "memory": begun}
        return work


def _usual(num_candidates: int) -> list[float]:
    """Steps of Adam's part and of each round."""
    prunings = math.ceil(math.log(num_candidates) / math.log(PRUNED) - 1e-9)
    return [ADAM, *[ROUND] * prunings, LAST if prunings else NEWTON]


def _takes_gaussian(target: Any) -> bool:
    """Whether L-BFGS starts from the spectral Gaussian."""
    return is_image(tuple(target.shape)) and complete(target.likelihood).is_curved


def is_recipe(start: Mapping[str, Any]) -> bool:
    """Whether starts that are written in a run's spec.json have all steps of the usual ones."""
    names = {"name", "num_steps", "optimizer", "num_candidates"}
    if set(start) != names or start["optimizer"] != "lbfgs":
        return False
    usual = sum(_usual(int(start["num_candidates"])))
    return start["name"] == RandomizedStarts.__name__ and int(start["num_steps"]) >= usual


def _newton(target: Any, work: Work) -> lbfgs.Settings:
    """How L-BFGS goes: around the Gaussian of an image, or from the identity with a long memory."""
    if "reference" not in work:
        return lbfgs.Settings(lambda v: v, FLAT_HISTORY)
    around = lbfgs.Settings(unpack(work["reference"]).inverse)
    if target.observed is None:
        return around
    image = work["chain"] // (len(work["centre"]) // target.num_images)
    count = target.num_observed.to(torch.float64)[image]
    early = torch.where(count >= MANY, EARLY * count.clamp(max=MOST), around.tolerance)
    return around._replace(tolerance=early)


def _objective(target: Any, work: Work) -> lbfgs.Objective:
    """The perturbed problems of the candidates' chains."""
    posed = target.with_measurements(work["y"])

    def objective(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        chain = work["chain"][rows]
        state, away = posed.evaluate(z, chain), z - work["centre"][chain]
        distance = away.to(torch.float64).square().flatten(1).sum(1)
        return state.nll + 0.5 * distance, state.grad + away

    return objective


def _adam_step(memory: lbfgs.Memory, objective: lbfgs.Objective, k: int) -> lbfgs.Memory:
    """Adam's k-th step; a row that it would leave not finite stays where it is."""
    z, f, g = memory["z"], memory["f"], memory["g"]
    update, m, v = FIRST.update(g, memory["m"], memory["v"], k)
    tried = z - FIRST.lr * update
    f_new, g_new = objective(tried, torch.arange(len(z), device=z.device))
    good = finite_values(f_new, g_new)
    z, g = (torch.where(column(good, a), b, a) for a, b in ((z, tried), (g, g_new)))
    return {**memory, "z": z, "f": torch.where(good, f_new, f), "g": g, "m": m, "v": v}


def _is_over(work: Work, steps: int) -> bool:
    active = work["memory"].get("active")
    stopped = active is not None and not bool(active.any())
    return stopped or work["taken"] >= longer.end(work, steps)


def _pruned(work: Work, left: int) -> Work:
    """The best candidates of every chain, as many as are left."""
    f, chains = work["memory"]["f"], len(work["centre"])
    count = len(f) // chains
    if left >= count:
        return work
    order = f.nan_to_num(nan=math.inf).unflatten(0, (chains, count)).argsort(dim=1, stable=True)
    first = count * torch.arange(chains, device=f.device)[:, None]
    rows = (order[:, :left].sort(1)[0] + first).flatten()
    return {**work, "chain": work["chain"][rows], "memory": lbfgs.kept(work["memory"], rows)}


def _fitted(target: Any, work: Work, noise: Noise) -> Reference:
    """The Gauss-Newton Gaussian at a few candidates of different chains; its mean is not read."""
    z = work["memory"]["z"]
    some = z.unflatten(0, (target.num_images, -1))
    apart = some.shape[1] * target.num_images // len(work["centre"])
    few = some[:, ::apart][:, :FITTED_ROWS].flatten(0, 1)
    state = State(few, few, few.flatten(1).sum(1), torch.zeros_like(few))
    shared = keyed.Part(0, int(noise.image[0]))
    return SPECTRAL.fitted(target, state, shared if noise.is_shared else (0,) * target.num_images)


def _perturbed(target: Any, work: Work, noise: Noise) -> Work:
    """With the measurements perturbed at the fits that the chains have reached."""
    memory, rows = work["memory"], torch.arange(len(work["chain"]), device=work["y"].device)
    fit = target.with_measurements(work["y"]).evaluate(memory["z"], rows)
    with torch.no_grad():
        y = target.perturb(target.operator(fit.x), noise.at(CANDIDATE))
    work = {**work, "y": y}
    f, g = _objective(target, work)(memory["z"], rows)
    return {**work, "memory": {**memory, "f": f, "g": g}}
