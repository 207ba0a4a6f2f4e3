"""The spectrum of what is left is that of the noise that made it."""

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.maps.representation_error import filtered
from noisewalk.priors.train.representation import measure, spectrum


@pytest.mark.parametrize("sides", [(32, 32), (31, 24)])
def test_the_spectrum_is_that_of_filtered_noise(sides: tuple[int, int]) -> None:
    std = (0.4, 0.2, 0.1, 0.05)
    e = nw.noise.rows(0, 64).normal((2, *sides), nw.noise.INIT, torch.float64)
    found = spectrum(filtered(e, std), 4)
    # the smallest band has about pi / 64 of the modes: a relative error of 1 / sqrt(2 n)
    modes = 64 * 2 * sides[0] * sides[1] * torch.pi / 64
    assert found.std == pytest.approx(std, rel=5 / (2 * modes) ** 0.5)
    white = spectrum(e, 4)
    assert white.std == pytest.approx((1.0,) * 4, rel=5 / (2 * modes) ** 0.5)


def test_an_inversion_leaves_what_the_map_cannot_express() -> None:
    blur = nw.operators.AveragePool(2)

    calls = 0

    def smooth(z: torch.Tensor) -> torch.Tensor:  # 2 x 2 blocks of one value
        nonlocal calls
        calls += len(z)
        return blur(z).repeat_interleave(2, -1).repeat_interleave(2, -2)

    phi = nw.maps.Generator(smooth, (1, 8, 8), (1, 8, 8))
    z, n = (nw.noise.rows(k, 8).normal((1, 8, 8), nw.noise.INIT) for k in (0, 1))
    images = smooth(z) + 0.1 * (n - smooth(n))  # noise that no block has
    calls = 0
    left = measure(phi, images, num_bands=2, num_steps=200)
    assert 8 * 20 <= calls == left.nfe < 8 * 225
    assert left.rms == pytest.approx(float((0.1 * (n - smooth(n))).square().mean().sqrt()), rel=0.1)
    assert left.std[1] > left.std[0]


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(ConfigError, match=r"images must be \(N, C, H, W\), got \(2, 8, 8\)"):
        measure(nw.maps.Warp((1, 8, 8)), torch.zeros(2, 8, 8))
    with pytest.raises(ConfigError, match="images of 4 x 4 are too small for 8 bands"):
        spectrum(torch.zeros(1, 1, 4, 4), 8)
