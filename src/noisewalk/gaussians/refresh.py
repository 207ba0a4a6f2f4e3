"""When a warm-up fits a kernel's reference anew, and which one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from .._checks import whole
from ..errors import ConfigError
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

    def __post_init__(self) -> None:
        ascending = list(self.at) == sorted(set(self.at))
        if not self.at or not ascending or not 0.0 <= self.at[0] <= self.at[-1] < 1.0:
            raise ConfigError(
                f"at must hold ascending shares of the warm-up in [0, 1), got {self.at}"
            )

    def due(self, transition: int, num_warmup: int) -> bool:
        """Whether the preconditioner is computed before this transition of the warm-up."""
        places = {int(share * num_warmup) for share in self.at}
        return transition in places and transition < num_warmup

    def calls(self, num_warmup: int, dim: int) -> int:
        """Network calls a row of all refreshes of a warm-up, times `phi.nfe`."""
        return sum(self.due(k, num_warmup) for k in range(num_warmup)) * self.calls_each(dim)

    @abstractmethod
    def calls_each(self, dim: int) -> int:
        """Network calls a row of one refresh, times `phi.nfe`, where z has dim numbers."""

    @abstractmethod
    def fit(self, kernel: Kernel, target: Any, state: State, seed: int) -> Reference:
        """The preconditioner at the states that a kernel has left; the seed is the probes'."""


@dataclass(frozen=True)
class Refresh(Schedule):
    """When a warm-up computes a `LowRank` preconditioner anew, and how.

    Arguments:
        at: shares of the warm-up, in [0, 1), ascending; 0 is right after the warm start.
        rank: largest number of eigenvalues kept; None keeps all above `tol`.
        tol: as in `gauss_newton`.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> nw.Refresh(rank=8).calls(num_warmup=120, dim=1024)
        130
    """

    rank: int | None = 40
    tol: float = 0.1

    def calls_each(self, dim: int) -> int:
        """That of `gauss_newton`."""
        return calls_of(self.rank, dim)

    def fit(self, kernel: Kernel, target: Any, state: State, seed: int) -> LowRank:
        """By `gauss_newton`."""
        return gauss_newton(target, with_gradient(kernel, target, state), self.rank, self.tol, seed)


@dataclass(frozen=True)
class SpectralRefresh(Schedule):
    """When a warm-up computes a `Spectral` preconditioner anew, and from how many probe vectors.

    Arguments:
        at: shares of the warm-up, in [0, 1), ascending; 0 is right after the warm start.
        num_probes: a row.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> nw.SpectralRefresh(num_probes=16).calls(num_warmup=120, dim=1024)
        34
    """

    num_probes: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("num_probes", self.num_probes)

    def calls_each(self, dim: int) -> int:
        """That of `spectral`, whatever dim."""
        return 1 + self.num_probes

    def fit(self, kernel: Kernel, target: Any, state: State, seed: int) -> Spectral:
        """By `spectral`."""
        return spectral(target, with_gradient(kernel, target, state), self.num_probes, seed)
