"""The accept step that the kernels share, and the row-wise pieces around it."""

import torch
from torch import Tensor

from .. import noise as keyed
from ..errors import ConfigError
from ..noise import Noise
from ..types import Info, State


def metropolis(
    state: State, proposal: State, log_alpha: Tensor, finite: Tensor, noise: Noise | None
) -> tuple[State, Info]:
    """Accept every row's finite proposal with probability min(1, alpha); without noise, always."""
    rate = torch.where(finite, log_alpha.clamp(max=0.0).exp(), 0.0).nan_to_num(0.0)
    accepted = finite
    if noise is not None:
        uniform = noise.uniform((), keyed.ACCEPT).to(log_alpha.device)
        accepted = finite & (torch.log(uniform) < log_alpha)
    return select(accepted, proposal, state), Info(rate, accepted, ~finite)


def select(accepted: Tensor, proposal: State, state: State) -> State:
    """Row by row the proposal where it is accepted, else the old state, bit by bit."""

    def pick(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(column(accepted, new), new, old)

    return State(*(pick(new, old) for new, old in zip(proposal, state, strict=True)))


def finite_rows(state: State) -> Tensor:
    """(B,) bool: which rows are finite in every part."""
    finite = torch.isfinite(state.nll)
    for part in (state.z, state.x, state.grad):
        finite = finite & torch.isfinite(part).flatten(1).all(1)
    return finite


def finite_values(value: Tensor, gradient: Tensor) -> Tensor:
    """(B,) bool: where a value (B,) and its gradient (B, *shape) are finite."""
    return torch.isfinite(value) & torch.isfinite(gradient).flatten(1).all(1)


def column(values: Tensor, like: Tensor) -> Tensor:
    """(B,) values as (B, 1, ...), broadcastable to `like`."""
    return values.view(-1, *[1] * (like.ndim - 1))


def per_row(step_size: float | Tensor, z: Tensor) -> Tensor:
    """The step of every row, (B, 1, ...) float64, from one number or one per image."""
    tau = torch.as_tensor(step_size, dtype=torch.float64, device=z.device).reshape(-1)
    return column(tau.repeat_interleave(z.shape[0] // tau.shape[0]), z)


def check_step_size(step_size: float | Tensor, name: str = "step_size") -> None:
    """ConfigError unless it is one positive finite number or one per image."""
    try:
        tau = torch.as_tensor(step_size, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ConfigError(f"{name} must be a number or a tensor, got {step_size!r}") from error
    if tau.ndim > 1 or tau.numel() == 0:
        raise ConfigError(
            f"{name} must be one number or one per image (N,), got shape {tuple(tau.shape)}"
        )
    if not bool((torch.isfinite(tau) & (tau > 0)).all()):
        raise ConfigError(f"{name} must be positive and finite, got {step_size}")
