r"""The consistency model as a map from noise to data.

One step: $\Phi(z) = f(\sigma_{max} z, \sigma_{max})$. Each further step renoises to a lower level t
and denoises again,
$$\Phi(z) = f\big(f(\sigma_{max} z, \sigma_{max}) + \sqrt{t^2 - \sigma_{min}^2}\; n, t\big),$$
with n drawn once from its own seed and frozen, so that Phi is deterministic (Appendix B.1 of the
paper). Nothing is clamped, because a clamp has no gradient where it saturates.

Reference: Song et al., Consistency Models, 2023, Algorithm 1.
"""

from dataclasses import dataclass
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
    """Phi(z) of a consistency model in 1 + len(midpoints) network calls.

    Arguments:
        denoiser: f(x_t, sigma) with f(x, sigma_min) = x.
        midpoints: noise levels t of the further steps, descending, between sigma_min and sigma_max.
        seed: of the frozen noise.

    Raises:
        ConfigError: midpoints that do not fall between the denoiser's levels, or a seed that is
            none.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> import noisewalk as nw
        >>> class Denoiser(SimpleNamespace):  # of N(0, I) data, for levels far above sigma_min
        ...     def __call__(self, x_t, sigma):
        ...         return x_t / sigma
        >>> denoiser = Denoiser(shape=(1, 2, 2), sigma_min=0.002, sigma_max=80.0)
        >>> phi = nw.maps.Consistency(denoiser, midpoints=(2.0,), seed=0)
        >>> phi(torch.zeros(5, 1, 2, 2)).shape, phi.nfe
        (torch.Size([5, 1, 2, 2]), 2)
    """

    denoiser: Denoiser
    midpoints: tuple[float, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.denoiser.sigma_min, self.denoiser.sigma_max
        if any(not a > b for a, b in pairwise((high, *self.midpoints, low))):
            raise ConfigError(
                f"midpoints must fall from below {high} to above {low}, got {self.midpoints}"
            )
        key = _checks.seed_of(self.seed)
        steps = (noise.rows(key, 1).at(k) for k in range(len(self.midpoints)))
        frozen = tuple(step.normal(self.shape, noise.FROZEN)[0] for step in steps)
        vars(self).update(seed=key, _frozen=frozen)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one z and of one x."""
        return tuple(self.denoiser.shape)

    data_shape = shape

    @property
    def nfe(self) -> int:
        """Network calls per evaluation."""
        return 1 + len(self.midpoints)

    def __call__(self, z: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        f = self.denoiser
        x = f(f.sigma_max * z, torch.tensor(f.sigma_max, device=z.device))
        for t, n in zip(self.midpoints, self._frozen, strict=True):  # type: ignore[attr-defined]
            x = f(x + (t**2 - f.sigma_min**2) ** 0.5 * n.to(x), torch.tensor(t, device=z.device))
        return x
