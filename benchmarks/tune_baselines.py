r"""Choose zeta of every guided method, and tau of ours, for a prior of this package: the same trials for each, on training images alone.

For every method and task five values half a decade apart are tried on the same images, one sample of each (for ours the mean over its draws), further
ones while the best is at an end, and the one with the highest mean PSNR wins. Warm starts of ours are shared by its trials. The log holds every score;
each method and task is stored as soon as it is there, and a second call goes on. `noisewalk.experiments.presets.SMALL` takes the chosen values over by
hand.

    python benchmarks/tune_baselines.py --images train-images-idx3-ubyte.gz --out benchmarks/tune_baselines.json
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from torch import Tensor

import noisewalk as nw
from noisewalk.experiments.grid import Bench, draw
from noisewalk.experiments.presets import METHODS, SIGMA_Y, SMALL, Guided, Walk, preset, tasks_for
from noisewalk.noise import INIT
from noisewalk.operators import observed_of, parse
from noisewalk.train.data import load_images, to_unit

GRIDS = {
    "dps": (1.0, 3.0, 10.0, 30.0, 100.0),
    "mpgd": (0.3, 1.0, 3.0, 10.0, 30.0),
    "lgd": (0.1, 0.3, 1.0, 3.0, 10.0),
    "ours": (1e-5, 3e-5, 1e-4, 3e-4, 1e-3),
}
"""Values tried, half a decade apart: five for every method."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", default="fashion32")
    parser.add_argument("--teacher", default="fashion32-edm")
    parser.add_argument("--images", required=True, help="training images; the last ones are used")
    parser.add_argument("--num-images", type=int, default=4)
    parser.add_argument("--methods", nargs="+", default=list(SMALL))
    parser.add_argument("--tasks", nargs="+", default=list(SIGMA_Y))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    prior = nw.load_prior(args.prior)
    images = to_unit(load_images(args.images, prior.shape[-1], prior.shape[0])[-args.num_images :])
    bench = Bench(prior, nw.load_prior(args.teacher), images, tasks_for(prior.shape, args.seed), args.out.parent, 1, args.seed, microbatch=128)
    about = {"prior": args.prior, "images": f"last {args.num_images} training images", "seed": args.seed, "chosen by": "highest mean PSNR"}
    log: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {**about, "trials": {}}
    if {k: log[k] for k in about} != about:
        parser.error(f"{args.out} holds another tuning: give another --out")
    for task in args.tasks:
        for method in args.methods:
            held = log["trials"].setdefault(method, {})
            scores = dict(held.get(task, {}).get("psnr", {}))
            started, known = time.perf_counter(), len(scores)
            while values := untried(GRIDS[method.rstrip("12").split("-")[0]], scores):
                scores |= trials(bench, method, task, values)
            if len(scores) > known:
                held[task] = {"psnr": scores, "chosen": best(scores), "seconds": time.perf_counter() - started}
                args.out.write_text(json.dumps(log, indent=1) + "\n")
                print(task, method, held[task], flush=True)


def measure(bench: Bench, task: str) -> tuple[nw.NoisePosterior, Tensor]:
    operator, likelihood = parse(bench.tasks[task].operator, bench.prior.shape), nw.likelihoods.Gaussian(SIGMA_Y[task])
    noise = nw.noise.rows(bench.seed, len(bench.images))
    y = likelihood.sample(operator(bench.images), noise, observed_of(operator, bench.prior.shape))
    return nw.NoisePosterior(bench.phi(1), operator, likelihood, y, microbatch=128), y


def best(scores: dict[str, float]) -> float:
    return float(max(scores, key=lambda value: scores[value]))


def untried(grid: tuple[float, ...], scores: dict[str, float]) -> tuple[float, ...]:
    """The grid first; then, while the best value is the smallest or largest and at most three times, the next one beyond it."""
    if not scores:
        return grid
    tried, found = sorted(map(float, scores)), best(scores)
    if found not in (tried[0], tried[-1]) or len(tried) >= len(grid) + 3:
        return ()
    factor = 10.0**0.5 if found == tried[-1] else 10.0**-0.5
    return (float(f"{found * factor:.0e}"),)


def trials(bench: Bench, method: str, task: str, values: tuple[float, ...]) -> dict[str, float]:
    """Mean PSNR by value; NaN counts as minus infinity."""
    _, y = measure(bench, task)
    found = preset("small", method, task)
    if isinstance(found, Walk):
        return walks(bench, found, int(method[-1]), task, y, values)
    assert isinstance(found, Guided)
    out = {}
    for zeta in values:
        x, _ = draw(Fixed(bench, zeta), bench.tasks[task], METHODS[method], y, 0)
        out[str(zeta)] = score(x[:, 0, 0], bench.images)
    return out


class Fixed:
    """A bench whose guided presets have another zeta."""

    def __init__(self, bench: Bench, zeta: float) -> None:
        self.bench, self.zeta = bench, zeta

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bench, name)

    def preset(self, method: Any, task: str) -> Guided:
        found = self.bench.preset(method, task)
        return Guided(self.zeta, found.num_steps, found.num_mc)


def walks(bench: Bench, found: Walk, num_steps: int, task: str, y: Tensor, tried: tuple[float, ...]) -> dict[str, float]:
    operator = parse(bench.tasks[task].operator, bench.prior.shape)
    target = nw.NoisePosterior(bench.phi(num_steps), operator, nw.likelihoods.Gaussian(SIGMA_Y[task]), y, microbatch=128)
    noise, adam = nw.noise.rows(bench.seed, len(y)), nw.Adam(found.adam_steps, found.lr, found.betas)
    start = adam.start(target(noise.normal(target.shape, INIT)))
    for k in range(1, found.adam_steps + 1):
        start = adam.step(start, target, k)
    out = {}
    for tau in tried:
        state, values = start.state, []
        for k in range(found.num_draws):
            state, _ = nw.Langevin(tau).step(state, target, noise.at(1 + k))
            values.append(score(state.x, bench.images))
        out[str(tau)] = sum(values) / len(values)
    return out


def score(x: Tensor, truth: Tensor) -> float:
    value = float(nw.metrics.psnr(x, truth).mean())
    return value if value == value else float("-inf")


if __name__ == "__main__":
    main()
