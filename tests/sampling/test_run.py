import dataclasses
import math

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError, DivergedError, StoreError


def target(y=None):
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    y = (
        torch.tensor([[0.3, -0.2, 0.5, 0.1], [1.0, 0.2, -0.4, 0.0]], dtype=torch.float64)
        if y is None
        else y
    )
    return nw.NoisePosterior(
        nw.maps.Affine(matrix), torch.nn.Identity(), nw.likelihoods.Gaussian(0.3), y
    )


def settings(**change):
    return {
        "num_draws": 6,
        "num_chains": 3,
        "num_warmup": 5,
        "thin": 2,
        "warm_start": nw.Adam(4),
        "adapt": nw.DualAveraging(),
        "progress": False,
        **change,
    }


KERNEL = nw.Langevin(0.01, "em", adjust=True)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("evaluations", [1, 3, 5, 8, 10, 12, 17, 20])
def test_a_killed_run_resumes_to_the_bitwise_same_draws(tmp_path, evaluations, monkeypatch):
    monkeypatch.setattr("noisewalk.sampling.chains.CHECKPOINT_SECONDS", -1.0)
    whole = nw.sample(target(), KERNEL, **settings())
    victim, calls = target(), 0
    evaluate = victim._evaluate

    def dying(*args, **options):
        nonlocal calls
        calls += 1
        if calls > evaluations:
            raise KilledError
        return evaluate(*args, **options)

    monkeypatch.setattr(victim, "_evaluate", dying)
    with pytest.raises(KilledError):
        nw.sample(victim, KERNEL, **settings(), store=tmp_path / "run")
    resumed = nw.sample(target(), KERNEL, **settings(), store=tmp_path / "run")
    assert torch.equal(resumed.draws[...], whole.draws)
    assert torch.equal(resumed.nll[...], whole.nll)


def test_five_draws_and_five_more_are_ten(tmp_path):
    nw.sample(target(), KERNEL, **settings(num_draws=5), store=tmp_path / "run")
    more = nw.sample(target(), KERNEL, **settings(num_draws=10), store=tmp_path / "run")
    assert torch.equal(more.draws[...], nw.sample(target(), KERNEL, **settings(num_draws=10)).draws)


def test_another_specification_is_refused(tmp_path):
    nw.sample(target(), KERNEL, **settings(), store=tmp_path / "run")
    with pytest.raises(StoreError, match="seed"):
        nw.sample(target(), KERNEL, **settings(), seed=1, store=tmp_path / "run")


GAIN = 1.0


class Scale(torch.nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return self.gain * x


def scaled_by_a_global(x):
    return scale(x)


def scale(x):
    return GAIN * x


@pytest.mark.parametrize(
    ("before", "after"),
    [(Scale(1.0), Scale(1.5)), (scaled_by_a_global, None)],
    ids=["attribute of a module", "global of a function"],
)
def test_a_stored_run_of_a_model_that_was_changed_is_refused(tmp_path, monkeypatch, before, after):
    def made(operator):
        kept = target()
        return nw.NoisePosterior(kept.phi, operator, kept.likelihood, kept.y)

    nw.sample(made(before), KERNEL, **settings(), store=tmp_path / "run")
    same = nw.sample(made(before), KERNEL, **settings(), store=tmp_path / "run")
    assert same.complete
    monkeypatch.setattr(f"{__name__}.GAIN", 1.5)
    with pytest.raises(StoreError, match="operator or likelihood has changed"):
        nw.sample(made(after or before), KERNEL, **settings(), store=tmp_path / "run")


def test_draws_of_another_sampler_are_a_run():
    draws = torch.randn(1, 2, 8, 3, generator=torch.Generator().manual_seed(0))
    run = nw.Run({"x": draws}, nfe=100, seconds=1.0)
    summary = run.summary()
    assert summary["r_hat_max"] > 0.5
    assert math.isnan(summary["chi2"])
    assert math.isnan(summary["acceptance_rate"])
    tree = run.to_arviz()
    assert tree["posterior"]["x"].shape == (2, 8, 1, 3)
    assert "sample_stats" not in tree


def test_a_run_prints_as_one_line():
    run = nw.sample(target(), KERNEL, **settings())
    assert repr(run) == f"Run(2 images, 3 chains, 6 draws of shape (4,), {run.nfe:,} network calls)"


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


def test_a_plain_float64_operator_is_probed_in_its_dtype():
    matrix = torch.eye(4, dtype=torch.float64)
    y = torch.zeros(1, 4, dtype=torch.float64)
    made = nw.NoisePosterior(
        nw.maps.Affine(matrix), lambda x: x @ matrix, nw.likelihoods.Gaussian(0.3), y
    )
    assert made(torch.zeros(2, 4, dtype=torch.float64)).nll.shape == (2,)


def test_a_nan_in_one_image_is_not_hidden_by_the_others():
    run = nw.sample(target(), KERNEL, **settings(num_draws=8))
    assert run.summary()["r_hat_max"] > 0
    for image in (0, 1):
        spoiled = run.draws.clone()
        spoiled[image] = torch.nan
        summary = dataclasses.replace(run, arrays={**run.arrays, "x": spoiled}).summary()
        assert all(
            math.isnan(summary[key])
            for key in (
                "r_hat_max",
                "r_hat_median",
                "ess_bulk_min",
                "ess_bulk_median",
                "ess_tail_min",
                "jump",
            )
        )


def test_the_draws_before_a_divergence_are_kept(monkeypatch):
    victim, calls = target(), 0
    evaluate = victim._evaluate

    def dying(*args):
        nonlocal calls
        calls += 1
        parts = evaluate(*args)
        return parts if calls <= 8 else parts._replace(nll=parts.nll * torch.nan)

    monkeypatch.setattr(victim, "_evaluate", dying)
    with pytest.raises(DivergedError, match="this error's `run`") as raised:
        nw.sample(
            victim,
            KERNEL,
            **settings(num_draws=500, num_warmup=0, thin=1, warm_start=None, adapt=None),
        )
    assert raised.value.run.draws.shape[2] >= 7
    assert not raised.value.run.complete


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
