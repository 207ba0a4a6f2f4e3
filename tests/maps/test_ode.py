"""The probability flow of known data has a closed form; its solver, its gradients and its last step
are what they say."""

import math
import sys
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError, MissingExtraError
from noisewalk.maps.integrate import GRADIENTS
from noisewalk.maps.ode import ProbabilityFlow, karras_sigmas

SHAPE = (1, 2, 2)
SOLVERS = pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
WAYS = pytest.mark.parametrize("gradient", GRADIENTS)


def draw(rows: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return noise.rows(seed, rows).normal(SHAPE, noise.PROBE, dtype)


@dataclass(frozen=True)
class GaussianData:
    """E[x_0 | x] for x_0 ~ N(0, sd^2): x(sigma) is proportional to sqrt(sd^2 + sigma^2)."""

    shape: tuple[int, ...] = SHAPE
    sigma_min: float = 0.1
    sigma_max: float = 8.0
    sd: float = 0.5

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        return x_t * self.sd**2 / (self.sd**2 + sigma**2)

    @property
    def factor(self) -> float:
        """Phi(z) / z."""
        low, high = (math.hypot(self.sd, sigma) for sigma in (self.sigma_min, self.sigma_max))
        return self.sigma_max * low / high * (self.sd / low) ** 2


@dataclass(frozen=True)
class TwoModes(GaussianData):
    """E[x_0 | x] for x_0 in two modes N(-1, sd^2), N(1, sd^2): in one dimension the flow keeps the
    distribution function's value."""

    sigma_min: float = 0.2

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        variance = self.sd**2 + sigma**2
        return (x_t * self.sd**2 + sigma**2 * torch.tanh(x_t / variance)) / variance

    def distribution(self, x: Tensor, sigma: float) -> Tensor:
        """P(x_sigma <= x)."""
        scale = math.hypot(self.sd, sigma)
        return (torch.special.ndtr((x - 1) / scale) + torch.special.ndtr((x + 1) / scale)) / 2


class Counted(TwoModes):
    """Counts its calls and keeps the levels."""

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        vars(self).setdefault("seen", []).append(sigma.detach())
        return super().__call__(x_t, sigma)


def gradient_of(phi: ProbabilityFlow, z: Tensor) -> Tensor:
    """d <weight, Phi(z)> / dz."""
    leaf = z.clone().requires_grad_()
    return torch.autograd.grad(phi(leaf), leaf, draw(1, seed=9).expand_as(z))[0]


def observed_order(error: object, steps: int) -> float:
    """log2 of what halving every step of the Karras grid, of steps - 1 intervals and the last one
    to 0, divides the error by."""
    return math.log2(error(steps + 1) / error(2 * steps + 1))  # type: ignore[operator]


# values


def test_the_levels_fall_from_the_highest_to_the_lowest() -> None:
    sigmas = karras_sigmas(6, 0.002, 80.0)
    assert sigmas.dtype == torch.float64
    assert [float(sigmas[0]), float(sigmas[-1])] == pytest.approx([80, 0.002], rel=1e-12)
    assert (sigmas.diff() < 0).all()
    root = sigmas ** (1 / 7)
    torch.testing.assert_close(root.diff(), root.diff()[:1].expand(5), rtol=1e-9, atol=0)
    torch.testing.assert_close(
        karras_sigmas(5, 1.0, 9.0, rho=1.0), torch.tensor([9.0, 7, 5, 3, 1], dtype=torch.float64)
    )


@SOLVERS
def test_gaussian_data_gives_its_closed_form_with_the_solvers_order(
    solver: str, order: int
) -> None:
    z, denoiser = draw(3), GaussianData()

    def error(num_steps: int) -> float:
        return float((ProbabilityFlow(denoiser, num_steps, solver)(z) - denoiser.factor * z).norm())

    assert observed_order(error, 128) == pytest.approx(order, abs=0.1)


@SOLVERS
def test_the_flow_of_two_modes_keeps_every_quantile_with_the_solvers_order(
    solver: str, order: int
) -> None:
    z, denoiser = draw(3), TwoModes()
    start = denoiser.distribution(denoiser.sigma_max * z, denoiser.sigma_max)

    def error(num_steps: int) -> float:
        *_, at_sigma_min, _ = ProbabilityFlow(denoiser, num_steps, solver).path(z)
        return float((denoiser.distribution(at_sigma_min, denoiser.sigma_min) - start).norm())

    assert observed_order(error, 128) == pytest.approx(order, abs=0.1)


def test_euler_is_ddim() -> None:
    z, denoiser = draw(3), TwoModes()
    x = denoiser.sigma_max * z
    for sigma, after in pairwise(
        [*karras_sigmas(6, denoiser.sigma_min, denoiser.sigma_max), torch.tensor(0.0)]
    ):
        clean = denoiser(x, sigma)
        x = clean + after / sigma * (x - clean)
    torch.testing.assert_close(ProbabilityFlow(denoiser, 6, "euler")(z), x, rtol=1e-13, atol=1e-13)


def test_the_path_starts_at_the_scaled_noise_and_ends_with_the_denoised() -> None:
    for solver, _order in [("euler", 1), ("heun", 2)]:
        z, denoiser = draw(3), TwoModes()
        states = list(ProbabilityFlow(denoiser, 5, solver).path(z))
        assert len(states) == 6
        assert torch.equal(states[0], 8.0 * z)
        torch.testing.assert_close(
            states[-1],
            denoiser(states[-2], torch.tensor(0.2, dtype=torch.float64)),
            rtol=1e-13,
            atol=1e-13,
        )


def test_the_values_do_not_depend_on_how_the_gradient_is_made() -> None:
    for solver, _order in [("euler", 1), ("heun", 2)]:
        for dtype in [torch.float32, torch.float64]:
            z = draw(3, dtype=dtype)
            values = [
                ProbabilityFlow(TwoModes(), 5, solver, gradient)(leaf)
                for gradient in GRADIENTS
                for leaf in (z, z.clone().requires_grad_())
            ]
            assert all(x.dtype == dtype for x in values)
            assert all(torch.equal(x, values[0]) for x in values[1:])


def test_the_denoiser_is_given_scalar_levels_in_the_dtype_of_x_and_never_zero() -> None:
    for gradient in GRADIENTS:
        for dtype in [torch.float32, torch.float64]:
            denoiser = Counted()
            gradient_of(
                ProbabilityFlow(denoiser, 4, gradient=gradient),
                draw(1, dtype=dtype).expand(2, *SHAPE),
            )
            levels = denoiser.seen  # type: ignore[attr-defined]
            assert all(sigma.shape == () and sigma.dtype == dtype for sigma in levels)
            assert min(map(float, levels)) == pytest.approx(0.2, rel=1e-6)
            assert max(map(float, levels)) == pytest.approx(8, rel=1e-6)


# gradients


@SOLVERS
@WAYS
def test_the_gradient_of_gaussian_data_approaches_its_closed_form_with_the_solvers_order(
    solver: str, order: int, gradient: str
) -> None:
    z, denoiser = draw(1), GaussianData()

    def error(num_steps: int) -> float:
        return float(
            (
                gradient_of(ProbabilityFlow(denoiser, num_steps, solver, gradient), z)
                - denoiser.factor * draw(1, seed=9)
            ).norm()
        )

    assert observed_order(error, 64) == pytest.approx(order, abs=0.15)


def test_checkpointing_changes_no_digit_of_the_gradient() -> None:
    for solver, _order in [("euler", 1), ("heun", 2)]:
        z, phi = draw(3), ProbabilityFlow(TwoModes(), 5, solver)
        direct, again = (
            gradient_of(replace(phi, gradient=way), z) for way in ("direct", "checkpoint")
        )
        torch.testing.assert_close(again, direct, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 3)])
