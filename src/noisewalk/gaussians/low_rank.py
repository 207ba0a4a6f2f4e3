r"""The low-rank Gauss-Newton reference N(m, H^-1) around a warm start.

$$H = I + J^T W J \approx I + U \Lambda U^T, \qquad J = \frac{d A(\Phi(z))}{dz},$$
W the likelihood's curvature in A(x). Powers of H cost O(d r),
$H^p v = v + U ((1 + \Lambda)^p - 1) U^T v$. U and Lambda come from randomized subspace iteration
with a Rayleigh-Ritz step; J is never formed.

References: Halko, Martinsson and Tropp, Finding Structure with Randomness, 2011, Algorithm 4.4;
Roberts and Tweedie, Exponential convergence of Langevin distributions and their discrete
approximations, 1996 (stability of the unadjusted scheme).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .. import noise as keyed
from .._checks import real, whole
from .._repr import readable
from ..errors import ConfigError
from ..types import State
from .reference import Reference

FIRST_BLOCK = 16  # probe vectors that `gauss_newton` starts with when it chooses the rank
LARGEST_BATCH, LARGEST_NUMEL = 64, 1 << 18
"""Rows, and rows times values of x, that probe vectors are put together to; a batch of chains may
be larger."""
OVERSAMPLING = 8  # probe vectors beyond the rank that is asked for


@readable
@dataclass(frozen=True, eq=False, repr=False)
class LowRank(Reference):
    """The reference N(m, H^-1) with H = I + U Lambda U^T, one per image; rows are image-major.

    Arguments:
        mean: (N, *shape) m.
        basis: (N, r, *shape) U, orthonormal over r.
        eigenvalues: (N, r) Lambda, 0 or more; 0 where an image has a lower rank.

    Raises:
        ConfigError: shapes that do not fit, or values that are negative or not finite.
    """

    mean: Tensor
    basis: Tensor
    eigenvalues: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.mean.shape[1:])
        if tuple(self.basis.shape) != (*self.eigenvalues.shape, *shape) or len(self.mean) != len(
            self.eigenvalues
        ):
            found = tuple(self.mean.shape), tuple(self.basis.shape), tuple(self.eigenvalues.shape)
            raise ConfigError(
                "a preconditioner has mean (N, *shape), basis (N, r, *shape) and eigenvalues "
                f"(N, r), got {found}"
            )
        self.check_finite()

    @property
    def rank(self) -> int:
        """r."""
        return self.eigenvalues.shape[1]

    def project(self, v: Tensor) -> Tensor:
        """U^T v."""
        rows = v.reshape(len(self.mean), len(v) // len(self.mean), -1)
        return rows @ self.basis.to(v.dtype).flatten(2).transpose(1, 2)

    def power(self, v: Tensor, exponent: float) -> Tensor:
        """H^p v = v + U ((1 + Lambda)^p - 1) U^T v."""
        scale = torch.expm1(exponent * torch.log1p(self.eigenvalues.to(torch.float64)))
        return v + self.spread(self.project(v) * scale[:, None].to(v.dtype), v)

    def spread(self, coefficients: Tensor, like: Tensor) -> Tensor:
        """U c."""
        return (coefficients @ self.basis.to(like.dtype).flatten(2)).reshape(like.shape)


@torch.inference_mode(False)
def gauss_newton(
    target: Any, state: State, rank: int | None = None, tol: float = 0.1, seed: keyed.Seeds = 0
) -> LowRank:
    """The Gauss-Newton Gaussian of every image around `state`, averaged over the image's rows.

    Cost in network calls a row: 1 + 4 k for k probe vectors, k = rank + 8; without a rank, 1 + 4
    (16 + 32 + ... + k), as k doubles until an eigenvalue falls below tol. Where k would be d or
    more H is exact, and its term is 2 d.

    Arguments:
        target: the posterior.
        state: an evaluation, usually the warm start's.
        rank: largest number of eigenvalues kept; None keeps all above `tol`.
        tol: eigenvalues of J^T W J below it are left out; the prior's own is 1.
        seed: of the probe vectors, one or one an image.

    Returns:
        The preconditioner.

    Raises:
        ConfigError: a rank below 1, a tol that is not positive, or a target without gradients.

    Example:
        >>> phi = nw.maps.Affine(torch.diag(torch.tensor([3.0, 1.0])), torch.zeros(2))
        >>> noise, y = nw.likelihoods.Gaussian(1.0), torch.zeros(1, 2)
        >>> target = nw.NoisePosterior(phi, lambda x: x, noise, y)
        >>> nw.gauss_newton(target, target(torch.zeros(1, 2))).eigenvalues.round()
        tensor([[9., 1.]])
    """
    rank = None if rank is None else whole("rank", rank)
    real("tol", tol, above=0.0)
    if not target.differentiable:
        raise ConfigError(
            "gauss_newton needs gradients, but the target is not differentiable: leave the "
            "preconditioner out"
        )
    values, basis = _leading(_curvature(target, state), state.z, target.num_images, rank, tol, seed)
    around = LowRank(state.z.new_zeros(len(values), *state.z.shape[1:]), basis, values)
    return replace(around, mean=around.newton(state))


def _curvature(target: Any, state: State) -> Callable[[Tensor], Tensor]:
    """v -> J^T W J v of every image, (N, k, d), averaged over the image's rows."""
    images, shape = target.num_images, tuple(state.z.shape[1:])
    chains, dim = state.z.shape[0] // images, state.z[0].numel()
    mean, jvp, vjp = target.linearize(state.z)
    weight = target.curvature(mean)
    at_once = max(1, min(LARGEST_BATCH, LARGEST_NUMEL // state.x[0].numel()) // len(state.z))

    def product(vectors: Tensor) -> Tensor:
        parts = []
        for block in vectors.split(at_once, 1):
            # the probes of every row in turn
            probes = block[:, None].expand(-1, chains, -1, -1).reshape(-1, *shape)
            image = vjp(weight.repeat_interleave(block.shape[1], 0) * jvp(probes))
            parts.append(image.reshape(images, chains, -1, dim).mean(1))
        return torch.cat(parts, 1)

    return product


def _leading(
    product: Callable[[Tensor], Tensor],
    like: Tensor,
    images: int,
    rank: int | None,
    tol: float,
    seed: keyed.Seeds,
) -> tuple[Tensor, Tensor]:
    """The eigenvalues above tol, (N, r), and their vectors, (N, r, *shape), by subspace
    iteration."""
    shape, dim = like.shape[1:], like[0].numel()
    size = min(dim, FIRST_BLOCK if rank is None else rank + OVERSAMPLING)
    probes = keyed.rows(seed, images, device=like.device)
    basis = probes.normal((size, dim), keyed.PROBE, like.dtype)
    while True:
        basis = _orthonormal(basis)
        if size < dim:  # a basis of the whole space needs no iteration
            basis = _orthonormal(product(basis))
        values, basis = _ritz(basis, product(basis))
        if rank is not None or size == dim or bool((values[:, -1] < tol).all()):
            break
        size = min(dim, 2 * size)
        fresh = probes.at(size).normal((size - basis.shape[1], dim), keyed.PROBE, like.dtype)
        basis = torch.cat([basis, fresh], 1)
    values = torch.where(values > tol, values, 0.0)
    kept = int((values > 0).sum(1).max())
    kept = kept if rank is None else min(kept, rank)
    return values[:, :kept], basis[:, :kept].reshape(images, kept, *shape)


def calls_of(rank: int | None, dim: int) -> int:
    """Network calls a row of `gauss_newton`, times `phi.nfe`; without a rank, the most."""
    size = min(dim, FIRST_BLOCK if rank is None else rank + OVERSAMPLING)
    sizes = [size]
    while rank is None and sizes[-1] < dim:
        sizes.append(min(dim, 2 * sizes[-1]))
    return 1 + sum((4 if size < dim else 2) * size for size in sizes)


def largest_stable_step(preconditioner: LowRank, fraction: float = 0.5) -> Tensor:
    r"""A step for Euler-Maruyama without adjustment, from the top curvature eigenvalue:
    $\tau = 2 f / (1 + \lambda_{max})$.

    On a Gaussian posterior with this H the scheme is stable below f = 1, and the variance of its
    stiffest direction comes out 1 / (1 - f) times too large: twice at one half, all other
    directions less. A heuristic: elsewhere than where H was taken, the curvature may be larger.

    The result is (N,) float64; a preconditioner of rank 1 is enough, and f lies in (0, 1).
    """
    if not isinstance(preconditioner, LowRank):  # a band's mean may be far below the largest
        raise ConfigError(
            "the largest curvature is read from a low-rank Gaussian, got "
            f"{type(preconditioner).__name__}: give nw.gauss_newton(..., rank=1)"
        )
    real("fraction", fraction, above=0.0, below=1.0)
    # the pad: a rank of 0 means a curvature of 0
    top = torch.nn.functional.pad(preconditioner.eigenvalues.to(torch.float64), (0, 1)).amax(1)
    return 2.0 * fraction / (1.0 + top)


def _orthonormal(vectors: Tensor) -> Tensor:
    """(N, k, d) with orthonormal rows spanning the same space."""
    return (
        torch.linalg.qr(vectors.to(torch.float64).transpose(1, 2))[0]
        .transpose(1, 2)
        .to(vectors.dtype)
    )


def _ritz(basis: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Ritz values (N, k), descending, and vectors (N, k, d) from a basis and its image under the
    matrix."""
    small = basis.to(torch.float64) @ image.to(torch.float64).transpose(1, 2)
    values, rotation = torch.linalg.eigh(0.5 * (small + small.transpose(1, 2)))
    values, rotation = values.flip(-1).clamp(min=0.0), rotation.flip(-1)
    return values.to(basis.dtype), (rotation.transpose(1, 2) @ basis.to(torch.float64)).to(
        basis.dtype
    )
