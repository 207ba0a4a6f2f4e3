"""The split kernel: both blocks keep the posterior, whatever the basis; the basis finds the
directions that the likelihood reads."""

import math

import pytest
import torch

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.kernels.split_hmc import SplitHMC, informed_basis

D = 6
MATRIX = torch.tensor(
    [[2.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, -1.0, 0.0, 0.0, 0.0]], dtype=torch.float64
)


def target() -> nw.NoisePosterior:
    y = torch.tensor([[1.0, -0.5]], dtype=torch.float64)
    return nw.NoisePosterior(nw.maps.Affine(MATRIX), lambda x: x, nw.likelihoods.Gaussian(0.5), y)


def exact(rows: int, seed: int = 0) -> torch.Tensor:
    """Exact draws of the posterior."""
    covariance = torch.linalg.inv(torch.eye(D, dtype=torch.float64) + MATRIX.T @ MATRIX / 0.25)
    centre = covariance @ MATRIX.T @ torch.tensor([1.0, -0.5], dtype=torch.float64) / 0.25
    normal = torch.randn(
        rows, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return centre + normal @ torch.linalg.cholesky(covariance).T


def random_basis(rank: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(3)
    return torch.linalg.qr(torch.randn(D, rank, generator=g, dtype=torch.float64))[0].T[None]


def step(kernel: SplitHMC, z: torch.Tensor, at: int = 0) -> tuple:
    posterior = target()
    return kernel.step(posterior(z), posterior, noise.rows(5, 1, len(z)).at(at))[:2]


@pytest.mark.parametrize("rank", [1, 3, D])
def test_any_basis_keeps_the_posterior(rank: int) -> None:
    rows = 20_000
    z, posterior = exact(rows), target()
    state, kernel = posterior(z), SplitHMC(0.3, 3, 0.7, random_basis(rank))
    for k in range(3):
        state, _, _ = kernel.step(state, posterior, noise.rows(5, 1, rows).at(k))
    reference = exact(400_000, seed=1)
    error = (state.z.mean(0) - reference.mean(0)) / (reference.std(0) / math.sqrt(rows))
    assert float(error.abs().max()) < 5
    ratio = state.z.var(0) / reference.var(0) - 1
    assert float(ratio.abs().max()) < 5 * math.sqrt(2 / rows)


def test_what_the_likelihood_does_not_read_is_drawn_afresh() -> None:
    z = exact(4000)
    basis = torch.linalg.qr(MATRIX.T)[0].T[None]
    after, _ = step(SplitHMC(0.3, 3, basis=basis), z)
    old, new = z[:, 3:].flatten(), after.z[:, 3:].flatten()
    assert abs(float((old * new).mean())) < 5 / math.sqrt(len(old))
    _, first = SplitHMC(0.3, 3, basis=basis).turn_rest(
        target()(z), target(), noise.rows(5, 1, len(z))
    )
    torch.testing.assert_close(first.acceptance_rate, torch.ones_like(first.acceptance_rate))


def test_the_next_state_is_the_targets_own_evaluation() -> None:
    after, _ = step(SplitHMC(0.3, 3, 0.5, random_basis(2)), exact(50))
    again = target()(after.z)
    torch.testing.assert_close(after.nll, again.nll)
    torch.testing.assert_close(after.grad, again.grad)


def test_basis_spans_the_gradients_and_no_more() -> None:
    grad = target()(exact(200)).grad
    basis = informed_basis(grad, 1)[0]
    assert basis.shape == (2, D)
    torch.testing.assert_close(basis @ basis.T, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(grad @ basis.T @ basis, grad)


def test_wide_and_tall_gradients_give_the_same_span() -> None:
    grad = target()(exact(4)).grad
    tall = informed_basis(torch.cat([grad, grad]), 1)[0]
    wide = informed_basis(grad, 1)[0]
    torch.testing.assert_close(wide.T @ wide, tall.T @ tall)


def test_each_image_has_its_own_rank_and_nan_rows_are_left_out() -> None:
    grad = target()(exact(20)).grad
    poisoned = torch.cat([grad, torch.full((1, D), torch.nan, dtype=torch.float64)])
    quiet = torch.zeros(21, D, dtype=torch.float64)
    basis = informed_basis(torch.cat([poisoned, quiet]), 2)
    assert basis.shape == (2, 2, D)
    assert basis.isfinite().all()
    assert float(basis[1].abs().max()) == 0.0


def test_gradients_of_nothing_give_rank_zero() -> None:
    assert informed_basis(torch.zeros(5, D), 1).shape == (1, 0, D)
    assert SplitHMC(basis=torch.zeros(1, 0, D)).rank == 0


@pytest.mark.parametrize(
    "settings", [{"step_size": 0.0}, {"turn": 0.0}, {"turn": 1.6}, {"num_leapfrog": 0}]
)
def test_bad_settings_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError):
        SplitHMC(**settings)


@pytest.mark.parametrize("settings", [{"left": 0.0}, {"max_rank": 0}])
def test_bad_basis_settings_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match=r"above 0|at least 1"):
        informed_basis(torch.zeros(5, D), 1, **settings)
