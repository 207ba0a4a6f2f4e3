"""The accept step: what is not finite is refused, and what is refused changes nothing."""

import math

import pytest
import torch
from torch import Tensor

from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.kernels.metropolis import check_step_size, finite_rows, metropolis, per_row, select
from noisewalk.types import State

ROWS = 6


def states() -> tuple[State, State]:
    generator = torch.Generator().manual_seed(0)

    def one() -> State:
        z, x, grad = (torch.randn(ROWS, 3, generator=generator) for _ in range(3))
        return State(z, x, torch.rand(ROWS, generator=generator, dtype=torch.float64), grad)

    return one(), one()


def spoiled(state: State, part: str, row: int, value: float) -> State:
    values = getattr(state, part).clone()
    values[row] = value
    return state._replace(**{part: values})


def test_a_proposal_that_is_not_finite_is_never_accepted() -> None:
    state, proposal = states()
    for part in State._fields:
        for value in (math.nan, math.inf, -math.inf):
            bad = spoiled(proposal, part, 2, value)
            finite = finite_rows(bad)
            assert finite.tolist() == [row != 2 for row in range(ROWS)]
            for rows in (noise.rows(0, 1, ROWS).at(1), None):
                sure = torch.full((ROWS,), math.inf, dtype=torch.float64)
                after, info = metropolis(state, bad, sure, finite, rows)
                assert info.accepted.tolist() == finite.tolist()
                assert torch.equal(info.diverging, ~finite)
                assert info.acceptance_rate.tolist() == finite.double().tolist()
                assert torch.equal(after.z[2], state.z[2])


def test_a_ratio_that_is_nan_is_refused() -> None:
    state, proposal = states()
    unknown = torch.full((ROWS,), math.nan, dtype=torch.float64)
    after, info = metropolis(
        state, proposal, unknown, finite_rows(proposal), noise.rows(0, 1, ROWS).at(1)
    )
    assert not info.accepted.any()
    assert (info.acceptance_rate == 0).all()
    assert torch.equal(after.z, state.z)


def test_the_share_that_is_accepted_is_the_ratio() -> None:
    log_alpha = torch.tensor([0.0, 0.5, math.log(0.3), -math.inf], dtype=torch.float64)
    state = State(*(part[:4] for part in states()[0]))
    accepted = torch.zeros(4)
    for step in range(2000):
        rows = noise.rows(1, 1, 4).at(step)
        info = metropolis(state, state, log_alpha, finite_rows(state), rows)[1]
        accepted += info.accepted
    assert info.acceptance_rate.tolist() == pytest.approx([1.0, 1.0, 0.3, 0.0])
    assert accepted[[0, 1, 3]].tolist() == [2000, 2000, 0]
    assert abs(float(accepted[2]) / 2000 - 0.3) < 5 * math.sqrt(0.21 / 2000)


def bits(values: Tensor) -> Tensor:
    return values.view({4: torch.int32, 8: torch.int64}[values.element_size()])


def test_a_rejected_row_keeps_its_old_state_bit_by_bit() -> None:
    state, proposal = states()
    state = spoiled(spoiled(state, "grad", 0, math.nan), "z", 1, -0.0)
    accepted = torch.tensor([False, False, True, False, True, True])
    after = select(accepted, proposal, state)
    for new, old, moved in zip(after, state, proposal, strict=True):
        assert torch.equal(bits(new)[~accepted], bits(old)[~accepted])
        assert torch.equal(bits(new)[accepted], bits(moved)[accepted])


def test_the_step_of_an_image_is_that_of_all_its_rows() -> None:
    z = torch.zeros(6, 3, 2)
    steps = per_row(torch.tensor([0.1, 0.4]), z)
    assert (steps.shape, steps.dtype) == ((6, 1, 1), torch.float64)
    assert steps.flatten().tolist() == pytest.approx([0.1] * 3 + [0.4] * 3)
    assert per_row(0.3, z).flatten().tolist() == [0.3] * 6


def test_a_step_that_cannot_be_is_refused() -> None:
    for bad in (0.0, -0.1, math.nan, math.inf, torch.tensor([0.1, 0.0])):
        with pytest.raises(ConfigError, match="must be positive and finite"):
            check_step_size(bad)
    for shape in ((0,), (2, 1)):
        with pytest.raises(ConfigError, match="one number or one per image"):
            check_step_size(torch.ones(shape))
    check_step_size(torch.tensor([0.1, 0.2]))
