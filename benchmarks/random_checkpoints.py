"""Checkpoints of random numbers in the layouts and under the names of the paper's networks.

The weights that a layer of n inputs has are normal with variance 1 / n, so that the numbers stay
of order one. A narrower network has the same layers with fewer channels.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from noisewalk.priors.openai import to_unet
from noisewalk.priors.openai_layers import Architecture, expected_shapes

LAYOUTS = {
    "bedroom256": Architecture(256, (1, 1, 2, 2, 4, 4), 2, (3, 4, 5), False, None, 3, 3, 256, 64),
    "imagenet64": Architecture(192, (1, 2, 3, 4), 3, (1, 2, 3), True, 1000, 3, 3, 64, 64),
}
NARROW = {"bedroom256": 32, "imagenet64": 64}  # channels: the fewest that heads of 64 allow
HUB = "openai--diffusers-cd_bedroom256_lpips"  # the one that --paper takes by default


def layout(dataset: str, narrow: bool = False) -> Architecture:
    """The architecture of a data set's networks."""
    full = LAYOUTS[dataset]
    return replace(full, model_channels=NARROW[dataset]) if narrow else full


def random_state(architecture: Architecture, seed: int = 0) -> dict[str, Tensor]:
    """A state dict under OpenAI's names."""
    generator, state = torch.Generator().manual_seed(seed), {}
    for key, shape in expected_shapes(architecture).items():
        noise = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            state[key] = noise * noise[0].numel() ** -0.5
        else:
            state[key] = 1 + 0.1 * noise if key.endswith("weight") else 0.1 * noise
    return state


def write_checkpoints(cache: Path, dataset: str, narrow: bool = False) -> None:
    """Write the student and the teacher of a data set where noisewalk looks for downloads."""
    cache.mkdir(parents=True, exist_ok=True)
    a = layout(dataset, narrow)
    torch.save(random_state(a, 1), cache / f"edm_{dataset}_ema.pt")
    student = random_state(a, 2)
    if dataset == "bedroom256":
        folder = cache / HUB / "unet"
        to_unet(student, a).save_pretrained(folder, safe_serialization=False)
    else:
        torch.save(student, cache / f"cd_{dataset}_lpips.pt")
