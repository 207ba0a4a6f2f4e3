"""Draws in memory, with the interface of a `RunStore`."""

from typing import Any

import torch
from torch import Tensor

from ..types import Info, SamplerState, State


class MemoryStore:
    """Where draws go without a folder."""

    def __init__(self, num_images: int, num_chains: int) -> None:
        self._rows = (num_images, num_chains)
        self._draws: list[dict[str, Tensor]] = []
        self.sampler: dict[str, Any] | None = None
        self.fixed: dict[str, Tensor] = {}

    @property
    def num_draws(self) -> int:
        """Draws kept."""
        return len(self._draws)

    @property
    def arrays(self) -> dict[str, Tensor]:
        """(image, chain, draw, ...) by name; empty before the first draw."""
        names = self._draws[0] if self._draws else ()
        return {name: torch.stack([draw[name] for draw in self._draws], 2) for name in names}

    def append(
        self, state: State, info: Info, sampler: SamplerState, extras: dict[str, Tensor]
    ) -> None:
        """Keep one draw and the sampler's state."""
        values = {"x": state.x, "z": state.z, "nll": state.nll, **info._asdict(), **extras}
        kept = {k: v.reshape(*self._rows, *v.shape[1:]).clone() for k, v in values.items()}
        self._draws.append(kept)
        self.sampler = sampler

    def checkpoint(self, sampler: SamplerState) -> None:
        """Keep the sampler's state alone."""
        self.sampler = sampler

    def keep(self, arrays: dict[str, Tensor]) -> None:
        """Keep tensors beside the draws."""
        self.fixed.update(arrays)

    def cursor(self) -> tuple[int, SamplerState | None]:
        """Draws kept, and the sampler's state to go on from."""
        return self.num_draws, self.sampler

    def mark_complete(self) -> None:
        """Do nothing: a run in memory counts its draws."""
