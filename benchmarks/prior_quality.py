r"""Quality of a consistency prior and its teacher against held-out images; the numbers go into the
cards.

- KID and Frechet distance in the features of each of --extractors. Every row compares a set of
  samples with the same test images; the first compares as many training images with them, the floor
  that no sample can be expected to beat. For the two-step map the midpoints of --midpoints are each
  scored with --tune samples first, on training images, by the first extractor, and the best is
  used: the test images choose nothing.
- Distance to the nearest training image, of samples beside held-out images, in pixels and in the
  first extractor's features: is it copying? Both over the whole training set; --feature-pool bounds
  the images whose features are computed.
- Latent inversion (`noisewalk.priors.train.inversion`): --inversion-steps Adam steps on z towards
  held-out images, PSNR of Phi(z) and |z|^2 / d.

    python benchmarks/prior_quality.py --student fashion32 --teacher fashion32-edm --train
    train-images-idx3-ubyte.gz \
        --test t10k-images-idx3-ubyte.gz --out quality.json
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import noisewalk as nw
from noisewalk._packages import fetch
from noisewalk.evaluate.metrics import features
from noisewalk.evaluate.metrics.backbones import read_backbone
from noisewalk.evaluate.metrics.perceptual import ARCHIVES
from noisewalk.priors.prior import Prior
from noisewalk.priors.train.augment import SYMMETRIES, orbit
from noisewalk.priors.train.check_images import leaks
from noisewalk.priors.train.data import load_images, to_unit
from noisewalk.priors.train.inversion import invert, summarise_inversion
from noisewalk.priors.train.nearest import compare_nearest, nearest

PART = 4096
"""Training images that are floating-point numbers at a time."""


def vgg16(images: Tensor) -> Tensor:
    """512 features: the last rectified convolution of VGG16 (ImageNet; LPIPS's weights), averaged
    over the image, which is not resized."""
    return _vgg16()(images.float().clamp(-1.0, 1.0).expand(-1, 3, -1, -1))[-1].mean((-2, -1))


@cache
def _vgg16() -> Any:
    return read_backbone(fetch(**ARCHIVES["vgg"]), "vgg")


EXTRACTORS: dict[str, Callable[[Tensor], Tensor]] = {"vgg16": vgg16}
"""Extractors beside those that `noisewalk.evaluate.metrics.features` knows by name."""


@dataclass
class Scores:
    """What samples are compared with, and the rows so far."""

    extractors: list[str]
    pool: Tensor
    """(M, C, H, W) uint8, all training images in random order."""
    test: Tensor
    """(N, C, H, W) uint8, held out, in random order."""
    num_samples: int
    num_neighbours: int
    feature_pool: int
    symmetry: str
    rows: dict[str, Any] = field(default_factory=dict)
    neighbours: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.held_out = {
            name: embed(self.test[: self.num_samples], name) for name in self.extractors
        }
        first, *others = self.extractors
        used = self.feature_pool if self.num_neighbours else 0
        self.train = {first: embed(self.pool[: max(used, self.num_samples)], first)}
        self.train |= {name: embed(self.pool[: self.num_samples], name) for name in others}
        self.held_out_nearest = self.nearest(to_unit(self.test[: self.num_neighbours]))

    def add(self, name: str, samples: Tensor | None, **also: float) -> None:
        """A row of distances between the test images and samples; None: training images, which have
        no neighbours."""
        own = {
            e: self.train[e][: self.num_samples] if samples is None else embed(samples, e)
            for e in self.extractors
        }
        scores = {e: score(own[e], self.held_out[e]) for e in self.extractors}
        first, *others = self.extractors
        self.rows[name] = {**scores[first], **also, **{e: scores[e] for e in others}}
        for extractor in self.extractors:
            show(f"{name}, {extractor}", scores[extractor])
        if samples is not None and self.num_neighbours:
            found = self.nearest(samples[: self.num_neighbours])
            self.neighbours[name] = {
                space: compare_nearest(found[space], self.held_out_nearest[space])
                for space in found
            }
            for space, values in self.neighbours[name].items():
                print(
                    f"  nearest training image in {space}: {values['mean']:.3f} +- "
                    f"{values['se']:.3f}, of held-out images "
                    f"{values['held_out_mean']:.3f} +- {values['held_out_se']:.3f}, share "
                    f"below their 1 % {values['share_below']:.3f}",
                    flush=True,
                )

    def nearest(self, images: Tensor) -> dict[str, Tensor]:
        """Distance of each image, or of the nearest of its turned copies, to its nearest training
        image."""
        if not len(images):
            return {}
        copies = orbit(images, self.symmetry)
        first = self.extractors[0]
        pixels = [
            nearest(copy.flatten(1), (to_unit(part).flatten(1) for part in self.pool.split(PART)))[
                0
            ]
            for copy in copies
        ]
        deep = [nearest(embed(copy, first), self.train[first].split(PART))[0] for copy in copies]
        return {"pixels": torch.stack(pixels).amin(0), "features": torch.stack(deep).amin(0)}


def main() -> None:
    args = parsed()
    student = nw.load_prior(args.student)
    channels, size = student.shape[0], student.shape[-1]
    pool, test = (load_images(path, size, channels) for path in (args.train, args.test))
    pool, test = (
        images[torch.randperm(len(images), generator=torch.Generator().manual_seed(args.seed))]
        for images in (pool, test)
    )
    if copied := leaks(pool, test):
        print(f"{len(copied)} of the {len(test)} test images are among the training images")
    pool_size = len(pool) if args.feature_pool is None else min(args.feature_pool, len(pool))
    scores = Scores(
        args.extractors, pool, test, args.num_samples, args.num_neighbours, pool_size, args.symmetry
    )

    def row(name: str, phi: Callable[[Tensor], Tensor]) -> None:
        start = time.perf_counter()
        samples = draw(phi, student.shape, args.num_samples, args.batch_size, args.seed)
        scores.add(name, samples, seconds=time.perf_counter() - start)

    scores.add("training images", None)
    row("1 step", student.map())
    midpoint = tuned(student, scores, args) if args.tune else student.card["midpoint"]
    maps = {
        "1 step": student.map(),
        f"2 steps, midpoint {midpoint:g}": student.map(2, midpoint=midpoint),
    }
    for name in list(maps)[1:]:
        row(name, maps[name])
    if args.teacher:
        row(
            f"teacher, {args.num_steps} Heun steps",
            nw.load_prior(args.teacher).ode_map(args.num_steps, gradient="direct"),
        )
    report: dict[str, Any] = {
        "extractor": args.extractors[0],
        "num_samples": args.num_samples,
        "num_test": len(test[: args.num_samples]),
        "num_test_in_train": len(copied),
        "rows": scores.rows,
    }
    if args.num_neighbours:
        pools = {
            "num_train": len(pool),
            "num_train_features": len(scores.train[args.extractors[0]]),
            "symmetry": args.symmetry,
        }
        report["neighbours"] = {
            "num_images": min(args.num_neighbours, args.num_samples),
            **pools,
            "rows": scores.neighbours,
        }
    if args.num_inverted:
        report["inversion"] = inverted(maps, to_unit(test[: args.num_inverted]), args)
    write(report, midpoint, args)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", required=True, help="consistency prior")
    parser.add_argument("--teacher", help="diffusion prior; left out: no teacher row")
    parser.add_argument(
        "--train",
        required=True,
        help="training images: for the floor, the midpoint and the nearest neighbours",
    )
    parser.add_argument("--test", required=True, help="held-out images")
    parser.add_argument(
        "--extractors",
        nargs="+",
        default=["efficientnet-lite0"],
        help=f"of noisewalk.evaluate.metrics.features, or {', '.join(EXTRACTORS)}",
    )
    parser.add_argument("--num-samples", type=int, default=10_000)
    parser.add_argument(
        "--tune", type=int, default=2_000, help="samples per midpoint; 0 takes the card's"
    )
    parser.add_argument(
        "--midpoints", type=float, nargs="+", default=[0.3, 0.6, 1.0, 1.6, 2.5, 4.0]
    )
    parser.add_argument("--num-steps", type=int, default=18, help="the teacher's Heun steps")
    parser.add_argument(
        "--num-neighbours",
        type=int,
        default=1_000,
        help="samples, and held-out images, whose nearest training image is sought; 0: none",
    )
    parser.add_argument(
        "--feature-pool",
        type=int,
        help="training images among which it is sought in features; left out: all",
    )
    parser.add_argument(
        "--symmetry",
        choices=list(SYMMETRIES),
        default="none",
        help="the --augment of the training: turned copies count as training images",
    )
    parser.add_argument(
        "--num-inverted", type=int, default=64, help="held-out images to invert; 0: none"
    )
    parser.add_argument("--inversion-steps", type=int, default=500, help="Adam steps")
    parser.add_argument("--inversion-lr", type=float, default=0.01, help="Adam's learning rate")
    parser.add_argument(
        "--prior-weight",
        type=float,
        default=0.0,
        help="weight of |z|^2 / 2 beside |Phi(z) - x|^2 / 2; 0: the likelihood alone",
    )
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file of the numbers")
    parser.add_argument(
        "--cards",
        type=Path,
        nargs="*",
        default=[],
        help="card.json files that take the numbers over",
    )
    return parser.parse_args()


def tuned(student: Prior, scores: Scores, args: argparse.Namespace) -> float:
    """The midpoint whose samples have the lowest KID to training images."""
    tuning, (extractor, *_) = {}, scores.extractors
    for t in args.midpoints:
        samples = draw(
            student.map(2, midpoint=t), student.shape, args.tune, args.batch_size, args.seed + 1
        )
        tuning[t] = score(embed(samples, extractor), scores.train[extractor][: args.tune])
        show(f"  midpoint {t:g}, n {args.tune}", tuning[t])
    return min(tuning, key=lambda t: tuning[t]["kid"])


def inverted(maps: dict[str, Any], images: Tensor, args: argparse.Namespace) -> dict[str, Any]:
    """PSNR and |z|^2 / d of the z that Adam finds for each image, for each map."""
    settings = {
        "num_steps": args.inversion_steps,
        "lr": args.inversion_lr,
        "prior_weight": args.prior_weight,
    }
    rows = {}
    for name, phi in maps.items():
        start = time.perf_counter()
        rows[name] = summarise_inversion(invert(phi, images, **settings, seed=args.seed)) | {
            "seconds": time.perf_counter() - start
        }
        found = rows[name]
        print(
            f"  inverted by {name}: PSNR {found['psnr']:.2f} +- {found['psnr_se']:.2f} dB, "
            f"|z|^2 / d {found['z_squared_per_dim']:.3f} +- {found['z_squared_per_dim_se']:.3f}",
            flush=True,
        )
    return {"num_images": len(images), **settings, "rows": rows}


def write(report: dict[str, Any], midpoint: float, args: argparse.Namespace) -> None:
    """The report into --out, and into each of --cards."""
    if args.out:
        args.out.write_text(json.dumps({**report, "midpoint": midpoint}, indent=2))
    for path in args.cards:
        card = json.loads(path.read_text())
        card["quality"] = report
        if card["kind"] == "consistency" and args.tune:
            card |= {
                "midpoint": midpoint,
                "midpoint_source": (
                    f"lowest KID of {args.tune} samples against training images, among "
                    f"{args.midpoints}"
                ),
            }
        path.write_text(json.dumps(card, indent=2) + "\n")


def draw(
    phi: Callable[[Tensor], Tensor], shape: tuple[int, ...], count: int, batch_size: int, seed: int
) -> Tensor:
    with torch.no_grad():  # keyed noise: no training draws the same
        return torch.cat(
            [
                phi(z)
                for z in nw.noise.rows(seed, count).normal(shape, nw.noise.INIT).split(batch_size)
            ]
        )


def embed(images: Tensor, extractor: str) -> Tensor:
    """Features of images, (N, C, H, W) uint8 or in [-1, 1]."""
    chosen: Any = EXTRACTORS.get(extractor, extractor)
    parts = images.split(PART)
    return torch.cat(
        [features(to_unit(part) if part.dtype == torch.uint8 else part, chosen) for part in parts]
    )


def score(a: Tensor, b: Tensor) -> dict[str, float]:
    value, error = nw.metrics.kid(a, b)
    return {"kid": value, "kid_se": error, "fd": nw.metrics.frechet(a, b)}


def show(name: str, values: dict[str, float]) -> None:
    print(
        f"{name:48} KID {1e3 * values['kid']:8.3f} +- {1e3 * values['kid_se']:.3f} (x 1e-3)   "
        f"FD {values['fd']:8.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
