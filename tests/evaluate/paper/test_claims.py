"""benchmarks/claims.py: differences are paired over the images that both rows have."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "claims.py"


def cells(*values: float | None) -> dict[str, object]:
    return {
        "images": [{"image": k, "psnr": value} for k, value in enumerate(values) if value != -1.0]
    }


def test_differences_are_of_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("claims", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = {
        "dps-cm": cells(10.0, 20.0, -1.0, 5.0),
        "cmedit": {"reason": "n/a"},
        "ours1-em": cells(11.0, 23.0, 7.0, None),
    }
    (tmp_path / "table.json").write_text(
        json.dumps({"tasks": {"sr": {"title": "Super-resolution"}}, "rows": {"sr": rows}})
    )
    monkeypatch.setattr(sys, "argv", ["claims.py", str(tmp_path / "table.json"), "--keys", "psnr"])
    module.main()
    printed = capsys.readouterr().out
    assert "ours1-em (4 images) minus dps-cm +2.000 +- 1.000" in printed
    assert "cmedit" not in printed
