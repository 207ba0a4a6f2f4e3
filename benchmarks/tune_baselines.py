r"""Choose zeta of every guided method, and the warm start's learning rate of ours, for a prior of
this package: the same trials for each.

The images are the last ones of a validation set: neither training nor the tables see them. For
every method and task five values half a decade apart are tried on the same images, one sample of
each (for ours the mean over its draws, tau being the paper's or assumed), further ones while the
best is at an end. The highest mean PSNR wins, of a guided method among the values that lower the
residual of the measurement to less than 0.8 of that without guidance. The log holds every score;
each method and task is stored as soon as it is there, and a second call goes on.
`noisewalk.evaluate.paper.presets` takes the chosen values over by hand.

    python benchmarks/tune_baselines.py --images t10k-images-idx3-ubyte.gz --out
    benchmarks/tune_baselines.json
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from torch import Tensor

import noisewalk as nw
from noisewalk.evaluate.paper.bench import Bench
from noisewalk.evaluate.paper.methods import METHODS
from noisewalk.evaluate.paper.presets import SMALL, Guided, Walk, preset
from noisewalk.evaluate.paper.runs import draw
from noisewalk.evaluate.paper.scores import turned
from noisewalk.evaluate.paper.tasks import SIGMA_Y, tasks_for
from noisewalk.priors.train.data import load_images, to_unit

GRIDS = {
    "dps": (1.0, 3.0, 10.0, 30.0, 100.0),
    "mpgd": (0.1, 0.3, 1.0, 3.0, 10.0),
    "lgd": (0.1, 0.3, 1.0, 3.0, 10.0),
    "ours": (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
}
"""Values tried, half a decade apart: five for every method."""
RULE = "highest mean PSNR among the weights that lower the residual"
LOWERED = 0.8
"""Residual over that without guidance above which a weight does not count as guidance."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", default="fashion32")
    parser.add_argument("--teacher", default="fashion32-edm")
    parser.add_argument("--images", required=True, help="validation images; the last ones are used")
    parser.add_argument("--num-images", type=int, default=8)
    parser.add_argument("--methods", nargs="+", default=list(SMALL))
    parser.add_argument("--tasks", nargs="+", default=list(SIGMA_Y))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    prior = nw.load_prior(args.prior)
    images = to_unit(load_images(args.images, prior.shape[-1], prior.shape[0])[-args.num_images :])
    bench = Bench(
        prior,
        nw.load_prior(args.teacher),
        images,
        tasks_for(prior.shape, args.seed),
        args.out.parent,
        1,
        args.seed,
        microbatch=128,
    )
    about = {
        "prior": args.prior,
        "images": f"last {args.num_images} of {Path(args.images).name}",
        "seed": args.seed,
        "chosen by": RULE,
    }
    log: dict[str, Any] = (
        json.loads(args.out.read_text()) if args.out.exists() else {**about, "trials": {}}
    )
    if {k: log[k] for k in about} != about:
        parser.error(f"{args.out} holds another tuning: give another --out")
    for task in args.tasks:
        for method in args.methods:
            held = log["trials"].setdefault(method, {})
            scores, residuals = (
                dict(held.get(task, {}).get(key, {})) for key in ("psnr", "residual")
            )
            started, known = time.perf_counter(), len(scores)
            while values := untried(GRIDS[method.rstrip("12").split("-")[0]], scores, residuals):
                for value, (psnr, residual) in trials(bench, method, task, values).items():
                    scores[value], residuals[value] = psnr, residual
            if len(scores) > known:
                held[task] = {
                    "psnr": scores,
                    "residual": residuals,
                    "chosen": best(scores, residuals),
                    "seconds": time.perf_counter() - started,
                }
                args.out.write_text(json.dumps(log, indent=1) + "\n")
                print(task, method, held[task], flush=True)


def measure(bench: Bench, task: str) -> tuple[nw.NoisePosterior, Tensor]:
    operator, likelihood = bench.operator(bench.tasks[task]), nw.likelihoods.Gaussian(SIGMA_Y[task])
    y = nw.simulate(operator, likelihood, bench.images, bench.seed)
    return bench.target(bench.tasks[task], y), y


def best(scores: dict[str, float], residuals: dict[str, float]) -> float:
    """The value with the highest PSNR among those that lower the residual, or else among all."""
    lowering = [value for value in scores if residuals[value] < LOWERED] or list(scores)
    return float(max(lowering, key=lambda value: scores[value]))


def untried(
    grid: tuple[float, ...], scores: dict[str, float], residuals: dict[str, float]
) -> tuple[float, ...]:
    """The grid first; then, while the best value is the smallest or largest and at most three
    times, the next one beyond it."""
    if not scores:
        return grid
    tried, found = sorted(map(float, scores)), best(scores, residuals)
    if found not in (tried[0], tried[-1]) or len(tried) >= len(grid) + 3:
        return ()
    factor = 10.0**0.5 if found == tried[-1] else 10.0**-0.5
    return (float(f"{found * factor:.0e}"),)


def trials(
    bench: Bench, method: str, task: str, values: tuple[float, ...]
) -> dict[str, tuple[float, float]]:
    """By value: mean PSNR, NaN counting as minus infinity, and the residual over that of the same
    method without guidance (0 for ours, which has none)."""
    target, y = measure(bench, task)
    found = preset("small", method, task)
    if isinstance(found, Walk):
        return {
            value: (psnr, 0.0)
            for value, psnr in walks(bench, found, int(method[-1]), task, y, values).items()
        }
    assert isinstance(found, Guided)
    samples = {
        zeta: draw(Fixed(bench, zeta), bench.tasks[task], METHODS[method], y, 0)[0][:, 0, 0]
        for zeta in (0.0, *values)
    }
    left = {zeta: float(target.chi2(x).mean().sqrt()) for zeta, x in samples.items()}
    return {
        str(zeta): (score(samples[zeta], bench.images, task), left[zeta] / left[0.0])
        for zeta in values
    }


class Fixed:
    """A bench whose guided presets have another zeta."""

    def __init__(self, bench: Bench, zeta: float) -> None:
        self.bench, self.zeta = bench, zeta

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bench, name)

    def preset(self, method: Any, task: str) -> Guided:
        found = self.bench.preset(method, task)
        return Guided(self.zeta, found.num_steps, found.num_mc)


def walks(
    bench: Bench, found: Walk, num_steps: int, task: str, y: Tensor, tried: tuple[float, ...]
) -> dict[str, float]:
    target = bench.target(bench.tasks[task], y, num_steps)
    out = {}
    for rate in tried:
        start = nw.Adam(found.adam_steps, rate, found.betas)
        kernel, how = nw.Langevin(found.step_size), {"seed": bench.seed, "progress": False}
        run = nw.sample(target, kernel, found.num_draws, 1, warm_start=start, **how)
        values = [score(run.draws[:, 0, k], bench.images, task) for k in range(found.num_draws)]
        out[str(rate)] = sum(values) / len(values)
    return out


def score(x: Tensor, truth: Tensor, task: str) -> float:
    """Mean PSNR, of phase retrieval's samples turned as the tables turn them."""
    if task == "phase":
        x = turned(x, truth)
    value = float(nw.metrics.psnr(x, truth).mean())
    return value if value == value else float("-inf")


if __name__ == "__main__":
    main()
