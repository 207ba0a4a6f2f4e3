"""May the draws of a run be trusted? One verdict for all its images, and the reason.

Two ways lead to trust. Either the chains have forgotten where they started: nothing drifts, and the
correlation of early and last states is small. Or they started right: from randomised starts that
hardly drift, in a problem in which such starts are known to be calibrated. Long chains are judged
by their effective sample size and by what perfect chains would show.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from ..priors.calibrated import is_calibrated, name_of, num_observed
from .evidence import LONG, Evidence, transitions_of
from .randomized import is_recipe

if TYPE_CHECKING:
    from .run import Run

TRUST, CHECK, DOUBT = "trust", "check", "do not trust"
LEVEL = 0.01  # of the tests of drift and memory
FIT_LEVEL = 0.001  # of the test of the fit
FIT_SIZE = 0.03  # chi-square this near to 1 is no misfit: sigma_y is not known to 1.5 % either
FORGOTTEN = 0.2  # bound of the memory up to which a start is forgotten
CLOSE = 0.25  # bound of the drift, in posterior standard deviations, of a start that was right
MOVED = 0.5  # memory up to which chains have moved enough to show a drift
MOST_CHAINS = 128  # that are ever asked for
LEAST_CHAINS = 8  # fewer have no flips enough for a p-value below LEVEL
ESS_GOOD, ESS_BAD = 10.0, 5.0  # independent draws a chain of long chains
EXCESS = 2.0  # of R-hat^2 - 1 over that of perfect chains
FLOOR = 0.05  # of R-hat^2 - 1 of perfect chains
ONE_STEP = ("Consistency", "Generator")  # maps as a prior has them, with nothing around

CALIBRATE = "`noisewalk calibrate RUN` (nw.calibrate(run, target=...) in Python)"
FOREIGN = (
    "The run does not say how these draws were made. nw.calibrate(run, target=...) would be enough "
    "to know whether they are right."
)
FOREIGN_X = (
    'The run does not say how these draws were made. nw.Run({"x": draws, "z": their noise}, ...) '
    "and nw.calibrate(run, target=...) would be enough to know whether they are right."
)
UNFINISHED = (
    "The run is not finished: continue it with --resume, or repeat its nw.sample call with the "
    "same store."
)
UNADJUSTED = (
    "The kernel is unadjusted: its draws have a bias of the order of the step size, which chains "
    "cannot show. Run an adjusted one (nw.Langevin(..., adjust=True), or no --kernel)."
)


class Verdict(NamedTuple):
    """A verdict, one or two sentences that say why, and the same reason in a word."""

    word: str
    reason: str
    cause: str


def verdict_of(run: "Run", found: Evidence) -> Verdict:
    """The verdict, "trust", "check" or "do not trust", and why."""
    if run.draws.shape[2] == 0:
        return Verdict(CHECK, "There are no draws yet.", "empty")
    cause, fault = _fault(run, found)
    if fault:
        return Verdict(DOUBT, fault, cause)
    if run.log_evidence is not None:
        reason = (
            "Tests over chains do not apply to particles, which share their ancestors. Run it "
            "again with another --seed: the two log evidences must agree."
        )
        return Verdict(CHECK, reason, "particles")
    if not run.complete:
        return Verdict(CHECK, UNFINISHED, "unfinished")
    long = run.draws.shape[2] >= LONG
    verdict, reason = (_long if long else _short)(run, found)
    plan = run.spec.get("plan", {})
    if verdict != DOUBT and not plan:
        return Verdict(CHECK, FOREIGN if "z" in run.arrays else FOREIGN_X, "foreign")
    kernel = plan.get("kernel", {})
    if verdict != DOUBT and isinstance(kernel, dict) and kernel.get("exact") is False:
        return Verdict(CHECK, UNADJUSTED, "unadjusted")
    causes = {CHECK: "short", DOUBT: "mixing" if long else "memory", TRUST: "settled"}
    return Verdict(verdict, reason, causes[verdict])


def _fault(run: "Run", found: Evidence) -> tuple[str, str]:
    """Why the draws must not be trusted, whatever else the run shows, in a word and in sentences;
    both "" for no such reason."""
    if found.stuck:
        return "stuck", f"{found.stuck} {way_out(run)}"
    if run.calibrated is False:
        failed = "The calibration around this measurement has failed: the intervals are wrong."
        return "calibration", failed
    misfit = found.fit_p < FIT_LEVEL and abs(found.chi2 - 1) > FIT_SIZE
    if misfit and not run.calibrated:
        size = (
            f"The residual is not noise of the stated level: its square is {found.chi2:.2f} times "
            "that of the noise (chi-square), and right draws give 1."
        )
        if found.chi2 > 1:
            return "misfit", (
                f"{size} Either the chains are stuck, or the prior cannot produce this measurement "
                "(or sigma_y is too small)."
            )
        return "misfit", (
            f"{size} Either the chains still follow the noise that an optimiser fitted, or sigma_y "
            "is too large."
        )
    if found.drift_p < LEVEL:
        size = f", by about {found.drift:.2f} posterior standard deviations"
        size = size if found.drift >= 0.05 else ""  # the spread or the log posterior does
        drifts = f"The draws still drift{size} (p = {found.drift_p:.2g})."
        return "moving", f"{drifts} {_longer(run, found)}"
    return "", ""


def _short(run: "Run", found: Evidence) -> tuple[str, str]:
    """Of many chains, by their early and last states."""
    chains = run.draws.shape[1]
    copies = 0 if run.tried_again is None else int(run.tried_again.sum(1).max())
    if chains - copies < LEAST_CHAINS <= chains:
        return CHECK, (
            f"{_number(copies, 'chain')} of {chains} began from where another one had ended, which "
            f"leaves {chains - copies} independent ones. {_wider(run, found, math.sqrt(2))}"
        )
    if chains < LEAST_CHAINS:
        return CHECK, (
            f"{_number(chains, 'chain')} cannot show a drift. --chains 16 (num_chains=16 in "
            "Python) would be enough."
        )
    if math.isnan(found.drift_p):
        return CHECK, (
            f"{_number(run.draws.shape[2], 'draw')} a chain without an early state cannot show a "
            "drift. --num-draws 100 (num_draws=100 in Python) would be enough."
        )
    if math.isnan(found.mcse_mean):
        return CHECK, "The draws of all chains are the same, so there is nothing to compare."
    if found.memory_bound < FORGOTTEN and not _is_hidden(found):
        bound = math.ceil(100 * max(0.0, found.memory_bound)) / 100
        return TRUST, (
            "The chains have forgotten where they started: early and last states correlate by at "
            f"most {bound:.2f}, and no drift is found."
        )
    return _started(run, found) if _randomised(run) else _remembering(run, found)


def _started(run: "Run", found: Evidence) -> tuple[str, str]:
    """Of randomised starts that are not forgotten."""
    known = _known(run)
    if found.memory >= MOVED:
        return CHECK, (
            f"The chains have hardly moved since they started (correlation {found.memory:.2f}). "
            f"{_longer(run, found)}"
        )
    if found.drift_bound >= CLOSE:
        return CHECK, (
            f"A drift of up to {found.drift_bound:.2f} posterior standard deviations cannot be "
            f"excluded. {_wider(run, found, found.drift_bound / CLOSE)}"
        )
    if known:
        return TRUST, (
            f"The draws started right: randomised starts do not drift here, and {known}."
        )
    if _is_hidden(found):
        enough = f"{CALIBRATE} would be enough to know whether that is right."
        return CHECK, f"Nothing drifts, but {_kept(found)} {enough}"
    if found.memory_p >= LEVEL:
        return CHECK, _unsure(run, found)
    return CHECK, (
        f"Nothing drifts, but the chains still remember their randomised starts (correlation "
        f"{found.memory:.2f}). {CALIBRATE} would be enough to know whether those were right."
    )


def _remembering(run: "Run", found: Evidence) -> tuple[str, str]:
    """Of other starts that are not forgotten."""
    if _is_hidden(found):
        return DOUBT, (
            f"On the whole nothing is remembered, but {_kept(found)} Run it again by tempered SMC, "
            "`--kernel smc` (nw.tempered_smc in Python), which moves draws between modes."
        )
    if found.memory_p < LEVEL:
        return DOUBT, (
            f"The chains still remember where they started (correlation {found.memory:.2f}), and "
            f"those starts are no posterior draws. {_longer(run, found)}"
        )
    return CHECK, _unsure(run, found)


def _long(run: "Run", found: Evidence) -> tuple[str, str]:
    """Of long chains, by effective sample sizes and R-hat."""
    chains, draws = run.draws.shape[1:3]
    if chains < 2:
        return CHECK, "One chain cannot show whether it is stuck. --chains 4 would be enough."
    if math.isnan(found.ess):
        return CHECK, "The draws hardly vary, so there is nothing to compare."
    each = found.ess / chains
    more = f"--num-draws {_round(1.5 * draws * ESS_GOOD / max(each, 1.0))}"
    worth = f"they are worth {found.ess:.0f} independent draws"
    if each < ESS_BAD:
        return DOUBT, f"The chains have not mixed: {worth}. Run longer ones, such as {more}."
    if each < ESS_GOOD:
        return CHECK, f"The chains are short: {worth}. {more} would be enough."
    if found.r_hat_max**2 - 1 > EXCESS * max(found.r_hat_perfect**2 - 1, FLOOR):
        return CHECK, (
            f"Some pixels mix slowly: R-hat reaches {found.r_hat_max:.2f}, where perfect chains of "
            f"this length reach {found.r_hat_perfect:.2f}. --num-draws {_round(4.0 * draws)} would "
            "be enough."
        )
    return TRUST, f"The chains have forgotten where they started: they agree, and {worth}."


def _randomised(run: "Run") -> bool:
    start = run.spec.get("plan", {}).get("warm_start")
    named = isinstance(start, dict) and start.get("name") == "RandomizedStarts"
    return named and start.get("num_steps") != 0


def _known(run: "Run") -> str:
    """What says that randomised starts are calibrated here; "" if nothing does."""
    if run.calibrated:
        return "the calibration around this measurement has passed"
    spec, shape = run.spec, tuple(run.draws.shape[3:])
    problem, likelihood = spec.get("problem", {}), spec.get("likelihood", {})
    operator = problem.get("operator") or spec.get("operator")
    level = likelihood.get("sigma_y") if likelihood.get("name") == "Gaussian" else None
    if not (operator and isinstance(level, int | float)):
        return ""
    denoiser = spec.get("map", {}).get("denoiser")
    network = denoiser.get("network") if isinstance(denoiser, dict) else None
    prior = problem.get("prior") or name_of(network)
    if not isinstance(prior, str):
        return ""
    if not is_calibrated(prior, operator, level, shape) or not _as_calibrated(run, operator):
        return ""
    told = operator if isinstance(operator, str) else operator["name"]
    return f"{prior} is calibrated for {told} at sigma_y {problem.get('sigma_y', level):g}"


def _as_calibrated(run: "Run", operator: str | dict[str, Any]) -> bool:
    """Whether map, starts and measurement are those of the runs by which a prior is calibrated: the
    map in one step, starts with all their steps, and no gaps beside the operator's."""
    phi, y, counts = run.spec.get("map", {}), run.y, run.num_observed
    one_step = not phi.get("midpoints") and phi.get("name") in ONE_STEP
    if y is None or counts is None or not is_recipe(run.spec["plan"]["warm_start"]):
        return False
    whole = num_observed(operator, tuple(run.draws.shape[3:]), y)
    return one_step and bool((counts == whole).all())


