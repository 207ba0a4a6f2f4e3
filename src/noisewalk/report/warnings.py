"""What a person must know before believing the pictures of a run."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..evaluate.diagnostics.evidence import informative_epsilon
from ..sampling.run import Run
from ..sampling.verdict import DOUBT, FORGOTTEN, TRUST, UNADJUSTED, UNFINISHED, way_out
from .verdicts import MEMORY_BAD

RIGHT = (
    "The chains keep some memory of their starts. Here that is no fault, because the starts were "
    "right."
)
MODES = (
    "If the measurement allows several quite different images, how often the draws show each of "
    "them depends on the starts, and is not to be relied on."
)
LARGE_ERROR = 0.5  # standard error from which on a log evidence is no more than a warning


def notes_of(run: Run, summary: Mapping[str, Any], exact: bool | None) -> Iterator[str]:
    """The warnings that the reason of the verdict does not hold; `exact` says whether the kernel
    is."""
    reason, trusted = summary["verdict_reason"], summary["verdict"] == TRUST
    if not run.complete and reason != UNFINISHED:
        yield UNFINISHED
    of_smc = run.log_evidence is not None
    if of_smc and (summary.get("memory") or 0.0) > MEMORY_BAD:  # None where it is not finite
        yield (
            "The moves have hardly changed the particles after a resampling: the correlation of "
            f"before and after is {summary['memory']:.2f} at the worst temperature. Few particles "
            "are independent, and modes may be missing. Carry more particles (--num-particles), or "
            "move them more often (--num-moves 4,32). If the posterior has separate "
            "modes, no move connects them; the correlation then stays high and is no fault. In "
            "that case, compare the log evidence of two seeds."
        )
    if summary["divergences"] and not trusted:  # an exact kernel loses nothing by rejecting them
        yield (
            f"{summary['divergences']} proposals were not finite and were rejected. " + way_out(run)
        )
    if exact is False and reason != UNADJUSTED:
        yield UNADJUSTED


def remarks_of(run: Run, summary: Mapping[str, Any]) -> Iterator[str]:
    """What helps to read the pictures."""
    if run.log_evidence is not None:
        found = f"{summary['log_evidence']:.2f}{_error(summary.get('log_evidence_error'))}"
        told = "These are particles of tempered SMC, not chains, so there is no R-hat."
        yield f"{told} Log evidence: {found}."
    elif (summary.get("memory_bound") or 0.0) >= FORGOTTEN and summary["verdict"] != DOUBT:
        yield f"{RIGHT} {MODES}" if summary["verdict"] == TRUST else MODES
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


def _error(error: float | None) -> str:
    """A standard error of the log evidence; a large one says only that it is large."""
    if error is None:
        return ""
    if error < LARGE_ERROR:
        return f" ± {error:.2f} (one standard error)"
    return f" (the standard error is {LARGE_ERROR} or more: carry more particles)"
