import math
import pickle

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.noise import PROBE, rows
from noisewalk.operators import HDR, PhaseRetrieval, output_shape_of


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


def batch(
    num: int, shape=(2, 8, 12), dtype: torch.dtype = torch.float64, seed: int = 0
) -> torch.Tensor:
    return rows(seed, num).normal(shape, PROBE, dtype)


def test_equals_the_transform_written_out():
    x = batch(2, (1, 8, 16))
    high, wide = 8 + 2 * 1, 16 + 2 * 2
    u, i = torch.arange(high).double(), torch.arange(8).double() + 1
    v, j = torch.arange(wide).double(), torch.arange(16).double() + 2
    left = torch.exp(
        torch.complex(torch.zeros(high, 8).double(), -2 * math.pi * u[:, None] * i / high)
    )
    right = torch.exp(
        torch.complex(torch.zeros(wide, 16).double(), -2 * math.pi * v[:, None] * j / wide)
    )
    expected = (left @ x.to(left.dtype) @ right.T).abs() / math.sqrt(high * wide)
    torch.testing.assert_close(PhaseRetrieval()(x), expected, rtol=0, atol=1e-12)


def test_each_side_of_256_grows_as_published():
    for ratio, side in [(1.0, 320), (2.0, 384), (0.5, 288), (0.01, 256)]:
        assert PhaseRetrieval(ratio).output_shape((3, 256, 256)) == (3, side, side)


def test_says_the_shape_of_y():
    for shape in [(3, 11, 17), (28, 20), (1, 5, 5)]:
        operator = PhaseRetrieval(1.3)
        assert output_shape_of(operator, shape) == tuple(operator(batch(2, shape)).shape[1:])


def test_the_transform_keeps_energy():
    x = batch(3)
    torch.testing.assert_close(
        (PhaseRetrieval()(x) ** 2).flatten(1).sum(1), (x**2).flatten(1).sum(1), rtol=1e-12, atol=0
    )


def test_the_sign_the_turn_and_a_move_within_the_zeros_are_not_seen():
    operator, x = PhaseRetrieval(2.0), batch(2)
    moved = torch.zeros_like(x)
    x[..., -1, :] = 0
    moved[..., 1:, :] = x[..., :-1, :]
    for twin in (-x, x.flip(-1, -2), moved):
        torch.testing.assert_close(operator(twin), operator(x), rtol=0, atol=1e-13)
    assert (operator(x.flip(-1)) - operator(x)).abs().max() > 0.1


def test_both_derivatives_are_finite_where_every_magnitude_is_zero():
    for dtype in [torch.float32, torch.float64]:
        x, v = torch.zeros(1, 1, 8, 8, dtype=dtype), batch(1, (1, 8, 8), dtype)
        y, jv = torch.func.jvp(PhaseRetrieval(), (x,), (v,))
        back = torch.func.vjp(PhaseRetrieval(), x)[1](torch.ones_like(y))[0]
        for zero in (y, jv, back):
            assert zero.dtype == dtype
            assert (zero == 0).all()


def test_the_derivative_is_zero_at_a_magnitude_of_zero_and_right_at_the_others():
    """A constant image: most magnitudes vanish, and those do not enter the gradient of a squared
    misfit through a division by zero."""
    x = torch.full((1, 1, 16, 16), 0.5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(PhaseRetrieval(0.1)(x)[..., 0, 0].sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 1 / 16).detach(), rtol=1e-12, atol=0)
    (all_of_them,) = torch.autograd.grad(PhaseRetrieval(0.1)(x).sum(), x)
    assert torch.isfinite(all_of_them).all()


def test_gradient_is_the_derivative_and_agrees_forward_and_reverse():
    operator, x, v = PhaseRetrieval(), batch(1).requires_grad_(), batch(1, seed=1)
    assert torch.autograd.gradcheck(operator, x)
    y, jv = torch.func.jvp(operator, (x,), (v,))
    back = torch.func.vjp(operator, x)[1](y.detach().cos())[0]
    torch.testing.assert_close((jv * y.cos()).sum(), (back * v).sum(), rtol=1e-12, atol=1e-12)


def test_a_row_does_not_depend_on_its_neighbours():
    for dtype, tolerance in [(torch.float64, 1e-12), (torch.float32, 1e-5)]:
        x = batch(3, dtype=dtype)
        x[0], x[2] = torch.nan, torch.inf
        torch.testing.assert_close(
            PhaseRetrieval()(x)[1:2], PhaseRetrieval()(x[1:2]), rtol=0, atol=tolerance
        )


def test_half_precision_goes_through_single():
    for dtype in [torch.bfloat16, torch.float16]:
        x = batch(2, dtype=dtype)
        assert torch.equal(PhaseRetrieval()(x), PhaseRetrieval()(x.float()).to(dtype))


def test_is_pure_and_survives_pickling():
    operator, x = PhaseRetrieval(1.5), batch(2)
    kept, state = x.clone(), torch.get_rng_state()
    copy = pickle.loads(pickle.dumps(operator))
    assert copy == operator
    assert torch.equal(copy(x), operator(x))
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(operator) == "PhaseRetrieval(oversample=1.5)"


def test_only_a_ratio_in_range_is_taken():
    for ratio in [0, -1.0, 65, float("nan"), float("inf"), "1", True, None]:
        with pytest.raises(
            ConfigError, match=r"oversample must be a finite number above 0 and of at most 64, got"
        ):
            PhaseRetrieval(ratio)


def test_only_images_are_taken():
    for x, message in [
        (torch.zeros(2, 8), "needs images of shape"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), "floating-point images"),
    ]:
        with pytest.raises(ConfigError, match=message):
            PhaseRetrieval()(x)
