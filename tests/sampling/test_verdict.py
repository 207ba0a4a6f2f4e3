"""The verdict on runs of all kinds, and the words of its reason."""

import dataclasses

import pytest
import torch
from affine_runs import target
from verdict_runs import CALIBRATED, PROBLEM, run

import noisewalk as nw
from noisewalk.sampling import verdict as rules
from noisewalk.sampling.verdict import CHECK, DOUBT, TRUST

IN_PYTHON = {"network": {"network": "UNet#1"}, "operator": {"name": "AveragePool", "factor": 4}}
"""What a run of `nw.sample` knows of its prior and its operator."""


def told(given):
    summary = given.summary()
    return summary["verdict"], summary["verdict_reason"]


@pytest.fixture
def listed(monkeypatch):
    """A card that lists the problem."""
    from noisewalk.priors.calibrated import listed

    def is_listed(prior, *problem):
        card = {"calibrated": [CALIBRATED], "shape": [1, 16, 16]}
        return listed(card if prior == "toy" else {}, *problem)

    monkeypatch.setattr(rules, "is_calibrated", is_listed)
    monkeypatch.setattr(rules, "name_of", {"UNet#1": "toy"}.get)


@pytest.mark.parametrize("start", ["RandomizedStarts", "Adam", None])
def test_starts_that_are_forgotten_are_trusted_whatever_they_were(start):
    verdict, reason = told(run(start=start))
    assert verdict == TRUST
    assert "forgotten where they started" in reason


@pytest.mark.parametrize(
    ("changes", "verdict", "says"),
    [
        ({"rho": 0.4}, CHECK, "`noisewalk calibrate RUN`"),
        ({"rho": 0.4, "problem": PROBLEM}, TRUST, "toy is calibrated for avgpool:factor=4"),
        ({"rho": 0.4, "problem": PROBLEM, "sigma_y": 0.3}, CHECK, "calibrate RUN"),
        ({"rho": 0.4, "problem": PROBLEM | {"sigma_y": 0.1}, "sigma_y": 0.3}, CHECK, "calibrate"),
        ({"rho": 0.4, "problem": PROBLEM, "sigma_y": {"name": "Tensor"}}, CHECK, "calibrate RUN"),
        ({"rho": 0.4, "problem": PROBLEM, "shape": (1, 16, 32)}, CHECK, "calibrate RUN"),
        ({"rho": 0.4, "problem": PROBLEM, "midpoints": [0.5]}, CHECK, "calibrate RUN"),
        ({"rho": 0.4, "problem": PROBLEM, "steps": 20}, CHECK, "calibrate RUN"),
        ({"rho": 0.4, "problem": PROBLEM, "num_observed": 999}, CHECK, "calibrate RUN"),
        ({"rho": 0.4, **IN_PYTHON}, TRUST, "toy is calibrated for AveragePool at sigma_y 0.1"),
        ({"rho": 0.4, **IN_PYTHON, "network": {"network": "other"}}, CHECK, "calibrate RUN"),
        ({"rho": 0.4, **IN_PYTHON, "network": "own.Denoiser#1"}, CHECK, "calibrate RUN"),
        ({"rho": 0.4, **IN_PYTHON, "operator": {"name": "Own"}}, CHECK, "calibrate RUN"),
        ({"rho": 0.4, "problem": PROBLEM | {"prior": "other"}}, CHECK, "calibrate RUN"),
        ({"rho": 0.4, "problem": PROBLEM, "start": "Adam"}, DOUBT, "no posterior draws"),
        ({"rho": 0.4, "problem": PROBLEM, "start": None}, DOUBT, "no posterior draws"),
        ({"rho": 0.4, "calibrated": True}, TRUST, "calibration around this measurement has passed"),
        ({"rho": 0.4, "calibrated": True, "start": "Adam"}, DOUBT, "no posterior draws"),
        ({"rho": 0.7, "problem": PROBLEM}, CHECK, "hardly moved"),
        ({"rho": 0.7, "calibrated": True}, CHECK, "--thin"),
        ({"rho": 0.4, "shift": 0.5, "problem": PROBLEM}, DOUBT, "still drift"),
        ({"shift": 0.5}, DOUBT, "by about 0.5"),
        ({"chi2": 1.3}, DOUBT, "stuck, or the prior cannot produce this measurement"),
        ({"chi2": 0.7}, DOUBT, "sigma_y is too large"),
        ({"chi2": 1.3, "calibrated": True}, TRUST, "forgotten"),
        ({"chi2": 1.05}, TRUST, "forgotten"),
        ({"calibrated": False}, DOUBT, "calibration around this measurement has failed"),
        ({"chains": 4}, CHECK, "--chains 16"),
        ({"early": False}, CHECK, "--num-draws 100"),
        ({"complete": False}, CHECK, "--resume"),
        ({"exact": False}, CHECK, "unadjusted"),
        ({"exact": False, "rho": 0.15, "start": "Adam"}, CHECK, "unadjusted"),
        ({"chains": 1}, CHECK, "--chains 16"),
        ({"tried_again": torch.arange(16)[None] < 8}, TRUST, "forgotten"),
        ({"tried_again": torch.arange(16)[None] < 9}, CHECK, "leaves 7 independent ones. --chains"),
        ({"chains": 1, "early": False}, CHECK, "--chains 16"),
        ({"rho": 0.4, "steps": 0}, DOUBT, "no posterior draws"),
        ({"spec": {}}, CHECK, "nw.calibrate(run, target=...)"),
        ({"log_evidence": torch.zeros(1)}, CHECK, "another --seed"),
    ],
)
def test_each_run_has_its_verdict(listed, changes, verdict, says):
    found, reason = told(run(**changes))
    assert (found, says in reason) == (verdict, True), reason
    assert reason.endswith(".")
    assert reason.count(". ") <= 2


