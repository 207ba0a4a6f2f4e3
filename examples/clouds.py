r"""Cloud gaps in a Landsat scene: fill them with draws from one posterior over the whole scene.

The scene is the held-out eastern third that `satellite_data.py` writes. A part of it is hidden
under clouds (`nw.operators.CloudInpainting`). Reflectance r and the prior's pixels x are
r = 0.2 (x + 1) / 2. The prior was trained on 64 x 64 pixels, but its network is convolutional, and
z is one large field: the draws are of p(z | all that is observed), and know no tiles.

No noise is added to what is observed: --sigma says how closely a draw must follow it. Its default
is a little more than the 0.006 that the prior leaves of held-out tiles (30 dB, as its card says).
Outside the gaps the samples are what was observed. With --simulated the truth is a draw of the
prior, measured under the same clouds with noise --sigma, and the samples are shown whole: there the
prior is right, so what is tested is the sampler.

Printed for the gaps alone: the error of the samples' mean, of one sample and of two classical fills
(biharmonic inpainting and the nearest observed pixel), clipped to the scene's range where it has
one; the root mean square step from an observed pixel to a hidden neighbour, which in the truth is
that of the land; and how often the truth is inside the samples' central intervals. For a rank
u = (samples below the truth + U) / (n + 1), U uniform, it is inside the q interval if
|u - 1/2| < q / 2, which has probability q for exact samples. "seam" is how far the samples are from
what was observed beside the gaps.

The run is a folder under --out: after an interruption the same command goes on where it stopped.
Needs scikit-image (noisewalk[bench]).

    python examples/clouds.py satellite/landsat_east.npz --quick     # 128 x 128 pixels
    python examples/clouds.py satellite/landsat_east.npz             # 512 x 512 pixels
    python examples/clouds.py --simulated
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from satellite_data import BRIGHTEST
from torch import Tensor

import noisewalk as nw

SCALE = nw.files.ValueRange(0.0, BRIGHTEST)
"""Reflectances that -1 and 1, and the bytes 0 and 255, stand for."""
LEVELS = (0.5, 0.8, 0.9)
QUICK = {"size": 128, "num_chains": 4, "num_steps": 20, "num_warmup": 4, "thin": 4}


def main() -> None:
    """Hide, fill, score, draw."""
    args = parse()
    try:
        target, truth = problem(args)
        run = sample(target, args)
    except nw.errors.NoisewalkError as error:
        raise SystemExit(f"clouds.py: {error}") from error
    hidden = ~target.operator.observed
    observed, draws = (SCALE.from_unit(v) for v in (target.y[0], run.draws[0, :, -1]))
    samples = draws if args.simulated else torch.where(hidden, draws, observed)
    fills = classical(observed, hidden)
    if not args.simulated:
        samples = samples.clamp(SCALE.low, SCALE.high)
        fills = {name: fill.clamp(SCALE.low, SCALE.high) for name, fill in fills.items()}
    summary = run.summary()
    found = {
        **scores(samples, fills, truth, hidden),
        "seam": seam(draws, observed, hidden),
        **{key: summary[key] for key in ("chi2", "acceptance_rate", "nfe", "seconds", "verdict")},
    }
    report(found, args)
    arrays = {"samples": samples, "mean": samples.mean(0), "std": samples.std(0), "truth": truth}
    images = {name: v.movedim(-3, -1).to(torch.float32).numpy() for name, v in arrays.items()}
    np.savez_compressed(args.out / "clouds.npz", hidden=hidden.numpy(), **images)
    settings = {key: str(value) for key, value in vars(args).items()}
    (args.out / "clouds.json").write_text(json.dumps({"settings": settings, **found}, indent=2))
    figure(args.out / "clouds.png", samples, truth, fills["biharmonic"], hidden)


def parse() -> argparse.Namespace:
    """The command line, with what --quick says where nothing is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add, auto = parser.add_argument, "; left out: that of nw.sample's plan"
    add("scenes", type=Path, nargs="?", help=".npz of satellite_data.py")
    add("--simulated", action="store_true", help="the truth is a draw of the prior")
    add("--quick", action="store_true", help="a small part, and chains too short to trust")
    add("--scene", default="224077", help="which of the scenes")
    add("--corner", type=int, nargs=2, default=(400, 60), metavar=("ROW", "COLUMN"))
    add("--size", type=int, help="pixels a side of the part; left out: 512")
    add("--share", type=float, default=0.25, help="of the part that clouds hide")
    add("--length", type=float, default=16.0, help="of the clouds, pixels")
    add("--prior", default="satellite64", help="of RGB images, for any size")
    add("--window", type=int, help="map the field by windows of this side, for less memory")
    add("--sigma", type=float, default=0.008, help="noise of observed pixels, reflectance")
    add("--num-chains", type=int, help=f"each gives a sample{auto}")
    add("--num-steps", type=int, help="of the optimiser that starts a chain; left out: at most 80")
    add("--num-warmup", type=int, help=f"transitions of the warm-up{auto}")
    add("--thin", type=int, help=f"transitions from there to the sample{auto}")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("clouds"))
    args = parser.parse_args()
    if (args.scenes is None) != args.simulated:
        parser.error("give either the scenes of satellite_data.py or --simulated")
    if args.num_chains is not None and args.num_chains < 2:
        parser.error(f"--num-chains must be 2 or more for an uncertainty, got {args.num_chains}")
    usual = QUICK if args.quick else {**dict.fromkeys(QUICK, "auto"), "size": 512}
    for name, value in usual.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def problem(args: argparse.Namespace) -> tuple[nw.NoisePosterior, Tensor]:
    """The posterior of the whole part, and the truth (3, H, W) in reflectance."""
    sides = (args.size, args.size)
    prior = nw.load_prior(args.prior)
    if len(prior.shape) != 3 or prior.shape[0] != 3:
        raise nw.errors.ConfigError(
            f"{args.prior} makes images of shape {prior.shape}: choose a --prior of images with "
            "red, green and blue"
        )
    phi = prior.map(shape=sides, window=args.window)
    clouds = nw.operators.CloudInpainting(args.share, (3, *sides), args.length, args.seed)
    likelihood = nw.likelihoods.Gaussian(SCALE.scale_sigma(args.sigma))
    if args.simulated:
        seed = args.seed + 1  # with that of the run, the first chain would start at the truth
        with torch.no_grad():
            x = phi(nw.noise.rows(seed, 1).normal(phi.shape, nw.noise.INIT))
        y, truth = nw.simulate(clouds, likelihood, x, seed), SCALE.from_unit(x[0])
    else:
        truth = part(args.scenes, args.scene, args.corner, args.size)
        y = SCALE.to_unit(truth)[None]
    return nw.NoisePosterior(phi, clouds, likelihood, y, microbatch=1), truth


