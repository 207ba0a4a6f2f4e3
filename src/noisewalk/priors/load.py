"""`load_prior`: a bundled prior by name, or any folder that `noisewalk train` wrote."""

import json
from pathlib import Path
from typing import Any

import torch

from ..errors import ConfigError, WeightsError
from .prior import Prior

BUNDLED = Path(__file__).parent / "bundled"
CARD_KEYS = ("kind", "shape", "sigma_min", "sigma_max", "sigma_data", "unshuffle", "sha256")


def list_priors() -> dict[str, dict[str, Any]]:
    """Every prior that ships with the package.

    Returns:
        Cards by name.
    """
    return {folder.name: read_card(folder) for folder in sorted(BUNDLED.iterdir()) if (folder / "card.json").exists()}


def load_prior(source: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Prior:
    """Load a prior; its weights never require gradients.

    Arguments:
        source: a bundled prior's name ("fashion32", its teacher "fashion32-edm") or a folder with card.json and unet/.
        device: where the network lives.
        dtype: of the network's weights and arithmetic.

    Returns:
        The prior.

    Raises:
        ConfigError: no such prior.
        WeightsError: the folder's files are missing, corrupt or not what the card says.
    """
    from .denoiser import KINDS, NetworkDenoiser
    from .diffusers import read_unet

    folder = BUNDLED / str(source)
    if not (folder / "card.json").exists():
        folder = Path(source)
    if not folder.is_dir():
        raise ConfigError(f"unknown prior {str(source)!r}: choose one of {', '.join(list_priors())}, or give a folder that `noisewalk train` wrote")
    card = read_card(folder)
    if card["kind"] not in KINDS:
        raise WeightsError(f"{folder / 'card.json'}: kind is {card['kind']!r}, allowed are {', '.join(KINDS)}")
    network = torch.nn.Module.to(read_unet(folder / "unet", card["sha256"]), device=device, dtype=dtype)
    scaling = {k: float(card[k]) for k in ("sigma_min", "sigma_max", "sigma_data")}
    denoiser = NetworkDenoiser(network, card["kind"], tuple(card["shape"]), **scaling, unshuffle=int(card["unshuffle"]))  # type: ignore[arg-type]
    return Prior(str(source), card, denoiser)


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
    try:
        card = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {error}") from error
    missing = [key for key in CARD_KEYS if not isinstance(card, dict) or key not in card]
    if missing:
        raise WeightsError(f"{path} lacks {', '.join(missing)}")
    return card
