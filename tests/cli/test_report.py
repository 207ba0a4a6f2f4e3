"""`noisewalk report`: the page of a run, made again."""

import json
from pathlib import Path

import torch

import noisewalk as nw


def test_a_report_is_made_again_with_another_title_and_unit(noisewalk, tmp_path):
    shape = (1, 8, 8)
    target = nw.NoisePosterior(
        nw.maps.Warp(shape), lambda x: x, nw.likelihoods.Gaussian(0.5), torch.zeros(1, *shape)
    )
    nw.sample(
        target, nw.Langevin(0.01), 4, 2, warm_start=None, store=tmp_path / "run", progress=False
    )
    code, out, err = noisewalk("report", "run", "--title", "A box", "--range", 0, 5)
    assert (code, err) == (0, "")
    verdict, page = out.splitlines()
    summary = json.loads(Path("run/summary.json").read_text())
    assert verdict == f"{summary['verdict']}: {summary['verdict_reason']}"
    assert "report.html" in page
    assert "A box" in Path("run/report.html").read_text()
    assert json.loads(Path("run/summary.json").read_text())["num_draws"] == 4


def test_what_is_no_run_is_one_line(refused):
    assert "nowhere" in refused("report", "nowhere")
    assert "--range" in refused("report", "nowhere", "--range", "1")
