"""What a person must know before believing the pictures of a run."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..evaluate.diagnostics.evidence import informative_epsilon
from ..sampling.run import Run
from .verdicts import ESS_BAD, ESS_GOOD, MEMORY_BAD, R_HAT_GOOD

LARGE_ERROR = 0.5  # standard error from which on a log evidence is no more than a warning
UNADJUSTED = (
    "The kernel is unadjusted: its draws have a bias of the order of the step size, which R-hat "
    "cannot detect."
)


def notes_of(run: Run, summary: Mapping[str, Any], exact: bool | None) -> Iterator[str]:
    """The warnings; `exact` says whether the kernel is."""
    if not run.complete:
        yield (
            f"The run is not finished: each chain has {summary['num_draws']} draws so far. "
            "Continue it with --resume, or repeat its nw.sample call."
        )
    if run.log_evidence is None and (mixing := _mixing(run, summary)):
        yield mixing
    if (summary.get("memory") or 0.0) > MEMORY_BAD:  # None where it is not finite
        yield (
            "The moves have hardly changed the particles after a resampling: the correlation of "
            f"before and after is {summary['memory']:.2f} at the worst temperature. Few particles "
            "are independent, and modes may be missing. Carry more particles (--num-particles), or "
            "move them more often (--num-moves 4,32). If the posterior has separate "
            "modes, no move connects them; the correlation then stays high and is no fault. In "
            "that case, compare the log evidence of two seeds."
        )
    if summary["divergences"]:
        yield (
            f"{summary['divergences']} proposals were not finite and were rejected. Use a smaller "
            "step size."
        )
    if exact is False:
        yield UNADJUSTED


def remarks_of(run: Run, summary: Mapping[str, Any]) -> Iterator[str]:
    """What helps to read the pictures."""
    if run.log_evidence is not None:
        found = f"{summary['log_evidence']:.2f}{_error(summary.get('log_evidence_error'))}"
        told = "These are particles of tempered SMC, not chains, so there is no R-hat."
        yield f"{told} Log evidence: {found}."
    if summary.get("log_kappa") is not None:
        worst = None if run.log_evidence_error is None else float(run.log_evidence_error.max())
        yield conditioning(summary["log_kappa"], worst)


def conditioning(log_kappa: float, error: float | None = None) -> str:
    """Whether the posterior is well-conditioned: the paper's Theorem 4.1 in plain words."""
    epsilon = float(informative_epsilon(log_kappa))
    bound = f"below {epsilon:.1g}" if epsilon > 1e-300 else "too small to write"
    ill = "ill-conditioned: errors of the prior can matter."
    verdict = ill if log_kappa >= 3.0 else "well-conditioned."
    return (
        f"The log condition number, log kappa, is at most {log_kappa:.1f}{_error(error)}. The "
        f"posterior is {verdict} A prior that is wrong by eps in total variation changes the "
        f"posterior by at most 2 kappa eps, which says something only for eps {bound}."
    )


def _mixing(run: Run, summary: Mapping[str, Any]) -> str:
    """The warning about mixing; an empty string if the chains have mixed."""
    r_hat, ess = summary["r_hat_max"], summary["ess_bulk_min"] or math.inf
    if r_hat is None:
        why = "There are too few draws, or they do not vary, to tell whether the chains agree."
        if run.draws.shape[1] == 1:
            why = "One chain alone cannot tell whether chains agree: run at least two."
        return f"{why} Treat the uncertainty map as a lower bound."
    if math.isinf(r_hat):
        return (
            "The chains are stuck, each in its own place (R-hat is infinite): these are not draws "
            "from the posterior. Use a smaller step size."
        )
    if r_hat > R_HAT_GOOD:
        return (
            f"The chains have not mixed yet: the largest R-hat is {r_hat:.2f}, and the aim is "
            f"{R_HAT_GOOD}. The uncertainty map is too narrow. Run longer chains."
        )
    if ess < ESS_BAD:
        return (
            f"At the worst pixel, the draws are worth {ess:.0f} independent ones, and the aim is "
            f"{ESS_GOOD:.0f}. The maps are rough. Run longer chains."
        )
    return ""


def _error(error: float | None) -> str:
    """A standard error of the log evidence; a large one says only that it is large."""
    if error is None:
        return ""
    if error < LARGE_ERROR:
        return f" ± {error:.2f} (one standard error)"
    return f" (the standard error is {LARGE_ERROR} or more: carry more particles)"
