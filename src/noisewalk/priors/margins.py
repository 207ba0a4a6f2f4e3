r"""How wide a margin the windows of a prior need.

A window misses what lies beyond its edges. The difference of a window's image and the same part of
the whole field's is measured by the distance from the window's edge. It falls with the distance,
down to what attention sees of the whole field everywhere.
"""

from dataclasses import replace
from typing import NamedTuple

import torch

from .. import noise as keyed
from .._checks import seed_of, whole
from ..errors import ConfigError
from ..maps.consistency import Consistency
from .denoiser import NetworkDenoiser
from .prior import Prior, check_sides

NEAR = 1.1
"""A margin is enough where the difference is at most this much of that in the window's middle."""


class Margins(NamedTuple):
    """What a margin leaves of the difference between windows and the whole field."""

    margins: tuple[int, ...]  # pixels
    rms: tuple[float, ...]  # of the difference inside the margin, in units of the images' std
    std: float  # of the images
    needed: int  # the smallest margin that is enough


def measure(prior: Prior, window: int = 128, seed: int = 0, num_images: int = 2) -> Margins:
    """The difference inside each margin up to 3/8 of a window, from the middle window of fields
    twice its size; a field and a window are one network call each."""
    if not isinstance(prior.denoiser, NetworkDenoiser) or prior.kind != "consistency":
        raise ConfigError(f"{prior.name} is a {prior.kind}, whose maps have no windows")
    multiple = prior.multiple
    (side,) = check_sides(prior.name, (window,), multiple)
    count, channels = whole("num_images", num_images), prior.shape[0]
    device = next(prior.denoiser.network.parameters()).device
    start = side // 2 // multiple * multiple
    inside = slice(start, start + side)
    field, cut = (
        Consistency(replace(prior.denoiser, shape=(channels, n, n))) for n in (2 * side, side)
    )
    z = keyed.rows(seed_of(seed), count, device=device).normal(field.shape, keyed.INIT)
    with torch.no_grad():
        pairs = [(field(one), cut(one[:, :, inside, inside])) for one in z.split(1)]
    images = torch.cat([x for x, _ in pairs]).double()
    gap = images[:, :, inside, inside] - torch.cat([x for _, x in pairs]).double()
    std, margins = float(images.std()), tuple(range(0, 3 * side // 8 + 1, multiple))
    within = [gap[:, :, m : side - m, m : side - m] for m in margins]
    rms = tuple(float(part.square().mean().sqrt()) / std for part in within)
    enough = (m for m, left in zip(margins, rms, strict=True) if left <= NEAR * rms[-1])
    return Margins(margins, rms, std, next(enough))
