"""The vocabulary: state, info and the six protocols that everything else is written against.

Shapes: N images, C chains per image, B = N C rows ordered image-major (all chains of image 0
first). `*shape` is one z, `*data` one x, `*y` one measurement. Pixels are in [-1, 1] and sigma_y is
on that scale.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from ._repr import describe, facts_of, name_of

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

    z: Tensor  # (B, *shape) position in noise space (the paper's x_1)
    x: Tensor  # (B, *data) Phi(z) (the paper's x_0)
    nll: Tensor  # (B,) float64: L_y(x) = -log p(y | x), every constant included
    grad: Tensor  # (B, *shape) gradient of L_y(Phi(z)) in z, without the prior's own z


class Info(NamedTuple):
    """What happened in one transition (ArviZ's sample_stats names)."""

    acceptance_rate: Tensor  # (B,) in [0, 1]; unadjusted: what Metropolis would have accepted
    accepted: Tensor  # (B,) bool
    diverging: Tensor  # (B,) bool: the proposal was not finite


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

    @property
    def nfe(self) -> int:
        """Network calls per evaluation (the paper's eta)."""

    def __call__(self, z: Tensor) -> Tensor:
        """(B, *shape) -> (B, *data)."""


@runtime_checkable
class Denoiser(Protocol):
    """f(x_t, sigma) -> estimate of x_0, never clamped."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one x."""

    @property
    def sigma_min(self) -> float:
        """Smallest noise level."""

    @property
    def sigma_max(self) -> float:
        """Largest noise level."""

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """(B, *x), scalar or (B,) -> (B, *x)."""


@runtime_checkable
class Likelihood(Protocol):
    """p(y | A(x)): density, curvature and simulation in one object: they cannot disagree."""

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(B,) float64 -log p(y | mean), mean = A(x), over the observed entries."""

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(B, *y) Gauss-Newton weight; 0 where unobserved."""

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """(B, *y) a measurement; 0 where unobserved."""


@runtime_checkable
class Target(Protocol):
    """The posterior in noise space.

    One that also has `NoisePosterior.value` is asked for some of the rows, without gradients, where
    a kernel needs no more.
    """

    def __call__(self, z: Tensor) -> State:
        """Evaluate (B, *shape); the only place that calls autograd."""

    def linearize(self, z: Tensor) -> tuple[Tensor, Product, Product]:
        """A(Phi(z)) with its Jacobian-vector and vector-Jacobian products."""


class Kernel(ABC):
    """A Markov transition on the posterior. A subclass is a frozen dataclass and defines `step`.

    Everything that the sampling loop, tempered SMC, calibration and reports need to know is
    declared here; nobody looks for more.

    The noise of a step is keyed: a pure function of seed, image, chain, step and slot.
    `noise.normal(shape, slot, dtype)` gives (B, *shape) standard normal numbers and
    `noise.uniform(shape, slot)` (B, *shape) numbers in (0, 1). Slots are the constants of
    `noisewalk.noise`, such as `PROPOSAL` and `ACCEPT`; one slot read twice gives the same numbers.

    Example:
        Random-walk Metropolis on N(0, I), with an accept step for every row.

        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class RandomWalk(nw.Kernel):
        ...     step_size: float = 0.1
        ...     exact = True
        ...     needs_gradient = False
        ...     def step(self, state, target, noise, carry=None):
        ...         xi = noise.normal(tuple(state.z.shape[1:]), nw.noise.PROPOSAL, state.z.dtype)
        ...         new = target(state.z + self.step_per_row(state.z) * xi)
        ...         energy = lambda s: s.nll + 0.5 * s.z.double().square().sum(1)
        ...         log_alpha = energy(state) - energy(new)
        ...         taken = noise.uniform((), nw.noise.ACCEPT).log() < log_alpha
        ...         info = nw.types.Info(log_alpha.exp().clamp(max=1), taken, ~new.nll.isfinite())
        ...         keep = lambda a, b: torch.where(taken.view(-1, *[1] * (a.ndim - 1)), a, b)
        ...         return nw.types.State(*map(keep, new, state)), info, None
        >>> phi, likelihood = nw.maps.Affine(torch.eye(2)), nw.likelihoods.Gaussian(0.5)
        >>> target = nw.NoisePosterior(phi, lambda x: x, likelihood, torch.ones(1, 2))
        >>> nw.sample(target, RandomWalk(), 5, warm_start=None, progress=False)
        Run(1 image, 4 chains, 5 draws of shape (2,), 504 network calls)
    """

    needs_gradient: bool = True  # whether `step` reads `State.grad`
    exact: bool = False  # whether the posterior is its stationary law, as an accept step makes it
    reversible: bool = True  # whether each transition is its own reverse in law
    evaluations: int = 1  # of the target a transition, for estimates of cost
    step_size: Any  # one number or (N,), as a field; None, or without this field: none to adapt
    preconditioner: Any  # a Gaussian reference, as a field; None, or without this field: N(0, I)
    takes_preconditioner: bool = False  # whether `dataclasses.replace` may set `preconditioner`
    fits_preconditioner: bool = False  # whether a warm-up fits one where nobody says otherwise
    carries: bool = False
    """Whether it has a carry. If that is the only reason why it is not reversible, the transitions
    from a fresh carry to the next fresh one are reversible together."""
    target_accept: float = 0.574  # acceptance that the warm-up's adaptation of the step aims at
    largest_step: float = math.inf  # step that the adaptation never exceeds
    quarter_turn: float = math.inf  # step at which a transition turns N(0, I) by pi / 2

    def __getattr__(self, name: str) -> None:
        # no class attributes: a dataclass would take them as the defaults of fields
        if name in ("step_size", "preconditioner"):
            return
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @abstractmethod
    def step(
        self, state: State, target: Target, noise: Noise, carry: Tensor | None = None
    ) -> tuple[State, Info, Tensor | None]:
        """One transition of every row.

        Arguments:
            state: the target's evaluation at z, B rows.
            target: the posterior; `target(z)` evaluates (B, *shape).
            noise: this step's keyed noise for the rows.
            carry: what the last transition handed on; None at the first.

        Returns:
            The next state (a rejected row keeps the old one, bit by bit), what happened, and what
            to hand on (None: nothing).
        """

    def step_per_row(self, z: Tensor) -> Tensor:
        """The step of every row, (B, 1, ...) in the type of z, also where each image has its
        own."""
        import torch

        step = torch.as_tensor(self.step_size, dtype=z.dtype, device=z.device).reshape(-1)
        return step.repeat_interleave(len(z) // len(step)).view(-1, *[1] * (z.ndim - 1))

    def move(
        self, state: State, target: Target, noise: Noise, tuning: dict[str, Tensor], first: bool
    ) -> tuple[State, Info, Any]:
        """One move of tempered SMC's particles: `step`, or more than that in a kernel that tunes
        itself by them. It then returns its tuning in place of a carry, and gets it back at the next
        move; `first` says whether the temperature has just changed."""
        return self.step(state, target, noise)

    def facts(self) -> dict[str, Any]:
        """Name, fields and claims, ready for JSON: what spec.json, reports and citations read."""
        claims = ("exact", "reversible", "needs_gradient", "evaluations", "step_size")
        text = {"name": name_of(type(self)), "text": describe(self)}
        own = facts_of(self) if is_dataclass(self) else text
        return {**{name: facts_of(getattr(self, name)) for name in claims}, **own}


class Estimate(NamedTuple):
    """What a plan will cost, before it runs."""

    calls: int  # network calls
    memory: int  # bytes of the states that it holds at once, without the network's own
    disk: int  # bytes of the draws that it stores


class Plan(Protocol):
    """Chains or tempered SMC, every choice made; `sampling.execute` runs it."""

    @property
    def num_draws(self) -> int:
        """Draws to keep of each row."""

    @property
    def in_words(self) -> str:
        """What it does, in one sentence for people."""

    @property
    def num_rows(self) -> int:
        """Length of the run's chain axis: chains, or particles that come back."""

    @property
    def thin(self) -> int:
        """Transitions per kept draw."""

    def estimate(self, target: Target) -> Estimate:
        """Calls, memory and disk."""

    def run(self, target: Target, sink: RunStore) -> Iterator[Tick]:
        """Sample into the sink, from wherever it stands."""

    def facts(self) -> dict[str, Any]:
        """Every choice, ready for JSON."""


SamplerState: TypeAlias = dict[str, Any]
"""What a plan needs to go on bitwise: tensors, numbers, words, and dicts and lists of them."""


class RunStore(Protocol):
    """Where draws go while sampling: a folder, or memory."""

    def append(
        self, state: State, info: Info, sampler: SamplerState, extras: dict[str, Tensor]
    ) -> None:
        """Commit one draw and the sampler's state, atomically; `extras` are (B,) by name."""

    def checkpoint(self, sampler: SamplerState) -> None:
        """Commit the sampler's state alone."""

    def keep(self, arrays: dict[str, Tensor]) -> None:
        """Commit (image, chain, ...) tensors beside the draws, once."""

    def cursor(self) -> tuple[int, SamplerState | None]:
        """Draws committed, and the sampler's state to go on from."""

    def mark_complete(self) -> None:
        """Commit that all draws are there."""
