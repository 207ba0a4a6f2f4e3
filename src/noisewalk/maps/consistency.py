"""The consistency model as a map from noise to data."""

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from .. import _checks, noise
from .._repr import readable
from ..errors import ConfigError
from ..types import Denoiser


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Consistency:
    r"""Phi(z) of a consistency model in 1 + len(midpoints) network calls.

    One step is $f(\sigma_{max} z, \sigma_{max})$. Each further step renoises its x to a lower level
    t and denoises again, $f(x + \sqrt{t^2 - \sigma_{min}^2}\; n, t)$, with n drawn once from its
    own seed and frozen, so that Phi is deterministic (Appendix B.1 of the paper). Nothing is
    clamped, because a clamp has no gradient where it saturates.
    Reference: Song et al., Consistency Models, 2023, Algorithm 1.

    Arguments:
        denoiser: f(x_t, sigma) with f(x, sigma_min) = x.
        midpoints: noise levels t of the further steps, descending, from sigma_max to sigma_min.
        seed: of the frozen noise.

    Raises:
        ConfigError: midpoints that do not fall between the denoiser's levels; no seed.

    Example:
        >>> f = lambda x_t, sigma: x_t / sigma  # of N(0, I) data, for levels far above sigma_min
        >>> f.shape, f.sigma_min, f.sigma_max = (1, 2, 2), 0.002, 80.0
        >>> phi = nw.maps.Consistency(f, midpoints=(2.0,), seed=0)
        >>> phi(torch.zeros(5, 1, 2, 2)).shape, phi.nfe
        (torch.Size([5, 1, 2, 2]), 2)
    """

    denoiser: Denoiser
    midpoints: tuple[float, ...] = ()
    seed: int = 0
    shape: tuple[int, ...] = field(init=False, repr=False)
    data_shape: tuple[int, ...] = field(init=False, repr=False)
    nfe: int = field(init=False, repr=False)
    frozen: tuple[Tensor, ...] = field(init=False, repr=False)  # n of each midpoint

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        low, high = self.denoiser.sigma_min, self.denoiser.sigma_max
        if any(not a > b for a, b in pairwise((high, *self.midpoints, low))):
            got = self.midpoints
            raise ConfigError(f"midpoints must fall from below {high} to above {low}, got {got}")
        key = _checks.seed_of(self.seed)
        steps = (noise.rows(key, 1).at(k) for k in range(len(self.midpoints)))
        shape = tuple(self.denoiser.shape)
        frozen = tuple(step.normal(shape, noise.FROZEN)[0] for step in steps)
        vars(self).update(
            seed=key, shape=shape, data_shape=shape, nfe=1 + len(frozen), frozen=frozen
        )

    def __call__(self, z: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        f = self.denoiser
        x = f(f.sigma_max * z, torch.tensor(f.sigma_max, device=z.device))
        for t, n in zip(self.midpoints, self.frozen, strict=True):
            x = f(x + (t**2 - f.sigma_min**2) ** 0.5 * n.to(x), torch.tensor(t, device=z.device))
        return x
