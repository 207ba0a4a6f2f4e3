"""The spectral Gaussian: its algebra against dense matrices, its spectrum against the Jacobian's,
what it costs and what it is good for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.fft import dctn
from torch import Tensor

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.gaussians.low_rank import largest_stable_step
from noisewalk.gaussians.refresh import SpectralRefresh
from noisewalk.gaussians.spectral import Spectral, bands, cosine, spectral
from noisewalk.types import State

SHAPE, IMAGES, CHAINS = (2, 3, 4), 2, 3
DIM = 24


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def basis(shape: tuple[int, ...]) -> Tensor:
    """(d, d), one cosine a row."""
    d = torch.Size(shape).numel()
    return cosine(torch.eye(d, dtype=torch.float64).reshape(d, *shape), inverse=True).reshape(d, d)


def made() -> Spectral:
    return Spectral(normal(IMAGES, *SHAPE, seed=1), 5.0 * normal(IMAGES, DIM, seed=2).square())


def dense(reference: Spectral, image: int) -> Tensor:
    Q = basis(SHAPE).T
    return torch.eye(DIM, dtype=torch.float64) + Q @ torch.diag(reference.eigenvalues[image]) @ Q.T


@pytest.mark.parametrize("shape", [(5,), (4, 6), (3, 4, 4)])
def test_the_transform_is_scipys_and_orthonormal(shape: tuple[int, ...]) -> None:
    v = normal(2, *shape)
    expected = torch.from_numpy(dctn(v.numpy(), axes=range(1, v.ndim), norm="ortho"))
    torch.testing.assert_close(cosine(v), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(cosine(cosine(v), inverse=True), v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("exponent", [1.0, -1.0, 0.5, -0.5])
def test_powers_are_those_of_the_dense_matrix(exponent: float) -> None:
    reference, v = made(), normal(IMAGES * CHAINS, *SHAPE, seed=3)
    expected = []
    for row, one in enumerate(v.flatten(1)):
        values, vectors = torch.linalg.eigh(dense(reference, row // CHAINS))
        expected.append(vectors @ torch.diag(values**exponent) @ vectors.T @ one)
    torch.testing.assert_close(
        reference.power(v, exponent).flatten(1), torch.stack(expected), rtol=1e-11, atol=1e-11
    )


def test_the_drop_and_the_gradient_of_psi_are_the_naive_ones() -> None:
    reference = made()

    def state(seed: int) -> State:
        z, g = (
            normal(IMAGES * CHAINS, *SHAPE, seed=seed),
            normal(IMAGES * CHAINS, *SHAPE, seed=seed + 1),
        )
        return State(z, z, normal(IMAGES * CHAINS, seed=seed + 2), g)

    def psi(here: State) -> Tensor:
        out = []
        for row, z in enumerate(here.z.flatten(1)):
            u = z - reference.mean[row // CHAINS].flatten()
            out.append(here.nll[row] + 0.5 * z @ z - 0.5 * u @ dense(reference, row // CHAINS) @ u)
        return torch.stack(out)

    here, there = state(4), state(7)
    torch.testing.assert_close(
        reference.drop(here, there), psi(here) - psi(there), rtol=1e-10, atol=1e-10
    )
    H = torch.stack([dense(reference, row // CHAINS) for row in range(IMAGES * CHAINS)])
    expected = (here.grad + here.z).flatten(1) - (
        H @ reference.offset(here.z).flatten(1)[..., None]
    )[..., 0]
    torch.testing.assert_close(
        reference.residual_gradient(here).flatten(1), expected, rtol=1e-11, atol=1e-11
    )


def test_bands_are_rings_of_a_third_of_an_octave_apart_for_every_channel() -> None:
    band = bands((3, 16, 16)).reshape(3, 16, 16)
    assert sorted(band.unique().tolist()) == list(range(int(band.max()) + 1))
    assert all((band == k).sum() == 1 for k in band[:, 0, 0])  # the mean alone
    assert not set(band[0].flatten().tolist()) & set(band[1].flatten().tolist())
    assert torch.equal(band[1], band[1].T)
    assert band[0, 0, 8] == band[0, 8, 0] == band[0, 5, 6] != band[0, 0, 11]  # 5, 6 is 7.8 long
    oblong = bands((16, 8)).reshape(16, 8)
    assert oblong[2, 0] == oblong[0, 1] != oblong[1, 0]  # the same wave length
    assert len(bands((7,)).unique()) == 7


def target(images: tuple[int, ...] = (0, 1), sigma: float = 0.05) -> nw.NoisePosterior:
    """A nonlinear map of grey images, blurred."""
    phi = nw.maps.Warp((1, 8, 8), 0.7)
    operator = nw.operators.GaussianBlur(std=1.0, kernel_size=5)
    y = operator(phi(normal(2, 1, 8, 8, seed=11)))[list(images)]
    return nw.NoisePosterior(phi, operator, nw.likelihoods.Gaussian(sigma), y)


def test_the_spectrum_is_the_band_means_of_the_curvature_in_the_cosine_basis() -> None:
    posterior, z = target(), normal(2, 1, 8, 8, seed=12)
    probes = 400
    found = spectral(posterior, posterior(z), probes).eigenvalues
    band = bands((1, 8, 8))
    for image in range(2):
        J = torch.autograd.functional.jacobian(
            lambda v: posterior.operator(posterior.phi(v[None]))[0].flatten(), z[image]
        ).reshape(64, 64)
        JQ = J @ basis((1, 8, 8)).T / 0.05
        exact, G = JQ.square().sum(0), JQ.T @ JQ
        for k in band.unique():
            inside = band == k
            block = G[inside][:, inside]
            error = (
                2.0 * block.square().sum() / probes
            ).sqrt() / inside.sum()  # of the mean of squares of Gaussians with this covariance
            assert float((found[image, inside] - exact[inside].mean()).abs().max()) < 4.0 * float(
                error
            )
            assert len(found[image, inside].unique()) == 1


def test_the_mean_is_the_newton_step_averaged_over_the_rows() -> None:
    posterior, z = target(), normal(2 * CHAINS, 1, 8, 8, seed=13)
    state = posterior(z)
    found = spectral(posterior, state)
    step = Spectral(torch.zeros_like(found.mean), found.eigenvalues).power(z + state.grad, -1.0)
    torch.testing.assert_close(
        found.mean, (z - step).reshape(2, CHAINS, 1, 8, 8).mean(1), rtol=1e-12, atol=1e-12
    )


def test_an_images_gaussian_does_not_depend_on_the_other_images() -> None:
    z = normal(2, 1, 8, 8, seed=14)
    both, first = spectral(target(), target()(z)), spectral(target((0,)), target((0,))(z[:1]))
    torch.testing.assert_close(both.eigenvalues[:1], first.eigenvalues, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(both.mean[:1], first.mean, rtol=1e-12, atol=1e-12)
    assert not torch.equal(both.eigenvalues[0], both.eigenvalues[1])


def test_small_network_calls_give_the_same_gaussian() -> None:
    z = normal(2 * CHAINS, 1, 8, 8, seed=15)
    whole, parts = target(), target()
    parts.microbatch = 4
    torch.testing.assert_close(
        spectral(whole, whole(z)).eigenvalues,
        spectral(parts, parts(z)).eigenvalues,
        rtol=1e-12,
        atol=1e-12,
    )


def test_what_is_not_observed_does_not_count() -> None:
    state, full = target()(normal(2, 1, 8, 8, seed=16)), target()
    half = nw.NoisePosterior(full.phi, full.operator, full.likelihood, full.y, torch.arange(8) < 4)
    assert float(spectral(half, state).eigenvalues.sum()) < 0.8 * float(
        spectral(full, state).eigenvalues.sum()
    )


@pytest.mark.parametrize(
    "kernel", [nw.EllipticalSlice(), nw.Langevin(0.1, "ei", adjust=True)], ids=["slice", "pcnl"]
)
def test_other_kernels_are_refreshed_too(kernel: Any) -> None:
    run = nw.sample(
        target(),
        kernel,
        3,
        2,
        6,
        warm_start=nw.Adam(3),
        refresh=SpectralRefresh(num_probes=2),
        progress=False,
    )
    assert bool(torch.isfinite(run.z).all())
    plain = nw.sample(target(), kernel, 3, 2, 6, warm_start=nw.Adam(3), progress=False)
    assert not torch.equal(run.z, plain.z)


def test_it_costs_what_it_says() -> None:
    posterior = target()
    state = posterior(normal(2 * CHAINS, 1, 8, 8))
    before = posterior.nfe
    spectral(posterior, state, 5)
    assert posterior.nfe - before == 2 * CHAINS * (1 + 5)
    assert SpectralRefresh((0.0, 0.3, 0.31), 5).calls(10, 64) == 2 * (
        1 + 5
    )  # two shares of the same transition


def test_a_precise_blur_is_walked_through_in_large_steps() -> None:
    posterior = target(sigma=0.003)
    found = {}
    for name, refresh in {
        "none": None,
        "low rank": nw.Refresh(rank=8),
        "spectral": nw.SpectralRefresh(),
    }.items():
        run = nw.sample(posterior, num_draws=20, num_warmup=80, refresh=refresh, progress=False)
        found[name] = run.summary()
    assert found["spectral"]["step_size"] > 3.0 * max(
        found["none"]["step_size"], found["low rank"]["step_size"]
    )
    assert found["spectral"]["acceptance_rate"] > 0.7


def test_a_run_that_goes_on_is_the_run_that_was_never_stopped(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "num_chains": 2,
        "num_warmup": 6,
        "warm_start": nw.Adam(3),
        "refresh": nw.SpectralRefresh(num_probes=3),
        "progress": False,
    }
    whole = nw.sample(target(), num_draws=6, **settings)
    nw.sample(target(), num_draws=3, store=tmp_path / "run", **settings)
    assert torch.equal(
        nw.sample(target(), num_draws=6, store=tmp_path / "run", **settings).z[...], whole.z
    )


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_probes must be a whole number of at least 1, got 0"):
        SpectralRefresh(num_probes=0)
    with pytest.raises(ConfigError, match="ascending shares"):
        SpectralRefresh((0.5, 0.2))
    with pytest.raises(ConfigError, match="num_probes"):
        spectral(target(), target()(normal(2, 1, 8, 8)), 0)
    with pytest.raises(ConfigError, match=r"mean \(N, \*shape\) and eigenvalues \(N, d\)"):
        Spectral(normal(2, 4), normal(2, 3).abs())
    with pytest.raises(ConfigError, match="not negative"):
        Spectral(normal(2, 4), -normal(2, 4).abs())
    plain = nw.NoisePosterior(
        nw.maps.Warp((4,)),
        lambda x: x,
        nw.likelihoods.Gaussian(0.1),
        normal(1, 4),
        differentiable=False,
    )
    with pytest.raises(ConfigError, match="needs gradients"):
        spectral(plain, plain(normal(1, 4)))
    with pytest.raises(ConfigError, match="read from a low-rank Gaussian, got Spectral"):
        largest_stable_step(made())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="of 3 images, the target has 2"):
        nw.sample(
            target(), nw.HMC(0.1, preconditioner=Spectral(normal(3, 1, 8, 8), normal(3, 64).abs()))
        )
    with pytest.raises(ConfigError, match="takes no preconditioner"):
        nw.sample(target(), nw.Langevin(0.1), refresh=SpectralRefresh(), num_warmup=5)
