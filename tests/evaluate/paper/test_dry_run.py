"""paper_dry_run.py and paper_cost.py of benchmarks/: a command for every table and figure."""

import subprocess
import sys
from pathlib import Path

import pytest

from noisewalk.cli.bench import WHAT

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import paper_cost
    import paper_dry_run

    return paper_dry_run, paper_cost


def test_every_table_and_figure_is_made_by_the_networks_that_the_paper_has_it_of(scripts):
    dry, _ = scripts
    assert {what for wanted in dry.WANTED.values() for what in wanted} == set(WHAT)
    assert {k for numbers in dry.APPENDIX.values() for k in numbers} | {3} == set(range(1, 15))
    assert "figureA03.png" in dry.files_of("figuresA", "imagenet64")
    assert dry.files_of("figure1", "bedroom256") == ["figure1.png", "figure1-draws.png"]


def test_the_calls_of_the_full_tables_are_those_of_the_papers_settings(scripts):
    """Table A.4: K Adam steps of ours in one and in two calls, twice, for 100 images."""
    _, cost = scripts
    images, samples, plain, graded = cost.calls("tableA4", "bedroom256")
    assert (images, samples, plain) == (100, 10, 0)
    assert graded == 100 * 2 * ((1 + 800 + 10) + 2 * (1 + 500 + 10))
    assert cost.calls("figure4", "imagenet64")[2] == 3 * 4  # CMEdit's four calls of three images
    assert set(cost.STUDENTS) == set(cost.ROWS) == set(cost.LAYOUTS)


@pytest.mark.slow  # minutes of network calls
@pytest.mark.parametrize(
    ("dataset", "what"), [("bedroom256", "tableA4"), ("imagenet64", "figure4")]
)
def test_a_command_of_the_paper_goes_through_on_random_weights(tmp_path, dataset, what):
    script = str(BENCHMARKS / "paper_dry_run.py")
    words = ["--out", str(tmp_path), "--narrow", "--datasets", dataset, "--only", what]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{dataset} {what}: done" in done.stdout
