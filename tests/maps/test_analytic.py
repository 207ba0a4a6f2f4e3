"""The maps with a known pushforward: Affine's moments, Warp's distribution function; their inverses
and errors."""

import math

import pytest
import torch
from torch import Tensor

from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.maps.analytic import Affine, Warp

AMPLITUDES = pytest.mark.parametrize("amplitude", [0.8, -0.8, 0.99, 0.0])


def draw(
    shape: tuple[int, ...], rows: int = 1, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Tensor:
    return noise.rows(seed, rows).normal(shape, noise.PROBE, dtype)


def test_affine_sends_zero_to_its_offset_and_the_unit_vectors_to_its_columns() -> None:
    matrix, offset = draw((3, 4))[0], draw((3,), seed=1)[0]
    zero, unit = torch.zeros(1, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    phi = Affine(matrix, offset)
    assert torch.equal(phi(zero)[0], offset)
    torch.testing.assert_close(phi(unit) - offset, matrix.T, rtol=0, atol=1e-15)
    assert torch.equal(Affine(matrix)(unit), matrix.T)


def test_the_pushforward_of_affine_is_gaussian_with_covariance_m_mt() -> None:
    matrix, offset, rows = draw((2, 3))[0], draw((2,), seed=1)[0], 20000
    x = Affine(matrix, offset)(draw((3,), rows, seed=2))
    covariance = matrix @ matrix.T
    scale = covariance.diagonal().sqrt()
    assert ((x.mean(0) - offset).abs() < 5 * scale / math.sqrt(rows)).all()
    spread = (covariance**2 + torch.outer(scale**2, scale**2)).sqrt() / math.sqrt(
        rows
    )  # standard error of a sample covariance (Isserlis)
    assert ((torch.cov(x.T) - covariance).abs() < 5 * spread).all()


def test_affine_computes_in_the_dtype_of_z() -> None:
    for dtype in [torch.float32, torch.float64]:
        phi = Affine(draw((3, 4))[0], draw((3,))[0])
        x = phi(draw((4,), 2, dtype=dtype))
        assert x.dtype == dtype
        assert (phi.shape, phi.data_shape, tuple(x.shape), phi.nfe) == ((4,), (3,), (2, 3), 1)


def test_affine_names_a_matrix_that_is_none() -> None:
    for matrix in [torch.ones(3), torch.ones(1, 2, 3), torch.tensor(1.0)]:
        with pytest.raises(ConfigError, match=r"needs a matrix \(p, d\), got a tensor of shape"):
            Affine(matrix)


def test_affine_names_an_offset_of_another_size() -> None:
    for offset in [torch.ones(4), torch.ones(3, 1), torch.tensor(1.0)]:
        with pytest.raises(ConfigError, match=r"needs an offset of shape \(3,\), got"):
            Affine(torch.ones(3, 4), offset)


def test_the_density_of_the_warp_integrates_to_the_normal_distribution_function() -> None:
    for amplitude in [0.8, -0.8, 0.99, 0.0]:
        phi = Warp((1,), amplitude)
        for at in (-1.7, 0.0, 0.4, math.pi):
            end = float(phi(torch.tensor([[at]], dtype=torch.float64)))
            grid = torch.linspace(-12, end, 40001, dtype=torch.float64)
            weights = torch.ones_like(grid)
            weights[1:-1:2], weights[2:-1:2] = 4, 2
            total = (
                (phi.log_density(grid[:, None]).exp() * weights).sum() * (grid[1] - grid[0]) / 3
            )  # Simpson's rule, error h^4 max|p''''| / 15
            assert float(total) == pytest.approx(
                float(torch.special.ndtr(torch.tensor(at, dtype=torch.float64))), abs=1e-7
            )


def test_the_inverse_of_the_warp_undoes_it_however_far_out() -> None:
    for amplitude in [0.8, -0.8, 0.99, 0.0]:
        for dtype in [torch.float32, torch.float64]:
            phi = Warp((7,), amplitude)
            z = torch.tensor([[-200.0, -math.pi, -1e-3, 0.0, 1.0, 3.2, 1e3]], dtype=torch.float64)
            x = phi(z).to(dtype)
            back = phi.inverse(x)
            assert back.dtype == torch.float64
            torch.testing.assert_close(phi(back), x.double(), rtol=1e-15, atol=1e-15)
            slope = 1 + amplitude * torch.cos(back)
            rounding = torch.finfo(dtype).eps * (x.double().abs() + 1) / slope.clamp(max=1)
            assert ((back - z).abs() < 2 * rounding).all()


def test_the_warp_is_odd_and_its_density_even_and_a_sum_over_entries() -> None:
    for amplitude in [0.8, -0.8, 0.99, 0.0]:
        phi, x = Warp((2, 3), amplitude), draw((2, 3), 4)
        assert torch.equal(phi(-x), -phi(x))
        density = phi.log_density(x)
        assert density.shape == (4,)
        assert density.dtype == torch.float64
        torch.testing.assert_close(phi.log_density(-x), density, rtol=1e-12, atol=1e-12)
        entries = Warp((1,), amplitude).log_density(x.reshape(-1, 1)).reshape(4, 6).sum(1)
        torch.testing.assert_close(entries, density, rtol=1e-12, atol=1e-12)


def test_a_warp_of_amplitude_zero_is_the_identity_under_a_normal() -> None:
    phi, x = Warp((3,), 0.0), draw((3,), 4)
    assert torch.equal(phi(x), x)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    torch.testing.assert_close(phi.log_density(x), expected, rtol=1e-12, atol=1e-12)


def test_a_warp_that_cannot_be_inverted_is_named() -> None:
    for amplitude in [1.0, -1.0, 2.0, math.nan]:
        with pytest.raises(ConfigError, match=r"needs \|amplitude\| < 1 to be invertible, got"):
            Warp((1,), amplitude)
