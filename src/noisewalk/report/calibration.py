"""The page of a calibration: one self-contained file beside its plot and its numbers."""

import io
import json
from html import escape
from pathlib import Path
from typing import Any

from ..evaluate.calibrate.calibration import LEVEL, Calibration
from .files import write_files
from .html import document
from .images import png_uri

QUESTIONS = {
    "exactness": "Is the kernel exact? The truth stands at a random place of a reversible chain, "
    "among whose draws it is ranked. The test needs no convergence.",
    "converged": "Are the runs long enough? The truth is ranked among the draws of a run that has "
    "its own start.",
    "around": "Are the draws of this run those of its posterior? Some of them are taken as truths, "
    "and each is ranked among draws given the run's measurement and a second one, simulated from "
    "this truth.",
}


def write_calibration(found: Calibration, problem: str, folder: Path) -> None:
    """Write calibration.html, .json and .png into a folder; `problem` is one line for a person."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    found.plot().savefig(buffer, format="png", dpi=150)
    numbers, picture = _numbers(found, problem), buffer.getvalue()
    text, page = json.dumps(numbers, indent=2) + "\n", _page(numbers, picture)
    contents = {"png": picture, "json": text.encode(), "html": page.encode()}
    write_files(folder, {f"calibration.{ending}": data for ending, data in contents.items()})


def _numbers(found: Calibration, problem: str) -> dict[str, Any]:
    numbers = {
        "problem": problem,
        "test": found.test,
        "kernel": repr(found.kernel),
        "num_problems": len(found.ranks),
        "num_draws": found.num_draws,
        "acceptance_rate": found.acceptance_rate,
        "nfe": found.nfe,
        "p_value": found.p_value,
        "passed": found.passed,
        "counts": found.counts,
        "p_values": dict(zip(found.quantities, found.p_values.tolist(), strict=True)),
        "ranks": found.ranks.tolist(),
    }
    if found.test == "around":  # one draw a chain
        numbers |= {"num_chains": found.num_draws, "num_truths": found.num_truths}
        numbers["run_shape"] = list(found.run_shape or ())
    curves = {"tarp": ("credibility", "coverage"), "coverage": ("nominal", "empirical")}
    for name, axes in curves.items():
        if (curve := getattr(found, name)) is not None:
            numbers[name] = {axis: getattr(curve, axis).tolist() for axis in axes}
    return numbers


def _page(numbers: dict[str, Any], picture: bytes) -> str:
    p_values, problem = numbers["p_values"], numbers["problem"]
    smallest = f"smallest adjusted p-value {min(p_values.values()):.2g}"
    verdict = f"No rejection at the 1 % level ({smallest})."
    if rejected := [name for name, p in p_values.items() if p < LEVEL]:
        verdict = f"Rejected at the 1 % level: {', '.join(rejected)}."
    shared = {} if "num_truths" not in numbers else {"different truths": numbers["num_truths"]}
    facts = {
        "problem": problem,
        "kernel": numbers["kernel"],
        "problems": numbers["num_problems"],
        **shared,
        "draws": numbers["num_draws"],
        "acceptance": f"{numbers['acceptance_rate']:.2f}",
        "network calls": f"{numbers['nfe']:,}",
    }
    alt = "Distribution of the truth's ranks minus the uniform one, and coverage"
    image = f'<img src="{png_uri(picture)}" alt="{alt}" style="max-width:100%">'
    head = "<thead><tr><th>ranked quantity</th><th>adjusted p-value</th></tr></thead>"
    return document(
        f"{problem} · calibration",
        '<main>\n<header class="top"><p class="brand">noisewalk · calibration</p>'
        f"<h1>{escape(problem)}</h1></header>\n<p>{QUESTIONS[numbers['test']]}</p>\n"
        f"<p><strong>{escape(verdict)}</strong></p>\n{image}\n"
        f"<table>{head}{_rows({k: f'{p:.3g}' for k, p in p_values.items()})}</table>\n"
        f"<table>{_rows(facts)}</table>\n</main>",
    )


def _rows(facts: dict[str, Any]) -> str:
    rows = (f"<tr><td>{escape(k)}</td><td>{escape(str(v))}</td></tr>" for k, v in facts.items())
    return f"<tbody>{''.join(rows)}</tbody>"
