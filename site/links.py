"""Follow the links of the built site, without a network.

python site/links.py build/site

A link inside the site must lead to a file that is there, and to an anchor that this file has. A
link to another host must be a whole address; `make linkcheck` asks whether the host answers. The
exit code is 1 where a link is wrong. A page of the API reference must define what it is called
after.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LEADS = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src"}
OWN = {"genindex.html", "search.html"}  # made by Sphinx, not from a page


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.anchors = list[str](), {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where a tag leads, and its name."""
        held = dict(attrs)
        self.anchors |= {held[key] or "" for key in ("id", "name") if key in held}
        if tag in LEADS and held.get(LEADS[tag]) is not None:
            self.links.append(held[LEADS[tag]] or "")


def wrong_links(site: Path) -> list[str]:
    """A line for each link that leads nowhere, with its page."""
    pages = {path: Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    wrong = []
    for path, page in pages.items():
        if path.name in OWN:
            continue
        for link in dict.fromkeys(page.links):
            if why := _fault(link, path, pages):
                wrong.append(f"{path.relative_to(site)}: {link!r} {why}")
    return wrong


def empty_pages(site: Path) -> list[str]:
    """A line for each page of the API reference that does not define its name."""
    pages = sorted((site / "generated").glob("*.html"))
    empty = [path for path in pages if path.stem not in Page(path.read_text()).anchors]
    return [f"generated/{path.name} does not define {path.stem}" for path in empty]


def _fault(link: str, path: Path, pages: dict[Path, Page]) -> str:
    """What is wrong with a link; empty if nothing is."""
    try:
        parts = urlsplit(link)
    except ValueError as error:
        return f"is no address: {error}"
    if parts.scheme in ("data", "mailto"):
        return ""
    if parts.scheme or parts.netloc:
        whole = parts.scheme in ("http", "https") and "." in parts.netloc and " " not in link
        return "" if whole else "is no address of a page: https://HOST/PATH is one"
    goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not goal.is_file():
        return "leads to no file of the site"
    known = pages[goal].anchors if goal in pages else {"", parts.fragment}
    return "" if unquote(parts.fragment) in known else f"leads to no anchor of {goal.name}"


def main() -> None:
    """Print the wrong links."""
    if len(sys.argv) != 2 or not (site := Path(sys.argv[1]).resolve()).is_dir():
        sys.exit("give the folder of the built site, such as build/site")
    if wrong := wrong_links(site) + empty_pages(site):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
