"""A simulated measurement is the likelihood's own sample of A(x), seeded."""

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk._simulate import simulate
from noisewalk.errors import ConfigError


def test_a_simulation_is_a_function_of_its_seed() -> None:
    operator, likelihood = nw.operators.AveragePool(2), nw.likelihoods.Gaussian(0.5)
    x = torch.zeros(3, 1, 8, 8)
    one, same, other = (simulate(operator, likelihood, x, seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])
    assert torch.equal(simulate(operator, likelihood, x.numpy(), 1), one)


def test_what_holds_no_images_is_told() -> None:
    likelihood = nw.likelihoods.Gaussian(0.5)
    for x in (torch.zeros(2, 3, dtype=torch.long), np.float32(1.0)):
        with pytest.raises(ConfigError, match="x must be a floating-point tensor"):
            simulate(lambda v: v, likelihood, x)
