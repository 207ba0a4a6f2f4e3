"""`sample_many`: one run for each of many targets, by an engine."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from .._progress import show
from ..engines.engine import Engine
from ..engines.serial import Serial
from ..engines.work import Outcome, perform
from ..errors import ConfigError, NoisewalkError
from ..gaussians.refresh import Schedule
from ..storage.remote import only_local
from ..types import Kernel, Tick
from .adapt import DualAveraging
from .defaults import resolve
from .execute import FREE, draw, spec_of
from .run import Run, open_run
from .starts import Start

MOST_NAMED = 5  # runs named in an error


def sample_many(
    targets: Mapping[str, Any],
    folder: str | Path,
    engine: Engine | None = None,
    kernel: Kernel | None = None,
    num_draws: int | str = "auto",
    num_chains: int | str = "auto",
    num_warmup: int | str = "auto",
    thin: int | str = "auto",
    warm_start: Start | str | None = "auto",
    adapt: DualAveraging | str | None = "auto",
    seed: int = 0,
    progress: bool = True,
    refresh: Schedule | str | None = "auto",
    plan: str = "auto",
) -> dict[str, Run]:
    """Draw from many posteriors, each into its own run folder, in this process or by an engine.

    Each run is the one that `nw.sample` makes of the target, bitwise, for as many threads of torch.
    A unit of work is one run. If its worker is lost, another one goes on with it, up to three
    times. The same call goes on with what is there; runs that are finished are not computed again.

    Arguments:
        targets: the posteriors by name; a name becomes that of a folder.
        folder: where the runs go, each in `folder / name`.
        engine: where the work runs, such as `nw.engines.Processes(4)`; None: in this process, with
            its threads of torch.
        kernel: as of `nw.sample`, like all that follow.
        num_draws: draws kept per chain.
        num_chains: chains per image.
        num_warmup: transitions discarded first.
        thin: transitions per kept draw.
        warm_start: how the chains start.
        adapt: adaptation of the step during the warm-up.
        seed: of all noise, 0 to 2^56 - 1, the same for every run.
        progress: show how many runs are done.
        refresh: when the warm-up fits the kernel's Gaussian anew.
        plan: "short_chains", "long_chains" or "auto".

    Returns:
        The runs by name, in the order of the targets.

    Raises:
        ConfigError: a value out of range, or a target that cannot be sent to other processes.
        NoisewalkError: some runs have failed; the others are there.

    Example:
        >>> import tempfile
        >>> phi = nw.maps.Affine(torch.eye(3), torch.zeros(3))
        >>> likelihood = nw.likelihoods.Gaussian(0.5)
        >>> targets = {
        ...     name: nw.NoisePosterior(phi, torch.nn.Identity(), likelihood, torch.full((1, 3), y))
        ...     for name, y in (("low", 0.0), ("high", 1.0))
        ... }
        >>> runs = nw.sample_many(targets, tempfile.mkdtemp(), num_chains=2, progress=False)
        >>> runs["high"].draws.shape
        torch.Size([1, 2, 1, 3])
    """
    given: dict[str, Any] = {"kernel": kernel, "num_draws": num_draws, "num_chains": num_chains}
    given |= {"num_warmup": num_warmup, "thin": thin, "warm_start": warm_start, "adapt": adapt}
    given |= {"seed": seed, "refresh": refresh, "plan": plan}
    only_local("the folder of many runs", folder)
    folder = Path(folder)
    for name in targets:
        _check_name(name)
    used = Serial(torch.get_num_threads()) if engine is None else engine
    if not isinstance(used, Engine):
        raise ConfigError(f"engine must be one of nw.engines, such as Processes(4), got {used!r}")
    plans = {name: resolve(target, **given) for name, target in targets.items()}
    missing = [n for n in targets if not finished(folder / n, plans[n], targets[n], used)]
    failed: dict[str, str] = {}
    if missing:
        kept = {name: (plans[name], targets[name]) for name in missing}
        outcomes = perform(used, _sample, (kept, str(folder.absolute())), missing, folder)
        for _ in show(
            _ticks(outcomes, len(targets), len(targets) - len(missing), failed), progress
        ):
            pass
    if failed:
        raise NoisewalkError(failure(failed, len(targets)))
    return {name: open_run(folder / name) for name in targets}


def failure(failed: Mapping[str, str], count: int) -> str:
    """What is said of runs that have failed."""
    named = "; ".join(f"{name}: {why}" for name, why in list(failed.items())[:MOST_NAMED])
    more = "; ..." * (len(failed) > MOST_NAMED)
    told = f"{len(failed)} of {count} runs failed ({named}{more})"
    return f"{told}; mend the cause, and the same call tries them again"


def finished(folder: Path, plan: Any, target: Any, engine: Engine) -> bool:
    """Whether a folder holds this run with all its draws; its model is not called."""
    from ..storage.folder import read_spec
    from ..storage.spec import differences, normal
    from ..storage.zarr_group import GROUP, read_root

    stored = read_spec(folder) if folder.is_dir() else None
    if stored is None or not (folder / GROUP).is_dir():
        return False
    asked = {**spec_of(plan, target), "num_threads": engine.num_threads, "problem": {}}
    root = read_root(folder)
    same = not list(differences(stored.facts, normal(asked), FREE))
    return same and root.complete and root.num_draws == plan.num_draws


def _sample(shared: Any, name: str) -> int:
    """A unit of work: the network calls of a run that is drawn to its end."""
    kept, folder = shared
    plan, target = kept[name]
    return draw(plan, target, Path(folder) / name, progress=False).nfe


def _ticks(
    outcomes: Iterator[Outcome], total: int, done: int, failed: dict[str, str]
) -> Iterator[Tick]:
    """One tick a run that ends; those that fail are noted."""
    nfe = 0
    for outcome in outcomes:
        done += 1
        nfe += outcome.value or 0
        if outcome.error is not None:
            failed[outcome.item] = outcome.error
        yield Tick("runs", done, total, nfe, float("nan"))


def _check_name(name: Any) -> None:
    plain = isinstance(name, str) and name.isprintable() and not name.startswith(".")
    if not plain or not name or set(name) & {"/", "\\", os.sep, ":"}:
        must = "must be the plain name of a folder, without / and without a dot in front"
        raise ConfigError(f"a target's name {must}, got {name!r}")
