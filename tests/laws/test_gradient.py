"""Law: every gradient is that of the value, checked by finite differences in float64."""

from dataclasses import replace

import pytest
import torch
from cases import LIKELIHOODS, MAPS, OPERATORS, TARGETS, Case, draw, ids
from torch import Tensor

import noisewalk as nw
from noisewalk import noise

STEP = 1e-5
TOLERANCE = 1e-7
"""Central differences are off by STEP^2 f''' / 6 + eps |f| / STEP, about 1e-9 here."""


def inputs(case: Case, rows: int = 2, seed: int = 90) -> Tensor:
    return draw(case.shape, rows, seed=seed, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("case", [*MAPS, *OPERATORS], ids=ids)
def test_the_gradient_of_a_map_or_an_operator_is_its_derivative(case: Case) -> None:
    subject = case.build(torch.float64)
    assert torch.autograd.gradcheck(subject, (inputs(case),))


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
@pytest.mark.parametrize("gaps", [False, True])
def test_the_gradient_of_a_likelihood_is_its_derivative(case: Case, gaps: bool) -> None:
    likelihood, mean = case.build(torch.float64), inputs(case)
    observed = draw(case.shape, seed=91)[0] > 0 if gaps else None
    y = likelihood.sample(mean.detach(), noise.rows(92, 2), observed)
    assert torch.autograd.gradcheck(lambda m: likelihood.nll(m, y, observed), (mean,))


def derivative(function: object, z: Tensor, direction: Tensor) -> Tensor:
    after, before = (function(z + step * direction) for step in (STEP, -STEP))
    return (after - before) / (2 * STEP)  # type: ignore[operator]


@pytest.mark.parametrize("case", TARGETS, ids=ids)
def test_the_gradient_of_a_target_is_the_derivative_of_its_nll(case: Case) -> None:
    target, z = case.build(torch.float64), inputs(case, 4).detach()
    grad = target(z).grad
    for k in range(5):
        direction = draw(case.shape, 4, seed=93 + k, dtype=torch.float64)
        expected = derivative(lambda at: target(at).nll, z, direction)
        torch.testing.assert_close(
            (grad * direction).flatten(1).sum(1), expected, rtol=TOLERANCE, atol=TOLERANCE
        )


@pytest.mark.parametrize("case", TARGETS, ids=ids)
def test_the_products_of_a_target_are_its_jacobian_and_its_transpose(case: Case) -> None:
    target, z, v = (
        case.build(torch.float64),
        inputs(case, 4).detach(),
        draw(case.shape, 4, seed=94, dtype=torch.float64),
    )
    mean, jvp, vjp = target.linearize(z)
    torch.testing.assert_close(mean, target.operator(target.phi(z)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        jvp(v), derivative(lambda at: target.linearize(at)[0], z, v), rtol=TOLERANCE, atol=TOLERANCE
    )
    w = draw(tuple(mean.shape[1:]), 4, seed=95, dtype=torch.float64)
    torch.testing.assert_close(
        (jvp(v) * w).flatten(1).sum(1), (v * vjp(w)).flatten(1).sum(1), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("case", [case for case in MAPS if "flow" in case.name], ids=ids)
def test_every_way_to_differentiate_a_flow_gives_one_gradient(case: Case) -> None:
    phi, z = case.build(torch.float64), inputs(case)
    values, gradients = [], []
    for way in ("direct", "checkpoint"):
        x = replace(phi, gradient=way)(z)
        values.append(x.detach())
        gradients.append(torch.autograd.grad((x**2).sum(), z)[0])
    assert torch.equal(*values)
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_the_density_of_the_warp_is_that_of_its_pushforward() -> None:
    phi = nw.maps.Warp((2, 3), 0.8)
    z = inputs(MAPS[0]._replace(shape=(2, 3)), 5).detach()
    torch.testing.assert_close(phi.inverse(phi(z)), z, rtol=0, atol=1e-12)
    grid = torch.linspace(-12, 12, 24001, dtype=torch.float64)[:, None]
    density = nw.maps.Warp((1,), 0.8).log_density(grid).exp()
    assert float(torch.trapezoid(density, grid[:, 0])) == pytest.approx(1, abs=1e-9)
    jacobian = torch.stack(
        [
            torch.autograd.functional.jacobian(lambda at: phi(at[None])[0], row).reshape(6, 6)
            for row in z
        ]
    )
    expected = (
        -0.5 * (z**2).flatten(1).sum(1)
        - 3 * torch.log(torch.tensor(2 * torch.pi))
        - torch.logdet(jacobian)
    )
    torch.testing.assert_close(phi.log_density(phi(z)), expected, rtol=1e-6, atol=1e-6)
