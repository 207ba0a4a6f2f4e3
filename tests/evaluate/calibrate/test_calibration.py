"""Law: the plot shows every quantity that was ranked."""

import torch
from torch import Tensor

import noisewalk as nw


def bent(x: Tensor) -> Tensor:
    return x[:, :3] / 2 + torch.tanh(x[:, 1:])


PHI, LIKELIHOOD = nw.maps.Warp((4,), 0.8), nw.likelihoods.Gaussian(0.4)


def test_the_plot_has_a_curve_per_quantity() -> None:
    found = nw.calibrate(PHI, bent, LIKELIHOOD, nw.EllipticalSlice(), num_problems=40)
    assert [len(axes.lines) for axes in found.plot().axes] == [len(found.quantities)]
    ranked = nw.calibrate(
        PHI, bent, LIKELIHOOD, nw.EllipticalSlice(), num_problems=40, test="converged"
    )
    assert [len(axes.lines) for axes in ranked.plot().axes] == [
        len(found.quantities),
        1 + len(found.quantities),
    ]
    assert "smallest p" in repr(found)
