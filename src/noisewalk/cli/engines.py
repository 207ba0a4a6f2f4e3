"""From the options --engine, --workers, --address and --partition to an engine."""

from typing import TYPE_CHECKING, Any

from .._checks import one_of
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..engines import Engine

OWNERS = {"workers": "process", "address": "ray", "partition": "slurm"}
"""The engine that reads an option."""


def engine_named_by(options: Any) -> "Engine | None":
    """The engine of a command's options, with a GPU a worker unless --device is cpu."""
    o, num_gpus = options, 0 if options.device == "cpu" else 1
    return engine_of(o.engine, o.workers, o.address, o.partition, num_gpus=num_gpus)


def engine_of(
    name: str | None,
    workers: int | None = None,
    address: str | None = None,
    partition: str | None = None,
    num_threads: int = 1,
    num_gpus: int = 0,
) -> "Engine | None":
    """The engine of the command line; None where none is named."""
    given = {"workers": workers, "address": address, "partition": partition}
    for option, value in given.items():
        if value is not None and name != OWNERS[option]:
            raise ConfigError(f"--{option} is for --engine {OWNERS[option]}: give it, or leave out")
    if name is None:
        return None
    from .. import engines

    one_of("--engine", name, ("serial", "process", "ray", "slurm"))
    if name == "serial":
        return engines.Serial(num_threads)
    if name == "process":
        return engines.Processes(workers, num_threads)
    if name == "ray":
        return engines.Ray(address or "auto", num_gpus, num_threads)
    return engines.Slurm(partition, num_gpus, num_threads=num_threads)
