"""What a `NoisePosterior` asks of its parts when it is built."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ._intake import with_mask
from ._repr import describe
from .errors import ConfigError
from .likelihoods.base import LikelihoodBase
from .maps.per_image import num_images

STACKED = "stack the parts of complex numbers, torch.view_as_real(...), in the operator and in y"
SAME = 1e-3
"""Largest difference of one x in two evaluations, in units of the std of x."""
ROUNDINGS = 32
"""The same in units of the precision of the map's weights: 0.25 in bfloat16, 0.03 in float16."""


def check_parts(phi: Any, operator: Any) -> None:
    """ConfigError unless each is an object of its kind."""
    if not (hasattr(phi, "shape") and hasattr(phi, "nfe") and callable(phi)):
        raise ConfigError(
            "phi must be a map with shape and nfe, such as prior.map() or "
            f"nw.maps.Generator(network, shape, data_shape), got {type(phi).__name__}"
        )
    if not callable(operator):
        raise ConfigError(
            "operator must be a function of x, such as nw.operators.AveragePool(4), got "
            f"{type(operator).__name__}"
        )


def measurement(y: Any, observed: Any) -> tuple[Tensor, Tensor | None]:
    """y as a floating-point tensor of no graph, and what of it is observed: `observed` where it is
    not masked."""
    y, unmasked = with_mask("y", y)
    if not y.is_complex() and not y.is_floating_point() and y.dtype != torch.bool:
        y = y.to(torch.float32)
    if not y.is_floating_point() or (y.ndim > 0 and len(y) == 0):
        stacked = f": {STACKED}" if y.is_complex() else ""
        raise ConfigError(
            "y must be a floating-point tensor (images, *y) with one image or more, got "
            f"{y.dtype} {tuple(y.shape)}{stacked}"
        )
    if observed is not None and not isinstance(observed, list):
        observed = with_mask("observed", observed)[0]
    if unmasked is None or unmasked.all():
        return y, observed
    return y, unmasked.to(y.device) if observed is None else combine(unmasked, observed, y)


@contextmanager
def explained(z: Tensor) -> Iterator[None]:
    """ConfigErrors for what torch says of a type or a mode that does not fit z."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigError(
            "the network's batch normalisation takes its statistics from the batch, so x of one "
            "row depends on the others: call eval() on it (track_running_stats=False has none)"
        ) from error
    except RuntimeError as error:
        if "Inference tensors" in str(error):
            made = "the map or the operator holds tensors made inside torch.inference_mode()"
            raise ConfigError(
                f"{made}, which have no gradients: build it outside (torch.no_grad() is fine)"
            ) from error
        if "dtype" not in str(error):
            raise
        raise ConfigError(
            f"the map or the operator cannot take {z.dtype}, y's type: give both one type, such as "
            "y.float() and network.float()"
        ) from error


def shapes_of(
    phi: Any, operator: Any, y: Tensor, x: Tensor | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of one x, as it is or as the map says, and of one A(x)."""
    with torch.no_grad():
        if x is None:
            data_shape = getattr(phi, "data_shape", None)
            zero = y.new_zeros(1, *(phi.shape if data_shape is None else data_shape))
            x = phi(zero) if data_shape is None else zero
        mean = operator(torch.zeros_like(x))
    if not isinstance(mean, Tensor) or mean.is_complex():
        found = mean.dtype if isinstance(mean, Tensor) else type(mean).__name__
        raise ConfigError(f"the operator must give a real tensor, got {found}: {STACKED}")
    return tuple(x.shape[1:]), tuple(mean.shape[1:])


def check_shape(y: Tensor, expected: tuple[int, ...]) -> None:
    """ConfigError unless y is (N, *y) with the shape of A(x)."""
    if y.ndim == 0 or tuple(y.shape[1:]) != expected:
        allowed = f"y must be (images, {', '.join(map(str, expected))})"
        raise ConfigError(
            f"y has shape {tuple(y.shape)}, but A(x) of one image has shape {expected}: "
            f"{'give y[None]' if tuple(y.shape) == expected else allowed}"
        )


def usable(device: str | torch.device | None) -> torch.device | None:
    """A device that can be used here; None stays None."""
    from .priors.request import usable_device

    return None if device is None else usable_device(device)


def single_or_double(dtype: torch.dtype | None) -> torch.dtype | None:
    """The type of states: None stays None."""
    if dtype not in (None, torch.float32, torch.float64):
        half = "a network in half precision is loaded so: nw.load_prior(..., dtype=)"
        raise ConfigError(f"dtype must be torch.float32 or torch.float64, got {dtype}: {half}")
    return dtype


def num_labelled(phi: Any, y: Tensor) -> int | None:
    """The number of images that a map holds labels for; ConfigError unless they are those of y."""
    count = num_images(phi)
    if count is not None and (y.ndim == 0 or len(y) != count):
        has = f"phi has a label for each of {count} images, and y has {len(y) if y.ndim else 0}"
        raise ConfigError(f"{has}: load the prior with one label, or with one per image")
    return count


