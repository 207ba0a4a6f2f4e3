"""The numbers of an entry: values, standard errors, and reasons for their lack."""

import math

import pytest
import torch

import noisewalk as nw
from noisewalk.evaluate import cells
from noisewalk.evaluate.cells import Cell, cells_of
from noisewalk.evaluate.metrics.samples import mean_and_se


def draws(images=1, chains=8, length=10, shape=(1, 12, 12), seed=0):
    noise = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(images, chains, length, *shape, generator=noise)


def test_speed_is_that_of_the_diagnostics_over_the_cost():
    x = draws()
    found = cells_of(nw.Run(x, nfe=400, seconds=2.0), 80)
    ways = nw.diagnostics.chains.projections(x[0])
    jump = float(nw.diagnostics.jump(ways).median())
    ess = float(nw.diagnostics.ess_bulk(ways).median())
    assert found["jump_per_call"].value == pytest.approx(jump * 80 / 400)
    assert found["jump_per_second"].value == pytest.approx(jump * 80 / 2.0)
    assert found["ess_per_call"].value == pytest.approx(ess / 400)
    assert found["ess_per_second"].value == pytest.approx(ess / 2.0)
    assert all(found[name].error > 0 for name in ("jump_per_call", "ess_per_second"))


def test_the_cost_of_several_images_is_shared():
    one, two = (nw.Run(draws(images=n), nfe=400 * n, seconds=1.0 * n) for n in (1, 2))
    ratio = cells_of(two, 80)["ess_per_call"].value / cells_of(one, 80)["ess_per_call"].value
    assert 0.8 < ratio < 1.25  # as many calls an image


def test_the_error_of_one_image_is_the_jackknifes_over_chains():
    """For a mean it is the standard error of the chains' means."""
    values = draws(chains=8)[0, :, :, 0, 0, 0]
    means = values.double().mean(1)
    parts = cells._without(values)
    cell = cells._told([[float(p.double().mean()) for p in (values, *parts)]], "")
    assert cell.error == pytest.approx(mean_and_se(means)[1], rel=1e-6)


def test_the_error_of_several_images_is_that_of_independent_ones():
    x, truth = draws(images=3), draws(images=3, seed=1)[:, 0, 0]
    found = cells_of(nw.Run(x, truth=truth), 80)
    each = nw.metrics.psnr(x.double().flatten(1, 2).mean(1), truth.double())
    value, error = mean_and_se(each)
    assert found["psnr"].value == pytest.approx(value)
    assert found["psnr"].error == pytest.approx(error)


def test_a_number_that_is_not_there_has_a_reason():
    found = cells_of(nw.Run(draws(length=1)), 8)
    missing = {name: cell.why for name, cell in found.items() if cell.value is None}
    assert set(missing) == set(found) - {"verdict", "num_draws"}
    assert "4 draws" in missing["jump_per_call"]
    assert missing["psnr"] == cells.NO_TRUTH
    assert missing["chi2"] == "no target was given"
    assert missing["nfe"] == cells.UNCOUNTED
    small = draws(shape=(1, 6, 6))
    assert "11 pixels" in cells_of(nw.Run(small, truth=small[:, 0, 0]), 80)["ssim"].why


def test_lpips_without_its_weights_is_a_dash_that_says_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("NOISEWALK_CACHE", str(tmp_path))
    x = draws(chains=2, length=4, shape=(1, 32, 32))
    cell = cells_of(nw.Run(x, truth=x[:, 0, 0]), 8)["lpips"]
    assert cell.value is None
    assert "noisewalk priors get lpips-alex" in cell.why
    assert list(tmp_path.iterdir()) == []  # nothing was downloaded


def test_one_chain_has_no_error():
    assert cells._without(torch.zeros(1, 3)) == []
    assert cells._told([[2.0]], "") == Cell(2.0, None)
    assert cells._told([[math.nan]], "why") == Cell(None, None, "why")


def test_the_errors_of_r_hat_and_memory_are_the_spread_over_runs():
    """Chains with places of their own: a pixel has not mixed, and states are remembered."""
    found = []
    for seed in range(30):
        x = draws(length=40, shape=(1, 3, 3), seed=seed).double()
        place = torch.randn(8, generator=torch.Generator().manual_seed(seed + 100)).double()
        x[0, :, :, 0, 1, 1] += 0.4 * place[:, None]
        found.append(cells_of(nw.Run(x), 320))
    for name in ("r_hat", "memory"):
        values = torch.tensor([cell[name].value for cell in found])
        errors = torch.tensor([cell[name].error for cell in found])
        assert 0.5 < float(errors.median() / values.std()) < 2.0, name
    assert all(cell["drift"].error >= 0 for cell in found)


def test_r_hat_of_two_chains_has_no_error():
    cell = cells_of(nw.Run(draws(chains=2, length=40)), 80)["r_hat"]
    assert cell.value > 0.9
    assert cell.error is None


def test_chains_that_are_too_short_for_r_hat_are_said_to_be():
    for chains, length in ((4, 10), (1, 30)):
        cell = cells_of(nw.Run(draws(chains=chains, length=length)), 80)["r_hat"]
        assert (cell.value, cell.why) == (None, "R-hat takes two chains of 20 draws")
