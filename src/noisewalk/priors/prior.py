"""`Prior`: a pretrained network with its card, from which the maps Phi are made."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..errors import ConfigError
from ..maps.consistency import Consistency
from ..maps.generator import Generator
from ..maps.ode import ProbabilityFlow
from .denoiser import NetworkDenoiser


@dataclass(frozen=True, eq=False)
class Prior:
    """A generative prior.

    Arguments:
        name: as given to `load_prior`.
        card: licence, data, sha256, noise range, how it was made, measured quality.
        denoiser: f(x_t, sigma) -> x_0; None for a plain generator.
        module: a plain generator's network z -> x, else None.
    """

    name: str
    card: Mapping[str, Any]
    denoiser: NetworkDenoiser | None
    module: nn.Module | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one x, (C, H, W)."""
        return tuple(self.card["shape"] if self.denoiser is None else self.denoiser.shape)

    def __repr__(self) -> str:
        return (
            f"Prior({self.name!r}, "
            f"kind={'generator' if self.denoiser is None else self.denoiser.kind!r}, "
            f"shape={self.shape})"
        )

    def map(
        self,
        num_steps: int = 1,
        midpoint: float | None = None,
        seed: int = 0,
        checkpoint: bool = False,
    ) -> Consistency | Generator:
        """The map from noise to images: a consistency model's, or the generator itself.

        Arguments:
            num_steps: 1 or 2 network calls.
            midpoint: noise level t of the second call; None takes the card's.
            seed: of the two-step map's frozen noise.
            checkpoint: less memory in the backward pass for one more forward pass; the same
                numbers.

        Returns:
            A NoiseMap.

        Raises:
            ConfigError: another number of steps, or a prior that is no consistency model.
        """
        if self.module is not None:
            if num_steps != 1 or midpoint is not None or checkpoint:
                raise ConfigError(
                    f"{self.name} is a generator of one network call: leave num_steps, "
                    "midpoint and checkpoint out"
                )
            return Generator(self.module, tuple(self.card["latent_shape"]), self.shape)
        if self.denoiser is None or self.denoiser.kind != "consistency":
            raise ConfigError(
                f"{self.name} is a diffusion model (edm), which has no one- or two-step map: "
                "use prior.ode_map()"
            )
        if num_steps not in (1, 2):
            raise ConfigError(f"num_steps must be 1 or 2, got {num_steps}")
        denoiser = replace(self.denoiser, checkpoint=True) if checkpoint else self.denoiser
        if num_steps == 1:
            if midpoint is not None:
                raise ConfigError(
                    "midpoint belongs to the two-step map: set num_steps=2 or leave it out"
                )
            return Consistency(denoiser)
        t = midpoint if midpoint is not None else self.card.get("midpoint")
        if t is None:
            raise ConfigError(
                f"the card of {self.name} names no midpoint for the two-step map: give midpoint="
            )
        return Consistency(denoiser, (float(t),), seed)

    def ode_map(
        self, num_steps: int = 18, solver: str = "heun", gradient: str = "checkpoint"
    ) -> ProbabilityFlow:
        """The probability flow of a diffusion model as a map from noise to images.

        Arguments:
            num_steps: solver steps.
            solver: "heun" or "euler".
            gradient: "direct", "checkpoint" or "adjoint".

        Returns:
            A NoiseMap.

        Raises:
            ConfigError: a prior that is no diffusion model, or an unknown solver.
        """
        if self.denoiser is None or self.denoiser.kind != "edm":
            raise ConfigError(
                f"{self.name} is a {self.card['kind']} model, not a diffusion model: use "
                "prior.map()"
            )
        return ProbabilityFlow(self.denoiser, num_steps, solver, gradient)
