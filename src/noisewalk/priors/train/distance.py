r"""How far a student's image is from its goal.

- Without a network: $d(a, b) = \sqrt{\|a - b\|^2 + c^2} - c$, c = huber times the square root of
  the number of values in an image.
- With one: $d(a, b) / \sqrt{n} + \mathrm{LPIPS}(a, b)$, n the number of values. The squared error's
  goal is a mean of images, which is blurred; LPIPS counts what a network that recognises things
  sees, and prefers a sharp image to the blurred one.

References: Song et al., Consistency Models, 2023, section 6.1 (LPIPS); Song and Dhariwal, Improved
Techniques for Training Consistency Models, 2023, section 3.3 (the pseudo-Huber distance and its c);
Lee et al., Improving the Training of Rectified Flows, 2024, section 4.2 (the sum).
"""

import torch
from torch import Tensor

from ...errors import ConfigError
from ...evaluate.metrics.perceptual import ARCHIVES, perceptual_distance
from .checks import check_above

HUBER = 0.00054
"""c per square root of the number of values, from the second reference."""
DISTANCES = ("huber", *(f"lpips-{net}" for net in ARCHIVES))


def check_distance(distance: str, huber: float, shape: tuple[int, ...]) -> None:
    """Check what `distance` takes.

    Arguments:
        distance: one of `DISTANCES`.
        huber: c per square root of the number of values.
        shape: (C, H, W) of an image.

    Raises:
        ConfigError: an unknown distance, a huber that is not positive, or images that LPIPS's
            networks cannot see.
    """
    if distance not in DISTANCES:
        raise ConfigError(f"unknown distance {distance!r}: choose one of {', '.join(DISTANCES)}")
    check_above("huber", huber, 0.0)
    if distance != "huber" and shape[0] not in (1, 3):
        raise ConfigError(
            f"distance {distance} takes images of 1 or 3 channels, got {shape[0]}: choose huber"
        )


def distances(a: Tensor, b: Tensor, distance: str, huber: float) -> Tensor:
    """Distance of each image.

    Arguments:
        a: (B, C, H, W) in [-1, 1] or somewhat beyond.
        b: the same shape.
        distance: one of `DISTANCES`.
        huber: c per square root of the number of values.

    Returns:
        (B,) float32 or better, at least 0.
    """
    a, b = (
        a.to(torch.promote_types(a.dtype, torch.float32)),
        b.to(torch.promote_types(b.dtype, torch.float32)),
    )
    root = a[0].numel() ** 0.5
    c = huber * root
    plain = torch.sqrt((a - b).square().flatten(1).sum(1) + c**2) - c
    if distance == "huber":
        return plain
    return plain / root + perceptual_distance(a, b, distance.removeprefix("lpips-")).to(plain.dtype)
