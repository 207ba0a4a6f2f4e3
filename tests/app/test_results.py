"""What can be downloaded of a run."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import store_tiny_run

from noisewalk.app.job import Job
from noisewalk.app.results import results_of


@pytest.fixture
def job(tmp_path, preview):
    folder = tmp_path / "work"
    folder.mkdir()
    return Job(folder, ["sample", "y.npy", "--out", "run"], preview)


def test_a_run_is_given_as_a_zip_with_its_report_and_its_results(job):
    run = store_tiny_run(job.run)
    archive, report, *results = results_of(job)
    assert Path(report).name == "report.html"
    assert [Path(path).name for path in results] == ["mean.npy", "std.npy", "quantiles.npy"]
    assert np.allclose(np.load(results[0]), run.mean.numpy())
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        command = opened.read("command.txt").decode()
    assert {"run/report.html", "run/spec.json", "results/std.npy"} <= set(names)
    assert command == "noisewalk sample y.npy --out run\n"


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("a.png", "mean.png mean.npy std.npy quantiles.npy"),
        ("a.tif", "mean.tif std.tif quantiles.tif"),
        ("a.fits[SCI]", "mean.fits std.fits quantiles.fits"),
        ("a.fits.gz", "mean.fits std.fits quantiles.fits"),
        ("a.jpg", "mean.png mean.npy std.npy quantiles.npy"),
    ],
)
def test_results_have_the_format_of_the_file(job, file, names):
    store_tiny_run(job.run)
    job.words[1] = file
    assert [Path(path).name for path in results_of(job)[2:]] == names.split()


def test_a_run_without_a_draw_has_none(job):
    assert results_of(job) == []
