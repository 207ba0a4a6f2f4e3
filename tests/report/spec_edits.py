"""Edits of a stored run's specification."""

import json
from pathlib import Path


def say_model(folder: Path, likelihood: str = "gaussian", sigma_y: float | None = 0.1) -> None:
    """Put the texts of a run from the command line into spec.json."""
    told = {"operator": "avgpool:factor=1", "likelihood": likelihood, "sigma_y": sigma_y}
    edit(folder, "problem", value={k: v for k, v in told.items() if v is not None})


def edit(folder: Path, *path: str, value: object) -> None:
    """Put another value into spec.json; `...` takes it away."""
    spec = json.loads((folder / "spec.json").read_text())
    spec.pop("checksum", None)
    inner = spec
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    (folder / "spec.json").write_text(json.dumps(spec))
