"""Draws in memory, with the interface of `RunStore`."""

from typing import Any

import torch
from torch import Tensor

from ..types import Info, State


class MemoryStore:
    """Draws in memory, with the interface of `RunStore`."""

    def __init__(self, num_images: int, num_chains: int) -> None:
        self._rows = (num_images, num_chains)
        self._draws: list[dict[str, Tensor]] = []
        self.sampler: dict[str, Any] | None = None

    def append(
        self, state: State, info: Info, sampler: dict[str, Any], extras: dict[str, Tensor]
    ) -> None:
        """Keep one draw."""
        values = {"x": state.x, "z": state.z, "nll": state.nll, **info._asdict(), **extras}
        self._draws.append({k: v.reshape(*self._rows, *v.shape[1:]) for k, v in values.items()})
        self.sampler = sampler

    def checkpoint(self, sampler: dict[str, Any]) -> None:
        """Keep the loop's state."""
        self.sampler = sampler

    def cursor(self) -> tuple[int, dict[str, Any] | None]:
        """Draws kept, and the loop's state."""
        return len(self._draws), self.sampler

    @property
    def num_draws(self) -> int:
        """Draws kept."""
        return len(self._draws)

    def mark_complete(self) -> None:
        """Nothing to commit."""

    @property
    def arrays(self) -> dict[str, Tensor]:
        """(image, chain, draw, ...) by name."""
        return {k: torch.stack([d[k] for d in self._draws], 2) for k in self._draws[0]}
