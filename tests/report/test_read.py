"""What a report reads from a run: facts, never printed text."""

import ast
from pathlib import Path

from spec_edits import edit

import noisewalk as nw
from noisewalk.report import build_report
from noisewalk.report.read import read_report_data


def test_what_a_run_does_not_tell_is_not_said(target, sampled) -> None:
    folder = sampled(target, nw.Langevin(1e-2))
    edit(folder, "likelihood", value=...)
    edit(folder, "plan", "kernel", value={"name": "Langevin", "text": "Langevin(adjust=False)"})
    (entry,), _ = read_report_data(folder)
    assert (entry.has_step, entry.chi2_is_exact) == (None, False)
    assert not any("unadjusted" in note for note in entry.notes)
    assert "Langevin(adjust=False)" in build_report(folder).read_text(encoding="utf-8")


def test_no_module_matches_on_printed_text() -> None:
    for path in sorted(Path(nw.report.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
                assert not ast.unparse(node.comparators[0]).startswith(("str(", "repr(")), path
            if isinstance(node, ast.Import | ast.ImportFrom):
                named = [getattr(node, "module", None), *(alias.name for alias in node.names)]
                assert "re" not in named, path
