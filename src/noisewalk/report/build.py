"""`build_report`: the page, the pictures and the numbers of a run, written into its folder."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.ranges import ValueRange
from ..storage.remote import working
from ..storage.store import open_store
from .data import ReportData
from .files import write_files
from .html import render
from .pictures import pictures_of
from .read import read_report_data


def build_report(
    folder: str | Path, title: str | None = None, value_range: tuple[float, float] | None = None
) -> Path:
    """Write the report of a run into its folder.

    The files are report.html, summary.json, the pictures samples.png, mean.png and std.png, and
    the arrays mean.npy and std.npy, (C, H, W) or (image, C, H, W) in the unit of `value_range`.
    A failure leaves the old report. The report makes no network call.

    Arguments:
        folder: of a run, finished or not, of the command line or `nw.sample(..., store=folder)`, or
            its address.
        title: one line that names the problem; None: the run's own.
        value_range: what -1 and 1 stand for; None: the run's own, or (-1, 1) where it has none.

    Returns:
        The path of report.html, for an address in a local copy.

    Raises:
        StoreError: the folder holds no run with a draw, or cannot be written to.
        ConfigError: the images are not (C, H, W), or a fact of the run has a wrong type.

    Example:
        >>> import tempfile, torch, noisewalk as nw
        >>> phi, y = nw.maps.Warp((1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
        >>> target = nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(0.1), y)
        >>> with tempfile.TemporaryDirectory() as store:
        ...     run = nw.sample(target, nw.EllipticalSlice(), 4, 2, store=store, progress=False)
        ...     nw.report.build_report(store, "A warped field", (0.0, 10.0)).name
        'report.html'
    """
    with working(folder, writes=False) as place:
        return _build(place.folder, title, value_range)


def _build(folder: Path, title: str | None, value_range: tuple[float, float] | None) -> Path:
    """The report of a run in a folder."""
    data, summary = read_report_data(folder, title, value_range)
    middle, half = _unit(folder, data[0], value_range is not None)
    contents = {
        "summary.json": (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode(),
        **pictures_of(data),
        "mean.npy": _array(middle, half, [one.mean for one in data], data[0].bottom_up),
        "std.npy": _array(0.0, np.abs(half), [one.std for one in data], data[0].bottom_up),
        "report.html": render(data).encode(),
    }
    write_files(folder, contents)
    return folder / "report.html"


def _unit(folder: Path, data: ReportData, given: bool) -> tuple[Any, Any]:
    """What 0 and a difference of 1 stand for in the arrays, by band where the run has it so."""
    bands = open_store(folder).spec.get("problem", {}).get("band_range")
    if bands is not None and not given:
        unit = ValueRange.by_band(bands)
        return unit.middle, unit.half
    low, high, _ = data.value_range
    return (low + high) / 2, (high - low) / 2


def _array(middle: Any, half: Any, values: Sequence[np.ndarray], bottom_up: bool) -> bytes:
    """A .npy file of the values of every image in the file's unit and in the order of its rows,
    without the image axis if there is one alone."""
    stacked = np.asarray(middle) + np.asarray(half) * np.stack(values)
    stacked = (stacked[..., ::-1, :] if bottom_up else stacked).astype(np.float32)
    buffer = io.BytesIO()
    np.save(buffer, stacked[0] if len(values) == 1 else stacked)
    return buffer.getvalue()
