"""In which order the steps of an operator act, in words, and whether light could do it so."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ..types import Operator
from .compose import Compose
from .linear import AveragePool, Convolution, GaussianBlur, Identity
from .masks import BoxInpainting, CloudInpainting, MaskInpainting, RandomInpainting
from .motion import CameraMotionBlur
from .neural_blur import NeuralBlur
from .nonlinear import HDR, PhaseRetrieval

LENS, DETECTOR, SATURATION, GAPS = range(4)
STEPS: dict[Any, tuple[int, str]] = {
    GaussianBlur: (LENS, "blurred"),
    Convolution: (LENS, "convolved with the kernel"),
    CameraMotionBlur: (LENS, "blurred by motion"),
    NeuralBlur: (LENS, "blurred by a network"),
    PhaseRetrieval: (LENS, "turned into Fourier magnitudes"),
    AveragePool: (DETECTOR, "averaged over {factor} x {factor} pixels"),
    HDR: (SATURATION, "multiplied by {factor:g} and clipped"),
    RandomInpainting: (GAPS, "hidden but for some pixels"),
    CloudInpainting: (GAPS, "hidden under clouds"),
    BoxInpainting: (GAPS, "hidden in a box"),
    MaskInpainting: (GAPS, "hidden by a mask"),
}
"""When a step acts on light that comes in, and what it does to the image."""


def in_words(operator: Operator) -> str:
    """What is done to x, in order, as a sentence."""
    said = [
        STEPS[type(step)][1].format(**vars(step)) if type(step) in STEPS else "transformed"
        for step in _steps(operator)
    ]
    return f"x is {', then '.join(said)}" if said else "x is measured as it is"


def out_of_order(operator: Operator) -> str | None:
    """A phrase for a step that acts after one that light meets later; None where there is none."""
    known = [step for step in _steps(operator) if type(step) in STEPS]
    for step, after in pairwise(known):
        (place, what), (later, then) = STEPS[type(step)], STEPS[type(after)]
        if place > later:
            done, next_ = what.format(**vars(step)), then.format(**vars(after))
            return f"x is first {done} and then {next_}: light goes the other way; swap the steps?"
    return None


def _steps(operator: Operator) -> Iterator[Operator]:
    """The steps that do something, one after the other."""
    for step in operator.steps if isinstance(operator, Compose) else (operator,):
        if isinstance(step, Compose):
            yield from _steps(step)
        elif not isinstance(step, Identity):
            yield step
