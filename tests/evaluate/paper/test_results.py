"""Law: docs/results.md says what the stored tables hold, and its verdicts on the paper's claims are
theirs."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from noisewalk.evaluate.metrics import mean_and_se
from noisewalk.evaluate.paper.methods import METHODS
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


DIGITS = (0, 1, 2, 3)
ELSEWHERE = {"0.4": "the share of the paper's steps in presets.py", "12.5": "747 s / 60 s"}
"""Decimals of the page that are neither in a table nor in a difference of two of its rows."""


@pytest.fixture(scope="module")
def pairs():
    """Every (mean, error) that a table holds or claims.py prints, as texts of some digits."""
    held = []
    for path in STORED:
        for rows in json.loads(path.read_text())["rows"].values():
            known = {name: row for name, row in rows.items() if not row.get("missing")}
            held += [v for row in known.values() for v in row.values() if is_pair(v)]
            for ours in (name for name in known if name.startswith("ours")):
                for other in known:
                    gaps = (claims.differences(known[ours], known[other], k) for k in claims.KEYS)
                    held += [mean_and_se(gap) for gap in gaps if len(gap) > 1]
    return {texts for mean, error in held for texts in written(mean, error)}


def is_pair(value):
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], float)


def written(mean, error):
    """The absolute value and its error, as the page may write them."""
    for digits in DIGITS:
        spread = None if error is None else f"{error:.{digits}f}"
        yield f"{abs(mean):.{digits}f}", spread


def beside(name):
    """Further numbers of a file: of the reference and of the settings, or of figure 2."""
    table = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
    if "rows" not in table:
        return [
            v
            for row in table.values()
            for v in [*row["seconds"], *([row["ess"]] if row["ess"] else [])]
        ]
    found = [table["nominal_coverage"], table["r_hat_of_independent"]]
    return found + [v for v in table["reference"].values() if isinstance(v, float)]


def prose(text):
    """The page without its code and without the rows of the stored tables."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    generated = {
        line
        for path in STORED
        for line in markdown(json.loads(path.read_text()), TABLES[path.stem.split("-")[0]]).split(
            "\n"
        )
        if line.startswith("| ")
    }
    lines = [line for line in text.split("\n") if line not in generated]
    return re.sub(r"`[^`]*`", "", "\n".join(lines))


def strangers(text, pairs):
    """Differences with an error, and then single decimals, that no file holds."""
    found = re.findall(r"([+-]?)(\d+\.\d+) \+- (\d+\.\d+)", text)
    wrong = [f"{mean} +- {error}" for _, mean, error in found if (mean, error) not in pairs]
    single = {number for pair in pairs for number in pair if number is not None} | set(ELSEWHERE)
    names = [*(path.stem for path in STORED), "figure2-fashion32"]
    single |= {f"{value:.{d}f}" for name in names for value in beside(name) for d in DIGITS}
    rest = re.sub(r"(\d+\.\d+) \+- (\d+\.\d+)", "", text)
    return wrong + [n for n in re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", rest) if n not in single]


def test_every_figure_of_the_document_is_in_a_stored_table(pairs):
    text = prose((ROOT / "docs" / "results.md").read_text())
    assert strangers(text, pairs) == []
    assert strangers("It gains +1.44 +- 0.14 dB, and 0.818 is covered.", pairs) == []
    assert strangers("It gains +1.44 +- 0.41 dB.", pairs) == ["1.44 +- 0.41"]
    assert strangers("It covers 987.1 of them.", pairs) == ["987.1"]


def test_every_row_of_the_document_is_of_a_stored_table():
    lines = (ROOT / "docs" / "results.md").read_text().split("\n")
    labels = tuple(f"| {method.label}" for method in METHODS.values())
    rows = [line for line in lines if line.startswith(labels) and "seconds" not in line]
    rows = [row for row in rows if "network calls" not in row]
    kept = prose("\n".join(rows)).strip()
    assert len(rows) > 100
    assert kept == ""
