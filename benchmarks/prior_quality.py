r"""Sample quality of a consistency prior and its teacher against held-out images: KID and Frechet distance in named features.

Every row compares a set of samples with the same test images; the first compares as many training images with them, the floor that no
sample can be expected to beat. For the two-step map the midpoints of --midpoints are each scored with --tune samples first, on training
images, and the best is used: the test images choose nothing.

    python benchmarks/prior_quality.py --student fashion32 --teacher fashion32-edm --train train-images-idx3-ubyte.gz \
        --test t10k-images-idx3-ubyte.gz --out quality.json
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.metrics import features
from noisewalk.train.data import load_images, to_unit

EXTRACTOR = "efficientnet-lite0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", required=True, help="consistency prior")
    parser.add_argument("--teacher", help="diffusion prior; left out: no teacher row")
    parser.add_argument("--train", required=True, help="training images, for the floor and the midpoint")
    parser.add_argument("--test", required=True, help="held-out images")
    parser.add_argument("--num-samples", type=int, default=10_000)
    parser.add_argument("--tune", type=int, default=2_000, help="samples per midpoint; 0 takes the card's")
    parser.add_argument("--midpoints", type=float, nargs="+", default=[0.3, 0.6, 1.0, 1.6, 2.5, 4.0])
    parser.add_argument("--num-steps", type=int, default=18, help="the teacher's Heun steps")
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file of the numbers")
    parser.add_argument("--cards", type=Path, nargs="*", default=[], help="card.json files that take the numbers over")
    args = parser.parse_args()

    student = nw.load_prior(args.student)
    channels, size = student.shape[0], student.shape[-1]
    order = torch.randperm(len(pool := load_images(args.train, size, channels)), generator=torch.Generator().manual_seed(args.seed))
    held_out = embed(load_images(args.test, size, channels)[: args.num_samples])
    train = embed(pool[order[: args.num_samples]])
    rows = {"training images": score(train, held_out)}

    def row(name: str, phi: Callable[[Tensor], Tensor]) -> None:
        start = time.perf_counter()
        samples = draw(phi, student.shape, args.num_samples, args.batch_size, args.seed)
        rows[name] = {**score(embed(samples), held_out), "seconds": time.perf_counter() - start}
        show(name, rows[name])

    show("training images", rows["training images"])
    row("1 step", student.map())
    midpoint = student.card.get("midpoint")
    if args.tune:
        tuning = {}
        for t in args.midpoints:
            samples = draw(student.map(2, midpoint=t), student.shape, args.tune, args.batch_size, args.seed + 1)
            tuning[t] = score(embed(samples), train[: args.tune])
            show(f"  midpoint {t:g}, n {args.tune}", tuning[t])
        midpoint = min(tuning, key=lambda t: tuning[t]["kid"])
    row(f"2 steps, midpoint {midpoint:g}", student.map(2, midpoint=midpoint))
    if args.teacher:
        row(f"teacher, {args.num_steps} Heun steps", nw.load_prior(args.teacher).ode_map(args.num_steps, gradient="direct"))
    report = {"extractor": EXTRACTOR, "num_samples": args.num_samples, "num_test": len(held_out), "rows": rows}
    if args.out:
        args.out.write_text(json.dumps({**report, "midpoint": midpoint}, indent=2))
    for path in args.cards:
        card = json.loads(path.read_text())
        card["quality"] = report
        if card["kind"] == "consistency" and args.tune:
            card |= {"midpoint": midpoint, "midpoint_source": f"lowest KID of {args.tune} samples against training images, among {args.midpoints}"}
        path.write_text(json.dumps(card, indent=2) + "\n")


def draw(phi: Callable[[Tensor], Tensor], shape: tuple[int, ...], count: int, batch_size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        return torch.cat([phi(torch.randn(min(batch_size, count - i), *shape, generator=generator)) for i in range(0, count, batch_size)])


def embed(images: Tensor) -> Tensor:
    return features(to_unit(images) if images.dtype == torch.uint8 else images, EXTRACTOR)


def score(a: Tensor, b: Tensor) -> dict[str, float]:
    value, error = nw.metrics.kid(a, b)
    return {"kid": value, "kid_se": error, "fd": nw.metrics.frechet(a, b)}


def show(name: str, values: dict[str, float]) -> None:
    print(f"{name:32} KID {1e3 * values['kid']:8.3f} +- {1e3 * values['kid_se']:.3f} (x 1e-3)   FD {values['fd']:8.3f}", flush=True)


if __name__ == "__main__":
    main()
