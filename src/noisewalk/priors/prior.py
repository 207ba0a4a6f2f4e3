"""`Prior`: a pretrained network with its card, the source of the maps Phi."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from .. import _pictures
from .. import noise as keyed
from .._checks import one_of, real, whole
from ..errors import ConfigError
from ..maps.consistency import Consistency
from ..maps.generator import Generator
from ..maps.ode import ProbabilityFlow
from ..maps.per_image import num_images
from ..maps.representation_error import RepresentationError
from ..maps.steps import Steps
from ..maps.windows import Windows
from ..types import Denoiser, NoiseMap
from .denoiser import NetworkDenoiser
from .latent import Pipeline
from .scheduled import ScheduledDenoiser
from .schedulers import ode_map

SHOWN = 3 * 64 * 64  # numbers in an image that a notebook makes without being asked


@dataclass(frozen=True, eq=False)
class Prior:
    """A generative prior, which `load_prior` reads.

    Arguments:
        name: as given to `load_prior`.
        card: licence, data, sha256, noise range, how it was made, measured quality.
        denoiser: f(x_t, sigma) -> x_0; None for a generator, a latent model and the user's map.
        module: the network z -> x of a plain generator, else None.
        phi: the one map that there is, of the user's own code, else None.
        network: F(x, t) of a diffusion model that its folder's scheduler samples, else None.
        latent: the pipeline of a latent model, else None.

    Example:
        >>> nw.load_prior("fashion32")
        Prior('fashion32', kind='consistency', shape=(1, 32, 32))
    """

    name: str
    card: Mapping[str, Any]
    denoiser: NetworkDenoiser | ScheduledDenoiser | None
    module: nn.Module | None = None
    phi: NoiseMap | None = None
    network: nn.Module | None = None
    latent: Pipeline | None = None

    @property
    def kind(self) -> str:
        """What the network is: "consistency", "edm", "ddpm" (v-prediction too) or "flow" (diffusion
        models), "latent", "generator", or "map" for the user's own."""
        if self.network is not None or self.latent is not None:
            return str(self.card["kind"])
        if self.phi is not None:
            return "map"
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

    def _repr_html_(self) -> str:
        """A card with three images, where one call of a small network makes them."""
        shown = []
        if self.kind == "consistency" and math.prod(self.shape) <= SHOWN:
            with torch.no_grad():
                z = keyed.rows(0, 3).normal(self.shape, keyed.INIT, torch.float32)
                network: Any = self.denoiser
                weight = next(network.network.parameters())
                x = self.map()(z.to(weight)).float().cpu()
            shown = [(f"image {k + 1}", _pictures.shades(one, -1, 1)) for k, one in enumerate(x)]
        numbers = {
            "kind": self.kind,
            "shape": " x ".join(map(str, self.shape)),
            "values": self.unit,
            "licence": str(self.card.get("licence", "not told")),
            "data": str(self.card.get("data", "not told")),
        }
        return _pictures.card(f"Prior {self.name}", "", shown, numbers)

    def map(
        self,
        num_steps: int = 1,
        midpoint: float | None = None,
        seed: int = 0,
        checkpoint: bool = False,
        shape: tuple[int, int] | None = None,
        window: int | None = None,
        margin: int | None = None,
        representation_error: float | tuple[float, ...] | str | None = None,
    ) -> NoiseMap:
        """The map from noise to images of a consistency or a latent model, or the generator itself.

        A latent model's z is the noise of its latents, which are smaller than the image. A
        consistency model is convolutional and also maps a larger field of noise to a larger
        image, whole or by overlapping windows, which bound the memory.

        Arguments:
            num_steps: 1 or 2, the network calls for each image.
            midpoint: noise level t of the second call; None takes the card's.
            seed: of the noise that is frozen in the two-step map.
            checkpoint: the same numbers for less memory and one more forward pass.
            shape: (H, W) of the image; None is the size that the prior was trained at.
            window: side of the windows; None takes the field whole.
            margin: pixels dropped at the inner edges of a window; None takes the card's.
            representation_error: std of noise that the images have on top: a number (white), one
                for each band of frequencies, or "card" for the card's; None: none.

        Returns:
            A NoiseMap.

        Raises:
            ConfigError: another number of steps, sides that the network cannot make, or a prior
                that has no such map.

        Example:
            >>> phi = nw.load_prior("fashion32").map(num_steps=2)
            >>> phi.shape, phi.nfe
            ((1, 32, 32), 2)
        """
        asked = num_steps, midpoint, checkpoint, shape, window, margin
        if self.latent is not None:
            phi: NoiseMap = self._latent(self.latent, *asked)
        elif self.phi is None and self.module is None:
            denoiser = self._field(checkpoint, shape, window, margin)
            phi = self._consistency(denoiser, num_steps, midpoint, seed)
        else:
            phi = self._only_map(asked == (1, None, False, None, None, None))
        if representation_error is None:
            return phi
        return RepresentationError(phi, self._error_of(representation_error))

    def _error_of(self, asked: float | tuple[float, ...] | str) -> Any:
        """The std, a number or by band, of a representation error."""
        if not isinstance(asked, str):
            return asked
        one_of("representation_error", asked, ("card",))
        std = self.card.get("representation_error")
        if std is None:
            run = f"`noisewalk priors representation {self.name} IMAGES` estimates it"
            raise ConfigError(
                f"the card of {self.name} has no representation_error: {run}; or give a number"
            )
        return tuple(std)

    def _latent(
        self,
        latent: Pipeline,
        num_steps: int,
        midpoint: float | None,
        checkpoint: bool,
        shape: tuple[int, int] | None,
        *windows: int | None,
    ) -> NoiseMap:
        """The map of a latent model, at the size it was trained at or at another one."""
        if num_steps != 1 or midpoint is not None or windows != (None, None):
            what = f"{self.name} is a latent model of one network call, whole"
            raise ConfigError(f"{what}: leave num_steps, midpoint, window and margin out")
        sides = self.shape[1:] if shape is None else check_sides(self.name, shape, self.multiple)
        return latent.map((self.shape[0], *sides), checkpoint)

    def _only_map(self, plain: bool) -> NoiseMap:
        """The map of a prior that has one alone."""
        if not plain:
            kind = "generator of one network call" if self.phi is None else "map as it is"
            rest = "num_steps, midpoint, checkpoint, shape, window and margin"
            raise ConfigError(f"{self.name} is a {kind}: leave {rest} out")
        if self.phi is not None:
            return self.phi
        module: Any = self.module
        return Generator(module, tuple(self.card["latent_shape"]), self.shape)

    @property
    def multiple(self) -> int:
        """What the sides of an image must be multiples of: the network halves them so often."""
        if self.latent is not None:
            return self.latent.multiple
        if not isinstance(self.denoiser, NetworkDenoiser):
            raise ConfigError(f"{self.name} is a {self.kind}, which makes images of one size")
        config: Any = getattr(self.denoiser.network, "config", {"block_out_channels": (1,)})
        return self.denoiser.unshuffle * 2 ** (len(config["block_out_channels"]) - 1)

    def _field(
        self,
        checkpoint: bool,
        shape: tuple[int, int] | None,
        window: int | None,
        margin: int | None,
    ) -> Denoiser:
        """The denoiser of images of a size, whole or by windows."""
        if not isinstance(self.denoiser, NetworkDenoiser) or self.kind != "consistency":
            what = f"{self.name} is a diffusion model ({self.kind})"
            raise ConfigError(f"{what} and has no one- or two-step map: use prior.ode_map()")
        denoiser = replace(self.denoiser, checkpoint=True) if checkpoint else self.denoiser
        if shape is None:
            if window is not None or margin is not None:
                raise ConfigError("window and margin belong to shape=(H, W): give that too")
            return denoiser
        height, width = check_sides(self.name, shape, self.multiple)
        whole_field = (self.shape[0], height, width)
        if window is None:
            if margin is not None:
                raise ConfigError("margin belongs to window=: give that too, or leave it out")
            return replace(denoiser, shape=whole_field)
        if num_images(denoiser) is not None:
            raise ConfigError("windows take one label for all images: sample them one by one")
        (side,) = check_sides(self.name, (window,), self.multiple)
        margin = self.card.get("margin") if margin is None else margin
        if margin is None:
            run = f"`noisewalk priors margin {self.name}` measures it"
            raise ConfigError(f"the card of {self.name} has no margin: give margin=; {run}")
        cut = replace(denoiser, shape=(self.shape[0], side, side))
        return Windows(cut, whole_field, side, margin, self.multiple)

    def _consistency(
        self, denoiser: Denoiser, num_steps: int, midpoint: float | None, seed: int
    ) -> Consistency:
        if whole("num_steps", num_steps, 1, 2) == 1:
            if midpoint is not None:
                raise ConfigError("midpoint belongs to num_steps=2: set that or leave it out")
            return Consistency(denoiser)
        t = self.card.get("midpoint") if midpoint is None else midpoint
        if t is None:
            raise ConfigError(f"the card of {self.name} has no midpoint: give midpoint=")
        return Consistency(denoiser, (real("midpoint", t),), seed)

    def ode_map(
        self, num_steps: int = 18, solver: str | None = None, gradient: str = "checkpoint"
    ) -> ProbabilityFlow | Steps:
        """The probability flow of a diffusion model as a map from noise to images.

        Heun's solver costs 2 num_steps - 1 network calls for each image, Euler's num_steps.

        Arguments:
            num_steps: solver steps.
            solver: "heun" (None) or "euler" of an EDM; "ddim" or "euler" is the one that the
                scheduler of another diffusion model says (None).
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
        if self.network is not None:
            given = num_steps, solver, gradient
            return ode_map(self.network, self.shape, self.card["scheduler"], *given)
        if self.denoiser is None or self.kind != "edm":
            what = f"{self.name} is a {self.kind} model, not a diffusion model"
            raise ConfigError(f"{what}: use prior.map()")
        return ProbabilityFlow(self.denoiser, num_steps, solver or "heun", gradient)


def check_sides(name: str, sides: Any, multiple: int) -> tuple[int, ...]:
    """The sides of an image; ConfigError, with the nearest, unless they are multiples of what the
    network needs."""
    if not isinstance(sides, tuple | list) or len(sides) > 2:
        raise ConfigError(f"shape must be (H, W), got {sides!r}")
    found = tuple(whole("every side", side) for side in sides)
    if any(side % multiple for side in found):
        near = [
            sorted({max(1, s // multiple) * multiple, -(-s // multiple) * multiple}) for s in found
        ]
        told = " and ".join(" or ".join(map(str, n)) for n in near)
        got = " x ".join(map(str, found))
        raise ConfigError(
            f"{name} makes images whose sides are multiples of {multiple}, got {got}: the nearest "
            f"are {told}"
        )
    return found
