"""The consistency map is its formula, with noise that only the seed knows."""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.maps.consistency import Consistency
from noisewalk.priors.denoiser import NetworkDenoiser

SHAPE = (1, 2, 3)
SEEDS = (0, 7, 1 << 40)


def draw(rows: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return noise.rows(seed, rows).normal(SHAPE, noise.PROBE, dtype)


def frozen(seed: int, k: int) -> Tensor:
    """The noise of further step k, (1, *SHAPE)."""
    return noise.rows(seed, 1).at(k).normal(SHAPE, noise.FROZEN).double()


@dataclass
class GaussianData:
    """The exact consistency function of N(0, sd^2) data, f(x, s) = x sqrt((sd^2 + sigma_min^2) /
    (sd^2 + s^2)); keeps what it is given."""

    shape: tuple[int, ...] = SHAPE
    sigma_min: float = 0.1
    sigma_max: float = 20.0
    sd: float = 0.5
    seen: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def gain(self, sigma: float) -> float:
        return math.hypot(self.sd, self.sigma_min) / math.hypot(self.sd, sigma)

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        self.seen.append((x_t, sigma))
        return x_t * self.gain(float(sigma))


def test_one_step_is_the_consistency_function_at_the_highest_level() -> None:
    f, z = GaussianData(), draw(3)
    x = Consistency(f)(z)
    ((given, sigma),) = f.seen
    assert torch.equal(given, 20.0 * z)
    assert float(sigma) == 20
    torch.testing.assert_close(x, f.gain(20) * 20 * z, rtol=1e-6, atol=0)


def test_the_second_step_adds_frozen_noise_of_variance_t2_less_sigma_min2() -> None:
    for seed in SEEDS:
        f, z, t = GaussianData(), draw(3), 2.0
        x = Consistency(f, (t,), seed)(z)
        first, (given, sigma) = f.gain(20) * 20 * z, f.seen[1]
        assert float(sigma) == t
        torch.testing.assert_close(
            given, first + math.sqrt(t**2 - 0.1**2) * frozen(seed, 0), rtol=1e-6, atol=1e-6
        )
        torch.testing.assert_close(x, f.gain(t) * given, rtol=1e-12, atol=0)


def test_each_further_step_has_its_own_noise() -> None:
    f, z, levels = GaussianData(), draw(2), (3.0, 1.0, 0.3)
    phi = Consistency(f, levels, seed=5)
    x = f.gain(20) * 20 * z
    for k, t in enumerate(levels):
        x = f.gain(t) * (x + math.sqrt(t**2 - 0.1**2) * frozen(5, k))
    torch.testing.assert_close(phi(z), x, rtol=1e-6, atol=1e-6)
    assert len({float(frozen(5, k).flatten()[0]) for k in range(3)}) == 3


def test_the_network_is_called_as_often_as_nfe_says() -> None:
    for midpoints in [(), (2.0,), (2.0, 0.5)]:
        f = GaussianData()
        phi = Consistency(f, midpoints)
        phi(draw(2))
        assert len(f.seen) == phi.nfe == 1 + len(midpoints)
        assert phi.shape == phi.data_shape == SHAPE


def added_noise(seed: int, rows: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """What the second step adds, divided by its standard deviation."""
    f, z, t = GaussianData(), draw(rows, dtype=dtype), 2.0
    first = Consistency(f, (), seed)(z)
    Consistency(f, (t,), seed)(z)
    return (f.seen[-1][0] - first) / math.sqrt(t**2 - 0.1**2)


def test_the_frozen_noise_is_one_for_every_row_of_every_batch() -> None:
    for seed in SEEDS:
        for rows in (1, 4):
            torch.testing.assert_close(
                added_noise(seed, rows), frozen(seed, 0).expand(rows, *SHAPE), rtol=1e-6, atol=1e-6
            )


def test_the_frozen_noise_depends_on_the_seed_and_on_no_global_state() -> None:
    torch.manual_seed(1)
    first = Consistency(GaussianData(), (2.0,), 3)(draw(2))
    torch.manual_seed(2)
    assert torch.equal(Consistency(GaussianData(), (2.0,), 3)(draw(2)), first)
    other = Consistency(GaussianData(), (2.0,), 4)(draw(2))
    assert ((other - first).abs() > 1e-3).all()


def test_a_second_step_keeps_the_marginal_of_gaussian_data() -> None:
    f = GaussianData(sigma_max=1e4)
    z, n, t = 0.7, float(frozen(2, 0).flatten()[0]), 1.3
    x = Consistency(f, (t,), 2)(torch.full((1, *SHAPE), z, dtype=torch.float64)).flatten()[0]
    spread = math.hypot(0.5, 0.1)  # of x after either step, were z and n both random
    weight = spread / math.hypot(0.5, t)
    assert float(x) == pytest.approx(spread * (weight * z + math.sqrt(1 - weight**2) * n), rel=1e-6)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1, dtype=torch.float64)
        nn.init.constant_(self.layer.weight, 0.3)

    def forward(self, x: Tensor, t: Tensor, class_labels: Tensor | None) -> SimpleNamespace:
        return SimpleNamespace(sample=torch.tanh(self.layer(x)) + t.reshape(-1, 1, 1, 1) / 1000)


@torch.no_grad()
def test_a_last_step_just_above_sigma_min_changes_nothing() -> None:
    f, z = NetworkDenoiser(Network(), "consistency", SHAPE), draw(3)
    assert torch.equal(f(z, torch.tensor(f.sigma_min, dtype=torch.float64)), z)
    one = Consistency(f)(z)
    for t in (0.0021, 0.0020002, 0.002000002):
        moved = (Consistency(f, (t,))(z) - one).abs().max()
        network = 3 * (t - 0.002)  # c_out (1 + |t'| / 1000) bounds the network's part
        assert 0 < moved < math.sqrt(t**2 - 0.002**2) * frozen(0, 0).abs().max() + network + 1e-9


def test_the_dtype_is_that_of_z_and_the_noise_is_the_same() -> None:
    half = Consistency(GaussianData(), (2.0,), 1)(draw(2, dtype=torch.float32))
    full = Consistency(GaussianData(), (2.0,), 1)(draw(2))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), full, rtol=1e-5, atol=1e-5)


def test_levels_that_do_not_fall_between_the_ends_are_named() -> None:
    for midpoints in [(20.0,), (25.0,), (0.1,), (0.05,), (1.0, 2.0), (2.0, 2.0), (math.nan,)]:
        with pytest.raises(
            ConfigError, match=r"midpoints must fall from below 20.0 to above 0.1, got \("
        ):
            Consistency(GaussianData(), midpoints)


def test_a_seed_that_no_key_holds_is_named() -> None:
    for seed in [-1, 1 << 56]:
        with pytest.raises(ConfigError, match="seed must be a whole number from 0"):
            Consistency(GaussianData(), (2.0,), seed)
