"""What the commands share."""

from collections import defaultdict
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from types import SimpleNamespace

import pytest
import torch
import typer

import noisewalk as nw
from noisewalk.cli import options as opt
from noisewalk.cli.main import COMMANDS
from noisewalk.errors import ConfigError


@dataclass(frozen=True)
class Two:
    count: int
    seed: opt.Seed[int] = 7


def test_the_fields_of_a_dataclass_are_the_options_of_its_command():
    got = []

    @opt.reads(Two)
    def command(options: Two) -> None:
        """Do something."""
        got.append(options)

    assert list(signature(command).parameters) == ["count", "seed"]
    assert command.__doc__ == "Do something."
    command(count=1)
    app = typer.Typer(**opt.PLAIN)
    app.command()(command)
    app(["3", "--seed", "4"], standalone_mode=False)
    assert got == [Two(1), Two(3, 4)]


def options_of(group):
    """Every option of a group of commands, as its command, its name and what declares it."""
    for registered in group.registered_commands:
        for name, field in signature(registered.callback).parameters.items():
            (declared,) = field.annotation.__metadata__
            if isinstance(declared, typer.models.OptionInfo):
                yield registered.callback.__name__, name, declared


def test_an_option_that_commands_share_is_declared_once():
    commands = defaultdict(lambda: defaultdict(list))
    for place, _ in COMMANDS.values():
        for command, name, declared in options_of(import_module(place, "noisewalk.cli").app):
            commands[name][id(declared)].append(command)
            assert declared.help.endswith("."), (command, name)
            assert len(declared.help) < 200, (command, name)
    assert {"sample", "diffusion"} <= set(next(iter(commands["out"].values())))
    assert {k: list(v.values()) for k, v in commands.items() if len(v) > 1} == {}


def test_an_option_that_is_given_is_refused_also_where_it_is_0():
    given = SimpleNamespace(thin=0, spectral=False, lr=None, paper=True)
    opt.refuse("nothing", given, "spectral", "lr")
    for name, value in (("thin", "0"), ("paper", "True")):
        with pytest.raises(ConfigError, match=f"smc does not read --{name} .got {value}.: leave"):
            opt.refuse("smc", given, "lr", name)


def test_a_dtype_is_torchs():
    assert [opt.dtype_of(name) for name in ("float32", "float64")] == [torch.float32, torch.float64]
    with pytest.raises(ConfigError, match="--dtype 'int8'"):
        opt.dtype_of("int8")


def test_a_diffusion_model_is_mapped_by_its_probability_flow():
    prior = nw.load_prior("fashion32-edm")
    assert repr(opt.map_of(prior, 1)) == repr(prior.ode_map())
    with pytest.raises(ConfigError, match="--num-steps"):
        opt.map_of(prior, 2)


def test_large_images_are_computed_a_few_at_a_time():
    rows = {28: 128, 32: 128, 64: 32, 128: 8, 256: 2, 1024: 1}
    assert {side: opt.rows_at_once((3, side, side)) for side in rows} == rows


def test_the_command_line_reproduces_the_work_without_resuming(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/noisewalk", "sample", "my y.npy", "--resume", "-x"])
    assert opt.command_line() == "noisewalk sample 'my y.npy' -x"
