"""Diagnostics of chains and posteriors, on plain arrays."""

from typing import TYPE_CHECKING

from ..._lazy import lazy

if TYPE_CHECKING:
    from .chains import ess_bulk, ess_tail, image_diagnostics, jump, mcse_mean, r_hat
    from .evidence import informative_epsilon, log_kappa, tv_bound
    from .predictive import chi2, chi2_p_value
    from .ranks import coverage, sbc, tarp

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
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
    },
)
