r"""The paper's two lemmas, by number, on examples where both sides are computed without sampling.

Lemma A.1: the Langevin equation of the noise space has $\tilde p_{1,y}$ as its equilibrium. Its
generator is $\mathcal L f = \Delta f - (z + \nabla L_y(\Phi(z))) \cdot \nabla f$, and a density is
an equilibrium where the mean of $\mathcal L f$ is 0 for every test function f.
Lemma 4.2: no map Phi brings two distributions of z further apart in total variation.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisewalk as nw

EDGE, POINTS = 8.0, 401
Function = Callable[[Tensor], Tensor]


class Bend(nn.Module):
    """A map of the plane that is neither linear nor one to one."""

    def forward(self, z: Tensor) -> Tensor:
        first, second = z[:, 0], z[:, 1]
        return torch.stack((torch.sin(1.5 * first) + 0.3 * second, first * second / 2), 1)


TESTS: dict[str, Function] = {
    "linear": lambda z: z[:, 0] - 2 * z[:, 1],
    "square": lambda z: z[:, 0] ** 2 + z[:, 0] * z[:, 1],
    "wave": lambda z: torch.sin(2 * z[:, 0]) * torch.cos(z[:, 1]),
    "bump": lambda z: torch.exp(-((z[:, 0] - 1) ** 2) - z[:, 1] ** 2 / 2),
}


@pytest.fixture(scope="module")
def grid() -> Tensor:
    """(n, 2) points of a square whose edge no test reaches: the trapezoid rule is then exact to
    rounding."""
    axis = torch.linspace(-EDGE, EDGE, POINTS, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


@pytest.fixture(scope="module")
def evaluated(grid: Tensor) -> Any:
    """The target's own nll and gradient at every point."""
    phi = nw.maps.Generator(Bend(), (2,), (2,))
    y = torch.tensor([[0.4, -0.7]], dtype=torch.float64)
    target = nw.NoisePosterior(phi, lambda x: x, nw.likelihoods.StudentT(3.0, 0.6), y)
    return target(grid)


def derivatives(f: Function, z: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient and Laplacian of f."""
    z = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(z).sum(), z, create_graph=True)
    if not slope.requires_grad:  # f is linear
        return slope, torch.zeros(len(z), dtype=z.dtype)
    parts = [torch.autograd.grad(slope[:, k].sum(), z, retain_graph=True)[0] for k in (0, 1)]
    return slope.detach(), parts[0][:, 0] + parts[1][:, 1]


def mean_of_the_generator(
    f: Function, z: Tensor, nll: Tensor, drift: Tensor
) -> tuple[float, float]:
    """Under exp(-nll) N(z; 0, I): the mean of L f, and of the absolute values of its two terms."""
    density = torch.softmax(-nll - (z**2).sum(1) / 2, 0)
    slope, laplacian = derivatives(f, z)
    flow = (drift * slope).sum(1)
    size = density @ (laplacian.abs() + flow.abs())
    return float(density @ (laplacian + flow)), float(size)


@pytest.mark.parametrize("name", TESTS)
def test_lemma_a1_the_posterior_in_noise_space_is_stationary(
    name: str, grid: Tensor, evaluated: Any
) -> None:
    drift = -(grid + evaluated.grad)
    mean, size = mean_of_the_generator(TESTS[name], grid, evaluated.nll, drift)
    assert abs(mean) < 1e-9 * size
    wrong, size = mean_of_the_generator(
        TESTS[name], grid, evaluated.nll, -grid - 1.1 * evaluated.grad
    )
    assert abs(wrong) > 1e-4 * size  # another drift has another equilibrium


def total_variation(p: Tensor, q: Tensor) -> float:
    return float((p - q).abs().sum() / 2)


@pytest.mark.parametrize("seed", range(5))
def test_lemma_42_a_map_brings_no_two_distributions_apart(seed: int) -> None:
    """Two distributions of 60 atoms of z, pushed forward by Phi: equal images are added up."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(60, 2, generator=generator, dtype=torch.float64)
    p, q = torch.rand(2, 60, generator=generator, dtype=torch.float64).pow(3)
    p, q = p / p.sum(), q / q.sum()
    before = total_variation(p, q)
    kept = pushed_variation(nw.maps.Affine(torch.tensor([[1.0, 2.0], [0.0, 1.0]])), z, p, q)
    assert math.isclose(kept, before, rel_tol=1e-12)  # one to one: nothing is lost
    phi = nw.maps.Generator(Bend(), (2,), (2,))
    merged = pushed_variation(lambda x: phi(x).round(), z, p, q)
    assert 0 < merged < before - 1e-3
    assert pushed_variation(lambda x: 0 * phi(x), z, p, q) < 1e-12


def pushed_variation(phi: Function, z: Tensor, p: Tensor, q: Tensor) -> float:
    """Total variation of the two distributions of Phi(z)."""
    images, where = phi(z).unique(dim=0, return_inverse=True)
    empty = torch.zeros(len(images), dtype=p.dtype)
    return total_variation(empty.index_add(0, where, p), empty.index_add(0, where, q))
