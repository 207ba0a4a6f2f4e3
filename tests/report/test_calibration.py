"""The page of a calibration."""

import json

import torch

import noisewalk as nw
from noisewalk.evaluate.calibrate.calibration import QUANTITIES, Calibration
from noisewalk.report.calibration import write_calibration


def test_the_page_says_what_was_rejected_and_the_numbers_are_beside_it(tmp_path) -> None:
    p_values = torch.full((len(QUANTITIES),), 0.5, dtype=torch.float64)
    p_values[1] = 0.001
    ranks = torch.arange(12)[:, None].expand(12, len(QUANTITIES)) % 5
    found = Calibration("exactness", nw.Langevin(0.1), ranks, 4, p_values, 0.75, 1234)
    folder = tmp_path / "new"
    write_calibration(found, "terrain, <avgpool>", folder)
    page = (folder / "calibration.html").read_text(encoding="utf-8")
    for text in ("Rejected at the 1 % level: log posterior.", "&lt;avgpool&gt;", "0.75", "1,234"):
        assert text in page
    numbers = json.loads((folder / "calibration.json").read_text())
    assert numbers["p_values"] == dict(zip(QUANTITIES, p_values.tolist(), strict=True))
    assert (numbers["ranks"], numbers["num_problems"]) == (ranks.tolist(), 12)
    assert (numbers["p_value"], numbers["passed"]) == (0.001, False)
    assert "num_chains" not in numbers
    assert (folder / "calibration.png").read_bytes().startswith(b"\x89PNG")