def part(path: Path, scene: str, corner: tuple[int, int], size: int) -> Tensor:
    """(3, size, size) float64 reflectance; ConfigError where there is no such part of the scene."""
    if not path.is_file():
        raise nw.errors.ConfigError(f"{path} is missing: make it with examples/satellite_data.py")
    with np.load(path) as scenes:
        if scene not in scenes:
            raise nw.errors.ConfigError(
                f"{path} has no scene {scene!r}: choose --scene from {', '.join(scenes)}"
            )
        whole = scenes[scene]
    top, left = corner
    cut = whole[max(top, 0) : top + size, max(left, 0) : left + size]
    if cut.shape[:2] != (size, size):
        raise nw.errors.ConfigError(
            f"{size} x {size} pixels from {top} {left} leave scene {scene} of "
            f"{whole.shape[:2]}: change --corner or --size"
        )
    empty = int((cut == 0).any(-1).sum())
    if empty:
        raise nw.errors.ConfigError(
            f"{empty} of {size * size} pixels are empty in this part of scene {scene}: change "
            "--corner"
        )
    return torch.from_numpy(cut.astype(np.float64)).movedim(-1, 0) / 255.0 * SCALE.high


def sample(target: nw.NoisePosterior, args: argparse.Namespace) -> nw.Run:
    """Short chains from randomised starts; the last state of each is a sample."""
    return nw.sample(
        target,
        num_chains=args.num_chains,
        num_warmup=args.num_warmup,
        thin=args.thin,
        warm_start=nw.RandomizedStarts(args.num_steps),
        seed=args.seed,
        store=args.out / "run",
    )


def classical(observed: Tensor, hidden: Tensor) -> dict[str, Tensor]:
    """(3, H, W) by name: biharmonic inpainting of the whole part at once, and the nearest observed
    pixel."""
    from scipy.ndimage import distance_transform_edt
    from skimage.restoration import inpaint_biharmonic

    image, gaps = torch.where(hidden, 0.0, observed).numpy(), hidden.numpy()
    smooth = inpaint_biharmonic(image, gaps, channel_axis=0)
    rows, columns = distance_transform_edt(gaps, return_distances=False, return_indices=True)
    return {"biharmonic": torch.from_numpy(smooth), "nearest": observed[:, rows, columns]}


