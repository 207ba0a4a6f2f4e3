r"""Measurement models of the library deepinv: its physics as an operator, the physics' noise as a
likelihood.

deepinv's images v lie in a data range [a, b], ours in [-1, 1], so that
$$A(x) = A_\mathrm{physics}\big( a + \tfrac{b - a}{2} (x + 1) \big),$$
on the scale of the y that the physics makes: y goes into the target as deepinv returns it. The
noise models with a counterpart here are

- GaussianNoise(sigma): `Gaussian(sigma)`;
- LaplaceNoise(b): `Laplace(b)`;
- PoissonNoise(gain, normalize): $y = c\,k$ with counts $k \sim$ Poisson(A(x) / gain) and c = gain
  if normalised, else 1: `DeepinvPoisson`.

Inpainting and MRI put zeros, without noise, where their mask is 0: there y is not observed.

deepinv itself is not imported: what is read of a physics are `A`, `noise_model`, `sensor` and the
mask.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from .._repr import readable
from ..errors import ConfigError
from ..likelihoods import Gaussian, Laplace, Poisson
from ..noise import Noise
from ..types import Likelihood
from .arrays import floating

ALLOWED = "GaussianNoise, LaplaceNoise and PoissonNoise"

_UNMASKED, _MASKED, _MASKED_COILS = range(3)
_NOISE_OF = {
    "Physics": _UNMASKED,
    "LinearPhysics": _UNMASKED,
    "NonCartesianMRI": _UNMASKED,
    "Inpainting": _MASKED,
    "MRI": _MASKED,
    "DynamicMRI": _MASKED,
    "MultiCoilMRI": _MASKED_COILS,
}
"""What the classes that define `noise` do to it."""


def from_deepinv(
    physics: Any, data_range: tuple[float, float] = (0.0, 1.0)
) -> tuple["DeepinvOperator", Likelihood]:
    """The operator and the likelihood of a deepinv physics.

    The target takes y = physics(v) unchanged, with v the image in the data range; sigma and gain
    are on the scale of that y.

    Arguments:
        physics: a deepinv physics with GaussianNoise, LaplaceNoise or PoissonNoise of one level, on
            the device of the prior.
        data_range: the values of v that x = -1 and x = 1 stand for, the lower one first.

    Returns:
        The operator and the likelihood.

    Raises:
        ConfigError: no physics, or a stacked one; a noise model without counterpart or with a level
            per image; a sensor model that changes y; a mask that is not 0 and 1 or differs between
            images; a data range that is not two numbers in ascending order.

    Example:
        operator, likelihood = from_deepinv(physics)
        target = NoisePosterior(phi, operator, likelihood, physics(v))
    """
    if not callable(getattr(physics, "A", None)) or not hasattr(physics, "noise_model"):
        raise ConfigError(
            "from_deepinv needs a deepinv physics, which has A and noise_model, got "
            f"{type(physics).__name__}"
        )
    if (
        not isinstance(data_range, Sequence)
        or len(data_range) != 2
        or not all(isinstance(end, Real) and math.isfinite(end) for end in data_range)
    ):
        raise ConfigError(
            "from_deepinv's data_range must be two finite numbers, what -1 and 1 stand for, "
            f"got {data_range!r}"
        )
    low, high = float(data_range[0]), float(data_range[1])
    if low >= high:
        raise ConfigError(
            f"from_deepinv's data_range must have the lower number first, got {data_range!r}"
        )
    observed, likelihood = _observed(physics), _likelihood(physics.noise_model)
    _check_sensor(physics)
    return DeepinvOperator(physics, low, high, observed), likelihood


@readable
@dataclass(frozen=True, eq=False, repr=False)
class DeepinvOperator:
    """A of a deepinv physics on images in [-1, 1]; made by `from_deepinv`.

    Arguments:
        physics: the physics; its parameters must stay as they are. Its class says whether it can be
            differentiated, and pickled.
        low: what x = -1 stands for.
        high: what x = 1 stands for.
        observed: bool, broadcastable to one y; None: all.
    """

    physics: Any
    low: float
    high: float
    observed: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *y)."""
        floating("from_deepinv", x)
        name = type(self.physics).__name__
        try:
            y = self.physics.A(self.low + 0.5 * (self.high - self.low) * (x + 1))
        except torch.OutOfMemoryError:
            raise
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(
                f"A of {name} fails on real {x.dtype} images of shape {tuple(x.shape[1:])} on "
                f"{x.device}: {' '.join(str(error).split())}"
            ) from error
        if not isinstance(y, Tensor) or not y.is_floating_point():
            found = str(y.dtype) if isinstance(y, Tensor) else type(y).__name__
            raise ConfigError(
                f"A of {name} must return one real tensor, got {found}: stacked and complex "
                "measurements cannot be used"
            )
        return y

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y: A is applied to an image of zeros in the type and on the device of
        the physics."""
        with torch.no_grad():
            return tuple(self(torch.zeros(1, *shape, **_place(self.physics))).shape[1:])


@dataclass(frozen=True)
class DeepinvPoisson:
    r"""Poisson noise as deepinv has it, $y = c\,k$, $k \sim$ Poisson($\lambda$).

    $$-\log p(y | x) = \sum_{i \in O} \lambda_i - k_i \log \lambda_i + \log k_i!, \qquad \lambda = \max(A(x), 10^{-4}) / \mathrm{gain}, \quad k = y / c$$

    which is `Poisson(1 / gain)` at 2 A(x) - 1 and k. A(x) below 1e-4, where deepinv stops or clips
    at 0, counts as 1e-4.

    Arguments:
        gain: positive.
        normalized: c is the gain, as deepinv's default has it; else 1, and y are counts.

    Raises:
        ConfigError: if the gain is not positive and finite.
    """

    gain: float
    normalized: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.gain < math.inf:
            raise ConfigError(
                f"PoissonNoise's gain must be a positive finite number, got {self.gain}"
            )

    def check_measurement(self, y: Tensor, observed: Tensor | None = None) -> None:
        """ConfigError unless every observed entry of y can be a multiple of a count."""
        self._counts.check_measurement(y / self._unit, observed)

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | x) of every row, (B,) float64."""
        return self._counts.nll(_brightness(mean), y.to(torch.float64) / self._unit, observed)

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """Pearson's residual (k - rate) / sqrt(rate), (B, *y) float64, 0 where unobserved."""
        return self._counts.residual(_brightness(mean), y.to(torch.float64) / self._unit, observed)

    def residual_chi2(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """Pearson's chi-square per observed entry, (B,) float64: near 1 where A(x) explains y; NaN
        where a row observes nothing."""
        return self._counts.residual_chi2(
            _brightness(mean), y.to(torch.float64) / self._unit, observed
        )

    def residual_chi2_std(self, mean: Tensor, observed: Tensor | None = None) -> Tensor:
        """Standard deviation of `residual_chi2` when y comes from A(x), (B,) float64."""
        return self._counts.residual_chi2_std(_brightness(mean), observed)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """The Fisher information of A(x), 1 / (gain A(x)), 0 where the rate is held at its least;
        in the type of A(x), 0 where unobserved."""
        return (
            4
            * self._counts.curvature(_brightness(mean), y.to(torch.float64) / self._unit, observed)
        ).to(mean.dtype)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row, (B, *y) in the type of A(x), 0 where unobserved; uses the
        SIMULATE slot."""
        return (self._unit * self._counts.sample(_brightness(mean), noise, observed)).to(mean.dtype)

    @property
    def _counts(self) -> Poisson:
        return Poisson(1 / self.gain)

    @property
    def _unit(self) -> float:
        return self.gain if self.normalized else 1.0


def _brightness(mean: Tensor) -> Tensor:
    return 2 * mean.to(torch.float64) - 1


def _likelihood(noise: Any) -> Likelihood:
    name = type(noise).__name__
    makers: dict[str, Callable[[], Likelihood]] = {
        "GaussianNoise": lambda: Gaussian(_level(noise, "sigma")),
        "LaplaceNoise": lambda: Laplace(_level(noise, "b")),
        "PoissonNoise": lambda: DeepinvPoisson(_level(noise, "gain"), bool(noise.normalize)),
    }
    if name not in makers:
        why = (
            "the measurement is exact"
            if name == "ZeroNoise" or noise is None
            else f"{name} has no counterpart here"
        )
        raise ConfigError(
            f"from_deepinv can use {ALLOWED}, but {why}: set physics.noise_model to one of "
            "them, such as GaussianNoise(sigma=0.1)"
        )
    try:
        return makers[name]()
    except ConfigError as error:
        raise ConfigError(f"deepinv's {name}: {error}") from error


def _level(noise: Any, name: str) -> float:
    value = getattr(noise, name)
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value)
    if not isinstance(value, Real):
        found = (
            f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        )
        raise ConfigError(
            f"{name} must be one number for all images, got {found}: make a physics and a "
            "target for each level"
        )
    return float(value)


def _observed(physics: Any) -> Tensor | None:
    """What the physics leaves in y; None: everything."""
    owner = next((cls.__name__ for cls in type(physics).__mro__ if "noise" in vars(cls)), None)
    if owner is None or _NOISE_OF.get(owner) == _UNMASKED:
        return None
    name = type(physics).__name__
    if owner not in _NOISE_OF:
        raise ConfigError(
            f"{name} has a way of its own to add noise ({owner}.noise), so that from_deepinv "
            "cannot tell the distribution of y"
        )
    mask = physics.mask
    if not isinstance(mask, Tensor) or mask.ndim < 2 or len(mask) != 1:
        found = f"of shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else repr(mask)
        raise ConfigError(
            f"{name}'s mask must be one tensor (1, ...) for all images, got {found}: make a "
            "physics and a target for each mask"
        )
    mask = mask.detach()
    if not ((mask == 0) | (mask == 1)).all():
        raise ConfigError(
            f"{name}'s mask must hold 0 and 1 only: elsewhere deepinv multiplies the noise, "
            "too, by the mask"
        )
    return (mask[:, :, None] if _NOISE_OF[owner] == _MASKED_COILS else mask)[0] != 0


def _check_sensor(physics: Any) -> None:
    sensor = getattr(physics, "sensor", None) or getattr(physics, "sensor_model", None)
    if not callable(sensor):
        return
    probe = torch.linspace(-2.5, 2.5, 64, **_place(physics)).reshape(1, 1, 8, 8)
    try:
        changed = not torch.equal(sensor(probe), probe)
    except (IndexError, RuntimeError, TypeError, ValueError):
        changed = True
    if changed:
        name = type(physics).__name__
        raise ConfigError(
            f"{name}'s sensor_model changes y (saturation, quantisation), which no likelihood "
            "here describes: take a physics without"
        )


def _place(physics: Any) -> dict[str, Any]:
    """Device and dtype of the physics' first floating-point tensor."""
    if not isinstance(physics, torch.nn.Module):
        return {}
    tensor = next(
        (t for t in chain(physics.buffers(), physics.parameters()) if t.is_floating_point()), None
    )
    return {} if tensor is None else {"device": tensor.device, "dtype": tensor.dtype}
