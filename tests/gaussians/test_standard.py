"""The reference N(0, I)."""

import torch
from references import DIM, IMAGES, states

from noisewalk.gaussians.low_rank import LowRank
from noisewalk.gaussians.standard import STANDARD


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
