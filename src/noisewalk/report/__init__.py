"""The run report: one self-contained page with its pictures, from a run's folder or from arrays."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .build import build_report
    from .data import ReportData
    from .html import render
    from .pictures import write_images

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {"build": "build_report", "data": "ReportData", "html": "render", "pictures": "write_images"},
)
