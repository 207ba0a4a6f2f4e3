"""Law: proposals are the paper's, acceptance is the Metropolis-Hastings ratio of the joint
densities, and what is not finite is never accepted."""

import math

import pytest
import torch
from cases import draw, posterior
from torch import Tensor

import noisewalk as nw
from noisewalk import noise
from noisewalk.kernels.langevin import log_acceptance
from noisewalk.types import Info, State

DIM, ROWS = 6, 256


class Arbitrary:
    """An nll and a 'gradient' that have nothing to do with each other: the Metropolis ratio holds
    for any drift."""

    def __call__(self, z: Tensor) -> State:
        matrix = draw((z.shape[1], z.shape[1]), seed=20, dtype=z.dtype)[0]
        return State(
            z, z, 2 * torch.sin(z.double() @ matrix[0].double()), torch.tanh(z @ matrix.T) + 0.3
        )


class Shell:
    """L = 5 |z - 1|^2 / 2 in any shape, nll in float64."""

    def __call__(self, z: Tensor) -> State:
        return State(z, z, 2.5 * ((z.double() - 1) ** 2).flatten(1).sum(1), 5 * (z - 1))


class Cliff:
    """Not finite where the first coordinate exceeds 0.3, in the part that is named."""

    def __init__(self, part: str, value: float) -> None:
        self.part, self.value = part, value

    def __call__(self, z: Tensor) -> State:
        state = State(z, z.clone(), (z.double() ** 2).sum(1), 2 * z)
        beyond = z[:, 0] > 0.3
        getattr(state, self.part)[beyond] = self.value
        return state


class Recorder:
    """Passes evaluations on and keeps the last: an outsider's view of the proposal."""

    def __init__(self, target: object) -> None:
        self.target = target

    def __call__(self, z: Tensor) -> State:
        self.last = self.target(z)  # type: ignore[operator]
        return self.last


def coefficients(scheme: str, step_size: float) -> tuple[float, float, float]:
    if scheme == "em":
        return 1 - step_size, step_size, math.sqrt(2 * step_size)
    return math.exp(-step_size), 1 - math.exp(-step_size), math.sqrt(1 - math.exp(-2 * step_size))


def log_joint(here: State, there: State, a: float, b: float, s: float) -> Tensor:
    """log of exp(-L(z)) N(z; 0, I) N(z'; a z - b g, s^2 I), up to a constant, all in float64."""
    z, g, z_ = (t.double().flatten(1) for t in (here.z, here.grad, there.z))
    return -here.nll - 0.5 * (z**2).sum(1) - ((z_ - a * z + b * g) ** 2).sum(1) / (2 * s**2)


def naive(here: State, there: State, a: float, b: float, s: float) -> Tensor:
    return log_joint(there, here, a, b, s) - log_joint(here, there, a, b, s)


SCHEMES = pytest.mark.parametrize("scheme", ["em", "ei"])
ADJUST = pytest.mark.parametrize("adjust", [False, True])


@SCHEMES
@pytest.mark.parametrize("step_size", [0.01, 0.4, 1.3])
def test_the_grouped_formula_is_the_naive_log_ratio(scheme: str, step_size: float) -> None:
    z, g, z_, g_ = (draw((DIM,), ROWS, seed=30 + k, dtype=torch.float64) for k in range(4))
    nll, nll_ = (draw((), ROWS, seed=40 + k, dtype=torch.float64) for k in range(2))
    here, there, abs_ = (
        State(z, z, nll, g),
        State(z_, z_, nll_, g_),
        coefficients(scheme, step_size),
    )
    expected = naive(here, there, *abs_)
    grouped = log_acceptance(
        here, there, *(torch.full((ROWS, 1), c, dtype=torch.float64) for c in abs_)
    )
    # the naive form subtracts terms of size d / s^2
    torch.testing.assert_close(grouped, expected, rtol=1e-9, atol=1e-9)


