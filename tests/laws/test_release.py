"""Law: what is released agrees with itself, and importing it is light.

The workflow, the issue forms and CITATION.cff are checked against the schemas that check-jsonschema
ships. The Dockerfile is linted by hadolint: nothing here builds it.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

import noisewalk as nw

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ON_CONDA = {
    "torch": "pytorch",
    "huggingface-hub": "huggingface_hub",
    "matplotlib": "matplotlib-base",
}
FORMS = ".github/ISSUE_TEMPLATE"


def recipe() -> dict[str, Any]:
    text = (ROOT / "recipe" / "meta.yaml").read_text()
    return yaml.safe_load(jinja2.Template(text).render(PYTHON="python"))


def test_every_place_names_the_same_version() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert newest is not None
    found = {newest[1], citation, recipe()["package"]["version"], PROJECT["version"]}
    assert found == {nw.__version__}


def test_the_page_on_installing_lists_every_extra() -> None:
    text = (ROOT / "docs" / "install.md").read_text()
    table = text.partition("| Extra |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    assert rows == list(EXTRAS)


def test_every_extra_is_pinned() -> None:
    pinned = {
        plain(line.partition("==")[0])
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    elsewhere = {"open-clip-torch", "torch-fidelity", "torchvision"}  # constraints-peers.txt's
    named = {plain(word) for words in EXTRAS.values() for word in words} - {"noisewalk"}
    assert named - elsewhere <= pinned


def plain(requirement: str) -> str:
    """The name of a package, as registries compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~ ]", requirement.strip())[0]).lower()


def test_the_recipe_needs_what_the_package_needs() -> None:
    needs = [re.match(r"([\w-]+)(.*)", text) for text in PROJECT["dependencies"]]
    wanted = {f"{ON_CONDA.get(n[1], n[1])} {n[2]}" for n in needs if n is not None}
    needed = recipe()["requirements"]
    assert set(needed["run"]) == wanted | {f"python {PROJECT['requires-python']}"}
    assert recipe()["build"]["entry_points"] == [
        f"{name} = {place}" for name, place in PROJECT["scripts"].items()
    ]


def test_the_workflow_runs_what_the_tests_of_a_change_run() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    job = workflow["jobs"]["test"]
    assert {"run": "bash .ci/run"} in job["steps"]
    versions = [text.split()[-1] for text in PROJECT["classifiers"] if "Python ::" in text]
    assert job["strategy"]["matrix"]["python"] == versions


def test_the_tests_run_last() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    made = [line.split()[1] for line in lines if line.startswith("make ")]
    assert made == ["lint", "docs", "wheel-test", "browser-test", "test"]
    assert "set -eu" in lines


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", [".github/workflows/test.yml"]),
        ("github-issue-forms", [f"{FORMS}/bug.yml", f"{FORMS}/question.yml"]),
        ("github-issue-config", [f"{FORMS}/config.yml"]),
        ("citation-file-format", ["CITATION.cff"]),
    ],
)
def test_the_files_for_others_follow_their_schemas(schema: str, files: list[str]) -> None:
    options = ["--no-cache", "--builtin-schema", f"vendor.{schema}"]
    run("check_jsonschema", *options, *files)


def test_the_dockerfile_has_no_fault() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    subprocess.run([linter, "Dockerfile"], cwd=ROOT, check=True, capture_output=True)


def test_importing_the_package_imports_no_torch() -> None:
    code = "import noisewalk, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_tells_that_it_has_types() -> None:
    assert (Path(nw.__file__).parent / "py.typed").read_bytes() == b""


def run(module: str, *words: str) -> None:
    """Run a module's command in the root of the repository; what it says is shown if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module, *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
