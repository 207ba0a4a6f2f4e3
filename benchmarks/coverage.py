"""Do the draws of `nw.sample` cover the truth as often as they say, and at how many calls a draw?

A cell is prior x task x where the truths come from x plan. For every truth, the last draw of each
chain is kept; a rank u = (draws below the truth + U) / (n + 1), U uniform, is inside the q interval
if |u - 1/2| < q / 2. Coverage is the share of pixels (hidden and observed apart) and of 256 random
projections, of z where the truth was drawn from the prior and of x elsewhere. Errors are over
truths. Runs are kept under --state, so an interrupted command goes on where it stopped; every
finished truth is a row of a JSON file under --out.

    python benchmarks/coverage.py --prior fashion32 --task sr4 --num-truths 24
    python benchmarks/coverage.py --table
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.operators import observed_of
from noisewalk.priors.train.data import load_images, to_unit

LEVELS = (0.5, 0.8, 0.9)
TASKS = {
    "sr4": lambda side: "avgpool:factor=4",
    "right": lambda side: f"box:top=0,left={side // 2},height={side},width={side // 2}",
    "clouds": lambda side: "clouds:share=0.5,length=12,seed=0",
    "blur": lambda side: "blur:std=2",
    "hole": lambda side: "box:top=18,left=14,height=34,width=32",
}
TRUTH = 1 << 31  # step of the noise of truths: no run reaches it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior")
    parser.add_argument("--label", type=float, help="conditioning value, such as 50 of terrain128")
    parser.add_argument("--task", choices=list(TASKS), default="sr4")
    parser.add_argument("--images", help="held-out images; without them, truths are draws of z")
    parser.add_argument("--num-truths", type=int, default=24)
    parser.add_argument("--plan", default="short_chains")
    parser.add_argument("--num-chains", type=int, default=None)
    parser.add_argument("--thin", type=int, default=None, help="transitions before the last draw")
    parser.add_argument("--num-warmup", type=int, default=None, help="transitions that adapt")
    parser.add_argument("--num-steps", type=int, default=None, help="of the randomised starts")
    parser.add_argument("--sigma-y", type=float, default=0.1)
    parser.add_argument(
        "--representation-error", choices=["card"], help="of --images: that of the prior's card"
    )
    parser.add_argument("--batch", type=int, default=4, help="truths at a time")
    parser.add_argument("--microbatch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, default=Path("coverage"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/coverage"))
    parser.add_argument("--table", action="store_true", help="print the table of all rows")
    args = parser.parse_args()
    if args.table:
        print(table(args.out))
        return
    if args.representation_error and not args.images:
        parser.error("--representation-error is for --images: the prior has none of itself")
    prior = nw.load_prior(args.prior, args.label)
    phi = prior.map(representation_error=args.representation_error)
    truths = truths_of(prior, args)
    kind = "images" if args.images else "prior"
    changes = {
        "r": args.representation_error,
        "s": args.num_steps,
        "w": args.num_warmup,
        "c": args.num_chains,
        "t": args.thin,
    }
    told = "".join(f"-{k}{v}" for k, v in changes.items() if v is not None)
    name = f"{args.prior}-{args.task}-{kind}-{args.plan}{told}"
    path = args.out / f"{name}.json"
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    for first in range(len(rows), args.num_truths, args.batch):
        batch = slice(first, min(first + args.batch, args.num_truths))
        z, x = (None if part is None else part[batch] for part in truths)
        rows += solve(phi, z, x, args, f"{name}-{first:03d}", first)
        args.out.mkdir(parents=True, exist_ok=True)
        settings = {k: str(v) for k, v in vars(args).items() if k not in ("state", "out", "table")}
        path.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n")
        print(line(name, rows), flush=True)


def truths_of(prior: Any, args: argparse.Namespace) -> tuple[Tensor | None, Tensor]:
    """z and x of all truths; z is None for images."""
    if args.images:
        images = to_unit(load_images(args.images, prior.shape[-1], prior.shape[0]))
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(args.seed))
        return None, images[order[: args.num_truths]]
    phi = prior.map()
    rows = nw.noise.rows(args.seed, args.num_truths).at(TRUTH)
    z = rows.normal(tuple(phi.shape), nw.noise.INIT)
    with torch.no_grad():
        return z, torch.cat([phi(part) for part in z.split(args.microbatch)])


def solve(
    phi: Any, z: Tensor | None, x: Tensor, args: argparse.Namespace, name: str, first: int
) -> list[dict[str, Any]]:
    """The rows of a few truths."""
    shape = tuple(x.shape[1:])
    operator = nw.operators.parse(TASKS[args.task](shape[-1]), shape)
    likelihood, seed = nw.likelihoods.Gaussian(args.sigma_y), args.seed + 1000 + first
    y = nw.simulate(operator, likelihood, x, seed)
    target = nw.NoisePosterior(phi, operator, likelihood, y, microbatch=args.microbatch)
    given = {"num_chains": args.num_chains, "num_warmup": args.num_warmup, "thin": args.thin}
    numbers = {key: value for key, value in given.items() if value is not None}
    if args.num_steps is not None:
        numbers["warm_start"] = nw.RandomizedStarts(args.num_steps)
    start = time.process_time()
    run = nw.sample(
        target, plan=args.plan, seed=seed, store=args.state / name, progress=False, **numbers
    )
    seconds = time.process_time() - start
    seen = observed_of(operator, shape)
    seen = None if seen is None or tuple(seen.shape[-2:]) != shape[-2:] else seen
    last = run.draws.shape[2] - 1
    draws, noise = run.draws[:, :, last], run.z[:, :, last]
    calls = run.nfe / (len(x) * draws.shape[1])
    return [
        {
            **shares(draws[k], x[k], None if seen is None else seen.expand(shape), seed + k),
            **projected(*((noise[k], z[k]) if z is not None else (draws[k], x[k])), seed + k),
            "chi2": float(run.arrays["chi2"][k, :, last].mean()),
            "norm": float(noise[k].double().square().mean().sqrt()),
            "psnr": float(nw.metrics.psnr(draws[k].mean(0)[None], x[k][None])),
            "energy_score": float(nw.metrics.energy_score(draws[k][None], x[k][None])),
            "step_size": float(run.arrays["step_size"][k, 0, last]),
            "calls": calls,
            "cpu_seconds": seconds / len(x),
        }
        for k in range(len(x))
    ]


def inside(draws: Tensor, truth: Tensor, seed: int) -> Tensor:
    """(level, ...) whether the truth's rank is inside each interval; draws (n, ...)."""
    generator = torch.Generator().manual_seed(seed)
    below = (draws.double() < truth.double()).sum(0) + torch.rand(truth.shape, generator=generator)
    u = below / (len(draws) + 1)
    return torch.stack([(u - 0.5).abs() < level / 2 for level in LEVELS])


