r"""The hand computation: Phi(z) = z + a sin z, A(x) = M x, so with h = M Phi(z) and observed
entries O

L = sum_O (y - h)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2,  grad = (1 + a cos z) * M_O^T (h -
y)_O / sigma^2,  J = M diag(1 + a cos z).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError

SIGMA, AMPLITUDE = 0.3, 0.7
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def draw(*shape, seed=0):
    return noise.rows(seed, shape[0]).normal(shape[1:], noise.PROBE, torch.float64)


MATRIX = draw(3, 4, seed=1)
OBSERVED = torch.tensor([[True, True, True], [True, False, True]])


@dataclass(frozen=True)
class Matrix:
    """A(x) = M x; `observed` says which entries the instrument has."""

    observed: torch.Tensor | None = None

    def __call__(self, x):
        return x @ MATRIX.to(x.dtype).T


def target(images=2, observed=None, microbatch=None, differentiable=True, own=None, nfe=1):
    phi = nw.maps.Warp((4,), AMPLITUDE, nfe=nfe)
    return nw.NoisePosterior(
        phi,
        Matrix(own),
        nw.likelihoods.Gaussian(SIGMA),
        draw(images, 3, seed=2),
        observed,
        microbatch,
        differentiable,
        check=False,
    )


def by_hand(z, y, observed):
    """(nll, grad) of one row in numpy."""
    m, slope = MATRIX.numpy(), 1 + AMPLITUDE * np.cos(z)
    residual = np.where(observed, m @ (z + AMPLITUDE * np.sin(z)) - y, 0.0)
    constant = observed.sum() * (math.log(SIGMA) + 0.5 * math.log(2 * math.pi))
    return (residual**2).sum() / (2 * SIGMA**2) + constant, slope * (m.T @ residual) / SIGMA**2


@pytest.mark.parametrize("observed", [None, OBSERVED])
def test_the_state_is_the_hand_computation_image_major(observed):
    posterior, z = target(observed=observed), draw(6, 4, seed=3)
    state = posterior(z)
    for row in range(6):
        image = row // 3  # two images, three chains: rows 0 to 2 are image 0
        mask = np.ones(3, bool) if observed is None else observed[image].numpy()
        nll, grad = by_hand(z[row].numpy(), draw(2, 3, seed=2)[image].numpy(), mask)
        assert float(state.nll[row]) == pytest.approx(nll, rel=1e-12)
        np.testing.assert_allclose(state.grad[row].numpy(), grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.x, z + AMPLITUDE * torch.sin(z), **EXACT)


@pytest.mark.parametrize("observed", [None, OBSERVED])
def test_the_jacobian_products_are_the_hand_computation(observed):
    posterior, z, v, w = (
        target(observed=observed),
        draw(4, 4, seed=4),
        draw(4, 4, seed=5),
        draw(4, 3, seed=6),
    )
    mean, jvp, vjp = posterior.linearize(z)
    slope = 1 + AMPLITUDE * torch.cos(z)
    torch.testing.assert_close(mean, (z + AMPLITUDE * torch.sin(z)) @ MATRIX.T, **EXACT)
    torch.testing.assert_close(jvp(v), (slope * v) @ MATRIX.T, **EXACT)
    torch.testing.assert_close(vjp(w), slope * (w @ MATRIX), **EXACT)
    assert not any(part.requires_grad for part in (mean, jvp(v), vjp(w)))


@pytest.mark.parametrize("microbatch", [1, 2, 4, 5, 6, 100])
def test_micro_batches_change_nothing(microbatch):
    z, v, w = draw(6, 4, seed=7), draw(6, 4, seed=8), draw(6, 3, seed=9)
    whole, split = target(observed=OBSERVED), target(observed=OBSERVED, microbatch=microbatch)
    for one, other in zip(whole(z), split(z), strict=True):
        torch.testing.assert_close(other, one, **EXACT)
    (mean, jvp, vjp), (mean_, jvp_, vjp_) = whole.linearize(z), split.linearize(z)
    for one, other in ((mean, mean_), (jvp(v), jvp_(v)), (vjp(w), vjp_(w))):
        torch.testing.assert_close(other, one, **EXACT)
    assert whole.nfe == split.nfe


def test_micro_batches_bound_the_rows_of_a_network_call():
    seen = []

    class Counted(nw.maps.Warp):
        def __call__(self, z):
            seen.append(len(z))
            return super().__call__(z)

    posterior = target(microbatch=4)
    posterior.phi = Counted((4,), AMPLITUDE)
    posterior(draw(10, 4))
    assert seen == [4, 4, 2]


@pytest.mark.parametrize("nfe", [1, 3])
def test_every_row_costs_one_network_evaluation_with_or_without_a_product(nfe):
    posterior, z = target(nfe=nfe, microbatch=4), draw(6, 4)
    assert posterior.nfe == 0
    posterior(z)
    assert posterior.nfe == 6 * nfe  # forward and VJP together
    mean, jvp, vjp = posterior.linearize(z)
    assert posterior.nfe == 12 * nfe
    jvp(z)
    assert posterior.nfe == 18 * nfe
    vjp(mean)
    assert posterior.nfe == 24 * nfe
    posterior.chi2(posterior.phi(z))
    assert posterior.nfe == 24 * nfe  # the operator alone is free
    without = target(nfe=nfe, differentiable=False)
    without(z)
    assert without.nfe == 6 * nfe


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_what_is_not_observed_is_never_read(value):
    z, own = draw(6, 4, seed=10), torch.tensor([False, True, True])
    y = draw(2, 3, seed=2)
    hidden = ~(OBSERVED & own)
    plain = target(observed=OBSERVED, own=own)
    spoilt = nw.NoisePosterior(
        plain.phi, plain.operator, plain.likelihood, torch.where(hidden, value, y), OBSERVED
    )
    assert (spoilt.y[hidden] == 0).all()
    for one, other in zip(plain(z), spoilt(z), strict=True):
        assert torch.equal(one, other)
        assert torch.isfinite(other).all()
    assert torch.equal(plain.chi2(plain(z).x), spoilt.chi2(spoilt(z).x))


def test_the_mask_is_the_operators_and_the_gaps():
    posterior = target(observed=OBSERVED, own=torch.tensor([False, True, True]))
    assert posterior.observed.tolist() == [[False, True, True], [False, False, True]]
    assert posterior.num_observed.tolist() == [2, 1]
    nll, grad = by_hand(np.zeros(4), draw(2, 3, seed=2)[1].numpy(), np.array([False, False, True]))
    state = posterior(torch.zeros(2, 4, dtype=torch.float64))
    assert float(state.nll[1]) == pytest.approx(nll, rel=1e-12)
    np.testing.assert_allclose(state.grad[1].numpy(), grad, rtol=1e-12, atol=1e-12)
    assert target().observed is None
    assert target().num_observed.tolist() == [3, 3]


def test_a_mask_may_be_broadcast_over_the_images():
    assert (
        target(observed=torch.tensor([[True, False, True]])).observed.tolist()
        == [[True, False, True]] * 2
    )
    assert target(observed=torch.tensor([[True], [True]])).num_observed.tolist() == [3, 3]


@pytest.mark.parametrize("chains", [1, 3])
def test_several_images_equal_each_image_alone(chains):
    together, z = target(3), draw(3 * chains, 4, seed=11)
    for image in range(3):
        alone = nw.NoisePosterior(
            together.phi, together.operator, together.likelihood, together.y[image : image + 1]
        )
        rows = slice(image * chains, (image + 1) * chains)
        for one, other in zip(together(z), alone(z[rows]), strict=True):
            torch.testing.assert_close(one[rows], other, **EXACT)
        torch.testing.assert_close(together.chi2(z)[rows], alone.chi2(z[rows]), **EXACT)


def test_chi2_is_the_whitened_residual_per_observed_entry():
    posterior, x = target(observed=OBSERVED), draw(4, 4, seed=12)
    residual = ((x @ MATRIX.T - posterior.y[[0, 0, 1, 1]]) / SIGMA) ** 2
    expected = torch.stack(
        [
            residual[0].mean(),
            residual[1].mean(),
            residual[2, [0, 2]].mean(),
            residual[3, [0, 2]].mean(),
        ]
    )
    torch.testing.assert_close(posterior.chi2(x), expected, **EXACT)


def test_chi2_is_near_one_where_the_operator_explains_the_measurement():
    shape = (4000,)
    y = nw.likelihoods.Gaussian(SIGMA).sample(torch.zeros(1, *shape), noise.rows(5, 1))
    posterior = nw.NoisePosterior(
        nw.maps.Warp(shape), torch.nn.Identity(), nw.likelihoods.Gaussian(SIGMA), y
    )
    assert abs(float(posterior.chi2(torch.zeros(1, *shape))) - 1) < 5 * math.sqrt(2 / 4000)


def test_a_target_without_gradients_says_so_by_zeros():
    def rounded(x):
        return torch.round(x.detach() @ MATRIX.T)

    y = draw(1, 3, seed=2)
    posterior = nw.NoisePosterior(
        nw.maps.Warp((4,)), rounded, nw.likelihoods.Gaussian(SIGMA), y, differentiable=False
    )
    state, z = posterior(draw(5, 4)), draw(5, 4)
    assert (state.grad == 0).all()
    assert state.grad.shape == state.z.shape
    torch.testing.assert_close(
        state.nll, posterior.likelihood.nll(rounded(posterior.phi(z)), y.expand(5, 3)), **EXACT
    )
    with pytest.raises(ConfigError, match="needs gradients"):
        nw.sample(posterior, nw.Langevin(0.1), num_draws=1, progress=False)


def test_a_state_is_not_tied_to_the_z_it_was_made_from():
    posterior, z = target(), draw(2, 4).requires_grad_()
    state = posterior(z)
    assert not any(part.requires_grad for part in state)
    assert z.grad is None


def test_the_nll_is_summed_in_float64_whatever_the_network_computes_in():
    size, y = 4096, torch.full((1, 4096), 1e3)
    posterior = nw.NoisePosterior(
        nw.maps.Warp((size,)), torch.nn.Identity(), nw.likelihoods.Gaussian(1.0), y
    )
    state = posterior(torch.zeros(1, size))
    assert state.nll.dtype == torch.float64
    assert state.grad.dtype == torch.float32
    assert float(state.nll) == pytest.approx(
        size * (0.5e6 + 0.5 * math.log(2 * math.pi)), rel=1e-14
    )  # float32 keeps 7 digits


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"y": torch.zeros(2, 4)},
            r"y has shape \(2, 4\), but A\(x\) of one image has shape \(3,\)",
        ),
        ({"y": torch.zeros(3)}, r"give y\[None\]"),
        ({"y": torch.zeros(2, 3, dtype=torch.complex64)}, "view_as_real"),
        ({"y": [[0.0, None, 1.0]] * 2}, "y must be a tensor or an array of numbers, got list"),
        ({"observed": [[True, False, True]] * 2}, "bool tensor.* list"),
        ({"phi": torch.nn.Linear(4, 4)}, r"nw.maps.Generator.*got Linear"),
        ({"operator": 3}, "operator must be a function"),
        (
            {"operator": lambda x: torch.fft.fft(x)[:, :3]},
            "real tensor, got torch.complex64.*view_as_real",
        ),
        ({"operator": lambda x: x[:, :3].detach().numpy()}, "real tensor, got ndarray"),
        ({"likelihood": 0.1}, r"likelihood must be such as .*got 0.1"),
        (
            {"likelihood": nw.likelihoods.Gaussian(torch.ones(2))},
            r"sigma_y of shape \(2,\) does not broadcast",
        ),
        ({"y": torch.tensor(0.0)}, r"y has shape \(\)"),
        (
            {"y": torch.tensor([[0.0, float("nan"), float("inf")]])},
            "2 entries that are not finite.*observed",
        ),
        ({"observed": torch.ones(2, 3)}, "must be a bool tensor"),
        ({"observed": torch.ones(4, 3, dtype=torch.bool)}, "does not broadcast"),
        (
            {"observed": torch.tensor([[True] * 3, [False] * 3])},
            "nothing is observed in at least one image",
        ),
        ({"microbatch": 0}, "microbatch must be a whole number from 1 to"),
        ({"microbatch": -2}, "microbatch must be a whole number from 1 to"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_border(change, says):
    whole = {
        "phi": nw.maps.Warp((4,)),
        "operator": Matrix(),
        "likelihood": nw.likelihoods.Gaussian(SIGMA),
    }
    arguments = {**whole, "y": torch.zeros(2, 3), "observed": None, "microbatch": None, **change}
    with pytest.raises(ConfigError, match=says):
        nw.NoisePosterior(**arguments)


def test_a_network_of_another_type_than_y_is_named():
    phi = nw.maps.Generator(torch.nn.Linear(4, 4).eval().requires_grad_(False), (4,), (4,))
    for y, ok in ((torch.zeros(1, 3), True), (torch.zeros(1, 3, dtype=torch.float64), False)):
        posterior, z = (
            nw.NoisePosterior(phi, Matrix(), nw.likelihoods.Gaussian(SIGMA), y, check=False),
            torch.zeros(2, 4, dtype=y.dtype),
        )
        if ok:
            assert posterior(z).nll.isfinite().all()
        else:
            with pytest.raises(ConfigError, match=r"torch.float64, y.s type.*y.float"):
                posterior(z)


def test_an_operator_that_cuts_the_gradient_is_named():
    cut = {
        "operator": lambda x: x[:, :3].detach(),
        "likelihood": nw.likelihoods.Gaussian(SIGMA),
        "y": torch.zeros(1, 3),
    }
    with pytest.raises(ConfigError, match="differentiable=False"):
        nw.NoisePosterior(nw.maps.Warp((4,)), **cut)(torch.zeros(2, 4))
    assert not nw.NoisePosterior(nw.maps.Warp((4,)), **cut, differentiable=False)(
        torch.zeros(2, 4)
    ).grad.any()


@pytest.mark.parametrize("rows", [0, 3])
def test_rows_that_are_no_multiple_of_the_images_are_refused(rows):
    with pytest.raises(ConfigError, match=f"{rows} rows.* 2 images"):
        target()(torch.zeros(rows, 4, dtype=torch.float64))


def test_its_text_changes_with_everything_that_changes_the_posterior():
    base = target()
    same, texts = repr(target()), [repr(base)]
    texts.append(repr(target(observed=OBSERVED)))
    for part in (
        {"phi": replace(base.phi, amplitude=0.5)},
        {"likelihood": nw.likelihoods.Gaussian(0.4)},
        {"y": base.y + 1e-9},
    ):
        pieces = {
            "phi": base.phi,
            "operator": base.operator,
            "likelihood": base.likelihood,
            "y": base.y,
            **part,
        }
        texts.append(repr(nw.NoisePosterior(**pieces)))
    assert same == texts[0]
    assert len(set(texts)) == len(texts)


def test_a_measurement_is_simulated_in_one_call() -> None:
    operator, likelihood = nw.operators.BoxInpainting(1, 1, 2, 2), nw.likelihoods.Gaussian(0.1)
    x = torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4)
    y = nw.simulate(operator, likelihood, x, seed=3)
    observed = nw.operators.observed_of(operator, (1, 4, 4)).expand(y.shape)
    assert (y[~observed] == 0).all()
    assert 0.03 < float((y - x)[observed].std()) < 0.2
    assert torch.equal(y, nw.simulate(operator, likelihood, x, seed=3))
    assert not torch.equal(y, nw.simulate(operator, likelihood, x, seed=4))
    phi = nw.maps.Generator(torch.nn.Identity(), (1, 4, 4), (1, 4, 4))
    target = nw.NoisePosterior(phi, operator, likelihood, y)
    assert torch.equal(target.simulate(x, seed=3), y)
    gaps = torch.zeros(1, 4, 4, dtype=torch.bool)
    gaps[0, 0] = True
    some = nw.NoisePosterior(phi, operator, likelihood, y, observed=gaps).simulate(x, seed=3)
    assert torch.equal(some[:, :, 0], y[:, :, 0])
    assert (some[:, :, 1:] == 0).all()
    with pytest.raises(ConfigError, match="x must hold 2 images, got 1"):
        target.simulate(x[:1])


def test_a_plain_float64_operator_is_probed_in_its_dtype():
    matrix = torch.eye(4, dtype=torch.float64)
    y = torch.zeros(1, 4, dtype=torch.float64)
    made = nw.NoisePosterior(
        nw.maps.Affine(matrix), lambda x: x @ matrix, nw.likelihoods.Gaussian(0.3), y
    )
    assert made(torch.zeros(2, 4, dtype=torch.float64)).nll.shape == (2,)


class Bare:
    """A likelihood with a density alone."""

    def nll(self, mean: torch.Tensor, y: torch.Tensor, observed: object = None) -> torch.Tensor:
        return (mean - y).double().square().flatten(1).sum(1)


class Summed(Bare):
    """Its density is wrong: one number for all rows."""

    def nll(self, mean: torch.Tensor, y: torch.Tensor, observed: object = None) -> torch.Tensor:
        return super().nll(mean, y).sum()


def test_a_likelihood_of_ones_own_is_told_what_it_lacks() -> None:
    phi, y = nw.maps.Affine(torch.eye(2)), torch.ones(1, 2)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), Bare(), y)
    with pytest.raises(ConfigError, match="Bare has no method curvature"):
        nw.gauss_newton(target, target(torch.zeros(1, 2)))
    for simulate in (target.simulate, lambda x: nw.simulate(torch.nn.Identity(), Bare(), x)):
        with pytest.raises(ConfigError, match="Bare has no method sample"):
            simulate(y)
    with pytest.raises(ConfigError, match="nll must give one number a row"):
        nw.NoisePosterior(phi, torch.nn.Identity(), Summed(), y)
    with pytest.raises(ConfigError, match="x must be a floating-point tensor"):
        nw.simulate(torch.nn.Identity(), nw.likelihoods.Gaussian(0.1), torch.zeros(1, 2).int())


def test_a_moved_posterior_is_the_same_in_another_type() -> None:
    prior = nw.load_prior("fashion32")
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[::2] = True
    operator = nw.operators.AveragePool(4)
    noise = nw.likelihoods.Gaussian(torch.full((1, 8, 8), 0.3))
    y = nw.noise.rows(0, 1).normal((1, 8, 8), nw.noise.INIT)
    target = nw.NoisePosterior(prior.map(), operator, noise, y, mask)
    double = target.to(dtype=torch.float64)
    z = nw.noise.rows(1, 2).normal(target.shape, nw.noise.INIT)
    before, after = target(z), double(z.double())
    assert after.x.dtype == after.grad.dtype == double.y.dtype == torch.float64
    torch.testing.assert_close(after.nll, before.nll, rtol=1e-4, atol=0)
    torch.testing.assert_close(after.grad.float(), before.grad, rtol=1e-2, atol=1e-2)
    assert (target.nfe, double.nfe, target.y.dtype) == (3 + 2, 2, torch.float32)
    assert repr(double.to("cpu", torch.float32)) == repr(target)
    for bad in (torch.bfloat16, torch.int8):
        with pytest.raises(ConfigError, match=r"dtype must be torch.float32 or torch.float64"):
            target.to(dtype=bad)
    with pytest.raises(ConfigError, match="device 'nowhere' cannot be used"):
        target.to("nowhere")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_network_in_half_precision_leaves_the_state_in_single(dtype: torch.dtype) -> None:
    half, full = (nw.load_prior("fashion32", dtype=d).map() for d in (dtype, torch.float32))
    y = torch.zeros(1, 1, 8, 8)
    parts = nw.operators.AveragePool(4), nw.likelihoods.Gaussian(0.3), y
    target, exact = nw.NoisePosterior(half, *parts), nw.NoisePosterior(full, *parts)
    z = nw.noise.rows(1, 2).normal(target.shape, nw.noise.INIT)
    state, wanted = target(z), exact(z)
    assert {part.dtype for part in (state.z, state.x, state.grad)} == {torch.float32}
    assert state.nll.dtype == torch.float64
    tolerance = 32 * torch.finfo(dtype).eps
    assert float((state.x - wanted.x).abs().max()) < tolerance
    assert float((state.grad - wanted.grad).norm() / wanted.grad.norm()) < tolerance
    moved = target.to(dtype=torch.float64)  # the network keeps its type
    assert moved.phi.denoiser.network.conv_in.weight.dtype == dtype


def test_the_check_of_a_half_network_still_finds_randomness() -> None:
    class Random(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(16, 16).to(torch.bfloat16)

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.layer(z.bfloat16()).float() + 0.5 * torch.randn_like(z)

    phi = nw.maps.Generator(Random(), (16,), (16,))
    with pytest.raises(ConfigError, match="no function of each row"):
        nw.NoisePosterior(phi, lambda x: x, nw.likelihoods.Gaussian(0.3), torch.zeros(1, 16))


@pytest.mark.parametrize("change", ["clamp_(-1.0, 1.0)", "mul_(0.5)", "relu_()"])
def test_a_network_that_works_in_place_is_one_that_does_not(change):
    net, (name, rest) = torch.nn.Linear(3, 5), change.split("(")
    given = [float(part) for part in rest.strip(")").split(",") if part]
    y, z, v = torch.zeros(2, 5), draw(4, 3, seed=5).float(), draw(4, 3, seed=6).float()

    def posterior(phi):
        phi = nw.maps.Generator(phi, (3,), (5,))
        return nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(0.1), y)

    within = posterior(lambda z: net(getattr(z, name)(*given)))
    beside = posterior(lambda z: net(getattr(z.clone(), name)(*given)))
    before = z.clone()
    for a, b in zip(within(z), beside(z), strict=True):
        assert torch.equal(a, b)
    (mean, jvp, vjp), (same, push, pull) = within.linearize(z), beside.linearize(z)
    assert torch.equal(mean, same)
    assert torch.equal(jvp(v), push(v))
    assert torch.equal(vjp(mean), pull(mean))
    assert torch.equal(z, before)


def test_a_linearisation_in_inference_mode_is_the_same():
    given = target()
    z, v = draw(2, 4, seed=5), draw(2, 4, seed=6)
    mean, jvp, _ = given.linearize(z)
    with torch.inference_mode():
        inside, push, _ = given.linearize(z.clone())
        assert torch.equal(push(v.clone()), jvp(v))
    assert torch.equal(inside, mean)
