"""The report of runs in memory and of anybody's draws."""

import numpy as np
import pytest
import torch
from affine_runs import KERNEL, settings
from picture_runs import exact

import noisewalk as nw
from noisewalk.errors import ConfigError, StoreError
from noisewalk.sampling.page import report_arguments


def test_anybodys_draws_have_a_report(tmp_path):
    draws, target, truth = exact()
    page = nw.Run(draws, target, truth).report(tmp_path / "mine", title="A <b>field</b>")
    assert page == tmp_path / "mine" / "report.html"
    text = page.read_text()
    assert "A &lt;b&gt;field&lt;/b&gt;" in text
    assert "<b>field" not in text


def test_draws_alone_are_enough(tmp_path):
    page = nw.Run(torch.randn(2, 3, 5, 6, 6)).report(tmp_path / "a.html")
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_runs_in_memory_and_in_a_folder_have_a_report(tmp_path):
    _, target, _ = exact()
    for store in (None, tmp_path / "run"):
        run = nw.sample(target, KERNEL, **settings(), store=store)
        assert "noisewalk" in run.report(tmp_path / f"{store is None}.html").read_text()
    assert (tmp_path / "run" / "report.html").is_file()


def test_the_residual_is_that_of_the_draws():
    draws, target, _ = exact(draws=2)
    (found,) = report_arguments(nw.Run(draws, target), None)
    expected = ((target.y - draws[0].flatten(0, 1)) / 0.5).mean(0)
    assert torch.allclose(torch.from_numpy(found["residual"]).float(), expected, atol=1e-5)
    assert found["summary"]["r_hat_max"] is None  # two draws a chain
    assert found["r_hat"] is None
    mean = draws[0].flatten(0, 1).mean(0)
    assert torch.allclose(torch.from_numpy(found["predicted"]).float(), mean, atol=1e-5)


def test_chains_in_memory_have_maps_of_quantiles_r_hat_and_ess():
    for shape in ((1, 4, 5), (4, 5), (6,)):
        x = torch.randn(1, 3, 24, *shape, generator=torch.Generator().manual_seed(0))
        (found,) = report_arguments(nw.Run(x), None)
        seen = found["mean"].shape
        assert found["quantiles"].shape == (3, *seen)
        assert found["r_hat"].shape == found["ess"].shape == seen
        median = x[0].flatten(0, 1).quantile(0.5, 0).reshape(seen)
        assert torch.allclose(torch.from_numpy(found["quantiles"][1]).float(), median, atol=1e-5)


def test_what_cannot_be_shown_or_written_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no draws"):
        nw.Run({"x": torch.zeros(1, 2, 0, 4)}).report(tmp_path)
    with pytest.raises(ConfigError, match="a report shows"):
        nw.Run(torch.zeros(1, 2, 3, 2, 2, 2, 2)).report(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        nw.Run(torch.zeros(1, 2, 3, 4)).report(tmp_path / "file" / "a.html")


def test_the_residual_of_each_image_is_by_its_own_level():
    shape, levels = (1, 2, 2), torch.tensor([0.1, 1.0, 10.0]).reshape(3, 1, 1, 1)
    phi, likelihood = nw.maps.Warp(shape), nw.likelihoods.Gaussian(levels)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), likelihood, torch.ones(3, *shape))
    found = report_arguments(nw.Run(torch.zeros(3, 2, 4, *shape), target), None)
    for one, level in zip(found, (0.1, 1.0, 10.0), strict=True):
        assert np.allclose(one["residual"], 1 / level)
