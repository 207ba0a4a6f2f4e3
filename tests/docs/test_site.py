"""The site: its API page names what is public, and its menu has every page."""

import re
import runpy
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


def test_a_wrong_link_of_the_built_site_is_found(tmp_path: Path) -> None:
    links = runpy.run_path(str(SITE / "links.py"))["wrong_links"]
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.png").touch()
    (tmp_path / "other.html").write_text('<h1 id="top-of-it">x</h1>')
    good = ["../other.html", "../other.html#top-of-it", "#here", "https://a.org/b", "../a.png", "#"]
    wrong = ["../gone.html", "../other.html#gone", "#gone", "http:/a.org", "https://nodots", "../"]
    lines = [f'<a href="{link}">x</a>' for link in good + wrong]
    (tmp_path / "deep" / "page.html").write_text('<p id="here">' + "\n".join(lines))
    found = links(tmp_path.resolve())
    assert [line.split("'")[1] for line in found] == wrong
    assert found[1] == "deep/page.html: '../other.html#gone' leads to no anchor of other.html"


def test_an_empty_page_of_the_reference_is_found(tmp_path: Path) -> None:
    found = runpy.run_path(str(SITE / "links.py"))["empty_pages"]
    (tmp_path / "generated").mkdir()
    (tmp_path / "generated" / "noisewalk.HMC.html").write_text('<dt id="noisewalk.HMC">HMC()</dt>')
    (tmp_path / "generated" / "noisewalk.Run.html").write_text("<p>.. autoclass:: Run</p>")
    assert found(tmp_path) == ["generated/noisewalk.Run.html does not define noisewalk.Run"]
