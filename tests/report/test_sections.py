"""The sections of a report: what the pictures mean, traces, files and settings."""

import numpy as np
from page_reader import Page

from noisewalk.report import render


def test_traces_that_are_not_finite_are_survived(make):
    nll = make().nll
    nll[0, 5:9], nll[1] = np.nan, np.inf
    page = Page(render(make(nll=nll, acceptance_rate=np.full_like(nll, np.nan))))
    assert "Acceptance: no finite value" in page.text


def test_draws_without_a_chain_have_no_traces(make):
    page = Page(render(make(chains=9, draws=1, shown=1, summary={"log_evidence": -3.0})))
    assert "Draw 3" in page.text
    assert "Misfit" not in page.text
    assert "R-hat" not in page.text.replace("R-hat\u2013", "")


def test_the_traces_of_many_chains_are_those_of_eight(make):
    html = render(make(chains=30))
    assert "of 30 chains" in html
    assert html.count('<path class="line') == 2 * 8  # misfit and acceptance


def test_the_command_is_shown_and_the_settings_are_tables(make):
    facts = [("command", "noisewalk sample boot.png"), ("unset", None), ("kernel", "HMC(0.5)")]
    page = Page(render(make(settings=[("Run", facts)])))
    assert "noisewalk sample boot.png" in page.text
    assert "HMC(0.5)" in page.text
    assert page.text.count("command") == 0
    assert "unset" not in page.text


def test_the_share_of_pixels_whose_interval_holds_the_truth_is_told(make):
    ends = np.stack([np.full((1, 8, 8), v) for v in (-0.5, 0.0, 0.5)])
    truth = np.where(np.arange(64).reshape(1, 8, 8) < 16, 0.9, 0.0)
    page = Page(render(make(truth=truth, quantiles=ends, chains=12, draws=1, shown=1)))
    assert "holds the truth in 75\u00a0% of the pixels" in page.text
    assert "With 12 right draws it is 76\u00a0%" in page.text
    assert "holds the truth" not in Page(render(make(truth=None, quantiles=ends))).text


def test_files_are_links_beside_the_page(make):
    page = Page(render(make(files=["mean.npy", "a run/std.npy"])))
    links = [a["href"] for a in page.all("a")]
    assert links == ["mean.npy", "a%20run/std.npy"]
    assert "std.npy" in page.text


def test_what_the_mean_predicts_stands_beside_the_measurement(make):
    zero = np.zeros((1, 8, 8))
    page = Page(render(make(predicted=zero, residual=zero, how="x is blurred")))
    text = page.text
    assert text.index("Predicted") < text.index("Residual")
    assert "Blurred, with noise." in text
    assert "Predicted" not in Page(render(make())).text


def test_north_is_an_arrow_over_the_pictures(make):
    from noisewalk.report.place import Place

    page = render(make(place=Place(north=30.0)))
    assert "North is 30° clockwise from upwards" in page
    assert "North is" not in render(make())
