"""The notebooks of examples/ run from the first cell to the last, with few draws."""

import os
from pathlib import Path

import pytest

import noisewalk

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def test_there_are_two_and_they_are_stored_without_outputs() -> None:
    names = ["compare_two_samplers", "restore_your_own_image"]
    assert [path.stem for path in NOTEBOOKS] == names
    assert not any('"output_type"' in path.read_text() for path in NOTEBOOKS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel", reason="ipykernel is missing: pip install noisewalk[dev]")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is missing")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is missing")
    source = str(Path(noisewalk.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("NOISEWALK_QUICK", "1")
    notebook = nbformat.read(path, as_version=4)
    how = {"timeout": 300, "kernel_name": "python3", "resources": {"metadata": {"path": tmp_path}}}
    nbclient.NotebookClient(notebook, **how).execute()
    shown = {
        kind
        for cell in notebook.cells
        for one in cell.get("outputs", ())
        for kind in one.get("data", {})
    }
    assert {"text/html", "image/png"} <= shown
