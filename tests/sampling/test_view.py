"""One image as people look at it: gaps, units and the first row's place."""

import numpy as np
import pytest
import torch
from picture_runs import SHAPE, exact

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.sampling.view import IN_UNITS, verdict_line, view_of


def test_a_view_holds_what_is_known():
    draws, target, truth = exact()
    view = view_of(nw.Run(draws, target, truth), 0, 3)
    assert view.draws.shape == (3, *SHAPE)
    assert np.allclose(view.mean, draws[0].mean((0, 1)), atol=1e-5)
    assert np.allclose(view.error, np.abs(view.mean - truth[0].numpy())[0], atol=1e-5)
    assert view.unit == IN_UNITS
    bare = view_of(nw.Run(draws))
    assert bare.y is bare.truth is bare.error is None
    assert bare.is_picture


def test_what_is_not_observed_is_no_number():
    draws, target, _ = exact()
    observed = torch.ones(1, *SHAPE, dtype=torch.bool)
    observed[..., 0, :] = False
    run = nw.Run({"x": draws}, y=target.y, observed=observed)
    view = view_of(run)
    assert np.isnan(view.y[0, 0]).all()
    assert np.isfinite(view.y[0, 1:]).all()


def test_numbers_are_in_the_unit_of_the_file():
    draws, target, _ = exact()
    facts = {"problem": {"range": [0.0, 10.0], "unit": "K", "bottom_up": True}}
    view = view_of(nw.Run({"x": draws}, y=target.y, spec=facts))
    assert view.unit == "value in K"
    assert view.origin == "lower"
    assert np.allclose(view.mean, 5 + 5 * draws[0].mean((0, 1)).numpy(), atol=1e-4)
    assert np.allclose(view.y, 5 + 5 * target.y[0].numpy(), atol=1e-4)
    for name in ("Poisson", "PoissonGaussian"):  # counts stay what they are
        spec = {**facts, "likelihood": {"name": name}}
        counted = view_of(nw.Run({"x": draws}, y=target.y, spec=spec))
        assert np.allclose(counted.y, target.y[0].numpy())
    assert np.allclose(view.std, 5 * draws[0].flatten(0, 1).std(0).numpy(), atol=1e-4)


def test_an_image_that_is_not_there_is_refused():
    run = nw.Run(exact()[0])
    with pytest.raises(ConfigError, match="image"):
        view_of(run, 1)
    with pytest.raises(ConfigError, match="no draws"):
        view_of(nw.Run({"x": run.draws[:, :, :0]}))


def test_a_verdict_is_one_line():
    summary = {"verdict": "check", "verdict_reason": "Too few."}
    assert verdict_line(summary) == "Check: Too few."
