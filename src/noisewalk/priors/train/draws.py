"""The noise of a training step, drawn where the images are."""

import torch
from torch import Tensor


def unit_noise(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw N(0, I); on a CUDA device by a generator of its own, which the given one seeds: the CPU
    takes longer for the noise than a GPU for the step.

    Arguments:
        x: gives shape and device.
        generator: on the CPU.

    Returns:
        float32 of x's shape; CUDA's numbers are others than the CPU's, which every other device
        gets.
    """
    if not x.is_cuda:
        return torch.randn(x.shape, generator=generator).to(x.device)
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.randn(
        x.shape, generator=torch.Generator(x.device).manual_seed(seed), device=x.device
    )
