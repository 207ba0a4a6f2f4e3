"""Figures 1, 3 to 5 and those of the appendix: sheets of pictures, drawn from a grid's samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ...errors import ConfigError
from .bench import Bench
from .grid import Grid
from .methods import GUIDED, METHODS
from .presets import dataset_of
from .table_cells import path_of, read_arrays
from .tasks import LINEAR, TASKS

WINDOW = 0.25  # side of figure 5's boxes as a share of the image's
MOST_SHOWN = 6  # samples of an image in a row
Box: TypeAlias = tuple[int, int, int, str]
"""A square window of an image: top, left, side, colour."""


@dataclass(frozen=True)
class Sheet:
    """A figure: of every image a sample of each method, or, if `samples`, many of one method."""

    title: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    samples: bool = False


class Picture(NamedTuple):
    """One picture of a row; without pixels it says n/a."""

    head: str
    pixels: np.ndarray | None
    colormap: str = ""


class Row(NamedTuple):
    """A row of a sheet; the boxes are drawn on the samples, their mean and deviation."""

    title: str
    pictures: list[Picture]
    boxes: list[Box]


def _point(title: str, *tasks: str) -> Sheet:
    return Sheet(f"Reconstructions, {title}", tasks, ("ours1-em", "ours2-em"))


def _many(title: str, task: str, method: str = "ours1-em") -> Sheet:
    return Sheet(f"Samples, {title}", (task,), (method,), True)


_ALL = (*GUIDED, "cmedit", "ours1-em", "ours2-em")
_TITLE1 = "Samples of our method and of DPS; green: certain, red: uncertain"
_TITLE5, _KERNELS = "Samples; green: certain, red: uncertain", ("ours1-em", "ours1-exact")
FIGURES: dict[str, dict[str, Sheet]] = {
    "figure1": {"figure1-draws": Sheet(_TITLE1, ("inpaint",), ("ours1-em", "dps-dm"), True)},
    "figure3": {"figure3": Sheet("Reconstructions, linear and nonlinear tasks", TASKS, _ALL)},
    "figure4": {"figure4": Sheet("Reconstructions, linear tasks", LINEAR, _ALL)},
    "figure5": {"figure5": Sheet(_TITLE5, ("inpaint", "nonlinear"), _KERNELS, True)},
    "figuresA": {
        "figureA01": _point("inpainting and super-resolution", "inpaint", "sr"),
        "figureA02": _point("Gaussian deblurring", "blur"),
        "figureA04": _point("nonlinear deblurring and HDR", "nonlinear", "hdr"),
        "figureA05": _point("phase retrieval", "phase"),
        "figureA06": _many("inpainting", "inpaint"),
        "figureA07": _many("super-resolution", "sr"),
        "figureA08": _many("super-resolution, 2-step", "sr", "ours2-em"),
        "figureA09": _many("nonlinear deblurring", "nonlinear"),
        "figureA10": _many("HDR", "hdr"),
        "figureA11": _many("phase retrieval", "phase"),
        "figureA12": _many("inpainting, larger step", "inpaint", "diverse"),
        "figureA13": _many("super-resolution, larger step", "sr", "diverse"),
        "figureA14": _many("Gaussian deblurring, larger step", "blur", "diverse"),
    },
}
"""By command, then by name. Figure A.3 is A.1 on ImageNet: one prior makes one of the two."""


def sheets_of(bench: Bench, sheets: dict[str, Sheet]) -> dict[str, Sheet]:
    """The sheets that a prior can make, under the paper's names; others are reported, left out."""
    grids = {name: Grid(sheet.tasks, sheet.methods, 1, 1) for name, sheet in sheets.items()}
    empty = [name for name, grid in grids.items() if not grid.blocks(bench)]
    if len(empty) == len(sheets):
        lacking = f"none of the cells exists for {bench.prior.name}"
        raise ConfigError(f"{', '.join(empty)}: {lacking}: choose other --tasks or --methods")
    for name in empty:
        method, task = METHODS[sheets[name].methods[0]], sheets[name].tasks[0]
        print(f"  {name} is not made: {bench.missing(method, task)}", flush=True)
    names = {"figureA01": "figureA03"} if dataset_of(bench.prior.name) == "imagenet64" else {}
    return {names.get(name, name): sheet for name, sheet in sheets.items() if name not in empty}


