"""The cards of priors: what each one is, where it comes from, and what its loader needs to know.

A bundled or trained prior has its card.json beside its weights; cards.yaml holds the others.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._checks import one_of, real, whole
from ..errors import ConfigError, WeightsError
from ..maps.representation_error import checked_std
from .denoiser import KINDS
from .mismatched_keys import shortened

CARDS = Path(__file__).parent / "cards.yaml"
SCALING = {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5}  # of a card without them
LARGEST_SIDE = 1 << 16  # of an image that a card describes
CARD_KEYS = ("kind", "shape", *SCALING, "unshuffle", "sha256")


def read_cards() -> dict[str, dict[str, Any]]:
    """The cards of cards.yaml by name of the prior, checkpoint file or Hub repository."""
    import yaml

    priors = yaml.safe_load(CARDS.read_text(encoding="utf-8"))["priors"]
    return {name: {"name": name, **card} for name, card in priors.items()}


def read_card(folder: Path) -> dict[str, Any]:
    """The checked card.json of a prior's folder."""
    path = folder / "card.json"
    if not path.exists():
        raise WeightsError(f"{folder} has no card.json: give a folder that `noisewalk train` wrote")
    card = read_table(path)
    if missing := [key for key in CARD_KEYS if key not in card]:
        raise WeightsError(f"{path} lacks {', '.join(missing)}")
    check_card(card, path)
    if not isinstance(card["sha256"], str) or len(card["sha256"]) != 64:
        got = shortened(repr(card["sha256"]))
        raise WeightsError(f"{path}: sha256 must be 64 hexadecimal digits, got {got}")
    return card


def read_table(path: Path) -> dict[str, Any]:
    """The settings in a JSON file."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"cannot read {path}: {shortened(error)}") from error
    if not isinstance(table, dict):
        raise WeightsError(f"{path} must hold a table of settings, got a {type(table).__name__}")
    return table


def check_card(card: Mapping[str, Any], path: Path) -> None:
    """Refuse a kind, a noise level, a shape or a pixel-unshuffle factor that no prior can have."""
    shape = card.get("shape", [1, 1, 1])
    try:
        one_of("kind", card["kind"], KINDS)
        for key in SCALING:
            real(key, card[key], above=0.0)
        real("sigma_min", card["sigma_min"], below=card["sigma_max"])
        whole("unshuffle", card.get("unshuffle", 1))
        if not isinstance(shape, list) or len(shape) != 3:
            raise ConfigError(f"shape must be three whole numbers (C, H, W), got {shape!r}")
        for size in shape:
            whole("each number of shape", size, most=LARGEST_SIDE)
        if (label := card.get("label")) is not None:
            check_label(label)
        if (margin := card.get("margin")) is not None:
            whole("margin", margin, 0, LARGEST_SIDE)
        if (error := card.get("representation_error")) is not None:
            if not isinstance(error, list):
                raise ConfigError(f"representation_error must be numbers by band, got {error!r}")
            checked_std("representation_error", error)
        real("time_scale", card.get("time_scale", 1.0), above=0.0)
        ends = card.get("range", [-1.0, 1.0])
        if not isinstance(ends, list) or len(ends) != 2:
            raise ConfigError(f"range must be two numbers, got {ends!r}")
        real("range's first number", ends[0], below=real("range's second number", ends[1]))
        if (midpoint := card.get("midpoint")) is not None:
            real("midpoint", midpoint, above=card["sigma_min"], below=card["sigma_max"])
    except ConfigError as error:
        raise WeightsError(f"{path}: {shortened(error)}") from error


def check_label(label: Any) -> None:
    """ConfigError unless a card's label says its name, its range and whether it is whole."""
    if not isinstance(label, Mapping) or set(label) != {"name", "lowest", "highest", "whole"}:
        wanted = '{"name": "class", "lowest": 0, "highest": 9, "whole": true}'
        raise ConfigError(f"label must be a table such as {wanted}, got {label!r}")
    if not isinstance(label["name"], str) or not isinstance(label["whole"], bool):
        raise ConfigError(f"label must have a word as name, and true or false as whole: {label!r}")
    real("label's highest", label["highest"], least=real("label's lowest", label["lowest"]))
