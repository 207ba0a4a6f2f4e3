"""The scaling around the network against the formulas of Karras et al. and Song et al., computed by
hand."""

import copy
import math
import pickle
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from noisewalk.errors import ConfigError
from noisewalk.priors.denoiser import NetworkDenoiser, check_kind
from noisewalk.priors.openai_layers import Architecture, unet_config
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
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(
        dtype
    )


def by_hand(kind: str, x: float, sigma: float, data: float, low: float) -> float:
    variance = sigma**2 + data**2
    level = sigma - low if kind == "consistency" else sigma
    skip, out = data**2 / (level**2 + data**2), level * data / math.sqrt(variance)
    return out * (math.sin(x / math.sqrt(variance)) + 250 * math.log(sigma) / 500) + skip * x


def test_the_denoiser_is_the_formula_at_every_level() -> None:
    for kind in KINDS:
        for data, low in [(0.5, 0.002), (1.3, 0.05)]:
            sigma, x = (
                torch.tensor([low, 0.06, 0.5, 3.0, 80.0], dtype=torch.float64),
                noise(5, 2, 2, 3) * 4,
            )
            got = NetworkDenoiser(Wave(), kind, (2, 2, 3), sigma_min=low, sigma_data=data)(x, sigma)
            expected = torch.tensor(
                [
                    [by_hand(kind, v, s, data, low) for v in row.flatten().tolist()]
                    for row, s in zip(x, sigma.tolist(), strict=True)
                ]
            )
            torch.testing.assert_close(got.flatten(1), expected.to(got.dtype), rtol=1e-6, atol=1e-6)


def test_the_network_is_told_250_log_sigma() -> None:
    for kind in KINDS:
        network, sigma = Wave(), torch.tensor([0.002, 1.0, 80.0], dtype=torch.float64)
        NetworkDenoiser(network, kind, (1, 2, 2))(noise(3, 1, 2, 2), sigma)
        ((_, t, labels),) = network.given
        torch.testing.assert_close(
            t,
            torch.tensor([-1553.6520, 0.0, 1095.5067], dtype=torch.float64),
            rtol=1e-7,
            atol=1e-12,
        )
        assert labels is None


def test_a_consistency_model_is_the_identity_at_sigma_min() -> None:
    for dtype in [torch.float32, torch.float64]:
        for low in [0.002, 0.01]:
            x = noise(3, 1, 2, 2, dtype=dtype)
            f = NetworkDenoiser(Wave(dtype), "consistency", (1, 2, 2), sigma_min=low)
            assert torch.equal(f(x, torch.tensor(low, dtype=dtype)), x)
            assert not torch.equal(f(x, torch.tensor(2 * low, dtype=dtype)), x)


def test_a_diffusion_model_is_the_identity_without_noise() -> None:
    for dtype in [torch.float32, torch.float64]:
        x = noise(3, 1, 2, 2, dtype=dtype)
        assert torch.equal(
            NetworkDenoiser(Wave(dtype), "edm", (1, 2, 2))(x, torch.tensor(0.0, dtype=dtype)), x
        )


def test_a_scalar_level_is_that_level_for_every_row() -> None:
    for kind in KINDS:
        f, x = NetworkDenoiser(Wave(), kind, (1, 2, 2)), noise(3, 1, 2, 2)
        assert torch.equal(f(x, torch.tensor(0.7)), f(x, torch.full((3,), 0.7)))


def test_a_row_does_not_depend_on_the_others() -> None:
    for kind in KINDS:
        f, x, sigma = (
            NetworkDenoiser(Wave(), kind, (1, 2, 2)),
            noise(3, 1, 2, 2),
            torch.tensor([0.1, 2.0, 30.0]),
        )
        alone = f(x[1:2], sigma[1:2])
        x[0], x[2] = torch.nan, torch.inf
        assert torch.equal(f(x, sigma)[1:2], alone)


def test_the_result_is_never_clamped() -> None:
    for kind in KINDS:
        x = torch.full((1, 1, 2, 2), 50.0, dtype=torch.float64)
        assert float(NetworkDenoiser(Wave(), kind, (1, 2, 2))(x, torch.tensor(0.01)).min()) > 49


def test_unshuffling_moves_blocks_of_pixels_into_channels_and_back() -> None:
    network, x, sigma = Wave(), noise(2, 3, 4, 6), torch.tensor([0.3, 5.0])
    plain = NetworkDenoiser(Wave(), "edm", (3, 4, 6))(x, sigma)
    torch.testing.assert_close(
        NetworkDenoiser(network, "edm", (3, 4, 6), unshuffle=2)(x, sigma),
        plain,
        rtol=1e-12,
        atol=1e-12,
    )  # F is pixelwise
    ((h, _, _),) = network.given
    assert h.shape == (2, 12, 2, 3)
    c_in = 1 / torch.sqrt(sigma.double() ** 2 + 0.25).view(-1, 1, 1, 1)
    torch.testing.assert_close(
        h[:, 4], c_in[:, 0] * x[:, 1, ::2, ::2], rtol=1e-6, atol=0
    )  # channel 1, upper left pixel of each block


