"""Where work runs: in this process, in others, on a Ray cluster or under Slurm."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .engine import Engine
    from .processes import Processes
    from .ray import Ray
    from .serial import Serial
    from .slurm import Slurm

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "engine": "Engine",
        "processes": "Processes",
        "ray": "Ray",
        "serial": "Serial",
        "slurm": "Slurm",
    },
)