def _is_hidden(found: Evidence) -> bool:
    """Whether the average over pixels hides one that remembers."""
    return found.memory_bound < FORGOTTEN and found.memory_largest_p < LEVEL


def _kept(found: Evidence) -> str:
    """What the average over pixels hides."""
    return (
        "a few pixels or directions still show where their chains started (correlation up to "
        f"{found.memory_largest:.2f}, p = {found.memory_largest_p:.2g}). If they have several "
        "modes, the draws weigh them as the starts did."
    )


def _unsure(run: "Run", found: Evidence) -> str:
    """The reason where the memory's bound is too wide, or a little too large."""
    ratio = (found.memory_bound - found.memory) / max(FORGOTTEN - found.memory, 0.01)
    way_out = _longer(run, found) if found.memory > FORGOTTEN / 2 else _wider(run, found, ratio)
    return (
        "Nothing drifts, but the chains are too few to tell whether they have forgotten their "
        f"starts: the correlation may be as large as {found.memory_bound:.2f}. {way_out}"
    )


def _wider(run: "Run", found: Evidence, ratio: float) -> str:
    """The number of chains that makes bounds narrower by a ratio, or longer chains where there are
    as many as is sensible."""
    if run.draws.shape[1] >= MOST_CHAINS:
        return _longer(run, found)
    wanted = min(8 * math.ceil(run.draws.shape[1] * max(1.2, ratio) ** 2 / 8), MOST_CHAINS)
    return f"--chains {wanted} (num_chains={wanted} in Python) would be enough."


