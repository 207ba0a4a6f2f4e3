r"""Real terrain in metres: fill voids and sharpen eightfold, with draws and an uncertainty map.

The heights are matplotlib's Jacksboro fault model (SRTM, 344 x 403 cells of three arc seconds). The
prior is terrain128, a consistency model of 128 x 128 heights between 0 and R = 22.17 m through an
asinh. Its metres are not the fault's, so a map of heights is placed in its range by one affine
rescaling for the whole map, taken from what is observed and never from what is hidden:

$$h(x) = b + c\, m(x), \qquad m = \mathtt{to\_metres}, \qquad
b = \text{lowest observed height}, \qquad c = \frac{\text{observed relief}}{\text{--relief}}$$

The forward operator acts on h, in metres: A(x) = h(x) at observed cells, or means of h over 8 x 8
blocks, and so does the noise, N(0, sigma^2) in metres. In the pixels x the same noise would be
narrow on summits and wide in valleys; nothing has to be converted, as any callable is an operator.
No noise is added to the heights: sigma says how closely a draw must follow them, and a chi-square
far above 1 says that it cannot.

Maps larger than 128 x 128 are sampled tile after tile, in rows. Independent tiles would disagree
where they overlap; here each draw is carried over: tile t of draw k has the cells that draw k
already has in the overlap as further data, with noise --seam. So a draw is one surface, and its law
is p(first | y) p(next | y, overlap) ...: later tiles know the earlier ones, but not the other way
round, and nothing is shared over more than a tile. That is no posterior under a prior of whole
maps, which terrain128 does not define.

How well does the prior fit? Badly: it knows another relief than the ridges of this fault. Observed
heights are followed to sigma = 20 m only with a chi-square of 15 to 21 instead of 1, the draws are
speckled, and both interpolations are closer to the hidden cells (--tiles 1 1, 150 Adam steps, 30 +
20 transitions of two chains, which have not mixed, R-hat 3.5):

    RMSE at hidden cells, m   posterior mean   one draw   linear   bicubic   std of draws   truth
    within 2 std voids                     110.7            96.0       50.0     34.7      70.8
    57 % 8x sharper                106.8            110.5      44.8     37.8      90.2           63
    %

    python examples/terrain.py --quick       # one tile each, chains too short to trust; several
    minutes on two cores python examples/terrain.py               # one tile with voids, 128 x 224
    cells eight times coarser; much longer
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.cbook import get_sample_data
from tiling import divide
from torch import Tensor

import noisewalk as nw
from noisewalk._repr import readable
from noisewalk.priors.terrain import to_metres

SIDE = 128
FACTOR = 8


def main() -> None:
    """Sample both problems, print how well they went, draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--difficulty",
        type=float,
        default=20.0,
        help="roughness that the prior is asked for, 1 to 100",
    )
    parser.add_argument(
        "--relief",
        type=float,
        default=3.0,
        help="what the observed relief becomes, in the prior's metres (up to 22)",
    )
    parser.add_argument("--sigma", type=float, default=20.0, help="noise of the heights, metres")
    parser.add_argument("--seam", type=float, default=20.0, help="noise of the overlap, metres")
    parser.add_argument(
        "--overlap", type=int, default=32, help="cells that neighbouring tiles share"
    )
    parser.add_argument(
        "--tiles",
        type=int,
        nargs=2,
        metavar=("ROWS", "COLUMNS"),
        help="of the map to sharpen; left out: 1 2, with --quick 1 1",
    )
    parser.add_argument(
        "--corner",
        type=int,
        nargs=2,
        default=(144, 120),
        metavar=("ROW", "COLUMN"),
        help="of both maps",
    )
    parser.add_argument("--chains", type=int, help="draws of a tiled map")
    parser.add_argument(
        "--steps", type=int, nargs=3, metavar=("START", "WARMUP", "DRAWS"), help="of every chain"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("terrain"))
    args = parser.parse_args()
    args.tiles = args.tiles or ((1, 1) if args.quick else (1, 2))
    args.chains = args.chains or 2
    args.steps = args.steps or ((50, 15, 10) if args.quick else (150, 30, 20))

    elevation = torch.from_numpy(
        get_sample_data("jacksboro_fault_dem.npz")["elevation"].astype(np.float32)
    )
    phi = nw.load_prior("terrain128", label=args.difficulty).map()
    args.out.mkdir(parents=True, exist_ok=True)
    results = {"settings": {k: str(v) for k, v in vars(args).items()}}
    for name, shape, factor in (
        ("voids", (SIDE, SIDE), 1),
        ("sharpen", extent(args.tiles, args.overlap), FACTOR),
    ):
        truth = window(elevation, args.corner, shape)
        hidden = voids(shape, args.seed) if factor == 1 else torch.ones(shape, dtype=torch.bool)
        y = (
            torch.where(hidden, torch.nan, truth)
            if factor == 1
            else F.avg_pool2d(truth[None], factor)[0]
        )
        start = time.perf_counter()
        draws, tiles = sample_map(phi, y, factor, shape, args)
        results[name] = {
            "seconds": time.perf_counter() - start,
            "tiles": tiles,
            **scores(draws, y, truth, hidden, factor),
        }
        report(name, results[name])
        figure(args.out / f"{name}.png", draws, y, truth, factor)
    (args.out / "terrain.json").write_text(json.dumps(results, indent=2))


