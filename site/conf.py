"""The documentation site: the pages of docs/ with the method, the API and a search.

`make docs` builds it. The pages are copied into site/guide first, so that they keep working where
they are read without a site.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import noisewalk as nw

HERE = Path(__file__).parent
ROOT = HERE.parent

project, author = "noisewalk", "the noisewalk authors"
version = release = nw.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_design",
]
myst_enable_extensions = ["dollarmath", "colon_fence", "html_image"]
myst_heading_anchors = 3
os.environ["PYTHONWARNINGS"] = "ignore"  # of the notebooks' kernels: such as of a missing widget
nb_execution_mode = "force"  # the notebooks are stored without outputs; pages have no cells
nb_execution_in_temp, nb_execution_timeout = True, 600
nb_execution_raise_on_error, nb_merge_streams = True, True
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "guide/README.md", "guide/results", "guide/images"]
html_theme = "furo"
html_title = "noisewalk"
html_static_path: list[str] = []
html_show_sphinx = False
default_role = "code"
autodoc_typehints = "none"  # the docstrings give shapes and ranges
autodoc_member_order = "bysource"
autosummary_generate = True
ARGUMENTS = ("Of problems from the prior", "Around the measurement of a run")  # calibrate's
napoleon_custom_sections = [("References", "notes_style"), ("Reference", "notes_style")]
napoleon_custom_sections += [(name, "params_style") for name in ARGUMENTS]
suppress_warnings = ["misc.highlighting_failure"]


def copy_pages() -> None:
    """docs/, the changelog and the notebooks, as they are, into site/guide."""
    guide = HERE / "guide"
    shutil.rmtree(guide, ignore_errors=True)
    shutil.copytree(ROOT / "docs", guide, ignore=shutil.ignore_patterns("results", "README.md"))
    changes = (ROOT / "CHANGELOG.md").read_text()
    (guide / "changelog.md").write_text(changes.replace("](docs/", "]("))
    for notebook in (ROOT / "examples").glob("*.ipynb"):
        shutil.copy(notebook, guide)
    start = (ROOT / "README.md").read_text().replace("](docs/", "](")
    start = re.sub(r"\|.*\(README\.md\) \|\n", "", start)  # the list of pages is the site's menu
    start = re.sub(r"\[([^\]]+)\]\([A-Z][^)]*\)", r"\1", start)
    (guide / "start.md").write_text(start.replace("# noisewalk", "# Start", 1))
    for page in guide.glob("*.md"):
        page.write_text(outward(page.read_text()))


def outward(text: str) -> str:
    """A page with the links that leave docs/ as plain code, and the notebooks' beside it."""
    text = re.sub(r"\]\(\.\./examples/(\w+\.ipynb)\)", r"](\1)", text)
    return re.sub(r"\[([^\]]+)\]\((?:\.\./|README\.md)[^)]*\)", r"\1", text)


def docstring_as_rst(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """$$...$$ and $...$ of a docstring as reStructuredText; * and | are plain characters outside
    of math, code and examples."""
    text = "\n".join(lines)
    text = re.sub(
        r"\$\$(.+?)\$\$",
        lambda found: "\n\n.. math::\n\n   " + " ".join(found[1].split()) + "\n\n",
        text,
        flags=re.DOTALL,
    )
    text = re.sub(r"(?<!\\)\$([^$]+)\$", r":math:`\1`", text)
    parts = re.split(
        r"(`[^`]+`|^ *>>>.*$(?:\n *(?! ).+$)*|^\.\. math::\n\n.*$)", text, flags=re.MULTILINE
    )
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    lines[:] = "".join(parts).split("\n")


def setup(app: object) -> None:
    """Sphinx's hook."""
    copy_pages()
    for name in nw.__all__:  # modules that are attributes of the package may lie elsewhere
        if isinstance(room := getattr(nw, name), ModuleType):
            sys.modules[f"noisewalk.{name}"] = room
    # before napoleon's, which has 500
    app.connect("autodoc-process-docstring", docstring_as_rst, 400)  # type: ignore[attr-defined]
