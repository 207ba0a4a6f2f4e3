"""A flow's values have one closed form and one order of convergence, its three gradients agree, and
they cost what they say."""

import math
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from flow_fields import DIM, SOLVERS, WAYS, A, bent, draw, gradient_of
from torch import Tensor, nn

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError, MissingExtraError
from noisewalk.maps.flow import Flow
from noisewalk.maps.integrate import CALLS, GRADIENTS

ORDERS = {"euler": 1, "heun": 2, "rk4": 4}
SPANS = pytest.mark.parametrize("span", [(0.0, 1.0), (1.0, 0.0)], ids=["rising", "falling"])


def linear(x: Tensor, t: Tensor) -> Tensor:
    return x @ A.to(x).T


def turning(x: Tensor, t: Tensor) -> Tensor:
    """Linear in x, with a matrix that changes in time and does not commute with itself."""
    return torch.cos(3 * t)[:, None] * (x @ A.to(x).T) + t[:, None] * (x @ A.to(x))


def bridge(x: Tensor, t: Tensor) -> Tensor:
    """E[x_1 - z | x_t = x] of flow matching with independent z ~ N(0, 1) and x_1 ~ N(1.5, 0.6^2):
    Phi(z) = 1.5 + 0.6 z."""
    t = t[:, None]
    return 1.5 + (0.36 * t - (1 - t)) / ((1 - t) ** 2 + 0.36 * t**2) * (x - 1.5 * t)


class Decay:
    """v = -s (1 + cos t) x^3 with s the direction of time: x(t) = z / sqrt(1 + 2 z^2 tau), tau the
    integral of 1 + cos t."""

    def __init__(self, span: tuple[float, float]) -> None:
        self.sign = math.copysign(1, span[1] - span[0])
        self.tau = abs(span[1] - span[0]) + abs(math.sin(span[1]) - math.sin(span[0]))

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return -self.sign * (1 + torch.cos(t))[:, None] * x**3

    def solution(self, z: Tensor) -> Tensor:
        return z / torch.sqrt(1 + 2 * z**2 * self.tau)

    def derivative(self, z: Tensor) -> Tensor:
        return (1 + 2 * z**2 * self.tau) ** -1.5


class Counted:
    """A field that counts its calls and keeps the times."""

    def __init__(self, field: Callable[[Tensor, Tensor], Tensor] = bent) -> None:
        self.field, self.times = field, []

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        self.times.append(t.detach())
        return self.field(x, t)


def observed_order(error: Callable[[int], float], num_steps: int) -> float:
    """log2 of what doubling the steps divides the error by: p + O(1 / num_steps), hence the
    tolerance of 0.1 at 32 and more."""
    return math.log2(error(num_steps) / error(2 * num_steps))


# values


def test_a_linear_field_gives_the_truncated_exponential_of_each_step() -> None:
    for solver in CALLS:
        for span in [(0.0, 1.0), (1.0, 0.0)]:
            steps, z, p = 8, draw(4), ORDERS[solver]
            h = (span[1] - span[0]) / steps
            step = sum(
                torch.linalg.matrix_power(h * A, k) / math.factorial(k) for k in range(p + 1)
            )
            x = Flow(linear, (DIM,), span, steps, solver)(z)
            torch.testing.assert_close(
                x, z @ torch.linalg.matrix_power(step, steps).T, rtol=1e-13, atol=1e-13
            )
            size = float(torch.linalg.matrix_norm(A, 2))
            bound = (
                (size * abs(h)) ** p
                * size
                / math.factorial(p + 1)
                * math.exp(2 * size)
                * z.norm(dim=1)
            )
            assert (
                (x - z @ torch.linalg.matrix_exp((span[1] - span[0]) * A).T).norm(dim=1) < bound
            ).all()


@SOLVERS
@SPANS
def test_the_error_of_the_value_falls_with_the_solvers_order(
    solver: str, span: tuple[float, float]
) -> None:
    z, field = draw(4) / 4, Decay(span)

    def error(num_steps: int) -> float:
        return float((Flow(field, (DIM,), span, num_steps, solver)(z) - field.solution(z)).norm())

    assert observed_order(error, 32) == pytest.approx(ORDERS[solver], abs=0.1)


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_flow_matching_of_a_gaussian_pushes_the_noise_to_that_gaussian(solver: str) -> None:
    z = draw(4)

    def error(num_steps: int) -> float:
        return float(
            (Flow(bridge, (DIM,), (0.0, 1.0), num_steps, solver)(z) - (1.5 + 0.6 * z)).norm()
        )

    assert observed_order(error, 64) == pytest.approx(ORDERS[solver], abs=0.1)


