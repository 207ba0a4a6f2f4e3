"""The README and docs/: every Python block runs, and every command runs or is at least accepted.

The blocks of a page run in the order of the page, in one namespace and one temporary folder. By
default they run with fewer draws, steps and images than the page says. With NOISEWALK_DOCS=full in
the environment they run as they are written, which takes much longer. Files that the page calls the
reader's own are made first. A comment `<!-- needs: ... -->` before a block says why it cannot run
everywhere: in either mode the Python of such a block is only compiled, and its options are only
parsed by the command's own parser.
"""

import argparse
import inspect
import os
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer
from PIL import Image

import noisewalk as nw
from noisewalk.cli import main as cli
from noisewalk.evaluate.calibrate import calibrate

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FULL = os.environ.get("NOISEWALK_DOCS") == "full"
NEEDS = ("download", "gpu", "hours", "minutes", "processes")
BLOCK = re.compile(r"(?:^<!-- needs: (\w+) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")
SMALL_TRAINING = {
    "--num-images": "4",
    "--batch-size": "2",
    "--num-trajectories": "2",
    "--widths": "32,32",
}
SMALL_TABLE = {
    "--num-images": "2",
    "--num-samples": "2",
    "--num-steps": "2",
    "--warm-start": "1",
    "--tasks": "sr",
    "--methods": "dps-dm,ours1-em",
    "--extractor": "none",
}


