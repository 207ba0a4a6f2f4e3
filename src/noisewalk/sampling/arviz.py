"""A run as ArviZ sees it."""

from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError

if TYPE_CHECKING:
    from .run import Run


def tree_of(run: "Run") -> Any:
    """The xarray.DataTree of `Run.to_arviz`."""
    try:
        import arviz_base
    except ImportError as error:
        raise MissingExtraError("arviz-base", "arviz") from error

    def chains_first(name: str) -> Any:
        return run.arrays[name][...].movedim(0, 2).cpu().numpy()

    told = ("acceptance_rate", "accepted", "diverging", "step_size")
    stats = {name: chains_first(name) for name in told if name in run.arrays}
    if {"nll", "z"} <= run.arrays.keys():
        stats["lp"] = run.lp.movedim(0, 2).cpu().numpy()
    there = [name for name in ("x", "z") if name in run.arrays]
    data: dict[str, Any] = {"posterior": {name: chains_first(name) for name in there}}
    if stats:
        data["sample_stats"] = stats
    if run.y is not None:
        data["observed_data"] = {"y": run.y.cpu().numpy()}
    dims = {name: ["image"] for name in stats}
    for name in there:
        dims[name] = ["image", *(f"{name}_{i}" for i in range(run.arrays[name].ndim - 3))]
    return arviz_base.from_dict(data, dims=dims)