def test_the_adjoint_approaches_the_discrete_gradient_as_the_steps_shrink(
    solver: str, order: int
) -> None:
    z = draw(3)

    def error(num_steps: int) -> float:
        phi = ProbabilityFlow(TwoModes(), num_steps, solver, "adjoint")
        return float((gradient_of(phi, z) - gradient_of(replace(phi, gradient="direct"), z)).norm())

    assert observed_order(error, 64) == pytest.approx(order, abs=0.15)


def test_the_gradient_is_the_derivative_of_the_value() -> None:
    for solver, _order in [("euler", 1), ("heun", 2)]:
        for gradient in ["direct", "checkpoint"]:
            assert torch.autograd.gradcheck(
                ProbabilityFlow(TwoModes(), 4, solver, gradient), (draw(2).requires_grad_(),)
            )


def test_the_forward_mode_derivative_is_that_of_the_discrete_map() -> None:
    for solver, _order in [("euler", 1), ("heun", 2)]:
        for gradient in GRADIENTS:
            z, v = draw(3), draw(3, seed=1)
            phi = ProbabilityFlow(TwoModes(), 5, solver, gradient)
            value, tangent = torch.func.jvp(phi, (z,), (v,))
            assert torch.equal(value, phi(z))
            reverse = gradient_of(replace(phi, gradient="direct"), z)
            torch.testing.assert_close(
                (tangent * draw(1, seed=9)).flatten(1).sum(1),
                (v * reverse).flatten(1).sum(1),
                rtol=1e-13,
                atol=1e-13,
            )


