"""Which priors' weights are on this machine, and how large they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import _packages as packages
from .diffusers import WEIGHTS
from .hub import cached_copy
from .load import BUNDLED


def where(name: str, card: Mapping[str, Any]) -> Path | None:
    """The place of a known prior's weights.

    Arguments:
        name: of the prior.
        card: its card.

    Returns:
        File or folder, None if the weights are not here.
    """
    match card.get("format"):
        case "package":
            archive = card["archive"]
            path = packages.place(archive["package"], archive["version"], archive["member"])
            return path if path.is_file() else None
        case "openai":
            path = packages.cache_folder() / name
            return path if path.is_file() else None
        case "hub":
            return cached_copy(name)
        case _:
            return BUNDLED / name / "unet" / WEIGHTS


def size_of(name: str, card: Mapping[str, Any]) -> int:
    """Bytes of a known prior's weights.

    Arguments:
        name: of the prior.
        card: its card.

    Returns:
        From the file where it is bundled, else as the card says; rounded for published checkpoints.
    """
    known = card.get("size") or card.get("approximate_size")
    return int(known) if known else (BUNDLED / name / "unet" / WEIGHTS).stat().st_size
