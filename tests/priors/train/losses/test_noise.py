"""Law: a training's noise is the generator's own on the CPU, and on CUDA made by it alone."""

import pytest
import torch

from noisewalk.priors.train.losses.noise import unit_noise


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_on_the_cpu_it_is_what_the_generator_gives() -> None:
    x = torch.zeros(3, 2, 4, 4, dtype=torch.float64)
    assert torch.equal(unit_noise(x, seeded(5)), torch.randn(3, 2, 4, 4, generator=seeded(5)))


def test_it_goes_where_the_images_are() -> None:
    x = torch.zeros(3, 2, 4, 4, device="meta")
    made = unit_noise(x, seeded())
    assert (made.device.type, made.shape, made.dtype) == ("meta", x.shape, torch.float32)


@pytest.mark.gpu
def test_on_cuda_the_generator_alone_decides_it() -> None:
    x = torch.zeros(64, 3, 32, 32, device="cuda")
    one, two, same = unit_noise(x, seeded(1)), unit_noise(x, seeded(2)), unit_noise(x, seeded(1))
    assert torch.equal(one, same)
    assert abs(float((one * two).mean())) < 5 / x.numel() ** 0.5
    assert abs(float(one.mean())) < 5 / x.numel() ** 0.5
    assert abs(float(one.square().mean()) - 1.0) < 5 * (2 / x.numel()) ** 0.5
