"""The cards of priors: what each is, where it comes from, and what a loader needs to know; in
cards.yaml for weights that are not in this package."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import WeightsError
from .denoiser import KINDS

CARDS = Path(__file__).parent / "cards.yaml"
CARD_KEYS = ("kind", "shape", "sigma_min", "sigma_max", "sigma_data", "unshuffle", "sha256")


def read_cards() -> dict[str, dict[str, Any]]:
    """Read cards.yaml.

    Returns:
        Cards by name: a package prior's ("terrain128"), a checkpoint file's
            ("cd_bedroom256_lpips.pt") or a Hub repository's
        ("openai/diffusers-cd_bedroom256_lpips"). A package prior's `archive` holds the arguments of
        `packages.fetch`.
    """
    import yaml

    return {
        name: {"name": name, **card}
        for name, card in yaml.safe_load(CARDS.read_text(encoding="utf-8"))["priors"].items()
    }


def read_card(folder: Path) -> dict[str, Any]:
    """Read and check a prior's card.

    Arguments:
        folder: the prior's folder.

    Returns:
        The card.

    Raises:
        WeightsError: no card, a corrupt one, or one without the keys that loading needs.
    """
    path = folder / "card.json"
    if not path.exists():
        raise WeightsError(f"{folder} has no card.json: give a folder that `noisewalk train` wrote")
    card = read_table(path)
    if missing := [key for key in CARD_KEYS if key not in card]:
        raise WeightsError(f"{path} lacks {', '.join(missing)}")
    check_scaling(card, path)
    check_shape(card, path)
    if not isinstance(card["unshuffle"], int) or card["unshuffle"] < 1:
        raise WeightsError(
            f"{path}: unshuffle must be a whole number of at least 1, got {card['unshuffle']!r}"
        )
    if not isinstance(card["sha256"], str) or len(card["sha256"]) != 64:
        raise WeightsError(f"{path}: sha256 must be 64 hexadecimal digits, got {card['sha256']!r}")
    return card


def read_table(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds a table.

    Arguments:
        path: the file.

    Returns:
        The table.

    Raises:
        WeightsError: a file that cannot be read, or holds something else.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {error}") from error
    if not isinstance(table, dict):
        raise WeightsError(f"{path} must hold a table of settings, got a {type(table).__name__}")
    return table


def check_scaling(card: Mapping[str, Any], path: Path) -> None:
    """Check kind and noise levels.

    Arguments:
        card: holds kind, sigma_min, sigma_max and sigma_data.
        path: where they were read, for the message.

    Raises:
        WeightsError: a kind or noise level that cannot be.
    """
    levels = [card["sigma_min"], card["sigma_max"], card["sigma_data"]]
    if card["kind"] not in KINDS:
        raise WeightsError(f"{path}: kind is {card['kind']!r}, allowed are {', '.join(KINDS)}")
    if (
        not all(
            isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < math.inf
            for v in levels
        )
        or not levels[0] < levels[1]
    ):
        raise WeightsError(
            f"{path}: sigma_min, sigma_max and sigma_data must be positive numbers and "
            f"sigma_min below sigma_max, got {levels}"
        )


def check_shape(card: Mapping[str, Any], path: Path) -> None:
    """Check the shape of x.

    Arguments:
        card: holds shape.
        path: where it was read, for the message.

    Raises:
        WeightsError: anything but three positive whole numbers.
    """
    shape = card["shape"]
    if (
        not isinstance(shape, list)
        or len(shape) != 3
        or not all(isinstance(v, int) and v > 0 for v in shape)
    ):
        raise WeightsError(
            f"{path}: shape must be three positive whole numbers (C, H, W), got {shape!r}"
        )
