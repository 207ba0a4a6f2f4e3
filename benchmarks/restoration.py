"""Do the posterior's mean and draws beat classical restoration?

On held-out images with Gaussian noise: 4x super-resolution beside bicubic interpolation, and
inpainting of a box of half the image's area beside biharmonic and total-variation inpainting
(scikit-image), each also with total variation of several weights (before the interpolation, as the
fill's penalty), so that ours is compared with the best of them on these very images. Compared are
PSNR of the posterior mean and of the restoration, and LPIPS of the draws, averaged over them, and
of the restoration; differences are paired over the images, as if none of them showed land that
another shows.

The mean is over several chains, since the draws of a short chain say little more than one of them:
with exact draws the squared error of the mean of n independent ones is (1 + 1 / n) times that of
the posterior mean. Chains are run one after the other over all images, each with its own warm
start, and kept under --out, so an interrupted command goes on where it stopped, also with a larger
--num-chains. With `--plan short_chains`, each of the --num-chains is a run of the default plan, of
--num-draws short chains.

    python benchmarks/restoration.py --prior satellite64 --images satellite/test.npz --out
    restoration
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from quality import total_variation
from torch import Tensor

import noisewalk as nw
from noisewalk.operators import observed_of
from noisewalk.priors.train.data import load_images, to_unit

WEIGHTS = (0.0, 0.0125, 0.025, 0.05, 0.1, 0.2)
"""Of total variation; 0: none."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prior", required=True)
    parser.add_argument("--images", required=True, help="held-out images")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--num-images", type=int, default=100)
    parser.add_argument("--plan", choices=("long_chains", "short_chains"), default="long_chains")
    parser.add_argument("--num-chains", type=int, default=2)
    parser.add_argument("--num-draws", type=int, default=8, help="per chain")
    parser.add_argument("--thin", type=int, default=4, help="transitions a draw")
    parser.add_argument("--num-warmup", type=int, default=30)
    parser.add_argument("--adam", type=int, default=40, help="steps of the warm start")
    parser.add_argument(
        "--step-size",
        type=float,
        default=0.07,
        help="of HMC around its spectral Gaussian; so short a warm-up cannot adapt it",
    )
    parser.add_argument("--sigma-y", type=float, default=0.1)
    parser.add_argument("--batch-size", type=int, default=10, help="images at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("restoration"),
        help="folder of the chains and of a .json file for each task",
    )
    args = parser.parse_args()
    prior = nw.load_prior(args.prior)
    images = to_unit(load_images(args.images, prior.shape[-1], prior.shape[0]))
    truths = images[
        torch.randperm(len(images), generator=torch.Generator().manual_seed(args.seed))[
            : args.num_images
        ]
    ]
    for name in args.tasks:
        result = {
            "settings": {k: str(v) for k, v in vars(args).items()},
            **compare(name, prior.map(), truths, args),
        }
        (args.out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def compare(
    name: str, phi: nw.types.NoiseMap, truths: Tensor, args: argparse.Namespace
) -> dict[str, Any]:
    """Scores of all restorations of one task, printed, by image."""
    spec, restore = TASKS[name]
    operator, likelihood = (
        nw.operators.parse(spec(truths.shape[-1]), tuple(truths.shape[1:])),
        nw.likelihoods.Gaussian(args.sigma_y),
    )
    observed = observed_of(operator, tuple(truths.shape[1:]))
    y = likelihood.sample(operator(truths), nw.noise.rows(args.seed, len(truths)), observed)
    chains = [
        chain_of(
            name,
            lambda rows: nw.NoisePosterior(phi, operator, likelihood, y[rows]),
            truths,
            chain,
            args,
        )
        for chain in range(args.num_chains)
    ]
    means, single, lpips = (
        torch.stack([chain.scores[key] for chain in chains]) for key in ("mean", "psnr", "lpips")
    )
    nfe, seconds, chi2 = (sum(chain.cost[k] for chain in chains) for k in range(3))
    scores = {
        "posterior": {"psnr": nw.metrics.psnr(means.mean(0), truths), "lpips": lpips.mean(0)},
        "posterior, single draws": {"psnr": single.mean(0), "lpips": lpips.mean(0)},
    }
    for count in (2**k for k in range(len(chains).bit_length()) if 2**k < len(chains)):
        scores[f"posterior, {count} of the chains"] = {
            "psnr": nw.metrics.psnr(means[:count].mean(0), truths),
            "lpips": lpips[:count].mean(0),
        }
    for weight in WEIGHTS:
        for kind, x in restore(y, observed, weight).items():
            scores[f"{kind}, total variation {weight:g}" if weight else kind] = {
                "psnr": nw.metrics.psnr(x, truths),
                "lpips": nw.metrics.lpips(x, truths),
            }
    print(
        f"{name}, {spec(truths.shape[-1])}, sigma_y {args.sigma_y:g}: {len(truths)} images, "
        f"{args.num_chains} chains of {args.num_draws} draws"
    )
    print(f"  chi2 {chi2 / len(chains):.3f}, NFE {nfe:,}, {seconds:.0f} s")
    for row, values in scores.items():
        (psnr, psnr_se), (distance, distance_se) = (
            nw.metrics.mean_and_se(values[key]) for key in ("psnr", "lpips")
        )
        print(
            f"  {row:36} PSNR {psnr:6.2f} +- {psnr_se:.2f}   LPIPS {distance:.3f} +- "
            f"{distance_se:.3f}"
        )
    others = [row for row in scores if not row.startswith("posterior")]
    best = {
        "psnr": max(others, key=lambda r: float(scores[r]["psnr"].mean())),
        "lpips": min(others, key=lambda r: float(scores[r]["lpips"].mean())),
    }
    for key, row in best.items():
        gain, error = nw.metrics.mean_and_se(scores["posterior"][key] - scores[row][key])
        print(
            f"  {key.upper()} of the {'mean' if key == 'psnr' else 'draws'} - {row}: "
            f"{gain:+.3f} +- {error:.3f}",
            flush=True,
        )
    return {
        "nfe": nfe,
        "best": best,
        "rows": {row: {k: v.tolist() for k, v in values.items()} for row, values in scores.items()},
    }


class Chain(NamedTuple):
    """One chain for every image."""

    scores: dict[str, Tensor]
    """By image: mean of the draws, and the draws' own PSNR and LPIPS, averaged."""
    cost: tuple[float, float, float]
    """Network calls, seconds, and mean chi-square."""


def chain_of(
    name: str,
    posterior: Callable[[slice], nw.NoisePosterior],
    truths: Tensor,
    chain: int,
    args: argparse.Namespace,
) -> Chain:
    """Run it, or read it where it is under --out already."""
    means, scores, nfe, seconds, chi2 = [], [], 0, 0.0, []
    settings = settings_of(args)
    for first in range(0, len(truths), args.batch_size):
        rows = slice(first, first + args.batch_size)
        seed, store = (
            (args.seed << 30) + (chain << 20) + first,
            args.out / name / f"chain{chain:02d}-{first:04d}",
        )
        run = nw.sample(posterior(rows), **settings, seed=seed, store=store, progress=False)
        draws = run.draws[...].flatten(1, 2)
        means.append(draws.mean(1))
        for x, truth in zip(draws, truths[rows], strict=True):
            scores.append(
                torch.stack([nw.metrics.psnr(x, truth).mean(), nw.metrics.lpips(x, truth).mean()])
            )
        nfe, seconds, chi2 = (
            nfe + run.nfe,
            seconds + run.seconds,
            [*chi2, float(run.arrays["chi2"][...].mean())],
        )
        print(
            f"  {name}: chain {chain + 1} of {args.num_chains}, {min(rows.stop, len(truths))} "
            f"of {len(truths)} images, {seconds:.0f} s",
            flush=True,
        )
    psnr, lpips = torch.stack(scores).unbind(1)
    return Chain(
        {"mean": torch.cat(means), "psnr": psnr, "lpips": lpips},
        (nfe, seconds, sum(chi2) / len(chi2)),
    )


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """How one chain is run: the default plan's short ones, or one long chain by hand."""
    if args.plan == "short_chains":
        return {"plan": args.plan, "num_chains": args.num_draws}
    return {
        "num_draws": args.num_draws,
        "num_chains": 1,
        "num_warmup": args.num_warmup,
        "thin": args.thin,
        "kernel": nw.HMC(args.step_size, 8, friction=0.5),
        "warm_start": nw.Adam(args.adam),
        "refresh": nw.SpectralRefresh(),
        "adapt": None,
    }


def enlarged(y: Tensor, observed: Tensor | None, weight: float) -> dict[str, Tensor]:
    """Bicubic interpolation of a 4 times smaller image, denoised before."""
    from skimage.restoration import denoise_tv_chambolle
    from skimage.transform import resize

    small = [
        denoise_tv_chambolle(v.numpy().astype(np.float64), weight=weight, channel_axis=0)
        if weight
        else v.numpy().astype(np.float64)
        for v in y
    ]
    shape = [4 * side for side in y.shape[-2:]]
    return {
        "bicubic": torch.stack(
            [
                torch.from_numpy(resize(v, (len(v), *shape), order=3, mode="edge")).float()
                for v in small
            ]
        )
    }


def filled(y: Tensor, observed: Tensor, weight: float) -> dict[str, Tensor]:
    """Biharmonic fill without total variation, and the fill that has the least of it."""
    from skimage.restoration import inpaint_biharmonic

    mask = observed.expand(y.shape[1:])
    if weight:
        return {"inpainting": torch.stack([total_variation(v, mask, weight) for v in y])}
    hidden = ~mask[0].numpy()
    return {
        "biharmonic": torch.stack(
            [
                torch.from_numpy(
                    inpaint_biharmonic(v.numpy().astype(np.float64), hidden, channel_axis=0)
                ).float()
                for v in y
            ]
        )
    }


def box(side: int) -> str:
    """In the middle, of about half the area."""
    length = round(side / 2**0.5)
    start = (side - length) // 2
    return f"box:top={start},left={start},height={length},width={length}"


TASKS: dict[str, tuple[Callable[[int], str], Callable[..., dict[str, Tensor]]]] = {
    "super-resolution": (lambda side: "avgpool:factor=4", enlarged),
    "box": (box, filled),
}
"""How the operator is written for an image side, and the classical restorations for a weight of
total variation."""


if __name__ == "__main__":
    main()
