"""The processes that share one training: one, or several that torchrun or the like has started.

Every process takes its share of each batch, and all apply the mean of their gradients, so the
weights stay equal everywhere. Only the first process writes and prints.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...errors import ConfigError, MissingExtraError
from ..request import usable_device

PATIENCE = timedelta(days=2)  # while the first process makes the teacher's trajectories


@dataclass(frozen=True)
class Processes:
    """Those that train one network; without accelerate's `Accelerator` this one is alone."""

    device: torch.device
    accelerator: Any = None

    @property
    def count(self) -> int:
        """How many there are."""
        return 1 if self.accelerator is None else self.accelerator.num_processes

    @property
    def rank(self) -> int:
        """This one's number, from 0."""
        return 0 if self.accelerator is None else self.accelerator.process_index

    @property
    def first(self) -> bool:
        """Whether this one writes and prints."""
        return self.rank == 0

    def share(self, batch_size: int) -> int:
        """Images of a batch that each process takes."""
        if batch_size % self.count:
            shared = f"a batch of {batch_size} images cannot be shared evenly"
            multiple = f"choose a multiple of {self.count}"
            raise ConfigError(f"{shared} by {self.count} processes: {multiple}")
        return batch_size // self.count

    def prepare(self, network: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Any]:
        """What to call and what to step; all processes start from the first one's weights."""
        if self.accelerator is None:
            return network, optimizer
        return self.accelerator.prepare(network, optimizer, device_placement=[True, False])

    def backward(self, value: Tensor) -> None:
        """Compute the gradient of this process's loss, averaged over the processes."""
        if self.accelerator is None:
            value.backward()
        else:
            self.accelerator.backward(value)

    def mean(self, value: Tensor) -> float:
        """The mean of a scalar over the processes."""
        own = value.detach()
        return float(own if self.accelerator is None else self.accelerator.reduce(own, "mean"))

    @contextmanager
    def first_goes_ahead(self) -> Iterator[None]:
        """Let the others enter when the first process has left."""
        with nullcontext() if self.accelerator is None else self.accelerator.main_process_first():
            yield


ALONE = Processes(torch.device("cpu"))


@contextmanager
def join(device: str) -> Iterator[Processes]:
    """Join the processes that a launcher started; without one this process is alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(usable_device(device))
        return
    try:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs
    except ImportError as error:
        raise MissingExtraError("accelerate (for several processes)", "train") from error
    if device not in ("cpu", "cuda"):
        one = "several processes have one device each"
        raise ConfigError(f"{one}: give --device cpu or cuda, got {device!r}")
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if device == "cuda" and gpus < here:
        started = f"{here} processes were started for {gpus} GPUs"
        raise ConfigError(f"{started}: start one for each GPU, or give --device cpu")
    patient = InitProcessGroupKwargs(timeout=PATIENCE)
    cpu = device == "cpu"
    accelerator = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[patient])
    try:
        yield Processes(torch.device("cpu") if cpu else accelerator.device, accelerator)
    finally:
        accelerator.end_training()
