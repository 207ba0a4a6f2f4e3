"""What a run says, in the unit of the file that its measurement came from."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import __version__
from ..errors import ConfigError, MissingExtraError
from ..evaluate.diagnostics.boxes import OneImage
from ..files.export import Result, write_result
from ..files.georeference import Georeference
from ..files.measurement import Measurement
from ..files.ranges import UNSCALED, ValueRange
from ..likelihoods.parser import KINDS
from .maps import QUANTILES, quantiles_of

if TYPE_CHECKING:
    from .run import Run

WORDS = "mean, std, quantiles, draws or 'probability: x > 0.2'"
EVENT = re.compile(r"probability:\s*x\s*(<=|>=|<|>)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*")


def export(run: "Run", path: str | Path, what: str, like: Measurement | None) -> None:
    """Write what `Run.export` writes."""
    path, result = Path(path), result_of(run, what, like)
    known = None if like is None else like.georeference
    lost = known is not None and result.place == Georeference(known.format) != known
    if like is not None and lost:
        raise ConfigError(
            f"x has {tuple(run.draws.shape[-2:])} pixels and the measurement of `like` "
            f"{tuple(like.y.shape[-2:])}, so the place of x is not known: give a `like` with x's "
            "own place, dataclasses.replace(like, y=run.mean, "
            "georeference=like.georeference.finer(factor, top, left))"
        )
    if path.suffix.lower() not in (".nc", ".zarr"):
        return write_result(path, result)
    if path.is_dir():
        raise ConfigError(f"{path} exists, and would be lost: give another name, or remove it")
    given = dataset_of(run, like) if what == "draws" else _dataset_of_parts(result)
    try:
        if path.suffix.lower() == ".zarr":  # format 2 has a specification for texts
            import zarr

            with zarr.config.set({"async.concurrency": 1}):  # one error, not one of each chunk
                given.to_zarr(path, mode="w", zarr_format=2, consolidated=True)
        else:
            given.to_netcdf(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    except ValueError as error:  # xarray has nothing that writes this format
        raise ConfigError(f"{path} cannot be written: {error}") from error


def result_of(run: "Run", what: str, like: Measurement | None) -> Result:
    """The arrays of a word, with their unit and their place."""
    scale, unit, place = origin_of(run, like)
    mean = run.mean
    parts: dict[str, Any] = {}
    if what == "mean":
        parts = {"mean": scale.from_unit(mean)}
    elif what == "std":
        parts = {"std": scale.half * run.std.double()}
    elif what == "draws":
        parts = {"draws": scale.from_unit(run.draws[...].flatten(1, 2))}
    elif what == "quantiles":
        each = [quantiles_of(OneImage(run.draws, i)) for i in range(len(mean))]
        found = scale.from_unit(torch.stack(each, 1))
        parts = {f"Q{100 * q:02.0f}": x for q, x in zip(QUANTILES, found, strict=True)}
    elif event := EVENT.fullmatch(what):
        parts = {"probability": _share(run, scale, event[1], float(event[2]))}
        unit = ""
    else:
        raise ConfigError(f"unknown what {what!r}: choose one of {WORDS}")
    kind = torch.float64 if mean.dtype == torch.float64 else torch.float32
    arrays = {name: x.to(kind).cpu().numpy() for name, x in parts.items()}
    count = run.draws.shape[1] * run.draws.shape[2]
    history = [f"noisewalk {__version__}: {what} of {count} posterior draws"]
    history += [str(run.spec["command"])] if "command" in run.spec else []
    return Result(what.split(":")[0], arrays, place, unit, history, mean.cpu().numpy())


def _share(run: "Run", scale: ValueRange, sign: str, bound: float) -> torch.Tensor:
    """The share of the draws for which the value compares so with the bound."""
    compare = {"<": torch.lt, "<=": torch.le, ">": torch.gt, ">=": torch.ge}[sign]
    draws = run.draws
    if not draws.shape[2]:
        raise ConfigError("the run has no draws yet: no probability")
    each = (compare(scale.from_unit(draws[:, :, k]), bound) for k in range(draws.shape[2]))
    return sum(one.double().mean(1) for one in each) / draws.shape[2]


def origin_of(run: "Run", like: Measurement | None) -> tuple[ValueRange, str, Georeference | None]:
    """What -1 and 1 stand for, the unit, and the place of x."""
    if like is not None:
        place = like.georeference
        if place is not None and tuple(like.y.shape[-2:]) != tuple(run.draws.shape[-2:]):
            factor = run.draws.shape[-1] // like.y.shape[-1]
            same = tuple(factor * n for n in like.y.shape[-2:]) == tuple(run.draws.shape[-2:])
            place = place.finer(factor) if same else Georeference(place.format)
        return like.range, like.unit, place
    facts = run.spec.get("problem", {})
    low, high = facts.get("range", (-1.0, 1.0))
    scale = ValueRange(low, high) if (low, high) != (-1.0, 1.0) else UNSCALED
    if "band_range" in facts:
        scale = ValueRange.by_band(facts["band_range"])
    place = facts.get("georeference")
    return scale, facts.get("unit", ""), place and Georeference.from_facts(place)


def dataset_of(run: "Run", like: Measurement | None = None) -> Any:
    """The xarray.Dataset of `Run.to_xarray`."""
    xarray = _xarray()
    scale, unit, place = origin_of(run, like)
    values = scale.from_unit(run.draws[...]).float().cpu().numpy()
    if values.ndim != 6:
        raise ConfigError(f"to_xarray takes images (C, H, W), got {tuple(values.shape[3:])}")
    dims = ("image", "chain", "draw", "band", "y", "x")
    held: dict[str, Any] = {"draws": (dims, values, {"units": unit} if unit else {})}
    if run.y is not None:
        own, told = _measured(run, scale, unit)
        same = own.shape[1:] == values.shape[3:]
        more = tuple(f"measurement_{i}" for i in range(own.ndim - 1))
        names = ("image", *(("band", "y", "x") if same else more))
        held["measurement"] = (names, own, told)
    return xarray.Dataset(held, *_grid(dims, values.shape, place))


def observed_y(run: "Run") -> torch.Tensor:
    """y (image, *y), NaN where it is not observed, of a run that knows it."""
    y = run.y
    assert y is not None
    if run.observed is None:
        return y
    return y.double().masked_fill(~run.observed.expand(y.shape).to(y.device), torch.nan)


def is_counted(run: "Run") -> bool:
    """Whether y is a number of counts, which stays what it is in the file."""
    name = run.spec.get("likelihood", {}).get("name")
    return any(one.counts for one in KINDS if one.__name__ == name)


def _measured(run: "Run", scale: ValueRange, unit: str) -> tuple[np.ndarray, dict[str, str]]:
    """y, NaN where it is not observed, with its unit as far as it is known."""
    y = observed_y(run)
    alike = y.shape[1:-2] == run.draws.shape[3:-2] and "problem" in run.spec
    if is_counted(run):
        told = {"units": "counts"}
    elif alike:
        y, told = scale.from_unit(y), {"units": unit} if unit else {}
    else:
        told = {"scale": "that of A(x), for x in [-1, 1]"}
    return y.float().cpu().numpy(), told


def _grid(
    dims: Sequence[str], shape: Sequence[int], place: Georeference | None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Coordinates of the axes, the last of which are band, y and x, and the reference system."""
    found = {name: np.arange(n) for name, n in zip(dims, shape, strict=True)}
    if place is None:
        return found, {}
    if len(place.bands) == shape[-3]:
        found["band"] = np.array(place.bands)
    return found | place.axes(tuple(shape[-2:])), {"crs": place.crs} if place.crs else {}


def _dataset_of_parts(result: Result) -> Any:
    dims = ("image", "band", "y", "x")
    unit = {"units": result.unit} if result.unit else {}
    shape = next(iter(result.parts.values())).shape
    arrays = {name: (dims, x, unit) for name, x in result.parts.items()}
    return _xarray().Dataset(arrays, *_grid(dims, shape, result.place))


def _xarray() -> Any:
    try:
        import xarray
    except ImportError as error:
        raise MissingExtraError("xarray", "arviz") from error
    return xarray
