"""What a posterior refuses: a map that is random, or whose rows know of one another, and a
perturbed measurement that is none."""

import pytest
import torch
from torch import Tensor, nn

import noisewalk as nw
from noisewalk._border import SAME, check_function, perturbed
from noisewalk.errors import ConfigError
from noisewalk.likelihoods.base import complete

LIKELIHOOD = nw.likelihoods.Gaussian(0.3)


class Noisy(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z + 0.1 * torch.randn_like(z)


class Coupled(nn.Module):
    """Divides by a scale of the whole batch."""

    def forward(self, z: Tensor) -> Tensor:
        return z / z.std()


class Dropped(nn.Module):
    """Dropout by hand, which no look at the layers finds."""

    def forward(self, z: Tensor) -> Tensor:
        return nn.functional.dropout(z, 0.5, training=True)


def target(module: nn.Module, **options: object) -> nw.NoisePosterior:
    phi = nw.maps.Generator(module, (6,), (6,))
    return nw.NoisePosterior(phi, nn.Identity(), LIKELIHOOD, torch.zeros(1, 6), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("module", [Noisy(), Coupled(), Dropped()], ids=repr)
def test_a_map_that_is_no_function_of_each_row_is_refused(module: nn.Module) -> None:
    with pytest.raises(ConfigError, match=r"differ by [\d.e-]+, .* std of [\d.e-]+") as told:
        target(module)
    gap, spread = (float(str(told.value).split(text)[1].split()[0].strip(".,"))
                   for text in ("differ by", "a std of"))  # fmt: skip
    assert gap > SAME * spread
    assert target(module, check=False).nfe == 0
    assert target(module, microbatch=1).nfe == 0


def test_a_function_of_each_row_costs_three_rows() -> None:
    seen: list[int] = []

    class Counted(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            seen.append(len(z))
            return torch.tanh(z)

    made = target(Counted())
    assert (seen, made.nfe) == ([2, 1], 3)
    assert (target(Counted(), microbatch=2).nfe, len(seen)) == (3, 4)


def test_the_bound_is_a_thousandth_of_the_std() -> None:
    together = torch.tensor([[0.0, 2.0], [0.0, 2.0]])
    spread = float(together.double().std())
    check_function(together, together[1:] + 0.9 * SAME * spread)
    with pytest.raises(ConfigError):
        check_function(together, together[1:] + 1.1 * SAME * spread)
    check_function(together * torch.nan, together[1:])  # what is not finite is told by the start


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (lambda z: [z], "phi must map a tensor.*got list"),
        (lambda z: z.sum(0, keepdim=True), "a row of x for each row of z"),
    ],
)
def test_what_is_no_map_is_told(module: object, says: str) -> None:
    class Bare:
        shape, nfe = (6,), 1

        def __call__(self, z: Tensor) -> object:
            return module(z)  # type: ignore[operator]

    with pytest.raises(ConfigError, match=says):
        nw.NoisePosterior(Bare(), nn.Identity(), LIKELIHOOD, torch.zeros(1, 6))  # type: ignore[arg-type]


def bent(shape=(2, 3), value=0.0, takes=True):
    """A likelihood whose `perturb` gives another shape or value, or takes no mask."""

    class Bent:
        def __repr__(self) -> str:
            return "Bent()"

        def nll(self, mean, y, observed=None):
            return (mean - y).double().square().flatten(1).sum(1)

        def perturb(self, y, mean, noise, observed=None):
            return torch.full(shape, value)

    if not takes:
        Bent.perturb = lambda self, y, mean, noise: y
    return complete(Bent())


def test_a_perturbed_measurement_is_checked():
    y = torch.zeros(2, 3)
    seen = torch.tensor([[True, True, False]] * 2)
    assert perturbed(bent(), y, y, None, None).shape == (2, 3)
    assert perturbed(bent(takes=False), y, y, None, None) is y  # it need not know of gaps
    for likelihood, gaps, says in (
        (bent((2, 2)), None, r"Bent\(\)'s perturb\(.* of y's shape \(2, 3\), got"),
        (bent(value=torch.nan), None, "finite numbers"),
        (bent(takes=False), seen, "and fails: .*positional"),
    ):
        with pytest.raises(ConfigError, match=says):
            perturbed(likelihood, y, y, None, gaps)
    gap = torch.where(seen, 0.0, torch.nan)

    class Gapped(type(bent().given)):
        def perturb(self, y, mean, noise, observed=None):
            return gap

    assert perturbed(complete(Gapped()), y, y, None, seen) is gap


def test_a_batch_normalisation_that_one_row_fails_in_is_told() -> None:
    norm = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6))
    with pytest.raises(ConfigError, match=r"takes its statistics from the batch.*eval\(\)"):
        target(Behind(norm))
    assert target(Behind(norm.eval())).shape == (6,)


class Behind(nn.Module):
    """A network that no look at the layers finds."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.call = lambda z: network(z)

    def forward(self, z: Tensor) -> Tensor:
        return self.call(z)


def test_a_map_must_say_its_shape_and_its_calls() -> None:
    class Bare:
        shape = (6,)

        def __call__(self, z: Tensor) -> Tensor:
            return z

    with pytest.raises(ConfigError, match="a map with shape and nfe, such as"):
        nw.NoisePosterior(Bare(), nn.Identity(), LIKELIHOOD, torch.zeros(1, 6))  # type: ignore[arg-type]
    Bare.nfe = 1  # type: ignore[attr-defined]
    assert nw.NoisePosterior(Bare(), nn.Identity(), LIKELIHOOD, torch.zeros(1, 6)).shape == (6,)  # type: ignore[arg-type]
