"""`sample`: the posterior's draws as a `Run`; `open_run` reads one back, finished or not."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import noise as keyed
from ..errors import ConfigError, DivergedError
from ..gaussians.low_rank import Schedule
from ..storage.memory import MemoryStore
from ..types import Kernel
from .adapt import DualAveraging
from .chains import Plan, run_loop
from .defaults import resolve, spec_of
from .starts import Adam

FREE = ("num_draws", "command", "probe")
"""What may change when a stored run goes on; the probe is compared with a tolerance."""
SAME = 1e-3
"""Relative difference of the probe that other threads or another library version may make."""
DRAW_ARRAYS = ("x", "z", "nll", "acceptance_rate", "accepted", "diverging", "step_size", "chi2")


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """Draws and what they cost; the leading axes of every array are (image, chain, draw).

    Arguments:
        arrays: by name, tensors or lazy arrays: x, z, nll, acceptance_rate, accepted, diverging,
            step_size, chi2. For draws of another sampler x alone will do,
            `Run({"x": draws}, nfe, seconds)`: the summary's other numbers are then NaN, and ArviZ
            gets what is there.
        nfe: network calls of all rows, warm start, warm-up and rejected moves included.
        seconds: wall time.
        thin: transitions per kept draw.
        complete: whether every requested draw is there.
        spec: how the run was made.
        y: (image, *y) measurement.
        num_observed: (image,) observed entries of each measurement.
        log_evidence: (image,) for tempered SMC, else None.
        memory: (image,) for tempered SMC, else None: how much the particles' places after their
            moves have to do with where resampling put them, as a correlation, at the worst
            temperature; 0 when they have forgotten.
        log_evidence_error: (image,) for tempered SMC, else None: standard error of log_evidence,
            from how many of the first particles have descendants; from about 0.5 on it says only
            that the error is large.
    """

    arrays: Mapping[str, Any]
    nfe: int
    seconds: float
    thin: int = 1
    complete: bool = True
    spec: Mapping[str, Any] = field(default_factory=dict)
    y: Tensor | None = None
    num_observed: Tensor | None = None
    log_evidence: Tensor | None = None
    memory: Tensor | None = None
    log_evidence_error: Tensor | None = None

    def __repr__(self) -> str:
        images, chains, draws = self.draws.shape[:3]
        there = (
            f"{images} images, {chains} chains, {draws} draws of shape "
            f"{tuple(self.draws.shape[3:])}"
        )
        return (
            f"Run({there}, {self.nfe:,} network calls{'' if self.complete else ', not complete'})"
        )

    @property
    def draws(self) -> Any:
        """(image, chain, draw, *x) tensor, or for a stored run a lazy array that indexes like one."""
        return self.arrays["x"]

    @property
    def z(self) -> Tensor:
        """(image, chain, draw, *shape) positions in noise space."""
        return self.arrays["z"][...]

    @property
    def nll(self) -> Tensor:
        """(image, chain, draw) L_y(x), every constant included."""
        return self.arrays["nll"][...]

    @property
    def lp(self) -> Tensor:
        """(image, chain, draw) log posterior density in noise space up to a constant, -nll - |z|^2
        / 2."""
        return -self.nll - 0.5 * self.z.to(torch.float64).flatten(3).square().sum(-1)

    @property
    def mean(self) -> Tensor:
        """(image, *x) posterior mean over chains and draws."""
        return self._moments()[0]

    @property
    def std(self) -> Tensor:
        """(image, *x) posterior standard deviation over chains and draws."""
        return self._moments()[1]

    def summary(self) -> dict[str, Any]:
        """Cost and diagnostics, worst image where there are several.

        Returns:
            A dict of plain numbers; NaN where too few draws say nothing.
        """
        from ..evaluate.diagnostics.chains import image_diagnostics

        num_images, num_chains, num_draws = self.draws.shape[:3]
        per_image = (
            [image_diagnostics(self.draws[i]) for i in range(num_images)] if num_draws else []
        )

        def worst(key: str, pick: Any) -> float:
            return (
                float(pick(torch.tensor([d[key] for d in per_image])))
                if per_image
                else float("nan")
            )  # NaN where one image has it

        def average(key: str) -> float:
            return (
                float(self.arrays[key][...].to(torch.float64).mean())
                if num_draws and key in self.arrays
                else float("nan")
            )

        step = average("step_size")
        return {
            "num_images": num_images,
            "num_chains": num_chains,
            "num_draws": num_draws,
            "complete": self.complete,
            "nfe": self.nfe,
            "nfe_per_draw": self.nfe / max(1, num_images * num_chains * num_draws),
            "seconds": self.seconds,
            "acceptance_rate": average("acceptance_rate"),
            "divergences": int(self.arrays["diverging"][...].sum())
            if num_draws and "diverging" in self.arrays
            else 0,
            "r_hat_max": worst("r_hat_max", torch.max),
            "r_hat_median": worst("r_hat_median", torch.max),
            "ess_bulk_min": worst("ess_bulk_min", torch.min),
            "ess_bulk_median": worst("ess_bulk_median", torch.min),
            "ess_tail_min": worst("ess_tail_min", torch.min),
            "jump": worst("jump", torch.min),
            "step_size": step,
            "langevin_time": num_draws * self.thin * step,
            "log_evidence": None if self.log_evidence is None else float(self.log_evidence.sum()),
            **(
                {}
                if self.log_evidence_error is None
                else {"log_evidence_error": float(self.log_evidence_error.square().sum().sqrt())}
            ),
            **({} if self.memory is None else {"memory": float(self.memory.max())}),
            "chi2": average("chi2"),
            "z_norm2_per_dim": float(self.z.to(torch.float64).square().mean())
            if num_draws and "z" in self.arrays
            else float("nan"),
        }

    def to_arviz(self) -> Any:
        """The run as ArviZ sees it.

        Returns:
            xarray.DataTree with posterior (x, z with dims chain, draw, image, ...), sample_stats
            and observed_data.

        Raises:
            MissingExtraError: arviz-base is not installed.
        """
        from ..errors import MissingExtraError

        try:
            import arviz_base
        except ImportError as error:
            raise MissingExtraError("arviz-base", "arviz") from error

        def chains_first(name: str) -> Any:
            return self.arrays[name][...].movedim(0, 2).cpu().numpy()

        stats = {
            k: chains_first(k)
            for k in ("acceptance_rate", "accepted", "diverging", "step_size")
            if k in self.arrays
        }
        if {"nll", "z"} <= self.arrays.keys():
            stats["lp"] = self.lp.movedim(0, 2).cpu().numpy()
        there = [name for name in ("x", "z") if name in self.arrays]
        data: dict[str, Any] = {"posterior": {name: chains_first(name) for name in there}}
        if stats:
            data["sample_stats"] = stats
        if self.y is not None:
            data["observed_data"] = {"y": self.y.cpu().numpy()}
        dims = {name: ["image"] for name in stats}
        for name in there:
            dims[name] = ["image", *(f"{name}_{i}" for i in range(self.arrays[name].ndim - 3))]
        return arviz_base.from_dict(data, dims=dims)

    def _moments(self) -> tuple[Tensor, Tensor]:
        draws = self.draws
        count = draws.shape[1] * draws.shape[2]
        if count == 0:
            raise ConfigError(
                "the run has no draws yet: there is no mean and no standard deviation"
            )
        total, centre = 0.0, draws[:, :1, 0].to(torch.float64)
        square: Any = 0.0
        for k in range(
            draws.shape[2]
        ):  # one draw at a time: a stored run may be larger than memory
            x = draws[:, :, k].to(torch.float64) - centre
            total, square = total + x.sum(1), square + x.square().sum(1)
        mean: Any = total / count
        variance = (square - count * mean**2).clamp(min=0) / max(1, count - 1)
        return (centre[:, 0] + mean).to(torch.float32), variance.sqrt().to(torch.float32)


def sample(
    target: Any,
    kernel: Kernel | None = None,
    num_draws: int = 100,
    num_chains: int = 4,
    num_warmup: int | str = "auto",
    thin: int = 1,
    warm_start: Adam | str | None = "auto",
    adapt: DualAveraging | str | None = "auto",
    seed: int = 0,
    store: str | Path | None = None,
    progress: bool = True,
    refresh: Schedule | str | None = "auto",
) -> Run:
    """Draw from the posterior in noise space and map the draws to data.

    With a kernel, "auto" means no adaptation and no warm-up: it runs as given. Without one, the
    kernel is HMC around the Gauss-Newton Gaussian, its step adapted per image and its
    preconditioner refreshed over a warm-up; where the target has no gradient it is elliptical slice
    sampling. Cost in network calls: (1 + K + e (num_warmup + thin num_draws)) x rows x phi.nfe, K
    the warm start's steps and e the kernel's evaluations a transition (8 by default, 5 where phi
    takes two calls), and about 1 + 4 k a row for each preconditioner of k probe vectors.

    Arguments:
        target: the posterior, usually a `NoisePosterior`.
        kernel: a transition; None is the sound default.
        num_draws: draws kept per chain.
        num_chains: chains per image.
        num_warmup: transitions discarded first.
        thin: transitions per kept draw.
        warm_start: Adam's settings; "auto" is `Adam()`; None starts at z ~ N(0, I).
        adapt: step-size adaptation during the warm-up.
        seed: of all noise, 0 to 2^56 - 1.
        store: folder of a run on disk; if it holds this very run, sampling goes on where it
            stopped, also with more draws. A map, operator or likelihood that was changed meanwhile
            is refused. `nw.report.build_report(store)` makes the page.
        progress: show a progress bar on a terminal, a line a minute elsewhere.
        refresh: when the warm-up computes a kernel's Gauss-Newton Gaussian anew; "auto":
            `Refresh()` for the default kernel, None for a given one. For image-shaped z and precise
            measurements `SpectralRefresh()`: thousands of stiff directions by their frequency.

    Returns:
        The run. If interrupted by the keyboard, a run in memory returns the draws so far.

    Raises:
        ConfigError: a value out of range.
        DivergedError: a chain starts where the target is not finite, or every chain has diverged;
            its `run` holds the draws before, if there are any.
        StoreError: the folder holds something else.
    """
    plan = resolve(
        target,
        kernel,
        num_draws,
        num_chains,
        num_warmup,
        thin,
        warm_start,
        adapt,
        seed,
        refresh=refresh,
    )
    if store is not None:
        return sample_stored(target, plan, store, progress)
    return sample_in_memory(target, plan, progress)


def sample_in_memory(target: Any, plan: Plan, progress: bool = True) -> Run:
    """Run the loop into memory.

    Arguments:
        target: the posterior.
        plan: what the loop does.
        progress: show a progress bar on a terminal, a line a minute elsewhere.

    Returns:
        The run; interrupted by the keyboard, the draws so far.

    Raises:
        DivergedError: as `sample`.
    """
    memory = MemoryStore(target.num_images, plan.num_chains)
    try:
        _drive(target, plan, memory, progress)
    except KeyboardInterrupt:
        if memory.cursor()[0] == 0:
            raise
    except DivergedError as error:
        error.run = _kept(target, plan, memory) if memory.cursor()[0] else None
        raise
    return _kept(target, plan, memory)


def _kept(target: Any, plan: Plan, memory: MemoryStore) -> Run:
    done, state = memory.cursor()
    cost = state or {"nfe": 0, "seconds": 0.0}
    return Run(
        memory.arrays(),
        cost["nfe"],
        cost["seconds"],
        plan.thin,
        done == plan.num_draws,
        spec_of(target, plan),
        target.y,
        target.num_observed,
    )


def sample_stored(
    target: Any,
    plan: Plan,
    folder: str | Path,
    progress: bool = True,
    problem: Mapping[str, Any] | None = None,
    arrays: Mapping[str, Tensor] | None = None,
    resume: bool = True,
    command: str | None = None,
) -> Run:
    """Run the loop into a folder.

    Arguments:
        target: the posterior.
        plan: what the loop does.
        folder: of the run.
        progress: show a progress bar on a terminal, a line a minute elsewhere.
        problem: what else defines the run, kept in spec.json.
        arrays: (image, ...) arrays to keep beside the draws, such as the truth.
        resume: go on with an existing run; False makes one an error.
        command: what reproduces the run, kept in spec.json; like the number of draws, it may change
            when a run goes on.

    Returns:
        The run, read back from the folder.

    Raises:
        StoreError: the folder holds something else.
    """
    return into_folder(
        target,
        plan,
        plan.num_chains,
        folder,
        lambda store: _drive(target, plan, store, progress),
        problem,
        arrays,
        resume,
        command,
    )


def into_folder(
    target: Any,
    plan: Any,
    num_chains: int,
    folder: str | Path,
    drive: Callable[[Any], None],
    problem: Mapping[str, Any] | None,
    arrays: Mapping[str, Tensor] | None,
    resume: bool,
    command: str | None = None,
) -> Run:
    """Open a run's folder, keep what does not change, and let a sampler write its draws.

    Arguments:
        target: the posterior.
        plan: what the sampler does, for the specification.
        num_chains: chains or particles per image.
        folder: of the run.
        drive: runs the sampler into the store.
        problem: what else defines the run, kept in spec.json.
        arrays: (image, ...) arrays to keep beside the draws, such as the truth.
        resume: go on with an existing run; False makes one an error.
        command: what reproduces the run.

    Returns:
        The run, read back from the folder.

    Raises:
        StoreError: the folder holds something else.
    """
    from ..storage.store import RunStore

    spec = {**spec_of(target, plan), "problem": dict(problem or {}), "probe": _probe(target)} | (
        {} if command is None else {"command": command}
    )
    if resume:
        _same_model(Path(folder), spec)
    shapes = (
        target.num_images,
        num_chains,
        tuple(target.shape),
        tuple(target.data_shape),
        target.y.dtype,
    )
    with RunStore.create_or_resume(
        folder, spec, *shapes, extras=("step_size", "chi2"), free=FREE, resume=resume
    ) as store:
        fixed = {"y": target.y, "num_observed": target.num_observed, **(arrays or {})}
        if target.observed is not None:
            fixed["observed"] = target.observed
        for name, array in fixed.items():
            store.put(name, array, ("image", *(f"{name}_{i}" for i in range(array.ndim - 1))))
        drive(store)
        store.mark_complete()
    return open_run(folder)


def _probe(target: Any) -> dict[str, float]:
    """What the map, the operator and the likelihood say at one fixed z: whoever changes them under
    the same names changes this. Its call is not counted."""
    if not hasattr(target, "value"):
        return {}
    first, nfe = torch.zeros(1, dtype=torch.int64, device=target.y.device), target.nfe
    z = keyed.rows(0, 1, device=target.y.device).normal(
        tuple(target.shape), keyed.PROBE, target.y.dtype
    )
    state = target.value(z, first, target.num_images)
    target.nfe = nfe
    x = state.x.to(torch.float64).flatten()
    u = keyed.rows(1, 1, device=x.device).normal((len(x),), keyed.PROBE, torch.float64)[0]
    found = {"size": float(x.norm()), "along": float(x @ u / u.norm()), "nll": float(state.nll[0])}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _same_model(folder: Path, spec: dict[str, Any]) -> None:
    """StoreError where the run in a folder was made with a map, an operator or a likelihood of the
    same name that says something else."""
    from ..errors import StoreError
    from ..storage.folder import normal, read_spec

    stored = (read_spec(folder) or {}) if folder.is_dir() else {}
    if any(stored.get(key) != value for key, value in normal(spec).items() if key not in FREE):
        return  # the store says what differs
    before, probe = stored.get("probe", {}), spec["probe"]
    for name in before.keys() & probe.keys():
        scale = max(
            abs(before[name]),
            abs(probe[name]),
            before.get("size", 0.0) if name == "along" else 0.0,
            1e-9,
        )
        if abs(before[name] - probe[name]) > SAME * scale:
            told = (
                f"at one fixed z {'L_y is' if name == 'nll' else 'the image has'} {before[name]:g} "
                f"there and {probe[name]:g} now"
            )
            raise StoreError(
                f"{folder} holds another run: its map, operator or likelihood has changed "
                f"({told}); give another folder"
            )


def open_run(folder: str | Path) -> Run:
    """Read a stored run, finished or not, also while it is being written.

    Arguments:
        folder: the run's folder.

    Returns:
        The run; its draws are read when they are indexed.

    Raises:
        StoreError: no run there, or a corrupt one.
    """
    from ..storage.store import open_store

    stored = open_store(folder)
    sampler = stored.sampler or {}
    arrays = {k: stored.arrays[k] for k in DRAW_ARRAYS}
    y, observed = (
        stored.arrays[k][...] if k in stored.arrays else None for k in ("y", "num_observed")
    )
    spec = stored.spec
    cost, smc = (
        (sampler.get("nfe", 0), sampler.get("seconds", 0.0)),
        tuple(sampler.get(k) for k in ("log_evidence", "memory", "log_evidence_error")),
    )
    return Run(arrays, *cost, int(spec.get("thin", 1)), stored.complete, spec, y, observed, *smc)


def _drive(target: Any, plan: Plan, sink: Any, progress: bool) -> None:
    from .._progress import show

    for _ in show(run_loop(target, plan, sink), progress):
        pass
