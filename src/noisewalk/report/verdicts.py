"""What each key number of a run says in plain words, with a mark by a stated threshold.

Under Gaussian noise of a known level sigma_y, the misfit of the truth, m chi2 = sum((y - A(x))^2) /
sigma_y^2 over m observed entries, follows chi-square(m), and so does that of an exact draw. The
mean over draws spreads less, so the band below is on the safe side.
"""

import math
from collections.abc import Callable
from typing import Any

from ..sampling.verdict import FIT_SIZE, FORGOTTEN, LEVEL

R_HAT_GOOD, R_HAT_BAD = 1.05, 1.2
ESS_GOOD, ESS_BAD = 400.0, 50.0
ACCEPTANCE_GOOD, ACCEPTANCE_BAD = 0.4, 0.1
MEMORY_GOOD, MEMORY_BAD = 0.3, 0.6

Verdict = tuple[str, str]  # a mark ("good", "warn", "bad", or ""), and what the number says
Judge = Callable[[float], Verdict]


MARKS = {"trust": "good", "check": "warn", "do not trust": "bad"}  # of the run's verdict


def said(text: str) -> Judge:
    """A judge that gives no mark and always the same text."""
    return lambda _: ("", text)


def unmarked(judge: Judge) -> Judge:
    """The words of a judge without its mark."""
    return lambda value: ("", judge(value)[1])


def r_hat(value: float) -> Verdict:
    """Whether the chains agree."""
    text = f"{_R_HAT} Up to {R_HAT_GOOD} is good. "
    if math.isinf(value):
        text += "Each chain is stuck in its own place: the draws say nothing about the posterior."
        return "bad", text
    mark = _at_most(value, R_HAT_GOOD, R_HAT_BAD)
    return mark, text + (
        "These chains agree."
        if mark == "good"
        else "These chains have not mixed: the mean and the uncertainty still depend on where the "
        "chains started. Run longer chains."
    )


def r_hat_beside(perfect: Any) -> Judge:
    """What R-hat says where the run has a verdict: `perfect` is the maximum of perfect chains."""

    def judge(value: float) -> Verdict:
        text = r_hat(value)[1] if math.isinf(value) else _R_HAT
        if isinstance(perfect, float) and math.isfinite(perfect):
            text += (
                f" Perfect chains of this length show up to {perfect:.2f} at the worst of as many "
                "pixels."
            )
        return "", text

    return judge


def drift(bound: Any, p: Any) -> Judge:
    """What the drift says; `bound` and `p` are None where they are not known."""
    mark = ("bad" if p < LEVEL else "good") if _known(p) else ""
    text = (
        "How far the mean over chains still moves, in posterior standard deviations: the root mean "
        f"square over pixels, from early to last states.{_bounded(bound)}{_tested(p, 'drift')}"
        f" Less than {100 * LEVEL:.0f}\u00a0% means that they drift."
    )
    return lambda _: (mark, text)


def chain_memory(bound: Any, p: Any, largest: Any = None, largest_p: Any = None) -> Judge:
    """What the memory of chains says; `largest` is that of a single pixel or projection."""
    single = _known(largest_p) and largest_p < LEVEL
    mark = ("good" if bound < FORGOTTEN and not single else "warn") if _known(bound) else ""
    text = (
        "The correlation of early and last states over chains. It is 0 when the chains have "
        f"forgotten where they started.{_bounded(bound)} Below {FORGOTTEN} counts as "
        f"forgotten.{_tested(p, 'memory')}"
    )
    if single:
        text += (
            f" A single pixel or direction reaches {largest:.2f} (p\u00a0=\u00a0{largest_p:.2g})."
        )
    return lambda _: (mark, text)


def mcse(of_std: Any) -> Judge:
    """What the Monte Carlo error says; `of_std` is that of the uncertainty."""
    text = "The error of the mean by the finite number of chains, in posterior standard deviations."
    if isinstance(of_std, float) and math.isfinite(of_std):
        text += f" The uncertainty of a pixel is known to within {100 * of_std:.0f}\u00a0%."
    return said(text)


def _known(number: Any) -> bool:
    return isinstance(number, float) and math.isfinite(number)


def _bounded(bound: Any) -> str:
    if not _known(bound):
        return ""
    return f" With 95\u00a0% confidence it is at most {max(0.0, bound):.2g}."


def _tested(p: Any, what: str) -> str:
    if not _known(p):
        return ""
    return f" Chains without {what} show as much or more in {100 * p:.2g}\u00a0% of all runs."


