"""Lean layers compute what diffusers' own compute, and keep less for the backward pass."""

import copy
import pickle

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DModel
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from noisewalk._autograd import double_backward, forward
from noisewalk.priors import lean


def unet(**changes):
    torch.manual_seed(0)
    config = {
        "sample_size": 16,
        "in_channels": 3,
        "out_channels": 3,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 16,
        **changes,
    }
    return UNet2DModel(**config).eval().requires_grad_(False)


RESIZING = {
    "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "downsample_type": "resnet",
    "upsample_type": "resnet",
}
CONFIGS = {
    "default": {},
    "scale_shift": {"resnet_time_scale_shift": "scale_shift"},
    "resnet resizes": RESIZING,
    "scale_shift, resnet resizes": {"resnet_time_scale_shift": "scale_shift", **RESIZING},
}


@pytest.fixture(autouse=True)
def everything(monkeypatch):
    monkeypatch.setattr(lean, "SMALL", 0)


def made_lean(network):
    """A network and its lean twin of the same weights."""
    twin = copy.deepcopy(network)
    lean.make_lean(twin)
    return network, twin


def pulled(network, x, w):
    """The output, the gradient in x, and the bytes kept between, of tensors that are no weights."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in network.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    leaf = x.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = network(leaf, torch.tensor(3.0)).sample
    return y.detach(), torch.autograd.grad(y, leaf, w)[0], sum(kept.values())


@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS.keys())
def test_values_and_gradients_are_those_of_diffusers(changes):
    network, twin = made_lean(unet(**changes))
    x, w = torch.randn(2, 2, 3, 16, 16)
    (y, slope, _), (same, also, _) = pulled(network, x, w), pulled(twin, x, w)
    torch.testing.assert_close(same, y, rtol=0, atol=1e-5)
    torch.testing.assert_close(also, slope, rtol=0, atol=1e-5 * float(slope.abs().max()))


@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS.keys())
def test_little_more_than_half_is_kept_at_most(changes):
    network, twin = made_lean(unet(sample_size=32, **changes))
    x, w = torch.randn(2, 4, 3, 32, 32)
    assert pulled(twin, x, w)[2] < 0.6 * pulled(network, x, w)[2]


@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS.keys())
def test_forward_mode_and_double_backward_agree(changes):
    network, twin = (each.double() for each in made_lean(unet(**changes)))
    z, v = torch.randn(2, 2, 3, 16, 16, dtype=torch.float64)

    def function(x, of=twin):
        return of(x, torch.tensor(3.0)).sample

    truth = forward(lambda x: function(x, network), z, v)
    torch.testing.assert_close(forward(function, z, v), truth)
    torch.testing.assert_close(double_backward(function, z, v), truth)


def test_functional_derivatives():
    plain = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    network, twin = made_lean(unet(sample_size=4, add_attention=False, **plain).double())
    z = torch.randn(1, 3, 4, 4, dtype=torch.float64)
    plain, own = (torch.func.jacrev(lambda x, of=of: of(x, 3).sample)(z) for of in (network, twin))
    torch.testing.assert_close(own, plain)


def test_gradients_of_gradients():
    torch.manual_seed(0)
    norm = nn.GroupNorm(2, 4).double().requires_grad_(False)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    sides = ((3, 2), (1, 1), (1, 1))
    x, scale, shift = (torch.randn(2, 4, *side, dtype=torch.float64) for side in sides)
    x.requires_grad_()
    for others in ((None, None), (scale, shift)):
        assert torch.autograd.gradcheck(lambda x, o=others: lean.norm_silu(x, norm, *o), x)
        assert torch.autograd.gradgradcheck(lambda x, o=others: lean.norm_silu(x, norm, *o), x)
    conv = nn.Conv2d(4, 2, 3, stride=2, padding=1).double().requires_grad_(False)
    holder = nn.Sequential(conv)
    lean.make_lean(holder)
    assert "forward" in vars(conv)
    assert torch.autograd.gradcheck(holder, x)
    assert torch.autograd.gradgradcheck(holder, x)


def test_trainable_weights_get_their_gradients():
    network, twin = made_lean(unet().requires_grad_(True))
    x = torch.randn(2, 3, 16, 16, requires_grad=True)
    for each in (network, twin):
        each(x, 3).sample.square().sum().backward()
    for own, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)


def test_the_decoder_of_latents_is_lean_too():
    torch.manual_seed(0)
    decoder = AutoencoderKL(block_out_channels=(32,), norm_num_groups=8, sample_size=8)
    network, twin = made_lean(decoder.eval().requires_grad_(False))
    z = torch.randn(2, 4, 8, 8, requires_grad=True)
    slopes = [torch.autograd.grad(each.decode(z).sample.sum(), z)[0] for each in (network, twin)]
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-4)


def test_names_copies_and_files_stay_as_they_are():
    network, twin = made_lean(unet())
    assert list(network.state_dict()) == list(twin.state_dict())
    again = pickle.loads(pickle.dumps(copy.deepcopy(twin)))
    x = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(again(x, 3).sample, network(x, 3).sample, rtol=0, atol=1e-6)


def test_other_blocks_are_left_alone():
    odd = ResnetBlock2D(in_channels=32, temb_channels=None, non_linearity="gelu")
    dropping = ResnetBlock2D(in_channels=32, temb_channels=None, dropout=0.1)
    circular = nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular")
    for module in (odd, dropping, circular):
        lean.make_lean(module)
        assert "forward" not in vars(module)
