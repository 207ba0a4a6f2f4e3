"""Maps whose pushforward of N(0, I) is known in closed form: the ground truth of the tests."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._checks import real, whole
from .._intake import plain
from .._repr import readable
from ..errors import ConfigError


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Affine:
    """x = M z + c, so x ~ N(c, M M^T), and a linear-Gaussian measurement's posterior is Gaussian.

    Arguments:
        matrix: M, (p, d).
        offset: c, (p,); None means 0.

    Raises:
        ConfigError: a matrix or an offset of another shape.

    Example:
        >>> nw.maps.Affine(torch.tensor([[1.0, 2.0]]))(torch.tensor([[3.0, 4.0]]))
        tensor([[11.]])
    """

    matrix: Tensor
    offset: Tensor | None = None
    nfe: int = 1
    shape: tuple[int, ...] = field(init=False, repr=False)  # (d,)
    data_shape: tuple[int, ...] = field(init=False, repr=False)  # (p,)

    def __post_init__(self) -> None:
        vars(self).update(matrix=plain("Affine's matrix", self.matrix))
        if self.offset is not None:
            vars(self).update(offset=plain("Affine's offset", self.offset))
        shape = tuple(self.matrix.shape)
        if len(shape) != 2:
            raise ConfigError(f"Affine needs a matrix (p, d), got a tensor of shape {shape}")
        if self.offset is not None and self.offset.shape != shape[:1]:
            got = tuple(self.offset.shape)
            raise ConfigError(f"Affine needs an offset of shape ({shape[0]},), got {got}")
        vars(self).update(shape=shape[1:], data_shape=shape[:1])

    def __call__(self, z: Tensor) -> Tensor:
        """(B, d) -> (B, p)."""
        x = z @ self.matrix.to(z).T
        return x if self.offset is None else x + self.offset.to(z)


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Warp:
    """x_i = z_i + a sin(z_i), elementwise, invertible, with an exact density.

    Arguments:
        shape: of one z and one x.
        amplitude: a, with |a| < 1.

    Raises:
        ConfigError: an amplitude for which the map cannot be inverted.

    Example:
        >>> phi, z = nw.maps.Warp((3,), amplitude=0.8), torch.tensor([[-1.0, 0.0, 2.0]])
        >>> torch.allclose(phi.inverse(phi(z)), z.double())
        True
    """

    shape: tuple[int, ...]
    amplitude: float = 0.8
    nfe: int = 1
    data_shape: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not abs(self.amplitude) < 1:
            raise ConfigError(f"Warp needs |amplitude| < 1 to be invertible, got {self.amplitude}")
        vars(self).update(data_shape=self.shape)

    def __call__(self, z: Tensor) -> Tensor:
        """(B, *shape) -> (B, *shape)."""
        return z + self.amplitude * torch.sin(z)

    def inverse(self, x: Tensor) -> Tensor:
        """z with Phi(z) = x, (B, *shape) float64, by bisection to the last digits."""
        x = x.to(torch.float64)
        low, high = x - abs(self.amplitude), x + abs(self.amplitude)
        for _ in range(60):
            middle = (low + high) / 2
            above = self(middle) > x
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return (low + high) / 2

    def log_density(self, x: Tensor) -> Tensor:
        """The log density at x, sum log N(z) - log(1 + a cos z) at z = inverse(x), (B,) float64."""
        z = self.inverse(x)
        normal = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
        return (normal - torch.log1p(self.amplitude * torch.cos(z))).flatten(1).sum(1)


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

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        means = plain("Mixture's means", self.means)
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
            means=means,
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
