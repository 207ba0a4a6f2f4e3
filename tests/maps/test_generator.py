"""Any module z -> x is a map: what it returns is the module's, and what cannot be a map is refused
when it is made."""

import pickle

import pytest
import torch
from torch import nn

from noisewalk import noise, types
from noisewalk.errors import ConfigError
from noisewalk.maps.generator import Generator


class Outer(nn.Module):
    """(B, 3) -> (B, 1, 3, 3): z z^T, with a weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, z):
        return self.weight.to(z) * (z[:, :, None] * z[:, None, :])[:, None]


def z(rows=4, dtype=torch.float64):
    return noise.rows(0, rows).normal((3,), noise.PROBE, dtype)


def test_it_is_a_noise_map_of_one_call_that_is_its_module():
    phi = Generator(Outer(), (3,), (1, 3, 3))
    assert isinstance(phi, types.NoiseMap)
    assert (phi.shape, phi.data_shape, phi.nfe) == ((3,), (1, 3, 3), 1)
    assert torch.equal(phi(z()), Outer()(z()))
    assert torch.autograd.gradcheck(phi, z().requires_grad_())


def test_a_plain_function_and_lists_of_sides_are_fine():
    phi = Generator(torch.tanh, [3], [3])
    assert (phi.shape, phi.data_shape) == ((3,), (3,))
    assert torch.equal(phi(z()), torch.tanh(z()))


def test_it_pickles_and_its_repr_tells_weights_apart():
    phi, other = Generator(Outer(), (3,), (1, 3, 3)), Generator(Outer(), (3,), (1, 3, 3))
    assert repr(pickle.loads(pickle.dumps(phi))) == repr(phi) == repr(other)
    assert repr(phi).startswith("Generator(module=Outer#")
    with torch.no_grad():
        other.module.weight += 1
    assert repr(other) != repr(phi)


def test_impossible_shapes_are_refused():
    for shape in [(), (0,), (3, -1), (3.0,), (True,), 3, "3", None]:
        with pytest.raises(ConfigError, match="Generator's shape must be"):
            Generator(torch.tanh, shape, (3,))
        with pytest.raises(ConfigError, match="Generator's data_shape must be"):
            Generator(torch.tanh, (3,), shape)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(ConfigError, match="module or function z -> x, got 3"):
        Generator(3, (3,), (3,))


def test_a_module_whose_rows_depend_on_each_other_or_on_chance_is_refused():
    for layer in [nn.BatchNorm1d(3), nn.Dropout(0.5)]:
        module = nn.Sequential(nn.Linear(3, 3), layer)
        with pytest.raises(ConfigError, match=r"1 is in training mode: call module\.eval\(\)"):
            Generator(module, (3,), (3,))
        assert Generator(module.eval(), (3,), (3,))(z(dtype=torch.float32)).shape == (4, 3)


def test_a_module_that_returns_another_shape_than_declared_says_so():
    with pytest.raises(ConfigError, match=r"made x of shape \(1, 3, 3\), declared is \(3, 3\)"):
        Generator(Outer(), (3,), (3, 3))(z())


def test_the_output_object_of_a_network_of_diffusers_is_opened():
    from diffusers.models.autoencoders.vae import DecoderOutput

    phi = Generator(lambda z: DecoderOutput(sample=2 * z), (3,), (3,))
    assert torch.equal(phi(z()), 2 * z())
    with pytest.raises(ConfigError, match=r"an object with one as \.sample, got tuple"):
        Generator(lambda z: (z,), (3,), (3,))(z())
