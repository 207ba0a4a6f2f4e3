"""Law: a row of a batch equals the row alone, whatever its neighbours hold; the noise of a row does
not know its neighbours at all."""

from typing import Any

import pytest
import torch
from cases import BASELINES, KERNELS, LIKELIHOODS, MAPS, OPERATORS, TARGETS, Case, Shrink, draw, ids
from torch import Tensor

import noisewalk as nw
from noisewalk import noise
from noisewalk.types import State

ROWS, IMAGES = 4, 2
DTYPES = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64], ids=["float32", "float64"]
)
NEIGHBOURS = pytest.mark.parametrize("neighbours", ["finite", "nan"])


def same(one: Tensor, other: Tensor, dtype: torch.dtype) -> None:
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert torch.isfinite(other).all()
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def batch(row: Tensor, place: int, neighbours: str) -> Tensor:
    """The row at its place among ROWS."""
    out = (
        draw(tuple(row.shape[1:]), ROWS, seed=81, dtype=row.dtype)
        if neighbours == "finite"
        else row.new_full((ROWS, *row.shape[1:]), torch.nan)
    )
    out[place] = row[0]
    return out


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("case", [*MAPS, *OPERATORS], ids=ids)
@NEIGHBOURS
@DTYPES
def test_a_row_of_a_map_or_an_operator_is_alone(
    case: Case, place: int, neighbours: str, dtype: torch.dtype
) -> None:
    subject, row = case.build(dtype), draw(case.shape, seed=80, dtype=dtype)
    same(subject(batch(row, place, neighbours))[place : place + 1], subject(row), dtype)


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
@NEIGHBOURS
@DTYPES
def test_a_row_of_a_likelihood_is_alone(case: Case, neighbours: str, dtype: torch.dtype) -> None:
    likelihood, mean, place = case.build(dtype), draw(case.shape, seed=80, dtype=dtype), 2
    rows = noise.rows(82, 1, ROWS)
    own = noise.Noise(82, rows.image[place : place + 1], rows.chain[place : place + 1])
    y = likelihood.sample(mean, own)
    means, ys = batch(mean, place, neighbours), batch(y, place, neighbours)
    same(likelihood.sample(means, rows)[place : place + 1], y, dtype)
    same(likelihood.nll(means, ys)[place : place + 1], likelihood.nll(mean, y), dtype)
    same(likelihood.curvature(means, ys)[place : place + 1], likelihood.curvature(mean, y), dtype)


