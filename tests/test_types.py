"""What a kernel has without saying it."""

import math
from dataclasses import dataclass

import pytest
import torch

import noisewalk as nw
from noisewalk.types import Denoiser, Info, Likelihood, NoiseMap, State


@dataclass(frozen=True)
class Still(nw.Kernel):
    """A kernel that never moves."""

    step_size: float = 0.25
    needs_gradient = False

    def step(self, state, target, noise, carry=None):
        yes = torch.ones(len(state.z), dtype=torch.bool)
        return state, Info(yes.double(), yes, ~yes), carry


class Plain(nw.Kernel):
    """A kernel that is no dataclass and has no fields."""

    def step(self, state, target, noise, carry=None):
        raise NotImplementedError


def test_what_a_kernel_does_not_say_has_a_default() -> None:
    kernel = Plain()
    assert (kernel.step_size, kernel.preconditioner) == (None, None)
    assert (kernel.exact, kernel.reversible, kernel.carries) == (False, True, False)
    assert (kernel.evaluations, kernel.largest_step, kernel.quarter_turn) == (1, math.inf, math.inf)
    with pytest.raises(AttributeError, match="'Plain' object has no attribute 'friction'"):
        kernel.friction  # type: ignore[attr-defined]  # noqa: B018


def test_the_facts_of_a_kernel_are_its_claims_and_its_fields() -> None:
    facts = Still(0.5).facts()
    assert (facts["exact"], facts["needs_gradient"], facts["step_size"]) == (False, False, 0.5)
    assert facts["name"].endswith("Still")
    assert Plain().facts()["step_size"] is None


def test_the_step_of_an_image_is_that_of_its_rows_in_the_type_of_z() -> None:
    steps = Still(torch.tensor([0.1, 0.4])).step_per_row(torch.zeros(4, 3, dtype=torch.float64))
    assert (steps.shape, steps.dtype) == ((4, 1), torch.float64)
    assert steps.flatten().tolist() == pytest.approx([0.1, 0.1, 0.4, 0.4])


def test_a_move_of_particles_is_a_step() -> None:
    z = torch.zeros(2, 3)
    state = State(z, z, torch.zeros(2, dtype=torch.float64), z)
    after, info, kept = Still().move(state, None, None, {}, first=True)
    assert after is state
    assert info.accepted.all()
    assert kept is None


def test_the_protocols_tell_maps_from_likelihoods() -> None:
    phi, likelihood = nw.maps.Affine(torch.eye(2)), nw.likelihoods.Gaussian(0.5)
    assert isinstance(phi, NoiseMap)
    assert isinstance(likelihood, Likelihood)
    assert not isinstance(phi, Likelihood | Denoiser)
    assert not isinstance(likelihood, NoiseMap)
