"""The run report: one self-contained page and three pictures, of a run's folder or from plain
arrays."""

from .build import build_report
from .data import ReportData
from .html import render
from .images import write_images

__all__ = ["ReportData", "build_report", "render", "write_images"]
