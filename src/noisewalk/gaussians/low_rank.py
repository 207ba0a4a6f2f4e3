r"""Gaussian references of the kernels: N(0, I), and the low-rank Gauss-Newton Gaussian N(m, H^-1)
around a warm start.

$$H = I + J^T W J \approx I + U \Lambda U^T, \qquad J = \frac{d A(\Phi(z))}{dz}, \qquad m = z_0 - H^{-1} (z_0 + g_0),$$
W the likelihood's curvature in A(x). With u = z - m the rest of the log posterior is -psi,
$$\psi(z) = L + \tfrac12 |z|^2 - \tfrac12 u^T H u, \qquad \nabla \psi = g + m - U \Lambda U^T u,$$
$$\psi - \psi' = L - L' + \langle z - z', m \rangle - \tfrac12 \langle U^T (z - z'), \Lambda U^T (u + u') \rangle .$$
For N(0, I) all of this is m = 0, Lambda = 0 and psi = L. Powers of H cost O(d r):
$H^p v = v + U ((1 + \Lambda)^p - 1) U^T v$.

U and Lambda come from randomized subspace iteration with a Rayleigh-Ritz step (Halko, Martinsson
and Tropp, Finding Structure with Randomness, 2011, Algorithm 4.4); J is never formed.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .. import noise as keyed
from .._repr import readable
from ..errors import ConfigError
from ..types import State

FIRST_BLOCK = 16
"""Probe vectors that `gauss_newton` starts with when it chooses the rank."""
LARGEST_BATCH, LARGEST_NUMEL = 64, 1 << 18
"""Rows, and rows times values of x, that probe vectors are put together to; a batch of chains may
be larger."""
OVERSAMPLING = 8
"""Probe vectors beyond the rank that is asked for."""


@dataclass(frozen=True)
class Standard:
    """The reference N(0, I)."""

    def offset(self, z: Tensor) -> Tensor:
        """u = z."""
        return z

    def position(self, u: Tensor) -> Tensor:
        """z = u."""
        return u

    def power(self, v: Tensor, exponent: float) -> Tensor:
        """H^p v = v."""
        return v

    def residual_gradient(self, state: State) -> Tensor:
        """Gradient of psi, g."""
        return state.grad

    def drop(self, here: State, there: State) -> Tensor:
        """psi - psi' = L - L', (B,) float64."""
        return here.nll - there.nll


class Reference(ABC):
    """A reference N(m, H^-1) with H = I + U Lambda U^T, one per image; rows are image-major.

    A subclass has the fields mean (N, *shape) and eigenvalues (N, r), Lambda, and says what U is.
    """

    mean: Tensor
    eigenvalues: Tensor

    def check_finite(self) -> None:
        """ConfigError where m or Lambda cannot be those of a Gaussian."""
        if not bool(
            torch.isfinite(self.eigenvalues).all()
            and (self.eigenvalues >= 0).all()
            and torch.isfinite(self.mean).all()
        ):
            raise ConfigError(
                "a preconditioner's mean must be finite and its eigenvalues finite and not "
                "negative: was the warm start finite?"
            )

    @abstractmethod
    def project(self, v: Tensor) -> Tensor:
        """U^T v.

        Arguments:
            v: (B, *shape).

        Returns:
            (N, B / N, r).
        """

    @abstractmethod
    def spread(self, coefficients: Tensor, like: Tensor) -> Tensor:
        """U c.

        Arguments:
            coefficients: (N, B / N, r) c.
            like: (B, *shape), for the shape and type.

        Returns:
            (B, *shape).
        """

    def offset(self, z: Tensor) -> Tensor:
        """u = z - m.

        Arguments:
            z: (B, *shape).

        Returns:
            (B, *shape).
        """
        return z - self._rows(z)

    def position(self, u: Tensor) -> Tensor:
        """z = m + u.

        Arguments:
            u: (B, *shape).

        Returns:
            (B, *shape).
        """
        return u + self._rows(u)

    @abstractmethod
    def power(self, v: Tensor, exponent: float) -> Tensor:
        """H^p v.

        Arguments:
            v: (B, *shape).
            exponent: p, any real number.

        Returns:
            (B, *shape).
        """

    def newton(self, state: State) -> Tensor:
        """m, the Newton step from where H was computed, averaged over an image's rows.

        Arguments:
            state: an evaluation.

        Returns:
            (N, *shape).
        """
        steps = state.z - self.power(state.z + state.grad, -1.0)
        return steps.unflatten(0, (len(self.mean), -1)).mean(1)

    def residual_gradient(self, state: State) -> Tensor:
        """Gradient of psi.

        Arguments:
            state: an evaluation.

        Returns:
            (B, *shape).
        """
        z = state.z
        stiff = self.spread(self.project(self.offset(z)) * self.eigenvalues[:, None].to(z.dtype), z)
        return state.grad + self._rows(z) - stiff

    def drop(self, here: State, there: State) -> Tensor:
        """psi(here) - psi(there), grouped so that no two large numbers are subtracted.

        Arguments:
            here: an evaluation.
            there: another of the same rows.

        Returns:
            (B,) float64.
        """
        z, z_ = here.z.to(torch.float64), there.z.to(torch.float64)
        linear = ((z - z_) * self._rows(z)).flatten(1).sum(1)
        moved, total = self.project(z - z_), self.project(self.offset(z) + self.offset(z_))
        return (
            here.nll
            - there.nll
            + linear
            - 0.5 * (moved * self.eigenvalues[:, None].to(torch.float64) * total).sum(-1).flatten()
        )

    def _rows(self, like: Tensor) -> Tensor:
        return self.mean.to(like.dtype).repeat_interleave(like.shape[0] // self.mean.shape[0], 0)


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
        images = self.mean.shape[0]
        return v.reshape(images, v.shape[0] // images, -1) @ self.basis.to(v.dtype).flatten(
            2
        ).transpose(1, 2)

    def power(self, v: Tensor, exponent: float) -> Tensor:
        """H^p v = v + U ((1 + Lambda)^p - 1) U^T v."""
        scale = torch.expm1(exponent * torch.log1p(self.eigenvalues.to(torch.float64)))
        return v + self.spread(self.project(v) * scale[:, None].to(v.dtype), v)

    def spread(self, coefficients: Tensor, like: Tensor) -> Tensor:
        """U c."""
        return (coefficients @ self.basis.to(like.dtype).flatten(2)).reshape(like.shape)


@dataclass(frozen=True)
class Schedule(ABC):
    """When a warm-up computes the preconditioner anew; a subclass says how."""

    at: tuple[float, ...] = (0.0, 0.3)

    def __post_init__(self) -> None:
        if (
            not self.at
            or list(self.at) != sorted(set(self.at))
            or not 0.0 <= self.at[0] <= self.at[-1] < 1.0
        ):
            raise ConfigError(
                f"at must hold ascending shares of the warm-up in [0, 1), got {self.at}"
            )

    def due(self, transition: int, num_warmup: int) -> bool:
        """Whether the preconditioner is computed before this transition.

        Arguments:
            transition: its number, from 0.
            num_warmup: transitions of the warm-up.

        Returns:
            True at the given shares.
        """
        return (
            transition in {int(share * num_warmup) for share in self.at} and transition < num_warmup
        )

    def calls(self, num_warmup: int, dim: int) -> int:
        """What the refreshes of a warm-up cost; without a rank at most.

        Arguments:
            num_warmup: transitions of the warm-up.
            dim: d, numbers in one z.

        Returns:
            Network calls a row (times `phi.nfe`).
        """
        return sum(self.due(k, num_warmup) for k in range(num_warmup)) * self.calls_each(dim)

    @abstractmethod
    def calls_each(self, dim: int) -> int:
        """What one refresh costs.

        Arguments:
            dim: d, numbers in one z.

        Returns:
            Network calls a row (times `phi.nfe`).
        """

    @abstractmethod
    def fit(self, kernel: Any, target: Any, state: State, seed: int) -> Reference:
        """The preconditioner at the present states.

        Arguments:
            kernel: the transition whose states they are.
            target: the posterior.
            state: rows of every image.
            seed: of the probe vectors.

        Returns:
            It.
        """


@dataclass(frozen=True)
class Refresh(Schedule):
    """When a warm-up computes a `LowRank` preconditioner anew, and how.

    Example: `nw.sample(target, nw.Langevin(0.05, "ei", adjust=True), adapt=nw.DualAveraging(),
    refresh=nw.Refresh())`.

    Arguments:
        at: shares of the warm-up, in [0, 1), ascending; 0 is right after the warm start.
        rank: largest number of eigenvalues kept; None keeps all above `tol`.
        tol: as in `gauss_newton`.

    Raises:
        ConfigError: a value out of range.
    """

    rank: int | None = 40
    tol: float = 0.1

    def calls_each(self, dim: int) -> int:
        """That of `gauss_newton`."""
        return calls_of(self.rank, dim)

    def fit(self, kernel: Any, target: Any, state: State, seed: int) -> LowRank:
        """By `gauss_newton`."""
        return fitted(kernel, target, state, self.rank, self.tol, seed)


STANDARD = Standard()


def reference_of(preconditioner: Reference | None) -> Standard | Reference:
    """The Gaussian that a kernel is built on.

    Arguments:
        preconditioner: from `gauss_newton` or `spectral`, or None.

    Returns:
        It, or N(0, I).
    """
    return STANDARD if preconditioner is None else preconditioner


def gauss_newton(
    target: Any, state: State, rank: int | None = None, tol: float = 0.1, seed: int = 0
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
        seed: of the probe vectors.

    Returns:
        The preconditioner.

    Raises:
        ConfigError: a rank below 1, a tol that is not positive, or a target without gradients.
    """
    if rank is not None and rank < 1:
        raise ConfigError(f"rank must be at least 1 or None, got {rank}")
    if not tol > 0:
        raise ConfigError(f"tol must be positive, got {tol}")
    if not target.differentiable:
        raise ConfigError(
            "gauss_newton needs gradients, but the target is not differentiable: leave the "
            "preconditioner out"
        )
    images, shape = target.num_images, tuple(state.z.shape[1:])
    chains, dim = state.z.shape[0] // images, state.z[0].numel()
    mean, jvp, vjp = target.linearize(state.z)
    weight = target.curvature(mean)

    at_once = max(1, min(LARGEST_BATCH, LARGEST_NUMEL // state.x[0].numel()) // len(state.z))

    def product(vectors: Tensor) -> Tensor:
        parts = []
        for block in vectors.split(at_once, 1):
            probes = (
                block[:, None].expand(-1, chains, -1, -1).reshape(-1, *shape)
            )  # every row's probes in turn
            image = vjp(weight.repeat_interleave(block.shape[1], 0) * jvp(probes))
            parts.append(image.reshape(images, chains, -1, dim).mean(1))
        return torch.cat(parts, 1)

    size = min(dim, FIRST_BLOCK if rank is None else rank + OVERSAMPLING)
    probes = keyed.rows(seed, images, device=state.z.device)
    basis = probes.normal((size, dim), keyed.PROBE, state.z.dtype)
    while True:
        basis = _orthonormal(basis)
        if size < dim:  # a basis of the whole space needs no iteration
            basis = _orthonormal(product(basis))
        values, vectors = _ritz(basis, product(basis))
        basis = vectors
        if rank is not None or size == dim or bool((values[:, -1] < tol).all()):
            break
        size = min(dim, 2 * size)
        fresh = probes.at(size).normal((size - basis.shape[1], dim), keyed.PROBE, state.z.dtype)
        basis = torch.cat([basis, fresh], 1)
    values = torch.where(values > tol, values, 0.0)
    kept = int((values > 0).sum(1).max())
    kept = kept if rank is None else min(kept, rank)
    values, basis = values[:, :kept], basis[:, :kept].reshape(images, kept, *shape)
    around = LowRank(state.z.new_zeros(images, *shape), basis, values)
    return replace(around, mean=around.newton(state))


def fitted(
    kernel: Any, target: Any, state: State, rank: int | None = None, tol: float = 0.1, seed: int = 0
) -> LowRank:
    """`gauss_newton` at states that a kernel has left.

    Arguments:
        kernel: the transition whose states they are.
        target: the posterior.
        state: rows of every image.
        rank: as in `gauss_newton`.
        tol: as in `gauss_newton`.
        seed: as in `gauss_newton`.

    Returns:
        The preconditioner.
    """
    return gauss_newton(target, with_gradient(kernel, target, state), rank, tol, seed)


def with_gradient(kernel: Any, target: Any, state: State) -> State:
    """States that a kernel has left with their gradient: one that needs none leaves 0 in its place.

    Arguments:
        kernel: the transition whose states they are.
        target: the posterior.
        state: rows of every image.

    Returns:
        The same states, evaluated anew where they must be.
    """
    return state if getattr(kernel, "needs_gradient", True) else target(state.z)


def calls_of(rank: int | None, dim: int) -> int:
    """What `gauss_newton` costs.

    Arguments:
        rank: largest number of eigenvalues kept; None: as many as there can be.
        dim: d, numbers in one z.

    Returns:
        Network calls a row (times `phi.nfe`).
    """
    size = min(dim, FIRST_BLOCK if rank is None else rank + OVERSAMPLING)
    sizes = [size]
    while rank is None and sizes[-1] < dim:
        sizes.append(min(dim, 2 * sizes[-1]))
    return 1 + sum((4 if size < dim else 2) * size for size in sizes)


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
