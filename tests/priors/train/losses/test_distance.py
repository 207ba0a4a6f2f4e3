"""The distances of the distillation losses: closed form, LPIPS as the metric says it, finite
gradients."""

import pytest
import torch

from noisewalk.errors import ConfigError, WeightsError
from noisewalk.evaluate.metrics import lpips
from noisewalk.evaluate.metrics.perceptual import perceptual_distance
from noisewalk.priors.train.losses.distance import DISTANCES, check_distance, distances


def pair(side: int, channels: int = 3, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(side)
    return tuple(
        torch.rand(count, channels, side, side, generator=generator) * 2 - 1 for _ in range(2)
    )


def net(name: str) -> str:
    try:
        lpips(*pair(32), net=name)
    except WeightsError as error:
        pytest.skip(f"LPIPS weights are not here: {error}")
    return name


def test_huber_is_the_norm_far_away_and_half_its_square_over_c_nearby() -> None:
    a, b = pair(8)
    far = distances(a, b, "huber", 1e-6)
    torch.testing.assert_close(far, (a - b).flatten(1).norm(dim=1), rtol=1e-5, atol=1e-4)
    near = distances(a.double(), a.double() + 1e-6, "huber", 0.1)
    c = 0.1 * (3 * 64) ** 0.5
    torch.testing.assert_close(
        near, torch.full((3,), 3 * 64 * 1e-12 / 2 / c, dtype=torch.float64), rtol=1e-3, atol=0.0
    )


@pytest.mark.parametrize("name", ["alex", "vgg"])
def test_the_perceptual_part_is_lpips(name: str) -> None:
    a, b = pair(64)
    expected = lpips(a, b, net=net(name))
    torch.testing.assert_close(
        perceptual_distance(a, b, name).double(), expected, rtol=1e-4, atol=1e-6
    )
    total = distances(a, b, f"lpips-{name}", 1e-6).double()
    root = (3 * 64 * 64) ** 0.5
    torch.testing.assert_close(
        total, expected + (a - b).flatten(1).norm(dim=1).double() / root, rtol=1e-4, atol=1e-5
    )


def test_small_grey_images_are_enlarged() -> None:
    a, b = pair(32, 1)
    large = [torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear") for x in (a, b)]
    torch.testing.assert_close(
        perceptual_distance(a, b, net("alex")).double(), lpips(*large), rtol=1e-4, atol=1e-6
    )


def test_gradients_are_finite_and_those_of_the_metric() -> None:
    a, b = pair(32, 1)
    a[0] = 0.0  # a flat image, where features vanish
    x = a.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(distances(x, b, f"lpips-{net('alex')}", 0.00054).sum(), x)
    assert bool(gradient.isfinite().all())
    direction, step = torch.sign(gradient[1:]), 1e-3
    ends = [
        float(distances(a[1:] + s * step * direction, b[1:], "lpips-alex", 0.00054).sum())
        for s in (1, -1)
    ]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(
        float((gradient[1:] * direction).sum()), rel=0.05
    )
    same = a.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(distances(same, a, "lpips-alex", 0.00054).sum(), same)
    assert bool(gradient.isfinite().all())


def test_what_is_not_allowed() -> None:
    for distance in DISTANCES:
        check_distance(distance, 0.1, (3, 32, 32))
    with pytest.raises(ConfigError, match="choose one of huber, lpips-alex, lpips-vgg"):
        check_distance("l2", 0.1, (3, 32, 32))
    with pytest.raises(ConfigError, match="1 or 3 channels, got 2"):
        check_distance("lpips-vgg", 0.1, (2, 32, 32))
    with pytest.raises(ConfigError, match=r"unknown net .squeeze."):
        perceptual_distance(*pair(32), net="squeeze")
