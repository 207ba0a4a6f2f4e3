"""Law: an exact, an over- and an under-confident posterior are told apart by every calibration
check."""

import pytest
import torch
from torch import Tensor

from noisewalk.errors import ConfigError
from noisewalk.evaluate.diagnostics import coverage, sbc, tarp
from noisewalk.evaluate.diagnostics.ranks import holm

PROBLEMS, DRAWS, DIM = 1500, 39, 3


def problems(scale: float = 1.0, shift: float = 0.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A conjugate normal model: truth ~ N(0, 1), y = truth + n, posterior N(y / 2, 1 / 2), its
    spread times `scale`."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.randn(PROBLEMS, DIM, generator=g, dtype=torch.float64)
    y = truth + torch.randn(PROBLEMS, DIM, generator=g, dtype=torch.float64)
    noise = torch.randn(PROBLEMS, DRAWS, DIM, generator=g, dtype=torch.float64)
    return truth, (y / 2 + shift)[:, None] + scale * 0.5**0.5 * noise


@pytest.mark.parametrize("seed", range(3))
def test_exact_draws_pass(seed: int) -> None:
    truth, draws = problems(seed=seed)
    assert float(holm(sbc(truth, draws).p_values).min()) > 0.001
    assert tarp(truth, draws).p_value > 0.001
    found = coverage(truth, draws)
    assert (
        float(((found.empirical - found.nominal[:, None]) / found.standard_error).abs().max()) < 5
    )


@pytest.mark.parametrize("scale", [0.6, 1.6])
def test_over_and_under_confident_draws_fail(scale: float) -> None:
    truth, draws = problems(scale)
    assert float(sbc(truth, draws).p_values.max()) < 1e-6
    assert tarp(truth, draws, references=truth.mean(0) + 0 * truth).p_value < 1e-3
    found = coverage(truth, draws)
    gap = (found.empirical - found.nominal[:, None]) / found.standard_error
    assert bool((gap < -5).any() if scale < 1 else (gap > 5).any())


def test_a_shifted_posterior_fails() -> None:
    truth, draws = problems(shift=0.25)
    assert float(sbc(truth, draws).p_values.max()) < 1e-6
    assert (
        tarp(truth, draws, references=torch.full_like(truth, -4.0)).p_value < 1e-6
    )  # far away: distances are projections onto the shift


def test_ignoring_the_measurement_passes_sbc_and_fails_tarp_with_references_that_know_it() -> None:
    truth, _ = problems()
    g = torch.Generator().manual_seed(9)
    prior = torch.randn(PROBLEMS, DRAWS, DIM, generator=g, dtype=torch.float64)
    near = truth + torch.randn(PROBLEMS, DIM, generator=g, dtype=torch.float64)  # as good as y
    assert float(holm(sbc(truth, prior).p_values).min()) > 0.001
    assert tarp(truth, prior, references=near).p_value < 1e-6


def test_the_ranks_count_the_draws_below_and_break_ties_evenly() -> None:
    truth = torch.tensor([[0.5], [10.0]]).repeat(20, 1)
    draws = torch.arange(4.0).repeat(40, 1)[..., None]
    assert sbc(truth, draws, num_bins=2).ranks.flatten().tolist() == [1, 4] * 20
    tied = sbc(torch.zeros(3000, 1), torch.zeros(3000, 4, 1), num_bins=5)
    counts = torch.bincount(tied.ranks.flatten(), minlength=5).double()
    assert float(((counts - 600) / (600 * 0.8) ** 0.5).abs().max()) < 5


def test_the_widest_interval_of_19_draws_has_nominal_coverage_of_90_percent() -> None:
    truth, draws = problems()
    assert float(coverage(truth, draws[:, :19]).nominal.max()) == pytest.approx(0.9)


def test_holm_is_the_step_down_bound() -> None:
    assert holm(torch.tensor([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm(torch.tensor([0.6, 0.9])).tolist() == [1.0, 1.0]


def test_shapes_that_do_not_fit_are_refused() -> None:
    for check in (sbc, tarp, coverage):
        with pytest.raises(ConfigError):
            check(torch.zeros(5, 2), torch.zeros(4, 3, 2))
        with pytest.raises(ConfigError):
            check(torch.full((5, 2), torch.nan), torch.zeros(5, 3, 2))
    with pytest.raises(ConfigError):
        tarp(torch.zeros(5, 2), torch.zeros(5, 3, 2), references=torch.zeros(5, 3))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_ties_are_covered_no_more_often_than_other_draws(share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(4000, 20, generator=generator) < share).double()
    found = coverage(x[:, 0], x[:, 1:])
    error = found.standard_error.clamp(min=1e-9)
    assert float(((found.empirical - found.nominal).abs() / error).max()) < 4
