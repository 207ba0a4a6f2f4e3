"""Measurements in and results out: arrays from files, their units and masks, pictures."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .arrays import read_array
    from .images import Fit, ValueRange, load_image, load_mask, load_measurement, save_png

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Fit": "images",
        "ValueRange": "images",
        "load_image": "images",
        "load_mask": "images",
        "load_measurement": "images",
        "read_array": "arrays",
        "save_png": "images",
    },
)
