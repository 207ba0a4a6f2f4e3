"""When a warm-up fits a kernel's reference anew, and which one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

from .._checks import whole
from ..errors import ConfigError
from ..noise import Seeds
from ..types import Kernel, State
from .low_rank import LowRank, calls_of, gauss_newton
from .reference import Reference
from .spectral import Spectral, spectral

REFERENCES: dict[str, type[Reference]] = {"LowRank": LowRank, "Spectral": Spectral}


def unpack(packed: dict[str, Any]) -> Reference:
    """A reference from what `Reference.pack` gave."""
    tensors = {key: value for key, value in packed.items() if key != "name"}
    return REFERENCES[packed["name"]](**tensors)


def with_gradient(kernel: Kernel, target: Any, state: State) -> State:
    """States that a kernel has left with their gradient: one that needs none leaves 0 there."""
    return state if kernel.needs_gradient else target(state.z)


@dataclass(frozen=True)
class Schedule(ABC):
    """When a warm-up computes the preconditioner anew; a subclass says how."""

    at: tuple[float, ...] = (0.0, 0.3)
    pushes = False  # whether it needs J v

    def __post_init__(self) -> None:
        ascending = list(self.at) == sorted(set(self.at))
        if not self.at or not ascending or not 0.0 <= self.at[0] <= self.at[-1] < 1.0:
            raise ConfigError(
                f"at must hold ascending shares of the warm-up in [0, 1), got {self.at}"
            )
        few = vars(self)["num_rows"]
        if few is not None:
            whole("num_rows", few)

    def due(self, transition: int, num_warmup: int) -> bool:
        """Whether the preconditioner is computed before this transition of the warm-up."""
        places = {int(share * num_warmup) for share in self.at}
        return transition in places and transition < num_warmup

    def calls(self, num_warmup: int, dim: int) -> int:
        """Network calls a row of all refreshes of a warm-up, times `phi.nfe`."""
        places = {int(share * num_warmup) for share in self.at}
        return sum(place < num_warmup for place in places) * self.calls_each(dim)

    def rows_of(self, num_chains: int) -> int:
        """Rows an image that a refresh evaluates."""
        few: int | None = vars(self)["num_rows"]
        return num_chains if few is None else min(few, num_chains)

    @abstractmethod
    def calls_each(self, dim: int) -> int:
        """Network calls a row of one refresh, times `phi.nfe`, where z has dim numbers."""

    def fit(self, target: Any, state: State, seed: Seeds) -> Reference:
        """The preconditioner at states with their gradients: the curvature is that of the first
        `num_rows` rows of each image, the mean that of all; the seed is the probes'."""
        images = target.num_images
        chains = len(state.z) // images
        few = self.rows_of(chains)
        if few == chains:
            return self.fitted(target, state, seed)
        some = (part.unflatten(0, (images, chains))[:, :few].flatten(0, 1) for part in state)
        found = self.fitted(target, State(*some), seed)
        return replace(found, mean=found.newton(state))  # type: ignore[type-var]

    @abstractmethod
    def fitted(self, target: Any, state: State, seed: Seeds) -> Reference:
        """The preconditioner at all the given rows."""


@dataclass(frozen=True)
class Refresh(Schedule):
    """When a warm-up computes a `LowRank` preconditioner anew, and how.

    Arguments:
        at: shares of the warm-up, in [0, 1), ascending; 0 is right after the warm start.
        rank: largest number of eigenvalues kept; None keeps all above `tol`.
        tol: as in `gauss_newton`.
        num_rows: rows an image that the curvature is averaged over; None is all.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> nw.Refresh(rank=8).calls(num_warmup=120, dim=1024)
        130
    """

    rank: int | None = 40
    tol: float = 0.1
    num_rows: int | None = None

    pushes = True

    def calls_each(self, dim: int) -> int:
        """That of `gauss_newton`."""
        return calls_of(self.rank, dim)

    def fitted(self, target: Any, state: State, seed: Seeds) -> LowRank:
        """By `gauss_newton`."""
        return gauss_newton(target, state, self.rank, self.tol, seed)


@dataclass(frozen=True)
class SpectralRefresh(Schedule):
    """When a warm-up computes a `Spectral` preconditioner anew, and from how many probe vectors.

    Arguments:
        at: shares of the warm-up, in [0, 1), ascending; 0 is right after the warm start.
        num_probes: a row.
        num_rows: rows an image that the curvature is averaged over; None is all.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> nw.SpectralRefresh(num_probes=16).calls(num_warmup=120, dim=1024)
        34
    """

    num_probes: int = 16
    num_rows: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("num_probes", self.num_probes)

    def calls_each(self, dim: int) -> int:
        """That of `spectral`, whatever dim."""
        return 1 + self.num_probes

    def fitted(self, target: Any, state: State, seed: Seeds) -> Spectral:
        """By `spectral`."""
        return spectral(target, state, self.num_probes, seed)


def refresh_of(shape: tuple[int, ...], **settings: Any) -> Schedule:
    """The usual schedule where z has this shape: spectral for an image, else of low rank."""
    return SpectralRefresh(**settings) if is_image(shape) else Refresh(**settings)


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether z of this shape has rows and columns."""
    return len(shape) > 1 and min(shape[-2:]) > 1
