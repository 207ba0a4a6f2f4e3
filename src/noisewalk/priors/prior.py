"""`Prior`: a pretrained network with its card, the source of the maps Phi."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from .._checks import real, whole
from ..errors import ConfigError
from ..maps.consistency import Consistency
from ..maps.generator import Generator
from ..maps.ode import ProbabilityFlow
from .denoiser import NetworkDenoiser


@dataclass(frozen=True, eq=False)
class Prior:
    """A generative prior, which `load_prior` reads.

    Arguments:
        name: as given to `load_prior`.
        card: licence, data, sha256, noise range, how it was made, measured quality.
        denoiser: f(x_t, sigma) -> x_0; None for a plain generator.
        module: the network z -> x of a plain generator, else None.

    Example:
        >>> nw.load_prior("fashion32")
        Prior('fashion32', kind='consistency', shape=(1, 32, 32))
    """

    name: str
    card: Mapping[str, Any]
    denoiser: NetworkDenoiser | None
    module: nn.Module | None = None

    @property
    def kind(self) -> str:
        """What the network is: "consistency", "edm" (a diffusion model) or "generator"."""
        return "generator" if self.denoiser is None else self.denoiser.kind

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one x, (C, H, W)."""
        return tuple(self.card["shape"] if self.denoiser is None else self.denoiser.shape)

    @property
    def unit(self) -> str:
        """What the values of x stand for, by the card."""
        return str(self.card.get("unit", "-1 is black and 1 is white"))

    def __repr__(self) -> str:
        return f"Prior({self.name!r}, kind={self.kind!r}, shape={self.shape})"

    def map(
        self,
        num_steps: int = 1,
        midpoint: float | None = None,
        seed: int = 0,
        checkpoint: bool = False,
    ) -> Consistency | Generator:
        """The map from noise to images of a consistency model, or the generator itself.

        Arguments:
            num_steps: 1 or 2, the network calls for each image.
            midpoint: noise level t of the second call; None takes the card's.
            seed: of the noise that is frozen in the two-step map.
            checkpoint: the same numbers for less memory and one more forward pass.

        Returns:
            A NoiseMap.

        Raises:
            ConfigError: another number of steps, or a prior that has no such map.

        Example:
            >>> phi = nw.load_prior("fashion32").map(num_steps=2)
            >>> phi.shape, phi.nfe
            ((1, 32, 32), 2)
        """
        if self.module is not None:
            if num_steps != 1 or midpoint is not None or checkpoint:
                what = f"{self.name} is a generator of one network call"
                raise ConfigError(f"{what}: leave num_steps, midpoint and checkpoint out")
            return Generator(self.module, tuple(self.card["latent_shape"]), self.shape)
        if self.denoiser is None or self.kind != "consistency":
            what = f"{self.name} is a diffusion model (edm)"
            raise ConfigError(f"{what} and has no one- or two-step map: use prior.ode_map()")
        denoiser = replace(self.denoiser, checkpoint=True) if checkpoint else self.denoiser
        if whole("num_steps", num_steps, 1, 2) == 1:
            if midpoint is not None:
                raise ConfigError("midpoint belongs to num_steps=2: set that or leave it out")
            return Consistency(denoiser)
        t = self.card.get("midpoint") if midpoint is None else midpoint
        if t is None:
            raise ConfigError(f"the card of {self.name} has no midpoint: give midpoint=")
        return Consistency(denoiser, (real("midpoint", t),), seed)

    def ode_map(
        self, num_steps: int = 18, solver: str = "heun", gradient: str = "checkpoint"
    ) -> ProbabilityFlow:
        """The probability flow of a diffusion model as a map from noise to images.

        Heun's solver costs 2 num_steps - 1 network calls for each image, Euler's num_steps.

        Arguments:
            num_steps: solver steps.
            solver: "heun" or "euler".
            gradient: "direct", "checkpoint" or "adjoint".

        Returns:
            A NoiseMap.

        Raises:
            ConfigError: a prior that is no diffusion model, or an unknown solver.

        Example:
            >>> phi = nw.load_prior("fashion32-edm").ode_map(num_steps=4)
            >>> phi.shape, phi.nfe
            ((1, 32, 32), 7)
        """
        if self.denoiser is None or self.kind != "edm":
            what = f"{self.name} is a {self.kind} model, not a diffusion model"
            raise ConfigError(f"{what}: use prior.map()")
        return ProbabilityFlow(self.denoiser, num_steps, solver, gradient)
