"""The methods that the paper compares with, over any denoiser: DPS, LGD, MPGD and the consistency
model's zero-shot editing.

No file has the name of a function: an imported `dps.py` would hide the function `dps`.
"""

from typing import TYPE_CHECKING

from ..._lazy import lazy

if TYPE_CHECKING:
    from .ancestral import unguided
    from .cmedit_sampler import cmedit
    from .counting import CountedDenoiser
    from .dps_sampler import dps
    from .lgd_sampler import lgd
    from .mpgd_sampler import mpgd

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "ancestral": "unguided",
        "cmedit_sampler": "cmedit",
        "counting": "CountedDenoiser",
        "dps_sampler": "dps",
        "lgd_sampler": "lgd",
        "mpgd_sampler": "mpgd",
    },
)