@pytest.mark.parametrize(
    ("start", "verdict"), [("RandomizedStarts", CHECK), ("Adam", DOUBT), (None, DOUBT)]
)
def test_a_pixel_that_keeps_the_mode_of_its_start_is_not_averaged_away(start, verdict):
    given = run(start=start)
    modes = torch.where(torch.arange(16) % 3 == 0, 5.0, -5.0)
    given.early_x[0, :, 0, 4, 5] += modes
    given.arrays["x"][0, :, 0, 0, 4, 5] += modes
    found, reason = told(given)
    assert given.summary()["memory_bound"] < rules.FORGOTTEN
    assert (found, "weigh them as the starts did" in reason) == (verdict, True), reason
    assert ("calibrate RUN" if verdict == CHECK else "--kernel smc") in reason.split(". ")[-1]
    calibrated = dataclasses.replace(given, calibrated=True)
    assert told(calibrated)[0] == (TRUST if start == "RandomizedStarts" else DOUBT)


def test_draws_that_do_not_vary_are_not_trusted():
    given = run()
    given.early_x[:], given.arrays["x"][:], given.arrays["z"][:] = 0.5, 0.5, 0.5
    given.early_lp[:] = given.lp[:, :, -1]
    assert told(given) == (
        CHECK,
        "The draws of all chains are the same, so there is nothing to compare.",
    )


def test_a_misfit_that_sigma_y_cannot_be_known_to_is_none():
    """Of very many entries even a chi-square of 1.02 is far from 1 by its law."""
    many = {"num_observed": 200_000}
    assert told(run(chi2=1.02, **many))[0] == TRUST
    assert told(run(chi2=0.98, **many))[0] == TRUST
    for chi2 in (0.96, 1.04):
        assert told(run(chi2=chi2, **many))[0] == DOUBT
    assert told(run(chi2=1.04, num_observed=1000))[0] == TRUST


def test_draws_without_their_noise_are_told_what_a_calibration_needs():
    given = run(spec={})
    x = {name: value for name, value in given.arrays.items() if name != "z"}
    assert '"z": their noise' in told(dataclasses.replace(given, arrays=x))[1]


def test_the_worst_image_decides():
    fine, drifting = run(images=3), run(images=3)
    drifting.arrays["x"][1] += 0.6
    assert (told(fine)[0], told(drifting)[0]) == (TRUST, DOUBT)


def test_a_bound_that_few_pixels_leave_wide_asks_for_more_chains():
    verdict, reason = told(run(start="Adam", shape=(1, 2, 2), seed=2))
    assert (verdict, "too few to tell" in reason) == (CHECK, True)
    wanted = int(reason.split("--chains ")[1].split()[0])
    assert 16 < wanted <= 128
    _, reason = told(run(start="Adam", shape=(1, 2, 2), seed=2, chains=128, rho=0.12))
    assert "--chains" not in reason


