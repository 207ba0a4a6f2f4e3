"""What a run shows of itself."""

import math

import pytest
import torch
from verdict_runs import run

KEYS = ["verdict", "verdict_reason", "drift", "drift_p", "memory", "memory_p", "mcse_mean"]


def test_the_summary_has_the_names_of_the_interface():
    summary = run().summary()
    assert list(summary)[:2] == KEYS[:2]
    assert set(KEYS) <= set(summary)
    assert summary["mcse_mean"] == pytest.approx(0.25)  # one draw a chain, sixteen chains
    assert abs(summary["memory"]) < 0.1 < summary["memory_p"]
    assert summary["drift"] < 0.3
    assert summary["drift_p"] > 0.01


def test_the_memory_of_smc_keeps_its_meaning():
    kept = {"log_evidence": torch.zeros(1), "memory": torch.tensor([0.4])}
    summary = run(**kept).summary()
    assert summary["memory"] == pytest.approx(0.4)
    assert math.isnan(summary["memory_p"])
    assert math.isnan(summary["mcse_mean"])


def test_the_worst_of_several_images_is_told():
    given = run(images=2, rho=0.0)
    given.early_x[1] = given.draws[1, :, 0]
    assert given.summary()["memory"] == pytest.approx(1.0)


def test_a_fit_is_that_of_the_worst_image_and_its_level_holds_for_all():
    given = run(images=4)
    given.arrays["chi2"][2] = 1.2
    one = run(chi2=1.2).summary(), given.summary()
    assert all("1.20" in summary["verdict_reason"] for summary in one)
    given.arrays["chi2"][2] = 1.155  # p = 0.0008 by itself, of four images 0.003
    assert given.summary()["verdict"] == "trust"


def test_long_chains_are_compared_by_their_halves():
    given = run(8, 40)
    given.arrays["x"][:, :, 20:] += 0.5
    summary = given.summary()
    assert summary["drift"] == pytest.approx(0.5, abs=0.15)
    assert summary["drift_p"] <= 0.01


def test_without_an_early_state_or_a_second_chain_nothing_is_known():
    for given in (run(early=False), run(chains=1)):
        summary = given.summary()
        assert all(math.isnan(summary[key]) for key in ("drift", "drift_p", "memory", "memory_p"))
