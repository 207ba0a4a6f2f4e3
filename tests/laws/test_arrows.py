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
    {"types", "noise", "errors", "repr", "packages", "pickled", "whole"},
    {"metrics", "diagnostics"},
    {"maps", "operators", "likelihoods", "inputs", "readers", "data"},
    {"targets", "priors", "problem"},
    {"samplers", "baselines", "adapt", "warmstart"},
    {"store", "run_folder", "segments", "lazy_draws", "sampler_state", "memory_store"},
    {"run", "plan", "loop", "progress", "tempering"},
    {"engines"},
    {"experiments", "train"},
    {
        "report",
        "restore",
        "demo",
        "app",
        "cli",
        "cli_options",
        "cli_bench",
        "cli_calibrate",
        "cli_priors",
        "cli_train",
    },
]
"""What a layer imports lies in it or above it in this list; within a layer there are no circles."""

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
EAGER = {"torch", "numpy", "PIL"}
"""Packages that a module may import at its top: the rest, which is heavier, is imported inside the
function that needs it."""
ENTRY_POINTS = {
    "cli": {"typer", "rich"},
    "cli_bench": {"typer"},
    "cli_calibrate": {"typer"},
    "cli_priors": {"typer"},
    "cli_train": {"typer", "rich"},
    "app": {"gradio"},
}


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


def part(name: str) -> str:
    return name.split(".")[0]


def test_the_imports_are_read() -> None:
    found = {(i.source, i.target) for i in imports()}
    assert {
        ("samplers.langevin", "noise"),
        ("targets", "errors"),
        ("types", "noise"),
        ("maps.analytic", "torch"),
    } <= found


def test_every_module_has_a_layer() -> None:
    assert {part(name) for name in files()} - set(RANK) - {"", "__main__"} == set()


def test_imports_go_one_way() -> None:
    arrows = {
        (i.source, i.target)
        for i in imports()
        if i.internal and part(i.source) in RANK and part(i.target) in RANK
    }
    assert (
        sorted(
            f"{source} imports {target}"
            for source, target in arrows
            if RANK[part(target)] > RANK[part(source)]
        )
        == []
    )


def test_metrics_and_diagnostics_take_plain_arrays() -> None:
    arrows = {(i.source, i.target) for i in imports() if i.internal and part(i.source) in LAYERS[1]}
    foreign = {
        (source, target)
        for source, target in arrows
        if part(target) not in {part(source), *LAYERS[0]}
    }
    assert sorted(f"{source} imports {target}" for source, target in foreign) == []


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
        if t not in sys.stdlib_module_names | EAGER | ENTRY_POINTS.get(part(s), set())
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
        ".samplers",
        ".priors",
        ".diagnostics",
        ".metrics",
        ".baselines",
        ".likelihoods",
        ".errors",
    ],
)
def test_importing_a_package_pulls_no_other(module: str) -> None:
    assert loaded(f"import noisewalk{module}") == {"noisewalk"}


def test_the_command_line_starts_without_torch() -> None:
    assert not loaded("import noisewalk.cli") & {"torch", "diffusers", "zarr", "matplotlib"}


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
        "gradio",
        "torchdiffeq",
        "torchvision",
    }
    code = (
        "import noisewalk as nw; nw.Langevin, nw.NoisePosterior, nw.sample, nw.maps.Affine, "
        "nw.operators.AveragePool, nw.likelihoods.Gaussian"
    )
    assert loaded(code) & extras == set()
