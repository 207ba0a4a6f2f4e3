"""The steps of an integration and its three gradients."""

from dataclasses import replace

import pytest
import torch
from flow_fields import DIM, SOLVERS, WAYS, bent, draw, gradient_of
from torch import Tensor

from noisewalk.errors import ConfigError
from noisewalk.maps.flow import Flow
from noisewalk.maps.integrate import CALLS


def test_the_values_are_those_of_the_solver_of_the_same_name_in_torchdiffeq() -> None:
    for solver in CALLS:
        for span in [(0.0, 1.0), (1.0, 0.0)]:
            from torchdiffeq import odeint

            z, times = draw(4), torch.linspace(*span, 7, dtype=torch.float64)
            other = odeint(
                lambda t, x: bent(x, t.expand(len(x))),
                z,
                times,
                method={"heun": "heun2"}.get(solver, solver),
            )
            torch.testing.assert_close(
                torch.stack(list(Flow(bent, (DIM,), span, 6, solver).path(z))),
                other,
                rtol=1e-13,
                atol=1e-13,
            )


def test_the_adjoint_refuses_to_be_differentiated_twice() -> None:
    z = draw(1).requires_grad_()
    x = Flow(bent, (DIM,), num_steps=2, gradient="adjoint")(z)
    with pytest.raises(ConfigError, match="cannot be differentiated again"):
        torch.autograd.grad(x.sum(), z, create_graph=True)


@SOLVERS
@WAYS
def test_the_forward_mode_derivative_is_that_of_the_discrete_map(
    solver: str, gradient: str
) -> None:
    z, v, w = draw(3), draw(3, seed=1), draw(3, seed=2)
    phi = Flow(bent, (DIM,), num_steps=4, solver=solver, gradient=gradient)
    value, tangent = torch.func.jvp(phi, (z,), (v,))
    assert torch.equal(value, phi(z))
    reverse = gradient_of(replace(phi, gradient="direct"), z, w)
    torch.testing.assert_close((tangent * w).sum(1), (v * reverse).sum(1), rtol=1e-13, atol=1e-13)
    columns = torch.func.jacfwd(lambda row: phi(row[None])[0])(z[0])
    torch.testing.assert_close(columns @ v[0], tangent[0], rtol=1e-13, atol=1e-13)


@SOLVERS
def test_the_adjoint_keeps_one_state_per_step_and_no_activation(solver: str) -> None:
    kept: list[tuple[int, ...]] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    z = draw(2).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        Flow(bent, (DIM,), num_steps=5, solver=solver, gradient="adjoint")(z)
        assert kept == [(2, DIM)] * 5
        Flow(bent, (DIM,), num_steps=5, solver=solver, gradient="direct")(z)
    assert len(kept) > 5 + 5 * CALLS[solver]
