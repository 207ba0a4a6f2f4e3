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
        "chains": "ess_bulk ess_tail image_diagnostics jump mcse_mean r_hat",
        "evidence": "informative_epsilon log_kappa tv_bound",
        "predictive": "chi2 chi2_p_value",
        "ranks": "coverage sbc tarp",
    },
)
