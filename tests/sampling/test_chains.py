import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from recorder import Recorder, drive

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError, DivergedError
from noisewalk.sampling.chains import PATIENCE, Chains
from noisewalk.sampling.starts import initial
from noisewalk.storage.state import decode, encode
from noisewalk.types import State

PLAN = Chains(
    nw.Langevin(0.02, "em", adjust=True), 3, 2, 4, 2, nw.Adam(3, 0.05), nw.DualAveraging(), 5
)


def draw(*shape, seed=0):
    return noise.rows(seed, shape[0]).normal(shape[1:], noise.PROBE, torch.float64)


def target(nfe=1):
    phi = nw.maps.Affine(draw(4, 6, seed=1), nfe=nfe)
    return nw.NoisePosterior(
        phi, torch.nn.Identity(), nw.likelihoods.Gaussian(0.3), draw(2, 4, seed=2)
    )


def stage(sampler):
    return (
        "starts"
        if sampler["transitions"] == 0
        else "warm-up"
        if sampler["transitions"] <= PLAN.num_warmup
        else "draws"
    )


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr("noisewalk.sampling.chains.CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr("noisewalk.sampling.chains.SHARE", 0)


def test_ticks_count_through_every_phase():
    ticks = drive(target(nfe=3), PLAN, Recorder())
    assert [tick.phase for tick in ticks] == ["starts"] * 3 + ["warm-up"] * 4 + ["draws"] * 6
    assert [tick.done for tick in ticks] == list(range(1, 14))
    assert {tick.total for tick in ticks} == {13}
    assert [tick.nfe for tick in ticks] == [
        4 * 3 * (1 + k) for k in range(1, 14)
    ]  # four rows of three calls, the initial evaluation first
    assert [math.isnan(tick.acceptance_rate) for tick in ticks] == [True] * 3 + [False] * 10
    assert all(0 <= tick.acceptance_rate <= 1 for tick in ticks[3:])


def test_the_draws_are_the_kernel_run_by_hand_with_the_keyed_noise_of_each_step():
    plan = dataclasses.replace(PLAN, adapt=None, num_warmup=1)
    sink, posterior, rows = Recorder(), target(), noise.rows(plan.seed, 2, 2)
    drive(posterior, plan, sink)
    state = posterior(rows.at(0).normal((6,), noise.INIT, torch.float64))
    adam = plan.warm_start.start(state)
    for k in range(1, 4):
        adam = plan.warm_start.step(adam, posterior, k)
    state, states, infos = adam.state, [], []
    for transition in range(1 + 6):
        state, info, _ = plan.kernel.step(state, posterior, rows.at(1 + transition))
        states.append(state)
        infos.append(info)
    assert len(sink.draws) == 3
    for k, (found, found_info, _, _) in enumerate(sink.draws):
        last, two = states[2 * k + 2], infos[2 * k + 1 : 2 * k + 3]
        assert all(torch.equal(one, other) for one, other in zip(found, last, strict=True))
        assert torch.equal(
            found_info.acceptance_rate, (two[0].acceptance_rate + two[1].acceptance_rate) / 2
        )
        assert torch.equal(found_info.accepted, two[0].accepted | two[1].accepted)


def test_a_divergence_between_two_draws_is_not_lost():
    sink = Recorder()
    drive(
        Broken([True, False, False, False], begins=3, ends=3),
        dataclasses.replace(FOREVER, num_draws=3, thin=4),
        sink,
    )
    assert [info.diverging.tolist() for _, info, _, _ in sink.draws] == [
        [True, False, False, False],
        [False] * 4,
        [False] * 4,
    ]


def test_without_a_warm_start_the_chain_starts_at_the_initial_noise():
    plan = Chains(nw.Langevin(1e-12, "em"), 1, 2, 0, 1, None, None, 3)  # a step that hardly moves
    sink = Recorder()
    drive(target(), plan, sink)
    expected = noise.rows(3, 2, 2).normal((6,), noise.INIT, torch.float64)
    torch.testing.assert_close(sink.draws[0][0].z, expected, rtol=0, atol=1e-5)


def test_every_stage_has_its_checkpoints(always):
    sink = Recorder()
    drive(target(), PLAN, sink)
    stages = ["starts"] * 3 + ["warm-up"] * 4 + ["draws"] * 6
    assert [stage(sampler) for sampler in sink.checkpoints] == stages
    assert [sampler["start_steps"] for sampler in sink.checkpoints] == [1, 2] + [3] * 11
    assert [sampler["transitions"] for sampler in sink.checkpoints] == [0, 0, *range(11)]
    assert [stage(sampler) for _, _, sampler, _ in sink.draws] == ["draws"] * 3


def test_the_early_state_is_that_after_the_adaptation(always):
    sink = Recorder()
    drive(target(), PLAN, sink)
    last = sink.checkpoints[2 + PLAN.num_warmup]
    state = State(**last["state"])
    assert last["transitions"] == PLAN.num_warmup
    assert torch.equal(sink.kept["early_x"], state.x.reshape(2, 2, 4))
    expected = -state.nll - state.z.square().sum(1) / 2
    torch.testing.assert_close(sink.kept["early_lp"], expected.reshape(2, 2), rtol=1e-12, atol=0)
    at_once = Recorder()
    drive(target(), dataclasses.replace(PLAN, num_warmup=0, adapt=None, warm_start=None), at_once)
    z = noise.rows(PLAN.seed, 2, 2).normal((6,), noise.INIT, torch.float64)
    assert torch.equal(at_once.kept["early_x"], target()(z).x.reshape(2, 2, 4))


def test_checkpoints_wait_for_their_time(monkeypatch):
    monkeypatch.setattr("noisewalk.sampling.chains.CHECKPOINT_SECONDS", 1e9)
    sink = Recorder()
    drive(target(), PLAN, sink)
    assert sink.checkpoints == []


@pytest.mark.parametrize(
    "kernel", [PLAN.kernel, nw.HMC(0.1, 2, friction=0.5)], ids=["fresh", "kept velocity"]
)
def test_from_every_state_the_loop_goes_on_bitwise(always, tmp_path, kernel):
    whole, plan = Recorder(), dataclasses.replace(PLAN, kernel=kernel)
    ticks = drive(target(), plan, whole)
    assert {stage(sampler) for sampler, _ in whole.states} == {"starts", "warm-up", "draws"}
    assert any(sampler["block"] for sampler, _ in whole.states)  # also between two draws
    for sampler, missing in whole.states:
        (tmp_path / "state").write_bytes(b"".join(encode(sampler)))
        rest = Recorder(decode(tmp_path / "state"))
        posterior = target()
        posterior(torch.zeros(2, 6, dtype=torch.float64))  # what was spent before is not this run's
        after = drive(posterior, plan, rest)
        assert len(rest.draws) == 3 - missing
        for found, expected in zip(rest.draws, whole.draws[missing:], strict=True):
            assert all(
                torch.equal(one, other)
                for one, other in zip(
                    (*found[0], *found[1]), (*expected[0], *expected[1]), strict=True
                )
            )
            assert torch.equal(found[3]["step_size"], expected[3]["step_size"])
            assert found[2]["nfe"] == expected[2]["nfe"]
            assert found[2]["seconds"] >= sampler["seconds"] > 0
        assert [tick[:4] for tick in after] == [
            tick[:4] for tick in ticks[len(ticks) - len(after) :]
        ]


def test_a_velocity_is_kept_from_transition_to_transition():
    kernel, posterior, rows, sink = (
        nw.HMC(0.1, 2, friction=0.5),
        target(),
        noise.rows(7, 2, 2),
        Recorder(),
    )
    drive(posterior, Chains(kernel, 3, 2, 0, 1, None, None, 7), sink)
    state, velocity = posterior(rows.at(0).normal((6,), noise.INIT, torch.float64)), None
    for k in range(3):
        state, _, velocity = kernel.step(state, posterior, rows.at(1 + k), velocity)
        assert torch.equal(sink.draws[k][0].z, state.z)
        assert torch.equal(sink.draws[k][2]["carry"], velocity)


def test_a_finished_run_costs_nothing_more():
    sink = Recorder()
    drive(target(), PLAN, sink)
    posterior, again = target(), Recorder(sink.draws[-1][2])
    before = posterior.nfe
    assert drive(posterior, PLAN, again) == []
    assert posterior.nfe == before


def test_more_draws_of_a_finished_run_are_those_of_a_longer_one():
    short, long = Recorder(), Recorder()
    drive(target(), PLAN, short)
    drive(target(), dataclasses.replace(PLAN, num_draws=5), long)
    more = Recorder(short.draws[-1][2])
    drive(target(), dataclasses.replace(PLAN, num_draws=5), more)
    for found, expected in zip(short.draws + more.draws, long.draws, strict=True):
        assert torch.equal(found[0].z, expected[0].z)


def test_the_step_is_adapted_in_the_warm_up_alone_and_averaged_after_it(always):
    sink = Recorder()
    drive(target(), PLAN, sink)
    adaptations = [sampler["adaptation"] for sampler in sink.checkpoints]
    assert adaptations[:3] == [None] * 3
    steps = [adaptation[1] for adaptation in adaptations[3 : 3 + PLAN.num_warmup]]
    assert all(not torch.equal(one, other) for one, other in pairwise(steps))
    for _, _, sampler, extras in sink.draws:
        assert torch.equal(sampler["adaptation"], adaptations[-1])
        assert torch.equal(
            extras["step_size"], PLAN.adapt.final(adaptations[-1]).repeat_interleave(2)
        )


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0.02, [0.02] * 4), (torch.tensor([0.02, 0.01]), [0.02, 0.02, 0.01, 0.01])],
)
def test_extras_hold_the_step_of_every_row_and_its_chi2(step, expected):
    sink, posterior = Recorder(), target()
    drive(posterior, dataclasses.replace(PLAN, kernel=nw.Langevin(step), adapt=None), sink)
    for state, _, _, extras in sink.draws:
        assert extras["step_size"].tolist() == pytest.approx(expected, rel=1e-7)
        assert torch.equal(extras["chi2"], posterior.chi2(state.x))


