"""Features of images, by a named network of `feature_networks` or by one's own function."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor

from ..._checks import one_of, whole
from ...errors import ConfigError
from .feature_networks import LOADERS

AnyExtractor: TypeAlias = str | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Extractor:
    """A feature extractor with a name for the tables.

    Arguments:
        name: what the tables call it.
        function: from (B, C, H, W) images in [-1, 1] to (B, d).

    Raises:
        ConfigError: the name is empty, or the function cannot be called.

    Example:
        >>> pixels = nw.metrics.Extractor("pixels", lambda images: images.flatten(1))
        >>> pixels(torch.zeros(2, 1, 4, 4)).shape
        torch.Size([2, 16])
    """

    name: str
    function: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or not callable(self.function):
            found = f"{self.name!r} and {self.function!r}"
            raise ConfigError(f"an extractor needs a name and a function, got {found}")

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) images in [-1, 1] -> (B, d)."""
        return self.function(images)


def name_of(extractor: AnyExtractor) -> str:
    """What a table calls an extractor.

    Arguments:
        extractor: a name, an `Extractor`, or a function.

    Returns:
        Its name, or the name of the function or class.

    Example:
        >>> nw.metrics.name_of("resnet50"), nw.metrics.name_of(abs)
        ('resnet50', 'abs')
    """
    if isinstance(extractor, str):
        return extractor
    if isinstance(extractor, Extractor):
        return extractor.name
    return getattr(extractor, "__name__", type(extractor).__name__)


def features(
    images: Tensor, extractor: AnyExtractor = "efficientnet-lite0", batch_size: int = 16
) -> Tensor:
    """Features of images, batch by batch, without gradients or random numbers.

    Cost: one network call per image.

    Arguments:
        images: (N, C, H, W) in [-1, 1], C 1 or 3.
        extractor: "efficientnet-lite0", "clip-vit-b32", "resnet50", "inception-v3", or any function
            from (B, C, H, W) images in [-1, 1] to (B, d), such as an `Extractor`.
        batch_size: images at once; another one may change the last bits.

    Returns:
        (N, d) on the images' device; float32 and d = 1280, 512, 2048, 2048 for the named ones.

    Raises:
        ConfigError: an unknown extractor, or images of another shape.
        MissingExtraError: the extractor's packages are not installed.
        WeightsError: its weight file is missing or not the expected one.

    Example:
        >>> images = torch.zeros(5, 1, 8, 8)
        >>> nw.metrics.features(images, lambda batch: batch.mean((2, 3))).shape
        torch.Size([5, 1])
    """
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1] not in (1, 3) or not shape[0] or not images.is_floating_point():
        wanted = "floating-point (N, C, H, W) in [-1, 1] with C 1 or 3"
        raise ConfigError(f"images must be {wanted}, got {images.dtype} {shape}")
    size = whole("batch_size", batch_size)
    if isinstance(extractor, str):
        one_of("extractor", extractor, tuple(LOADERS))
        extractor = load_extractor(extractor, str(images.device))
    with torch.no_grad():
        return torch.cat([extractor(batch) for batch in images.split(size)])


@cache
def load_extractor(name: str, device: str) -> Extractor:
    """The named extractor on a device; its library may download weights into its own cache."""
    with torch.random.fork_rng(devices=[]):  # the libraries initialise at random before they load
        return Extractor(name, LOADERS[name](device))
