"""The power-law average against its closed form: weights w_t proportional to t^(gamma+1) -
(t-1)^(gamma+1)."""

import copy
import math

import pytest
import torch
from torch import nn

from noisewalk.priors.train.ema import PowerEMA


class Scalar(nn.Module):
    def __init__(self, value: float, fixed: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value, dtype=torch.float64))
        self.register_buffer("fixed", torch.tensor(fixed, dtype=torch.float64))

    def become(self, value: float) -> "Scalar":
        with torch.no_grad():
            self.weight.fill_(value)
            self.fixed.fill_(-value)
        return self


@pytest.mark.parametrize("gamma", [0.0, 6.94, 16.97])
def test_the_average_is_the_closed_form_for_parameters_and_buffers(gamma: float) -> None:
    module = Scalar(99.0, 99.0)
    ema = PowerEMA(module, gamma)
    values = torch.randn(
        40, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).tolist()
    for step, value in enumerate(values, 1):
        ema.update(module.become(value), step)
        expected = sum(
            v * (t ** (gamma + 1) - (t - 1) ** (gamma + 1)) for t, v in enumerate(values[:step], 1)
        ) / step ** (gamma + 1)
        assert float(ema.weights["weight"]) == pytest.approx(expected, abs=1e-12)
        assert float(ema.weights["fixed"]) == pytest.approx(-expected, abs=1e-12)


def test_the_first_update_forgets_the_initial_weights() -> None:
    ema = PowerEMA(Scalar(99.0))
    ema.update(Scalar(3.0), 1)
    assert float(ema.weights["weight"]) == 3.0


@pytest.mark.parametrize(("gamma", "width"), [(6.94, 0.10), (16.97, 0.05)])
def test_the_named_exponents_have_the_named_relative_width(gamma: float, width: float) -> None:
    steps, first, second = 1000, PowerEMA(Scalar(0.0), gamma), PowerEMA(Scalar(0.0), gamma)
    module = Scalar(0.0)
    for step in range(1, steps + 1):
        first.update(module.become(step / steps), step)
        second.update(module.become((step / steps) ** 2), step)
    mean, square = float(first.weights["weight"]), float(second.weights["weight"])
    assert math.sqrt(square - mean**2) == pytest.approx(
        width, abs=5e-4
    )  # rounding of the names, and 1 / steps


def test_the_average_is_a_copy_and_leaves_the_module_alone() -> None:
    module = Scalar(1.0)
    ema = PowerEMA(module)
    ema.update(module, 1)
    ema.update(module.become(2.0), 2)
    assert float(module.weight.detach()) == 2.0
    assert not ema.weights["weight"].requires_grad
    module.become(5.0)
    assert float(ema.weights["weight"]) < 2.0


def test_a_counter_is_taken_over_and_not_averaged() -> None:
    module = nn.BatchNorm1d(2)
    ema = PowerEMA(module)
    for step in (1, 2, 3):
        module(torch.tensor([[0.0, 1.0], [2.0, 5.0]]))
        ema.update(module, step)
    assert int(ema.weights["num_batches_tracked"]) == 3
    assert not torch.equal(ema.weights["running_mean"], module.running_mean)


def test_a_loaded_average_goes_on_as_the_saved_one_and_shares_nothing_with_it() -> None:
    module = Scalar(1.0)
    ema = PowerEMA(module)
    ema.update(module, 1)
    saved = copy.deepcopy(ema.weights)
    other = PowerEMA(Scalar(-7.0))
    other.load(saved)
    for average in (ema, other):
        average.update(module.become(4.0), 2)
    assert torch.equal(ema.weights["weight"], other.weights["weight"])
    assert float(saved["weight"]) == 1.0