def test_the_values_do_not_depend_on_how_the_gradient_is_made() -> None:
    for solver in CALLS:
        for dtype in [torch.float32, torch.float64]:
            z = draw(4, dtype=dtype)
            values = [
                Flow(bent, (DIM,), (0.0, 1.0), 5, solver, gradient)(leaf)
                for gradient in GRADIENTS
                for leaf in (z, z.clone().requires_grad_())
            ]
            assert all(x.dtype == dtype for x in values)
            assert all(torch.equal(x, values[0]) for x in values[1:])


def test_the_path_goes_from_the_noise_to_the_data() -> None:
    z, phi = draw(2), Flow(bent, (DIM,), num_steps=5)
    states = list(phi.path(z))
    assert len(states) == 6
    assert torch.equal(states[0], z)
    assert torch.equal(states[-1], phi(z))


def test_the_times_are_those_of_the_stages_one_per_row_in_the_dtype_of_x() -> None:
    for dtype in (torch.float32, torch.float64):
        field = Counted()
        Flow(field, (DIM,), (2.0, -1.0), 3, "heun")(draw(4, dtype=dtype))
        assert all(t.shape == (4,) and t.dtype == dtype for t in field.times)
        assert [float(t[0]) for t in field.times] == pytest.approx([2, 1, 1, 0, 0, -1])


# gradients


def test_checkpointing_changes_no_digit_of_the_gradient() -> None:
    for solver in CALLS:
        z, weight = draw(4), draw(4, seed=1)
        direct, again = (
            gradient_of(Flow(bent, (DIM,), num_steps=5, solver=solver, gradient=way), z, weight)
            for way in ("direct", "checkpoint")
        )
        torch.testing.assert_close(again, direct, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 3), ("rk4", 4)])
def test_the_adjoint_approaches_the_discrete_gradient_as_the_steps_shrink(
    solver: str, order: int
) -> None:
    z, weight = draw(4) / 4, draw(4, seed=1)

    def error(num_steps: int) -> float:
        phi = Flow(bent, (DIM,), (1.0, 0.0), num_steps, solver, "adjoint")
        return float(
            (
                gradient_of(phi, z, weight)
                - gradient_of(replace(phi, gradient="direct"), z, weight)
            ).norm()
        )

    assert observed_order(error, 32) == pytest.approx(order, abs=0.1)


@SOLVERS
@WAYS
def test_the_gradient_approaches_that_of_the_exact_flow_with_the_solvers_order(
    solver: str, gradient: str
) -> None:
    z, field = draw(4) / 4, Decay((0.0, 1.0))

    def error(num_steps: int) -> float:
        return float(
            (
                gradient_of(Flow(field, (DIM,), (0.0, 1.0), num_steps, solver, gradient), z)
                - field.derivative(z)
            ).norm()
        )

    assert observed_order(error, 32) == pytest.approx(ORDERS[solver], abs=0.1)


def test_the_adjoint_of_a_linear_field_is_the_discrete_gradient() -> None:
    for solver, field in [
        ("euler", linear),
        ("heun", linear),
        ("rk4", linear),
        ("heun", turning),
        ("rk4", turning),
    ]:
        z, weight, phi = draw(4), draw(4, seed=1), Flow(field, (DIM,), num_steps=4, solver=solver)
        expected = gradient_of(phi, z, weight)
        torch.testing.assert_close(
            gradient_of(replace(phi, gradient="adjoint"), z, weight),
            expected,
            rtol=1e-13,
            atol=1e-13,
        )
        assert torch.autograd.gradcheck(replace(phi, gradient="adjoint"), (z.requires_grad_(),))


def test_the_gradient_is_the_derivative_of_the_value() -> None:
    for solver in CALLS:
        for gradient in ["direct", "checkpoint"]:
            assert torch.autograd.gradcheck(
                Flow(bent, (DIM,), num_steps=3, solver=solver, gradient=gradient),
                (draw(2).requires_grad_(),),
            )


def test_every_state_of_the_path_passes_its_gradient_on() -> None:
    for gradient in GRADIENTS:
        z, phi = draw(2).requires_grad_(), Flow(linear, (DIM,), num_steps=4, gradient=gradient)
        total = sum((k + 1) * x.sum() for k, x in enumerate(phi.path(z)))
        step = torch.eye(DIM, dtype=torch.float64) + A / 4 + A @ A / 32
        expected = sum((k + 1) * torch.linalg.matrix_power(step, k).sum(0) for k in range(5))
        torch.testing.assert_close(
            torch.autograd.grad(total, z)[0], expected.expand(2, DIM), rtol=1e-13, atol=1e-13
        )


