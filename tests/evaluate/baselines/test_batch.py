"""What holds for every method alike."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import Smooth, network

from noisewalk import operators
from noisewalk.errors import ConfigError
from noisewalk.evaluate import baselines
from noisewalk.likelihoods import Gaussian
from noisewalk.maps.per_image import Labels

GUIDED = {
    "dps": partial(baselines.dps, progress=False, zeta=2.0),
    "dps, text": partial(
        baselines.dps, progress=False, zeta=0.01, rule="text", likelihood=Gaussian(0.1)
    ),
    "lgd": partial(baselines.lgd, progress=False, zeta=1.5, num_mc=3),
    "lgd, text": partial(
        baselines.lgd, progress=False, zeta=0.01, num_mc=3, rule="text", likelihood=Gaussian(0.1)
    ),
    "mpgd": partial(baselines.mpgd, progress=False, zeta=0.05),
    "mpgd, text": partial(
        baselines.mpgd, progress=False, zeta=0.005, rule="text", likelihood=Gaussian(0.1)
    ),
}
METHODS = {
    **{name: partial(method, num_steps=12, progress=False) for name, method in GUIDED.items()},
    "cmedit": partial(baselines.cmedit, progress=False),
}
guided = pytest.mark.parametrize("method", GUIDED.values(), ids=GUIDED)
every = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)

MASK = operators.RandomInpainting(0.4, (1, 8, 8), seed=1)
OPERATORS = [MASK, operators.AveragePool(2), operators.GaussianBlur(5, 1.0)]


def measurements(operator: Any, count: int = 2) -> Tensor:
    return operator(Smooth().images(count, seed=5))


@guided
def test_without_weight_it_is_unguided_bit_by_bit(method: partial[Tensor]) -> None:
    rule = method.keywords.get("rule", "released")
    free = partial(method, **{**method.keywords, "zeta": 0.0})
    for operator in OPERATORS:
        y, how = measurements(operator), {"num_steps": 6, "seed": 4}
        plain = baselines.unguided(Smooth(), 2, 3, rule=rule, dtype=y.dtype, progress=False, **how)
        assert torch.equal(free(Smooth(), operator, y, num_samples=3, **how), plain)


@guided
def test_guidance_halves_the_residual(method: partial[Tensor]) -> None:
    for operator in OPERATORS:
        y = measurements(operator)
        plain = baselines.unguided(Smooth(), 2, 4, num_steps=30, dtype=y.dtype, progress=False)
        restored = method(Smooth(), operator, y, num_samples=4, num_steps=30)
        before, after = (
            (operator(x.flatten(0, 1)).unflatten(0, (2, 4)) - y[:, None]).flatten(2).norm(dim=2)
            for x in (plain, restored)
        )
        assert (after.mean(1) < 0.5 * before.mean(1)).all()


@every
def test_a_row_does_not_know_its_neighbours_or_the_block(method: partial[Tensor]) -> None:
    y = measurements(MASK, 3)
    whole = method(Smooth(), MASK, y, num_samples=2, seed=7)
    close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)
    close(method(Smooth(), MASK, y, num_samples=2, seed=7, batch_size=4), whole)
    close(method(Smooth(), MASK, y, num_samples=2, seed=7, batch_size=1), whole)
    close(method(Smooth(), MASK, y[1:2], num_samples=2, seed=7, first_image=1), whole[1:2])
    close(method(Smooth(), MASK, y, num_samples=1, seed=7), whole[:, :1])
    others = torch.stack([1e3 * y[0], y[1], -1e3 * y[2]])
    close(method(Smooth(), MASK, others, num_samples=2, seed=7)[1], whole[1])


@every
def test_a_network_of_either_kind_will_do_in_any_blocks(method: partial[Tensor]) -> None:
    y = measurements(MASK).float()
    for kind in ("edm", "consistency"):
        whole = method(network(kind), MASK, y, num_samples=2)
        assert whole.dtype == torch.float32
        assert whole.shape == (2, 2, 1, 8, 8)
        parts = method(network(kind), MASK, y, num_samples=2, batch_size=3)
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-4)


@every
def test_the_seed_is_all_the_randomness(method: partial[Tensor]) -> None:
    y, state = measurements(MASK), torch.get_rng_state()
    one, again, other = (method(Smooth(), MASK, y, num_samples=2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert ((one - other).abs().flatten(2).amax(2) > 1e-3).all()
    assert ((one[:, 0] - one[:, 1]).abs().flatten(1).amax(1) > 1e-3).all()
    assert torch.equal(torch.get_rng_state(), state)


@every
def test_what_is_unobserved_is_not_read(method: partial[Tensor]) -> None:
    y = measurements(MASK)
    hidden = torch.where(MASK.observed, y, torch.nan)
    before = hidden.clone()
    assert torch.equal(method(Smooth(), MASK, hidden), method(Smooth(), MASK, y))
    assert torch.equal(hidden.nan_to_num(7.0), before.nan_to_num(7.0))


@guided
def test_a_plain_callable_with_a_mask_is_respected(method: partial[Tensor]) -> None:
    class Leaky:
        """Returns what it does not observe."""

        observed = MASK.observed

        def __call__(self, x: Tensor) -> Tensor:
            return x

    y = measurements(MASK)
    assert torch.equal(
        method(Smooth(), Leaky(), torch.where(MASK.observed, y, torch.nan), num_steps=5),
        method(Smooth(), MASK, y, num_steps=5),
    )


@every
def test_a_sample_costs_a_call_a_step_and_progress_is_shown_when_asked_for(
    method: partial[Tensor], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("noisewalk._progress.LINE_SECONDS", 0.0)
    for progress in (True, False):
        counted = baselines.CountedDenoiser(Smooth())
        how = {"num_samples": 3, "num_steps": 5, "batch_size": 4, "progress": progress}
        method(counted, MASK, measurements(MASK), **how)
        assert counted.nfe == 5 * 2 * 3
        calls = (6, 12, 18, 24, 30)
        shown = [f"restoring: {step} of 5  NFE {n}" for step, n in enumerate(calls, 1)]
        assert capsys.readouterr().err.splitlines() == (shown if progress else [])


@every
def test_the_callers_gradient_mode_does_not_matter(method: partial[Tensor]) -> None:
    y = measurements(MASK)
    with torch.no_grad():
        inside = method(Smooth(), MASK, y)
    outside = method(Smooth(), MASK, y)
    assert torch.equal(inside, outside)
    assert not outside.requires_grad


BAD: list[tuple[dict[str, Any], str]] = [
    ({"y": torch.zeros(2, 1, 4, 4)}, r"y has shape \(2, 1, 4, 4\).*\(1, 8, 8\)"),
    ({"y": torch.zeros(0, 1, 8, 8)}, "one image or more"),
    ({"y": torch.zeros(2, 1, 8, 8, dtype=torch.int64)}, "floating-point"),
    ({"y": torch.full((2, 1, 8, 8), torch.nan)}, "52 observed entries"),
    ({"num_samples": 0}, "num_samples"),
    ({"num_steps": 0}, "num_steps"),
    ({"seed": -1}, "seed"),
    ({"batch_size": 0}, "batch_size"),
    ({"first_image": -1}, "first_image"),
    ({"rule": "paper"}, "rule 'paper': choose one of released, text"),
]


def test_bad_input_is_refused() -> None:
    for method in METHODS.values():
        for change, words in BAD:
            with pytest.raises(ConfigError, match=words):
                method(Smooth(), MASK, **{"y": measurements(MASK), **change})


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    y = measurements(MASK)
    how = {
        "progress": False,
        "num_samples": np.int64(2),
        "num_steps": torch.tensor(3),
        "seed": np.uint8(5),
    }
    found = baselines.dps(Smooth(), MASK, y, zeta=np.float32(2.0), **how)
    assert torch.equal(found, baselines.dps(Smooth(), MASK, y, 2, 3, 5, zeta=2.0, progress=False))


def test_a_weight_is_a_finite_number_of_at_least_zero_and_the_text_needs_the_likelihood() -> None:
    y = measurements(MASK)
    for method in (baselines.dps, baselines.lgd, baselines.mpgd):
        for zeta in (-1.0, float("nan"), float("inf"), "much"):
            with pytest.raises(ConfigError, match="zeta"):
                method(Smooth(), MASK, y, zeta=zeta)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="likelihood="):
            method(Smooth(), MASK, y, rule="text")


@pytest.mark.parametrize("name", ["dps", "lgd", "mpgd"])
def test_every_row_has_the_level_of_its_own_image_in_any_blocks(name: str) -> None:
    levels = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    method = partial(getattr(baselines, name), progress=False, num_steps=6, zeta=1e-3, rule="text")
    y = measurements(MASK, 3)
    how = {"num_samples": 2, "seed": 3}
    each = [
        method(Smooth(), MASK, y[k : k + 1], likelihood=Gaussian(s), first_image=k, **how)
        for k, s in enumerate(levels.flatten().tolist())
    ]
    for size in (None, 1, 4):
        found = method(Smooth(), MASK, y, likelihood=Gaussian(levels), batch_size=size, **how)
        torch.testing.assert_close(found, torch.cat(each), rtol=1e-9, atol=1e-9)


def test_classes_of_images_go_in_one_block() -> None:
    labelled = replace(network("edm"), label=Labels((1, 5)))
    for denoiser in (labelled, baselines.CountedDenoiser(labelled)):
        with pytest.raises(ConfigError, match="all rows go at once"):
            baselines.unguided(denoiser, 2, 2, batch_size=2, progress=False)
