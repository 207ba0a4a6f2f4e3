"""Linear steps: the numbers by hand, their gradient, and what they refuse."""

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.maps.steps import Schedule, Steps

SCHEDULE = Schedule(2.0, (3.0, 1.0), (0.5, 0.25), (0.9, 0.8), (-0.4, 0.3))


def bent(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x + t[:, None])


def test_the_steps_are_the_formula() -> None:
    z = nw.noise.rows(0, 4).normal((3,), nw.noise.PROBE, torch.float64)
    x = 2.0 * z
    x = 0.9 * x - 0.4 * torch.tanh(0.5 * x + 3.0)
    x = 0.8 * x + 0.3 * torch.tanh(0.25 * x + 1.0)
    phi = Steps(bent, (3,), SCHEDULE)
    assert (phi.nfe, phi.shape, phi.data_shape) == (2, (3,), (3,))
    torch.testing.assert_close(phi(z), x, rtol=0, atol=1e-14)


def test_both_gradients_are_the_same() -> None:
    z = nw.noise.rows(0, 4).normal((3,), nw.noise.PROBE, torch.float64)
    grads = []
    for gradient in ("direct", "checkpoint"):
        leaf = z.clone().requires_grad_()
        phi = Steps(bent, (3,), SCHEDULE, gradient)
        grads.append(torch.autograd.grad(phi(leaf).sum(), leaf)[0])
        torch.autograd.gradcheck(phi, (leaf,))
    assert torch.equal(*grads)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown gradient 'adjoint'"):
        Steps(bent, (3,), SCHEDULE, "adjoint")
    with pytest.raises(ConfigError, match=r"must return x's shape \(2, 3\), got \(2, 1\)"):
        Steps(lambda x, t: x[:, :1], (3,), SCHEDULE)(torch.zeros(2, 3))
