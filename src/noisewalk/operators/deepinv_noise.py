"""The noise models of the library deepinv as likelihoods."""

from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from torch import Tensor, float64

from .._checks import real
from ..errors import ConfigError
from ..likelihoods import Gaussian, Laplace, Poisson
from ..likelihoods.base import LikelihoodBase
from ..noise import Noise

ALLOWED = "GaussianNoise, LaplaceNoise and PoissonNoise"


@dataclass(frozen=True)
class DeepinvPoisson(LikelihoodBase):
    """Poisson noise as deepinv has it, y = c k with k ~ Poisson(max(A(x), 1e-4) / gain).

    This is `Poisson(1 / gain)` at 2 A(x) - 1 and k; c is the gain if `normalized`, else 1, where y
    are counts. deepinv stops or clips at 0 where A(x) is below 1e-4.
    """

    gain: float
    normalized: bool = True
    counts: bool = field(init=False, repr=False)
    unit: float = field(init=False, repr=False)  # c
    poisson: Poisson = field(init=False, repr=False)

    def __post_init__(self) -> None:
        gain = real("PoissonNoise's gain", self.gain, above=0)
        unit, counts = gain if self.normalized else 1.0, not self.normalized
        vars(self).update(gain=gain, counts=counts, unit=unit, poisson=Poisson(1 / gain))

    def check_measurement(self, y: Tensor, observed: Tensor | None = None) -> None:
        """ConfigError unless every observed entry of y can be a multiple of a count."""
        self.poisson.check_measurement(y / self.unit, observed)

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | A(x)) of every row, (B,) float64."""
        return self.poisson.nll(_brightness(mean), y.to(float64) / self.unit, observed)

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """Pearson's residual (k - rate) / sqrt(rate), (B, *y) float64, 0 where unobserved."""
        return self.poisson.residual(_brightness(mean), y.to(float64) / self.unit, observed)

    def residual_chi2_std(self, mean: Tensor, observed: Tensor | None = None) -> Tensor:
        """The standard deviation of `residual_chi2` when y comes from A(x), (B,) float64."""
        return self.poisson.residual_chi2_std(_brightness(mean), observed)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """The Fisher information of A(x), 1 / (gain A(x)), 0 below the least rate."""
        return (4 * self.poisson.curvature(_brightness(mean), y, observed)).to(mean.dtype)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row, (B, *y) in the type of A(x), 0 where unobserved."""
        counts = self.poisson.sample(_brightness(mean), noise, observed)
        return (self.unit * counts).to(mean.dtype)

    def sup_log_likelihood(self, y: Tensor | None = None, observed: Tensor | None = None) -> Tensor:
        """The log mass of the counts y / c at the rate max(y / c, 1e-4 / gain), (N,) float64."""
        counts = None if y is None else y.to(float64) / self.unit
        return self.poisson.sup_log_likelihood(counts, observed)


def _brightness(mean: Tensor) -> Tensor:
    return 2 * mean.to(float64) - 1


def likelihood_of(noise: Any) -> LikelihoodBase:
    """The likelihood of a noise model; ConfigError for one without a counterpart."""
    name = type(noise).__name__
    makers: dict[str, Callable[[], LikelihoodBase]] = {
        "GaussianNoise": lambda: Gaussian(_level(noise, "sigma")),
        "LaplaceNoise": lambda: Laplace(_level(noise, "b")),
        "PoissonNoise": lambda: DeepinvPoisson(_level(noise, "gain"), bool(noise.normalize)),
    }
    if name not in makers:
        exact = name == "ZeroNoise" or noise is None
        why = "the measurement is exact" if exact else f"{name} has no counterpart here"
        raise ConfigError(
            f"from_deepinv can use {ALLOWED}, but {why}: set physics.noise_model to one of them"
        )
    try:
        return makers[name]()
    except ConfigError as error:
        raise ConfigError(f"deepinv's {name}: {error}") from error


def _level(noise: Any, name: str) -> float:
    value = getattr(noise, name)
    if isinstance(value, Real) or (isinstance(value, Tensor) and value.numel() == 1):
        return float(value)
    found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
    raise ConfigError(
        f"{name} must be one number for all images, got {found}: make one physics for each level"
    )
