"""The Gauss-Newton Gaussian: its algebra against dense matrices, its eigenpairs against the
Jacobian's."""

import pytest
import torch
from references import CHAINS, DIM, IMAGES, dense, made, normal
from torch import Tensor

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.gaussians.low_rank import LowRank, calls_of, gauss_newton
from noisewalk.gaussians.refresh import Refresh
from noisewalk.types import State


def power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values**exponent) @ vectors.T


@pytest.mark.parametrize("exponent", [1.0, -1.0, 0.5, -0.5])
def test_powers_are_those_of_the_dense_matrix(exponent: float) -> None:
    reference, v = made(), normal(IMAGES * CHAINS, DIM, seed=3)
    expected = torch.cat(
        [
            v[i * CHAINS : (i + 1) * CHAINS] @ power(dense(reference, i), exponent)
            for i in range(IMAGES)
        ]
    )
    torch.testing.assert_close(reference.power(v, exponent), expected, rtol=1e-12, atol=1e-12)


class Tilted:
    """x -> tanh of a linear map, with a steep spectrum."""

    def __init__(self, out: int, dim: int) -> None:
        left, right = (
            torch.linalg.qr(normal(out, out, seed=10))[0],
            torch.linalg.qr(normal(dim, out, seed=11))[0],
        )
        self.matrix = left @ torch.diag(torch.logspace(0.5, -2, out, dtype=torch.float64)) @ right.T

    def __call__(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.matrix.T) + 0.1 * x @ self.matrix.T


def target(out: int, dim: int, images: int = IMAGES) -> nw.NoisePosterior:
    observed = torch.ones(images, out, dtype=torch.bool)
    observed[0, 1] = False
    return nw.NoisePosterior(
        nw.maps.Warp((dim,), 0.4),
        Tilted(out, dim),
        nw.likelihoods.Gaussian(0.2),
        normal(images, out, seed=12),
        observed,
    )