class Broken:
    """A target that is not finite on some rows, between two numbers of evaluations."""

    def __init__(self, dead, begins=1, ends=1_000_000):
        self.inner, self.dead, self.begins, self.ends, self.calls = (
            target(),
            torch.tensor(dead),
            begins,
            ends,
            0,
        )
        self.num_images, self.shape, self.y, self.chi2 = 2, (6,), self.inner.y, self.inner.chi2

    @property
    def nfe(self):
        return self.inner.nfe

    def __call__(self, z):
        self.calls += 1
        state = self.inner(z)
        return (
            state._replace(nll=torch.where(self.dead, torch.nan, state.nll))
            if self.begins <= self.calls <= self.ends
            else state
        )


FOREVER = Chains(nw.Langevin(1e-3, "em"), 3 * PATIENCE, 2, 0, 1, None, None, 0)


@pytest.mark.parametrize(
    ("dead", "says"),
    [
        (
            [True] * 4,
            r"4 of 4 chains \(image 0 chain 0, image 0 chain 1, image 1 chain 0, image 1 chain 1\)",
        ),
        ([False, False, False, True], r"1 of 4 chains \(image 1 chain 1\)"),
    ],
)
def test_a_target_that_is_not_finite_at_a_start_is_refused_by_the_chains_name(dead, says):
    with pytest.raises(DivergedError, match=says):
        drive(Broken(dead), FOREVER, Recorder())


