"""Tempered SMC: the evidence and the posterior of closed forms, both modes of a symmetric problem,
and a resumption that changes nothing."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from linear_targets import linear, normal

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.kernels.split_hmc import SplitHMC
from noisewalk.noise import Noise
from noisewalk.sampling.defaults import resolve_smc
from noisewalk.sampling.smc import FORGOTTEN
from noisewalk.types import Info, State, Target


@pytest.mark.parametrize(
    "settings",
    [{}, {"kernel": nw.HMC(0.3, 2), "num_moves": (1, 20)}, {"kernel": nw.HMC(0.3, 2), "rank": 3}],
    ids=["default", "as many moves as needed", "preconditioned"],
)
def test_the_evidence_and_the_moments_are_those_of_the_closed_form(
    settings: dict[str, Any],
) -> None:
    target, evidence, mean, covariance = linear(images=2)
    runs = [
        nw.tempered_smc(target, 400, seed=seed, progress=False, **settings) for seed in range(8)
    ]
    found = torch.stack([run.log_evidence for run in runs])
    error = found.std(0) / math.sqrt(len(runs))
    assert (error < 0.1).all()
    assert (
        (found.mean(0) - evidence).abs() < 5 * error + 0.5 * found.var(0)
    ).all()  # the log of an unbiased estimate is low by half its variance
    z = torch.stack([run.z[:, :, 0] for run in runs])
    of_runs = z.mean(2)
    assert ((of_runs.mean(0) - mean).abs() < 6 * of_runs.std(0) / math.sqrt(len(runs))).all()
    spread = ((z - mean[:, None]) ** 2).mean(2)
    assert (
        (spread.mean(0) - covariance.diagonal()).abs() < 6 * spread.std(0) / math.sqrt(len(runs))
    ).all()


@pytest.mark.parametrize(
    ("moves", "kernel"),
    [(4, None), (1, nw.HMC(0.2, 6))],
    ids=["moves that mix", "moves that do not"],
)
def test_the_error_of_the_evidence_is_its_spread_over_runs(
    moves: int, kernel: nw.HMC | None
) -> None:
    target = linear(images=1)[0]
    many = nw.NoisePosterior(
        target.phi, target.operator, target.likelihood, target.y.repeat(200, 1)
    )
    run = nw.tempered_smc(many, 100, kernel=kernel, num_moves=moves, progress=False)
    assert run.log_evidence is not None
    assert run.log_evidence_error is not None
    ratio = float(run.log_evidence_error.square().mean().sqrt() / run.log_evidence.std())
    assert 0.75 < ratio < 1.35  # the spread of 200 is known to 5 %
    assert 0.05 < float(run.log_evidence.std()) < 0.5


def test_a_few_particles_are_moved_by_a_kernel_that_does_not_learn_from_them() -> None:
    target = linear()[0]
    assert [
        type(resolve_smc(target, 10, carried).kernel).__name__ for carried in (None, 31, 32)
    ] == ["HMC", "HMC", "SplitHMC"]


def test_few_particles_are_as_wide_as_the_posterior() -> None:
    target, _, mean, covariance = linear(images=1)
    many = nw.NoisePosterior(
        target.phi, target.operator, target.likelihood, target.y.repeat(600, 1)
    )
    z = nw.tempered_smc(many, 8, num_moves=8, progress=False).z[:, :, 0]
    spread = ((z - mean) ** 2).mean(1)
    error = spread.std(0) / math.sqrt(600)
    assert ((spread.mean(0) - covariance.diagonal()).abs() < 5 * error).all()


def test_slice_sampling_around_a_fitted_gaussian_sees_gradients() -> None:
    target = linear()[0]
    run = nw.tempered_smc(target, 200, kernel=nw.EllipticalSlice(), rank=3, progress=False)
    assert (
        float(run.arrays["acceptance_rate"].mean()) > 0.8
    )  # the posterior is that Gaussian: nearly every first point is taken


def test_both_modes_are_found_in_their_proportion() -> None:
    target = nw.NoisePosterior(
        nw.maps.Affine(torch.eye(2, dtype=torch.float64)),
        lambda x: x[:, :1].abs(),
        nw.likelihoods.Gaussian(0.05),
        torch.tensor([[1.5]]),
    )
    run = nw.tempered_smc(target, 500, progress=False)
    x = run.draws[0, :, 0]
    assert float((x[:, 0].abs() - 1.5).abs().max()) < 0.3
    assert (
        abs(float((x[:, 0] > 0).double().mean()) - 0.5) < 0.2
    )  # genealogies make it wider than 500 independent draws
    assert abs(float(x[:, 1].var()) - 1) < 0.4


def test_more_particles_than_come_back_can_be_carried() -> None:
    target = linear()[0]
    run = nw.tempered_smc(target, 10, num_carried=50, progress=False)
    assert run.draws.shape == (1, 10, 1, 5)
    assert len(run.z[0, :, 0].unique(dim=0)) > 5


def test_a_target_without_gradients_is_sampled_too() -> None:
    target = nw.NoisePosterior(
        nw.maps.Warp((3,), 0.2),
        lambda x: x.round(),
        nw.likelihoods.Gaussian(0.3),
        torch.tensor([[1.0, 0.0, -1.0]]),
        differentiable=False,
    )
    run = nw.tempered_smc(target, 100, progress=False)
    assert float((run.draws[0, :, 0].round() == target.y[0]).double().mean()) > 0.95


@pytest.mark.parametrize(
    "settings",
    [{}, {"kernel": nw.HMC(0.1, 2), "num_moves": (1, 3), "rank": 2}],
    ids=["default", "every choice made"],
)
def test_a_run_stopped_anywhere_goes_on_to_the_same_particles(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    target = linear(images=2)[0]
    whole = nw.tempered_smc(
        target, 20, seed=3, store=tmp_path / "whole", progress=False, **settings
    )
    assert whole.log_evidence is not None

    class StopError(Exception):
        pass

    def stopped(after: int) -> None:
        from noisewalk.storage.store import RunStore

        create, appended = RunStore.checkpoint, 0

        def checkpoint(self: RunStore, sampler: dict[str, object]) -> None:
            nonlocal appended
            create(self, sampler)
            appended += 1
            if appended == after:
                raise StopError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunStore, "checkpoint", checkpoint)
            nw.tempered_smc(target, 20, seed=3, store=tmp_path / "cut", progress=False, **settings)

    for after in (1, 3, 2):
        with pytest.raises(StopError):
            stopped(after)
    cut = nw.tempered_smc(target, 20, seed=3, store=tmp_path / "cut", progress=False, **settings)
    assert torch.equal(cut.z[...], whole.z[...])
    assert torch.equal(cut.log_evidence, whole.log_evidence)
    assert torch.equal(cut.memory, whole.memory)
    assert torch.equal(cut.log_evidence_error, whole.log_evidence_error)
    assert cut.nfe == whole.nfe


def test_calls_are_counted() -> None:
    target = linear()[0]
    before = target.nfe
    run = nw.tempered_smc(target, 10, kernel=nw.HMC(0.2, 3), num_moves=2, progress=False)
    assert run.nfe == target.nfe - before
    assert (run.nfe - 10) % (10 * 3 * 2) == 0


class Counted(nw.Kernel):
    """A kernel whose transitions are counted; without one nothing moves."""

    exact, needs_gradient = True, False

    def __init__(self, kernel: nw.EllipticalSlice | None = None) -> None:
        self.kernel, self.steps = kernel, 0

    def step(
        self, state: State, target: Target, noise: Noise, carry: Any = None
    ) -> tuple[State, Info, Any]:
        self.steps += 1
        if self.kernel is not None:
            return self.kernel.step(state, target, noise)
        yes = torch.ones(len(state.z), dtype=torch.bool)
        return state, Info(yes.double(), yes, ~yes), None


def test_a_pair_of_moves_makes_as_many_as_the_particles_need() -> None:
    target = linear()[0]
    still, slice_, one = Counted(), Counted(nw.EllipticalSlice()), Counted(nw.EllipticalSlice())
    memory = []
    for kernel, moves in ((still, (2, 30)), (slice_, (2, 30)), (one, 1)):
        run = nw.tempered_smc(target, 100, kernel=kernel, num_moves=moves, progress=False)
        memory.append(run.summary()["memory"])
    assert still.steps % 30 == 0  # all that are allowed, at every temperature
    assert 2 * one.steps <= slice_.steps < still.steps / 2
    assert memory[0] == pytest.approx(1.0)
    assert memory[1] <= FORGOTTEN < memory[2] < 1.0


def test_a_preconditioned_kernel_keeps_its_step_where_the_measurement_is_precise() -> None:
    matrix = torch.diag(torch.tensor([1.0, 1.0, 100.0], dtype=torch.float64))
    target = nw.NoisePosterior(
        nw.maps.Affine(matrix), lambda x: x, nw.likelihoods.Gaussian(0.5), normal(1, 3, seed=10)
    )
    plain, rank = (
        nw.tempered_smc(target, 50, kernel=nw.HMC(0.2, 4), rank=rank, progress=False)
        for rank in (None, 3)
    )
    steps = [float(run.arrays["step_size"].max()) for run in (plain, rank)]
    assert steps[1] > 10 * steps[0]


def test_a_finished_store_is_left_alone(tmp_path: Path) -> None:
    target = linear()[0]
    first = nw.tempered_smc(target, 10, store=tmp_path / "run", progress=False)
    again = nw.tempered_smc(target, 10, store=tmp_path / "run", progress=False)
    assert torch.equal(first.z[...], again.z[...])


@pytest.mark.parametrize(
    "change",
    [
        {"num_particles": 1},
        {"num_carried": 3},
        {"ess_fraction": 1.0},
        {"ess_fraction": 0.0},
        {"num_moves": 0},
        {"num_moves": (2, 1)},
        {"num_moves": [1, 2, 3]},
        {"rank": 0, "kernel": nw.HMC(0.1)},
        {"rank": 4, "kernel": SplitHMC(0.2, 6)},
        {"kernel": nw.Langevin(0.1)},
    ],
)
def test_a_value_out_of_range_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        nw.tempered_smc(linear()[0], **{"num_particles": 10, "progress": False, **change})


def test_a_pair_of_moves_may_be_a_list() -> None:
    assert resolve_smc(linear()[0], 10, num_moves=[1, 3]).num_moves == (1, 3)
