"""`--share-batches`: the small files of a batch in one network batch, each as it would be alone.

Files share a run where they have one map, one operator, one kind of noise and one shape. Every
image keeps the seed of its own file, so its draws are those of the file alone, up to the rounding
of a network that sees more rows at once. The shared run is stored beside the others and goes on
where it was stopped. Then each file's part of it becomes a run folder of its own.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import typer
from torch import Tensor

from .._text import printable
from ..errors import StoreError
from ..likelihoods.base import LikelihoodBase
from ..posterior import NoisePosterior
from ..sampling.chains import Chains
from ..sampling.execute import draw
from ..storage.store import StoredRun, open_store
from ..types import Estimate, Info, RunStore, State, Tick
from .inputs import with_seed
from .options import rows_at_once
from .plans import plan_of
from .problem import Problem, read_problem
from .run_problem import announcement, finish, restore

if TYPE_CHECKING:
    from ..priors.prior import Prior
    from .sample import SampleOptions

MOST_TOGETHER = 32
"""Files of one shared run."""


@dataclass(frozen=True, eq=False)
class Member:
    """One file that may share a run."""

    options: "SampleOptions"
    problem: Problem

    @property
    def kind(self) -> str:
        """Equal for files that can share a run."""
        p = self.problem
        level = isinstance(p.level, Tensor) and p.level.ndim > 0
        noise = f"gaussian, {level}" if p.level is not None else repr(p.likelihood)
        gaps = p.observed is None
        return "\n".join(map(repr, (p.phi, p.operator, noise, gaps, tuple(p.y.shape), p.y.dtype)))

    def plan(self, target: Any) -> Chains:
        """The chains of this file alone."""
        plan: Any = plan_of(self.options, target)
        return plan


def restore_together(
    several: Sequence["SampleOptions"], prior: "Prior", store: Path
) -> list[Exception | None]:
    """Restore the files, in one run where they can share one; what went wrong with each."""
    failures: list[Exception | None] = [None] * len(several)
    groups: dict[str, list[tuple[int, Member]]] = {}
    for k, given in enumerate(several):
        member = _tried(failures, k, _read, given, prior)
        if member is not None:
            groups.setdefault(member.kind, []).append((k, member))
    for group in groups.values():
        for start in range(0, len(group), MOST_TOGETHER):
            some = group[start : start + MOST_TOGETHER]
            _restore_some(some, prior, store / _name_of([m for _, m in some]), failures)
    if store.is_dir() and not any(failures):
        shutil.rmtree(store)
    return failures


def _tried(failures: list[Exception | None], k: int, work: Callable[..., Any], *given: Any) -> Any:
    """Call something, or note why it failed."""
    try:
        return work(*given)
    except typer.Exit:  # interrupted
        raise
    except Exception as error:  # of one file; the others go on
        failures[k] = error
        return None


def _name_of(members: list[Member]) -> str:
    """The folder of a shared run: other files, or other settings, have another."""
    asked = [replace(m.options, resume=False, num_draws=None) for m in members]
    return sha256(repr(asked).encode()).hexdigest()[:16]


def _read(options: "SampleOptions", prior: "Prior") -> Member | None:
    """A file that is still to be restored; None where it is now: a complete run is compared with
    what is asked for, and made longer."""
    found = with_seed(options)
    if found.resume and _is_complete(found.folder):
        restore(found, prior)
        return None
    if not found.resume and (found.folder / "spec.json").exists():
        raise held(found.folder)
    return Member(found, read_problem(found, prior))


def held(folder: Path) -> StoreError:
    """The error of a folder that a new run may not have."""
    return StoreError(f"{folder} holds a run: go on by --resume, or give another folder")


def _is_complete(folder: Path) -> bool:
    try:
        return open_store(folder).complete and (folder / "report.html").exists()
    except StoreError:
        return False


def _restore_some(
    some: list[tuple[int, Member]], prior: "Prior", folder: Path, failures: list[Exception | None]
) -> None:
    """Restore files of one kind: one alone as always, several in a shared run."""
    if len(some) == 1:
        k, member = some[0]
        _tried(failures, k, restore, member.options, prior)
        return
    members = [member for _, member in some]
    try:
        shared = _shared_run(members, folder)
    except Exception as error:  # of all of them
        for k, _ in some:
            failures[k] = error
        return
    for place, (k, member) in enumerate(some):
        _tried(failures, k, _own_run, member, shared, place)
    if all(failures[k] is None for k, _ in some):
        shutil.rmtree(folder)


def _shared_run(members: list[Member], folder: Path) -> StoredRun:
    """The run of all the files, in a folder of its own until every file has its part."""
    first = members[0]
    target = stacked([m.problem for m in members], first.options.microbatch)
    seeds = tuple(int(m.options.seed or 0) for m in members)
    plan = replace(first.plan(target), seed=0, seeds=seeds)
    names = ", ".join(printable(str(m.options.input)) for m in members)
    together = f"{len(members)} files together: {names}"
    print(
        "\n".join([together, *announcement(first.problem, target, plan).splitlines()[1:]]),
        flush=True,
    )
    draw(plan, target, folder, True, command=None, resume=True)
    return open_store(folder)


def stacked(problems: Sequence[Problem], microbatch: int | None = None) -> NoisePosterior:
    """The posterior of several measurements of one kind, one image each."""
    first, y = problems[0], torch.cat([p.y for p in problems])
    observed = None
    if first.observed is not None:
        observed = torch.cat([p.observed for p in problems])  # type: ignore[misc]
    rows = microbatch or rows_at_once(tuple(first.phi.data_shape))  # type: ignore[attr-defined]
    return NoisePosterior(first.phi, first.operator, _noise_of(problems), y, observed, rows)


def _noise_of(problems: Sequence[Problem]) -> LikelihoodBase:
    """Their likelihood, with the level of each where it is Gaussian."""
    first = problems[0]
    if first.level is None:
        return first.likelihood
    ones, each = (1,) * (first.y.ndim - 1), []
    for p in problems:
        level = torch.as_tensor(p.level, dtype=torch.float64)
        each.append(level.expand(p.y.shape[1:]) if level.ndim else level.reshape(ones))
    return replace(first.likelihood, sigma_y=torch.stack(each))  # type: ignore[type-var, call-arg]


def _own_run(member: Member, shared: StoredRun, place: int) -> None:
    """One file's part of a shared run, in its own folder with its report."""
    o, problem = member.options, member.problem
    target = problem.target(o.microbatch)
    plan = Part(member.plan(target), shared, place)
    print(f"{printable(problem.title)}\n  into {printable(str(o.folder))}", flush=True)
    finish(problem, target, plan, o.folder, True)


