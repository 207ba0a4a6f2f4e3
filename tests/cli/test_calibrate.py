"""The calibrate command on a small problem, and the page it writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from noisewalk.cli.main import main


def run(*args: object) -> subprocess.CompletedProcess[str]:
    code = "from noisewalk.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=200
    )


def test_it_writes_a_page_with_its_plot_and_refuses_a_used_folder(tmp_path: Path) -> None:
    common = [
        "calibrate",
        "--prior",
        "fashion32",
        "--operator",
        "avgpool:factor=8",
        "--sigma-y",
        "0.2",
        "--num-problems",
        "20",
        "--num-draws",
        "2",
    ]
    done = run(*common, "--kernel", "mala", "--step-size", "1e-3", "--out", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "c" / "calibration.json").read_text())
    assert len(numbers["ranks"]) == 20
    assert numbers["test"] == "exactness"
    page = (tmp_path / "c" / "calibration.html").read_text()
    assert "data:image/png;base64," in page
    assert "avgpool:factor=8" in page
    again = run(*common, "--out", tmp_path / "c")
    assert again.returncode == 2
    assert len(again.stderr.strip().splitlines()) == 1


def test_an_unadjusted_kernel_is_no_candidate_for_exactness(tmp_path: Path) -> None:
    problem = ["--prior", "fashion32", "--operator", "avgpool:factor=8", "--sigma-y", "0.2"]
    failed = run(
        "calibrate", *problem, "--kernel", "em", "--step-size", "1e-5", "--out", tmp_path / "c"
    )
    assert failed.returncode == 2
    assert "unadjusted" in failed.stderr


@pytest.mark.parametrize(
    "words",
    [
        *(
            "--step-size 0.1",
            "--num-leapfrog 4",
            "--kernel mala --num-leapfrog 4",
            "--num-carried 30",
            "--num-warmup 9",
            "--kernel hmc --warm-start 9",
        ),
        "--kernel mala --spectral",
        *(
            f"--test converged --kernel smc {option}"
            for option in ("--thin 2", "--num-warmup 9", "--step-size 0.1")
        ),
    ],
)
def test_an_option_that_nothing_reads_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    problem = [
        "--prior",
        "fashion32",
        "--operator",
        "avgpool:factor=8",
        "--sigma-y",
        "0.2",
        "--out",
        str(tmp_path / "c"),
    ]
    monkeypatch.setattr(sys, "argv", ["noisewalk", "calibrate", *problem, *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert (
        f"does not read {[word for word in words.split() if word.startswith('--')][-1]}"
        in capsys.readouterr().err
    )
