"""A decoder behind a map: the composition, its shapes, and what it refuses."""

import pytest
import torch
from torch import nn

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError


def test_it_is_the_composition_and_its_gradient() -> None:
    inner, decode = nw.maps.Warp((3,), 0.5, nfe=2), nn.Linear(3, 4).requires_grad_(False)
    phi, z = nw.maps.Latent(inner, decode, (4,)), noise.rows(0, 5).normal((3,), noise.PROBE)
    assert torch.equal(phi(z), decode(inner(z)))
    assert (phi.shape, phi.data_shape, phi.nfe) == ((3,), (4,), 2)
    target = nw.NoisePosterior(phi, nn.Identity(), nw.likelihoods.Gaussian(0.5), torch.zeros(1, 4))
    slope = 1 + 0.5 * torch.cos(z)
    expected = slope * (phi(z) / 0.25 @ decode.weight)
    torch.testing.assert_close(target(z).grad, expected, rtol=1e-5, atol=1e-5)


def test_what_does_not_fit_is_named() -> None:
    inner = nw.maps.Warp((3,), 0.5)
    for parts, says in [
        ((nn.Identity(), nn.Identity(), (3,)), r"needs a map with a shape.*got Identity"),
        ((inner, 3.0, (3,)), r"function decode\(x\), got 3.0"),
        ((inner, nn.Sequential(nn.Dropout()), (3,)), "0 is in training mode: call decode.eval"),
        ((inner, nn.Identity(), 3), "data_shape must be a tuple"),
    ]:
        with pytest.raises(ConfigError, match=says):
            nw.maps.Latent(*parts)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"made x of shape \(3,\), declared is \(4,\)"):
        nw.maps.Latent(inner, nn.Identity(), (4,))(torch.zeros(2, 3))
    with pytest.raises(ConfigError, match="Latent's decode must return a tensor"):
        nw.maps.Latent(inner, lambda x: (x,), (3,))(torch.zeros(2, 3))
