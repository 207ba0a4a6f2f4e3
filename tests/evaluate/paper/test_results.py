"""Law: docs/results.md says what the stored tables hold, and its verdicts on the paper's claims are
theirs."""

import importlib.util
import json
from pathlib import Path

import pytest

from noisewalk.evaluate.metrics import mean_and_se
from noisewalk.evaluate.paper.table_text import markdown
from noisewalk.evaluate.paper.tables import TABLES

ROOT = Path(__file__).parents[3]
STORED = sorted((ROOT / "docs" / "results").glob("table*.json"))
spec = importlib.util.spec_from_file_location("claims", ROOT / "benchmarks" / "claims.py")
claims = importlib.util.module_from_spec(spec)
spec.loader.exec_module(claims)


def rows_of(name):
    return json.loads((ROOT / "docs" / "results" / f"{name}-fashion32.json").read_text())["rows"]


def gap(rows, ours, baseline, key):
    """Mean difference over images and its standard error."""
    return mean_and_se(claims.differences(rows[ours], rows[baseline], key))


@pytest.mark.parametrize("path", STORED, ids=[path.stem for path in STORED])
def test_every_row_of_a_stored_table_is_in_the_document(path):
    text = (ROOT / "docs" / "results.md").read_text().splitlines()
    rows = [
        line
        for line in markdown(
            json.loads(path.read_text()), TABLES[path.stem.split("-")[0]]
        ).splitlines()
        if line.startswith("| ")
    ]
    assert len(rows) > 4
    assert [row for row in rows if row not in text] == []


@pytest.mark.parametrize("task", ["sr", "blur", "inpaint"])
def test_one_step_of_the_papers_kernel_is_above_every_cm_baseline(task):
    rows = rows_of("table1")[task]
    for baseline in ("dps-cm", "mpgd-cm", "lgd-cm", "cmedit"):
        if rows[baseline].get("missing"):
            continue
        for key, sign in (("psnr", 1), ("lpips", -1)):
            mean, error = gap(rows, "ours1-em", baseline, key)
            assert sign * mean > 2 * error
    assert rows["ours1-em"]["fd"][0] > max(
        rows[name]["fd"][0] for name in ("dps-cm", "lgd-cm")
    )  # the claim that does not hold


@pytest.mark.parametrize("task", ["sr", "blur", "inpaint", "nonlinear", "phase", "hdr"])
def test_samples_of_the_papers_kernel_are_more_diverse_by_its_score_alone(task):
    rows = rows_of("table3")[task]
    for ours in ("ours1-em", "ours2-em"):
        for baseline in ("dps-dm", "lgd-dm"):
            mean, error = gap(rows, ours, baseline, "diversity_score")
            assert mean > 2 * error
            for key, sign in (
                ("pixel_std", -1),
                ("pairwise_lpips", -1),
                ("vendi", -1),
                ("similarity", 1),
            ):
                mean, error = gap(rows, ours, baseline, key)
                assert sign * mean > 2 * error
