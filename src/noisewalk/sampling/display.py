"""What a notebook shows of a run."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _pictures as pictures
from .view import View, verdict_line, view_of

if TYPE_CHECKING:
    from .run import Run

DRAWS = 3


def html_of(run: "Run") -> str:
    """Pictures of the first image, the verdict and five numbers."""
    images, chains, count = run.draws.shape[:3]
    title = f"{images} images, the first one shown" if images > 1 else "Posterior draws"
    if count == 0:
        return pictures.card(title, "There are no draws yet.")
    summary = run.summary()
    shown = panels_of(view_of(run, 0, DRAWS))
    return pictures.card(title, verdict_line(summary), shown, numbers_of(run, summary, chains))


def panels_of(view: View) -> list[tuple[str, np.ndarray]]:
    """Captioned pictures; none of vectors."""
    if not view.is_picture:
        return []
    out = []
    if view.truth is not None:
        out.append(("truth", pictures.shades(view.truth, *view.limits)))
    if view.y is not None and view.y.ndim >= 2:
        out.append(("measurement", pictures.shades(view.y, *view.y_limits)))
    out.append(("mean", pictures.shades(view.mean, *view.limits)))
    out.append((f"uncertainty, 0 to {view.top:.2g}", pictures.heat(view.spread, view.top)))
    draws = enumerate(view.draws, 1)
    out += [(f"draw {k}", pictures.shades(x, *view.limits)) for k, x in draws]
    up = view.origin == "lower"
    return [(name, pixels[::-1] if up else pixels) for name, pixels in out]


def numbers_of(run: "Run", summary: dict[str, Any], chains: int) -> dict[str, str]:
    """Five numbers: draws, calls, time, fit, and the error or the Monte Carlo error of the mean."""
    draws = run.draws.shape[2]
    found = {
        "draws": f"{chains} x {draws}",
        "network calls": f"{run.nfe:,}" if run.nfe else "not counted",
        "time": f"{run.seconds:.1f} s" if run.seconds else "not measured",
        "chi-square": _number(summary["chi2"], ".2f"),
    }
    if "psnr" in summary:
        return {**found, "PSNR of the mean": f"{summary['psnr']:.1f} dB"}
    return {**found, "error of the mean": _number(summary["mcse_mean"], ".2g", " posterior sd")}


def _number(value: float, how: str, unit: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:{how}}{unit}"
