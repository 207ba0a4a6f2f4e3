r"""Exponential moving average of weights with a power-law profile.

$$\hat\theta_t = \beta_t \hat\theta_{t-1} + (1 - \beta_t) \theta_t, \qquad
\beta_t = (1 - 1/t)^{\gamma + 1}$$

The window is a fixed share of the training so far: 10 % for a gamma of 6.94, 5 % for 16.97. Of
buffers that are not floating point (counters) the last value is kept.

Reference: Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models, 2024,
equation 4.
"""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class PowerEMA:
    """The averaged parameters and buffers of a module."""

    def __init__(self, module: nn.Module, gamma: float = 16.97) -> None:
        self.gamma = gamma
        self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Average in the module's weights after an optimiser step, counted from 1."""
        beta = (1.0 - 1.0 / step) ** (self.gamma + 1.0)
        pairs = [(self.weights[key], value) for key, value in module.state_dict().items()]
        if floats := [pair for pair in pairs if pair[1].is_floating_point()]:
            # one kernel for all: a GPU waits for the launch of each
            get_ema_multi_avg_fn(beta)(*map(list, zip(*floats, strict=True)), step)
        for kept, value in pairs:
            if not value.is_floating_point():
                kept.copy_(value)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take over averaged weights from a checkpoint, of whatever device and layout."""
        for key, value in weights.items():
            self.weights[key].copy_(value)
