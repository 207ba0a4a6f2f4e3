"""The model of a stored run, from its facts."""

import pytest
import torch

import noisewalk as nw
from noisewalk.report.checks import checks
from noisewalk.report.read import read_report_data


@pytest.mark.parametrize(
    ("likelihood", "band"),
    [
        (nw.likelihoods.Gaussian(0.1), "95"),
        (nw.likelihoods.Laplace(0.1), "not known here"),
        (nw.likelihoods.StudentT(3.0, 0.1), "not known here"),
    ],
    ids=["gaussian", "laplace", "studentt"],
)
def test_a_run_from_python_is_judged_by_its_own_likelihood(
    target, sampled, likelihood: nw.types.Likelihood, band: str
) -> None:
    first = nw.NoisePosterior(
        target.phi, lambda x: x.flatten(1)[:, :5], likelihood, torch.zeros(1, 5)
    )
    entry = read_report_data(sampled(first))[0][0]
    found = {check.key: check for check in checks(entry)}
    assert band in found["chi2"].text
    assert ("chi2_p_value" not in found) == (band != "95")
    assert entry.measurement_unit == ""  # an operator of one's own: y is on a scale of its own


def test_counts_and_kernels_without_a_step_are_known_from_facts(target, sampled) -> None:
    counts = nw.NoisePosterior(
        target.phi, torch.nn.Identity(), nw.likelihoods.Poisson(20.0), torch.full((1, 1, 6, 6), 9.0)
    )
    (entry,), _ = read_report_data(sampled(counts, nw.EllipticalSlice()))
    assert (entry.has_step, entry.chi2_is_exact, entry.measurement_unit) == (False, False, "counts")
