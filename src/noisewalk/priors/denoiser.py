r"""The denoiser f(x_t, sigma): a network under EDM's or the consistency model's scaling.

$$f(x, \sigma) = c_{out} F(c_{in} x, t') + c_{skip} x, \qquad t' = 250 \ln(\sigma + 10^{-44}), \qquad c_{in} = 1 / \sqrt{\sigma^2 + \sigma_d^2}$$

- EDM: $c_{skip} = \sigma_d^2 / (\sigma^2 + \sigma_d^2)$, $c_{out} = \sigma \sigma_d / \sqrt{\sigma^2 + \sigma_d^2}$.
- Consistency: the same with $\sigma - \sigma_{min}$ for the explicit $\sigma$ of $c_{skip}$ and $c_{out}$'s numerators, so that $f(x, \sigma_{min}) = x$.

References: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022, Table 1;
Song et al., Consistency Models, 2023, Appendix C.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from ..repr import readable

KINDS = ("edm", "consistency")


@readable
@dataclass(frozen=True, eq=False, repr=False)
class NetworkDenoiser:
    """f(x_t, sigma) from a `UNet2DModel`-like network; the network's weights never require gradients at sampling time.

    Arguments:
        network: module called as `network(x, t, class_labels).sample`; with `unshuffle` f it sees (B, C f f, H/f, W/f).
        kind: "edm" or "consistency", the scaling.
        shape: (C, H, W) of x.
        sigma_min: smallest noise level.
        sigma_max: largest noise level; z ~ N(0, I) becomes x_T = sigma_max z.
        sigma_data: standard deviation of the data in the scaling.
        unshuffle: pixel-unshuffle factor around the network; 1 means none.
        label: class index given to a class-conditional network, else None.

    Raises:
        ConfigError: an unknown kind.
    """

    network: nn.Module
    kind: str
    shape: tuple[int, ...]
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    unshuffle: int = 1
    label: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"unknown kind {self.kind!r} of denoiser: choose one of {', '.join(KINDS)}")

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """Denoise.

        Arguments:
            x_t: (B, C, H, W) image plus sigma times unit noise.
            sigma: noise level, a scalar tensor or one per row (B,).

        Returns:
            (B, C, H, W) estimate of the clean image, never clamped.
        """
        sigma = sigma.to(x_t.dtype).expand(x_t.shape[0])
        s = sigma.view(-1, *[1] * (x_t.ndim - 1))
        variance = s**2 + self.sigma_data**2
        lowest = self.sigma_min if self.kind == "consistency" else 0.0
        c_skip = self.sigma_data**2 / ((s - lowest) ** 2 + self.sigma_data**2)
        c_out = (s - lowest) * self.sigma_data * variance.rsqrt()
        h = x_t * variance.rsqrt()
        if self.unshuffle > 1:
            h = F.pixel_unshuffle(h, self.unshuffle)
        labels = None if self.label is None else torch.full((len(h),), self.label, device=h.device)
        dtype = next(self.network.parameters()).dtype
        h = self.network(h.to(dtype), (250.0 * torch.log(sigma + 1e-44)).to(dtype), class_labels=labels).sample
        if self.unshuffle > 1:
            h = F.pixel_shuffle(h, self.unshuffle)
        return c_out * h.to(x_t.dtype) + c_skip * x_t
