"""From a prior to its maps: what each kind offers, and what it refuses."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.prior import Prior
from noisewalk.types import NoiseMap


class Count(nn.Module):
    """A smooth network that counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7), requires_grad=False)
        self.levels: list[float] = []

    def forward(self, h: Tensor, t: Tensor, class_labels: Tensor | None = None) -> SimpleNamespace:
        self.levels.append(float(torch.exp(t[0] / 250)))
        return SimpleNamespace(sample=torch.tanh(self.weight * h))


class Layered(nn.Module):
    """A network with a list of layers, as diffusers' blocks have."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.Conv2d(1, 1, 1)
        nn.init.constant_(layer.weight, 0.7)
        nn.init.constant_(layer.bias, 0.1)
        self.resnets = nn.ModuleList([nn.Sequential(layer, nn.Tanh())])

    def forward(self, h: Tensor, t: Tensor, class_labels: Tensor | None = None) -> SimpleNamespace:
        for layer in self.resnets:
            h = layer(h)
        return SimpleNamespace(sample=h + t.reshape(-1, 1, 1, 1) / 1000)


def prior(kind: str, **card: Any) -> Prior:
    return Prior("toy", {"kind": kind, **card}, NetworkDenoiser(Count(), kind, (1, 2, 3)))


def z(rows: int = 2) -> Tensor:
    return torch.randn(rows, 1, 2, 3, generator=torch.Generator().manual_seed(0))


def test_a_prior_names_its_kind_and_shape() -> None:
    made = prior("consistency")
    assert made.shape == (1, 2, 3)
    assert made.unit == "-1 is black and 1 is white"
    assert prior("consistency", unit="metres").unit == "metres"
    for part in ("'toy'", "consistency", "(1, 2, 3)"):
        assert part in repr(made)


def test_the_one_step_map_is_the_denoiser_at_sigma_max() -> None:
    made = prior("consistency")
    phi = made.map()
    assert isinstance(phi, NoiseMap)
    assert (phi.shape, phi.nfe) == ((1, 2, 3), 1)
    assert torch.equal(phi(z()), made.denoiser(80.0 * z(), torch.tensor(80.0)))


def test_the_two_step_map_renoises_to_the_midpoint_with_frozen_noise() -> None:
    made = prior("consistency", midpoint=1.5)
    phi = made.map(num_steps=2)
    assert phi.nfe == 2
    x = phi(z())
    assert torch.equal(x, phi(z()))
    assert made.denoiser.network.levels == pytest.approx([80.0, 1.5] * 2, rel=1e-6)
    assert not torch.equal(x, made.map(num_steps=2, seed=1)(z()))
    assert torch.equal(x, made.map(num_steps=2, seed=0)(z()))
    assert torch.equal(x[1:], phi(z()[1:]))  # one noise for every row


def test_a_given_midpoint_wins_over_the_cards() -> None:
    made = prior("consistency", midpoint=1.5)
    made.map(num_steps=2, midpoint=0.4)(z())
    assert made.denoiser.network.levels == pytest.approx([80.0, 0.4], rel=1e-6)


@pytest.mark.parametrize("steps", [1, 2])
def test_checkpointing_the_map_changes_no_bit(steps: int) -> None:
    made = Prior("toy", {"midpoint": 1.5}, NetworkDenoiser(Layered(), "consistency", (1, 2, 3)))
    results = []
    for checkpoint in (False, True):
        leaf = z().requires_grad_()
        phi = made.map(num_steps=steps, seed=3, checkpoint=checkpoint)
        x = phi(leaf)
        results.append((x.detach(), torch.autograd.grad(x.square().sum(), leaf)[0]))
        assert ("checkpoint=True" in repr(phi)) == checkpoint
    assert all(
        torch.equal(plain, checkpointed) for plain, checkpointed in zip(*results, strict=True)
    )


@pytest.mark.parametrize("solver", ["heun", "euler"])
def test_the_ode_map_costs_what_it_says(solver: str) -> None:
    made = prior("edm")
    phi = made.ode_map(num_steps=5, solver=solver)
    assert isinstance(phi, NoiseMap)
    assert phi.shape == (1, 2, 3)
    x = phi(z())
    assert x.shape == (2, 1, 2, 3)
    assert len(made.denoiser.network.levels) == phi.nfe == (9 if solver == "heun" else 5)


def test_the_ode_map_has_18_heun_steps_unless_told() -> None:
    assert prior("edm").ode_map().nfe == 35


def test_what_a_prior_cannot_do_is_told_in_one_line() -> None:
    for make, says in [
        (lambda: prior("edm").map(), ("toy", "diffusion model", "ode_map")),
        (
            lambda: prior("edm").map(num_steps=2, midpoint=1.0),
            ("toy", "diffusion model", "ode_map"),
        ),
        (lambda: prior("consistency").ode_map(), ("toy", "consistency model", "prior.map()")),
        (lambda: prior("consistency").map(num_steps=0), ("num_steps", "from 1 to 2", "0")),
        (lambda: prior("consistency").map(num_steps=3), ("num_steps", "from 1 to 2", "3")),
        (lambda: prior("consistency").map(num_steps=1, midpoint=1.0), ("midpoint", "num_steps=2")),
        (lambda: prior("consistency").map(num_steps=2), ("toy", "midpoint")),
        (
            lambda: prior("consistency").map(num_steps=2, midpoint=0.001),
            ("midpoint", "0.002", "0.001"),
        ),
        (lambda: prior("consistency").map(num_steps=2, midpoint=80.0), ("midpoint", "80.0")),
        (lambda: prior("consistency").map(num_steps=2, midpoint=float("nan")), ("midpoint", "nan")),
        (lambda: prior("consistency").map(checkpoint=True), ("checkpoint", "blocks", "Count")),
        (lambda: prior("edm").ode_map(solver="rk45"), ("rk45", "heun", "euler")),
        (lambda: prior("edm").ode_map(gradient="none"), ("none", "direct", "checkpoint")),
        (lambda: prior("edm").ode_map(num_steps=1), ("num_steps", "2", "1")),
    ]:
        with pytest.raises(ConfigError) as error:
            make()
        assert "\n" not in str(error.value)
        for text in says:
            assert text in str(error.value)


def test_a_field_of_any_size_is_the_network_applied_to_it() -> None:
    import noisewalk as nw

    small = nw.load_prior("fashion32")
    phi = small.map(shape=(40, 64))
    assert (phi.shape, phi.nfe, small.multiple) == ((1, 40, 64), 1, small.multiple)
    field = torch.randn(1, 1, 40, 64, generator=torch.Generator().manual_seed(0))
    level = small.denoiser.sigma_max  # type: ignore[union-attr]
    with torch.no_grad():
        direct = small.denoiser(level * field, torch.tensor(level))  # type: ignore[misc]
        assert torch.equal(phi(field), direct)
        two = small.map(num_steps=2, shape=(40, 64), window=32, margin=0)
        assert two(field).shape == (1, 1, 40, 64)
    noisy = small.map(shape=(40, 64), representation_error=0.1)
    assert noisy.shape == (2, 40, 64)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"shape": (33, 32)}, r"multiples of \d+, got 33 x 32: the nearest are 32 or \d+ and 32"),
        ({"shape": 64}, r"shape must be \(H, W\), got 64"),
        ({"window": 32}, r"belong to shape=\(H, W\)"),
        ({"shape": (64, 64), "margin": 8}, "margin belongs to window="),
        ({"shape": (64, 64), "window": 32}, "too small for margins of 40"),
        ({"shape": (64, 64), "window": 33, "margin": 0}, "multiples of .*got 33"),
        ({"representation_error": -1.0}, "std must be a finite number above 0"),
    ],
)
def test_a_field_that_cannot_be_is_told(given: dict[str, Any], says: str) -> None:
    import noisewalk as nw

    with pytest.raises(ConfigError, match=says):
        nw.load_prior("fashion32").map(**given)


def test_windows_take_the_margin_of_the_card() -> None:
    import noisewalk as nw

    for name, margin in (("satellite64", 8), ("fashion32", 40)):
        found: Any = nw.load_prior(name).map(shape=(256, 136), window=128)
        assert found.denoiser.margin == margin
    with pytest.raises(ConfigError, match=r"has no margin.*`noisewalk priors margin fashion32-ct`"):
        nw.load_prior("fashion32-ct").map(shape=(64, 64), window=32)


def test_the_representation_error_is_that_of_the_card() -> None:
    import noisewalk as nw

    prior = nw.load_prior("satellite64")
    phi: Any = prior.map(representation_error="card")
    assert phi.std == tuple(prior.card["representation_error"])
    assert phi.shape == (6, 64, 64)


def test_a_diffusion_model_and_a_generator_have_no_fields() -> None:
    with pytest.raises(ConfigError, match="no one- or two-step map"):
        prior("edm").map(shape=(4, 6))
    own = Prior("own", {"shape": [1, 2, 3]}, None, nn.Tanh(), None)
    with pytest.raises(ConfigError, match="leave num_steps, midpoint, checkpoint, shape"):
        own.map(shape=(4, 6))


def test_a_prior_shows_itself_in_a_notebook() -> None:
    page = nw.load_prior("fashion32")._repr_html_()
    assert page.count("<img") == 3
    assert "Prior fashion32" in page
    assert "<img" not in nw.load_prior("fashion32-edm")._repr_html_()  # many calls an image
