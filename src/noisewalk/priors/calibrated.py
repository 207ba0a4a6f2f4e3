"""Which problems a prior's card lists as calibrated: randomised starts have passed there, on many
simulated measurements.

An entry of the card's list `calibrated` names an operator, bounds for its settings and bounds for
sigma_y, on the scale of [-1, 1]. A setting that the entry does not name, such as a seed, may have
any value. Images of another size than the prior's are another problem:

    {"operator": "avgpool", "factor": [2, 8], "sigma_y": [0.05, 0.2]}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from .._text import settings_in, split
from ..errors import ConfigError, WeightsError
from ..operators import observed_of
from ..operators.parser import CLASSES, made
from .cards import read_card, read_cards
from .load import BUNDLED


def name_of(network: Any) -> str | None:
    """The bundled prior whose card has this network, as spec.json writes it."""
    for path in sorted(BUNDLED.glob("*/card.json")):
        card = read_card(path.parent)
        if network is not None and card.get("network") == network:
            return str(card["name"])
    return None


def is_calibrated(
    prior: str, operator: str | Mapping[str, Any], sigma_y: float, shape: tuple[int, ...]
) -> bool:
    """Whether the card of a prior, by name or folder, lists Gaussian noise of this level after an
    operator, by its text or its facts in spec.json, on images of this shape; False for an unknown
    prior."""
    for folder in (BUNDLED / prior, Path(prior)):
        if (folder / "card.json").is_file():
            try:
                return listed(read_card(folder), operator, sigma_y, shape)
            except WeightsError:
                return False
    return listed(read_cards().get(prior, {}), operator, sigma_y, shape)


def listed(
    card: Mapping[str, Any],
    operator: str | Mapping[str, Any],
    sigma_y: float,
    shape: tuple[int, ...],
) -> bool:
    """Whether an entry of a card covers the operator and the noise level, on the card's images."""
    told = settings_of(operator)
    if told is None or card.get("shape") != list(shape):
        return False
    found, entries = {**told, "sigma_y": sigma_y}, card.get("calibrated")
    return any(_covers(one, found) for one in (entries if isinstance(entries, list) else []))


def settings_of(operator: str | Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings of an operator, and its name as `operator`; None for one of several steps, or
    of the user's own."""
    if not isinstance(operator, str):
        names = {cls.__name__: name for name, cls in CLASSES.items()}
        name = names.get(str(operator.get("name")))
        return None if name is None else {**operator, "operator": name}
    name, rest = split(operator)
    if name not in CLASSES:
        return None
    try:
        return {**settings_in(rest, CLASSES[name], name), "operator": name}
    except ConfigError:
        return None


def num_observed(operator: str | Mapping[str, Any], shape: tuple[int, ...], y: Tensor) -> int:
    """Entries of y, (image, ...), that a listed operator on images of a shape leaves observed."""
    told = settings_of(operator) or {}
    given = {key: value for key, value in told.items() if key not in ("operator", "name")}
    own = observed_of(made(CLASSES[told["operator"]], given, shape), shape)
    return y[0].numel() if own is None else int(own.expand(y.shape[1:]).sum())


def _covers(entry: Any, found: Mapping[str, Any]) -> bool:
    if not isinstance(entry, dict) or not {"operator", "sigma_y"} <= entry.keys():
        return False
    return all(key in found and _within(found[key], bounds) for key, bounds in entry.items())


def _within(value: Any, bounds: Any) -> bool:
    """Whether a value is between two bounds, or the one that is given."""
    if isinstance(bounds, list) and len(bounds) == 2:
        numbers = all(isinstance(one, int | float) for one in (value, *bounds))
        return numbers and bounds[0] <= value <= bounds[1]
    return bool(value == bounds)
