import pickle

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.noise import PROBE, rows
from noisewalk.operators import CameraMotionBlur, output_shape_of
from noisewalk.operators.motion import TOE, trajectory

SHAPE = (2, 14, 11)
OPERATOR = CameraMotionBlur(6.0, SHAPE, seed=3)


def batch(num: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return rows(seed, num).normal(SHAPE, PROBE, dtype)


def shifted(image: torch.Tensor, down: float, right: float) -> torch.Tensor:
    """The image moved by a fraction of pixels, bilinear, reflected at the border: written out with
    indices."""
    out = torch.zeros_like(image)
    low_i, low_j = int(torch.tensor(down).floor()), int(torch.tensor(right).floor())
    for i, weight_i in ((low_i, 1 - (down - low_i)), (low_i + 1, down - low_i)):
        for j, weight_j in ((low_j, 1 - (right - low_j)), (low_j + 1, right - low_j)):
            y, x = (
                (torch.arange(side) - step).abs()
                for side, step in zip(image.shape[-2:], (i, j), strict=True)
            )
            y, x = (
                torch.where(at < side, at, 2 * (side - 1) - at)
                for at, side in zip((y, x), image.shape[-2:], strict=True)
            )
            out += weight_i * weight_j * image[..., y, :][..., x]
    return out


def test_is_the_mean_of_the_shifted_light_seen_through_the_response():
    pixels = batch(1).sigmoid().clamp(min=0.05)
    light = sum(shifted(pixels**2.2, *step) for step in trajectory(6.0, 3).tolist()) / len(
        trajectory(6.0, 3)
    )
    torch.testing.assert_close(
        OPERATOR(2 * pixels - 1), 2 * light ** (1 / 2.2) - 1, rtol=0, atol=1e-12
    )


def test_differs_from_a_blur_of_the_pixel_values():
    x = torch.where(batch(1) > 0, 1.0, -1.0)
    assert (
        OPERATOR(x) - OPERATOR.blur(x)
    ).mean() > 0.1  # light adds up brighter than the mean of the pixels


def test_a_constant_image_stays_as_it_is():
    for value in [-1.3, -1.0, -0.999, -0.5, 0.0, 1.0, 1.2]:
        x = torch.full((1, *SHAPE), value, dtype=torch.float64)
        torch.testing.assert_close(OPERATOR(x), x, rtol=0, atol=1e-12)


def test_a_hardly_moving_camera_blurs_nothing():
    x = batch(2)
    torch.testing.assert_close(CameraMotionBlur(1e-9, SHAPE)(x), x, rtol=0, atol=1e-6)


def test_the_kernel_keeps_the_light_and_its_centre():
    for length in [0.3, 1.0, 9.0, 40.0]:
        for seed in range(5):
            kernel = CameraMotionBlur(length, (64, 64), seed).blur.kernel
            place = torch.arange(len(kernel), dtype=torch.float64) - len(kernel) // 2
            assert (kernel >= 0).all()
            torch.testing.assert_close(
                kernel.sum(), torch.ones((), dtype=torch.float64), rtol=1e-12, atol=0
            )
            for axis in (0, 1):
                assert abs(float((kernel.sum(1 - axis) * place).sum())) < 1e-12 * max(1, length)


def test_the_path_has_its_length_and_is_smooth():
    for seed in range(5):
        path = trajectory(9.0, seed)
        steps = path.diff(dim=0)
        assert float(steps.norm(dim=1).sum()) == pytest.approx(9.0, rel=1e-12)
        bend = steps.diff(dim=0).norm(dim=1).max()
        assert (
            bend < 0.1 * steps.norm(dim=1).max()
        )  # at most (pi m / K)^2 sums of modes m: no corner
        torch.testing.assert_close(
            trajectory(18.0, seed).norm(dim=1).max(), 2 * path.norm(dim=1).max(), rtol=0.01, atol=0
        )


def test_the_path_depends_on_the_seed_only():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert torch.equal(CameraMotionBlur(6, (14, 11), 3).blur.kernel, OPERATOR.blur.kernel)
    assert torch.equal(torch.get_rng_state(), state)
    assert CameraMotionBlur(6, list(SHAPE), 3) == OPERATOR
    assert not torch.equal(trajectory(6.0, 4), trajectory(6.0, 3))


def test_gradient_is_the_derivative_and_agrees_forward_and_reverse():
    x, v = batch(2).requires_grad_(), batch(2, seed=1)  # many pixels are beyond [-1, 1]
    assert torch.autograd.gradcheck(OPERATOR, x)
    y, jv = torch.func.jvp(OPERATOR, (x,), (v,))
    back = torch.func.vjp(OPERATOR, x)[1](y.detach().cos())[0]
    torch.testing.assert_close((jv * y.cos()).sum(), (back * v).sum(), rtol=1e-12, atol=1e-12)


def test_black_and_what_lies_beyond_the_range_have_a_finite_gradient():
    for dtype in [torch.float32, torch.float64]:
        for value in [-1.0, -1.02, -3.0, 2 * TOE - 1, 1.5]:
            x = torch.full((1, *SHAPE), value, dtype=dtype, requires_grad=True)
            y = OPERATOR(x)
            (gradient,) = torch.autograd.grad(y.sum(), x)
            jv = torch.func.jvp(OPERATOR, (x.detach(),), (torch.ones_like(x),))[1]
            assert torch.isfinite(gradient).all()
            torch.testing.assert_close(
                jv, torch.ones_like(jv), rtol=0, atol=1e-4 if dtype == torch.float32 else 1e-12
            )  # A(c) = c on constants


def test_a_black_pixel_among_bright_ones_has_a_finite_gradient():
    x = torch.ones(1, *SHAPE, dtype=torch.float64)
    x[..., ::2, ::3] = -1
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(OPERATOR(x).sum(), x)
    assert torch.isfinite(gradient).all()
    assert (gradient > 0).all()  # increasing in every pixel


def test_a_row_does_not_depend_on_its_neighbours():
    for dtype, tolerance in [(torch.float64, 1e-12), (torch.float32, 1e-5)]:
        x = batch(3, dtype)
        x[0], x[2] = torch.nan, torch.inf
        alone = OPERATOR(x[1:2])
        assert alone.dtype == dtype
        assert torch.isfinite(alone).all()
        torch.testing.assert_close(OPERATOR(x)[1:2], alone, rtol=0, atol=tolerance)


def test_is_pure_and_survives_pickling():
    x = batch(2)
    kept = x.clone()
    copy = pickle.loads(pickle.dumps(OPERATOR))
    assert copy == OPERATOR
    assert torch.equal(copy(x), OPERATOR(x))
    assert torch.equal(x, kept)
    assert repr(OPERATOR) == "CameraMotionBlur(length=6.0, shape=(2, 14, 11), seed=3)"
    assert output_shape_of(OPERATOR, SHAPE) == tuple(OPERATOR(x).shape[1:]) == SHAPE


def test_gray_images_may_lack_the_channel_axis():
    x = batch(2)[:, 0]
    torch.testing.assert_close(
        CameraMotionBlur(6.0, SHAPE[1:], 3)(x),
        OPERATOR(x[:, None].expand(-1, 2, -1, -1))[:, 0],
        rtol=0,
        atol=1e-14,
    )


def test_bad_values_are_refused_by_name():
    for make, message in [
        (
            lambda: CameraMotionBlur(0, SHAPE),
            "length in pixels must be a finite number above 0 and of at most 1024, got 0",
        ),
        (lambda: CameraMotionBlur(float("nan"), SHAPE), "got nan"),
        (lambda: CameraMotionBlur("9", SHAPE), "got '9'"),
        (lambda: CameraMotionBlur(2000, SHAPE), "got 2000"),
        (
            lambda: CameraMotionBlur(200, SHAPE),
            r"length 200 reaches \d+ pixels \(seed 0\), which must be below the .* got 14 x 11",
        ),
        (lambda: CameraMotionBlur(9, (11,)), r"\(C, H, W\) or \(H, W\), got \(11,\)"),
        (lambda: CameraMotionBlur(9, 11), "got 11"),
        (
            lambda: CameraMotionBlur(9, (3, 0, 4)),
            "shape must be a whole number of at least 1, got 0",
        ),
        (lambda: CameraMotionBlur(9, SHAPE, seed=-1), "seed.*got -1"),
        (lambda: CameraMotionBlur(9, SHAPE, seed=0.5), "seed.*got 0.5"),
        (
            lambda: CameraMotionBlur(9, SHAPE, seed=2**56),
            "seed must be a whole number from 0 to 72057594037927935",
        ),
        (
            lambda: OPERATOR(torch.zeros(1, 1, 14, 11)),
            r"made for images of shape \(2, 14, 11\), got \(1, 14, 11\)",
        ),
        (lambda: OPERATOR(torch.zeros(1, *SHAPE, dtype=torch.uint8)), "floating-point images"),
    ]:
        with pytest.raises(ConfigError, match=message):
            make()