def scores(
    samples: Tensor, fills: dict[str, Tensor], truth: Tensor, hidden: Tensor
) -> dict[str, Any]:
    """Errors and coverage in the gaps, over pixels and channels.

    Arguments:
        samples: (n, 3, H, W) reflectance.
        fills: (3, H, W) by name.
        truth: (3, H, W).
        hidden: (H, W) bool.

    Returns:
        `rmse` and `step` in reflectance and `psnr` in decibels (peak 0.2) by fill, `std` of the
        samples, and `coverage` at LEVELS.
    """
    mean = samples.mean(0, keepdim=True)
    fits = {"mean of samples": mean, "one sample": samples, **fills, "truth": truth}
    rmse = {name: rms((fill - truth)[..., hidden]) for name, fill in fits.items()}
    below = (samples < truth).sum(0)[:, hidden]
    jitter = torch.rand(below.shape, generator=torch.Generator().manual_seed(0))
    off = ((below + jitter) / (len(samples) + 1) - 0.5).abs()
    return {
        "rmse": rmse,
        "psnr": {
            name: 20 * math.log10(SCALE.high / v) if v else math.inf for name, v in rmse.items()
        },
        "step": {name: step(fill, hidden) for name, fill in fits.items()},
        "std": float(samples.var(0)[:, hidden].mean().sqrt()),
        "coverage": [float((off < level / 2).double().mean()) for level in LEVELS],
        "hidden": float(hidden.double().mean()),
        "samples": len(samples),
    }


def rms(values: Tensor) -> float:
    """Root mean square."""
    return float(values.square().mean().sqrt())


def step(x: Tensor, hidden: Tensor) -> float:
    """Root mean square step of (..., H, W) across the border of the gaps, from pixel to pixel."""
    across = [x.diff(dim=k)[..., hidden.int().diff(dim=k) != 0].flatten() for k in (-1, -2)]
    return rms(torch.cat(across))


def seam(draws: Tensor, observed: Tensor, hidden: Tensor) -> float:
    """How far the draws, before observed pixels replace them, are from those beside the gaps."""
    near = torch.nn.functional.max_pool2d(hidden[None].double(), 3, 1, 1)[0] > 0
    return rms((draws - observed)[..., near & ~hidden])


def report(found: dict[str, Any], args: argparse.Namespace) -> None:
    """Print the table."""
    what = "a draw of the prior" if args.simulated else f"scene {args.scene}"
    print(f"{what}, {args.size} x {args.size} pixels, {found['hidden']:.1%} hidden")
    print("in the gaps        RMSE, reflectance   PSNR, dB   step at the border")
    for name, value in found["rmse"].items():
        print(f"{name:18} {value:17.5f} {found['psnr'][name]:10.2f} {found['step'][name]:20.5f}")
    told = zip(LEVELS, found["coverage"], strict=True)
    inside = ", ".join(f"{value:.3f} at {level:.2f}" for level, value in told)
    each = found["nfe"] / found["samples"]
    print(f"coverage {inside}; std of samples {found['std']:.5f}; seam {found['seam']:.5f}")
    print(
        f"{found['samples']} samples; NFE {found['nfe']:,.0f}, {each:.0f} a sample; "
        f"{found['seconds']:.0f} s; chi2 {found['chi2']:.3g}; "
        f"acceptance {found['acceptance_rate']:.2f}; verdict: {found['verdict']}"
    )


def figure(path: Path, samples: Tensor, truth: Tensor, fill: Tensor, hidden: Tensor) -> None:
    """Observed, truth, three samples, mean, a classical fill, all stretched alike; the uncertainty,
    root mean square over the channels."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    brightest = float(truth.flatten(1).quantile(0.995, 1).max())
    shown = {
        "observed": torch.where(hidden, brightest, truth),
        "truth": truth,
        **{f"sample {k + 1}": x for k, x in enumerate(samples[:3])},
        "mean of samples": samples.mean(0),
        "biharmonic": fill,
    }
    figure, axes = plt.subplots(2, 4, figsize=(15, 7.6), layout="constrained")
    for axis, (title, image) in zip(axes.flat, shown.items(), strict=False):
        pixels = (image / brightest).clamp(0.0, 1.0).movedim(0, -1).numpy()
        axis.imshow(pixels, interpolation="nearest")
        axis.set_title(title)
    std = samples.var(0).mean(0).sqrt().numpy()
    spread = axes.flat[7].imshow(std, cmap="magma", vmin=0.0, interpolation="nearest")
    axes.flat[7].set_title("std of samples, reflectance")
    figure.colorbar(spread, ax=axes.flat[7], shrink=0.8)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