def test_a_posterior_over_the_flow_has_both_products() -> None:
    for gradient in GRADIENTS:
        phi = ProbabilityFlow(GaussianData(), 6, gradient=gradient)
        target = nw.NoisePosterior(
            phi,
            nw.operators.AveragePool(2),
            nw.likelihoods.Gaussian(0.3),
            torch.zeros(1, 1, 1, 1, dtype=torch.float64),
        )
        mean, jvp, vjp = target.linearize(draw(3))
        v, factor = draw(3, seed=1), float((phi(draw(1)) / draw(1)).mean())
        torch.testing.assert_close(
            jvp(v), factor * v.mean((2, 3), keepdim=True), rtol=1e-12, atol=1e-12
        )
        torch.testing.assert_close(
            vjp(mean), factor / 4 * mean.expand(3, *SHAPE), rtol=1e-12, atol=1e-12
        )


# cost and laws of a map, for the gradient


def test_the_network_is_called_as_often_as_nfe_says() -> None:
    for solver, nfe in [("euler", 5), ("heun", 9)]:
        for gradient in GRADIENTS:
            denoiser, z = Counted(), draw(2).requires_grad_()
            phi = ProbabilityFlow(denoiser, 5, solver, gradient)
            x = phi(z)
            assert len(denoiser.seen) == phi.nfe == nfe  # type: ignore[attr-defined]
            denoiser.seen.clear()  # type: ignore[attr-defined]
            torch.autograd.grad(x.sum(), z)
            again = {
                "direct": 0,
                "checkpoint": nfe,
                "adjoint": nfe - 1,
            }  # the last step's activations are kept
            assert len(denoiser.seen) == again[gradient]  # type: ignore[attr-defined]


def test_the_gradient_of_a_row_does_not_know_its_neighbours() -> None:
    for gradient in GRADIENTS:
        phi, row = ProbabilityFlow(TwoModes(), 5, gradient=gradient), draw(1)
        for other in (draw(1, seed=1), torch.full((1, *SHAPE), torch.nan, dtype=torch.float64)):
            batch = torch.cat([other, row, other])
            torch.testing.assert_close(
                gradient_of(phi, batch)[1:2], gradient_of(phi, row), rtol=1e-12, atol=1e-12
            )


def test_the_gradient_is_pure() -> None:
    for gradient in GRADIENTS:
        phi, z = ProbabilityFlow(TwoModes(), 5, gradient=gradient), draw(3)
        copy, state = z.clone(), torch.get_rng_state()
        assert torch.equal(gradient_of(phi, z), gradient_of(phi, z))
        assert torch.equal(z, copy)
        assert torch.equal(torch.get_rng_state(), state)


# errors


def test_what_is_not_allowed_is_named() -> None:
    for change, message in [
        ({"solver": "rk4"}, "unknown solver 'rk4': choose one of heun, euler"),
        (
            {"gradient": "exact"},
            "unknown gradient 'exact': choose one of direct, checkpoint, adjoint",
        ),
        ({"num_steps": 1}, "num_steps must be a whole number of at least 2, got 1"),
        ({"num_steps": 4.0}, "at least 2, got 4.0"),
    ]:
        with pytest.raises(ConfigError, match=message):
            ProbabilityFlow(GaussianData(), **change)  # type: ignore[arg-type]


def test_the_adjoint_without_torchdiffeq_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(MissingExtraError, match=r"torchdiffeq.*pip install 'noisewalk\[ode\]'"):
        ProbabilityFlow(GaussianData(), gradient="adjoint")
