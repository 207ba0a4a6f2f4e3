"""The Gauss-Newton Gaussian: its algebra against dense matrices, its eigenpairs against the
Jacobian's."""

import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.gaussians.low_rank import LowRank, calls_of, gauss_newton
from noisewalk.gaussians.refresh import Refresh
from noisewalk.gaussians.standard import STANDARD
from noisewalk.types import State

IMAGES, CHAINS, DIM, RANK = 2, 3, 7, 3


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made() -> LowRank:
    basis = torch.linalg.qr(normal(IMAGES, DIM, RANK, seed=1))[0].transpose(1, 2)
    return LowRank(
        normal(IMAGES, DIM, seed=2),
        basis,
        torch.tensor([[9.0, 2.0, 0.5], [4.0, 1.0, 0.0]], dtype=torch.float64),
    )


def dense(reference: LowRank, image: int) -> Tensor:
    U = reference.basis[image].T
    return torch.eye(DIM, dtype=torch.float64) + U @ torch.diag(reference.eigenvalues[image]) @ U.T


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


def states() -> tuple[State, State]:
    z, g, z_, g_ = (normal(IMAGES * CHAINS, DIM, seed=k) for k in range(4, 8))
    return State(z, z, normal(IMAGES * CHAINS, seed=8), g), State(
        z_, z_, normal(IMAGES * CHAINS, seed=9), g_
    )


def psi(reference: LowRank, state: State) -> Tensor:
    out = []
    for row, z in enumerate(state.z):
        image = row // CHAINS
        u = z - reference.mean[image]
        out.append(state.nll[row] + 0.5 * z @ z - 0.5 * u @ dense(reference, image) @ u)
    return torch.stack(out)


def test_the_drop_and_the_gradient_of_psi_are_the_naive_ones() -> None:
    reference, (here, there) = made(), states()
    torch.testing.assert_close(
        reference.drop(here, there),
        psi(reference, here) - psi(reference, there),
        rtol=1e-11,
        atol=1e-11,
    )
    H = torch.stack([dense(reference, row // CHAINS) for row in range(IMAGES * CHAINS)])
    expected = here.grad + here.z - (H @ reference.offset(here.z)[..., None])[..., 0]
    torch.testing.assert_close(reference.residual_gradient(here), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(reference.position(reference.offset(here.z)), here.z)


def test_the_standard_reference_is_a_low_rank_one_of_rank_zero() -> None:
    empty = LowRank(
        torch.zeros(IMAGES, DIM, dtype=torch.float64),
        torch.zeros(IMAGES, 0, DIM, dtype=torch.float64),
        torch.zeros(IMAGES, 0, dtype=torch.float64),
    )
    here, there = states()
    torch.testing.assert_close(empty.drop(here, there), STANDARD.drop(here, there))
    assert torch.equal(empty.power(here.z, -0.5), STANDARD.power(here.z, -0.5))
    torch.testing.assert_close(empty.residual_gradient(here), STANDARD.residual_gradient(here))


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


def test_a_refresh_falls_on_its_shares_of_the_warm_up() -> None:
    refresh = Refresh(at=(0.0, 0.25, 0.5))
    assert [t for t in range(60) if refresh.due(t, 40)] == [0, 10, 20]
    assert not refresh.due(0, 0)
    for bad in ((), (0.5, 0.2), (1.0,), (-0.1,)):
        with pytest.raises(ConfigError):
            Refresh(at=bad)
