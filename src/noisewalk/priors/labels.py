"""The class, or the value of another condition, that the caller gives a prior."""

from collections.abc import Mapping, Sequence
from typing import Any

from .._checks import real, whole
from ..errors import ConfigError
from ..maps.per_image import Labels

Label = float | Sequence[float] | None
"""One for all images, or one for each."""


def checked_label(name: str, card: Mapping[str, Any], label: Label) -> Any:
    """The label as the card wants it, a tuple where there is one for each image; None where it
    wants none."""
    wanted = card.get("label")
    if wanted is None:
        if label is not None:
            raise ConfigError(f"{name} takes no label, got {label}: leave it out")
        return None
    low, high = wanted["lowest"], wanted["highest"]
    called = f"label ({wanted['name']})"
    if label is None:
        raise ConfigError(f"{name} needs a {called}: give a number from {low} to {high}")
    called += f" of {name}"
    if not isinstance(label, str) and _length(label) is not None:
        values = tuple(_one(called, wanted, one) for one in label)  # type: ignore[union-attr]
        if not values:
            raise ConfigError(f"{called} holds no number: give one, or one per image")
        return values
    return _one(called, wanted, label)


def class_of(
    name: str, card: dict[str, Any], label: Label, classes: int | None
) -> int | Labels | None:
    """The class that a network of some classes is given, or one per image."""
    if classes and not card.get("label"):
        card["label"] = {"name": "class", "lowest": 0, "highest": classes - 1, "whole": True}
    found = checked_label(name, card, label)
    if not classes or found is None:
        return None
    return Labels(tuple(map(int, found))) if isinstance(found, tuple) else int(found)


def _one(called: str, wanted: Mapping[str, Any], label: Any) -> float:
    low, high = wanted["lowest"], wanted["highest"]
    if not wanted["whole"]:
        return real(called, label, least=low, most=high)
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return whole(called, label, low, high)


def _length(value: Any) -> int | None:
    """How many a list, an array or a tensor holds; None for one number."""
    try:
        return len(value)
    except TypeError:
        return None
