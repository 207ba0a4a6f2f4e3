"""L-BFGS of many rows at once."""

import pytest
import torch

from noisewalk import noise
from noisewalk.sampling import lbfgs


def draw(*shape, seed=0):
    return noise.rows(seed, shape[0]).normal(shape[1:], noise.PROBE, torch.float64)


def same(v):
    return v


class Problem:
    """Rows of a differentiable function of (row number, z), with the evaluations of every row."""

    def __init__(self, function, count):
        self.function, self.calls = function, torch.zeros(count, dtype=torch.int64)

    def __call__(self, z, rows):
        self.calls[rows] += 1
        leaf = z.clone().requires_grad_()
        f = self.function(rows, leaf)
        return f.detach(), torch.autograd.grad(f.sum(), leaf)[0]


def quadratics(count=3, dim=6, largest=100.0):
    """(count, dim, dim) precisions and the (count, dim) minimisers of as many quadratics."""
    values = torch.logspace(0, 2, dim, dtype=torch.float64) * largest / 100
    turn = torch.linalg.qr(draw(count, dim, dim, seed=1))[0]
    return turn @ torch.diag(values) @ turn.mT, draw(count, dim, seed=2)


def quadratic(precision, centre):
    def function(rows, z):
        away = z - centre[rows]
        return 0.5 * torch.einsum("ri,rij,rj->r", away, precision[rows], away)

    return function


def minimised(function, z, num_steps, inverse=same):
    rows, problem = torch.arange(len(z)), Problem(function, len(z))
    memory = lbfgs.begin(z, *problem(z, rows), lbfgs.Settings(inverse))
    for _ in range(num_steps):
        if memory["active"].any():
            memory = lbfgs.step(memory, problem, lbfgs.Settings(inverse))
    return memory, problem


def test_every_row_ends_within_the_tolerance_of_its_minimum():
    precision, centre = quadratics()
    memory, problem = minimised(quadratic(precision, centre), draw(3, 6, seed=3), 60)
    assert not memory["active"].any()
    assert (memory["f"] < 5 * lbfgs.Settings(same).tolerance).all()
    assert (problem.calls < 30).all()  # of a gradient descent: hundreds


def test_around_the_exact_precision_one_step_is_the_minimum():
    precision, centre = quadratics()
    covariance = torch.linalg.inv(precision)
    memory, problem = minimised(
        quadratic(precision, centre),
        draw(3, 6, seed=3),
        60,
        lambda v: torch.einsum("rij,rj->ri", covariance, v),
    )
    torch.testing.assert_close(memory["z"], centre, rtol=0, atol=1e-9)
    assert problem.calls.tolist() == [2, 2, 2]


def test_the_directions_are_those_of_the_textbook():
    """B g by the BFGS update of a dense matrix, from the pairs in their order (Nocedal, 6.17)."""
    precision, centre = quadratics(1)
    memory, _ = minimised(quadratic(precision, centre), draw(1, 6, seed=3), 18)
    one = torch.eye(6, dtype=torch.float64)
    inverse = memory["scale"] * one
    pairs = [pair for pair in memory["pairs"] if pair[2] > 0]  # from the rows that have moved
    assert 2 < len(pairs) <= 12
    for s, y, rho in pairs:
        torch.testing.assert_close(rho, 1 / (s * y).sum(1), rtol=1e-12, atol=0)
        left = one - rho * torch.outer(s[0], y[0])
        inverse = left @ inverse @ left.T + rho * torch.outer(s[0], s[0])
    torch.testing.assert_close(
        memory["direction"][0], -inverse @ memory["g"][0], rtol=1e-8, atol=1e-10
    )


def test_a_row_has_its_own_path_whatever_the_others_do():
    precision, centre = quadratics(4)
    centre[2] = 0.0
    start = draw(4, 6, seed=3)
    start[2] = 1e-4  # at its minimum already
    start[3] = torch.nan
    together, problem = minimised(quadratic(precision, centre), start, 60)
    assert problem.calls[2] == 1
    assert torch.equal(together["z"][2], start[2])
    for row in (0, 1):
        rows = slice(row, row + 1)
        alone, its = minimised(quadratic(precision[rows], centre[rows]), start[rows], 60)
        torch.testing.assert_close(together["z"][rows], alone["z"], rtol=1e-9, atol=1e-12)
        assert its.calls[0] == problem.calls[row]


def test_no_accepted_step_goes_up_and_a_wall_is_not_crossed():
    def walled(rows, z):  # a valley in front of values that are not finite
        value = (10 * (z[:, 1] - z[:, 0] ** 2) ** 2 + (1 - z[:, 0]) ** 2) / 2
        return torch.where(z[:, 0] > 1.2, torch.nan, value)

    start = torch.tensor([[-1.5, 2.0], [1.19, -1.0], [0.0, 0.0]], dtype=torch.float64)
    problem, rows = Problem(walled, 3), torch.arange(3)
    memory, values = lbfgs.begin(start, *problem(start, rows), lbfgs.Settings(same)), []
    for _ in range(80):
        memory = lbfgs.step(memory, problem, lbfgs.Settings(same))
        values.append(memory["f"])
        assert torch.isfinite(memory["z"]).all()
        assert torch.isfinite(memory["g"]).all()
    assert (torch.stack(values).diff(dim=0) <= 0).all()
    assert (memory["f"] < 5 * lbfgs.Settings(same).tolerance).all()


def test_a_row_without_a_step_small_enough_gives_up():
    def broken(rows, z):  # the gradient points away from what the values say
        return z.detach().sum(1) * 2 - z.sum(1)

    memory, problem = minimised(broken, torch.zeros(2, 3, dtype=torch.float64), 60)
    assert not memory["active"].any()
    assert not memory["z"].any()
    assert (problem.calls < 30).all()


def test_a_row_of_any_scale_finds_its_first_step():
    precision, centre = quadratics()
    scales = torch.tensor([1.0, 1e8, 1e13], dtype=torch.float64)[:, None, None]
    memory, _ = minimised(quadratic(scales * precision, centre), draw(3, 6, seed=3), 80)
    torch.testing.assert_close(memory["z"], centre, rtol=0, atol=0.05)


@pytest.mark.parametrize("rows", [[0, 2], [1]])
def test_kept_rows_go_on_as_before(rows):
    precision, centre = quadratics()
    rows = torch.tensor(rows)
    memory, problem = minimised(quadratic(precision, centre), draw(3, 6, seed=3), 6)
    fewer = lbfgs.kept(memory, rows)
    part = Problem(quadratic(precision[rows], centre[rows]), len(rows))
    for _ in range(3):
        memory, fewer = (
            lbfgs.step(memory, problem, lbfgs.Settings(same)),
            lbfgs.step(fewer, part, lbfgs.Settings(same)),
        )
    torch.testing.assert_close(fewer["z"], memory["z"][rows], rtol=1e-9, atol=1e-12)
