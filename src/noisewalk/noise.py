r"""Keyed noise: every random number is a pure function of (seed, image, chain, step, slot).

Philox4x32-10, vectorised over the rows: the key is (seed, slot), the counter (block, step, chain,
image). Two output words give two uniforms $u_1, u_2$ in (0, 1) and by Box and Muller two normals
$$\sqrt{-2 \ln u_1} \cos 2 \pi u_2, \qquad \sqrt{-2 \ln u_1} \sin 2 \pi u_2 .$$
No state, no global generator: resuming, sharding and batch size cannot change the noise.

Reference: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from ._checks import seed_of

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)

# Slots: independent streams within one step. A kernel reads PROPOSAL, ACCEPT and JITTER.
INIT, PROPOSAL, ACCEPT, SIMULATE, FROZEN, MASK, JITTER, PROBE = range(8)


class Part(NamedTuple):
    """The seed of rows that are a part of a larger block: its first image and chain there."""

    seed: int | tuple[int, ...]
    image: int = 0
    chain: int = 0


Words: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
Seeds: TypeAlias = int | tuple[int, ...] | Part
"""One seed for all images, or one each, of a whole block or of a part of one."""


def philox(counter: Words, key: tuple[int | Tensor, int | Tensor]) -> Words:
    """Philox4x32-10 of four broadcastable int64 tensors that hold 32-bit words, and a key of two
    such words, numbers or tensors."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        # the products wrap modulo 2^64: their bits are still right
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        high0, high1 = (p0 >> 32) & _MASK, (p1 >> 32) & _MASK
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, p1 & _MASK, high0 ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


@dataclass(frozen=True)
class Noise:
    """The noise of one step for a block of rows.

    Arguments:
        seed: 0 to 2^56 - 1, one for all rows, or (B,) int64, each row's own.
        image: (B,) int64, each row's image number.
        chain: (B,) int64, each row's chain number.
        step: the step's number, 0 to 2^32 - 1.
    """

    seed: int | Tensor
    image: Tensor
    chain: Tensor
    step: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.seed, Tensor) or not self.seed.ndim:
            object.__setattr__(self, "seed", seed_of(self.seed))

    @property
    def is_shared(self) -> bool:
        """Whether one seed is that of all rows."""
        return isinstance(self.seed, int)

    def at(self, step: int) -> "Noise":
        """The noise of the same rows at another step."""
        return replace(self, step=step)

    def normal(
        self, shape: tuple[int, ...], slot: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """(B, *shape) standard normal numbers from one slot, 0 to 255, on the rows' device."""
        size = math.prod(shape)
        words = self._words(-(-size // 4), slot)
        uniform = [(w.to(torch.float64) + 0.5) * 2.0**-32 for w in words]
        out = []
        for u, v in (uniform[:2], uniform[2:]):
            radius, angle = torch.sqrt(-2.0 * torch.log(u)), 2.0 * math.pi * v
            out += [radius * torch.cos(angle), radius * torch.sin(angle)]
        return torch.stack(out, -1).flatten(1)[:, :size].reshape(-1, *shape).to(dtype)

    def uniform(self, shape: tuple[int, ...], slot: int) -> Tensor:
        """(B, *shape) float64 uniform numbers in (0, 1) from one slot; a shape of () gives (B,)."""
        size = math.prod(shape)
        words = torch.stack(self._words(-(-size // 4), slot), -1).flatten(1)[:, :size]
        return ((words.to(torch.float64) + 0.5) * 2.0**-32).reshape(-1, *shape)

    def _words(self, blocks: int, slot: int) -> Words:
        rows = self.image.shape[0]
        block = torch.arange(blocks, device=self.image.device).expand(rows, blocks)
        step = torch.full_like(block, self.step)
        chain, image = self.chain[:, None].expand_as(block), self.image[:, None].expand_as(block)
        seed = self.seed[:, None] if isinstance(self.seed, Tensor) else self.seed
        key = seed & _MASK, (seed >> 32) | (slot << 24)
        return philox((block, step, chain, image), key)


def rows(
    seed: Seeds, num_images: int, num_chains: int = 1, device: torch.device | str = "cpu"
) -> Noise:
    """Noise of step 0 for num_images x num_chains rows, image-major; of images with a seed each, it
    is that of each image alone, and of a part of a larger block, it is that block's."""
    seed, first, chains = seed if isinstance(seed, Part) else Part(seed)
    image = first + torch.arange(num_images, device=device).repeat_interleave(num_chains)
    chain = chains + torch.arange(num_chains, device=device).repeat(num_images)
    if isinstance(seed, int):
        return Noise(seed, image, chain)
    each = torch.tensor([seed_of(one) for one in seed], device=device)
    return Noise(each.repeat_interleave(num_chains), torch.zeros_like(image), chain)
