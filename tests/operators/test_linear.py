import numpy as np
import pytest
import torch
from scipy import ndimage

from noisewalk.errors import ConfigError
from noisewalk.noise import PROBE, rows
from noisewalk.operators import AveragePool, Convolution, GaussianBlur


def image(height: int, width: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return rows(7, 1).normal((1, height, width), PROBE, dtype)


def scipy_kernel(size: int, std: float) -> np.ndarray:
    delta = np.zeros((size, size))
    delta[size // 2, size // 2] = 1
    return ndimage.gaussian_filter(delta, std)


def test_average_pooling_is_the_mean_of_every_square():
    for factor in [1, 2, 4]:
        x = rows(1, 2).normal((3, 8, 12), PROBE, torch.float64)
        mean = x.reshape(2, 3, 8 // factor, factor, 12 // factor, factor).mean((3, 5))
        torch.testing.assert_close(AveragePool(factor)(x), mean, rtol=0, atol=1e-15)


def test_average_pooling_refuses_a_factor_that_does_not_divide():
    with pytest.raises(ConfigError, match=r"factor 4 must divide.*10 x 8"):
        AveragePool(4)(torch.zeros(1, 1, 10, 8))
    with pytest.raises(ConfigError, match="8 x 10"):
        AveragePool(4).output_shape((1, 8, 10))


def test_the_default_blur_is_scipys_filtered_delta_of_61_pixels():
    delta = torch.zeros(1, 1, 61, 61, dtype=torch.float64)
    delta[..., 30, 30] = 1
    np.testing.assert_allclose(
        GaussianBlur()(delta)[0, 0].numpy(), scipy_kernel(61, 3.0), rtol=0, atol=1e-16
    )


def test_blur_equals_scipys_filter_with_mirrored_borders():
    for std in [0.1, 0.7, 1.9, 3.0]:
        for sides in [(13, 13), (16, 29)]:
            x = image(*sides)
            expected = ndimage.gaussian_filter(x[0, 0].numpy(), std, mode="mirror")
            np.testing.assert_allclose(
                GaussianBlur(61, std)(x)[0, 0].numpy(), expected, rtol=0, atol=1e-14
            )


def test_a_kernel_size_below_the_gaussians_reach_folds_the_weights_back_as_scipy_does():
    for size, std in [(1, 1.0), (3, 2.9), (5, 1.0), (9, 3.0), (25, 3.0), (27, 3.0)]:
        x = image(15, 14)
        expected = ndimage.correlate(x[0, 0].numpy(), scipy_kernel(size, std), mode="mirror")
        np.testing.assert_allclose(
            GaussianBlur(size, std)(x)[0, 0].numpy(), expected, rtol=0, atol=1e-14
        )


def test_blur_keeps_a_constant_image():
    x = torch.full((1, 3, 32, 32), 0.37)
    torch.testing.assert_close(GaussianBlur()(x), x, rtol=0, atol=1e-6)


def test_blur_needs_an_image_larger_than_the_kernels_reach():
    GaussianBlur().output_shape((3, 13, 40))
    with pytest.raises(ConfigError, match=r"reaches 12 pixels.*12 x 40"):
        GaussianBlur()(torch.zeros(1, 3, 12, 40))


def test_convolution_equals_scipys_convolve_with_mirrored_borders():
    for size in [(1, 1), (3, 3), (3, 5), (2, 2), (4, 3), (1, 6), (7, 8)]:
        kernel = np.arange(1.0, 1 + size[0] * size[1]).reshape(size)
        x = image(9, 10)
        expected = ndimage.convolve(x[0, 0].numpy(), kernel, mode="mirror")
        np.testing.assert_allclose(
            Convolution(kernel)(x)[0, 0].numpy(), expected, rtol=0, atol=1e-11
        )


def test_a_bright_pixel_becomes_the_kernel_unflipped():
    kernel = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    delta = torch.zeros(1, 2, 7, 7)
    delta[0, 0, 3, 3] = 1
    y = Convolution(kernel)(delta)
    assert torch.equal(y[0, 0, 2:4, 2:5], kernel)
    assert y.count_nonzero() == 6  # and the other channel stays dark


def test_convolution_keeps_its_own_copy_of_the_kernel():
    kernel = np.ones((3, 3), np.float64)
    operator = Convolution(kernel)
    kernel[:] = 0
    assert torch.equal(operator.kernel, torch.ones(3, 3, dtype=torch.float64))


def test_convolution_takes_any_real_array():
    for kernel in [
        np.ones((3, 3), ">f4"),
        np.ones((3, 3), np.uint8),
        np.ones((3, 6))[:, ::-2],
        torch.ones(3, 3, dtype=torch.bfloat16),
        torch.ones(3, 3, requires_grad=True),
        [[1, 1, 1]] * 3,
    ]:
        x = image(5, 5)
        assert torch.equal(Convolution(kernel)(x), Convolution(torch.ones(3, 3))(x))


def test_bad_values_are_refused_by_name():
    for make, message in [
        (lambda: AveragePool(0), "factor must be a whole number of at least 1, got 0"),
        (lambda: AveragePool(2.0), "got 2.0"),
        (lambda: AveragePool(True), "got True"),
        (lambda: GaussianBlur(60), "must be odd, got 60"),
        (lambda: GaussianBlur(-1), "at least 1, got -1"),
        (lambda: GaussianBlur(61, 0.0), "std must be a finite number above 0.*got 0.0"),
        (lambda: GaussianBlur(61, float("nan")), "got nan"),
        (lambda: GaussianBlur(61, float("inf")), "got inf"),
        (lambda: GaussianBlur(5, 5.5), "at most 5.*got 5.5"),
        (lambda: GaussianBlur(5, "3"), "got '3'"),
        (lambda: Convolution(np.ones(3)), r"2-D array.*\(3,\)"),
        (lambda: Convolution(np.ones((1, 3, 3))), r"\(1, 3, 3\)"),
        (lambda: Convolution(np.ones((0, 3))), r"\(0, 3\)"),
        (lambda: Convolution(np.ones((2, 2), complex)), "complex128"),
        (lambda: Convolution(np.array([["a"]])), "of (real )?numbers"),
        (
            lambda: Convolution(torch.tensor([[1.0, torch.nan, torch.inf]])),
            "must be finite, but 2 entries are not",
        ),
        (lambda: Convolution(torch.tensor([[1.0, -2.0, 1.0]])), "must not sum to 0"),
        (lambda: Convolution(torch.zeros(3, 3)), "must not sum to 0"),
        (
            lambda: Convolution(np.ones((3, 10)))(torch.zeros(1, 1, 9, 5)),
            r"kernel \(3 x 10\).*9 x 5",
        ),
        (lambda: GaussianBlur()(torch.zeros(3)), r"needs images.*\(\)"),
        (lambda: GaussianBlur()(torch.zeros(1, 1, 32, 32, dtype=torch.uint8)), "floating-point"),
        (
            lambda: Convolution(np.ones((3, 3)))(torch.zeros(1, 1, 32, 32, dtype=torch.int64)),
            "floating-point",
        ),
    ]:
        with pytest.raises(ConfigError, match=message):
            make()


def test_pooling_with_an_edge_crops_or_averages_what_is_there():
    x = rows(1, 2).normal((3, 8, 11), PROBE, torch.float64)
    cropped = AveragePool(3, edge="crop")
    torch.testing.assert_close(cropped(x), AveragePool(3)(x[..., :6, :9]), rtol=0, atol=0)
    padded = AveragePool(3, edge="pad")
    y = padded(x)
    assert tuple(y.shape[1:]) == padded.output_shape((3, 8, 11)) == (3, 3, 4)
    torch.testing.assert_close(y[..., :2, :3], cropped(x), rtol=0, atol=1e-15)
    torch.testing.assert_close(y[..., 2, 3], x[..., 6:, 9:].mean((2, 3)), rtol=0, atol=1e-15)
    assert repr(AveragePool(3)) == "AveragePool(factor=3)"
    assert repr(padded) == "AveragePool(factor=3, edge='pad')"
    with pytest.raises(ConfigError, match=r"edge 'cut': choose one of crop, pad"):
        AveragePool(3, edge="cut")
    with pytest.raises(ConfigError, match="edge=crop leaves the rest out"):
        AveragePool(3).output_shape((3, 8, 11))
    with pytest.raises(ConfigError, match="beyond 2 x 11"):
        cropped.output_shape((3, 2, 11))


@pytest.mark.parametrize(
    ("boundary", "mode"), [("reflect", "mirror"), ("zero", "constant"), ("wrap", "wrap")]
)
def test_each_boundary_is_scipys(boundary, mode):
    x = image(9, 8)
    for shape in ((3, 3), (4, 5), (1, 2)):
        kernel = np.random.default_rng(0).random(shape)
        y = Convolution(kernel, boundary)(x)
        flipped = ndimage.convolve(x[0, 0].numpy(), kernel, mode=mode)
        np.testing.assert_allclose(y[0, 0].numpy(), flipped, rtol=0, atol=1e-14)
        valid = Convolution(kernel, "valid")
        top, left = (shape[0] - 1) // 2, (shape[1] - 1) // 2
        height, width = 9 - shape[0] + 1, 8 - shape[1] + 1
        assert valid.output_shape((9, 8)) == (height, width)
        inner = y[..., top : top + height, left : left + width]
        torch.testing.assert_close(valid(x), inner, rtol=0, atol=1e-14)
    with pytest.raises(ConfigError, match="boundary 'same': choose one of reflect"):
        Convolution(kernel, "same")