@pytest.mark.parametrize("place", range(ROWS))
@pytest.mark.parametrize("case", TARGETS, ids=ids)
@NEIGHBOURS
@DTYPES
def test_a_row_of_a_target_is_alone(
    case: Case, place: int, neighbours: str, dtype: torch.dtype
) -> None:
    both, alone = case.build(dtype), case.build(dtype, (place // (ROWS // IMAGES),))
    row = draw(case.shape, seed=80, dtype=dtype)
    for inside, outside in zip(both(batch(row, place, neighbours)), alone(row), strict=True):
        same(inside[place : place + 1], outside, dtype)


@pytest.mark.parametrize("case", TARGETS, ids=ids)
@DTYPES
def test_a_row_of_a_linearisation_is_alone(case: Case, dtype: torch.dtype) -> None:
    both, z = case.build(dtype), draw(case.shape, ROWS, seed=83, dtype=dtype)
    mean, jvp, vjp = both.linearize(z)
    forward, back = jvp(z.flip(0)), vjp(mean)
    for place in range(ROWS):
        row = slice(place, place + 1)
        alone_mean, alone_jvp, alone_vjp = case.build(
            dtype, (place // (ROWS // IMAGES),)
        ).linearize(z[row])  # type: ignore[call-arg]
        same(mean[row], alone_mean, dtype)
        same(forward[row], alone_jvp(z.flip(0)[row]), dtype)
        same(back[row], alone_vjp(mean[row]), dtype)


@pytest.mark.parametrize("place", range(ROWS))
@pytest.mark.parametrize(
    "case", [case for case in KERNELS if "per image" not in case.name], ids=ids
)
@NEIGHBOURS
@DTYPES
def test_a_row_of_a_kernel_is_alone(
    case: Case, place: int, neighbours: str, dtype: torch.dtype
) -> None:
    kernel, build = case.build(dtype), TARGETS[0].build
    both, alone, rows = (
        build(dtype),
        build(dtype, (place // (ROWS // IMAGES),)),
        noise.rows(84, IMAGES, ROWS // IMAGES).at(3),
    )  # type: ignore[call-arg]
    own = noise.Noise(84, rows.image[place : place + 1], rows.chain[place : place + 1], 3)
    row = draw(case.shape, seed=80, dtype=dtype)
    state, info, _ = kernel.step(both(batch(row, place, neighbours)), both, rows)
    lone_state, lone_info, _ = kernel.step(alone(row), alone, own)
    for inside, outside in zip((*state, *info), (*lone_state, *lone_info), strict=True):
        same(inside[place : place + 1], outside, dtype)


def test_rejected_neighbours_do_not_hold_a_row_back() -> None:
    target, rows = TARGETS[0].build(torch.float64), noise.rows(85, IMAGES, ROWS // IMAGES)
    z = draw((4,), ROWS, seed=86, dtype=torch.float64)
    z[1:] *= 1e3
    broken = State(
        *(
            torch.where(torch.arange(ROWS).reshape(-1, *[1] * (part.ndim - 1)) > 0, torch.nan, part)
            for part in target(z)
        )
    )
    state, info, _ = nw.Langevin(0.01).step(broken, target, rows)
    assert info.accepted.tolist() == [True, False, False, False]
    assert info.diverging.tolist() == [False, True, True, True]
    assert torch.isfinite(state.z[0]).all()


@pytest.mark.parametrize("slot", [noise.INIT, noise.PROPOSAL, noise.ACCEPT])
def test_the_noise_of_four_chains_is_that_of_two_and_two(slot: int) -> None:
    whole = noise.rows(87, IMAGES, 4).at(9)
    for image in range(IMAGES):
        for first in (0, 2):
            part = slice(image * 4 + first, image * 4 + first + 2)
            piece = noise.Noise(87, torch.full((2,), image), torch.tensor([first, first + 1]), 9)
            for dtype in (torch.float32, torch.float64):
                assert torch.equal(
                    whole.normal((3, 5), slot, dtype)[part], piece.normal((3, 5), slot, dtype)
                )
            assert torch.equal(whole.uniform((), slot)[part], piece.uniform((), slot))


def test_the_noise_of_a_step_does_not_know_the_steps_before() -> None:
    resumed = noise.rows(88, 1, 2).at(6)
    running = noise.rows(88, 1, 2)
    for step in range(7):
        running = running.at(step)
        running.normal((3,), noise.PROPOSAL)
    assert torch.equal(running.normal((3,), noise.PROPOSAL), resumed.normal((3,), noise.PROPOSAL))


def test_the_noise_differs_in_every_key() -> None:
    base = noise.Noise(1, torch.tensor([1]), torch.tensor([1]), 1)
    others = [
        (noise.Noise(2, base.image, base.chain, 1), noise.INIT),
        (noise.Noise(1 + (1 << 40), base.image, base.chain, 1), noise.INIT),
        (noise.Noise(1, base.image + 1, base.chain, 1), noise.INIT),
        (noise.Noise(1, base.image, base.chain + 1, 1), noise.INIT),
        (base.at(2), noise.INIT),
        (base, noise.PROPOSAL),
    ]
    seen = torch.cat(
        [base.normal((8,), noise.INIT), *(other.normal((8,), slot) for other, slot in others)]
    ).flatten()
    assert len(seen.unique()) == len(seen)


@pytest.mark.parametrize("method", BASELINES.values(), ids=BASELINES)
@DTYPES
def test_a_row_of_a_baseline_is_alone(method: Any, dtype: torch.dtype) -> None:
    mask = nw.operators.BoxInpainting(0, 0, 1, 2)
    y = draw((1, 2, 3), 3, seed=89, dtype=dtype)
    whole = method(Shrink(), mask, y, num_samples=2, num_steps=4, progress=False)
    same(
        whole[1:2],
        method(Shrink(), mask, y[1:2], num_samples=2, num_steps=4, first_image=1, progress=False),
        dtype,
    )
