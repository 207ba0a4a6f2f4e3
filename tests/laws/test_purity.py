"""Law: two calls are bitwise equal and change neither their inputs, nor the object, nor any global
random state."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cases import KERNELS, LIKELIHOODS, MAPS, OPERATORS, TARGETS, Case, draw, ids
from torch import Tensor

from noisewalk import noise
from noisewalk._repr import describe

ROWS = 4
COUNTERS = {"_spent", "_jacobian"}
"""What a target may count and find out."""


def snapshot(subject: Any) -> dict[str, str]:
    return {name: describe(value) for name, value in vars(subject).items() if name not in COUNTERS}


def global_states() -> tuple[bytes, str, str]:
    of_numpy = str(np.random.get_state())  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), of_numpy, str(random.getstate())


def check(subject: Any, inputs: list[Tensor], call: Callable[..., Any]) -> None:
    copies, itself, states = [t.clone() for t in inputs], snapshot(subject), global_states()
    first, second = (
        list(out) if isinstance(out, tuple) else [out] for out in (call(*inputs), call(*inputs))
    )
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)
    for given, copy in zip(inputs, copies, strict=True):
        assert torch.equal(given, copy)
        assert not given.requires_grad
    assert global_states() == states
    assert snapshot(subject) == itself


@pytest.mark.parametrize("case", [*MAPS, *OPERATORS, *TARGETS], ids=ids)
def test_an_evaluation_is_pure(case: Case) -> None:
    subject = case.build(torch.float32)
    check(subject, [draw(case.shape, ROWS, seed=70)], subject)


@pytest.mark.parametrize("case", TARGETS, ids=ids)
def test_a_linearisation_is_pure(case: Case) -> None:
    target = case.build(torch.float64)

    def products(z: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        mean, jvp, vjp = target.linearize(z)
        return mean, jvp(v), vjp(mean)

    check(target, [draw(case.shape, ROWS, seed=s, dtype=torch.float64) for s in (70, 71)], products)


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_a_likelihood_is_pure(case: Case) -> None:
    likelihood, mean, rows = (
        case.build(torch.float32),
        draw(case.shape, ROWS, seed=70),
        noise.rows(72, 1, ROWS),
    )
    check(likelihood, [mean], lambda m: likelihood.sample(m, rows))
    y = likelihood.sample(mean, rows)
    check(likelihood, [mean, y], likelihood.nll)
    check(likelihood, [mean, y], likelihood.curvature)


@pytest.mark.parametrize("case", KERNELS, ids=ids)
def test_a_transition_is_pure(case: Case) -> None:
    kernel, target, rows = (
        case.build(torch.float32),
        TARGETS[0].build(torch.float32),
        noise.rows(73, 2, ROWS // 2).at(5),
    )

    def step(*parts: Tensor) -> tuple[Tensor, ...]:
        state, info, _ = kernel.step(type(before)(*parts), target, rows)
        return (*state, *info)

    before = target(draw(case.shape, ROWS, seed=74))
    check(kernel, list(before), step)
