import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.operators import HDR


def test_hdr_is_the_clipped_multiple():
    x = torch.tensor([[-1.0, -0.5, -0.2, 0.0, 0.3, 0.5, 0.8]])
    assert torch.equal(HDR()(x), torch.tensor([[-1.0, -1.0, -0.4, 0.0, 0.6, 1.0, 1.0]]))


def test_a_clipped_pixel_has_no_gradient():
    x = torch.tensor([[-0.9, 0.1, 0.9]], requires_grad=True)
    (gradient,) = torch.autograd.grad(HDR(3.0)(x).sum(), x)
    assert torch.equal(gradient, torch.tensor([[0.0, 3.0, 0.0]]))


def test_only_a_positive_finite_factor_is_taken():
    for factor in [0, -1.0, float("nan"), float("inf"), "2", True, None]:
        with pytest.raises(ConfigError, match="factor must be a finite number above 0, got"):
            HDR(factor)
