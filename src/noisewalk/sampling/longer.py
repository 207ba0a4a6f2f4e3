"""How a chain goes on that still gains much when the steps of its start are over."""

from torch import Tensor

from . import second_try
from .starts import Work

SPAN, GAIN, LEAST = 15, 0.06, 5.0
"""A chain that in its last SPAN steps has gained GAIN nats an observed entry, and LEAST nats, takes
as many more. In problems that suit the prior, nearly all chains gain less."""
MOST = 225  # steps more


def end(work: Work, steps: int) -> int:
    """The step after which the last round is over: `steps`, fewer in a second try, or more."""
    return int(work.get("until", _usual(work, steps)))


def marked(work: Work, steps: int, num_observed: Tensor) -> Work:
    """The work after a step of the last round, which lasts longer where a row still gains much;
    `num_observed` is (image,)."""
    last, memory = end(work, steps), work["memory"]
    if work["taken"] == last - SPAN:
        return {**work, "mark": memory["f"]}
    is_over = work["taken"] == last and "mark" in work and "active" in memory
    if not is_over or last >= _usual(work, steps) + MOST:
        return work
    count = num_observed.repeat_interleave(len(memory["f"]) // len(num_observed)).to(memory["f"])
    gaining = memory["active"] & (work["mark"] - memory["f"] > (GAIN * count).clamp(min=LEAST))
    if not bool(gaining.any()):
        return work
    more = {**memory, "active": gaining}
    return {**work, "memory": more, "mark": memory["f"], "until": last + SPAN}


def over(work: Work) -> Work:
    """The work without what this round has noted: another one begins."""
    return {key: value for key, value in work.items() if key not in ("mark", "until")}


def _usual(work: Work, steps: int) -> int:
    return min(steps, second_try.STEPS) if "first" in work else steps
