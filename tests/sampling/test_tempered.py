"""A posterior with its likelihood to a power."""

import torch
from linear_targets import linear, normal

from noisewalk.sampling.tempered import Tempered


def test_the_tempered_target_scales_the_likelihood_alone() -> None:
    target = linear(images=2)[0]
    z = normal(6, 5, seed=7)
    beta = torch.tensor([0.25, 0.5], dtype=torch.float64)
    state, tempered = target(z), Tempered(target, beta)
    scaled = tempered(z)
    factor = beta.repeat_interleave(3)
    torch.testing.assert_close(scaled.nll, factor * state.nll)
    torch.testing.assert_close(scaled.grad, factor[:, None] * state.grad)
    torch.testing.assert_close(tempered.untemper(scaled).nll, state.nll)
    assert torch.equal(scaled.x, state.x)
