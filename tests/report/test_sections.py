"""The sections of a report: traces, particles and settings."""

import numpy as np
from page_reader import Page

from noisewalk.report import render


def test_traces_that_are_not_finite_are_survived(make):
    nll = make().nll
    nll[0, 5:9], nll[1] = np.nan, np.inf
    page = Page(render(make(nll=nll, acceptance_rate=np.full_like(nll, np.nan))))
    assert "4 draws without a finite misfit" in page.text
    assert "40 draws without a finite misfit" in page.text
    assert "Acceptance: no finite value" in page.text


def test_particles_are_one_section_without_traces(make):
    page = Page(render(make(chains=9, draws=1, shown=1, summary={"log_evidence": -3.0})))
    assert "Particle 9" in page.text
    assert "Chain 1" not in page.text
    assert "no trace" in page.text


def test_chains_of_one_draw_are_one_section_of_chains(make):
    page = Page(render(make(chains=9, draws=1, shown=1, summary={"log_evidence": None})))
    assert "Chain 9" in page.text
    assert "Particle" not in page.text
    assert "draw 1" not in page.text


def test_the_command_is_shown_and_the_settings_are_tables(make):
    page = Page(render(make()))
    assert "noisewalk sample boot.png --seed 0" in page.text
    assert "HMC(step_size=0.5)" in page.text
    assert page.text.count("command") == 0
