"""A run as ArviZ sees it."""

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import MissingExtraError

if TYPE_CHECKING:
    from .run import Run

UNITS = {
    "x": {"units": "1", "long_name": "image, on the scale of [-1, 1]"},
    "z": {"units": "1", "long_name": "position in noise space, N(0, I) under the prior"},
    "y": {"units": "1", "long_name": "measurement, on the scale of [-1, 1], or counts"},
    "lp": {"units": "nat", "long_name": "log posterior density of z, up to a constant"},
    "acceptance_rate": {"units": "1", "long_name": "probability of acceptance"},
    "step_size": {"units": "1", "long_name": "step size of the kernel"},
}


def tree_of(run: "Run") -> Any:
    """The xarray.DataTree of `Run.to_arviz`."""
    try:
        import arviz_base
    except ImportError as error:
        raise MissingExtraError("arviz-base", "arviz") from error

    def chains_first(name: str) -> Any:
        return _numpy(run.arrays[name][...].movedim(0, 2))

    told = ("acceptance_rate", "accepted", "diverging", "step_size")
    stats = {name: chains_first(name) for name in told if name in run.arrays}
    if {"nll", "z"} <= run.arrays.keys():
        stats["lp"] = run.lp.movedim(0, 2).cpu().numpy()
    there = [name for name in ("x", "z") if name in run.arrays]
    data: dict[str, Any] = {"posterior": {name: chains_first(name) for name in there}}
    dims = {name: ["image"] for name in stats}
    dims |= {name: ["image", *_axes(name, run.arrays[name].ndim - 3)] for name in there}
    if stats:
        data["sample_stats"] = stats
    if run.y is not None:
        data["observed_data"] = {"y": _numpy(run.y)}
        dims["y"] = ["image", *_axes("y", run.y.ndim - 1)]
    with warnings.catch_warnings():  # many short chains are meant
        warnings.filterwarnings("ignore", "Found chain dimension to be longer")
        tree = arviz_base.from_dict(data, dims=dims)
    for group in tree.children.values():
        for name, variable in group.data_vars.items():
            variable.attrs.update(UNITS.get(str(name), {}))
    return tree


def _numpy(x: Tensor) -> Any:
    """As an array; numpy has no bfloat16."""
    return (x.float() if x.dtype == torch.bfloat16 else x).cpu().numpy()


def _axes(name: str, count: int) -> list[str]:
    """The names of the axes of x, z or y: those of images for three."""
    known = ("band", "row", "column") if count == 3 else tuple(map(str, range(count)))
    return [f"{name}_{axis}" for axis in known]
