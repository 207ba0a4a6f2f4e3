"""Architectures of OpenAI's networks."""

import torch

from noisewalk.priors.openai_layers import Architecture, expected_shapes

COND = Architecture(32, (1, 2), 1, (1,), True, 1000, 3, 3, 32, 32)


BEDROOM = Architecture(256, (1, 1, 2, 2, 4, 4), 2, (3, 4, 5), False, None, 3, 3, 256, 64)


IMAGENET = Architecture(192, (1, 2, 3, 4), 3, (1, 2, 3), True, 1000, 3, 3, 64, 64)


def blank(architecture: Architecture) -> dict[str, torch.Tensor]:
    """A state dict of the right names and shapes that takes no memory."""
    return {
        key: torch.empty(shape, device="meta")
        for key, shape in expected_shapes(architecture).items()
    }
