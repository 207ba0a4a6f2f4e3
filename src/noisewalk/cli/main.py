"""The command line: the list of commands, and what happens to an error."""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..errors import NoisewalkError
from . import options as opt

COMMANDS = {
    "demo": (".demo.command", "Restore a real held-out image with its uncertainty."),
    "sample": (".sample", "Draw posterior samples for one image or measurement."),
    "app": (".app", "Restore images on a web page."),
    "report": (".report", "Rebuild the report of a run."),
    "export": (".export", "Write a result of a run for other programs."),
    "doctor": (".doctor", "Check what a run stores, and repair it."),
    "watch": (".watch", "Show the live progress of runs."),
    "calibrate": (".calibrate", "Test whether the sampler is right on simulated problems."),
    "bench": (".bench", "Make one of the paper's tables or figures."),
    "priors": (".priors", "List, show, get and push priors."),
    "train": (".train", "Train priors."),
}
"""The module of each command's `app`, and its help."""


class Commands(TyperGroup):
    """The group of all commands, each of which is imported when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, with its name and its arguments."""
        name, _, rest = super().resolve_command(ctx, args)
        module = import_module(COMMANDS[str(name)][0], __package__)
        return name, typer.main.get_command(module.app), rest


app = typer.Typer(cls=Commands, pretty_exceptions_enable=False, **opt.PLAIN)
for _name, (_, _help) in COMMANDS.items():
    app.command(_name, help=_help)(lambda: None)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Draw samples from p(x | y) with generative priors."""
    if version:
        print(__version__)
        raise typer.Exit
    opt.help_if_alone(context)


def main() -> None:
    """Run the command line: bad input ends in one line and exit status 2."""
    try:
        code = app(standalone_mode=False)
    except NoisewalkError as error:
        _fail(str(error))
    except MemoryError:
        _fail("there is not enough memory: ask for less at once, for instance by --microbatch")
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        _fail(
            f"cannot read or write{where}: {error.strerror or error}; give another place, or room"
        )
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of the command-line parser
            _fail(error.format_message())
        if type(error).__name__ == "Abort":
            raise SystemExit(130) from None
        raise
    raise SystemExit(code or 0)


def _fail(message: str) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(2) from None
