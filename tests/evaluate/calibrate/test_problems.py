"""Problems are drawn from the prior, and their quantities are what they say."""

import math
from types import SimpleNamespace
from typing import Any

import torch

import noisewalk as nw
from noisewalk.evaluate.calibrate.calibration import NUM_PROJECTIONS, QUANTITIES
from noisewalk.evaluate.calibrate.problems import quantities, simulate
from noisewalk.types import State

SIGMA, COUNT = 0.5, 2000


def request(**change: Any) -> Any:
    settings = {
        "phi": nw.maps.Affine(torch.eye(3, dtype=torch.float64)),
        "operator": lambda x: x[:, :2],
        "likelihood": nw.likelihoods.Gaussian(SIGMA),
        "num_problems": COUNT,
        "microbatch": None,
        "seed": 4,
        "device": "cpu",
        "dtype": torch.float64,
        "differentiable": True,
    }
    return SimpleNamespace(**settings | change)


def test_truths_are_of_the_prior_and_measurements_have_the_noise_that_is_asked_for() -> None:
    target, truth = simulate(request())
    error = 5 * math.sqrt(2 / COUNT)
    assert float((truth.z.square().mean(0) - 1).abs().max()) < error
    noise = (target.y - truth.x[:, :2]) / SIGMA
    assert float((noise.square().mean(0) - 1).abs().max()) < error
    assert float((noise * truth.z[:, :2]).mean(0).abs().max()) < 5 / math.sqrt(COUNT)
    assert target.num_images == COUNT


def test_the_problems_are_keyed_by_the_seed_and_not_by_the_batches() -> None:
    y = simulate(request())[0].y
    torch.testing.assert_close(simulate(request(microbatch=7))[0].y, y)
    torch.testing.assert_close(simulate(request(num_problems=30))[0].y, y[:30])
    assert not torch.equal(simulate(request(seed=5))[0].y, y)


def test_the_quantities_are_in_the_order_of_their_names() -> None:
    z = torch.tensor([[3.0, 4.0]])
    state = State(z, torch.tensor([[1.0, 5.0]]), torch.tensor([2.0], dtype=torch.float64), z)
    found = quantities(state, seed=0)
    assert found.shape == (1, len(QUANTITIES))
    named = dict(zip(QUANTITIES, found[0].tolist(), strict=True))
    assert (named["nll"], named["log posterior"]) == (2.0, -2.0 - 12.5)
    assert (named["|z|^2"], named["mean of x"]) == (25.0, 3.0)
    double = quantities(state._replace(x=2 * state.x), seed=0)
    torch.testing.assert_close(double[:, -NUM_PROJECTIONS:], 2 * found[:, -NUM_PROJECTIONS:])
