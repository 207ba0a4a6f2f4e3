"""The runs of `nw.sample`: the posterior, the cost, and what is refused."""

import pytest
import torch
from affine_runs import KERNEL, settings, target

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.sampling.defaults import resolve
from noisewalk.sampling.execute import draw, execute
from noisewalk.storage.memory import MemoryStore
from noisewalk.storage.store import open_store


class KilledError(Exception):
    pass


@pytest.mark.parametrize("evaluations", [1, 3, 5, 8, 10, 12, 17, 20])
def test_a_killed_run_resumes_to_the_bitwise_same_draws(tmp_path, evaluations, monkeypatch):
    monkeypatch.setattr("noisewalk.sampling.chains.CHECKPOINT_SECONDS", -1.0)
    whole = nw.sample(target(), KERNEL, **settings())
    calls, evaluate = 0, nw.NoisePosterior.__call__

    def dying(self, z):
        nonlocal calls
        calls += 1
        if calls > evaluations:
            raise KilledError
        return evaluate(self, z)

    with monkeypatch.context() as patch:
        patch.setattr(nw.NoisePosterior, "__call__", dying)
        with pytest.raises(KilledError):
            nw.sample(target(), KERNEL, **settings(), store=tmp_path / "run")
    resumed = nw.sample(target(), KERNEL, **settings(), store=tmp_path / "run")
    assert torch.equal(resumed.draws[...], whole.draws)
    assert torch.equal(resumed.nll[...], whole.nll)


@pytest.mark.parametrize("left", [9, 31])
def test_a_run_killed_again_and_again_ends_with_the_draws_and_early_states_of_one_in_memory(
    tmp_path, monkeypatch, left
):
    monkeypatch.setattr("noisewalk.sampling.chains.CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr("noisewalk.sampling.chains.SHARE", 0)
    calls = 0

    class Dying(nw.NoisePosterior):
        def __call__(self, z):
            self.die()
            return super().__call__(z)

        def evaluate(self, z, image, gradient=True):
            self.die()
            return super().evaluate(z, image, gradient)

        def die(self):
            nonlocal calls
            calls += 1
            if calls > left:
                raise KilledError

    given, unknown = target(), nw.likelihoods.UnknownGaussian()
    starts = nw.RandomizedStarts(12, num_candidates=5)
    given = nw.NoisePosterior(given.phi, given.operator, unknown, given.y)
    plan = resolve(given, nw.HMC(0.1, 2), 2, 3, 3, 3, starts, refresh=nw.Refresh(at=(0.0,)))
    memory, deaths, finished = MemoryStore(2, 3), 0, False
    execute(plan, given, memory, progress=False)
    while not finished:
        calls = 0
        dying = Dying(given.phi, given.operator, unknown, given.y)
        try:
            draw(plan, dying, tmp_path / "run", progress=False)
            finished = True
        except KilledError:
            deaths += 1
    assert deaths >= 30 // left
    stored = open_store(tmp_path / "run")
    for name in ("x", "z", "nll"):
        assert torch.equal(stored.arrays[name][...], memory.arrays[name])
    assert memory.fixed.keys() == {"early_x", "early_lp"}
    for name, array in memory.fixed.items():
        assert torch.equal(stored.arrays[name][...], array)


def test_five_draws_and_five_more_are_ten(tmp_path):
    nw.sample(target(), KERNEL, **settings(num_draws=5), store=tmp_path / "run")
    more = nw.sample(target(), KERNEL, **settings(num_draws=10), store=tmp_path / "run")
    assert torch.equal(more.draws[...], nw.sample(target(), KERNEL, **settings(num_draws=10)).draws)


def test_every_network_call_is_counted():
    run = nw.sample(target(), KERNEL, **settings())
    assert run.nfe == 6 * (1 + 4 + 5 + 6 * 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_draws", 0), ("num_chains", 0), ("thin", 0), ("num_warmup", -1), ("num_warmup", 0)],
)
def test_counts_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError):
        nw.sample(target(), KERNEL, **settings(**{name: value}))


def test_the_posterior_is_the_closed_form_one():
    problem = target()
    matrix = problem.phi.matrix
    precision = torch.eye(6, dtype=torch.float64) + matrix.T @ matrix / 0.09
    mean = torch.linalg.solve(precision, matrix.T @ problem.y.T / 0.09).T
    run = nw.sample(
        problem,
        nw.Langevin(0.03, "em", adjust=True),
        num_draws=50,
        num_chains=400,
        num_warmup=300,
        thin=4,
        progress=False,
    )
    z = run.z.flatten(1, 2)
    error = run.z.mean(2).std(1) / 400**0.5  # chains are independent
    assert (((z.mean(1) - mean) / error).abs() < 5).all()


def test_without_gradients_nothing_is_spent_on_a_warm_start():
    problem = target()
    problem.differentiable = False
    run = nw.sample(problem, num_draws=3, num_chains=2, num_warmup=0, progress=False)
    assert run.spec["plan"]["warm_start"] is None
    with pytest.raises(ConfigError, match="not differentiable: set warm_start=None"):
        nw.sample(problem, num_draws=3, warm_start=nw.Adam(5))


def test_a_kernel_without_a_step_size_is_not_adapted():
    with pytest.raises(ConfigError, match="no step size to adapt"):
        nw.sample(target(), nw.EllipticalSlice(), **settings())
