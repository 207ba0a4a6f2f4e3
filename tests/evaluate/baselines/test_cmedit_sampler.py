import pytest
import torch
from torch import Tensor
from toys import Smooth

from noisewalk import noise, operators
from noisewalk.errors import ConfigError
from noisewalk.evaluate.baselines import cmedit
from noisewalk.evaluate.baselines.batch import Block
from noisewalk.evaluate.baselines.cmedit_sampler import replaced

IMAGES = Smooth().images(2, seed=5)
BOX = operators.BoxInpainting(1, 2, 3, 4)
MASKS = [
    BOX,
    operators.RandomInpainting(0.4, (1, 8, 8), seed=1),
    operators.MaskInpainting(torch.eye(8)),
    operators.MaskInpainting(torch.eye(8)[None]),
]


class Watched:
    """Sees nothing but 3: the clamp makes it 1. Keeps what it was given."""

    shape, sigma_min, sigma_max = (1, 8, 8), 0.002, 80.0

    def __init__(self) -> None:
        self.seen: list[tuple[Tensor, float]] = []

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        self.seen.append((x_t.clone(), float(sigma)))
        return torch.full_like(x_t, 3.0)


def test_inpainting_keeps_what_is_measured_noise_included_and_fills_the_rest() -> None:
    for operator in MASKS:
        y = operator(IMAGES + 2.0)
        restored = cmedit(Smooth(), operator, y, num_samples=3, progress=False)
        observed = operator.observed_for((1, 8, 8)).expand(1, 8, 8)
        assert torch.equal(restored[..., observed], y[:, None].expand(2, 3, 1, 8, 8)[..., observed])
        rest = restored[..., ~observed]
        assert rest.abs().max() <= 1
        assert rest.std() > 0.05


def test_what_is_pooled_equals_the_measurement() -> None:
    for factor in (2, 4):
        pool = operators.AveragePool(factor)
        y = pool(IMAGES) + 0.3
        restored = cmedit(Smooth(), pool, y, num_samples=3, progress=False)
        torch.testing.assert_close(
            pool(restored.flatten(0, 1)), y.repeat_interleave(3, 0), rtol=0, atol=1e-12
        )
        assert (restored - restored.mean(1, keepdim=True)).std() > 0.01


def test_pooling_replaces_one_coefficient_of_a_patch() -> None:
    p, pool, x0 = 4, operators.AveragePool(4), Smooth().images(2, seed=6)
    y = pool(IMAGES)
    first = torch.cat(
        [
            torch.full((p * p, 1), 1 / p, dtype=torch.float64),
            torch.eye(p * p, dtype=torch.float64)[:, 1:],
        ],
        1,
    )
    q = torch.linalg.qr(first)[0]
    q = q * q[0, 0].sign()
    before, after = (
        x.unfold(2, p, p).unfold(3, p, p).flatten(4) @ q
        for x in (x0, replaced(x0, pool, Block(y, None, noise.rows(0, 2), torch.arange(2))))
    )
    torch.testing.assert_close(after[..., 1:], before[..., 1:], rtol=0, atol=1e-12)
    torch.testing.assert_close(after[..., 0], p * y, rtol=0, atol=1e-12)


def test_the_noise_levels_are_every_tenth_of_forty_and_each_input_is_the_edit_plus_noise() -> None:
    watched, operator = Watched(), BOX
    y = operator(IMAGES)
    restored = cmedit(watched, operator, y, seed=3, progress=False)
    root = [80 ** (1 / 7), 0.002 ** (1 / 7)]
    levels = [
        (root[0] + i / 39 * (root[1] - root[0])) ** 7 for i in torch.linspace(0, 39, 5).tolist()
    ]
    assert [sigma for _, sigma in watched.seen] == pytest.approx(levels[:-1])
    edited, rows = torch.where(operator.observed_for((1, 8, 8)), y, 1.0), noise.rows(3, 2)
    torch.testing.assert_close(
        watched.seen[0][0], 80 * rows.normal((1, 8, 8), noise.INIT, torch.float64)
    )
    for k in range(1, 4):
        fresh = rows.at(k - 1).normal((1, 8, 8), noise.PROPOSAL, torch.float64)
        torch.testing.assert_close(
            watched.seen[k][0], edited + (levels[k] ** 2 - 0.002**2) ** 0.5 * fresh
        )
    assert torch.equal(restored[:, 0], edited)


def test_one_step_will_do() -> None:
    assert torch.isfinite(cmedit(Smooth(), BOX, BOX(IMAGES), num_steps=1, progress=False)).all()


def test_other_operators_are_not_applicable() -> None:
    others = {
        "GaussianBlur": operators.GaussianBlur(5, 1.0),
        "HDR": operators.HDR(),
        "Compose": operators.Compose([operators.HDR(), BOX]),
        "abs": torch.abs,
    }
    for name, operator in others.items():
        with pytest.raises(ConfigError, match=f"N/A for {name}"):
            cmedit(Smooth(), operator, IMAGES)