def test_a_chain_whose_z_has_no_likelihood_draws_it_again():
    def root(x):  # NaN for a quarter of all z
        return torch.sqrt(x + 0.7)

    phi, count = nw.maps.Affine(torch.eye(1, dtype=torch.float64)), 200
    y = torch.zeros(2, 1, dtype=torch.float64)
    posterior = nw.NoisePosterior(phi, root, nw.likelihoods.Gaussian(9.0), y)
    rows = noise.rows(3, 2, count)
    state = initial(posterior, rows, count, needs_gradient=True)
    first = rows.at(0).normal((1,), noise.INIT, torch.float64)
    fine = root(first).isfinite()
    assert 0.15 < 1 - float(fine.double().mean()) < 0.35
    assert torch.equal(state.z[fine], first[fine])
    again = state.z[~fine]
    assert len(again.unique()) == len(again)
    assert root(state.z).isfinite().all()


def test_the_loop_gives_up_when_every_chain_has_diverged_many_times_in_a_row():
    sink, alive = Recorder(), 7
    last = rf"last {PATIENCE} transitions, up to number {alive + PATIENCE} \(all 4 rows\)"
    with pytest.raises(DivergedError, match=rf"{last}.*smaller step"):
        drive(Broken([True] * 4, begins=2 + alive), FOREVER, sink)
    assert len(sink.draws) == alive + PATIENCE - 1
    assert torch.isfinite(sink.draws[-1][0].z).all()


def test_one_living_chain_keeps_the_run_going():
    sink = Recorder()
    drive(Broken([True, True, False, True], begins=2), FOREVER, sink)
    assert len(sink.draws) == FOREVER.num_draws
    assert sink.draws[-1][1].diverging.tolist() == [True, True, False, True]


def test_patience_is_not_renewed_by_a_resume():
    first, begins = Recorder(), 2 + 5
    ticks = FOREVER.run(Broken([True] * 4, begins), first)
    for _ in range(5 + 60):
        next(ticks)
    second = Recorder(first.draws[-1][2])
    with pytest.raises(DivergedError, match=f"up to number {5 + PATIENCE} "):
        drive(Broken([True] * 4), FOREVER, second)


def test_gradients_that_are_lost_on_the_way_are_told():
    class Detaching(torch.nn.Module):
        def forward(self, z):
            return z.detach() + 0.0 * z

    phi, y = nw.maps.Generator(Detaching(), (3,), (3,)), torch.zeros(1, 3)
    parts = phi, torch.nn.Identity(), nw.likelihoods.Gaussian(0.5), y
    with pytest.raises(ConfigError, match=r"the gradient is 0 .* differentiable=False"):
        nw.sample(nw.NoisePosterior(*parts), num_draws=2, progress=False)
    free = nw.NoisePosterior(*parts, differentiable=False)
    assert nw.sample(free, num_draws=2, num_chains=2, progress=False).complete
