"""The inverse problems of the paper's tables, at the size of a prior's images."""

from dataclasses import dataclass
from pathlib import Path

LINEAR, NONLINEAR = ("sr", "blur", "inpaint"), ("nonlinear", "phase", "hdr")
TASKS = (*LINEAR, *NONLINEAR)
SIGMA_Y = {**dict.fromkeys(TASKS, 0.1), "phase": 0.05}  # Appendix B.3; pixels in [-1, 1]
LARGE = 256  # side from which on the tasks are those of LSUN-Bedroom


@dataclass(frozen=True)
class Task:
    """An inverse problem: a column of the tables."""

    name: str
    title: str  # as the paper's columns are headed, with this size's numbers
    operator: str  # as `operators.parse` reads it
    sigma_y: float
    note: str = ""  # what differs from the paper


def tasks_for(
    shape: tuple[int, ...], seed: int = 0, neural_blur: Path | None = None
) -> dict[str, Task]:
    """The tasks for images (C, H, W) by name; `neural_blur`, GOPRO_wVAE.pth, is for 256 x 256."""
    side = min(shape[-2:])
    factor, keep = (8, 0.1) if side >= LARGE else (4, 0.2)
    kernel = 61 if side >= 61 else side - 1 + side % 2
    sides = f"a kernel of {kernel} x {kernel} where the paper's has 61 x 61"
    blur_note = "" if kernel == 61 else f"{sides}; its standard deviation is the paper's"
    blurred = f"motion:length={max(3, round(0.28 * side))},seed={seed}"
    replaced = (
        "camera motion blur added up in light, where the paper has a network that needs weights "
        "and 256 x 256 pixels"
    )
    if neural_blur is not None and tuple(shape) == (3, LARGE, LARGE):
        blurred, replaced = f"neuralblur:weights={neural_blur},seed={seed}", ""
    turned = (
        "samples turned by 180 degrees where that is nearer to the truth: the measurement cannot "
        "tell"
    )
    made = (
        ("sr", f"{factor}x Super-resolution", f"avgpool:factor={factor}", ""),
        ("blur", "Gaussian Deblur", f"blur:kernel_size={kernel},std=3", blur_note),
        ("inpaint", f"{keep:.0%} Inpainting", f"inpaint:keep={keep},seed={seed}", ""),
        ("nonlinear", "Nonlinear Deblur", blurred, replaced),
        ("phase", "Phase Retrieval", "phase:oversample=1", turned),
        ("hdr", "HDR Reconstruction", "hdr:factor=2", ""),
    )
    return {name: Task(name, title, op, SIGMA_Y[name], note) for name, title, op, note in made}