def extent(tiles: tuple[int, int], overlap: int) -> tuple[int, int]:
    """Cells of a map of so many tiles."""
    return tuple(SIDE + (n - 1) * (SIDE - overlap) for n in tiles)  # type: ignore[return-value]


def window(elevation: Tensor, corner: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """The cells of the elevation model that a map covers."""
    top, left = corner
    cut = elevation[top : top + shape[0], left : left + shape[1]]
    if tuple(cut.shape) != shape:
        raise SystemExit(
            f"{shape[0]} x {shape[1]} cells from {corner} leave the map of "
            f"{tuple(elevation.shape)}: move --corner or use fewer --tiles"
        )
    return cut


def voids(shape: tuple[int, int], seed: int, share: float = 0.15) -> Tensor:
    """Blobs that hide a share of the cells, at random places."""
    noise = nw.noise.rows(seed, 1).normal((1, *shape), nw.noise.MASK)
    smooth = nw.operators.GaussianBlur(kernel_size=61, std=4.0)(noise)[0, 0]
    return smooth > smooth.flatten().quantile(1 - share)


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Heights:
    """A(x) of one tile in metres: its cells or the means of its blocks, then the cells that earlier
    tiles have drawn."""

    base: float
    scale: float
    factor: int
    known: Tensor

    def metres(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, H, W)."""
        return self.base + self.scale * to_metres(x)[:, 0]

    def __call__(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, blocks + known cells)."""
        h = self.metres(x)
        return torch.cat([F.avg_pool2d(h, self.factor).flatten(1), h[:, self.known]], 1)


def sample_map(
    phi: nw.types.NoiseMap, y: Tensor, factor: int, shape: tuple[int, int], args: argparse.Namespace
) -> tuple[Tensor, list[dict[str, float]]]:
    """Draws of the heights of a map, tile after tile.

    Arguments:
        phi: the prior's map.
        y: (H / factor, W / factor) heights, NaN where void.
        factor: cells per side of a block.
        shape: (H, W), tiles with overlaps.
        args: the command line's.

    Returns:
        (draws, H, W) metres: of one tile all draws of all chains, of several the last one of every
        chain, carried from tile to tile; and what each tile says.
    """
    seen = y[y.isfinite()]
    base = float(seen.min())
    scale = (float(seen.max()) - base) / args.relief
    draws, summaries = torch.full((args.chains, *shape), torch.nan), []
    tiles = divide(shape, SIDE, args.overlap)
    for tile in tiles:
        cells = (slice(None), *tile.window)
        before = draws[cells]
        operator = Heights(base, scale, factor, before[0].isfinite())
        blocks = y[tuple(slice(axis.start // factor, axis.stop // factor) for axis in tile.window)]
        h, summary = sample_tile(phi, operator, blocks, before, args, args.seed + tile.number)
        summaries.append(summary)
        if len(tiles) == 1:
            return h.flatten(0, 1), summaries
        draws[cells] = torch.where(operator.known, before, h[:, -1])
    return draws, summaries


def sample_tile(
    phi: nw.types.NoiseMap,
    operator: Heights,
    blocks: Tensor,
    before: Tensor,
    args: argparse.Namespace,
    seed: int,
) -> tuple[Tensor, dict[str, float]]:
    """(chains, draws, H, W) metres of one tile; where earlier draws overlap it, each chain is a
    problem of its own."""
    carried = before[:, operator.known]
    images = args.chains if operator.known.any() else 1
    y = torch.cat([blocks.flatten().expand(images, -1), carried[:images]], 1)
    sigma = torch.cat(
        [torch.full((blocks.numel(),), args.sigma), torch.full((carried.shape[1],), args.seam)]
    )
    target = nw.NoisePosterior(
        phi, operator, nw.likelihoods.Gaussian(sigma), y, observed=y.isfinite()
    )
    start, warmup, count = args.steps
    kernel, adapt, adam = (
        nw.Langevin(3e-6, adjust=True),
        nw.DualAveraging(),
        nw.Adam(start, lr=0.05),
    )
    run = nw.sample(
        target,
        kernel,
        count,
        args.chains // images,
        warmup,
        warm_start=adam,
        adapt=adapt,
        seed=seed,
    )
    summary = run.summary()
    keys = (
        "chi2",
        "z_norm2_per_dim",
        "r_hat_max",
        "ess_bulk_min",
        "acceptance_rate",
        "step_size",
        "nfe",
        "seconds",
    )
    return operator.metres(run.draws.flatten(0, 2)).reshape(args.chains, count, SIDE, SIDE), {
        key: float(summary[key]) for key in keys
    }


def scores(
    draws: Tensor, y: Tensor, truth: Tensor, hidden: Tensor, factor: int
) -> dict[str, float]:
    """Errors at the cells that were not given, in metres."""
    mean, std = draws.mean(0), draws.std(0)
    fits = {
        "posterior mean": mean,
        "one draw": draws[-1],
        **(interpolate_voids(y) if factor == 1 else interpolate_blocks(y, factor)),
    }
    found = {
        f"rmse, {name}": float((h - truth)[hidden].square().mean().sqrt())
        for name, h in fits.items()
    }
    error = (mean - truth).abs()[hidden]
    return {
        **found,
        "std": float(std[hidden].square().mean().sqrt()),
        "truth within 2 std": float((error < 2 * std[hidden]).double().mean()),
    }


def interpolate_voids(y: Tensor) -> dict[str, Tensor]:
    """Linear and piecewise cubic interpolation over a triangulation of the known cells; the nearest
    one's value outside of their hull."""
    from matplotlib.tri import CubicTriInterpolator, LinearTriInterpolator, Triangulation

    known = y.isfinite()
    near = (
        F.max_pool2d((~known)[None].float(), 9, 1, 4)[0] > 0
    )  # cells far from a void do not matter to it
    rows, columns = torch.where(known & near)
    values = y[rows, columns].double().numpy()
    triangles = Triangulation(columns.numpy(), rows.numpy())
    at_rows, at_columns = torch.where(~known)
    distance = torch.cdist(
        torch.stack([at_rows, at_columns], 1).float(), torch.stack([rows, columns], 1).float()
    )
    nearest = values[distance.argmin(1).numpy()]
    found = {}
    for name, make in (("linear", LinearTriInterpolator), ("bicubic", CubicTriInterpolator)):
        inside = make(triangles, values)(at_columns.numpy(), at_rows.numpy())
        found[name] = y.clone()
        found[name][~known] = torch.from_numpy(
            np.where(np.ma.getmaskarray(inside), nearest, np.ma.getdata(inside))
        ).float()
    return found


def interpolate_blocks(y: Tensor, factor: int) -> dict[str, Tensor]:
    """Bilinear and bicubic interpolation between the blocks' centres."""
    return {
        name: F.interpolate(y[None, None], scale_factor=factor, mode=mode, align_corners=False)[
            0, 0
        ]
        for name, mode in (("linear", "bilinear"), ("bicubic", "bicubic"))
    }


def report(name: str, result: dict[str, Any]) -> None:
    """Print one problem's numbers."""
    print(f"{name}, {result['seconds']:.0f} s")
    for number, tile in enumerate(result["tiles"]):
        print(
            f"  tile {number}: chi-square {tile['chi2']:.2f} per observed height, |z|^2 / d "
            f"{tile['z_norm2_per_dim']:.3f} (1 under the prior), "
            f"R-hat max {tile['r_hat_max']:.2f}, acceptance {tile['acceptance_rate']:.2f} at "
            f"step {tile['step_size']:.1e}"
        )
    for key, value in result.items():
        if key.startswith("rmse"):
            print(f"  {key[6:]:16} RMSE at hidden cells {value:7.2f} m")
    print(
        f"  draws' std there {result['std']:.2f} m; truth within 2 std of the mean at "
        f"{result['truth within 2 std']:.0%} of them (95 % if calibrated)",
        flush=True,
    )


def figure(path: Path, draws: Tensor, y: Tensor, truth: Tensor, factor: int) -> None:
    """Hillshades of truth, measurement, two draws and the mean, all lit alike; the uncertainty and
    the error in metres."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import LightSource

    mean, std = draws.mean(0), draws.std(0)
    source, low, high = LightSource(azdeg=315, altdeg=45), float(truth.min()), float(truth.max())
    shown = {
        "truth": truth,
        "given": y,
        "draw": draws[0],
        "another draw": draws[-1],
        "mean of draws": mean,
    }
    figure, axes = plt.subplots(
        2, 4, figsize=(4 * 3.2 * truth.shape[1] / truth.shape[0], 7), layout="constrained"
    )
    for axis, (title, h) in zip(axes.flat, shown.items(), strict=False):
        size = 90.0 * (truth.shape[1] / h.shape[1])
        image = source.shade(
            np.ma.masked_invalid(h.numpy()),
            plt.get_cmap("gist_earth"),
            blend_mode="soft",
            vmin=low,
            vmax=high,
            dx=size,
            dy=size,
            vert_exag=2,
        )
        axis.imshow(image, interpolation="nearest")
        axis.set_title(title)
    for axis, (title, h) in zip(
        axes.flat[5:],
        {"std of draws, m": std, "|mean - truth|, m": (mean - truth).abs()}.items(),
        strict=False,
    ):
        figure.colorbar(axis.imshow(h.numpy(), cmap="magma", vmin=0), ax=axis, shrink=0.7)
        axis.set_title(title)
    axes.flat[7].hist(draws.std(0).flatten().numpy(), bins=40)
    axes.flat[7].set(title="std of draws", xlabel="m", ylabel="cells")
    for axis in axes.flat[:7]:
        axis.set_axis_off()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