def ess(value: float) -> Verdict:
    """How many independent draws the chains are worth."""
    worth = "The number of independent draws that the chains are worth"
    text = f"{worth}, at the worst pixel or projection. {_ESS}"
    if value > 0:
        error = 100 / math.sqrt(value)
        percent = f"{error:.2g}" if error < 100 else f"{error:.0f}"
        text += f" The mean is known to within {percent}\u00a0% of the uncertainty shown."
    return _at_least(value, ESS_GOOD, ESS_BAD), text


def ess_tail(value: float) -> Verdict:
    """How many independent draws the ends of the intervals are worth."""
    text = f"The same for the ends of the intervals, the 5\u00a0% and 95\u00a0% quantiles. {_ESS}"
    return _at_least(value, ESS_GOOD, ESS_BAD), text


def acceptance(has_step: bool | None) -> Judge:
    """The judge of the acceptance rate of a kernel with or without a step size."""
    if has_step is None:
        return said("The share of proposals that were accepted.")
    if has_step:
        return _acceptance
    return said(
        "The share of the tried points that were accepted. This kernel has no step size, so a "
        "small share only means more network calls."
    )


def memory(value: float) -> Verdict:
    """How well the moves of tempered SMC mix its particles."""
    mark = _at_most(value, MEMORY_GOOD, MEMORY_BAD)
    text = (
        "The correlation between the particles right after a resampling and the same particles "
        f"after their moves, at the worst temperature. Up to {MEMORY_GOOD} is good, above "
        f"{MEMORY_BAD} is bad. "
    )
    if mark == "good":
        return mark, text
    return mark, text + (
        "Either copies of one particle stay together, or the posterior has separate modes, which "
        "no move connects. Compare the log evidence of two seeds."
    )


def divergences(value: float) -> Verdict:
    """Whether every proposal was finite."""
    text = "The number of proposals that were not finite. There should be none."
    return "good" if value == 0 else "bad", text


def chi2(num_observed: int, std: float | None) -> Judge:
    """The judge of the squared residual: `std` is its standard deviation if the model is right."""

    def judge(value: float) -> Verdict:
        text = (
            "The squared residual y − A(x) per entry, in units of the noise. It is near 1 when the "
            "draws explain the measurement up to the noise. "
        )
        if std is None:
            return "", text + "How far it may be from 1 under this likelihood is not known here."
        if not math.isfinite(std):
            return "", text + "The noise has outliers of any size, so there is no band to judge by."
        band = 2.0 * std
        mark = _at_most(abs(value - 1.0), max(band, FIT_SIZE), 2.0 * max(band, FIT_SIZE))
        text += (
            f"With {num_observed} observed entries, a draw from the exact posterior gives "
            f"{max(0.0, 1.0 - band):.3f} to {1.0 + band:.3f} in 95\u00a0% of all cases. "
        )
        if band < FIT_SIZE:
            text += f"Up to {FIT_SIZE} from 1 is good: no noise level is known better than that. "
        if mark == "good":
            return mark, text
        return mark, text + (
            "It is too large: the draws miss the measurement, or the noise level is set too low."
            if value > 1
            else "It is too small: the draws follow the noise, or the noise level is set too high."
        )

    return judge


def p_value(value: float) -> Verdict:
    """Whether the residual looks like noise."""
    return _at_least(2.0 * min(value, 1.0 - value), 0.05, 0.0001), (
        "The probability that pure noise leaves a larger residual than a draw does, averaged over "
        "the draws. From 0.025 to 0.975 is good. "
        "Near 0 the draws miss the measurement, near 1 they follow its noise."
    )


def p_value_beside(chi2: Any) -> Judge:
    """The same, without a mark where chi-square is near enough to 1 in itself."""
    near = _known(chi2) and abs(chi2 - 1.0) <= FIT_SIZE
    return unmarked(p_value) if near else p_value


_R_HAT = (
    "Compares the spread between chains with the spread within them, at the worst pixel or "
    "projection. It is 1 when the chains agree."
)
_ESS = f"At least {ESS_GOOD:.0f} is good, below {ESS_BAD:.0f} is too few."


def _acceptance(value: float) -> Verdict:
    mark = _at_least(value, ACCEPTANCE_GOOD, ACCEPTANCE_BAD)
    text = (
        "The share of proposals that a Metropolis test accepts, or would accept in a run without "
        f"one. At least {ACCEPTANCE_GOOD} is good, below {ACCEPTANCE_BAD} is bad. "
    )
    return mark, text + ("" if mark == "good" else "The step is too large for this problem.")


def _at_most(value: float, good: float, bearable: float) -> str:
    return "good" if value <= good else "warn" if value <= bearable else "bad"


def _at_least(value: float, good: float, bearable: float) -> str:
    return _at_most(-value, -good, -bearable)
