"""The problems of a calibration around a run in blocks, each a unit of work of an engine.

Problems share nothing but the network: each has its own step and its own Gaussian. A block of them
keeps the noise that they have among all, and is a stored run of its own that any worker can go on
with.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from ..._progress import show
from ...engines.engine import Engine
from ...engines.work import Outcome, perform
from ...errors import NoisewalkError
from ...likelihoods.base import complete
from ...maps.per_image import for_images
from ...posterior import NoisePosterior
from ...sampling.chains import Chains
from ...sampling.execute import draw
from ...sampling.run import open_run
from ...sampling.sample_many import finished
from ...types import Tick
from .around import Around
from .calibration import Calibration

ROWS = 32  # of a block at most, where a problem has fewer


def folder_of(prepared: Around, run: Path) -> Path:
    """Where the blocks are stored until all are there, in the folder of the run."""
    counts = prepared.joint.num_images, prepared.plan.num_chains, prepared.seed
    told = "-".join(str(n) for n in (*counts, *prepared.run_shape))
    return run / f".calibration-{told}"


def spans(prepared: Around) -> list[tuple[int, int]]:
    """The first problem of every block, and how many it has, whatever the engine."""
    chains, problems = prepared.plan.num_chains, prepared.joint.num_images
    each = max(1, min(ROWS, prepared.joint.microbatch or ROWS) // chains)
    return [(first, min(each, problems - first)) for first in range(0, problems, each)]


def calibration_by(
    engine: Engine, prepared: Around, folder: Path, progress: bool = True
) -> Calibration:
    """Run the chains of all problems by an engine, and rank the truths among their draws.

    Blocks that are there are not computed again. They are removed at the end. NoisewalkError where
    some have failed.
    """
    blocks, joint, plan = spans(prepared), prepared.joint, prepared.plan
    left = [
        span
        for span in blocks
        if not finished(folder / str(span[0]), *_part(joint, plan, span), engine)
    ]
    shared, failed = (joint, plan, str(folder.absolute())), list[Outcome]()
    outcomes = perform(engine, _block, shared, left, folder) if left else iter(())
    for _ in show(_ticks(outcomes, joint.num_images, failed), progress):
        pass
    if failed:
        told = f"{len(failed)} of {len(blocks)} blocks of problems failed ({failed[0].error})"
        raise NoisewalkError(f"{told}: mend the cause, and the same command tries again")
    runs = [open_run(folder / str(first)) for first, _ in blocks]
    found = prepared.ranked(runs, prepared.joint.nfe + sum(run.nfe for run in runs))
    shutil.rmtree(folder)
    return found


def _block(shared: tuple[NoisePosterior, Chains, str], span: tuple[int, int]) -> int:
    """A worker's part: the network calls of a block, drawn to its end."""
    joint, plan, folder = shared
    own, part = _part(joint, plan, span)
    return draw(own, part, Path(folder) / str(span[0]), progress=False).nfe


def _part(
    joint: NoisePosterior, plan: Chains, span: tuple[int, int]
) -> tuple[Chains, NoisePosterior]:
    """The plan and the posterior of a block."""
    first, count = span
    rows = torch.arange(first, first + count)
    observed = None if joint.observed is None else joint.observed[rows]
    likelihood = complete(joint.likelihood).of_rows(rows, joint.y.ndim)
    parts = for_images(joint.phi, rows), joint.operator, likelihood, joint.y[rows], observed
    part = NoisePosterior(*parts, joint.microbatch, joint.differentiable, check=False)
    return replace(plan, part=(first, 0)), part


def _ticks(outcomes: Iterator[Outcome], total: int, failed: list[Outcome]) -> Iterator[Tick]:
    """One tick a block that ends; those that fail are noted."""
    done = nfe = 0
    for outcome in outcomes:
        done += outcome.item[1]
        nfe += outcome.value or 0
        failed += [outcome] * (outcome.error is not None)
        yield Tick("problems", done, total, nfe, float("nan"))