class Block(NamedTuple):
    """A fenced block of a page."""

    needs: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page.read_text())]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command line, without comments."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_files(page.read_text())
    if not FULL:
        draw_less(monkeypatch)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python":
            code = compile(block.text, page.name, "exec")
            if not block.needs:
                exec(code, namespace)
        elif block.language == "sh":
            for words in commands(block.text):
                if words[0] != "python":
                    follow(words, bool(block.needs), monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_scripts_of_a_page_take_its_options(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for block in blocks(page):
        for words in commands(block.text) if block.language == "sh" else ():
            if words[0] == "python":
                run_script(words[1:], bool(block.needs), monkeypatch)


def test_the_pages_keep_their_form() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
    index = (ROOT / "docs" / "README.md").read_text()
    for page in PAGES:
        text = page.read_text()
        assert page.name == "README.md" or f"({page.name})" in index, f"{page} is not listed"
        assert text.count("```") == 2 * len(blocks(page)), page
        assert {block.language for block in blocks(page)} <= {"python", "sh", "text"}, page
        marks = re.findall(r"<!-- needs: (.*?) -->", text.replace("`<!-- needs: download -->`", ""))
        assert set(marks) <= set(NEEDS), page
        assert len(marks) == sum(bool(block.needs) for block in blocks(page)), page


def test_the_links_of_the_pages_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for name, anchor in LINK.findall(page.read_text()):
            if name.startswith("http"):
                continue
            goal = (page.parent / name).resolve() if name else page
            assert goal.exists(), f"{page.name} links to {name}"
            if anchor:
                assert anchor[1:] in anchors(goal.read_text()), f"{page.name}: {name}{anchor}"


def anchors(text: str) -> set[str]:
    """The anchors that a viewer of Markdown gives to the headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def follow(words: list[str], parse_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one command, or check it."""
    if words[0] == "noisewalk":
        run_noisewalk(words, parse_only, monkeypatch)
    elif words[0] == "torchrun":
        parse(words[words.index("noisewalk") :])
    elif words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets), words
    elif words[:2] == ["pip", "install"]:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        wheel = f"noisewalk-{nw.__version__}-py3-none-any.whl"
        place = next(start for start in (wheel, ".") if words[2].startswith(start))
        extras = re.findall(r"[\w-]+", words[2].removeprefix(place))
        assert set(extras) <= project["optional-dependencies"].keys(), words
    else:
        assert words == [".", ".venv/bin/activate"]


def run_noisewalk(words: list[str], parse_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    parse(words)
    if parse_only:
        return
    if not FULL:
        words = smaller(words)
    monkeypatch.setattr(sys, "argv", words)
    code: Any = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    assert code == 0, shlex.join(words)


def parse(words: list[str]) -> None:
    """Let the command's own parser read the options; a usage error is raised."""
    command: Any = typer.main.get_command(cli.app)
    context, name, rest = None, "noisewalk", words[1:]
    while hasattr(command, "resolve_command"):
        context = command.make_context(name, list(rest), parent=context)
        inner = [*getattr(context, "_protected_args", []), *context.args]
        if not inner:  # the group alone, such as `noisewalk priors`
            return
        name, command, rest = command.resolve_command(context, inner)
    command.make_context(name, list(rest), parent=context)


def run_script(words: list[str], parse_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script in the repository, or stop it where it has read its options."""
    script = ROOT / words[0]
    real = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Any:
        real(self, *args, **kwargs)
        raise ParsedError

    with monkeypatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", words)
        patch.syspath_prepend(script.parent)
        patch.delitem(sys.modules, "own", raising=False)  # of another test
        if not parse_only:
            runpy.run_path(str(script), run_name="__main__")
            return
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(ParsedError):
            runpy.run_path(str(script), run_name="__main__")


class ParsedError(Exception):
    """A script has read its options."""


def smaller(words: list[str]) -> list[str]:
    """The same command with less to do."""
    words = list(words)
    kernel = words[words.index("--kernel") + 1] if "--kernel" in words else "hmc"
    if words[1] == "sample":
        for option, value in small_sampling(words, kernel).items():
            put(words, option, value)
    elif words[1] == "calibrate":
        put(words, "--num-problems", "20")
        put(words, "--num-draws", "2")
        if "--kernel" not in words:  # the default kernel is fitted to each problem by a long run
            words += ["--kernel", "mala", "--step-size", "1e-3"]
    elif words[1] == "bench":
        for option, value in SMALL_TABLE.items():
            put(words, option, value)
    elif words[1] == "train":
        for option, value in SMALL_TRAINING.items():
            if option in words or option == "--batch-size":
                put(words, option, value)
    return words


def small_sampling(words: list[str], kernel: str) -> dict[str, str]:
    if kernel == "smc":
        return {"--num-particles": "2", "--num-moves": "1", "--num-leapfrog": "1", "--rank": "1"}
    options = {"--num-draws": "4", "--chains": "2", "--warm-start": "1", "--thin": "1"}
    if "--spectral" in words or kernel not in ("em", "ei", "hmc"):
        options["--num-warmup"] = "1"
    elif kernel == "hmc":  # as given: a warm-up would fit a Gaussian, for many network calls
        options["--step-size"] = "0.02"
    return options | ({"--num-leapfrog": "1"} if kernel == "hmc" else {})


def put(words: list[str], option: str, value: str) -> None:
    if option in words:
        words[words.index(option) + 1] = value
    else:
        words += [option, value]


def draw_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound the arguments of the slow functions."""
    limits: list[tuple[Any, str, dict[str, int]]] = [
        (nw, "sample", {"num_draws": 4, "num_chains": 2, "num_warmup": 1}),
        (nw, "tempered_smc", {"num_particles": 2, "num_moves": 1}),
        (calibrate, "Request", {"num_problems": 20, "num_draws": 2}),
        (nw.baselines, "dps", {"num_samples": 2, "num_steps": 2}),
    ]
    for module, name, most in limits:
        monkeypatch.setattr(module, name, bounded(getattr(module, name), most))


def bounded(function: Callable[..., Any], most: dict[str, int]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        for name, limit in most.items():
            given[name] = min(given[name], limit) if isinstance(given[name], int) else limit
        if function.__name__ == "sample":
            given["warm_start"] = nw.Adam(1) if given["target"].differentiable else None
            given["refresh"] = None  # no Gaussian is fitted, for many network calls
        return function(*bound.args, **bound.kwargs)

    return call


def make_files(text: str) -> None:
    """Make the files that a page calls the reader's own."""
    generator = np.random.default_rng(0)
    for name, make in FILES.items():
        if name in text:
            make(Path(name), generator)


def _picture(*shape: int) -> Callable[[Path, np.random.Generator], None]:
    return lambda path, generator: Image.fromarray(
        generator.integers(0, 256, shape, np.uint8)
    ).save(path)


def _hole(path: Path, generator: np.random.Generator) -> None:
    Image.fromarray((generator.random((64, 64)) < 0.5).astype(np.uint8) * 255).save(path)


def _measured(path: Path, generator: np.random.Generator) -> None:
    values = generator.uniform(-1, 1, (8, 8)).astype(np.float32)
    values[0, 0] = np.nan
    np.save(path, values)


def _counts(path: Path, generator: np.random.Generator) -> None:
    np.save(path, generator.poisson(15.0, (32, 32)))


def _reflectance(path: Path, generator: np.random.Generator) -> None:
    import tifffile

    values = generator.uniform(0, 0.2, (64, 64, 3)).astype(np.float32)
    values[:8] = -9999
    tifffile.imwrite(path, values, photometric="rgb")


def _exposure(path: Path, generator: np.random.Generator) -> None:
    from astropy.io import fits

    hdus = [fits.PrimaryHDU()]
    flags = (generator.random((32, 32)) < 0.05).astype(np.int16) * 9
    image = generator.uniform(1, 39, (32, 32)).astype(np.float32)
    for name, values in (("SCI", image), ("ERR", np.full_like(image, 2.0)), ("DQ", flags)):
        hdus.append(fits.ImageHDU(values, name=name))
    hdus[1].header.update(BUNIT="MJy/sr", CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=150.0)
    fits.HDUList(hdus).writeto(path)


def _psf(path: Path, generator: np.random.Generator) -> None:
    from astropy.io import fits

    fits.PrimaryHDU(np.ones((3, 3), np.float32)).writeto(path)


def _photons(path: Path, generator: np.random.Generator) -> None:
    from astropy.io import fits

    values = (20 + 1.5 * generator.poisson(90.0, (32, 32))).astype(np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values)]).writeto(path)


def _scene(path: Path, generator: np.random.Generator) -> None:
    import tifffile

    values = generator.integers(100, 2000, (4, 64, 72)).astype(np.uint16)
    values[:, :4] = 0
    tags = [
        (33550, "d", 3, (10.0, 10.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 6e5, 5e6, 0.0), True),
        (42113, "s", 0, "0", True),
    ]
    how = {"photometric": "minisblack", "planarconfig": "separate", "metadata": None}
    tifffile.imwrite(path, values, extratags=tags, **how)


def _clouds(path: Path, generator: np.random.Generator) -> None:
    import tifffile

    mask = (generator.random((64, 72)) < 0.3).astype(np.uint8)
    tifffile.imwrite(path, mask, photometric="minisblack", metadata=None)


def _pixels(*shape: int) -> Callable[[Path, np.random.Generator], None]:
    return lambda path, generator: np.save(path, generator.uniform(-1, 1, shape).astype("f4"))


def _two_small(path: Path, generator: np.random.Generator) -> None:
    path.parent.mkdir(exist_ok=True)
    for k in range(2):
        np.save(path.parent / f"{k}.npy", generator.uniform(-1, 1, (8, 8)))


def _photos(path: Path, generator: np.random.Generator) -> None:
    path.mkdir()
    for k in range(40):
        pixels = generator.integers(0, 256, (70 + k % 3, 90, 3), np.uint8)
        Image.fromarray(pixels).save(path / f"{k}.jpg")


def _model(path: Path, generator: np.random.Generator) -> None:
    """The file as docs/own-prior.md shows it."""
    page = ROOT / "docs" / "own-prior.md"
    path.write_text(next(b.text for b in blocks(page) if b.text.startswith("# model.py")))


FILES: dict[str, Callable[[Path, np.random.Generator], None]] = {
    "boot.png": _picture(28, 28),
    "scene.png": _picture(100, 80, 3),
    "measured.png": _picture(64, 64, 3),
    "hole.png": _hole,
    "measured.npy": _measured,
    "model.py": _model,
    "counts.npy": _counts,
    "reflectance.tif": _reflectance,
    "two/0.npy": _two_small,
    "wide.npy": _pixels(40, 48),
    "odd.npy": _pixels(66, 93),
    "whole.npy": _pixels(32, 32),
    "obs.fits": _exposure,
    "psf.fits": _psf,
    "counts.fits": _photons,
    "scene.tif": _scene,
    "clouds.tif": _clouds,
    "photos": _photos,
}
