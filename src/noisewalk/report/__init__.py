"""The run report: one self-contained page and three pictures from plain arrays."""

from .data import ReportData
from .html import render
from .images import write_images

__all__ = ["ReportData", "render", "write_images"]
