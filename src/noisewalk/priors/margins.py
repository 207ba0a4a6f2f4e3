r"""How wide a margin the windows of a prior need.

A window misses what lies beyond its edges. The difference of a window's image and the same part of
the whole field's is measured in the ring of pixels beside each margin, where neighbours would be
blended. It falls with the distance from the edge, down to what attention sees of the whole field
everywhere: this no margin mends, only a larger window.
"""

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import torch

from .. import noise as keyed
from .._checks import seed_of, whole
from ..errors import ConfigError
from ..maps.consistency import Consistency
from .denoiser import NetworkDenoiser
from .prior import Prior, check_sides

NEAR = 1.1
"""A margin is enough where the difference beside it is at most this much of that farther inside."""


class Margins(NamedTuple):
    """What a margin leaves of the difference between windows and the whole field."""

    margins: tuple[int, ...]  # pixels
    rms: tuple[float, ...]  # of the difference beside the margin, in units of the images' std
    inside: tuple[float, ...]  # the same of all that is farther inside
    std: float  # of the images
    needed: int  # the smallest margin that is enough


def measure(prior: Prior, window: int = 128, seed: int = 0, num_images: int = 2) -> Margins:
    """The difference beside each margin up to 3/8 of a window, from the middle window of fields
    twice its size; a field and a window are one network call each."""
    if not isinstance(prior.denoiser, NetworkDenoiser) or prior.kind != "consistency":
        raise ConfigError(f"{prior.name} is a {prior.kind}, whose maps have no windows")
    multiple = prior.multiple
    (side,) = check_sides(prior.name, (window,), multiple)
    if side <= 2 * multiple:
        least = 3 * multiple
        raise ConfigError(f"windows of {side} have no middle to compare: give {least} or more")
    count, channels = whole("num_images", num_images), prior.shape[0]
    device = next(prior.denoiser.network.parameters()).device
    start = side // 2 // multiple * multiple
    middle = slice(start, start + side)
    field, cut = (
        Consistency(replace(prior.denoiser, shape=(channels, n, n))) for n in (2 * side, side)
    )
    z = keyed.rows(seed_of(seed), count, device=device).normal(field.shape, keyed.INIT)
    with torch.no_grad():
        pairs = [(field(one), cut(one[..., middle, middle])) for one in z.split(1)]
    images = torch.cat([x for x, _ in pairs]).double()
    gap = images[..., middle, middle] - torch.cat([x for _, x in pairs]).double()
    std, power = float(images.std()), gap.square().mean((0, 1))
    margins = tuple(range(0, min(3 * side // 8 + 1, side // 2 - multiple), multiple))
    parts = [power[m : side - m, m : side - m] for m in (*margins, margins[-1] + multiple)]
    rings = [
        float((a.sum() - b.sum()).clamp(min=0) / (a.numel() - b.numel())) ** 0.5 / std
        for a, b in pairwise(parts)
    ]
    inside = [float(part.mean()) ** 0.5 / std for part in parts[1:]]
    enough = (m for m, at, left in zip(margins, rings, inside, strict=True) if at <= NEAR * left)
    return Margins(margins, tuple(rings), tuple(inside), std, next(enough, margins[-1]))
