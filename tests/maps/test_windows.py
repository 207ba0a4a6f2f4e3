"""A field by windows: exact where the network sees no farther than the margin, one smooth function,
in bounded memory."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.maps import windows as module
from noisewalk.maps.windows import Windows

KERNEL = torch.linspace(0.5, 1.5, 25).double().reshape(1, 1, 5, 5) / 25


class Local:
    """A nonlinear filter that sees 4 pixels far, and reads each row's level."""

    shape, sigma_min, sigma_max = (1, 16, 16), 0.002, 80.0

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        h = torch.tanh(F.conv2d(x_t, KERNEL.to(x_t), padding=2))
        return F.conv2d(h, KERNEL.to(x_t), padding=2) * sigma.expand(len(x_t)).reshape(-1, 1, 1, 1)


def field(height: int, width: int, rows: int = 2) -> Tensor:
    return noise.rows(1, rows).normal((1, height, width), noise.PROBE, torch.float64)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 44), (48, 32), (52, 76), (8, 40)])
def test_it_is_the_whole_field_where_the_filter_ends_within_the_margin(
    height: int, width: int
) -> None:
    local, x, sigma = Local(), field(height, width), torch.tensor([0.7, 2.0]).double()
    windowed = Windows(local, (1, height, width), window=16, margin=4, multiple=4)
    torch.testing.assert_close(windowed(x, sigma), local(x, sigma), rtol=0, atol=1e-13)
    torch.testing.assert_close(windowed(x, sigma[0]), local(x, sigma[0]), rtol=0, atol=1e-13)
    short = Windows(local, (1, height, width), window=16, margin=0, multiple=4)
    if windowed.num_windows > 1:  # and it is not, where it sees farther
        assert float((short(x, sigma) - local(x, sigma)).abs().max()) > 1e-3


@pytest.mark.parametrize("side", range(16, 100, 4))
def test_windows_cover_the_field_and_their_weights_are_smooth(side: int) -> None:
    windowed = Windows(Local(), (1, 16, side), window=16, margin=2, multiple=4)
    total = torch.zeros(side)
    for rows, columns in windowed.places:
        assert (rows.start, columns.start % 4, columns.stop - columns.start) == (0, 0, 16)
        weight = windowed._weight(rows, columns)
        total[columns] += weight[0]
        assert columns.start == 0 or float(weight[0, :2].max()) == 0
        assert columns.stop == side or float(weight[0, -2:].max()) == 0
    assert float(total.min()) > 0.99
    assert windowed.overlap == pytest.approx(16 * windowed.num_windows / side)


def test_its_gradient_and_its_jv_are_those_of_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    windowed = Windows(Local(), (1, 32, 40), window=16, margin=2, multiple=4)
    x, v, w = field(32, 40), field(32, 40) + 1, field(32, 40) - 1
    found = []
    for pixels in (1 << 16, 16 * 16):  # all windows in one call, or each in its own
        monkeypatch.setattr(module, "PIXELS_AT_ONCE", pixels)
        leaf = x.clone().requires_grad_()
        out = windowed(leaf, torch.tensor(0.7))
        (grad,) = torch.autograd.grad(out, leaf, w)
        pushed = torch.func.jvp(lambda z: windowed(z, torch.tensor(0.7)), (x,), (v,))[1]
        found.append((out.detach(), grad, pushed))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)
    out, grad, pushed = found[0]
    h = 1e-5
    with torch.no_grad():
        ahead, behind = (windowed(x + s * h * v, torch.tensor(0.7)) for s in (1, -1))
    torch.testing.assert_close(pushed, (ahead - behind) / (2 * h), rtol=0, atol=1e-8)
    assert float((pushed * w).sum()) == pytest.approx(float((grad * v).sum()), rel=1e-10)


def test_a_batch_is_its_rows_and_windows_are_called_in_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    class Counted(Local):
        def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
            seen.append(len(x_t))
            return super().__call__(x_t, sigma)

    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 6 * 16 * 16)
    windowed = Windows(Counted(), (1, 32, 40), window=16, margin=2, multiple=4)
    x, sigma = field(32, 40, 3), torch.tensor([0.5, 1.0, 2.0]).double()
    together = windowed(x, sigma)
    assert max(seen) == 6
    assert sum(seen) == 3 * windowed.num_windows
    for row in range(3):
        alone = windowed(x[row : row + 1], sigma[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-13)


def test_a_posterior_of_a_windowed_map_is_sampled() -> None:
    denoiser: Any = Windows(Local(), (1, 24, 32), window=16, margin=2, multiple=4)
    phi = nw.maps.Consistency(denoiser, midpoints=(2.0,), seed=1)
    y = torch.zeros(1, 1, 12, 16)
    target = nw.NoisePosterior(phi, nw.operators.AveragePool(2), nw.likelihoods.Gaussian(0.5), y)
    run = nw.sample(target, nw.HMC(0.1, 2), 2, num_chains=1, warm_start=None, adapt=None,
                    num_warmup=0, progress=False)  # fmt: skip
    assert run.draws.shape == (1, 1, 2, 1, 24, 32)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shape": (1, 16, 42)}, "W must be a multiple of 4, got 42"),
        ({"window": 18}, "window must be a multiple of 4, got 18"),
        ({"margin": -1}, "margin must be a whole number"),
        ({"margin": 6}, r"a window of 16 is too small for margins of 6.*window=20 or more"),
        ({"shape": (16, 40)}, r"shape \(C, H, W\)"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], says: str) -> None:
    usual = {"shape": (1, 16, 40), "window": 16, "margin": 2, "multiple": 4}
    with pytest.raises(ConfigError, match=says):
        Windows(Local(), **{**usual, **change})
