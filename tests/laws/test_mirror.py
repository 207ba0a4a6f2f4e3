"""The tests mirror the source: the tests of a module are where its path says."""

from pathlib import Path

import noisewalk

SOURCE = Path(noisewalk.__file__).parent
TESTS = Path(__file__).parents[1]

EXCEPTIONS: set[str] = set()  # modules without tests of their own, each with a reason
ELSEWHERE = {"docs", "examples", "laws"}  # test the pages, the examples, and all rooms at once
OF_SEVERAL = {
    "cli/demo/test_images.py",  # of a package's `__init__`
    "engines/test_scaling.py",  # of a benchmark
    "evaluate/paper/test_claims.py",  # of numbers in the documents, not of code
    "evaluate/paper/test_dry_run.py",  # of scripts in benchmarks/
    "evaluate/paper/test_results.py",
    "evaluate/paper/test_tuned.py",
    "evaluate/test_public_names.py",  # of every package's `__init__`
    "operators/test_operators.py",  # laws of all operators
    "priors/train/test_device.py",  # of whole trainings
    "priors/train/test_prior_quality.py",
    "priors/train/test_tutorial.py",
    "report/test_in_browser.py",  # of page.js
}


def test_every_module_has_a_test_file() -> None:
    modules = [path.relative_to(SOURCE) for path in SOURCE.rglob("*.py")]
    own = {str(p) for p in modules if p.name != "__init__.py" and not mirrored(p).is_file()}
    assert own == EXCEPTIONS


def test_every_test_file_is_of_a_module() -> None:
    files = [path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")]
    rooms = [path for path in files if path.parts[0] not in ELSEWHERE]
    strays = {str(p) for p in rooms if not (SOURCE / p.parent / p.name[5:]).is_file()}
    assert strays == OF_SEVERAL


def mirrored(module: Path) -> Path:
    return TESTS / module.parent / f"test_{module.name}"
