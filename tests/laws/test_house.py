"""Law: the package stays small and its objects are asked, not probed."""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import noisewalk as nw

ROOT = Path(nw.__file__).parent

MOST_CODE, MOST_LINES = 23_850, 35_450
"""Of the package: lines of code by `code_lines`, and lines in all. They were 13,226 and 20,497 when
the house was built; starts, verdicts, networks and measurements came after."""
MOST_IN_FILE, MOST_IN_FUNCTION, MOST_PARAMETERS, WIDTH = 320, 42, 12, 100
"""Aims are 300 and 40 lines; a little more is a matter of taste."""
PUBLIC = {
    "sample",
    "sample_many",
    "tempered_smc",
    "load_prior",
    "calibrate",
    "dps",
    "lgd",
    "mpgd",
    "cmedit",
}
"""Functions whose signature is given from outside."""
CONCRETE = {
    "Langevin", "HMC", "SplitHMC", "EllipticalSlice",
    "Gaussian", "Poisson", "Laplace", "StudentT", "UnknownGaussian",
    "LowRank", "Spectral", "Standard", "Chains", "TemperedSMC",
}  # fmt: skip
"""Kernels, likelihoods, references and plans: only their own module may ask for their class."""
FIELDS = {"step_size", "preconditioner", "adjust", "friction", "num_leapfrog", "scheme", "carry"}
DECLARED = FIELDS | {name for name in vars(nw.Kernel) if not name.startswith("_")}
"""What a kernel is asked for directly."""


def code_lines(text: str) -> int:
    """Lines that are neither blank nor part of a module's, class's or function's docstring."""
    docs: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docs |= set(range(first.lineno, (first.end_lineno or 0) + 1))
    lines = enumerate(text.split("\n"), 1)
    return sum(1 for number, line in lines if line.strip() and number not in docs)


@cache
def sources() -> dict[str, str]:
    return {str(p.relative_to(ROOT)): p.read_text() for p in sorted(ROOT.rglob("*.py"))}


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path, text in sources().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def calls(*names: str) -> Iterator[tuple[str, ast.Call]]:
    for path, text in sources().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) in names:
                yield path, node


def test_the_package_is_small() -> None:
    assert sum(code_lines(text) for text in sources().values()) <= MOST_CODE
    assert sum(len(text.splitlines()) for text in sources().values()) <= MOST_LINES


def test_files_functions_and_lines_are_short() -> None:
    large = [p for p, text in sources().items() if len(text.splitlines()) > MOST_IN_FILE]
    wide = [p for p, t in sources().items() if any(len(line) > WIDTH for line in t.splitlines())]
    long = []
    for path, node in functions():
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if body and (body[-1].end_lineno or 0) - body[0].lineno + 1 > MOST_IN_FUNCTION:
            long.append(f"{path}: {node.name}")
    assert (large, wide, long) == ([], [], [])


def test_functions_take_few_parameters() -> None:
    """Those of api.md and the commands of the command line aside."""
    many = []
    for path, node in functions():
        arguments = node.args
        count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs)
        command = path.startswith("cli/") and "typer" in sources()[path]
        if count > MOST_PARAMETERS and node.name not in PUBLIC and not command:
            many.append(f"{path}: {node.name} takes {count}")
    assert many == []


def test_nobody_probes_a_kernel() -> None:
    probes = [
        f"{path}:{node.lineno}"
        for path, node in calls("getattr", "hasattr")
        if isinstance(node.args[1], ast.Constant) and node.args[1].value in DECLARED
    ]
    assert probes == []


def test_nobody_asks_for_a_concrete_class() -> None:
    asked = []
    for path, node in calls("isinstance"):
        names = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
        names |= {n.attr for n in ast.walk(node.args[1]) if isinstance(n, ast.Attribute)}
        defined = {
            n.name for n in ast.walk(ast.parse(sources()[path])) if isinstance(n, ast.ClassDef)
        }
        if foreign := (names & CONCRETE) - defined:
            asked.append(f"{path}:{node.lineno} {sorted(foreign)}")
    assert asked == []


def test_public_objects_have_an_example_that_runs() -> None:
    rooms = (
        "maps",
        "operators",
        "likelihoods",
        "metrics",
        "diagnostics",
        "baselines",
        "files",
        "engines",
    )
    spaces = [nw, *(getattr(nw, room) for room in rooms)]
    without = {
        name
        for space in spaces
        for name in space.__all__
        if (value := getattr(space, name)) and (inspect.isclass(value) or inspect.isfunction(value))
        if ">>>" not in (value.__doc__ or "")
    }
    assert without - {"Plan", "Fit"} == set()
