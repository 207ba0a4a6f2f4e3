"""The site: its API page names what is public, and its menu has every page."""

import re
from pathlib import Path

import noisewalk as nw

ROOT = Path(__file__).parents[2]
SITE = ROOT / "site"
ROOMS = {"baselines", "diagnostics", "errors", "files", "likelihoods", "maps", "metrics", "noise"}
ROOMS |= {"operators", "priors", "report", "types", "engines"}


def test_every_public_name_is_in_the_api_reference() -> None:
    listed = re.findall(r"^   noisewalk\.([\w.]+)$", (SITE / "api.md").read_text(), re.MULTILINE)
    public = {name for name in nw.__all__ if not name.startswith("_")} - ROOMS
    assert public - {"Plan"} <= set(listed)
    for name in listed:
        found = nw
        for part in name.split("."):
            found = getattr(found, part)
        assert found.__doc__, name


def test_the_menu_has_every_page() -> None:
    listed = set(re.findall(r"^guide/([\w-]+)$", (SITE / "index.md").read_text(), re.MULTILINE))
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} - {"README"}
    notebooks = {notebook.stem for notebook in (ROOT / "examples").glob("*.ipynb")}
    assert listed - {"start", "changelog"} == pages | notebooks
