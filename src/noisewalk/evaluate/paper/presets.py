r"""The paper's settings as literals, cell by cell, and the tasks they belong to.

Tables A.1 (LSUN-Bedroom, 256 x 256) and A.2 (ImageNet, 64 x 64) give $\zeta$, N and LGD's M for the
guided methods, and K, the learning rate, $\beta_1, \beta_2$, N and $\tau$ for ours; Appendix B.3
gives $\sigma_y$, Appendix D three larger $\tau$ for sheets of samples. Each preset names its
source. "assumed" marks what the paper does not say: Table A.3 is printed without values, the
two-step midpoint is "halfway" (the card's is used: it names its own source), CMEdit's schedule is
that of Song et al., and no reference set of the FID is named.

`SMALL` is for the priors of this package: what `benchmarks/tune_baselines.py` chose for the guided
methods; so is `SMALL_LR`, the learning rate of ours, the rest of whose settings is Table A.2's
where that has the task.

Reference: Purohit et al., Posterior sampling via Langevin dynamics based on generative priors,
2024, Tables A.1 to A.3, Appendices B and D.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from ...errors import ConfigError

LINEAR, NONLINEAR = ("sr", "blur", "inpaint"), ("nonlinear", "phase", "hdr")
SIGMA_Y = {"sr": 0.1, "blur": 0.1, "inpaint": 0.1, "nonlinear": 0.1, "phase": 0.05, "hdr": 0.1}
"""Noise of the measurement, Appendix B.3; pixels in [-1, 1]."""
NUM_IMAGES, NUM_SAMPLES, NUM_DIVERSE = 100, 10, 25
"""Validation images, samples of each, and samples of each in Table 3."""
LARGE = 256
"""Side from which on the tasks are those of LSUN-Bedroom."""


@dataclass(frozen=True)
class Guided:
    """A guided method's settings.

    Arguments:
        zeta: guidance weight; None for CMEdit, which has none.
        num_steps: network calls of a sample, the paper's N.
        num_mc: LGD's copies, the paper's M; else None.
        source: where the values are from.
    """

    zeta: float | None
    num_steps: int = 100
    num_mc: int | None = None
    source: str = "Table A.1"


@dataclass(frozen=True)
class Walk:
    """Our method's settings.

    Arguments:
        adam_steps: steps of the warm start, K.
        lr: its learning rate.
        step_size: tau of the Langevin dynamics.
        betas: of Adam.
        num_draws: N, every one of which is a sample.
        source: where the values are from.
    """

    adam_steps: int
    lr: float
    step_size: float
    betas: tuple[float, float] = (0.9, 0.999)
    num_draws: int = 10
    source: str = "Table A.1"


Preset: TypeAlias = Guided | Walk
Table: TypeAlias = Mapping[str, Mapping[str, Preset | None]]

A2 = "Table A.2"
TABLE_A1: Table = {
    "dps-dm": {
        "sr": Guided(25),
        "blur": Guided(7),
        "inpaint": Guided(25),
        "nonlinear": Guided(15),
        "phase": Guided(10),
        "hdr": Guided(5),
    },
    "mpgd-dm": {
        "sr": Guided(25),
        "blur": Guided(15),
        "inpaint": Guided(25),
        "nonlinear": Guided(7),
        "phase": Guided(1),
        "hdr": Guided(5),
    },
    "lgd-dm": {
        "sr": Guided(25, 100, 1),
        "blur": Guided(25, 100, 10),
        "inpaint": Guided(7, 100, 25),
        "nonlinear": Guided(9, 100, 10),
        "phase": Guided(1, 100, 10),
        "hdr": Guided(30, 100, 10),
    },
    "dps-cm": {
        "sr": Guided(25),
        "blur": Guided(7),
        "inpaint": Guided(25),
        "nonlinear": Guided(8),
        "phase": Guided(9),
        "hdr": Guided(4),
    },
    "mpgd-cm": {
        "sr": None,
        "blur": None,
        "inpaint": None,
        "nonlinear": Guided(15),
        "phase": Guided(3),
        "hdr": Guided(30),
    },
    "lgd-cm": {
        "sr": Guided(25, 100, 1),
        "blur": Guided(7, 100, 1),
        "inpaint": Guided(5, 100, 1),
        "nonlinear": Guided(15, 100, 10),
        "phase": Guided(0.5, 100, 10),
        "hdr": Guided(15, 100, 10),
    },
    "ours1": {
        "sr": Walk(800, 5e-3, 1e-5),
        "blur": Walk(800, 5e-3, 1e-6),
        "inpaint": Walk(800, 5e-3, 1e-5),
        "nonlinear": Walk(800, 5e-3, 5e-6),
        "phase": Walk(200, 1e-3, 1e-6),
        "hdr": Walk(800, 5e-3, 1e-6),
    },
    "ours2": {
        "sr": Walk(800, 5e-3, 1e-5),
        "blur": Walk(800, 5e-3, 1e-7),
        "inpaint": Walk(800, 5e-3, 1e-5),
        "nonlinear": Walk(500, 5e-3, 5e-6),
        "phase": Walk(500, 1e-7, 1e-6),
        "hdr": Walk(500, 5e-3, 1e-6),
    },
}
"""LSUN-Bedroom, 256 x 256, by method and task; None where the paper prints N/A."""

TABLE_A2: Table = {
    "dps-dm": {
        "sr": Guided(20, source=A2),
        "blur": Guided(15, source=A2),
        "inpaint": Guided(30, source=A2),
    },
    "lgd-dm": {
        "sr": Guided(3, 100, 10, A2),
        "blur": Guided(1, 100, 10, A2),
        "inpaint": Guided(5, 100, 10, A2),
    },
    "dps-cm": {
        "sr": Guided(30, source=A2),
        "blur": Guided(30, source=A2),
        "inpaint": Guided(25, source=A2),
    },
    "lgd-cm": {
        "sr": Guided(3, 100, 10, A2),
        "blur": Guided(7, 100, 10, A2),
        "inpaint": Guided(6, 100, 10, A2),
    },
    "ours1": {
        "sr": Walk(800, 1e-2, 5e-4, source=A2),
        "blur": Walk(800, 1e-2, 3e-5, source=A2),
        "inpaint": Walk(800, 1e-2, 1e-4, source=A2),
    },
    "ours2": {
        "sr": Walk(500, 5e-2, 1e-4, source=A2),
        "blur": Walk(500, 5e-2, 3e-5, source=A2),
        "inpaint": Walk(500, 5e-2, 1e-4, source=A2),
    },
}
"""ImageNet, 64 x 64: linear tasks, without MPGD."""

APPENDIX_D = {"inpaint": 4e-4, "sr": 9e-4, "blur": 5e-5}
"""tau of Figures A.12 to A.14 (ImageNet, one step); everything else as in Table A.2."""

CMEDIT = Guided(None, 4, source="assumed: the schedule of Song et al. 2023")

SMALL_STEPS, SMALL_MC = 40, 10
"""N and M of the guided methods for the priors of this package: 0.4 of the paper's steps, for every
method, so that a grid of eight images takes minutes on two cores."""
SMALL_ADAM = {"ours1": 320, "ours2": 200}
"""K of ours for the priors of this package: 0.4 of the steps of Table A.2."""
SMALL_LR: Mapping[str, Mapping[str, float]] = {
    "ours1": {
        "sr": 3e-2,
        "blur": 3e-2,
        "inpaint": 3e-2,
        "nonlinear": 1e-1,
        "phase": 3e-2,
        "hdr": 3e-2,
    },
    "ours2": {
        "sr": 3e-2,
        "blur": 3e-2,
        "inpaint": 3e-2,
        "nonlinear": 1e-1,
        "phase": 3e-2,
        "hdr": 3e-2,
    },
}
"""Its learning rate, by method and task, chosen as zeta is."""
TUNED_FOR = "fashion32"
SMALL_SOURCE = "tuned by benchmarks/tune_baselines.py"
SMALL: Mapping[str, Mapping[str, float]] = {
    "dps-dm": {
        "sr": 30.0,
        "blur": 10.0,
        "inpaint": 30.0,
        "nonlinear": 10.0,
        "phase": 30.0,
        "hdr": 3.0,
    },
    "mpgd-dm": {"sr": 3.0, "blur": 1.0, "inpaint": 1.0, "nonlinear": 1.0, "phase": 1.0, "hdr": 1.0},
    "lgd-dm": {
        "sr": 3.0,
        "blur": 3.0,
        "inpaint": 10.0,
        "nonlinear": 3.0,
        "phase": 10.0,
        "hdr": 1.0,
    },
    "dps-cm": {
        "sr": 30.0,
        "blur": 10.0,
        "inpaint": 30.0,
        "nonlinear": 10.0,
        "phase": 30.0,
        "hdr": 10.0,
    },
    "mpgd-cm": {
        "sr": 3.0,
        "blur": 1.0,
        "inpaint": 1.0,
        "nonlinear": 1.0,
        "phase": 1.0,
        "hdr": 10.0,
    },
    "lgd-cm": {"sr": 3.0, "blur": 1.0, "inpaint": 3.0, "nonlinear": 3.0, "phase": 3.0, "hdr": 3.0},
    "ours1": {
        "sr": 5e-4,
        "blur": 3e-5,
        "inpaint": 1e-4,
        "nonlinear": 1e-4,
        "phase": 1e-5,
        "hdr": 1e-4,
    },
    "ours2": {
        "sr": 1e-4,
        "blur": 3e-5,
        "inpaint": 1e-4,
        "nonlinear": 1e-4,
        "phase": 1e-5,
        "hdr": 1e-4,
    },
}
"""zeta of the guided methods and tau of ours, by method and task; tau is Table A.2's where it has
the task."""


@dataclass(frozen=True)
class Task:
    """An inverse problem of the tables.

    Arguments:
        name: key in the tables.
        title: as the paper's columns are headed, with this size's numbers.
        operator: as `operators.parse` reads it.
        sigma_y: noise of the measurement.
        note: what differs from the paper; empty if nothing does.
    """

    name: str
    title: str
    operator: str
    sigma_y: float
    note: str = ""


@dataclass(frozen=True)
class Method:
    """A row of the tables.

    Arguments:
        name: key.
        label: as the tables print it.
        family: "dps", "mpgd", "lgd", "cmedit", "walk" (the paper's kernel) or "exact" (ours).
        backbone: "dm" or "cm".
        num_steps: network calls of ours' map.
        scheme: of "walk".
        preset: method's name in the presets.
    """

    name: str
    label: str
    family: str
    backbone: str = "cm"
    num_steps: int = 1
    scheme: str = "em"
    preset: str = ""


def _methods() -> dict[str, Method]:
    out = [
        Method(f"{f}-{b}", f"{f.upper()}-{b.upper()}", f, b, preset=f"{f}-{b}")
        for b in ("dm", "cm")
        for f in ("dps", "mpgd", "lgd")
    ]
    out.append(Method("cmedit", "CMEdit", "cmedit", preset="cmedit"))
    for n in (1, 2):
        for scheme in ("em", "ei"):
            out.append(
                Method(
                    f"ours{n}-{scheme}",
                    f"Ours-{scheme.upper()} ({n}-step)",
                    "walk",
                    "cm",
                    n,
                    scheme,
                    f"ours{n}",
                )
            )
        out.append(
            Method(
                f"ours{n}-exact",
                f"Ours, exact kernel ({n}-step)",
                "exact",
                "cm",
                n,
                preset=f"ours{n}",
            )
        )
    out.append(Method("diverse", "Ours-EM (1-step), larger step", "walk", preset="diverse"))
    return {m.name: m for m in out}


METHODS = _methods()


def dataset_of(prior: str) -> str:
    """Whose settings belong to a prior.

    Arguments:
        prior: its name.

    Returns:
        "bedroom256", "imagenet64" or "small".
    """
    return next((name for name in ("bedroom256", "imagenet64") if name in prior), "small")


def preset(
    dataset: str, method: str, task: str, num_samples: int = NUM_SAMPLES, tuned: bool = True
) -> Preset | None:
    """A method's settings for a task.

    Arguments:
        dataset: as `dataset_of` says.
        method: "dps-dm", ..., "cmedit", "ours1", "ours2", or "diverse" (Appendix D).
        task: key of `SIGMA_Y`.
        num_samples: draws of ours; another number than the paper's 10 is assumed, Table A.3 having
            no values.
        tuned: whether the prior is the one that the settings of "small" were tuned for,
            `TUNED_FOR`.

    Returns:
        The preset; None where the paper has none.

    Raises:
        ConfigError: an unknown dataset, method or task.
    """
    if (
        dataset not in ("bedroom256", "imagenet64", "small")
        or method not in (*SMALL, "cmedit", "diverse")
        or task not in SIGMA_Y
    ):
        raise ConfigError(
            f"no preset of {method!r} for {task!r} on {dataset!r}: see "
            "noisewalk.evaluate.paper.presets"
        )
    if method == "cmedit":
        return CMEDIT if task == "inpaint" or (task == "sr" and dataset == "small") else None
    found = _diverse(dataset, task) if method == "diverse" else _table(dataset, method, task)
    if found is not None and not tuned and dataset == "small":
        found = replace(found, source=f"assumed: as for {TUNED_FOR}")
    if not isinstance(found, Walk) or num_samples == found.num_draws:
        return found
    source = found.source if found.source.startswith("assumed") else f"{found.source}, N assumed"
    return replace(found, num_draws=num_samples, source=source)


def _table(dataset: str, method: str, task: str) -> Preset | None:
    if dataset != "small":
        return (TABLE_A1 if dataset == "bedroom256" else TABLE_A2).get(method, {}).get(task)
    value = SMALL[method][task]
    if method.startswith("ours"):
        same = TABLE_A2[method].get(task)
        step = "Table A.2" if isinstance(same, Walk) and same.step_size == value else "assumed"
        source = f"{SMALL_SOURCE}: lr; tau: {step}; K: 0.4 of Table A.2's"
        return Walk(SMALL_ADAM[method], SMALL_LR[method][task], value, source=source)
    return Guided(value, SMALL_STEPS, SMALL_MC if method.startswith("lgd") else None, SMALL_SOURCE)


def _diverse(dataset: str, task: str) -> Preset | None:
    base = _table(dataset, "ours1", task)
    if task not in APPENDIX_D or not isinstance(base, Walk):
        return base
    return replace(
        base,
        step_size=APPENDIX_D[task],
        source="Appendix D" if dataset == "imagenet64" else "assumed: Appendix D's step size",
    )


def tasks_for(
    shape: tuple[int, ...], seed: int = 0, neural_blur: Path | None = None
) -> dict[str, Task]:
    """The six tasks at an image size.

    Arguments:
        shape: (C, H, W) of x.
        seed: of masks and blur paths.
        neural_blur: GOPRO_wVAE.pth where it is here; used at 256 x 256 alone.

    Returns:
        By name, in the paper's order.
    """
    side = min(shape[-2:])
    large = side >= LARGE
    factor, keep = (8, 0.1) if large else (4, 0.2)
    kernel = 61 if side >= 61 else side - 1 + side % 2
    fits = (
        ""
        if kernel == 61
        else (
            f"a kernel of {kernel} x {kernel} where the paper's has 61 x 61; its standard "
            "deviation is the paper's"
        )
    )
    if neural_blur is not None and tuple(shape) == (3, LARGE, LARGE):
        blurred, why = f"neuralblur:weights={neural_blur},seed={seed}", ""
    else:
        blurred = f"motion:length={max(3, round(0.28 * side))},seed={seed}"
        why = (
            "camera motion blur added up in light, where the paper has a network that needs "
            "weights and 256 x 256 pixels"
        )
    made = (
        ("sr", f"{factor}x Super-resolution", f"avgpool:factor={factor}", ""),
        ("blur", "Gaussian Deblur", f"blur:kernel_size={kernel},std=3", fits),
        ("inpaint", f"{keep:.0%} Inpainting", f"inpaint:keep={keep},seed={seed}", ""),
        ("nonlinear", "Nonlinear Deblur", blurred, why),
        (
            "phase",
            "Phase Retrieval",
            "phase:oversample=1",
            "samples turned by 180 degrees where that is nearer to the truth: the measurement "
            "cannot tell",
        ),
        ("hdr", "HDR Reconstruction", "hdr:factor=2", ""),
    )
    return {
        name: Task(name, title, operator, SIGMA_Y[name], note)
        for name, title, operator, note in made
    }
