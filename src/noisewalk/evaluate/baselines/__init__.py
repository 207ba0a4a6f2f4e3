"""The methods that the paper compares with, over any denoiser: DPS, LGD, MPGD and the consistency
model's zero-shot editing.

Names are loaded on first use, so that importing the package does not import torch. The methods'
files start with an underscore: a file named like its function would hide the function once it is
imported.
"""

from typing import TYPE_CHECKING

from ..._lazy import lazy

if TYPE_CHECKING:
    from ._cmedit import cmedit
    from ._dps import dps
    from ._lgd import lgd
    from ._mpgd import mpgd
    from .ancestral import unguided
    from .counting import CountedDenoiser

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "CountedDenoiser": "counting",
        "cmedit": "_cmedit",
        "dps": "_dps",
        "lgd": "_lgd",
        "mpgd": "_mpgd",
        "unguided": "ancestral",
    },
)
