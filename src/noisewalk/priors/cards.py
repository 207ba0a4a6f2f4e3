"""The cards of priors whose weights are not in this package: what each is, where it comes from, and what a loader needs to know."""

from pathlib import Path
from typing import Any

CARDS = Path(__file__).parent / "cards.yaml"


def read_cards() -> dict[str, dict[str, Any]]:
    """Read cards.yaml.

    Returns:
        Cards by name: a package prior's ("terrain128"), a checkpoint file's ("cd_bedroom256_lpips.pt") or a Hub repository's
        ("openai/diffusers-cd_bedroom256_lpips"). A package prior's `archive` holds the arguments of `packages.fetch`.
    """
    import yaml

    return {name: {"name": name, **card} for name, card in yaml.safe_load(CARDS.read_text(encoding="utf-8"))["priors"].items()}
