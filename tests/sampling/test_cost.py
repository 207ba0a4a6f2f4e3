"""What a run costs."""

import pytest
import torch
from affine_runs import target

from noisewalk.sampling import cost


def test_calls_and_seconds_go_on_from_those_of_earlier_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter((100.0, 103.5))
    monkeypatch.setattr(cost.time, "monotonic", lambda: next(clock))
    posterior = target()
    posterior(torch.zeros(4, 6, dtype=torch.float64))  # before the session: not its own
    meter = cost.Meter(posterior)
    posterior(torch.zeros(4, 6, dtype=torch.float64))
    assert meter.spent(50, 7.0) == (54, 10.5)


def test_bytes_are_those_of_two_states_and_of_the_draws() -> None:
    posterior = target()  # z has 6 numbers, x 4, of 8 bytes each
    memory, disk = cost.bytes_of(posterior, rows=10, num_draws=3)
    assert memory == 2 * 10 * 8 * (6 + 4 + 6)  # z, x and the gradient
    assert disk == 10 * 3 * (8 * (6 + 4) + cost.NUMBERS_A_DRAW)
