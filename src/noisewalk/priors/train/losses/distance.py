r"""How far a student's image is from its goal.

- "huber" needs no network: $d(a, b) = \sqrt{\|a - b\|^2 + c^2} - c$, c = huber times the square
  root of the number n of values in an image; `HUBER` is that of the second reference.
- "lpips-alex" and "lpips-vgg" add what a network sees: $d(a, b) / \sqrt{n} + \mathrm{LPIPS}(a, b)$.
  The goal of the squared error is a mean of images, which is blurred; LPIPS prefers a sharp image.

References: Song et al., Consistency Models, 2023, section 6.1 (LPIPS); Song and Dhariwal, Improved
Techniques for Training Consistency Models, 2023, section 3.3 (the pseudo-Huber distance and its c);
Lee et al., Improving the Training of Rectified Flows, 2024, section 4.2 (the sum).
"""

import torch
from torch import Tensor

from ...._checks import one_of, real
from ....errors import ConfigError
from ....evaluate.metrics.perceptual import ARCHIVES, perceptual_distance

HUBER = 0.00054
DISTANCES = ("huber", *(f"lpips-{net}" for net in ARCHIVES))


def check_distance(distance: str, huber: float, shape: tuple[int, ...]) -> None:
    """Refuse an unknown distance, a bad huber, or images that LPIPS cannot see."""
    one_of("distance", distance, DISTANCES)
    real("huber", huber, above=0.0)
    if distance != "huber" and shape[0] not in (1, 3):
        takes = f"distance {distance} takes images of 1 or 3 channels"
        raise ConfigError(f"{takes}, got {shape[0]}: choose huber")


def distances(a: Tensor, b: Tensor, distance: str, huber: float) -> Tensor:
    """The distance of each pair of images (B, C, H, W), in float32 or better."""
    a, b = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in (a, b))
    root = a[0].numel() ** 0.5
    c = huber * root
    plain = torch.sqrt((a - b).square().flatten(1).sum(1) + c**2) - c
    if distance == "huber":
        return plain
    return plain / root + perceptual_distance(a, b, distance.removeprefix("lpips-")).to(plain.dtype)
