"""A kernel of one's own: ten lines run, and one that breaks the contract gets a sentence."""

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError

Y = torch.tensor([[1.0, -0.5]], dtype=torch.float64)


def target(y: torch.Tensor = Y) -> nw.NoisePosterior:
    phi = nw.maps.Affine(torch.eye(2, dtype=torch.float64))
    return nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(0.5), y)


@dataclass(frozen=True)
class RandomWalk(nw.Kernel):
    """The docstring's example: random-walk Metropolis."""

    step_size: float = 0.1
    exact = True
    needs_gradient = False

    def step(self, state, target, noise, carry=None):
        xi = noise.normal(tuple(state.z.shape[1:]), nw.noise.PROPOSAL, state.z.dtype)
        new = target(state.z + self.step_per_row(state.z) * xi)
        old, now = (s.nll + 0.5 * s.z.square().flatten(1).sum(1) for s in (state, new))
        accepted = noise.uniform((), nw.noise.ACCEPT).log() < old - now
        info = nw.types.Info((old - now).exp().clamp(max=1), accepted, ~now.isfinite())
        parts = (
            torch.where(accepted.view(-1, *[1] * (a.ndim - 1)), a, b)
            for a, b in zip(new, state, strict=True)
        )
        return nw.types.State(*parts), info, None


def test_a_kernel_of_ones_own_is_adapted_and_samples_the_posterior() -> None:
    run = nw.sample(target(), RandomWalk(), 2000, 4, thin=5, progress=False)
    draws = run.draws[0].flatten(0, 1)
    size = float(nw.diagnostics.ess_bulk(run.draws[0]).min())
    mean, std = Y[0] / (1 + 0.25), (0.25 / 1.25) ** 0.5
    assert float((draws.mean(0) - mean).abs().max()) < 5 * std / size**0.5
    assert float((draws.std(0) - std).abs().max()) < 5 * std / (2 * size) ** 0.5
    assert abs(run.summary()["acceptance_rate"] - nw.Kernel.target_accept) < 0.15
    each = nw.sample(target(torch.cat([Y, 3 * Y])), RandomWalk(), 5, 3, 50, progress=False)
    assert each.arrays["step_size"].shape == (2, 3, 5)  # a step of its own for each image
    facts = run.spec["plan"]["kernel"]
    assert facts["name"].endswith("RandomWalk")
    assert facts["exact"] is True


def test_it_moves_the_particles_of_smc_too() -> None:
    run = nw.tempered_smc(target(), 200, kernel=RandomWalk(0.3), num_moves=20, progress=False)
    assert float((run.mean[0] - Y[0] / 1.25).abs().max()) < 0.2


class Wrong:
    """Makers of kernels that break the contract."""

    @staticmethod
    def of(returns, signature=True):
        if signature:

            class Own(nw.Kernel):
                def step(self, state, target, noise, carry=None):
                    return returns(state)

        else:

            class Own(nw.Kernel):
                def step(self, state):
                    return returns(state)

        return Own()


def info(rows: int) -> nw.types.Info:
    yes = torch.ones(rows, dtype=torch.bool)
    return nw.types.Info(yes.double(), yes, ~yes)


BROKEN = {
    "takes the wrong things": (lambda s: (s, info(2), None), False, "step must be step"),
    "returns a pair": (lambda s: (s, info(2)), True, "must return"),
    "returns tensors": (lambda s: (s.z, info(2), None), True, "must return"),
    "returns nothing": (lambda s: None, True, "must return"),
    "loses a row": (lambda s: (s, info(1), None), True, "must return"),
    "swaps them": (lambda s: (info(2), s, None), True, "must return"),
    "gives numbers": (lambda s: (s, nw.types.Info(0.5, True, False), None), True, "must return"),
    "gives None": (lambda s: (s._replace(nll=None), info(2), None), True, "must return"),
    "gives a list": (lambda s: [s, info(2), None], True, "must return"),
    "changes a type": (lambda s: (s._replace(z=s.z.float()), info(2), None), True, "must return"),
    "counts acceptances": (
        lambda s: (s, info(2)._replace(accepted=torch.ones(2)), None),
        True,
        "must return",
    ),
    "carries an array": (lambda s: (s, info(2), np.zeros(2)), True, "must return"),
    "changes a shape": (lambda s: (s._replace(nll=s.nll[:1]), info(2), None), True, "must return"),
}