def draw_sheet(bench: Bench, sheet: Sheet, num_images: int, num_exact: int, path: Path) -> None:
    """Draw a figure from stored cells: the images of each task, `num_exact` of the exact kernel."""
    grid = Grid(sheet.tasks, sheet.methods, num_images, num_exact)
    places = product(sheet.tasks, range(num_images))
    rows = [row for place in places for row in _rows(bench, sheet, grid, *place)]
    _plot(rows, f"{sheet.title} ({bench.prior.name})", path)


def boxes(std: np.ndarray, mean: np.ndarray) -> list[Box]:
    """Where the samples agree most, among windows of contrast, and least: the green and the red."""
    side = max(2, round(WINDOW * min(std.shape)))
    windows = np.lib.stride_tricks.sliding_window_view
    doubt = windows(std, (side, side)).mean((-2, -1))
    contrast = windows(mean.mean(0), (side, side)).std((-2, -1))
    sure = np.where(contrast >= np.median(contrast), doubt, np.inf)
    places = ((sure.argmin(), "lime"), (doubt.argmax(), "red"))
    return [(*divmod(int(place), doubt.shape[1]), side, colour) for place, colour in places]


def _rows(bench: Bench, sheet: Sheet, grid: Grid, task: str, image: int) -> Iterator[Row]:
    """What a sheet shows of one image."""
    held = {
        m: read_arrays(path_of(bench, task, m, image))
        for m in sheet.methods
        if not bench.missing(METHODS[m], task) and image < grid.images_of(m)
    }
    title = bench.tasks[task].title
    if sheet.samples:
        for m, arrays in held.items():
            yield _samples_row(f"{title}\n{METHODS[m].label}", arrays)
    elif held:
        first = {m: arrays["draws"][0] for m, arrays in held.items()}
        drawn = [Picture(METHODS[m].label, first.get(m)) for m in grid.methods]
        yield Row(title, _given(next(iter(held.values()))) + drawn, [])


def _samples_row(title: str, arrays: dict[str, np.ndarray]) -> Row:
    x = arrays["draws"]
    mean, std = x.mean(0), x.std(0, ddof=1).mean(0) if len(x) > 1 else np.zeros(x.shape[2:])
    places = np.linspace(0, len(x) - 1, min(MOST_SHOWN, len(x))).round().astype(int)
    shown = [Picture(f"sample {k + 1}", x[k]) for k in places]
    about = [Picture("mean", mean), Picture("std", std[None], "magma")]
    return Row(title, _given(arrays) + shown + about, boxes(std, mean))


def _given(arrays: dict[str, np.ndarray]) -> list[Picture]:
    """The truth and the measurement; magnitudes are shown as logarithms."""
    y = arrays["y"]
    if y.ndim != 3 or y.min() < -3 or y.max() > 3:
        y = 2 * (np.log1p(np.abs(y)) / np.log1p(np.abs(y)).max()) - 1
    return [Picture("truth", arrays["truth"]), Picture("measurement", y)]


def _plot(rows: list[Row], title: str, path: Path) -> None:
    from matplotlib.figure import Figure

    columns = max(len(row.pictures) for row in rows)
    figure = Figure(figsize=(1.15 * columns + 0.8, 1.25 * len(rows) + 0.5), layout="constrained")
    for line, row in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, picture in zip(line, row.pictures, strict=False):
            _show(axis, picture)
            if picture.pixels is not None and picture.head not in ("truth", "measurement"):
                _mark(axis, row.boxes)
        style: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 6}
        line[0].text(-0.15, 0.5, row.title, transform=line[0].transAxes, **style)
    figure.suptitle(title, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)


def _show(axis: Any, picture: Picture) -> None:
    head, values, colormap = picture
    axis.set_title(head, fontsize=6)
    if values is None:
        axis.text(0.5, 0.5, "n/a", ha="center", va="center", fontsize=8)
    elif colormap:
        axis.imshow(values[0], cmap=colormap, vmin=0, vmax=max(1e-6, float(values.max())))
    else:
        pixels = (np.moveaxis(values, 0, -1).clip(-1, 1) + 1) / 2
        grey = pixels.shape[-1] == 1
        axis.imshow(pixels[..., 0] if grey else pixels, cmap="gray", vmin=0, vmax=1)


def _mark(axis: Any, marked: list[Box]) -> None:
    from matplotlib.patches import Rectangle

    for top, left, side, colour in marked:
        corner = (left - 0.5, top - 0.5)
        axis.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=1))
