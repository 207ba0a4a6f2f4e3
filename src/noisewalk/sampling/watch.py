"""How far a run is, from its files alone: another process may be sampling it."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import NoisewalkError, StoreError
from ..storage.remote import only_local
from .run import open_run

STALE = 60.0  # seconds without a write after which nobody seems to be sampling


@dataclass(frozen=True)
class Progress:
    """How far a run is; NaN where its files do not say yet."""

    name: str
    phase: str
    num_draws: int = 0
    planned: int = 0
    nfe: int = 0
    share: float = math.nan
    """Of its steps that are done."""
    acceptance_rate: float = math.nan
    memory: float = math.nan
    drift: float = math.nan
    seconds_left: float = math.nan

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.phase in ("done", "damaged")


def runs_in(folder: str | Path) -> list[Path]:
    """The folder itself if it is a run's, else the runs in it; StoreError where there is none."""
    only_local("what is watched", folder)
    folder = Path(folder)
    if (folder / "spec.json").is_file():
        return [folder]
    found = sorted(p.parent for p in folder.glob("*/spec.json")) if folder.is_dir() else []
    if not found:
        raise StoreError(f"{folder} holds no run: give the folder of one, or of several")
    return found


def progress_of(folder: Path, diagnose: bool = True) -> Progress:
    """How far the run in a folder is; its memory and drift are computed only to `diagnose`."""
    name = folder.name
    try:
        if not (folder / "run.zarr").is_dir():
            return Progress(name, "begins")
        return _read(folder, name, diagnose)
    except NoisewalkError:
        return Progress(name, "damaged")


def _read(folder: Path, name: str, diagnose: bool) -> Progress:
    from ..storage.store import open_store

    stored, run = open_store(folder), open_run(folder)
    plan, state = stored.spec.get("plan", {}), dict(stored.sampler or {})
    done, total, phase = _steps(plan, state)
    share = 1.0 if run.complete else min(1.0, done / total) if total else math.nan
    spent, last = state.get("seconds", 0.0), _written(folder)
    left = spent * (1 - share) / share if share else math.nan
    if run.complete:
        phase = "done"
    elif time.time() - last > max(STALE, spent / 4):
        phase, left = f"{phase}, stopped", math.nan
    draws = stored.num_draws
    told: dict[str, float] = {}
    if draws:
        told["acceptance_rate"] = float(run.arrays["acceptance_rate"][:, :, -1].double().mean())
    if draws and diagnose:
        found = run.summary()
        told |= {key: float(found[key]) for key in ("memory", "drift") if found[key] is not None}
    planned = plan.get("num_draws", draws)
    return Progress(name, phase, draws, planned, run.nfe, share, **told, seconds_left=left)


def _steps(plan: dict[str, Any], state: dict[str, Any]) -> tuple[float, float, str]:
    """Steps done and in all, and the name of the phase."""
    if "beta" in state:
        beta = float(state["beta"].min())
        return beta, 1.0, f"beta {beta:.2g}"
    start = plan.get("warm_start") or {}
    starts = start.get("num_steps", 0) if isinstance(start, dict) else 0
    warmup = plan.get("num_warmup", 0)
    kept = plan.get("num_settling", 0) + plan.get("num_draws", 0) * plan.get("thin", 1)
    moved = state.get("transitions", 0)
    done = state.get("start_steps", 0) + moved
    phase = "draws" if moved >= warmup and moved else "warm-up" if moved else "starts"
    return done, starts + warmup + kept, phase


def _written(folder: Path) -> float:
    """When the run was last written to."""
    shards = folder.glob("shards/*/run.zarr/zarr.json")
    return max(path.stat().st_mtime for path in (folder / "run.zarr" / "zarr.json", *shards))


def watched(folder: str | Path, every: float) -> Iterator[list[Progress]]:
    """How far the runs are, now and every so many seconds, until all have ended; a run that has
    not gained a draw keeps its memory and drift."""
    known: dict[Path, Progress] = {}
    while True:
        for run in runs_in(folder):
            before = known.get(run)
            if before is not None and before.ended:
                continue
            now = progress_of(run, diagnose=False)
            if before is None or now.num_draws != before.num_draws:
                now = progress_of(run)
            elif now.num_draws:
                kept = {"memory": before.memory, "drift": before.drift}
                now = Progress(**{**vars(now), **kept})
            known[run] = now
        yield list(known.values())
        if all(progress.ended for progress in known.values()):
            return
        time.sleep(every)
