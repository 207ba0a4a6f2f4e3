r"""The settings of the paper's methods, cell by cell.

Tables A.1 (LSUN-Bedroom, 256 x 256) and A.2 (ImageNet, 64 x 64) give $\zeta$, N and LGD's M for the
guided methods, and K, the learning rate, $\beta_1, \beta_2$, N and $\tau$ for ours. Each preset
names its source. "assumed" marks what the paper does not say: Table A.3 is printed without values,
and CMEdit's schedule is that of Song et al.

`SMALL` is for the priors of this package. `benchmarks/tune_baselines.py` chose its weights of the
guided methods and `SMALL_LR` for fashion32, and `SATELLITE64` for that prior. The other settings
are Table A.2's where it has the task.

Reference: Purohit et al., Posterior sampling via Langevin dynamics based on generative priors,
2024, Tables A.1 to A.3, Appendices B and D.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ...errors import ConfigError
from .tasks import TASKS

NUM_IMAGES, NUM_SAMPLES = 100, 10  # validation images, and samples of each, in the paper
DATASETS = ("bedroom256", "imagenet64", "small")


@dataclass(frozen=True)
class Guided:
    """A guided method's settings."""

    zeta: float | None  # guidance weight; None for CMEdit, which has none
    num_steps: int = 100  # network calls of a sample, the paper's N
    num_mc: int | None = None  # LGD's copies, the paper's M
    source: str = "Table A.1"


@dataclass(frozen=True)
class Walk:
    """Our method's settings."""

    adam_steps: int  # of the warm start, the paper's K
    lr: float  # of the warm start
    step_size: float  # tau of the Langevin dynamics
    betas: tuple[float, float] = (0.9, 0.999)
    num_draws: int = NUM_SAMPLES  # the paper's N: every draw is a sample
    source: str = "Table A.1"


Preset: TypeAlias = Guided | Walk
Cells: TypeAlias = Mapping[str, Preset | None]
Values: TypeAlias = Mapping[str, Mapping[str, float]]
A1, A2 = "Table A.1", "Table A.2"


def _guided(source: str, zetas: Sequence[float | None], copies: Sequence[int] = ()) -> Cells:
    """A guided method's row, in the order of `TASKS`; None where the paper prints N/A."""
    cells = zip(TASKS, zetas, copies or (None,) * len(zetas), strict=False)
    return {t: None if zeta is None else Guided(zeta, 100, mc, source) for t, zeta, mc in cells}


def _ours(source: str, *cells: tuple[int, float, float]) -> Cells:
    """A row of ours, in the order of `TASKS`: K, learning rate and tau."""
    return {t: Walk(*cell, source=source) for t, cell in zip(TASKS, cells, strict=False)}


def _by_task(*values: float) -> dict[str, float]:
    return dict(zip(TASKS, values, strict=True))