def test_a_label_goes_to_every_row() -> None:
    network = Wave()
    NetworkDenoiser(network, "edm", (1, 2, 2), label=7)(noise(3, 1, 2, 2), torch.tensor(1.0))
    labels = network.given[0][2]
    assert labels is not None
    assert labels.tolist() == [7, 7, 7]
    assert not labels.dtype.is_floating_point


def test_the_network_computes_in_its_dtype_and_the_result_has_the_images() -> None:
    for weights in [torch.float16, torch.bfloat16, torch.float32, torch.float64]:
        network = Wave(weights)
        got = NetworkDenoiser(network, "edm", (1, 2, 2))(
            noise(2, 1, 2, 2, dtype=torch.float32), torch.tensor(1.5)
        )
        ((h, t, _),) = network.given
        finer = torch.promote_types(weights, torch.float32)  # half precision spoils the time
        assert (h.dtype, t.dtype, got.dtype) == (weights, finer, torch.float32)


def test_an_unknown_kind_is_refused_with_the_choices() -> None:
    with pytest.raises(
        ConfigError, match="unknown kind 'consistancy': choose one of edm, consistency"
    ):
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


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    """A small network of every kind of layer, with gradients off as `load_prior` leaves it."""
    from diffusers import UNet2DModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet2DModel(
            **unet_config(Architecture(32, (1, 2), 2, (1,), True, None, 1, 1, 16, 32))
        )
    return network.eval().requires_grad_(False)


def both(unet: nn.Module) -> tuple[NetworkDenoiser, NetworkDenoiser]:
    return NetworkDenoiser(unet, "consistency", (1, 16, 16)), NetworkDenoiser(
        unet, "consistency", (1, 16, 16), checkpoint=True
    )


class Allocated(TorchDispatchMode):
    """Remembers every storage that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.storages = {key: held for key, held in self.storages.items() if not held[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.storages.values()))
        return out


def test_checkpointing_changes_no_bit_of_values_and_gradients(unet: nn.Module) -> None:
    x, sigma = noise(2, 1, 16, 16, dtype=torch.float32) * 80, torch.tensor([80.0, 0.6])
    cotangent, results = torch.cos(x), []
    for f in both(unet):
        leaf = x.clone().requires_grad_()
        out = f(leaf, sigma)
        results.append((out.detach(), torch.autograd.grad(out, leaf, cotangent)[0]))
    for plain, checkpointed in zip(*results, strict=True):
        assert torch.equal(plain, checkpointed)
    assert results[0][1].abs().max() > 0


def test_checkpointing_lowers_the_peak_of_memory_in_use(unet: nn.Module) -> None:
    peaks = []
    for f in both(unet):
        leaf = noise(2, 1, 16, 16, dtype=torch.float32).requires_grad_()
        with Allocated() as memory:
            torch.autograd.grad(f(leaf, torch.tensor(80.0)).sum(), leaf)
        peaks.append(memory.peak)
    # A residual layer keeps about five maps of its width (inputs of norms, scalings and
    # activations), its input among them, which alone stays.
    assert peaks[1] < 0.6 * peaks[0]


def test_checkpointing_leaves_the_given_network_alone_and_shares_its_weights(
    unet: nn.Module,
) -> None:
    before = [type(module) for module in unet.modules()]
    _, f = both(unet)
    x, sigma = noise(1, 1, 16, 16, dtype=torch.float32), torch.tensor(5.0)
    leaf = x.clone().requires_grad_()
    old = f(leaf, sigma)
    assert [type(module) for module in unet.modules()] == before
    with torch.no_grad():
        unet.conv_out.bias += 1
        shifted = f(x, sigma)
        with torch.enable_grad():
            assert torch.equal(f(leaf, sigma), shifted)
        unet.conv_out.bias -= 1
    assert not torch.equal(shifted, old)


def test_checkpointing_passes_forward_derivatives_and_pickles(unet: nn.Module) -> None:
    x, v, sigma = noise(1, 1, 16, 16), noise(1, 1, 16, 16).sin(), torch.tensor(5.0)
    plain, f = (
        NetworkDenoiser(copy.deepcopy(unet).double(), "consistency", (1, 16, 16), checkpoint=c)
        for c in (False, True)
    )
    with sdpa_kernel(SDPBackend.MATH):
        jvp = [torch.func.jvp(lambda u, f=f: f(u, sigma), (x,), (v,))[1] for f in (plain, f)]
    assert torch.equal(*jvp)
    leaf = x.clone().requires_grad_()
    assert torch.equal(pickle.loads(pickle.dumps(f))(leaf, sigma), f(leaf, sigma))
    assert "checkpoint=True" in repr(f)


def test_checkpointing_a_network_without_layers_is_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=(
            "checkpoint needs a network of diffusers' blocks, such as UNet2DModel, got Wave: leave "
            "it out"
        ),
    ):
        NetworkDenoiser(Wave(), "edm", (1, 2, 2), checkpoint=True)


def test_a_denoiser_of_another_kind_than_a_loss_wants_is_named() -> None:
    check_kind("teacher", NetworkDenoiser(Wave(), "edm", (1, 2, 2)), "edm")
    with pytest.raises(
        ConfigError, match="teacher must be a denoiser of kind 'edm', got one of kind 'consistency'"
    ):
        check_kind("teacher", NetworkDenoiser(Wave(), "consistency", (1, 2, 2)), "edm")
