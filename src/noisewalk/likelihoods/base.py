"""What every likelihood can be asked, with the defaults.

A(x) is `mean`, (B, *y), y is (B, *y), and `observed` is a bool tensor that broadcasts; None: all.
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from .._checks import real
from .._repr import describe
from ..errors import ConfigError
from ..noise import Noise
from .rows import count_of, mask_of, row_sum


class LikelihoodBase(ABC):
    """p(y | A(x)). A subclass is a frozen dataclass of positive numbers, or checks its own."""

    chi2_is_exact = False  # whether m `residual_chi2` of m observed entries is chi-square(m)
    counts = False  # whether y holds counts and not pixels in [-1, 1]
    perturbs_at_fit = False  # whether `perturb` reads the mean
    is_curved = True  # whether there is a `curvature`
    square_variance = math.nan  # of one squared entry of `residual`; NaN where there is none

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            vars(self)[name] = real(f"{type(self).__name__}'s {name}", value, above=0)

    @abstractmethod
    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | A(x)) of every row with every constant, (B,) float64."""

    @abstractmethod
    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """The Gauss-Newton weight of A(x), (B, *y) in the type of A(x), 0 where unobserved."""

    @abstractmethod
    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row, (B, *y) in the type of A(x), 0 where unobserved."""

    def replicate(
        self, mean: Tensor, y: Tensor, noise: Noise, observed: Tensor | None = None
    ) -> Tensor:
        """A second measurement of what y measured, from p(y' | A(x), y): what is unknown of the
        noise is drawn given y. Where nothing is, this is `sample`."""
        return self.sample(mean, noise, observed)

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """y - A(x) in standard deviations, (B, *y) float64, 0 where unobserved; NaN without one."""
        return torch.full(mean.shape, math.nan, dtype=torch.float64, device=mean.device)

    def residual_chi2(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """Mean of squared `residual` where observed, (B,) float64; 1 where A(x) explains y."""
        squares = row_sum(self.residual(mean, y, observed) ** 2)
        return squares / count_of(mask_of(observed, mean))

    def residual_chi2_std(self, mean: Tensor, observed: Tensor | None = None) -> Tensor:
        """The standard deviation of `residual_chi2` when y comes from A(x), (B,) float64."""
        return (self.square_variance / count_of(mask_of(observed, mean))).sqrt()

    def of_rows(self, image: Tensor, axes: int) -> "LikelihoodBase":
        """The likelihood of rows of these images, (B,), where it has values of each; `axes` are
        those of (B, *y)."""
        return self

    def of_pairs(self, axes: int) -> "LikelihoodBase":
        """The likelihood of two measurements of every row, (B, 2, *y)."""
        return self

    def check_measurement(self, y: Tensor, observed: Tensor | None = None) -> None:
        """ConfigError unless every observed entry of y can be measured under this likelihood."""
        return None

    def noise_level(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor | None:
        """The noise level inferred from A(x) and y, (B,) float64; None where it is given."""
        return None

    def perturb(
        self, y: Tensor, mean: Tensor, noise: Noise, observed: Tensor | None = None
    ) -> Tensor | None:
        """A measurement y* centred at y, (B, *y) in the type of y, 0 where unobserved: the data of
        a randomised start; None where y cannot be perturbed. `mean` is A(x) at a fit to y."""
        return None

    def sup_log_likelihood(
        self, y: Tensor | None = None, observed: Tensor | None = None
    ) -> Tensor | float | None:
        """The log of the largest density over A(x), (N,); of one entry without y; None: unknown."""
        return None


def sup_at_y(
    self: LikelihoodBase, y: Tensor | None = None, observed: Tensor | None = None
) -> Tensor | float:
    """`sup_log_likelihood` where the most likely A(x) is y itself."""
    best = torch.zeros(1, 1, dtype=torch.float64) if y is None else torch.nan_to_num(y)
    found = -self.nll(best, best, observed)
    return float(found) if y is None else found


def complete(likelihood: Any) -> LikelihoodBase:
    """The likelihood with every method of `LikelihoodBase`; ConfigError if it has no `nll`."""
    if isinstance(likelihood, LikelihoodBase):
        return likelihood
    if not callable(getattr(likelihood, "nll", None)):
        likely = "such as nw.likelihoods.Gaussian(0.1)"
        raise ConfigError(f"likelihood must be {likely}, got {likelihood!r}")
    return _Completed(likelihood)


class _Completed(LikelihoodBase):
    """Anybody's likelihood: its own methods, and the defaults for the rest."""

    def __init__(self, given: Any) -> None:
        self.given = given
        self.is_curved = callable(getattr(given, "curvature", None))
        for name, default in vars(LikelihoodBase).items():
            own = getattr(given, name, None)
            if name[0] != "_" and callable(default) and callable(own):
                vars(self)[name] = own

    def __repr__(self) -> str:
        return describe(self.given)

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        return self.given.nll(mean, y, observed)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        raise self._without("curvature")

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        raise self._without("sample")

    def _without(self, name: str) -> ConfigError:
        cls = type(self.given).__name__
        return ConfigError(f"{cls} has no method {name}, which is needed here: add it to the class")
