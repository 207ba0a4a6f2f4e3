"""The processes that share one training: this one alone, or those that a launcher such as torchrun
started, joined by accelerate.

Data parallel: of each step's batch every process takes its share, and all apply the mean of their
gradients, so the weights stay equal everywhere. The first process alone writes and prints.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConfigError, MissingExtraError

PATIENCE = timedelta(days=2)
"""How long processes wait for the first one while it makes the teacher's trajectories."""


@dataclass(frozen=True)
class Processes:
    """Those that train one network.

    Arguments:
        device: of this process.
        accelerator: accelerate's `Accelerator`; None: this process is alone.
    """

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
        """Images of a batch that each process takes.

        Arguments:
            batch_size: of all together.

        Returns:
            Its part.

        Raises:
            ConfigError: the batch cannot be shared evenly.
        """
        if batch_size % self.count:
            raise ConfigError(
                f"a batch of {batch_size} images cannot be shared evenly by {self.count} "
                f"processes: choose a multiple of {self.count}"
            )
        return batch_size // self.count

    def prepare(
        self, network: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[nn.Module, Any]:
        """Tie network and optimiser to those of the other processes; all start from the first one's
        weights.

        Arguments:
            network: on this process's device.
            optimizer: of its weights.

        Returns:
            What to call and what to step; the weights are shared with the arguments.
        """
        if self.accelerator is None:
            return network, optimizer
        return self.accelerator.prepare(network, optimizer, device_placement=[True, False])

    def backward(self, value: Tensor) -> None:
        """Compute the gradient, averaged over the processes.

        Arguments:
            value: this process's loss.
        """
        if self.accelerator is None:
            value.backward()
        else:
            self.accelerator.backward(value)

    def mean(self, value: Tensor) -> float:
        """Average over the processes.

        Arguments:
            value: a scalar.

        Returns:
            The mean, the same everywhere.
        """
        return float(
            value.detach()
            if self.accelerator is None
            else self.accelerator.reduce(value.detach(), "mean")
        )

    @contextmanager
    def first_goes_ahead(self) -> Iterator[None]:
        """The others enter when the first process has left.

        Yields:
            Once.
        """
        if self.accelerator is None:
            yield
        else:
            with self.accelerator.main_process_first():
                yield


ALONE = Processes(torch.device("cpu"))
"""One process on the CPU."""


@contextmanager
def join(device: str) -> Iterator[Processes]:
    """Join the processes that a launcher started; without one this process is alone.

    Arguments:
        device: "cpu" or "cuda" (with several processes one GPU each), or one GPU of this process
            alone, "cuda:1".

    Yields:
        The processes.

    Raises:
        ConfigError: a device that cannot be used here.
        MissingExtraError: several processes without accelerate.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(_usable(device))
        return
    try:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs
    except ImportError as error:
        raise MissingExtraError("accelerate (for several processes)", "train") from error
    if device not in ("cpu", "cuda"):
        raise ConfigError(
            f"several processes have one device each: give --device cpu or cuda, got {device!r}"
        )
    if device == "cuda" and torch.cuda.device_count() < (
        here := int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    ):
        raise ConfigError(
            f"{here} processes were started for {torch.cuda.device_count()} GPUs: start one "
            "for each GPU, or give --device cpu"
        )
    accelerator = Accelerator(
        cpu=device == "cpu",
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    try:
        yield Processes(torch.device("cpu") if device == "cpu" else accelerator.device, accelerator)
    finally:
        accelerator.end_training()


def _usable(device: str) -> torch.device:
    try:
        torch.zeros(1, device=device).item()
        return torch.device(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {device!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error
