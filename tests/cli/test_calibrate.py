"""The calibrate command on a small problem, and the page it writes."""

import json
from pathlib import Path

PROBLEM = ["calibrate", "--prior", "fashion32", "--operator", "avgpool:factor=16"]
LEVEL = ["--sigma-y", "0.2"]
SMALL = ["--num-problems", "20", "--num-draws", "2"]
MALA = ["--kernel", "mala", "--step-size", "1e-3"]


def test_it_writes_a_page_with_its_plot_and_refuses_a_used_folder(noisewalk, refused):
    code, out, err = noisewalk(*PROBLEM, *LEVEL, *SMALL, *MALA, "--out", "c")
    assert code == 0, err
    numbers = json.loads(Path("c/calibration.json").read_text())
    assert len(numbers["ranks"]) == 20
    assert numbers["test"] == "exactness"
    page = Path("c/calibration.html").read_text()
    assert "data:image/png;base64," in page
    assert "avgpool:factor=16" in page
    assert "open c/calibration.html" in out
    assert "not an empty folder" in refused(*PROBLEM, *LEVEL, "--out", "c")


def test_it_takes_a_likelihood_that_it_can_simulate(noisewalk, refused):
    common = [*PROBLEM, *SMALL, *MALA]
    code, _, err = noisewalk(*common, "--likelihood", "poisson:peak=30", "--out", "calibration")
    assert (code, err) == (0, "")
    assert "Poisson(peak=30.0)" in Path("calibration/calibration.html").read_text()
    for words, says in (
        ([], "--sigma-y"),
        (["--likelihood", "unknown"], "concentration of at least 1"),
        (["--likelihood", "poisson"], "peak"),
    ):
        assert says in refused(*common, *words, "--out", "other")


def test_an_unadjusted_kernel_is_no_candidate_for_exactness(refused):
    unadjusted = ["--kernel", "em", "--step-size", "1e-5"]
    assert "unadjusted" in refused(*PROBLEM, *LEVEL, *unadjusted, "--out", "c")


def test_an_option_that_nothing_reads_is_refused(refused):
    for words in (
        "--step-size 0.1",
        "--num-leapfrog 4",
        "--kernel mala --num-leapfrog 4",
        "--kernel slice --step-size 0.1",
        "--num-carried 30",
        "--num-warmup 9",
        "--kernel hmc --warm-start 9",
        "--kernel hmc --warm-start 0",
        "--kernel mala --spectral",
        "--test converged --kernel smc --thin 2",
        "--test converged --kernel smc --num-warmup 9",
        "--test converged --kernel smc --step-size 0.1",
    ):
        option = [word for word in words.split() if word.startswith("--")][-1]
        says = refused(*PROBLEM, *LEVEL, "--out", "c", *words.split())
        assert f"does not read {option}" in says


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(refused):
    Path("file").write_text("in the way")
    says = refused(*PROBLEM, *LEVEL, "--out", "file/below")
    assert "cannot make the folder" in says
