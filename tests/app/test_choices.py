"""Choices are the options of `noisewalk sample`, and its command."""

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_runs import half

from noisewalk.app import choices as of
from noisewalk.cli.main import COMMANDS
from noisewalk.errors import ConfigError

SHAPE = (1, 32, 32)


def options(choices, root):
    of.place_files(choices, root)
    return of.in_folder(of.options_of(choices, root, SHAPE), root)


@pytest.mark.parametrize("problem", of.PROBLEMS)
@pytest.mark.parametrize("kind", of.KINDS)
def test_the_words_of_choices_are_read_as_the_same_options(boot, root, problem, kind):
    import typer

    from noisewalk.cli import sample as command

    chosen = replace(boot, problem=problem, kind=kind, mask=half(), low=0.0, high=255.0, label=2.0)
    given = options(chosen, root)
    words, got = of.words_of(given), []

    @command.opt.reads(command.SampleOptions)
    def read(read_options):
        got.append(read_options)

    app = typer.Typer(**command.opt.PLAIN)
    app.command()(read)
    app(words[1:], standalone_mode=False)
    assert got == [given]
    assert words[0] in COMMANDS
    assert shlex.split(of.command_of(words)) == ["noisewalk", *words]
    assert str(root) not in of.command_of(words)


def test_the_painted_mask_is_what_is_missing_upright_in_fits_too(boot, root):
    mask = np.zeros((32, 32), dtype=bool)
    mask[:4] = True
    of.place_files(replace(boot, problem=of.PAINT, mask=mask), root)
    assert not np.asarray(Image.open(root / of.MASK))[:4].any()
    file = root / "x.fits"
    file.write_bytes(b"SIMPLE")
    of.place_files(replace(boot, file=file, problem=of.PAINT, mask=mask), root / "runs")
    seen = np.asarray(Image.open(root / "runs" / of.MASK))
    assert seen[:-4].all()
    assert not seen[-4:].any()


def test_a_file_has_a_name_that_no_shell_and_no_option_parser_reads():
    names = {"--a b;c$.png": "a_b_c_.png", ".hidden.npy": "hidden.npy", of.MASK: "mask.png"}
    for name, safe in names.items():
        assert of.safe_name(Path("folder") / name) == safe


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"file": None}, "no file is chosen"),
        ({"problem": of.PAINT}, "nothing is painted"),
        ({"sigma_y": None}, "noise level is empty"),
        ({"sigma_y": 0.0}, "noise level"),
        ({"low": 0.0}, "one end"),
        ({"missing": "/etc/passwd", "kind": of.MEASURED}, "nan or a number"),
        ({"problem": "phase"}, "the problem"),
        ({"effort": "none"}, "the effort"),
        ({"problem": of.DOWNSAMPLE, "factor": 99}, "the factor"),
    ],
)
def test_what_the_page_does_not_take_is_said(boot, root, change, told):
    with pytest.raises(ConfigError, match=told):
        options(replace(boot, **change), root)


def test_large_files_are_refused_before_they_are_decoded(boot, root, monkeypatch):
    monkeypatch.setattr(of, "MOST_PIXELS", 1000)
    with pytest.raises(ConfigError, match="1,024 pixels, and the page restores 1,000"):
        options(replace(boot, fit=of.AS_IT_IS), root)
    monkeypatch.setattr(of, "MOST_BYTES", 10)
    with pytest.raises(ConfigError, match="MiB"):
        of.given_file(boot)


def test_only_a_clean_image_of_another_size_is_fitted(boot, root):
    assert options(boot, root).fit is None
    assert of.options_of(boot, root, (3, 64, 64)).fit == "resize"
    assert of.options_of(replace(boot, kind=of.MEASURED), root, (3, 64, 64)).fit is None
