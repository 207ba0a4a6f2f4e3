"""Where the weights of a known prior are on this machine, with their size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import _packages as packages
from .diffusers import WEIGHTS
from .hub import cached_copy
from .load import BUNDLED


def where(name: str, card: Mapping[str, Any]) -> Path | None:
    """The file or folder of a prior's weights; None if they are not here."""
    match card.get("format"):
        case "package":
            archive = card["archive"]
            path = packages.place(archive["package"], archive["version"], archive["member"])
        case "openai":
            path = packages.cache_folder() / name
        case "hub":
            return cached_copy(name)
        case _:
            return BUNDLED / name / "unet" / WEIGHTS
    return path if path.is_file() else None


def size_of(name: str, card: Mapping[str, Any]) -> int:
    """Bytes of a prior's weights; the cards of published checkpoints give a rounded number."""
    known = card.get("size") or card.get("approximate_size")
    return int(known) if known else (BUNDLED / name / "unet" / WEIGHTS).stat().st_size
