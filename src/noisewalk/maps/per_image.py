"""What a map holds one of for every image of a batch, such as its class.

Rows are image-major: a batch of B rows holds B / N chains of every image in turn. A posterior that
evaluates other rows says whose they are.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Labels:
    """A class for each of N images; `rows`, (B,), says whose class a row has, and None that the
    rows are image-major."""

    values: tuple[int, ...]
    rows: Tensor | None = None

    def of(self, x: Tensor) -> Tensor:
        """(B,) the class of every row of x; ConfigError unless each image has as many rows."""
        rows, count = self.rows, len(self.values)
        if rows is None:
            if len(x) == 0 or len(x) % count:
                raise ConfigError(
                    f"label has {count} classes, one per image, and z has {len(x)} rows: give as "
                    f"many rows to each, a multiple of {count} in all (a wrapper around this map "
                    "must be a dataclass or an nn.Module: what others hold is not seen)"
                )
            rows = torch.arange(len(x), device=x.device) // (len(x) // count)
        return torch.tensor(self.values, device=x.device)[rows[: len(x)]]  # the first of them


def labels_of(label: "int | Labels | None", x: Tensor) -> Tensor | None:
    """(B,) the class of every row of x, None where there are no classes."""
    if isinstance(label, Labels):
        return label.of(x)
    return None if label is None else torch.full((len(x),), label, device=x.device)


def for_rows(part: T, image: Tensor) -> T:
    """The map of rows that are of these images, (B,); the same object where all are alike to it."""
    return _with_labels(part, lambda labels: Labels(labels.values, image))


def for_images(part: T, image: Tensor) -> T:
    """The map of these of its images, (N,), in this order."""
    chosen = image.tolist()
    return _with_labels(part, lambda labels: Labels(tuple(labels.values[k] for k in chosen)))


def for_image(part: T, number: int) -> T:
    """The map of one of its images; the same object where all are alike to it."""
    return _with_labels(part, lambda labels: labels.values[number])


def num_images(part: Any) -> int | None:
    """For how many images a map holds something; None where all are alike to it."""
    if isinstance(part, Labels):
        return len(part.values)
    found = (num_images(value) for value in _held(part).values())
    return next((count for count in found if count is not None), None)


def _with_labels(part: T, change: Callable[[Labels], Any]) -> T:
    """A copy with other labels; the same object where there are none."""
    if isinstance(part, Labels):
        return change(part)
    changed = {k: new for k, v in _held(part).items() if (new := _with_labels(v, change)) is not v}
    if not changed:
        return part
    twin = copy(part)
    vars(twin).update(changed)
    return twin


def _held(part: Any) -> dict[str, Any]:
    """The parts of a map, or of a module around a network, by name."""
    whole = isinstance(part, nn.Module) or (is_dataclass(part) and not isinstance(part, type))
    return {k: v for k, v in vars(part).items() if not k.startswith("_")} if whole else {}
