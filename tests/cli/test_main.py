"""The list of commands, and what happens to an error."""

from importlib import import_module

import pytest
import typer

import noisewalk as nw
from noisewalk.cli.main import COMMANDS, main


def test_the_command_line_alone_prints_its_help(noisewalk):
    alone, asked = noisewalk(), noisewalk("--help")
    assert alone == asked
    code, out, err = alone
    assert (code, err) == (0, "")
    for name, (_, help_) in COMMANDS.items():
        assert any(line.split() == [name, *help_.split()] for line in out.splitlines())


def test_a_group_alone_prints_its_help(noisewalk):
    code, out, err = noisewalk("train")
    assert (code, err) == (0, "")
    assert out == noisewalk("train", "--help")[1]
    assert "diffusion" in out
    assert "distill" in out


def test_every_command_is_where_the_list_says_and_has_a_help(noisewalk):
    for name, (place, _) in COMMANDS.items():
        module = import_module(place, "noisewalk.cli")
        assert isinstance(module.app, typer.Typer)
        code, out, err = noisewalk(name, "--help")
        assert (code, err) == (0, "")
        assert f"noisewalk {name}" in out


def test_the_version_is_printed(noisewalk):
    assert noisewalk("--version") == (0, f"{nw.__version__}\n", "")


def test_what_cannot_be_called_is_one_line(refused):
    assert "Did you mean 'sample'" in refused("smaple")
    assert "frobnicate" in refused("frobnicate")
    assert "--frobnicate" in refused("--frobnicate")
    assert "input" in refused("sample").lower()
    assert "nobody" in refused("priors", "show", "nobody")


def test_an_error_that_nobody_expects_is_raised(monkeypatch):
    def broken(**_):
        raise ZeroDivisionError

    monkeypatch.setattr("noisewalk.cli.main.app", broken)
    with pytest.raises(ZeroDivisionError):
        main()
