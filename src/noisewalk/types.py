"""The vocabulary: state, info and the six protocols that everything else is written against.

Shapes: N images, C chains per image, B = N C rows ordered image-major (all chains of image 0
first). `*shape` is one z, `*data` one x, `*y` one measurement. Pixels are in [-1, 1] and sigma_y is
on that scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from .noise import Noise

Operator: TypeAlias = "Callable[[Tensor], Tensor]"
"""A: (B, *x) -> (B, *y); pure and row-wise. Optional attribute `observed`: bool tensor,
broadcastable to *y, True = measured."""

Product: TypeAlias = "Callable[[Tensor], Tensor]"
"""A Jacobian product of `Target.linearize`: (B, *shape) -> (B, *y) or (B, *y) -> (B, *shape)."""


class State(NamedTuple):
    """One evaluation of the target; the leading axis is B = images x chains."""

    z: Tensor
    """(B, *shape) position in noise space (the paper's x_1)."""
    x: Tensor
    """(B, *data) Phi(z) (the paper's x_0)."""
    nll: Tensor
    """(B,) float64: L_y(x) = -log p(y | x), every constant included."""
    grad: Tensor
    """(B, *shape) gradient of L_y(Phi(z)) in z; the Gaussian prior's own z is not in it."""


class Info(NamedTuple):
    """What happened in one transition (ArviZ's sample_stats names)."""

    acceptance_rate: Tensor
    """(B,) in [0, 1]; for an unadjusted kernel, what Metropolis would have accepted."""
    accepted: Tensor
    """(B,) bool."""
    diverging: Tensor
    """(B,) bool: the proposal was not finite."""


class Tick(NamedTuple):
    """Progress after one optimiser step or transition."""

    phase: str
    done: int
    total: int
    nfe: int
    acceptance_rate: float


@runtime_checkable
class NoiseMap(Protocol):
    """Phi: noise z -> data x, deterministic; noise drawn inside it is frozen in the object."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one z."""
        ...

    @property
    def nfe(self) -> int:
        """Network calls per evaluation (the paper's eta)."""
        ...

    def __call__(self, z: Tensor) -> Tensor:
        """(B, *shape) -> (B, *data)."""
        ...


@runtime_checkable
class Denoiser(Protocol):
    """f(x_t, sigma) -> estimate of x_0, never clamped."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one x."""
        ...

    @property
    def sigma_min(self) -> float:
        """Smallest noise level."""
        ...

    @property
    def sigma_max(self) -> float:
        """Largest noise level."""
        ...

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """(B, *x), scalar or (B,) -> (B, *x)."""
        ...


@runtime_checkable
class Likelihood(Protocol):
    """p(y | A(x)): density, curvature and simulation in one object, so that they cannot disagree."""

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(B,) float64 -log p(y | mean), mean = A(x), over the observed entries."""
        ...

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(B, *y) Gauss-Newton weight; 0 where unobserved."""
        ...

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """(B, *y) a measurement; 0 where unobserved."""
        ...


@runtime_checkable
class Target(Protocol):
    """The posterior in noise space.

    One that also has `NoisePosterior.value` is asked for some of the rows, without gradients, where
    a kernel needs no more.
    """

    def __call__(self, z: Tensor) -> State:
        """Evaluate (B, *shape); the only place that calls autograd."""
        ...

    def linearize(self, z: Tensor) -> tuple[Tensor, Product, Product]:
        """A(Phi(z)) with its Jacobian-vector and vector-Jacobian products."""
        ...


@runtime_checkable
class Kernel(Protocol):
    """A Markov transition; a frozen dataclass, whose text is part of a stored run.

    Optional attributes, with what is taken where they are left out:

    - `needs_gradient` (True): whether it reads `State.grad`.
    - `adjust` (no claim): True where an accept step makes it keep the posterior exactly, False
      where it does not; `nw.calibrate`'s test of exactness and `nw.tempered_smc` need True.
      `reversible` (True) is False for a move that is not its own reverse.
    - `step_size`: one number or (N,); where there is one,
      `nw.sample(..., adapt=nw.DualAveraging())` adapts it by `dataclasses.replace`.
    - `preconditioner` (None): a `LowRank` or `Spectral` that `refresh=nw.Refresh()` or
      `nw.SpectralRefresh()` sets.
    - `evaluations` (1): of the target a transition, for estimates of cost.

    Noise of a step comes from `noise.normal(shape, slot)` and `noise.uniform(slot)` with the slots
    of `noisewalk.noise`, such as PROPOSAL and ACCEPT; a move that is rejected returns the old
    state, bit by bit. `noisewalk.kernels.langevin` is a short example.
    """

    def step(self, state: State, target: Target, noise: Noise) -> tuple[State, Info]:
        """One transition of every row."""
        ...


class RunStore(Protocol):
    """Where draws go while sampling."""

    def append(self, state: State, info: Info, sampler: dict[str, Any]) -> None:
        """Commit one draw and the sampler's state, atomically."""
        ...

    def cursor(self) -> tuple[int, dict[str, Any] | None]:
        """Draws committed, and the sampler's state to go on from."""
        ...
