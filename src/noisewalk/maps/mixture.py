"""The probability flow of a Gaussian mixture: a map with many modes and an exact density."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._checks import real, whole
from .._repr import readable
from ..errors import ConfigError


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Mixture:
    r"""Phi(z) = the end of the flow to 0 from sigma_max, where z is x / sqrt(tau^2 + sigma_max^2).

    For $p(x_0) = \sum_k w_k N(x_0; \mu_k, \tau^2 I)$, $x = x_0 + \sigma n$ and
    $v = \tau^2 + \sigma^2$ the denoiser is
    $$D(x, \sigma) = (\tau^2 x + \sigma^2 \bar\mu) / v, \qquad
    \bar\mu = \sum_k r_k \mu_k, \quad r_k \propto w_k e^{-|x - \mu_k|^2 / 2 v}.$$
    In $w = x / \sqrt v$ and $s = \ln v / 2$ the flow is $dw / ds = -e^{-s} \bar\mu$. It stays in
    the span of the means and is integrated there, at a cost that does not grow with d. The
    pushforward of N(0, I) is the mixture up to max |mu| / sigma_max in the weights' log odds.

    Arguments:
        means: mu, (K, d).
        weights: w, (K,), positive; scaled to sum 1. None: all the same.
        std: tau, of every component.
        sigma_max: where the flow starts; None: 20 times the largest |mean|, at least 80.
        num_steps: Runge-Kutta steps, of four evaluations each.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> import torch, noisewalk as nw
        >>> phi = nw.maps.Mixture(torch.tensor([[-4.0], [4.0]]), std=0.5)
        >>> (phi(torch.tensor([[-1.0], [1.0]])) > 0).tolist()  # the sign of z picks the mode
        [[False], [True]]
    """

    means: Tensor
    weights: Tensor | None = None
    std: float = 1.0
    sigma_max: float | None = None
    num_steps: int = 60
    nfe: int = 1
    basis: Tensor = field(init=False)  # (d, r) orthonormal, the span of the means
    log_weights: Tensor = field(init=False)  # (K,) log w, normalised
    shape: tuple[int, ...] = field(init=False, repr=False)
    data_shape: tuple[int, ...] = field(init=False, repr=False)
    sigma_min = 0.0  # the smallest noise level of the denoiser

    def __post_init__(self) -> None:
        means = self.means
        if means.ndim != 2 or not means.is_floating_point() or not means.isfinite().all():
            got = f"{means.dtype} of shape {tuple(means.shape)}"
            raise ConfigError(f"Mixture needs finite means (components, d), got {got}")
        count = len(means)
        weights = torch.full((count,), 1.0 / count) if self.weights is None else self.weights
        if weights.shape != (count,) or not bool((weights > 0).all()):
            got = f"shape {tuple(weights.shape)}"
            raise ConfigError(f"Mixture needs one positive weight per mean, {count}, got {got}")
        std = real("Mixture's std", self.std, above=0)
        high = max(80.0, 20.0 * float(means.norm(dim=1).max()))
        high = high if self.sigma_max is None else self.sigma_max
        left, values, _ = torch.linalg.svd(means.T.double(), full_matrices=False)
        rank = int((values > 1e-9 * values.max().clamp(min=1e-30)).sum())
        weights = (weights / weights.sum()).to(means)
        vars(self).update(
            weights=weights,
            log_weights=weights.log(),
            std=std,
            sigma_max=real("Mixture's sigma_max (with std below it)", high, above=std),
            num_steps=whole("Mixture's num_steps", self.num_steps),
            basis=left[:, :rank].to(means),
            shape=means.shape[1:],
            data_shape=means.shape[1:],
        )

    def __call__(self, z: Tensor) -> Tensor:
        """(B, d) -> (B, d)."""
        basis = self.basis.to(z)
        inside = z @ basis
        w, means, constant = inside, self.means.to(z) @ basis, self.log_weights.to(z)
        high = 0.5 * math.log(self.std**2 + float(self.sigma_max or 0.0) ** 2)
        step = (math.log(self.std) - high) / self.num_steps

        def slope(w: Tensor, s: float) -> Tensor:
            scaled = means * math.exp(-s)
            logits = torch.addmm(constant - 0.5 * scaled.square().sum(1), w, scaled.T)
            return -torch.softmax(logits, 1) @ scaled

        for k in range(self.num_steps):
            s = high + k * step
            a = slope(w, s)
            b = slope(w + 0.5 * step * a, s + 0.5 * step)
            c = slope(w + 0.5 * step * b, s + 0.5 * step)
            d = slope(w + step * c, s + step)
            w = w + (step / 6.0) * (a + 2.0 * b + 2.0 * c + d)
        return self.std * (z + (w - inside) @ basis.T)

    def denoiser(self, x_t: Tensor, sigma: Tensor | float) -> Tensor:
        """E[x_0 | x_t], exact, (B, d), at a noise level, scalar or (B,)."""
        level = torch.as_tensor(sigma, dtype=x_t.dtype, device=x_t.device).reshape(-1, 1)
        variance, means = self.std**2 + level**2, self.means.to(x_t)
        logits = (x_t @ means.T - 0.5 * means.square().sum(1)) / variance
        share = torch.softmax(self.log_weights.to(x_t) + logits, 1)
        return (self.std**2 * x_t + level**2 * (share @ means)) / variance

    def log_density(self, x: Tensor) -> Tensor:
        """The log density of the mixture, which the pushforward approaches, (B,) float64."""
        scaled = torch.cdist(x.double(), self.means.double()).square() / (2.0 * self.std**2)
        norm = 0.5 * x.shape[1] * math.log(2.0 * math.pi * self.std**2)
        return torch.logsumexp(self.log_weights.to(scaled) - norm - scaled, 1)