def _longer(run: "Run", found: Evidence) -> str:
    """The number of transitions after which the memory has decayed to half of what counts as
    forgotten."""
    draws = run.draws.shape[2]
    if draws >= LONG:
        return f"Run longer chains, such as --num-draws {_round(4.0 * draws)}."
    rho = min(max(found.memory, 0.05), 0.98)
    wanted = _round(max(2.0, math.log(FORGOTTEN / 2) / math.log(rho)) * transitions_of(run) / draws)
    return f"Run longer chains: --thin {wanted} (thin={wanted} in Python)."


def way_out(run: "Run") -> str:
    """What to do about stuck chains: a smaller step where it was chosen, else another start."""
    plan = run.spec.get("plan", {})
    if not plan:
        return "Look at its chains one by one: they must leave the places where they started."
    kernel = plan.get("kernel", {})
    step = kernel.get("step_size") if isinstance(kernel, dict) else None
    if not plan.get("adapt") and isinstance(step, int | float):
        small = f"{step / 4:.2g}"
        return f"Use a smaller step: --step-size {small} (step_size={small} in Python)."
    warmup, seed = max(100, 2 * int(plan.get("num_warmup") or 0)), int(plan.get("seed") or 0) + 1
    return (
        f"Start again elsewhere, with a longer warm-up: --seed {seed} --num-warmup {warmup} "
        f"(seed={seed}, num_warmup={warmup} in Python)."
    )


def _round(count: float) -> int:
    """Up to two significant digits."""
    digit = 10 ** max(0, int(math.log10(max(count, 1.0))) - 1)
    return math.ceil(count / digit) * digit


def _number(count: int, name: str) -> str:
    return f"{'One' if count == 1 else count} {name}{'s' * (count != 1)}"
