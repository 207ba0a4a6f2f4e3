"""What the caller of `load_prior` says about the weights."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import one_of
from ..errors import ConfigError
from .denoiser import prepare
from .labels import Label


@dataclass(frozen=True)
class Request:
    """What the caller of `load_prior` says about the weights; None leaves it to the card."""

    label: Label
    device: torch.device
    dtype: torch.dtype
    kind: str | None
    size: int | None
    head_channels: int | None
    prompt: str | Tensor | None
    compile: bool | str

    def placed(self, network: nn.Module) -> nn.Module:
        """The network where and in the type that it is wanted, made lean, and compiled where that
        is."""
        from .lean import make_lean  # imports diffusers

        network = nn.Module.to(network, device=self.device, dtype=self.dtype)
        make_lean(network)
        if self.compile:
            prepare(network)
            network.compile(backend="inductor" if self.compile is True else self.compile)
        return network

    def check(
        self, name: str, kind: str, size: int | None = None, heads: int | None = None
    ) -> None:
        """ConfigError for a kind, a size or head channels that are not the prior's."""
        for key, value in {"kind": kind, "size": size, "head_channels": heads}.items():
            said = getattr(self, key)
            if said is not None and said != value:
                has = f"{name} has no {key}" if value is None else f"{key} of {name} is {value}"
                raise ConfigError(f"{has}, got {said}: leave {key} out")

    def check_prompt(self, name: str) -> None:
        """ConfigError for a prompt that nothing reads."""
        if self.prompt is not None:
            raise ConfigError(f"{name} takes no prompt: leave it out")


def usable_device(device: str | torch.device) -> torch.device:
    """The device, after one number was put there and read back."""
    try:
        torch.zeros(1, device=device).item()
        return torch.device(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {str(device)!r} cannot be used here: {reason}") from error


def checked_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype, a floating-point one."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ConfigError(
            f"dtype must be a floating-point one such as torch.float32, got {dtype!r}"
        )
    return dtype


def checked_backend(value: Any) -> bool | str:
    """Whether to compile, and by which backend of torch."""
    if isinstance(value, bool):
        return value
    from torch.compiler import list_backends

    return one_of("backend", value, tuple(list_backends(exclude_tags=())))
