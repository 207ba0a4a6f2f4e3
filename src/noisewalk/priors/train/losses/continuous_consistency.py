r"""Continuous-time consistency distillation: $df / dt = 0$ along the teacher's trajectory.

With $x_t = x + t n$, the teacher's slope $dx/dt = (x_t - D(x_t, t)) / t$ and the tangent in units
of the network's output,
$$g = \frac{t}{c_{out}(t)} \frac{df(x_t, t)}{dt}
= \frac{t}{c_{out}(t)} \Big(\partial_x f \cdot \frac{dx}{dt} + \partial_t f\Big), \qquad
\hat g = \frac{g}{\|g\| / \sqrt{n} + 0.1},$$
the loss, whose gradient alone means anything, is
$$\mathbb{E}\; \frac{1}{n} \big\| F_\theta(x_t, t) - \mathrm{sg}[F(x_t, t) - \hat g] \big\|^2,
\qquad f = c_{skip} x + c_{out} F .$$
There is no grid, so no discretization error. A step costs as much as four network calls (`nfe`):
the teacher, forward differentiation (two), the student.

Reference: Lu and Song, Simplifying, Stabilizing and Scaling Continuous-Time Consistency Models,
2024, sections 2.2 (the gradient) and 4.1 (normalising the tangent; its warm-up and adaptive weight
are left out).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...._checks import real
from ...denoiser import NetworkDenoiser, check_kind
from .noise import column, student_levels, unit_noise

FLOOR = 0.1  # c of the normalised tangent


@dataclass(frozen=True)
class TangentLoss:
    """The loss of a batch; `p_mean` and `p_std` are those of ln(t)."""

    denoiser: NetworkDenoiser
    teacher: NetworkDenoiser
    p_mean: float = -0.8
    p_std: float = 1.8
    nfe: ClassVar[int] = 4

    def __post_init__(self) -> None:
        check_kind("denoiser", self.denoiser, "consistency")
        check_kind("teacher", self.teacher, "edm")
        real("p_mean", self.p_mean)
        real("p_std", self.p_std, above=0.0)

    def __call__(self, network: nn.Module, x: Tensor, generator: Generator, done: float) -> Tensor:
        """The loss of each image."""
        f = replace(self.denoiser, network=network)
        t = student_levels(f, self.p_mean, self.p_std, len(x), generator).to(x.device)
        x_t = x + column(t) * unit_noise(x, generator)
        c_out = column((t - f.sigma_min) * f.sigma_data * (t**2 + f.sigma_data**2).rsqrt())
        with torch.no_grad():
            slope = x_t - self.teacher(x_t, t).float()  # t dx/dt
        # fused attention has no forward-mode derivative on CPU
        with (
            torch.no_grad(),
            torch.autocast(x.device.type, enabled=False),
            sdpa_kernel(SDPBackend.MATH),
            forward_ad.dual_level(),
        ):
            moved = f(forward_ad.make_dual(x_t, slope), forward_ad.make_dual(t, t))
            g = forward_ad.unpack_dual(moved).tangent / c_out
        g = g / (column(g.square().flatten(1).mean(1).sqrt()) + FLOOR)
        student = f(x_t, t).float() / c_out  # c_skip x / c_out is the same in the goal
        return (student - (student - g).detach()).square().flatten(1).mean(1)
