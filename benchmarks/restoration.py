"""Do the posterior's mean and draws beat classical restoration?

On held-out images with Gaussian noise: 4x super-resolution beside bicubic interpolation, and inpainting of a box of half the image's area beside
biharmonic and total-variation inpainting (scikit-image), each also with total variation of several weights (before the interpolation, as
the fill's penalty), so that ours is compared with the best of them on these very images. Compared are PSNR of the posterior mean and of the
restoration, and LPIPS of the draws, averaged over them, and of the restoration; differences are paired over the images, as if none of them showed
land that another shows. The seconds are the posterior's.

    python benchmarks/restoration.py --prior satellite64 --images satellite/test.npz --out restoration.json
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality import total_variation
from torch import Tensor

import noisewalk as nw
from noisewalk.operators import observed_of
from noisewalk.train.data import load_images, to_unit

WEIGHTS = (0.0, 0.0125, 0.025, 0.05, 0.1, 0.2)
"""Of total variation; 0: none."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", required=True)
    parser.add_argument("--images", required=True, help="held-out images")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--num-images", type=int, default=100)
    parser.add_argument("--num-chains", type=int, default=1)
    parser.add_argument("--num-draws", type=int, default=8, help="per chain")
    parser.add_argument("--num-warmup", type=int, default=20)
    parser.add_argument("--adam", type=int, default=80, help="steps of the warm start")
    parser.add_argument("--rank", type=int, default=16, help="of the kernel's Gauss-Newton Gaussian")
    parser.add_argument("--sigma-y", type=float, default=0.1)
    parser.add_argument("--batch-size", type=int, default=10, help="images at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    prior = nw.load_prior(args.prior)
    images = to_unit(load_images(args.images, prior.shape[-1], prior.shape[0]))
    truths = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(args.seed))[: args.num_images]]
    result: dict[str, Any] = {"settings": {k: str(v) for k, v in vars(args).items()}}
    for name in args.tasks:
        result[name] = compare(name, prior.map(), truths, args)
        if args.out:
            args.out.write_text(json.dumps(result, indent=1) + "\n")


def compare(name: str, phi: nw.types.NoiseMap, truths: Tensor, args: argparse.Namespace) -> dict[str, Any]:
    """Scores of all restorations of one task, printed, by image."""
    spec, restore = TASKS[name]
    operator, likelihood = nw.operators.parse(spec(truths.shape[-1]), tuple(truths.shape[1:])), nw.likelihoods.Gaussian(args.sigma_y)
    observed = observed_of(operator, tuple(truths.shape[1:]))
    y = likelihood.sample(operator(truths), nw.noise.rows(args.seed, len(truths)), observed)
    start, means, lpips, nfe = time.perf_counter(), [], [], 0
    for first, part in zip(range(0, len(truths), args.batch_size), y.split(args.batch_size), strict=True):
        target = nw.NoisePosterior(phi, operator, likelihood, part)
        length = (args.num_draws, args.num_chains, args.num_warmup)
        adapted = {"warm_start": nw.Adam(args.adam), "refresh": nw.Refresh(rank=args.rank)}
        run = nw.sample(target, None, *length, **adapted, seed=(args.seed << 20) + first, progress=False)
        draws, truth = run.draws.flatten(1, 2), truths[first : first + len(part)]
        means.append(draws.mean(1))
        lpips.append(torch.stack([nw.metrics.lpips(x, t).mean() for x, t in zip(draws, truth, strict=True)]))
        nfe += run.nfe
        print(f"  {first + len(part)} of {len(truths)} images, {time.perf_counter() - start:.0f} s", flush=True)
    seconds = time.perf_counter() - start
    scores = {"posterior": {"psnr": nw.metrics.psnr(torch.cat(means), truths), "lpips": torch.cat(lpips)}}
    for weight in WEIGHTS:
        for kind, x in restore(y, observed, weight).items():
            scores[f"{kind}, total variation {weight:g}" if weight else kind] = {"psnr": nw.metrics.psnr(x, truths), "lpips": nw.metrics.lpips(x, truths)}
    print(f"{name}, {spec(truths.shape[-1])}, sigma_y {args.sigma_y:g}: {len(truths)} images, NFE {nfe:,}, {seconds:.0f} s")
    for row, values in scores.items():
        (psnr, psnr_se), (distance, distance_se) = (nw.metrics.mean_and_se(values[key]) for key in ("psnr", "lpips"))
        print(f"  {row:36} PSNR {psnr:6.2f} +- {psnr_se:.2f}   LPIPS {distance:.3f} +- {distance_se:.3f}")
    others = [row for row in scores if row != "posterior"]
    best = {"psnr": max(others, key=lambda r: float(scores[r]["psnr"].mean())), "lpips": min(others, key=lambda r: float(scores[r]["lpips"].mean()))}
    for key, row in best.items():
        gain, error = nw.metrics.mean_and_se(scores["posterior"][key] - scores[row][key])
        print(f"  {key.upper()} of the {'mean' if key == 'psnr' else 'draws'} - {row}: {gain:+.3f} +- {error:.3f}", flush=True)
    return {"nfe": nfe, "best": best, "rows": {row: {k: v.tolist() for k, v in values.items()} for row, values in scores.items()}}


def enlarged(y: Tensor, observed: Tensor | None, weight: float) -> dict[str, Tensor]:
    """Bicubic interpolation of a 4 times smaller image, denoised before."""
    from skimage.restoration import denoise_tv_chambolle
    from skimage.transform import resize

    small = [denoise_tv_chambolle(v.numpy().astype(np.float64), weight=weight, channel_axis=0) if weight else v.numpy().astype(np.float64) for v in y]
    shape = [4 * side for side in y.shape[-2:]]
    return {"bicubic": torch.stack([torch.from_numpy(resize(v, (len(v), *shape), order=3, mode="edge")).float() for v in small])}


def filled(y: Tensor, observed: Tensor, weight: float) -> dict[str, Tensor]:
    """Biharmonic fill without total variation, and the fill that has the least of it."""
    from skimage.restoration import inpaint_biharmonic

    mask = observed.expand(y.shape[1:])
    if weight:
        return {"inpainting": torch.stack([total_variation(v, mask, weight) for v in y])}
    hidden = ~mask[0].numpy()
    return {"biharmonic": torch.stack([torch.from_numpy(inpaint_biharmonic(v.numpy().astype(np.float64), hidden, channel_axis=0)).float() for v in y])}


def box(side: int) -> str:
    """In the middle, of about half the area."""
    length = round(side / 2**0.5)
    start = (side - length) // 2
    return f"box:top={start},left={start},height={length},width={length}"


TASKS: dict[str, tuple[Callable[[int], str], Callable[..., dict[str, Tensor]]]] = {
    "super-resolution": (lambda side: "avgpool:factor=4", enlarged),
    "box": (box, filled),
}
"""How the operator is written for an image side, and the classical restorations for a weight of total variation."""


if __name__ == "__main__":
    main()
