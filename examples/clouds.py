r"""Cloud gaps in a Landsat scene: fill them with draws from the posterior, in units of reflectance.

The scene is the held-out eastern third that `satellite_data.py` writes. A part of it is hidden
under clouds: where a smooth random field of --seed, with the spectrum (1 + |k|^2 l^2)^(-5/2) of a
Matern field, is above a level. Their soft edges, and the shadows that --shadow displaces from them,
are hidden too. Reflectance r and the prior's pixels x are r = 0.2 (x + 1) / 2. No noise is added to
what is observed: --sigma says how closely a draw must follow it. Its default is a little more than
the 0.006 that the prior leaves of held-out tiles (30 dB, as its card says): a draw that is held to
less gives up what is likely in the gap for it, and a chi-square far above 1 says that it cannot.
Outside the gaps the samples are what was observed.

The prior knows images of 64 x 64 pixels, so the part is drawn tile after tile. Independent tiles
would disagree where they overlap. Here each sample is carried over: a tile of sample k is drawn
from the posterior given the observed pixels in its window and the pixels that sample k has there
already, these with noise --seam. It keeps only its core, the pixels that are nearer to its middle
than to any other tile's; the rest of its window is thrown away. Next is always the tile with the
most known pixels, so that gaps close from their rims. With y_t the observed pixels in tile t, a
sample has the law

$$p(\text{core}_1 \mid y_1)\; p(\text{core}_2 \mid y_2, \text{core}_1 \cap \text{tile}_2)\;
p(\text{core}_3 \mid y_3, (\text{core}_1 \cup \text{core}_2) \cap \text{tile}_3) \cdots$$

Tiles whose core has no gap are not sampled. What is lost against a posterior under a prior of whole
scenes, which the network does not define:

- A tile sees nothing beyond its window. Two ends of a river or road that leave a gap more than a
  tile apart do not know of each other, and what fills a gap wider than a tile is a chain of local
  guesses.
- Information runs one way. A pixel that is drawn stays as it is, also where a later tile's
  observations speak against it. So the law depends on the order of the tiles, and a late tile may
  have to bridge neighbours that no image of the prior joins: its chi-square then rises.
- Neighbours agree to --seam only; the difference that is left is printed as "seam".
- Every sample is the last state of one chain a tile, so there is no R-hat; whether the chains are
  long enough is seen from longer ones alone.

Printed for the gaps alone: the error of the samples' mean, of one sample and of two classical fills
(biharmonic inpainting, solved for the whole part at once, and the nearest observed pixel), and how
often the truth lies between the smallest and the largest of n samples, (n - 1) / (n + 1) of the
time for exact draws. All are clipped to the scene's range first, which is 8 bits between 0 and 0.2.

Every tile's run is a folder under --out: after an interruption the same command goes on where it
stopped. Needs scikit-image (noisewalk[bench]).

    python examples/clouds.py satellite/landsat_east.npz --quick     # 128 x 128 pixels, three
    samples from chains too short to trust python examples/clouds.py satellite/landsat_east.npz
    # 512 x 512 pixels, six samples; more than an hour
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
from tiling import best_known_first, divide
from torch import Tensor

import noisewalk as nw
from noisewalk.operators.masks import smooth_field

SCALE = nw.files.ValueRange(0.0, BRIGHTEST)
"""Reflectances that -1 and 1, and the bytes 0 and 255, stand for."""


def main() -> None:
    """Hide, fill, score, draw."""
    args = parse()
    try:
        truth = part(args.scenes, args.scene, args.corner, args.size)
        opacity, shadow = clouds(
            tuple(truth.shape[1:]), args.share, args.length, args.shadow, args.seed
        )
        hidden = (opacity > 0) | (shadow > 0)
        observed = torch.where(hidden, torch.nan, truth)
        phi = prior_map(args.prior, args.label, args.num_steps)
        samples, tiles = sample_map(phi, SCALE.to_unit(observed), args)
    except nw.errors.NoisewalkError as error:
        raise SystemExit(f"clouds.py: {error}") from error
    samples = SCALE.from_unit(samples).clamp(SCALE.low, SCALE.high)
    fills = classical(observed, hidden)
    found = scores(samples, fills, truth, hidden)
    report(found, sum(tile["seconds"] for tile in tiles))
    arrays = {"samples": samples, "mean": samples.mean(0), "std": samples.std(0), "truth": truth}
    images = {
        name: array.movedim(-3, -1).to(torch.float32).numpy() for name, array in arrays.items()
    }
    np.savez_compressed(args.out / "clouds.npz", hidden=hidden.numpy(), **images)
    settings = {key: str(value) for key, value in vars(args).items()}
    (args.out / "clouds.json").write_text(
        json.dumps({"settings": settings, "tiles": tiles, **found}, indent=2)
    )
    figure(args.out / "clouds.png", samples, truth, fills["biharmonic"], opacity, shadow)


def parse() -> argparse.Namespace:
    """The command line, what --quick shortens filled in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "scenes",
        type=Path,
        help=".npz of satellite_data.py: (rows, columns, 3) bytes by scene, 0 where empty",
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--scene", default="224077", help="which of the scenes")
    parser.add_argument(
        "--corner",
        type=int,
        nargs=2,
        default=(400, 60),
        metavar=("ROW", "COLUMN"),
        help="of the part",
    )
    parser.add_argument(
        "--size", type=int, help="pixels a side of the part; left out: 512, with --quick 128"
    )
    parser.add_argument(
        "--share",
        type=float,
        default=0.25,
        help="of the part that clouds hide; shadows are hidden on top",
    )
    parser.add_argument("--length", type=float, default=16.0, help="of the clouds, pixels")
    parser.add_argument(
        "--shadow",
        type=int,
        nargs=2,
        default=(0, 0),
        metavar=("ROWS", "COLUMNS"),
        help="from a cloud to its shadow; 0 0: no shadows",
    )
    parser.add_argument(
        "--prior",
        default="satellite64",
        help="any prior of square RGB images: a name, a folder, a checkpoint",
    )
    parser.add_argument("--label", type=float, help="of a prior that takes one")
    parser.add_argument(
        "--num-steps",
        type=int,
        default=1,
        choices=(1, 2),
        help="network calls a sample of a consistency model",
    )
    parser.add_argument(
        "--sigma", type=float, default=0.008, help="noise of observed pixels, reflectance"
    )
    parser.add_argument(
        "--seam",
        type=float,
        default=0.008,
        help="noise of pixels that earlier tiles have drawn, reflectance",
    )
    parser.add_argument(
        "--overlap", type=int, default=16, help="pixels that neighbouring tiles share, 2 or more"
    )
    parser.add_argument(
        "--samples", type=int, help="of the whole part, 2 or more; left out: 6, with --quick 3"
    )
    parser.add_argument(
        "--steps",
        type=int,
        nargs=3,
        default=(40, 30, 10),
        metavar=("START", "WARMUP", "LAST"),
        help="Adam's, and transitions of the warm-up and after it",
    )
    parser.add_argument(
        "--step-size",
        type=float,
        default=0.05,
        help="of HMC around a spectral Gaussian; so short a warm-up cannot adapt it",
    )
    parser.add_argument("--lr", type=float, default=0.01, help="Adam's learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("clouds"))
    args = parser.parse_args()
    args.size = args.size or (128 if args.quick else 512)
    args.samples = args.samples or (3 if args.quick else 6)
    if args.samples < 2:
        parser.error(f"--samples must be 2 or more for an uncertainty, got {args.samples}")
    if args.overlap < 2:
        parser.error(
            f"--overlap must be 2 or more, so that every tile knows a pixel, got {args.overlap}"
        )
    return args


def part(path: Path, scene: str, corner: tuple[int, int], size: int) -> Tensor:
    """(3, size, size) float64 reflectance.

    Arguments:
        path: .npz of `satellite_data.py`.
        scene: its name there.
        corner: first row and column.
        size: pixels a side.

    Returns:
        The part of the scene.

    Raises:
        ConfigError: no such scene, or a part that leaves it or holds empty pixels.
    """
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


def clouds(
    shape: tuple[int, ...], share: float, length: float, shadow: tuple[int, int], seed: int
) -> tuple[Tensor, Tensor]:
    """Opacity of the clouds and depth of their shadows, both (H, W) in [0, 1]; a pixel is hidden
    where either is above 0.

    Arguments:
        shape: (H, W).
        share: of the pixels under clouds, in (0, 1).
        length: l, pixels.
        shadow: rows and columns from a cloud to its shadow; the field is periodic, and so are they.
        seed: of the field.

    Returns:
        Both fields; the opacity rises from 0 to 1 over 0.3 standard deviations of the smooth field.

    Raises:
        ConfigError: a share or length out of range.
    """
    if not (0.0 < share < 1.0 and 0.0 < length < math.inf):
        raise nw.errors.ConfigError(
            f"clouds need a --share between 0 and 1 and a positive --length, got {share} and "
            f"{length}"
        )
    smooth = smooth_field(shape, length, seed)
    opacity = ((smooth - smooth.flatten().quantile(1.0 - share)) / (0.3 * smooth.std())).clamp(
        0.0, 1.0
    )
    return opacity, opacity.roll(shadow, (0, 1))


def prior_map(name: str, label: float | None, num_steps: int) -> nw.types.NoiseMap:
    """The map of a prior of square RGB images; the probability flow of a diffusion model."""
    prior = nw.load_prior(name, label)
    if prior.shape[0] != 3 or prior.shape[1] != prior.shape[2]:
        raise nw.errors.ConfigError(
            f"{name} makes images of shape {prior.shape}: choose a --prior of square images "
            "with red, green and blue"
        )
    return prior.ode_map() if prior.kind == "edm" else prior.map(num_steps)


def sample_map(
    phi: nw.types.NoiseMap, observed: Tensor, args: argparse.Namespace
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Samples of the whole part, tile after tile.

    Arguments:
        phi: the prior's map.
        observed: (3, H, W) in [-1, 1], NaN in the gaps.
        args: the command line's.

    Returns:
        (samples, 3, H, W), as observed outside the gaps, and what each sampled tile says, in the
        order in which they were drawn.
    """
    with torch.no_grad():
        side = phi(torch.zeros(1, *phi.shape)).shape[-1]
    hidden = observed[0].isnan()
    tiles = divide(tuple(hidden.shape), side, args.overlap)
    chosen = list(best_known_first(tiles, hidden))
    samples, summaries = observed.repeat(args.samples, 1, 1, 1), []
    print(
        f"{float(hidden.double().mean()):.1%} of the pixels are hidden; {len(chosen)} of "
        f"{len(tiles)} tiles have to be drawn",
        flush=True,
    )
    for done, tile in enumerate(chosen, 1):
        top, left = (axis.start for axis in tile.window)
        window = samples[..., *tile.window]
        store = args.out / "tiles" / f"{top:04d}-{left:04d}"
        x, summary = sample_tile(
            phi, window, hidden[tile.window], args, args.seed * len(tiles) + tile.number, store
        )
        filled = samples.clone()
        filled[..., *tile.window] = torch.where(window.isnan(), x, window)
        samples[..., *tile.core] = filled[..., *tile.core]
        summaries.append({"row": top, "column": left, **summary})
        print(
            f"tile {done} of {len(chosen)} at {top} {left}: "
            + ", ".join(f"{k} {v:.3g}" for k, v in summary.items()),
            flush=True,
        )
    return samples, summaries


def sample_tile(
    phi: nw.types.NoiseMap,
    window: Tensor,
    gaps: Tensor,
    args: argparse.Namespace,
    seed: int,
    store: Path,
) -> tuple[Tensor, dict[str, float]]:
    """One draw of a tile for every sample; each is a problem of its own.

    Arguments:
        phi: the prior's map.
        window: (samples, 3, side, side) what each sample knows, NaN elsewhere.
        gaps: (side, side) bool, where nothing was observed.
        args: the command line's.
        seed: of the chains.
        store: the run's folder.

    Returns:
        (samples, 3, side, side) draws and their summary; "seam" is their root mean square distance
        from what was drawn before, in reflectance.
    """
    known = window[0, 0].isfinite()
    sigma = SCALE.scale_sigma(torch.where(gaps, args.seam, args.sigma)[None])
    target = nw.NoisePosterior(
        phi, nw.operators.MaskInpainting(known), nw.likelihoods.Gaussian(sigma), window
    )
    start, warmup, last = args.steps
    moves = {
        "kernel": nw.HMC(args.step_size, 8, friction=0.5),
        "warm_start": nw.Adam(start, args.lr),
        "refresh": nw.SpectralRefresh(),
        "adapt": None,
    }
    run = nw.sample(
        target,
        num_draws=1,
        num_chains=1,
        num_warmup=warmup,
        thin=last,
        **moves,
        seed=seed,
        store=store,
    )
    x, summary = run.draws[:, 0, 0], run.summary()
    found = {
        "chi2": summary["chi2"],
        "|z|^2 / d": summary["z_norm2_per_dim"],
        "last acceptance": summary["acceptance_rate"],
        "nfe": summary["nfe"],
    }
    carried = known & gaps
    if carried.any():
        found["seam"] = SCALE.half * float((x - window)[..., carried].square().mean().sqrt())
    return x, {**found, "seconds": summary["seconds"]}


def classical(observed: Tensor, hidden: Tensor) -> dict[str, Tensor]:
    """(3, H, W) by name: biharmonic inpainting of the whole part at once, and the nearest observed
    pixel."""
    from scipy.ndimage import distance_transform_edt
    from skimage.restoration import inpaint_biharmonic

    smooth = inpaint_biharmonic(
        torch.where(hidden, 0.0, observed).numpy(), hidden.numpy(), channel_axis=0
    )
    rows, columns = distance_transform_edt(
        hidden.numpy(), return_distances=False, return_indices=True
    )
    return {
        "biharmonic": torch.from_numpy(smooth).clamp(SCALE.low, SCALE.high),
        "nearest": observed[:, rows, columns],
    }


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
        `rmse` in reflectance and `psnr` in decibels (peak 0.2) by fill, `std` of the samples,
        `coverage` of their range and the `nominal` one.
    """
    count = len(samples)
    fits = {
        "mean of samples": samples.mean(0, keepdim=True),
        "one sample": samples,
        **{name: fill[None] for name, fill in fills.items()},
    }
    rmse = {
        name: float((fill - truth)[..., hidden].square().mean().sqrt())
        for name, fill in fits.items()
    }
    inside = (samples.amin(0) <= truth) & (truth <= samples.amax(0))
    return {
        "rmse": rmse,
        "psnr": {
            name: 20.0 * math.log10(SCALE.high / max(value, 1e-12)) for name, value in rmse.items()
        },
        "std": float(samples.var(0)[:, hidden].mean().sqrt()),
        "coverage": float(inside[:, hidden].double().mean()),
        "nominal": (count - 1) / (count + 1),
    }


def report(found: dict[str, Any], seconds: float) -> None:
    """Print the table."""
    print(f"\nin the gaps        RMSE, reflectance   PSNR, dB   ({seconds:.0f} s of sampling)")
    for name, value in found["rmse"].items():
        print(f"{name:18} {value:17.5f} {found['psnr'][name]:10.2f}")
    print(
        f"std of samples {found['std']:.5f}; range of samples covers {found['coverage']:.1%} "
        f"of the truth (exact draws: {found['nominal']:.1%})"
    )


def figure(
    path: Path, samples: Tensor, truth: Tensor, fill: Tensor, opacity: Tensor, shadow: Tensor
) -> None:
    """Observed, truth, three samples, mean, a classical fill, all stretched alike; the uncertainty,
    root mean square over the channels."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    brightest = float(truth.flatten(1).quantile(0.995, 1).max())
    sky = (truth * (1.0 - 0.6 * shadow)).lerp(torch.tensor(brightest, dtype=truth.dtype), opacity)
    draws = {f"sample {k + 1}": x for k, x in enumerate(samples[:3])}
    shown = {
        "observed": sky,
        "truth": truth,
        **draws,
        "mean of samples": samples.mean(0),
        "biharmonic": fill,
    }
    figure, axes = plt.subplots(2, 4, figsize=(15, 7.6), layout="constrained")
    for axis, (title, image) in zip(axes.flat, shown.items(), strict=False):
        axis.imshow(
            (image / brightest).clamp(0.0, 1.0).movedim(0, -1).numpy(), interpolation="nearest"
        )
        axis.set_title(title)
    spread = axes.flat[7].imshow(
        samples.var(0).mean(0).sqrt().numpy(), cmap="magma", vmin=0.0, interpolation="nearest"
    )
    axes.flat[7].set_title("std of samples, reflectance")
    figure.colorbar(spread, ax=axes.flat[7], shrink=0.8)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
