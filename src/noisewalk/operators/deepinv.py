"""The measurement models of the library deepinv.

deepinv itself is not imported: `A`, `noise_model`, `sensor` and the mask of a physics are read.
Where the mask of inpainting or MRI is 0, y is 0 without noise: there it is not observed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from .._checks import real
from .._repr import readable
from ..errors import ConfigError
from ..types import Likelihood
from .arrays import floating
from .deepinv_noise import likelihood_of

_UNMASKED, _MASKED, _MASKED_COILS = range(3)
_NOISE_OF = {
    "Physics": _UNMASKED,
    "LinearPhysics": _UNMASKED,
    "NonCartesianMRI": _UNMASKED,
    "Inpainting": _MASKED,
    "MRI": _MASKED,
    "DynamicMRI": _MASKED,
    "MultiCoilMRI": _MASKED_COILS,
}  # what the classes that define `noise` do to it


def from_deepinv(
    physics: Any, data_range: tuple[float, float] = (0.0, 1.0)
) -> tuple["DeepinvOperator", Likelihood]:
    r"""A deepinv physics as an operator and a likelihood.

    deepinv's images lie in a data range [a, b], ours in [-1, 1]:
    $A(x) = A_\mathrm{physics}(a + \tfrac{b - a}{2} (x + 1))$, and y goes into the target unchanged.

    Arguments:
        physics: a deepinv physics with GaussianNoise, LaplaceNoise or PoissonNoise of one level.
        data_range: the values a and b that x = -1 and x = 1 stand for, ascending.

    Returns:
        The operator and the likelihood, on the scale of the y that the physics makes.

    Raises:
        ConfigError: no physics, or one whose noise, sensor or mask has no counterpart here.

    Example:
        >>> from types import SimpleNamespace
        >>> noise = type("GaussianNoise", (), {"sigma": 0.1})()  # as in deepinv.physics
        >>> nw.operators.from_deepinv(SimpleNamespace(A=abs, noise_model=noise))[1]
        Gaussian(sigma_y=0.1)
    """
    if not callable(getattr(physics, "A", None)) or not hasattr(physics, "noise_model"):
        got = type(physics).__name__
        raise ConfigError(
            f"from_deepinv needs a deepinv physics, with A and noise_model, got {got}"
        )
    name = "from_deepinv's data_range"
    if not isinstance(data_range, Sequence) or len(data_range) != 2:
        raise ConfigError(f"{name} must be two finite numbers, for -1 and 1, got {data_range!r}")
    low, high = (real(name, end) for end in data_range)
    if low >= high:
        raise ConfigError(f"{name} must have the lower number first, got {data_range!r}")
    observed, likelihood = _observed(physics), likelihood_of(physics.noise_model)
    _check_sensor(physics)
    return DeepinvOperator(physics, low, high, observed), likelihood


@readable
@dataclass(frozen=True, eq=False, repr=False)
class DeepinvOperator:
    """A of a deepinv physics, which must not change, for images in [-1, 1] (there [low, high])."""

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
            images = f"real {x.dtype} images of shape {tuple(x.shape[1:])} on {x.device}"
            why = " ".join(str(error).split())
            raise ConfigError(f"A of {name} fails on {images}: {why}") from error
        if not isinstance(y, Tensor) or not y.is_floating_point():
            found = str(y.dtype) if isinstance(y, Tensor) else type(y).__name__
            raise ConfigError(f"A of {name} must return one real tensor, got {found}")
        return y

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y, from an image of zeros like the tensors of the physics."""
        with torch.no_grad():
            return tuple(self(torch.zeros(1, *shape, **_place(self.physics))).shape[1:])


def _observed(physics: Any) -> Tensor | None:
    """What the physics leaves in y; None: everything."""
    owner = next((cls.__name__ for cls in type(physics).__mro__ if "noise" in vars(cls)), None)
    if owner is None or _NOISE_OF.get(owner) == _UNMASKED:
        return None
    name = type(physics).__name__
    if owner not in _NOISE_OF:
        raise ConfigError(
            f"{name} has a way of its own to add noise ({owner}.noise): y has no known law"
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
        raise ConfigError(f"{name}'s mask must hold 0 and 1 only: deepinv multiplies noise by it")
    return (mask[:, :, None] if _NOISE_OF[owner] == _MASKED_COILS else mask)[0] != 0


def _check_sensor(physics: Any) -> None:
    """ConfigError unless the sensor model leaves y as it is."""
    sensor = getattr(physics, "sensor", None) or getattr(physics, "sensor_model", None)
    if not callable(sensor):
        return
    probe = torch.linspace(-2.5, 2.5, 64, **_place(physics)).reshape(1, 1, 8, 8)
    try:
        changed = not torch.equal(sensor(probe), probe)
    except (IndexError, RuntimeError, TypeError, ValueError):
        changed = True
    if changed:
        raise ConfigError(
            f"{type(physics).__name__}'s sensor_model changes y (saturation, quantisation), which "
            "no likelihood here describes: take a physics without"
        )


def _place(physics: Any) -> dict[str, Any]:
    """The device and the type of the physics' first floating-point tensor."""
    if not isinstance(physics, torch.nn.Module):
        return {}
    held = (t for t in chain(physics.buffers(), physics.parameters()) if t.is_floating_point())
    tensor = next(held, None)
    return {} if tensor is None else {"device": tensor.device, "dtype": tensor.dtype}
