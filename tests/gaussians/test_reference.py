"""What the references share, against dense matrices."""

import torch
from references import CHAINS, IMAGES, dense, made, states
from torch import Tensor

from noisewalk.gaussians.low_rank import LowRank
from noisewalk.types import State


def psi(reference: LowRank, state: State) -> Tensor:
    out = []
    for row, z in enumerate(state.z):
        image = row // CHAINS
        u = z - reference.mean[image]
        out.append(state.nll[row] + 0.5 * z @ z - 0.5 * u @ dense(reference, image) @ u)
    return torch.stack(out)


def test_the_drop_and_the_gradient_of_psi_are_the_naive_ones() -> None:
    reference, (here, there) = made(), states()
    torch.testing.assert_close(
        reference.drop(here, there),
        psi(reference, here) - psi(reference, there),
        rtol=1e-11,
        atol=1e-11,
    )
    H = torch.stack([dense(reference, row // CHAINS) for row in range(IMAGES * CHAINS)])
    expected = here.grad + here.z - (H @ reference.offset(here.z)[..., None])[..., 0]
    torch.testing.assert_close(reference.residual_gradient(here), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(reference.position(reference.offset(here.z)), here.z)
