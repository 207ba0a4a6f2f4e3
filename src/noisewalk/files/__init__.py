"""Measurements in and results out: arrays from files, their units and masks, pictures."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .arrays import read_array
    from .georeference import Georeference
    from .images import save_png
    from .masks import load_mask
    from .measurement import Measurement, load_image, open
    from .ranges import ValueRange
    from .resize import Fit

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "arrays": "read_array",
        "former": "load_measurement",
        "georeference": "Georeference",
        "resize": "Fit",
        "images": "save_png",
        "masks": "load_mask",
        "measurement": "Measurement load_image open",
        "ranges": "ValueRange",
    },
    renamed={"load_measurement": "open"},
)