def shares(draws: Tensor, truth: Tensor, seen: Tensor | None, seed: int) -> dict[str, list[float]]:
    """Coverage of pixels; of the hidden and the observed ones where there are both."""
    hit = inside(draws, truth, seed).double()
    if seen is None:
        return {"pixels": hit.flatten(1).mean(1).tolist()}
    return {
        "hidden": hit[:, ~seen].mean(1).tolist(),
        "observed": hit[:, seen].mean(1).tolist(),
        "pixels": hit.flatten(1).mean(1).tolist(),
    }


def projected(draws: Tensor, truth: Tensor, seed: int) -> dict[str, list[float]]:
    """Coverage of 256 random projections."""
    flat, true = draws.flatten(1).double(), truth.flatten().double()
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(flat.shape[1], 256, generator=generator, dtype=torch.float64)
    hit = inside(flat @ directions, true @ directions, seed)
    return {"projections": hit.double().mean(1).tolist()}


def line(name: str, rows: list[dict[str, Any]]) -> str:
    """A cell in one line."""
    parts = [name, f"{len(rows)} truths"]
    for key in ("pixels", "hidden", "observed", "projections"):
        if key in rows[0]:
            parts.append(f"{key} {told(torch.tensor([row[key] for row in rows]))}")
    for key, digits in (("chi2", 2), ("norm", 3), ("psnr", 2), ("energy_score", 2), ("calls", 0)):
        mean = sum(row[key] for row in rows) / len(rows)
        parts.append(f"{key} {mean:.{digits}f}")
    return " | ".join(parts)


def told(values: Tensor) -> str:
    """Means at each level, and the largest standard error over truths."""
    error = values.std(0).max() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return " ".join(f"{v:.3f}" for v in values.mean(0)) + f" (se {error:.3f})"


def table(folder: Path) -> str:
    """All cells as a Markdown table."""
    head = ["cell", "truths", "pixels", "hidden", "observed", "projections"]
    head += ["chi2", "norm", "PSNR", "energy score", "calls a draw"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for path in sorted(folder.glob("*.json")):
        rows = json.loads(path.read_text())["rows"]
        cells = [path.stem, str(len(rows))]
        for key in ("pixels", "hidden", "observed", "projections"):
            there = key in rows[0]
            cells.append(told(torch.tensor([row[key] for row in rows])) if there else "")
        for key, digits in zip(
            ("chi2", "norm", "psnr", "energy_score", "calls"), (2, 3, 2, 2, 0), strict=True
        ):
            cells.append(f"{sum(row[key] for row in rows) / len(rows):.{digits}f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