def precision_of(phi: Any) -> float:
    """The relative precision of the coarsest weights in a map."""
    types = [torch.finfo(t.dtype).eps for t in _weights_in(phi) if t.is_floating_point()]
    return max(types, default=0.0)


def _weights_in(part: Any) -> Iterator[Tensor]:
    """The weights of every network in a map, whatever is around it."""
    if isinstance(part, nn.Module):
        yield from part.parameters()
    elif is_dataclass(part) and not isinstance(part, type):
        yield from (weight for one in vars(part).values() for weight in _weights_in(one))


def check_function(together: Any, alone: Any, precision: float = 0.0) -> None:
    """ConfigError unless the second of two rows is what it is alone: Phi is then a function of its
    row, and not random. In half precision a batch of two is rounded otherwise than one row, by up
    to 5 times the precision in units of the std of x where it was tried."""
    if not isinstance(together, Tensor) or not isinstance(alone, Tensor):
        got = type(together).__name__
        raise ConfigError(
            f"phi must map a tensor z (B, *shape) to a tensor x (B, *data), got {got}"
        )
    if len(together) != 2 or together.shape[1:] != alone.shape[1:] or len(alone) != 1:
        got = f"{tuple(together.shape)} and {tuple(alone.shape)}"
        raise ConfigError(
            f"phi must give a row of x for each row of z: of 2 and 1 rows it made {got}"
        )
    pair = together.double()
    gap, spread = float((pair[1:] - alone.double()).abs().max()), float(pair.std())
    if gap > max(SAME, ROUNDINGS * precision) * spread:
        raise ConfigError(
            f"phi is no function of each row: one z gave x that differ by {gap:.3g}, alone and in "
            f"a batch of two, where x has a std of {spread:.3g}. Call eval() on the network, and "
            "freeze what is random inside it; check=False takes it as it is"
        )


def check_likelihood(likelihood: LikelihoodBase, y: Tensor, observed: Tensor | None) -> None:
    """ConfigError unless the likelihood takes this y and gives one number a row: said here and not
    after a warm start."""
    if bad := int((~torch.isfinite(y)).sum()):
        raise ConfigError(
            f"y has {bad} entries that are not finite: mark them as missing with `observed` (False "
            "where missing)"
        )
    likelihood.check_measurement(y, observed)
    first = likelihood.of_rows(torch.zeros(1, dtype=torch.int64, device=y.device), y.ndim)
    with torch.no_grad():
        some, gaps = y[:1], None if observed is None else observed[:1]
        nll = first.nll(torch.zeros_like(some), some, gaps)
    if not isinstance(nll, Tensor) or nll.shape != (1,):
        raise ConfigError(f"nll must give one number a row, (1,) for one row, got {describe(nll)}")


def perturbed(
    likelihood: LikelihoodBase, y: Tensor, mean: Tensor, noise: Any, observed: Tensor | None
) -> Tensor | None:
    """What the likelihood's `perturb` gives; ConfigError unless that is a measurement or None."""
    must = f"{likelihood!r}'s perturb(y, mean, noise, observed=None) must give y*, a measurement"
    try:
        gaps = () if observed is None else (observed,)  # a likelihood of the user's may know none
        found = likelihood.perturb(y, mean, noise, *gaps)
    except TypeError as error:
        raise ConfigError(f"{must}, and fails: {error}") from error
    if found is None:
        return None
    if not isinstance(found, Tensor) or found.shape != y.shape:
        raise ConfigError(f"{must} of y's shape {tuple(y.shape)}, got {describe(found)}")
    if not torch.isfinite(found if observed is None else found[observed]).all():
        raise ConfigError(f"{must} of finite numbers where y is observed, got NaN or infinity")
    return found


def combine(own: Tensor | None, given: Tensor | None, y: Tensor) -> Tensor | None:
    """Both masks in one, of y's shape; None where all is observed."""
    masks = [mask for mask in (own, given) if mask is not None]
    if not masks:
        return None
    full = torch.ones_like(y, dtype=torch.bool)
    for mask in masks:
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise ConfigError(f"observed must be a bool tensor (True = measured), got {found}")
        try:
            full = full & mask.to(y.device).expand(y.shape)
        except RuntimeError as error:
            shapes = f"{tuple(mask.shape)} does not broadcast to y of shape {tuple(y.shape)}"
            raise ConfigError(f"observed of shape {shapes}") from error
    if not full.reshape(len(y), -1).any(1).all():
        raise ConfigError(
            "nothing is observed in at least one image: `observed` and the operator's mask "
            "leave no entry of y"
        )
    return full


def check_gradient(nll: Tensor, gradient: bool) -> None:
    """Raise a ConfigError where a gradient is asked for and none comes back."""
    if gradient and not nll.requires_grad:
        raise ConfigError(
            "no gradient comes back through the operator and the map: write them in torch "
            "operations, or give differentiable=False"
        )