@SCHEMES
@ADJUST
@pytest.mark.parametrize("step_size", [0.01, 0.4, 1.3])
def test_the_proposal_is_the_papers_and_the_reported_acceptance_is_the_naive_ratio(
    scheme: str, adjust: bool, step_size: float
) -> None:
    a, b, s = coefficients(scheme, step_size)
    state, target = (
        Arbitrary()(draw((DIM,), ROWS, seed=21, dtype=torch.float64)),
        Recorder(Arbitrary()),
    )
    rows = noise.rows(22, 1, ROWS).at(7)
    after, info, _ = nw.Langevin(step_size, scheme=scheme, adjust=adjust).step(state, target, rows)
    proposal = Arbitrary()(
        a * state.z - b * state.grad + s * rows.normal((DIM,), noise.PROPOSAL, torch.float64)
    )
    torch.testing.assert_close(target.last.z, proposal.z, rtol=1e-12, atol=1e-12)
    expected = naive(state, target.last, a, b, s)
    assert 0.02 < float((expected < 0).double().mean()) < 0.98
    torch.testing.assert_close(
        info.acceptance_rate.log(), expected.clamp(max=0), rtol=1e-9, atol=1e-9
    )
    wanted = (
        rows.uniform((), noise.ACCEPT) < expected.exp()
        if adjust
        else torch.ones(ROWS, dtype=torch.bool)
    )
    assert torch.equal(info.accepted, wanted)
    assert not info.diverging.any()
    for new, old, other in zip(
        after, state, target.last, strict=True
    ):  # bitwise: the proposal where accepted, else the old draw
        assert torch.equal(new[wanted], other[wanted])
        assert torch.equal(new[~wanted], old[~wanted])


@SCHEMES
def test_the_ratio_keeps_its_digits_in_float32_at_a_hundred_thousand_dimensions(
    scheme: str,
) -> None:
    step_size, shape = 0.004, (3, 192, 192)
    a, b, s = coefficients(scheme, step_size)
    state, target = Shell()(5 / 6 + draw(shape, 2, seed=23) / math.sqrt(6)), Recorder(Shell())
    _, info, _ = nw.Langevin(step_size, scheme=scheme, adjust=True).step(
        state, target, noise.rows(24, 1, 2)
    )
    expected = naive(state, target.last, a, b, s)
    assert (expected < -0.01).any()  # else the clipped rate says nothing
    # float64 throughout: terms of size d / 2 = 55296 leave about 1e-10; in float32 the same sum is
    # off by 1e-2
    torch.testing.assert_close(info.acceptance_rate.log(), expected.clamp(max=0), rtol=0, atol=1e-8)


@SCHEMES
@ADJUST
@pytest.mark.parametrize(
    ("part", "value"),
    [("nll", math.nan), ("grad", math.nan), ("grad", math.inf), ("nll", -math.inf)],
)
def test_a_proposal_that_is_not_finite_is_flagged_and_never_accepted(
    scheme: str, adjust: bool, part: str, value: float
) -> None:
    kernel, target, rows = (
        nw.Langevin(0.3, scheme=scheme, adjust=adjust),
        Recorder(Cliff(part, value)),
        noise.rows(25, 1, ROWS),
    )
    state, flagged = target(-draw((DIM,), ROWS, seed=26).abs()), 0
    for step in range(20):
        old, (state, info, _) = state, kernel.step(state, target, rows.at(step))
        bad = target.last.z[:, 0] > 0.3
        flagged += int(bad.sum())
        assert torch.equal(info.diverging, bad)
        assert not info.accepted[bad].any()
        assert (info.acceptance_rate[bad] == 0).all()
        assert (info.acceptance_rate >= 0).all()
        assert (info.acceptance_rate <= 1).all()
        for new, before in zip(state, old, strict=True):
            assert torch.isfinite(new).all()
            assert torch.equal(new[~info.accepted], before[~info.accepted])
    assert 0 < flagged < 20 * ROWS


@ADJUST
def test_a_proposal_of_zero_likelihood_is_never_accepted(adjust: bool) -> None:
    kernel, target, rows = (
        nw.Langevin(0.3, adjust=adjust),
        Cliff("nll", math.inf),
        noise.rows(27, 1, ROWS),
    )
    state, infos = target(-draw((DIM,), ROWS, seed=28).abs()), list[Info]()
    for step in range(20):
        state, info, _ = kernel.step(state, target, rows.at(step))
        assert torch.isfinite(state.nll).all()
        infos.append(info)
    assert any((info.acceptance_rate == 0).any() for info in infos)


@SCHEMES
def test_a_step_size_per_image_is_that_of_each_image(scheme: str) -> None:
    sizes, chains = torch.tensor([0.02, 0.5], dtype=torch.float64), 3
    both, rows = posterior(torch.float64), noise.rows(29, 2, chains)
    z = draw((4,), 2 * chains, seed=31, dtype=torch.float64)
    after, info, _ = nw.Langevin(sizes, scheme=scheme, adjust=True).step(both(z), both, rows)
    for image in range(2):
        part, target = (
            slice(image * chains, (image + 1) * chains),
            posterior(torch.float64, (image,)),
        )
        own = noise.Noise(29, rows.image[part], rows.chain[part])
        alone, alone_info, _ = nw.Langevin(float(sizes[image]), scheme=scheme, adjust=True).step(
            target(z[part]), target, own
        )
        torch.testing.assert_close(after.z[part], alone.z, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(
            info.acceptance_rate[part], alone_info.acceptance_rate, rtol=1e-12, atol=1e-12
        )
