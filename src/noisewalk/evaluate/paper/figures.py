"""The paper's figures, drawn from runs: 1 from a two-dimensional problem, 2 from measured times,
the others from the grid's stored samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from ...kernels.langevin import Langevin
from ...likelihoods import Gaussian
from ...maps import Mixture
from ...posterior import NoisePosterior
from ...sampling.sample import sample
from ...sampling.starts import Adam
from .grid import Bench, Grid, path_of
from .presets import LINEAR, METHODS, NONLINEAR, dataset_of
from .tables import GUIDED

WINDOW = 0.25
"""Side of figure 5's boxes as a share of the image's."""


@dataclass(frozen=True)
class Sheet:
    """A figure made of the grid's samples.

    Arguments:
        title: what it shows.
        tasks: which problems.
        methods: whose samples.
        samples: rows are images and show many samples with their mean and standard deviation;
            otherwise one sample of every method.
    """

    title: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    samples: bool = False


_POINT = (*GUIDED, "cmedit", "ours1-em", "ours2-em")
_BOTH = ("ours1-em", "ours2-em")
FIGURES: dict[str, dict[str, Sheet]] = {
    "figure3": {
        "figure3": Sheet(
            "Reconstructions, linear and nonlinear tasks", (*LINEAR, *NONLINEAR), _POINT
        )
    },
    "figure4": {"figure4": Sheet("Reconstructions, linear tasks", LINEAR, _POINT)},
    "figure5": {
        "figure5": Sheet(
            "Samples; green: certain, red: uncertain",
            ("inpaint", "nonlinear"),
            ("ours1-em", "ours1-exact"),
            True,
        )
    },
    "figuresA": {
        "figureA01": Sheet(
            "Reconstructions, inpainting and super-resolution", ("inpaint", "sr"), _BOTH
        ),
        "figureA02": Sheet("Reconstructions, Gaussian deblurring", ("blur",), _BOTH),
        "figureA04": Sheet(
            "Reconstructions, nonlinear deblurring and HDR", ("nonlinear", "hdr"), _BOTH
        ),
        "figureA05": Sheet("Reconstructions, phase retrieval", ("phase",), _BOTH),
        "figureA06": Sheet("Samples, inpainting", ("inpaint",), ("ours1-em",), True),
        "figureA07": Sheet("Samples, super-resolution", ("sr",), ("ours1-em",), True),
        "figureA08": Sheet("Samples, super-resolution, 2-step", ("sr",), ("ours2-em",), True),
        "figureA09": Sheet("Samples, nonlinear deblurring", ("nonlinear",), ("ours1-em",), True),
        "figureA10": Sheet("Samples, HDR", ("hdr",), ("ours1-em",), True),
        "figureA11": Sheet("Samples, phase retrieval", ("phase",), ("ours1-em",), True),
        "figureA12": Sheet("Samples, inpainting, larger step", ("inpaint",), ("diverse",), True),
        "figureA13": Sheet("Samples, super-resolution, larger step", ("sr",), ("diverse",), True),
        "figureA14": Sheet(
            "Samples, Gaussian deblurring, larger step", ("blur",), ("diverse",), True
        ),
    },
}
"""Figure A.3 is A.1 on ImageNet: one prior makes one of the two."""


def sheets_of(bench: Bench, sheets: dict[str, Sheet]) -> dict[str, Sheet]:
    """The sheets that a prior can make, under the paper's names; those without a cell are said and
    left out.

    Arguments:
        bench: whose prior.
        sheets: by name, some of `FIGURES`.

    Returns:
        The rest.

    Raises:
        ConfigError: nothing is left.
    """
    empty = [
        name
        for name, sheet in sheets.items()
        if not Grid(sheet.tasks, sheet.methods, 1, 1).blocks(bench)
    ]
    if len(empty) == len(sheets):
        raise ConfigError(
            f"{', '.join(empty)}: none of the cells exists for {bench.prior.name}: choose "
            "other --tasks or --methods"
        )
    for name in empty:
        method, task = METHODS[sheets[name].methods[0]], sheets[name].tasks[0]
        print(f"  {name} is not made: {bench.missing(method, task)}", flush=True)
    names = {"figureA01": "figureA03"} if dataset_of(bench.prior.name) == "imagenet64" else {}
    return {names.get(name, name): sheet for name, sheet in sheets.items() if name not in empty}


def draw_sheet(bench: Bench, sheet: Sheet, num_images: int, num_exact: int, path: Path) -> None:
    """Draw a figure from stored cells.

    Arguments:
        bench: the grid's.
        sheet: what to draw.
        num_images: rows of each task.
        num_exact: of the exact kernel.
        path: of the PNG.
    """
    lines, grid = [], Grid(sheet.tasks, sheet.methods, num_images, num_exact)
    for task in sheet.tasks:
        for image in range(num_images):
            held = {
                m: _arrays(path_of(bench, task, m, image))
                for m in sheet.methods
                if not bench.missing(METHODS[m], task) and image < grid.images_of(m)
            }
            if sheet.samples:
                lines += [
                    _samples_line(f"{bench.tasks[task].title}\n{METHODS[m].label}", arrays)
                    for m, arrays in held.items()
                ]
            elif held:
                first = next(iter(held.values()))
                pictures: list[tuple[str, Any, str]] = [
                    ("truth", first["truth"], ""),
                    ("measurement", _measurement(first), ""),
                ]
                pictures += [
                    (METHODS[m].label, held[m]["draws"][0], "")
                    if m in held
                    else (METHODS[m].label, None, "")
                    for m in sheet.methods
                ]
                lines.append((bench.tasks[task].title, pictures, []))
    _plot(lines, f"{sheet.title} ({bench.prior.name})", path)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path.with_suffix(".npz")) as held:
        return {name: held[name] for name in held.files}


def _measurement(arrays: dict[str, np.ndarray]) -> np.ndarray:
    y = arrays["y"]
    return (
        y
        if y.ndim == 3 and y.min() >= -3 and y.max() <= 3
        else 2 * (np.log1p(np.abs(y)) / np.log1p(np.abs(y)).max()) - 1
    )  # magnitudes, logarithmic


def _samples_line(
    title: str, arrays: dict[str, np.ndarray]
) -> tuple[str, list[tuple[str, Any, str]], list[tuple[int, int, int, str]]]:
    x = arrays["draws"]
    mean, std = x.mean(0), x.std(0, ddof=1).mean(0) if len(x) > 1 else np.zeros(x.shape[2:])
    shown = [
        (f"sample {k + 1}", x[k], "")
        for k in np.linspace(0, len(x) - 1, min(6, len(x))).round().astype(int)
    ]
    pictures = [
        ("truth", arrays["truth"], ""),
        ("measurement", _measurement(arrays), ""),
        *shown,
        ("mean", mean, ""),
        ("std", std[None], "magma"),
    ]
    return title, pictures, boxes(std, mean)


def boxes(std: np.ndarray, mean: np.ndarray) -> list[tuple[int, int, int, str]]:
    """Where the samples agree most and least.

    Arguments:
        std: (H, W) of the samples.
        mean: (C, H, W); the certain window is sought where it has structure, above its median
            contrast.

    Returns:
        (top, left, side, colour) of the most certain (green) and the least certain (red) window.
    """
    side = max(2, round(WINDOW * min(std.shape)))
    windows = np.lib.stride_tricks.sliding_window_view
    doubt = windows(std, (side, side)).mean((-2, -1))
    contrast = windows(mean.mean(0), (side, side)).std((-2, -1))
    sure = np.where(contrast >= np.median(contrast), doubt, np.inf)
    return [
        (*map(int, np.unravel_index(place, doubt.shape)), side, colour)
        for place, colour in ((sure.argmin(), "lime"), (doubt.argmax(), "red"))
    ]  # type: ignore[misc]


def _plot(lines: list[Any], title: str, path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    columns = max(len(pictures) for _, pictures, _ in lines)
    figure = Figure(figsize=(1.15 * columns + 0.8, 1.25 * len(lines) + 0.5), layout="constrained")
    axes = figure.subplots(len(lines), columns, squeeze=False)
    for row, (name, pictures, marked) in zip(axes, lines, strict=True):
        for axis in row:
            axis.set_axis_off()
        for axis, (head, values, colormap) in zip(row, pictures, strict=False):
            axis.set_title(head, fontsize=6)
            if values is None:
                axis.text(0.5, 0.5, "n/a", ha="center", va="center", fontsize=8)
                continue
            if colormap:
                axis.imshow(values[0], cmap=colormap, vmin=0, vmax=max(1e-6, float(values.max())))
            else:
                pixels = (np.moveaxis(values, 0, -1).clip(-1, 1) + 1) / 2
                axis.imshow(
                    pixels[..., 0] if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=1
                )
            for top, left, side, colour in marked if head not in ("truth", "measurement") else ():
                axis.add_patch(
                    Rectangle(
                        (left - 0.5, top - 0.5),
                        side,
                        side,
                        fill=False,
                        edgecolor=colour,
                        linewidth=1,
                    )
                )
        row[0].text(
            -0.15,
            0.5,
            name,
            rotation=90,
            ha="right",
            va="center",
            fontsize=6,
            transform=row[0].transAxes,
        )
    figure.suptitle(title, fontsize=8)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)


def figure1(path: Path, num_draws: int = 400, seed: int = 0) -> dict[str, float]:
    """Figure 1: Langevin dynamics in the noise space of a mixture's probability flow, and where its
    draws land in data space.

    Arguments:
        path: of the PNG.
        num_draws: of the chain.
        seed: of its noise.

    Returns:
        Numbers of the run: step size, acceptance it would have had, chi-square.
    """
    means = torch.tensor([[-2.0, -1.0], [2.0, -1.0], [0.0, 2.0]], dtype=torch.float64)
    phi, sigma = Mixture(means, std=0.4), 0.5
    direction = torch.tensor([[1.0], [0.6]], dtype=torch.float64)

    def operator(x: Tensor) -> Tensor:
        return x @ direction.to(x)

    target = NoisePosterior(
        phi, operator, Gaussian(sigma), torch.tensor([[1.2]], dtype=torch.float64)
    )
    run = sample(
        target, Langevin(0.02), num_draws, 1, warm_start=Adam(50, 0.05), seed=seed, progress=False
    )
    z, x = run.z[0, 0], run.draws[0, 0]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    for axis, points, title, density in zip(
        figure.subplots(1, 2),
        (z, x),
        (
            "noise space: z, and exp(-L(Phi(z)) - |z|^2 / 2)",
            "data space: x = Phi(z), prior (grey) and posterior",
        ),
        (
            lambda p: -target(p).nll - 0.5 * p.square().sum(1),
            lambda p: (
                phi.log_density(p) - Gaussian(sigma).nll(operator(p), target.y.expand(len(p), 1))
            ),
        ),
        strict=True,
    ):
        grid = torch.cartesian_prod(*(torch.linspace(-4, 4, 90, dtype=torch.float64),) * 2)
        a, b = grid.T.reshape(2, 90, 90).numpy()
        if points is x:
            axis.contour(
                a,
                b,
                phi.log_density(grid).exp().reshape(90, 90).numpy(),
                colors="0.75",
                linewidths=0.8,
            )
        values = density(grid).reshape(90, 90)
        axis.contourf(a, b, (values - values.max()).exp().numpy(), levels=8, cmap="Blues")
        axis.plot(points[:40, 0], points[:40, 1], "-", color="0.3", linewidth=0.6)
        axis.scatter(points[:, 0], points[:, 1], s=5, c=np.arange(len(points)), cmap="autumn")
        axis.set_title(title, fontsize=8)
        axis.set_aspect("equal")
    _save(figure, path)
    return {k: run.summary()[k] for k in ("step_size", "acceptance_rate", "chi2", "nfe", "seconds")}