@dataclass(frozen=True, eq=False)
class Part:
    """The plan of one image whose draws are there already, in a run of several images."""

    alone: Chains
    shared: StoredRun
    image: int

    @property
    def num_draws(self) -> int:
        """As alone."""
        return self.alone.num_draws

    @property
    def in_words(self) -> str:
        """As alone."""
        return self.alone.in_words

    @property
    def num_rows(self) -> int:
        """As alone."""
        return self.alone.num_chains

    @property
    def thin(self) -> int:
        """As alone."""
        return self.alone.thin

    def estimate(self, target: Any) -> Estimate:
        """As alone."""
        return self.alone.estimate(target)

    def facts(self) -> dict[str, Any]:
        """As alone: the draws are the same."""
        return self.alone.facts()

    def run(self, target: Any, sink: RunStore) -> Iterator[Tick]:
        """Copy the draws into the sink, from wherever it stands."""
        arrays, i, nan = self.shared.arrays, self.image, float("nan")
        sampler = self._sampler()
        done, _ = sink.cursor()
        sink.keep({name: arrays[name][i : i + 1] for name in EARLY if name in arrays})
        for k in range(done, self.num_draws):
            one = {name: array[i, :, k] for name, array in arrays.items() if name in DRAWN}
            state = State(one["z"], one["x"], one["nll"], torch.zeros_like(one["z"]))
            info = Info(one["acceptance_rate"], one["accepted"], one["diverging"])
            sink.append(state, info, sampler, {name: one[name] for name in ("chi2", "step_size")})
            yield Tick("draws", k + 1, self.num_draws, int(sampler["nfe"]), nan)

    def _sampler(self) -> dict[str, Any]:
        """The state of the sampler of this image: with it the run goes on as it would alone."""
        kept: dict[str, Any] = dict(self.shared.sampler or {})
        images = self.shared.arrays["num_observed"].shape[0]
        chains, i = self.num_rows, self.image
        rows = slice(i * chains, (i + 1) * chains)
        kept["state"] = {name: part[rows] for name, part in kept["state"].items()}
        own = (slice(None), slice(i, i + 1))
        for name, where in (("carry", rows), ("tried_again", rows), ("adaptation", own)):
            if kept.get(name) is not None:
                kept[name] = kept[name][where]
        if kept.get("preconditioner"):
            parts = kept["preconditioner"].items()
            kept["preconditioner"] = {
                k: v[i : i + 1] if isinstance(v, Tensor) else v for k, v in parts
            }
        kept["nfe"], kept["seconds"] = kept["nfe"] // images, kept["seconds"] / images
        return kept


EARLY = ("early_x", "early_lp", "tried_again")
DRAWN = ("x", "z", "nll", "acceptance_rate", "accepted", "diverging", "chi2", "step_size")