def test_a_field_that_ignores_x_shifts_and_passes_the_gradient_through() -> None:
    for gradient in GRADIENTS:
        for field in [
            lambda x, t: torch.ones_like(x),
            lambda x, t: nn.Parameter(torch.ones_like(x)),
        ]:
            z, phi = draw(2), Flow(field, (DIM,), num_steps=4, gradient=gradient)
            torch.testing.assert_close(phi(z), z + 1, rtol=1e-14, atol=1e-14)
            assert torch.equal(gradient_of(phi, z), torch.ones_like(z))


def test_the_adjoint_leaves_the_weights_alone() -> None:
    layer = nn.Linear(DIM, DIM, dtype=torch.float64)
    z = draw(2).requires_grad_()
    Flow(lambda x, t: torch.tanh(layer(x)), (DIM,), num_steps=3, gradient="adjoint")(
        z
    ).sum().backward()
    assert z.grad is not None
    assert all(weight.grad is None for weight in layer.parameters())


def test_a_posterior_over_a_flow_has_a_gradient_and_both_products() -> None:
    for gradient in GRADIENTS:
        phi = Flow(linear, (DIM,), num_steps=4, gradient=gradient)
        target = nw.NoisePosterior(
            phi,
            lambda x: x[:, :2],
            nw.likelihoods.Gaussian(0.5),
            torch.tensor([[0.3, -0.2]], dtype=torch.float64),
        )
        z, v = draw(4), draw(4, seed=1)
        matrix = torch.linalg.matrix_power(
            torch.eye(DIM, dtype=torch.float64) + A / 4 + A @ A / 32, 4
        )[:2]
        mean, jvp, vjp = target.linearize(z)
        torch.testing.assert_close(jvp(v), v @ matrix.T, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(vjp(mean), mean @ matrix, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(
            target(z).grad, (mean - target.y) @ matrix / 0.25, rtol=1e-12, atol=1e-12
        )


# cost


def test_the_network_is_called_as_often_as_nfe_says() -> None:
    for solver in CALLS:
        for gradient in GRADIENTS:
            field, z = Counted(), draw(2).requires_grad_()
            phi = Flow(field, (DIM,), num_steps=5, solver=solver, gradient=gradient)
            x = phi(z)
            assert len(field.times) == phi.nfe == 5 * CALLS[solver]
            field.times.clear()
            torch.autograd.grad(x.sum(), z)
            assert len(field.times) == (0 if gradient == "direct" else phi.nfe)


# laws of a map, for the gradient


def test_the_gradient_of_a_row_does_not_know_its_neighbours() -> None:
    for solver in CALLS:
        for gradient in GRADIENTS:
            phi, row = Flow(bent, (DIM,), num_steps=4, solver=solver, gradient=gradient), draw(1)
            for other in (draw(1, seed=1), torch.full((1, DIM), torch.nan, dtype=torch.float64)):
                batch = torch.cat([other, row, other])
                torch.testing.assert_close(phi(batch)[1:2], phi(row), rtol=1e-12, atol=1e-12)
                torch.testing.assert_close(
                    gradient_of(phi, batch)[1:2], gradient_of(phi, row), rtol=1e-12, atol=1e-12
                )


def test_the_gradient_is_pure() -> None:
    for gradient in GRADIENTS:
        phi, z = Flow(bent, (DIM,), num_steps=4, gradient=gradient), draw(3)
        copy, state, text = z.clone(), torch.get_rng_state(), repr(phi)
        assert torch.equal(gradient_of(phi, z), gradient_of(phi, z))
        assert torch.equal(z, copy)
        assert torch.equal(torch.get_rng_state(), state)
        assert repr(phi) == text


def test_a_flow_of_a_module_survives_pickling() -> None:
    for gradient in GRADIENTS:
        phi, z = (
            Flow(Layer().eval(), (DIM,), num_steps=3, gradient=gradient),
            draw(2, dtype=torch.float32),
        )
        again = pickle.loads(pickle.dumps(phi))
        assert repr(again) == repr(phi)
        assert torch.equal(gradient_of(again, z), gradient_of(phi, z))


# errors


class Layer(nn.Module):
    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(DIM, DIM)
        self.layer.weight.data.fill_(0.1)
        self.norm = nn.BatchNorm1d(DIM) if norm else nn.Identity()

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.norm(self.layer(x)) + t[:, None]


def test_what_is_not_allowed_is_named() -> None:
    for change, message in [
        ({"velocity": 3.0}, r"module or function v\(x, t\), got 3.0"),
        ({"shape": 3}, r"tuple of whole numbers .*, got 3"),
        ({"shape": ()}, r"tuple of whole numbers"),
        ({"shape": (3, 0)}, r"every side of Flow's shape must be a whole number .* got 0"),
        ({"t_span": (1.0, 1.0)}, r"two different numbers .*, got \(1.0, 1.0\)"),
        ({"t_span": (0.0, math.nan)}, r"t_span\[1\] must be a finite number, got nan"),
        ({"t_span": (0.0, 0.5, 1.0)}, r"two different numbers"),
        ({"t_span": 1.0}, r"two different numbers"),
        ({"num_steps": 0}, r"num_steps must be a whole number of at least 1, got 0"),
        ({"num_steps": 2.5}, r"at least 1, got 2.5"),
        ({"num_steps": True}, r"at least 1, got True"),
        ({"solver": "dopri5"}, r"unknown solver 'dopri5': choose one of euler, heun, rk4"),
        (
            {"gradient": "exact"},
            r"unknown gradient 'exact': choose one of direct, checkpoint, adjoint",
        ),
        ({"velocity": Layer(norm=True)}, r"norm is in training mode: call velocity.eval\(\)"),
    ]:
        with pytest.raises(ConfigError, match=message):
            Flow(**({"velocity": bent, "shape": (DIM,)} | change))  # type: ignore[arg-type]


def test_a_velocity_of_another_shape_than_x_is_named() -> None:
    for gradient in GRADIENTS:
        phi = Flow(lambda x, t: x.sum(1, keepdim=True), (DIM,), gradient=gradient)
        with pytest.raises(ConfigError, match=r"must return x's shape \(2, 3\), got \(2, 1\)"):
            phi(draw(2).requires_grad_())


def test_only_the_adjoint_needs_torchdiffeq(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchdiffeq"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    for gradient in ("direct", "checkpoint"):
        assert torch.isfinite(
            gradient_of(Flow(bent, (DIM,), num_steps=2, gradient=gradient), draw(1))
        ).all()
    with pytest.raises(MissingExtraError, match=r"torchdiffeq.*pip install 'noisewalk\[ode\]'"):
        Flow(bent, (DIM,), gradient="adjoint")


def test_the_steps_of_the_path_are_equal() -> None:
    states = list(
        Flow(lambda x, t: torch.ones_like(x), (DIM,), (1.0, 3.0), 4, "euler").path(draw(1))
    )
    for before, after in pairwise(states):
        torch.testing.assert_close(
            after - before, torch.full_like(before, 0.5), rtol=1e-14, atol=1e-14
        )


def test_a_network_of_diffusers_is_a_velocity_and_runs_under_the_default_kernel(unet: Any) -> None:
    network = unet
    phi = Flow(network, (1, 8, 8), num_steps=2, solver="euler")
    plain = Flow(lambda x, t: network(x, t).sample, (1, 8, 8), num_steps=2, solver="euler")
    z = noise.rows(0, 2).normal((1, 8, 8), noise.PROBE)
    with torch.no_grad():
        assert torch.equal(phi(z), plain(z))
    y = torch.zeros(1, 1, 4, 4)
    target = nw.NoisePosterior(phi, nw.operators.AveragePool(2), nw.likelihoods.Gaussian(0.3), y)
    _, jvp, _ = target.linearize(z)
    with torch.no_grad():
        ahead, behind = (target.operator(phi(z + h * z.flip(0))) for h in (1e-2, -1e-2))
    torch.testing.assert_close(jvp(z.flip(0)), (ahead - behind) / 2e-2, rtol=0, atol=2e-3)
    assert target.jacobian == "forward"
    run = nw.sample(
        target, num_draws=2, num_chains=2, num_warmup=4, warm_start=nw.Adam(2), progress=False
    )
    assert run.draws.isfinite().all()


def test_a_velocity_that_is_no_tensor_is_named() -> None:
    for made in ((torch.zeros(2, DIM),), {"sample": torch.zeros(2, DIM)}, None):
        phi = Flow(lambda x, t, made=made: made, (DIM,))
        with pytest.raises(ConfigError, match=rf"as \.sample, got {type(made).__name__}"):
            phi(draw(2))