# fmt: off
TABLE_A1: Mapping[str, Cells] = {
    "dps-dm": _guided(A1, (25, 7, 25, 15, 10, 5)),
    "mpgd-dm": _guided(A1, (25, 15, 25, 7, 1, 5)),
    "lgd-dm": _guided(A1, (25, 25, 7, 9, 1, 30), (1, 10, 25, 10, 10, 10)),
    "dps-cm": _guided(A1, (25, 7, 25, 8, 9, 4)),
    "mpgd-cm": _guided(A1, (None, None, None, 15, 3, 30)),
    "lgd-cm": _guided(A1, (25, 7, 5, 15, 0.5, 15), (1, 1, 1, 10, 10, 10)),
    "ours1": _ours(A1, (800, 5e-3, 1e-5), (800, 5e-3, 1e-6), (800, 5e-3, 1e-5),
                   (800, 5e-3, 5e-6), (200, 1e-3, 1e-6), (800, 5e-3, 1e-6)),
    "ours2": _ours(A1, (800, 5e-3, 1e-5), (800, 5e-3, 1e-7), (800, 5e-3, 1e-5),
                   (500, 5e-3, 5e-6), (500, 1e-7, 1e-6), (500, 5e-3, 1e-6)),
}
"""LSUN-Bedroom, 256 x 256, by method and task."""
TABLE_A2: Mapping[str, Cells] = {
    "dps-dm": _guided(A2, (20, 15, 30)),
    "lgd-dm": _guided(A2, (3, 1, 5), (10, 10, 10)),
    "dps-cm": _guided(A2, (30, 30, 25)),
    "lgd-cm": _guided(A2, (3, 7, 6), (10, 10, 10)),
    "ours1": _ours(A2, (800, 1e-2, 5e-4), (800, 1e-2, 3e-5), (800, 1e-2, 1e-4)),
    "ours2": _ours(A2, (500, 5e-2, 1e-4), (500, 5e-2, 3e-5), (500, 5e-2, 1e-4)),
}
"""ImageNet, 64 x 64: linear tasks, without MPGD."""
APPENDIX_D = {"inpaint": 4e-4, "sr": 9e-4, "blur": 5e-5}
"""tau of Figures A.12 to A.14 (ImageNet, one step); everything else as in Table A.2."""
CMEDIT = Guided(None, 4, source="assumed: the schedule of Song et al. 2023")
SMALL: Values = {
    "dps-dm": _by_task(30.0, 10.0, 30.0, 10.0, 30.0, 3.0),
    "mpgd-dm": _by_task(3.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    "lgd-dm": _by_task(3.0, 3.0, 10.0, 3.0, 10.0, 1.0),
    "dps-cm": _by_task(30.0, 10.0, 30.0, 10.0, 30.0, 10.0),
    "mpgd-cm": _by_task(3.0, 1.0, 1.0, 1.0, 1.0, 10.0),
    "lgd-cm": _by_task(3.0, 1.0, 3.0, 3.0, 3.0, 3.0),
    "ours1": _by_task(5e-4, 3e-5, 1e-4, 1e-4, 1e-5, 1e-4),
    "ours2": _by_task(1e-4, 3e-5, 1e-4, 1e-4, 1e-5, 1e-4),
}
"""zeta of the guided methods and tau of ours; tau is Table A.2's where that has the task."""
# fmt: on
SMALL_LR: Values = dict.fromkeys(("ours1", "ours2"), _by_task(3e-2, 3e-2, 3e-2, 1e-1, 3e-2, 3e-2))
# fmt: off
SATELLITE64: Values = {
    "dps-dm": {"sr": 30.0, "blur": 30.0, "inpaint": 30.0, "nonlinear": 30.0},
    "mpgd-dm": {"sr": 1.0, "blur": 1.0, "inpaint": 1.0, "nonlinear": 1.0},
    "lgd-dm": {"sr": 3.0, "blur": 3.0, "inpaint": 10.0, "nonlinear": 10.0},
    "dps-cm": {"sr": 30.0, "blur": 30.0, "inpaint": 30.0, "nonlinear": 30.0},
    "mpgd-cm": {"sr": 10.0, "blur": 3.0, "inpaint": 3.0, "nonlinear": 1.0},
    "lgd-cm": {"sr": 3.0, "blur": 3.0, "inpaint": 10.0, "nonlinear": 10.0},
    "ours1": {"sr": 1e-2, "blur": 1e-2, "inpaint": 1e-2, "nonlinear": 3e-2},
    "ours2": {"sr": 1e-2, "blur": 1e-2, "inpaint": 3e-2, "nonlinear": 3e-2},
}
"""zeta of the guided methods and the learning rate of ours, tuned for satellite64 on these tasks;
the rest is as for fashion32."""
# fmt: on
SMALL_STEPS, SMALL_MC, SMALL_ADAM = 40, 10, {"ours1": 320, "ours2": 200}
"""N and M of the guided methods, and K of ours: 0.4 of the paper's steps for every method."""
SMALL_SOURCE = "tuned by benchmarks/tune_baselines.py"
TUNED_FOR = "fashion32"  # the prior that the settings of "small" were chosen on
TUNED_TOO: Mapping[str, Values] = {"satellite64": SATELLITE64}


def dataset_of(prior: str) -> str:
    """Whose settings belong to the prior of that name."""
    return next((name for name in DATASETS if name in prior), "small")


def preset(
    dataset: str, method: str, task: str, num_samples: int = NUM_SAMPLES, prior: str = TUNED_FOR
) -> Preset | None:
    """A task's settings for a prior of that name, None where the paper has none."""
    methods = (*SMALL, "cmedit", "diverse")
    if dataset not in DATASETS or method not in methods or task not in TASKS:
        where = "see noisewalk.evaluate.paper.presets"
        raise ConfigError(f"no preset of {method!r} for {task!r} on {dataset!r}: {where}")
    if method == "cmedit":
        return CMEDIT if task == "inpaint" or (task == "sr" and dataset == "small") else None
    found = _diverse(dataset, task) if method == "diverse" else _table(dataset, method, task)
    if found is not None and dataset == "small" and prior != TUNED_FOR:
        own = TUNED_TOO.get(prior, {}).get(method, {}).get(task)
        if own is None:
            found = replace(found, source=f"assumed: as for {TUNED_FOR}")
        elif isinstance(found, Walk):
            found = replace(found, lr=own)
        else:
            found = replace(found, zeta=own)
    if not isinstance(found, Walk) or num_samples == found.num_draws:
        return found
    # Table A.3, which is for other numbers of samples, is printed without values.
    source = found.source if found.source.startswith("assumed") else f"{found.source}, N assumed"
    return replace(found, num_draws=num_samples, source=source)


def _table(dataset: str, method: str, task: str) -> Preset | None:
    if dataset != "small":
        return (TABLE_A1 if dataset == "bedroom256" else TABLE_A2).get(method, {}).get(task)
    value = SMALL[method][task]
    if method.startswith("ours"):
        same = TABLE_A2[method].get(task)
        step = A2 if isinstance(same, Walk) and same.step_size == value else "assumed"
        source = f"{SMALL_SOURCE}: lr; tau: {step}; K: 0.4 of Table A.2's"
        return Walk(SMALL_ADAM[method], SMALL_LR[method][task], value, source=source)
    return Guided(value, SMALL_STEPS, SMALL_MC if method.startswith("lgd") else None, SMALL_SOURCE)


def _diverse(dataset: str, task: str) -> Preset | None:
    base = _table(dataset, "ours1", task)
    if task not in APPENDIX_D or not isinstance(base, Walk):
        return base
    source = "Appendix D" if dataset == "imagenet64" else "assumed: Appendix D's step size"
    return replace(base, step_size=APPENDIX_D[task], source=source)
