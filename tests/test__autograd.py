"""J v equals central differences for every kind of operation; where there is none, that is told."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisewalk as nw
from noisewalk._autograd import ADJOINT, FORWARD, NONE, TWICE, double_backward, forward, way_to_push
from noisewalk.errors import ConfigError


class Cube(torch.autograd.Function):
    """x^3, by hand, whose backward pass can be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g


class Cut(Cube):
    """The same, whose backward pass leaves the graph."""

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g.detach()


class Recurrent(nn.Module):
    """An LSTM over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.lstm = nn.LSTM(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.lstm(x.squeeze(1))[0].unsqueeze(1)


def warped(x: Tensor) -> Tensor:
    axis = torch.linspace(-0.8, 0.8, 4)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    moved = grid.expand(len(x), -1, -1, -1) + 0.03 * x.mean((1, 2, 3), True)
    return F.grid_sample(x, moved, align_corners=True)


def normed(x: Tensor) -> Tensor:
    """Group norm of a tensor whose strides are not in order, as attention makes them."""
    return F.group_norm(x.expand(-1, 4, -1, -1).transpose(2, 3), 2).sum(1, keepdim=True)


def listed(x: Tensor) -> Tensor:
    """Connectionist temporal classification: no forward mode and no second derivative."""
    labels, lengths = torch.ones(len(x), 2).int(), torch.full((len(x),), 4)
    at = x.flatten(1).reshape(len(x), 4, 4).log_softmax(-1).transpose(0, 1)
    loss = F.ctc_loss(at, labels, lengths, torch.full((len(x),), 2), reduction="none")
    return loss[:, None, None, None] + x


def cubed(x: Tensor) -> Tensor:
    return Cube.apply(x)


def cut(x: Tensor) -> Tensor:
    return Cut.apply(x)


def partly_cut(x: Tensor) -> Tensor:
    return Cut.apply(x) + x


def attended(x: Tensor) -> Tensor:
    q = x.reshape(len(x), 1, 4, 4)
    return F.scaled_dot_product_attention(q, q + 1, q)


OPERATIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "smooth": (torch.tanh, FORWARD),
    "group norm": (normed, FORWARD),
    "attention": (attended, FORWARD),
    "grid_sample": (warped, TWICE),
    "lstm": (Recurrent(), TWICE),
    "custom": (cubed, TWICE),
    "ctc": (listed, NONE),
    "cut": (cut, NONE),
    "partly cut": (partly_cut, NONE),
}


def z_and_v(rows: int = 2) -> tuple[Tensor, Tensor]:
    noise = nw.noise.rows(3, rows)
    return (noise.at(k).normal((1, 4, 4), nw.noise.PROBE) for k in range(2))  # type: ignore[return-value]


def target(operator: Callable[[Tensor], Tensor], flat: bool = False, **options: Any) -> Any:
    """Of z as an image or, for the default kernel with a low-rank Gaussian, of flat z."""
    warp = nw.maps.Warp((1, 4, 4), 0.5)
    phi = nw.maps.Generator(lambda z: warp(z.reshape(-1, 1, 4, 4)), (16,), (1, 4, 4))
    phi = phi if flat else warp
    y = operator(torch.full((1, 1, 4, 4), 0.3)).detach()
    return nw.NoisePosterior(phi, operator, nw.likelihoods.Gaussian(0.3), y, **options)


@pytest.mark.parametrize("name", [n for n, (_, way) in OPERATIONS.items() if way != NONE])
def test_jv_is_the_central_difference(name: str) -> None:
    operator, way = OPERATIONS[name]
    z, v = z_and_v()
    posterior, h = target(operator), 1e-2
    _, jvp, vjp = posterior.linearize(z)
    pushed = jvp(v)
    with torch.no_grad():  # Richardson: the error of the difference is of order h^4
        at = [posterior.operator(posterior.phi(z + k * h * v)) for k in (-2, -1, 1, 2)]
    expected = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12 * h)
    scale = float(expected.abs().max())
    assert scale > 0.1
    torch.testing.assert_close(pushed, expected, rtol=0, atol=3e-3 * scale)
    w = torch.ones_like(pushed)
    product, other = float((w * pushed).sum()), float((vjp(w) * v).sum())
    assert product == pytest.approx(other, rel=1e-4, abs=1e-4)
    assert posterior.jacobian == way
    assert not pushed.requires_grad


def test_double_backward_is_forward_mode_where_both_work() -> None:
    z, v = z_and_v()
    for function in (torch.tanh, normed, attended):
        torch.testing.assert_close(double_backward(function, z, v), forward(function, z, v))


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_way_is_found_and_what_leaves_the_graph_is_not_believed(name: str) -> None:
    operator, way = OPERATIONS[name]
    z, v = z_and_v(1)
    assert way_to_push(operator, z, v) == way
    if name == "partly cut":  # an answer without an error, and far from the right one
        wrong, right = double_backward(operator, z, v), (3 * z**2 + 1) * v
        assert float((wrong - right).norm() / right.norm()) > 10 * ADJOINT


def test_the_way_is_a_fact_of_the_run_once_it_is_not_the_usual_one() -> None:
    plain, warping = target(torch.tanh), target(warped, flat=True)
    assert "jacobian" not in warping.facts()
    kept = nw.sample(warping, num_draws=3, num_chains=2, num_warmup=10, warm_start=None,
                     progress=False)  # fmt: skip
    assert kept.spec["jacobian"] == TWICE
    assert plain.jacobian == FORWARD
    assert "jacobian" not in plain.facts()


def test_the_calls_of_the_search_are_counted() -> None:
    posterior = target(warped, check=False)
    assert (posterior.nfe, posterior.jacobian, posterior.nfe) == (0, TWICE, 3)
    assert (posterior.jacobian, posterior.nfe) == (TWICE, 3)


def test_without_any_jv_the_default_kernel_takes_what_needs_none_and_says_so() -> None:
    posterior = target(listed, flat=True)
    with pytest.warns(UserWarning, match=r"no Jacobian-vector product.*SpectralRefresh"):
        kept = nw.sample(posterior, num_draws=3, num_chains=2, num_warmup=10, warm_start=None,
                         progress=False)  # fmt: skip
    assert kept.spec["jacobian"] == NONE
    assert kept.spec["plan"]["refresh"]["name"] == "SpectralRefresh"
    with pytest.raises(ConfigError, match="neither a forward-mode derivative nor a second one"):
        nw.gauss_newton(posterior, posterior(torch.zeros(1, 16)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a kernel that is given is taken as it is
        nw.sample(posterior, nw.HMC(0.1, 2), num_draws=2, num_chains=1, warm_start=None, adapt=None,
                  num_warmup=0, progress=False)  # fmt: skip


MODES = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}
PHI, LIKELIHOOD = nw.maps.Warp((1, 4, 4), 0.5), nw.likelihoods.Gaussian(0.3)


def denoiser(x_t: Tensor, sigma: Tensor) -> Tensor:
    return x_t / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


denoiser.shape, denoiser.sigma_min, denoiser.sigma_max = (1, 4, 4), 0.002, 80.0  # type: ignore[attr-defined]

ENTRIES: dict[str, Callable[[Any, Any, Tensor], Any]] = {
    "target": lambda t, a, y: t(torch.zeros(2, 1, 4, 4)).grad,
    "linearize": lambda t, a, y: t.linearize(torch.ones(1, 1, 4, 4))[1](torch.ones(1, 1, 4, 4)),
    "sample": lambda t, a, y: (
        nw.sample(
            t, num_draws=2, num_chains=2, num_warmup=5, warm_start=nw.Adam(2), progress=False
        ).draws
    ),
    "tempered_smc": lambda t, a, y: nw.tempered_smc(t, 4, progress=False).draws,
    "gauss_newton": lambda t, a, y: nw.gauss_newton(t, t(torch.zeros(1, 1, 4, 4))).basis,
    "spectral": lambda t, a, y: nw.spectral(t, t(torch.zeros(1, 1, 4, 4))).eigenvalues,
    "calibrate": lambda t, a, y: (
        nw.calibrate(PHI, a, LIKELIHOOD, num_problems=20, num_draws=2, progress=False).p_values
    ),
    "adjoint": lambda t, a, y: nw.operators.adjoint(a, y, (1, 4, 4)),
    "dps": lambda t, a, y: nw.baselines.dps(denoiser, a, y, num_steps=3, progress=False),
    "lgd": lambda t, a, y: nw.baselines.lgd(denoiser, a, y, num_steps=3, progress=False),
    "mpgd": lambda t, a, y: nw.baselines.mpgd(denoiser, a, y, num_steps=3, progress=False),
    "cmedit": lambda t, a, y: nw.baselines.cmedit(denoiser, a, y, num_steps=2, progress=False),
}


def parts(make: Callable[[], Any]) -> tuple[Any, Any, Tensor]:
    """A target, its operator and y, all made where the caller is."""
    operator, y = make(), torch.full((1, 1, 4, 4), 0.2)
    mask = nw.operators.observed_of(operator, (1, 4, 4))
    y = y if mask is None else torch.where(mask, y, 0.0)
    likelihood = nw.likelihoods.Gaussian(torch.full((4, 4), 0.3))
    return nw.NoisePosterior(PHI, operator, likelihood, y), operator, y


OPERATORS = {
    "mask": lambda: nw.operators.RandomInpainting(0.5, (1, 4, 4), seed=1),
    "blur": lambda: nw.operators.Convolution(torch.full((3, 3), 1 / 9)),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("operator", OPERATORS)
def test_an_entry_point_gives_the_same_in_every_mode(mode: str, name: str, operator: str) -> None:
    if name == "cmedit" and operator == "blur":
        operator = "mask"  # cmedit restores masks alone
    expected = ENTRIES[name](*parts(OPERATORS[operator]))
    with MODES[mode]():
        got = ENTRIES[name](*parts(OPERATORS[operator]))
    assert torch.equal(got, expected)
    assert not got.is_inference()
    assert not got.requires_grad


def test_a_network_built_inside_inference_mode_gets_a_sentence() -> None:
    with torch.inference_mode():
        network = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    phi = nw.maps.Generator(network, (3,), (3,))
    posterior = nw.NoisePosterior(phi, nn.Identity(), LIKELIHOOD, torch.zeros(1, 3))
    with pytest.raises(ConfigError, match=r"inside torch.inference_mode\(\).*build it outside"):
        posterior(torch.zeros(1, 3))
