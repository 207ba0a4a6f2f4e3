"""Law: exchanges of exact draws reject at their level at most, and a shift or a wrong spread over
many coordinates is found with sixteen truths."""

import pytest
import torch

from noisewalk.evaluate.calibrate import exchange as module
from noisewalk.evaluate.calibrate.exchange import exchange, laps

DRAWS = 8


def p_values(seed, size, truths=16, problems=40, shift=0.0, scale=1.0):
    """Of a posterior N(0, I) whose truths are off, seen again by y' = x' + N(0, I): the posterior
    given both is N(y' / 2, I / 2)."""
    noise = torch.Generator().manual_seed(seed)
    of_truth = torch.arange(problems) % truths
    x = (torch.randn(truths, size, generator=noise) * scale + shift)[of_truth]
    y = x + torch.randn(problems, size, generator=noise)
    spread = torch.randn(problems, DRAWS, size, generator=noise) * 0.5**0.5
    return exchange(x, y[:, None] / 2 + spread, of_truth, seed)


@pytest.fixture(autouse=True)
def fewer_exchanges(monkeypatch):
    monkeypatch.setattr(module, "TIMES", 999)


def test_exact_draws_are_rejected_at_the_level_at_most(monkeypatch):
    monkeypatch.setattr(module, "ALLOWED", 0.0)
    found = torch.stack([p_values(seed, 6, 20, 20) for seed in range(200)])
    below = (found <= 0.1).double().mean(0)
    assert (below - 0.1).abs().max() < 4 * (0.1 * 0.9 / 200) ** 0.5
    shared = torch.stack([p_values(seed, 6, 10, 20) for seed in range(100)])
    assert (shared <= 0.1).double().mean(0).max() < 0.1 + 4 * (0.1 * 0.9 / 100) ** 0.5


@pytest.mark.parametrize("size", [64, 1000])
@pytest.mark.parametrize(
    ("fault", "which"), [({"shift": 0.5}, 0), ({"scale": 0.5}, 1), ({"scale": 1.6}, 1)]
)
def test_a_fault_in_many_coordinates_is_found_with_sixteen_truths(size, fault, which):
    for seed in range(4):
        found = p_values(seed, size, **fault)
        assert found[which] < 0.005


@pytest.mark.parametrize("fault", [{}, {"shift": 0.05}, {"scale": 1.05}, {"scale": 0.95}])
def test_what_does_not_matter_is_not_rejected_however_many_coordinates_show_it(fault):
    for seed in range(4):
        assert p_values(seed, 2000, 40, 40, **fault).min() > 0.05


def test_every_truth_is_once_in_a_lap():
    rows = laps(torch.tensor([0, 1, 2, 0, 1, 2, 0]))
    assert [sorted(row.tolist()) for row in rows] == [[0, 1, 2], [3, 4, 5]]


def test_coordinates_that_are_known_do_not_count():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    drawn = torch.randn(20, DRAWS, 3, generator=torch.Generator().manual_seed(1))
    known = torch.zeros(20, 1), torch.zeros(20, DRAWS, 1)
    more = torch.cat([x, known[0]], 1), torch.cat([drawn, known[1]], 2)
    assert torch.equal(
        exchange(x, drawn, torch.arange(20), 0), exchange(*more, torch.arange(20), 0)
    )
