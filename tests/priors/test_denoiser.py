"""The scaling around the network against the formulas of Karras et al. and Song et al., computed by hand."""

import copy
import math
import pickle
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from noisewalk.errors import ConfigError
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.types import Denoiser

KINDS = ("edm", "consistency")


class Wave(nn.Module):
    """F(h, t) = weight (sin h + t / 500); keeps what it was given."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=dtype), requires_grad=False)
        self.given: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def forward(self, h: Tensor, t: Tensor, class_labels: Tensor | None = None) -> SimpleNamespace:
        self.given.append((h, t, class_labels))
        return SimpleNamespace(sample=self.weight * (torch.sin(h) + t.view(-1, 1, 1, 1) / 500))


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def by_hand(kind: str, x: float, sigma: float, data: float, low: float) -> float:
    variance = sigma**2 + data**2
    level = sigma - low if kind == "consistency" else sigma
    skip, out = data**2 / (level**2 + data**2), level * data / math.sqrt(variance)
    return out * (math.sin(x / math.sqrt(variance)) + 250 * math.log(sigma) / 500) + skip * x


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("data", "low"), [(0.5, 0.002), (1.3, 0.05)])
def test_the_denoiser_is_the_formula_at_every_level(kind: str, data: float, low: float) -> None:
    sigma, x = torch.tensor([low, 0.06, 0.5, 3.0, 80.0], dtype=torch.float64), noise(5, 2, 2, 3) * 4
    got = NetworkDenoiser(Wave(), kind, (2, 2, 3), sigma_min=low, sigma_data=data)(x, sigma)
    expected = torch.tensor([[by_hand(kind, v, s, data, low) for v in row.flatten().tolist()] for row, s in zip(x, sigma.tolist(), strict=True)])
    torch.testing.assert_close(got.flatten(1), expected.to(got.dtype), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_is_told_250_log_sigma(kind: str) -> None:
    network, sigma = Wave(), torch.tensor([0.002, 1.0, 80.0], dtype=torch.float64)
    NetworkDenoiser(network, kind, (1, 2, 2))(noise(3, 1, 2, 2), sigma)
    ((_, t, labels),) = network.given
    torch.testing.assert_close(t, torch.tensor([-1553.6520, 0.0, 1095.5067], dtype=torch.float64), rtol=1e-7, atol=1e-12)
    assert labels is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("low", [0.002, 0.01])
def test_a_consistency_model_is_the_identity_at_sigma_min(dtype: torch.dtype, low: float) -> None:
    x = noise(3, 1, 2, 2, dtype=dtype)
    f = NetworkDenoiser(Wave(dtype), "consistency", (1, 2, 2), sigma_min=low)
    assert torch.equal(f(x, torch.tensor(low, dtype=dtype)), x)
    assert not torch.equal(f(x, torch.tensor(2 * low, dtype=dtype)), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_diffusion_model_is_the_identity_without_noise(dtype: torch.dtype) -> None:
    x = noise(3, 1, 2, 2, dtype=dtype)
    assert torch.equal(NetworkDenoiser(Wave(dtype), "edm", (1, 2, 2))(x, torch.tensor(0.0, dtype=dtype)), x)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scalar_level_is_that_level_for_every_row(kind: str) -> None:
    f, x = NetworkDenoiser(Wave(), kind, (1, 2, 2)), noise(3, 1, 2, 2)
    assert torch.equal(f(x, torch.tensor(0.7)), f(x, torch.full((3,), 0.7)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_the_others(kind: str) -> None:
    f, x, sigma = NetworkDenoiser(Wave(), kind, (1, 2, 2)), noise(3, 1, 2, 2), torch.tensor([0.1, 2.0, 30.0])
    alone = f(x[1:2], sigma[1:2])
    x[0], x[2] = torch.nan, torch.inf
    assert torch.equal(f(x, sigma)[1:2], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_never_clamped(kind: str) -> None:
    x = torch.full((1, 1, 2, 2), 50.0, dtype=torch.float64)
    assert float(NetworkDenoiser(Wave(), kind, (1, 2, 2))(x, torch.tensor(0.01)).min()) > 49


def test_unshuffling_moves_blocks_of_pixels_into_channels_and_back() -> None:
    network, x, sigma = Wave(), noise(2, 3, 4, 6), torch.tensor([0.3, 5.0])
    plain = NetworkDenoiser(Wave(), "edm", (3, 4, 6))(x, sigma)
    torch.testing.assert_close(NetworkDenoiser(network, "edm", (3, 4, 6), unshuffle=2)(x, sigma), plain, rtol=1e-12, atol=1e-12)  # F is pixelwise
    ((h, _, _),) = network.given
    assert h.shape == (2, 12, 2, 3)
    c_in = 1 / torch.sqrt(sigma.double() ** 2 + 0.25).view(-1, 1, 1, 1)
    torch.testing.assert_close(h[:, 4], c_in[:, 0] * x[:, 1, ::2, ::2], rtol=1e-6, atol=0)  # channel 1, upper left pixel of each block


def test_a_label_goes_to_every_row() -> None:
    network = Wave()
    NetworkDenoiser(network, "edm", (1, 2, 2), label=7)(noise(3, 1, 2, 2), torch.tensor(1.0))
    labels = network.given[0][2]
    assert labels is not None
    assert labels.tolist() == [7, 7, 7]
    assert not labels.dtype.is_floating_point


@pytest.mark.parametrize("weights", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_network_computes_in_its_dtype_and_the_result_has_the_images(weights: torch.dtype) -> None:
    network = Wave(weights)
    got = NetworkDenoiser(network, "edm", (1, 2, 2))(noise(2, 1, 2, 2, dtype=torch.float32), torch.tensor(1.5))
    ((h, t, _),) = network.given
    assert (h.dtype, t.dtype, got.dtype) == (weights, weights, torch.float32)


def test_an_unknown_kind_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="unknown kind 'consistancy' of denoiser: choose one of edm, consistency"):
        NetworkDenoiser(Wave(), "consistancy", (1, 2, 2))


def test_gradients_reach_the_image_through_the_network() -> None:
    f = NetworkDenoiser(Wave(), "consistency", (1, 2, 2))
    x = noise(2, 1, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: f(v, torch.tensor(0.7, dtype=torch.float64)), (x,))


def test_it_is_a_denoiser_that_prints_and_pickles() -> None:
    f = NetworkDenoiser(Wave(), "edm", (1, 2, 2), label=3)
    assert isinstance(f, Denoiser)
    text = repr(f)
    assert "\n" not in text
    for part in ("NetworkDenoiser(", "Wave#", "kind='edm'", "shape=[1, 2, 2]", "label=3"):
        assert part in text
    changed = copy.deepcopy(f)
    changed.network.weight.fill_(2.0)
    assert repr(changed) != text
    x = noise(1, 1, 2, 2)
    assert torch.equal(pickle.loads(pickle.dumps(f))(x, torch.tensor(1.0)), f(x, torch.tensor(1.0)))
