r"""Products with the Jacobian J of a function of rows, for any function that autograd can follow.

J v comes from forward-mode derivatives. Where an operation has none, it is the gradient in u of
$\langle J^T u, v \rangle$: backward, twice. An operation whose backward pass cannot be
differentiated either has no J v at all.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .errors import ConfigError

FORWARD, TWICE, NONE = "forward", "double backward", "none"
"""Ways to J v."""
ADJOINT = 0.02
"""Largest |<w, J v> - <J^T w, v>| in units of |w| |J v| where a backward pass is differentiated
right, also in bfloat16; a wrong one is off by about 1 / sqrt(d) or more."""
Function = Callable[[Tensor], Tensor]


class _Contiguous(TorchFunctionMode):
    """Group norm has a forward-mode derivative for contiguous inputs alone."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.nn.functional.group_norm and args:
            args = (args[0].contiguous(), *args[1:])
        return func(*args, **(kwargs or {}))


@contextmanager
def _plain() -> Iterator[None]:
    """Operations that have second derivatives, which the fused ones of attention and of recurrent
    networks have not, and compiled ones neither."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    compiled = "torch._dynamo" in sys.modules  # else nothing is, and the import takes seconds
    eager = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
    with sdpa_kernel(SDPBackend.MATH), eager:
        yield


def forward(function: Function, z: Tensor, v: Tensor) -> Tensor:
    """J v by forward mode; an error of any kind where an operation has none."""
    with _plain(), _Contiguous():
        return torch.func.jvp(function, (z,), (v,))[1].detach()


def double_backward(function: Function, z: Tensor, v: Tensor) -> Tensor:
    """J v as the gradient in u of <J^T u, v>."""
    with torch.enable_grad(), _plain():
        leaf = z.detach().clone().requires_grad_()
        out = function(leaf)
        u = torch.zeros_like(out, requires_grad=True)
        (pulled,) = torch.autograd.grad(out, leaf, u, create_graph=True)
        return torch.autograd.grad(pulled, u, v)[0].detach()


def pull(function: Function, z: Tensor, w: Tensor) -> Tensor:
    """J^T w."""
    with torch.enable_grad():
        leaf = z.detach().clone().requires_grad_()
        return torch.autograd.grad(function(leaf), leaf, w)[0]


WAYS = {FORWARD: forward, TWICE: double_backward}


class Jacobian:
    """J v of functions of the same operations; `found` is the way to it, None before the first."""

    def __init__(self) -> None:
        self.found: str | None = None

    def way(self, function: Function, z: Tensor, v: Tensor) -> str:
        """The way to J v, looked for at z, (1, *shape), where it is not known yet."""
        self.found = self.found or way_to_push(function, z, v)
        return self.found

    def push(self, function: Function, z: Tensor, v: Tensor) -> Tensor:
        """J v; ConfigError where it cannot be had."""
        if self.found is None:
            try:
                pushed = forward(function, z, v)
            except RuntimeError:
                pass
            else:
                self.found = FORWARD
                return pushed
        way = self.way(function, z[:1], v[:1])
        if way == NONE:
            raise ConfigError(
                "an operation of the operator or the map has neither a forward-mode derivative nor "
                "a second one, so J v cannot be had: use nw.spectral or nw.SpectralRefresh(), "
                "which need J^T w alone, or no preconditioner"
            )
        return WAYS[way](function, z, v)


def way_to_push(function: Function, z: Tensor, v: Tensor) -> str:
    """How J v can be had: tried at one z, (1, *shape). Double backward must agree with J^T there,
    since a backward pass that leaves the graph would be wrong without an error."""
    try:
        forward(function, z, v)
        return FORWARD
    except RuntimeError:  # NotImplementedError is one
        pass
    try:
        pushed = double_backward(function, z, v)
        pulled = pull(function, z, pushed)
    except RuntimeError:
        return NONE
    size = pushed.double().square().sum()
    gap = (size - (pulled.double() * v.double()).sum()).abs()
    return TWICE if bool(gap <= ADJOINT * size) else NONE
