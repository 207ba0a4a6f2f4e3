"""Diagnostics of chains and posteriors, on plain arrays."""

import importlib
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "r_hat": "chains",
    "ess_bulk": "chains",
    "ess_tail": "chains",
    "mcse_mean": "chains",
    "jump": "chains",
    "image_diagnostics": "chains",
    "sbc": "ranks",
    "tarp": "ranks",
    "coverage": "ranks",
    "log_kappa": "evidence",
    "tv_bound": "evidence",
    "informative_epsilon": "evidence",
    "chi2": "predictive",
    "chi2_p_value": "predictive",
}
__all__ = list(_EXPORTS)

if TYPE_CHECKING:
    from .chains import ess_bulk, ess_tail, image_diagnostics, jump, mcse_mean, r_hat
    from .evidence import informative_epsilon, log_kappa, tv_bound
    from .predictive import chi2, chi2_p_value
    from .ranks import coverage, sbc, tarp


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
