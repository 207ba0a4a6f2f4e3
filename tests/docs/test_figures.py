"""Every decimal in the prose and the tables of the measuring pages was printed by a command.

A page's own `text` blocks are what its commands printed. Elsewhere a number must be one of its
logs, rounded as the page has it, or that times 100 or 1000. Code is left out.
"""

import importlib.util
import math
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS, LOGS = ROOT / "docs", ROOT / "benchmarks" / "logs"
CARDS = sorted((ROOT / "src/noisewalk/priors/bundled").glob("*/card.json"))
SOURCES = {
    "performance": [LOGS / "tables-8-images.txt"],
    "paper": [LOGS / "tables-8-images.txt"],
    "gpu": [LOGS / "paper-cost.txt", ROOT / "src/noisewalk/priors/cards.yaml"],
    "convergence": [DOCS / "results" / "verdict.jsonl", LOGS / "cheaper.txt"],
    "calibration": [LOGS / "calibration.txt"],
    "exactness": [LOGS / f"{n}.txt" for n in ("exactness", "mixing", "agreement", "calibration")],
    "what-to-expect": [*sorted(LOGS.glob("restoration-*.txt")), LOGS / "agreement.txt"],
    "bundled-priors": CARDS,
    "networks": [LOGS / "representation.txt", *CARDS],
}
SOURCES["exactness"].append(LOGS / "long_run.txt")
CHOSEN = {
    "convergence": [0.1, 0.2, 0.25, 0.5, 0.8, 0.9],
    "what-to-expect": [10 * math.log10(2 / (1 + 1 / 16))],
}
"""What the page sets or works out, and nothing measures: levels, and exact draws' gain in dB."""
DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)")


def table_of_coverage() -> str:
    """What benchmarks/coverage.py --table prints."""
    path = ROOT / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_script", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return str(module.table(DOCS / "results" / "coverage"))


def numbers(text: str) -> list[float]:
    found = re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?", text)
    return [float(number.replace(",", "")) for number in found]


def strangers(prose: str, known: list[float]) -> list[str]:
    """The decimals that no number is when it is rounded."""
    prose = re.sub(r"^```.*?^```$|`[^`]*`|\]\([^)]*\)", "", prose, flags=re.MULTILINE | re.DOTALL)
    wrong = []
    for text in DECIMAL.findall(prose):
        digits = len(text.partition(".")[2])
        if not any(f"{k * v:.{digits}f}" == text for v in known for k in (1, 100, 1000)):
            wrong.append(text)
    return wrong


@pytest.mark.parametrize("page", SOURCES)
def test_every_decimal_of_a_page_was_printed_by_a_command(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text()
    known = [v for source in SOURCES[page] for v in numbers(source.read_text())]
    for block in re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        known += numbers(block)
    if page == "convergence":
        known += numbers(table_of_coverage())
    known += CHOSEN.get(page, [])
    assert strangers(text, known) == []


def test_a_figure_typed_by_hand_is_found() -> None:
    known = numbers("ratio 1.0351, 2,500 calls, 0.25 held, 3e-5")
    assert strangers("1.04 of `9.99`, 25.0 %, 0.03 of a thousandth", known) == []
    assert strangers("It takes 1.05 times as long, 12.5 minutes.", known) == ["1.05", "12.5"]
