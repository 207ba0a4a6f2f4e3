import json
import math

import pytest
import torch
from affine_runs import KERNEL, settings, target

import noisewalk as nw
from noisewalk.sampling.chains import Chains
from noisewalk.sampling.execute import draw


def test_draws_of_another_sampler_are_a_run():
    draws = torch.randn(1, 2, 20, 3, generator=torch.Generator().manual_seed(0))
    run = nw.Run({"x": draws}, nfe=100, seconds=1.0)
    summary = run.summary()
    assert summary["r_hat_max"] > 0.5
    assert math.isnan(summary["chi2"])
    assert math.isnan(summary["acceptance_rate"])
    tree = run.to_arviz()
    assert tree["posterior"]["x"].shape == (2, 20, 1, 3)
    assert "sample_stats" not in tree


def test_a_stored_run_knows_its_folder(tmp_path):
    stored = nw.sample(target(), KERNEL, **settings(), store=tmp_path / "run")
    assert stored.folder == nw.open_run(str(tmp_path / "run")).folder == tmp_path / "run"
    assert nw.sample(target(), KERNEL, **settings()).folder is None


def test_a_run_prints_as_one_line():
    run = nw.sample(target(), KERNEL, **settings())
    assert repr(run) == f"Run(2 images, 3 chains, 6 draws of shape (4,), {run.nfe:,} network calls)"


@pytest.fixture
def stored(tmp_path):
    """The folder of a run that keeps an early state."""
    draw(Chains(KERNEL, 2, 3, 2, 1, None, None, 0), target(), tmp_path / "run", False)
    return tmp_path / "run"


def test_an_early_state_comes_back(stored):
    run = nw.open_run(stored)
    assert torch.equal(run.early_x, warmed_up().draws[:, :, 1])
    assert torch.equal(run.early_lp, warmed_up().lp[:, :, 1])
    assert run.summary()["drift_p"] > 0
    assert run.calibrated is None


def warmed_up():
    """The same chains with the transitions of the warm-up kept as draws."""
    return draw(Chains(KERNEL, 2, 3, 0, 1, None, None, 0), target(), None, False)


@pytest.mark.parametrize("passed", [True, False])
def test_a_calibration_in_the_folder_is_known(stored, passed):
    calibrated_of(stored, passed, [2, 3, 2])
    assert nw.open_run(stored).calibrated is passed


def test_a_calibration_of_fewer_draws_is_not_that_of_the_run(stored):
    calibrated_of(stored, True, [2, 3, 1])
    assert nw.open_run(stored).calibrated is None


def test_a_calibration_that_is_too_small_to_count_does_not_count(stored):
    calibrated_of(stored, True, [2, 3, 2], counts=False)
    assert nw.open_run(stored).calibrated is None


def calibrated_of(folder, passed, shape, counts=True):
    found = {"p_value": 0.3, "passed": passed, "run_shape": shape, "counts": counts}
    text = json.dumps(found)
    (folder / "calibration.json").write_text(text)


@pytest.mark.parametrize("content", ["{", "[]", "{}", "3"])
def test_a_damaged_calibration_does_not_hide_the_draws(stored, content):
    (stored / "calibration.json").write_text(content)
    with pytest.warns(UserWarning, match="run the calibration again"):
        run = nw.open_run(stored)
    assert run.calibrated is None
    assert run.complete
