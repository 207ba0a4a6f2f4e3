"""Law: the plot shows every quantity that was ranked."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.evaluate.calibrate.calibration import QUANTITIES, Calibration


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


def test_around_a_measurement_the_distance_is_ranked_too_and_its_plot_has_the_coverage() -> None:
    ranks = torch.arange(20)[:, None].expand(20, len(QUANTITIES) + 1) % 4
    draws = torch.randn(20, 3, len(QUANTITIES) + 1, generator=torch.Generator().manual_seed(0))
    inside = nw.diagnostics.coverage(draws[:, 0], draws[:, 1:])
    p_values = torch.linspace(0.009, 1, len(QUANTITIES) + 3)
    found = Calibration("around", "kernel", ranks, 3, p_values, 0.5, 7, None, inside, 16)
    assert found.ranked == (*QUANTITIES, "distance of x")
    assert found.quantities == (*found.ranked, "shift of x", "spread of x")
    assert found.p_value == pytest.approx(0.009)
    assert not found.passed
    assert replace(found, p_values=p_values + 0.01).passed
    curves = [len(axes.lines) for axes in found.plot().axes]
    assert curves == [len(found.ranked)] * 2


@pytest.mark.parametrize(
    ("truths", "chains", "p", "counts"),
    [(16, 8, 0.5, True), (15, 8, 0.5, False), (16, 7, 0.5, False), (4, 2, 0.001, True)],
)
def test_a_pass_counts_from_enough_truths_and_chains_and_a_failure_always(
    truths: int, chains: int, p: float, counts: bool
) -> None:
    ranks, p_values = torch.zeros(20, 9), torch.full((11,), p)
    found = Calibration("around", "kernel", ranks, chains, p_values, 0.5, 7, num_truths=truths)
    assert found.counts is counts
    assert f"{truths} different truths of 16" in found.too_little
    assert not replace(found, test="converged").counts
