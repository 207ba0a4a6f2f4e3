"""A calibration as a page: the plot, the p-values and what they say, one self-contained file beside
its numbers."""

import base64
import json
from html import escape
from importlib.resources import files
from pathlib import Path

from ..evaluate.calibrate.calibration import Calibration

LEVEL = 0.01
"""Holm-adjusted p-values below it reject."""


def write_calibration(found: Calibration, problem: str, folder: Path) -> None:
    """Write calibration.html, calibration.json and calibration.png.

    Arguments:
        found: the ranks.
        problem: one line that names prior, operator and noise.
        folder: made if absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found.plot().savefig(folder / "calibration.png", dpi=150)
    numbers = {
        "problem": problem,
        "test": found.test,
        "kernel": repr(found.kernel),
        "num_problems": len(found.ranks),
        "num_draws": found.num_draws,
        "acceptance_rate": found.acceptance_rate,
        "nfe": found.nfe,
        "p_values": dict(zip(found.quantities, found.p_values.tolist(), strict=True)),
        "ranks": found.ranks.tolist(),
    }
    if found.tarp is not None and found.coverage is not None:
        numbers["tarp"] = {
            "credibility": found.tarp.credibility.tolist(),
            "coverage": found.tarp.coverage.tolist(),
        }
        numbers["coverage"] = {
            "nominal": found.coverage.nominal.tolist(),
            "empirical": found.coverage.empirical.tolist(),
        }
    (folder / "calibration.json").write_text(json.dumps(numbers, indent=2) + "\n")
    (folder / "calibration.html").write_text(
        _page(found, problem, (folder / "calibration.png").read_bytes()), encoding="utf-8"
    )


def _page(found: Calibration, problem: str, picture: bytes) -> str:
    worst = float(found.p_values.min())
    rejected = [
        name for name, p in zip(found.quantities, found.p_values.tolist(), strict=True) if p < LEVEL
    ]
    verdict = (
        f"Rejected at the 1 % level: {', '.join(rejected)}."
        if rejected
        else f"No rejection at the 1 % level (smallest adjusted p-value {worst:.2g})."
    )
    question = (
        (
            "Is the kernel exact? The truth stands at a random place of a reversible chain; no "
            "convergence is needed."
        )
        if found.test == "exactness"
        else (
            "Are the runs long enough? The truth is ranked among the draws of a run from its own "
            "start."
        )
    )
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{p:.3g}</td></tr>"
        for name, p in zip(found.quantities, found.p_values.tolist(), strict=True)
    )
    facts = (
        ("problem", problem),
        ("kernel", repr(found.kernel)),
        ("problems", len(found.ranks)),
        ("draws", found.num_draws),
    )
    more = (("acceptance", f"{found.acceptance_rate:.2f}"), ("network calls", f"{found.nfe:,}"))
    table = "".join(
        f"<tr><td>{escape(k)}</td><td>{escape(str(v))}</td></tr>" for k, v in (*facts, *more)
    )
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    image = base64.b64encode(picture).decode()
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta '
        'name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(problem)} · noisewalk "
        f"calibration</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        '<header class="top"><p class="brand">noisewalk · '
        f"calibration</p><h1>{escape(problem)}</h1></header>\n"
        f"<p>{question}</p>\n<p><strong>{escape(verdict)}</strong></p>\n"
        f'<img src="data:image/png;base64,{image}" alt="Distribution of the truth\'s ranks '
        'minus the uniform one, and coverage" style="max-width:100%">\n'
        "<table><thead><tr><th>ranked</th><th>adjusted "
        f"p</th></tr></thead><tbody>{rows}</tbody></table>\n"
        f"<table><tbody>{table}</tbody></table>\n</main>\n</body>\n</html>\n"
    )