def test_a_kernel_that_breaks_the_contract_gets_a_sentence() -> None:
    for name, (returns, signature, says) in BROKEN.items():
        with pytest.raises(ConfigError, match=says) as error:
            nw.sample(target(), Wrong.of(returns, signature), 2, 2, progress=False)
        if signature:  # an exact one would move SMC's particles
            wrong = Wrong.of(returns, signature)
            type(wrong).exact = True
            with pytest.raises(ConfigError, match=says):
                nw.tempered_smc(target(), 2, kernel=wrong, progress=False)
        assert "state" in str(error.value), name
        assert "\n" not in str(error.value), name
    for thing in (RandomWalk, object(), "hmc"):
        with pytest.raises(ConfigError, match=r"subclass of nw\.Kernel"):
            nw.sample(target(), thing, 2, 2, progress=False)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="abstract"):
        nw.Kernel()  # type: ignore[abstract]


class Plain(nw.Kernel):
    """A kernel that is no dataclass; it stays where it is."""

    def __init__(self, setting: float, **fields: float) -> None:
        self.setting = setting
        vars(self).update(fields)

    def step(self, state, target, noise, carry=None):
        return state, info(len(state.z)), None


def test_a_plain_class_is_a_kernel_that_is_told_from_others_by_its_attributes(tmp_path) -> None:
    settings = {"num_draws": 2, "num_chains": 2, "warm_start": None, "progress": False}
    for _ in range(2):
        nw.sample(target(), Plain(1.0), store=tmp_path / "run", **settings)
    with pytest.raises(nw.errors.StoreError, match="another run"):
        nw.sample(target(), Plain(2.0), store=tmp_path / "run", **settings)
    with pytest.raises(ConfigError, match="make the class a dataclass"):
        nw.sample(target(), Plain(1.0, step_size=0.1), **settings)


def test_what_a_kernel_declares() -> None:
    asked = ("needs_gradient", "exact", "reversible", "evaluations")
    kept = nw.HMC(0.1, 8, friction=0.5)
    declared = {
        nw.Langevin(0.1): (True, False, True, 1),
        nw.Langevin(0.1, adjust=True): (True, True, True, 1),
        nw.HMC(0.1, 8): (True, True, True, 8),
        kept: (True, True, False, 8),
        nw.SplitHMC(0.1, 6): (True, True, False, 7),
        nw.EllipticalSlice(): (False, True, True, 4),
    }
    for kernel, values in declared.items():
        assert tuple(getattr(kernel, name) for name in asked) == values
        assert isinstance(kernel, nw.Kernel)
    assert nw.HMC(0.1, 8).step(*transition())[2] is None
    assert kept.step(*transition())[2].shape == (2, 2)


def test_a_field_without_a_default_must_be_given() -> None:
    for make in (nw.Langevin, nw.HMC):
        with pytest.raises(TypeError, match="step_size"):
            make()
    slice_ = nw.EllipticalSlice()
    assert (slice_.step_size, slice_.preconditioner) == (None, None)
    with pytest.raises(
        AttributeError, match="'EllipticalSlice' object has no attribute 'friction'"
    ):
        slice_.friction  # type: ignore[attr-defined]  # noqa: B018
    assert pickle.loads(pickle.dumps(copy.deepcopy(RandomWalk(0.3)))) == RandomWalk(0.3)


def transition():
    posterior, rows = target(), nw.noise.rows(0, 1, 2)
    z = rows.normal((2,), nw.noise.INIT, torch.float64)
    return posterior(z), posterior, rows.at(1)


def test_whole_numbers_of_numpy_and_torch_are_whole_numbers() -> None:
    plain = nw.sample(target(), nw.HMC(0.1, 2), 3, 2, 4, 2, nw.Adam(3), seed=5, progress=False)
    kernel, adam = nw.HMC(0.1, np.int64(2)), nw.Adam(np.int32(3))
    many = [kernel, torch.tensor(3), np.int8(2), np.uint8(4), torch.tensor(2), adam]
    same = nw.sample(target(), *many, seed=torch.tensor(5), progress=False)
    assert torch.equal(plain.draws, same.draws)
    assert plain.spec == same.spec
    for wrong in (2.0, True, "2", torch.tensor([2]), None):
        with pytest.raises(ConfigError, match="num_draws must be a whole number of at least 1"):
            nw.sample(target(), kernel, wrong, progress=False)  # type: ignore[arg-type]
