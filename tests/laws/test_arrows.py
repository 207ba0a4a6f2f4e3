"""Law: imports go one way, nothing heavy is imported before it is used, and importing the package
pulls in no other."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import noisewalk

ROOT = Path(noisewalk.__file__).parent

LAYERS = [
    {
        "types",
        "noise",
        "errors",
        "_autograd",
        "_checks",
        "_deprecated",
        "_intake",
        "_lazy",
        "_moved",
        "_packages",
        "_pickled",
        "_pictures",
        "_progress",
        "_repr",
        "_text",
    },
    {"evaluate.metrics", "evaluate.diagnostics"},
    {"storage", "files", "engines"},
    {"maps", "operators", "likelihoods"},
    {"priors"},
    {"posterior", "_border", "_card", "_simulate"},
    {"gaussians"},
    {"kernels"},
    {"sampling"},
    {"evaluate", "priors.train", "report"},
    {"app", "cli"},
    {"__main__"},
]
"""A room imports what stands in its own layer or above it in this list, and no circles."""

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
APART = {"evaluate.metrics", "evaluate.diagnostics", "storage", "files", "engines"}
"""Rooms that import nothing of the package but the vocabulary, the first layer, and themselves."""
EXCEPT = {("sampling.run", "report")}
"""`Run.report` calls the report's public builder."""
EAGER = {"torch", "numpy", "PIL"}
"""Packages that a module may import at its top: the rest, which is heavier, is imported inside the
function that needs it."""
ENTRY_POINTS = {"cli": {"typer", "rich"}, "app": {"gradio"}}
MOST_ENTRIES = 18
"""At the package's root; names that begin with an underscore are not counted."""


class Import(NamedTuple):
    source: str  # dotted, below noisewalk
    target: str  # dotted below noisewalk if internal, else the package's name
    internal: bool
    top_level: bool
    typing_only: bool


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def files() -> dict[str, Path]:
    return {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def statements(
    tree: ast.AST, top_level: bool = True, typing_only: bool = False
) -> Iterator[tuple[ast.stmt, bool, bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, top_level, typing_only
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(node, top_level, True)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from statements(node, top_level and not inside, typing_only)


def internal_targets(node: ast.ImportFrom, source: str, is_package: bool) -> set[str]:
    """Modules below noisewalk that a `from ... import` reads; "" is the package itself."""
    if node.level:
        package = source.split(".") if is_package else source.split(".")[:-1]
        kept = package[: len(package) - (node.level - 1)]
        base = ".".join([*(p for p in kept if p), *(node.module or "").split(".")]).strip(".")
    else:
        base = (node.module or "").removeprefix("noisewalk").strip(".")
    below = {f"{base}.{alias.name}".strip(".") for alias in node.names}
    return {name if name in files() else base for name in below}


@cache
def imports() -> tuple[Import, ...]:
    out = []
    for source, path in files().items():
        for node, top_level, typing_only in statements(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                out += [
                    Import(
                        source,
                        n.removeprefix("noisewalk").strip(".")
                        if (own := n.split(".")[0] == "noisewalk")
                        else n.split(".")[0],
                        own,
                        top_level,
                        typing_only,
                    )
                    for n in names
                ]
            elif isinstance(node, ast.ImportFrom) and (
                node.level or (node.module or "").split(".")[0] == "noisewalk"
            ):
                targets = internal_targets(node, source, path.name == "__init__.py")
                out += [Import(source, target, True, top_level, typing_only) for target in targets]
            elif isinstance(node, ast.ImportFrom):
                out.append(
                    Import(source, str(node.module).split(".")[0], False, top_level, typing_only)
                )
    return tuple(out)


def room(name: str) -> str:
    """The room of a module: metrics, diagnostics and training are rooms of their own."""
    inner = ".".join(name.split(".")[:2])
    return inner if inner in RANK else name.split(".")[0]


def arrows() -> set[tuple[str, str]]:
    return {(i.source, i.target) for i in imports() if i.internal and i.source and i.target}


def test_the_imports_are_read() -> None:
    assert {("kernels.langevin", "noise"), ("posterior", "errors"), ("types", "noise")} <= arrows()
    assert any(i.target == "torch" and i.source == "maps.analytic" for i in imports())


def test_every_module_has_a_room() -> None:
    assert {room(name) for name in files()} - set(RANK) - {""} == set()


def test_the_root_has_few_entries() -> None:
    entries = [p.name for p in ROOT.iterdir() if p.name[0] != "_" and p.name != "py.typed"]
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_imports_go_one_way() -> None:
    against = {(a, b) for a, b in arrows() if RANK[room(b)] > RANK[room(a)]} - EXCEPT
    assert sorted(f"{a} imports {b}" for a, b in against) == []


def test_some_rooms_know_only_the_vocabulary() -> None:
    foreign = {
        (a, b) for a, b in arrows() if room(a) in APART and room(b) not in {room(a), *LAYERS[0]}
    }
    assert sorted(f"{a} imports {b}" for a, b in foreign) == []


def test_no_module_imports_itself_around_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in files()}
    for i in imports():
        if i.internal and not i.typing_only and i.source and i.target and i.source != i.target:
            graph[i.source].add(i.target)
    while leaves := [name for name, targets in graph.items() if not targets & set(graph)]:
        for name in leaves:
            del graph[name]
    assert graph == {}


def test_heavy_packages_are_imported_inside_the_function_that_needs_them() -> None:
    eager = {
        (i.source, i.target)
        for i in imports()
        if not i.internal and i.top_level and not i.typing_only
    }
    heavy = {
        (s, t)
        for s, t in eager
        if t not in sys.stdlib_module_names | EAGER | ENTRY_POINTS.get(room(s), set())
    }
    assert sorted(f"{source} imports {target}" for source, target in heavy) == []


def loaded(code: str) -> set[str]:
    """Packages outside the standard library that a fresh interpreter holds after the code."""
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT.parent)!r}); before = set(sys.modules); {code}; "
        "print(*set(sys.modules) - before)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    return {name.split(".")[0] for name in out} - sys.stdlib_module_names


@pytest.mark.parametrize(
    "module",
    [
        "",
        ".maps",
        ".operators",
        ".kernels",
        ".gaussians",
        ".priors",
        ".evaluate.diagnostics",
        ".evaluate.metrics",
        ".evaluate.baselines",
        ".likelihoods",
        ".errors",
        ".engines",
    ],
)
def test_importing_a_package_pulls_no_other(module: str) -> None:
    assert loaded(f"import noisewalk{module}") == {"noisewalk"}


def test_the_command_line_starts_without_torch() -> None:
    assert not loaded("import noisewalk.cli.main") & {"torch", "diffusers", "zarr", "matplotlib"}


def test_using_the_core_pulls_no_extra() -> None:
    extras = {
        "arviz_base",
        "arviz_stats",
        "xarray",
        "tifffile",
        "astropy",
        "skimage",
        "scipy",
        "deepinv",
        "ray",
        "submitit",
        "gradio",
        "torchdiffeq",
        "torchvision",
    }
    code = (
        "import noisewalk as nw; nw.Langevin, nw.NoisePosterior, nw.sample, nw.maps.Affine, "
        "nw.operators.AveragePool, nw.likelihoods.Gaussian"
    )
    assert loaded(code) & extras == set()