def exact(posterior: nw.NoisePosterior, state: State) -> Tensor:
    """(N, d, d) J^T W J averaged over each image's rows, from the dense Jacobian."""
    chains = len(state.z) // posterior.num_images
    parts = []
    for row, z in enumerate(state.z):
        J = torch.autograd.functional.jacobian(
            lambda v: posterior.operator(posterior.phi(v[None]))[0], z
        )
        observed = (
            torch.ones(len(J), dtype=torch.bool)
            if posterior.observed is None
            else posterior.observed[row // chains]
        )
        parts.append(J[observed].T @ J[observed] / 0.2**2)
    return torch.stack(parts).reshape(posterior.num_images, chains, *parts[0].shape).mean(1)


@pytest.mark.parametrize(("out", "dim"), [(5, 9), (12, 60)])
def test_every_eigenvalue_above_tol_is_found(out: int, dim: int) -> None:
    posterior = target(out, dim)
    state = posterior(normal(IMAGES * CHAINS, dim, seed=13))
    found, G = gauss_newton(posterior, state, tol=0.1), exact(posterior, state)
    for image in range(IMAGES):
        values, vectors = torch.linalg.eigh(G[image])
        kept = values.flip(0)[values.flip(0) > 0.1]
        mine = found.eigenvalues[image][found.eigenvalues[image] > 0]
        torch.testing.assert_close(
            mine, kept, rtol=0.1, atol=0
        )  # one power iteration: the last ones are Ritz values, from below
        assert (mine <= kept * (1 + 1e-9)).all()
        stiff = int((kept > 10).sum())
        assert stiff > 0
        torch.testing.assert_close(mine[:stiff], kept[:stiff], rtol=1e-4, atol=0)
        overlap = found.basis[image].flatten(1)[:stiff] @ vectors.flip(1)[:, :stiff]
        torch.testing.assert_close(
            torch.linalg.svdvals(overlap), torch.ones(stiff, dtype=torch.float64), rtol=1e-3, atol=0
        )


def test_the_rank_is_a_cap_and_the_mean_is_the_newton_step() -> None:
    posterior = target(5, 9)
    state = posterior(normal(IMAGES * CHAINS, 9, seed=14))
    found = gauss_newton(posterior, state, rank=2)
    assert found.rank == 2
    full, G = gauss_newton(posterior, state, tol=1e-9), exact(posterior, state)
    for image in range(IMAGES):
        rows = slice(image * CHAINS, (image + 1) * CHAINS)
        H = torch.eye(9, dtype=torch.float64) + G[image]
        newton = state.z[rows] - torch.linalg.solve(H, (state.z + state.grad)[rows].T).T
        torch.testing.assert_close(full.mean[image], newton.mean(0), rtol=1e-5, atol=1e-6)


def test_on_a_linear_gaussian_problem_it_is_the_posterior() -> None:
    matrix = normal(3, 6, seed=15)
    posterior = nw.NoisePosterior(
        nw.maps.Affine(torch.eye(6, dtype=torch.float64)),
        lambda x: x @ matrix.T,
        nw.likelihoods.Gaussian(0.5),
        normal(1, 3, seed=16),
    )
    found = gauss_newton(posterior, posterior(normal(4, 6, seed=17)), tol=1e-9)
    H = torch.eye(6, dtype=torch.float64) + matrix.T @ matrix / 0.25
    mean = torch.linalg.solve(H, matrix.T @ posterior.y[0] / 0.25)
    torch.testing.assert_close(found.mean[0], mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(
        found.power(torch.eye(6, dtype=torch.float64), 1.0), H, rtol=1e-8, atol=1e-8
    )


def test_its_cost_is_counted() -> None:
    for dim, calls in (
        (10, 1 + 4 * 9),
        (9, 1 + 2 * 9),
        (5, 1 + 2 * 5),
    ):  # 1 + 8 probes; a basis of the whole space needs no iteration
        posterior = target(5, dim)
        state, before = posterior(normal(IMAGES * CHAINS, dim, seed=18)), posterior.nfe
        gauss_newton(posterior, state, rank=1)
        assert posterior.nfe - before == IMAGES * CHAINS * calls
        assert calls_of(1, dim) == calls


@pytest.mark.parametrize("dim", [9, 40])
def test_its_cost_without_a_rank_is_at_most_what_is_announced(dim: int) -> None:
    posterior = target(dim, dim)
    state, before = posterior(normal(IMAGES * CHAINS, dim, seed=18)), posterior.nfe
    gauss_newton(posterior, state, tol=1e-12)  # nothing is below it: every doubling is made
    assert posterior.nfe - before == IMAGES * CHAINS * calls_of(None, dim)
    assert Refresh((0.0, 0.5), rank=None).calls(10, dim) == 2 * calls_of(None, dim)


@pytest.mark.parametrize("change", [{"rank": 0}, {"tol": 0.0}, {"tol": float("nan")}])
def test_a_bad_rank_or_tol_is_refused(change: dict[str, float]) -> None:
    posterior = target(5, 9)
    with pytest.raises(ConfigError):
        gauss_newton(posterior, posterior(normal(2, 9)), **change)  # type: ignore[arg-type]


def test_a_target_without_gradients_is_refused() -> None:
    posterior = nw.NoisePosterior(
        nw.maps.Warp((3,), 0.1),
        lambda x: x.round(),
        nw.likelihoods.Gaussian(0.2),
        torch.zeros(1, 3),
        differentiable=False,
    )
    with pytest.raises(ConfigError, match="not differentiable"):
        gauss_newton(posterior, posterior(torch.zeros(1, 3)))


def test_shapes_that_do_not_fit_and_negative_eigenvalues_are_refused() -> None:
    good = made()
    with pytest.raises(ConfigError, match="basis"):
        LowRank(good.mean, good.basis[:, :2], good.eigenvalues)
    with pytest.raises(ConfigError, match="negative"):
        LowRank(good.mean, good.basis, -good.eigenvalues)