def test_exact_chains_are_hardly_ever_doubted():
    alarms = [told(run(shape=(1, 4, 4), seed=seed, start="Adam"))[0] for seed in range(100)]
    assert alarms.count(DOUBT) <= 4  # 1 % for the drift and 1 % for the memory, three errors
    assert alarms.count(TRUST) >= 10


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"accepted": False}, "1 of 16 chains never accepted"),
        ({"accepted": False, "diverging": True}, "proposals that were not finite"),
        ({"nll": 500.0}, "1 of 16 chains is stuck far from the others"),
        ({"x": float("nan")}, "Some draws are not finite"),
    ],
)
def test_a_chain_that_is_stuck_is_named(change, says):
    given = run()
    for name, value in change.items():
        given.arrays[name][0, 3] = value
    verdict, reason = told(given)
    assert (verdict, says in reason) == (DOUBT, True), reason


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({"adapt": {"name": "DualAveraging"}, "num_warmup": 80}, "--seed 1 --num-warmup 160"),
        ({"adapt": {"name": "DualAveraging"}, "num_warmup": 0}, "--seed 1 --num-warmup 100"),
        ({"adapt": {"name": "DualAveraging"}, "seed": 1}, "--seed 2 --num-warmup 100"),
        ({"adapt": None}, "Use a smaller step: --step-size 0.025"),
        (None, "Look at its chains one by one"),
    ],
)
def test_what_to_do_about_a_stuck_chain_can_be_done(plan, says):
    """A step that was adapted is not made smaller by hand."""
    given = run()
    given.arrays["nll"][0, 3] = 500.0
    spec = {} if plan is None else {**given.spec, "plan": {**given.spec["plan"], **plan}}
    _, reason = told(dataclasses.replace(given, spec=spec))
    assert says in reason
    assert ("smaller step" in reason) == (plan is not None and plan["adapt"] is None)


def test_long_chains_are_judged_by_what_they_are_worth():
    assert told(run(4, 40, early=False, start="Adam"))[0] == TRUST
    slow = run(4, 40, early=False, start="Adam")
    walk = slow.arrays["x"].cumsum(2)
    verdict, reason = told(dataclasses.replace(slow, arrays={**slow.arrays, "x": walk}))
    assert verdict == DOUBT
    assert "have not mixed" in reason
    assert "--num-draws" in reason
    stuck = slow.arrays["x"][:, :, :1].expand(-1, -1, 40, -1, -1, -1).clone()
    verdict, reason = told(dataclasses.replace(slow, arrays={**slow.arrays, "x": stuck}))
    assert (verdict, "each in its own place" in reason) == (DOUBT, True)
    assert "--chains 4" in told(run(1, 40, early=False))[1]


def test_one_slow_pixel_among_good_ones_is_checked():
    given = run(4, 100, early=False)
    given.arrays["x"][0, :, :, 0, 0, 0] += 5 * torch.arange(4.0)[:, None]
    verdict, reason = told(given)
    assert (verdict, "Some pixels mix slowly" in reason) == (CHECK, True)


def test_draws_of_nobody_are_checked_at_most():
    draws = torch.randn(1, 4, 50, 3, generator=torch.Generator().manual_seed(0))
    assert told(nw.Run({"x": draws}, nfe=1, seconds=1.0))[0] == CHECK
    assert told(nw.Run({"x": draws[:, :, :0]}, nfe=1, seconds=1.0)) == (
        CHECK,
        "There are no draws yet.",
    )


def test_a_run_of_sample_has_a_verdict():
    given = nw.sample(target(), num_draws=40, num_chains=4, progress=False, seed=1)
    summary = given.summary()
    assert summary["verdict"] == TRUST, summary["verdict_reason"]
    short = nw.sample(target(), num_draws=2, num_chains=4, progress=False)
    assert short.summary()["verdict"] == CHECK


def test_the_advice_is_enough_transitions():
    _, reason = told(run(rho=0.4, start="Adam"))
    wanted = int(reason.split("--thin ")[1].split()[0])
    assert 0.4 ** (wanted / 32) <= 0.11  # below what counts as forgotten
