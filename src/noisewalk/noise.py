r"""Keyed noise: every random number is a pure function of (seed, image, chain, step, slot).

Philox4x32-10, vectorised over the rows: the key is (seed, slot), the counter (block, step, chain,
image). Two output words give two uniforms $u_1, u_2$ in (0, 1) and by Box and Muller two normals
$$\sqrt{-2 \ln u_1} \cos 2 \pi u_2, \qquad \sqrt{-2 \ln u_1} \sin 2 \pi u_2 .$$
No state, no global generator: resuming, sharding and batch size cannot change the noise.

Reference: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .errors import ConfigError

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)

# Slots: independent streams within one step.
INIT, PROPOSAL, ACCEPT, SIMULATE, FROZEN, MASK, JITTER, PROBE = range(8)


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10 on int64 tensors that hold 32-bit words.

    Arguments:
        counter: four broadcastable int64 tensors.
        key: two 32-bit words.

    Returns:
        Four int64 tensors of 32-bit words.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = (
            c0 * _MULTIPLIERS[0],
            c2 * _MULTIPLIERS[1],
        )  # the product wraps modulo 2^64: its bits are still right
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _MASK) ^ c1 ^ k0,
            p1 & _MASK,
            ((p0 >> 32) & _MASK) ^ c3 ^ k1,
            p0 & _MASK,
        )
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


@dataclass(frozen=True)
class Noise:
    """The noise of one step for a block of rows.

    Arguments:
        seed: 0 to 2^56 - 1.
        image: (B,) int64, each row's image number.
        chain: (B,) int64, each row's chain number.
        step: the step's number, 0 to 2^32 - 1.
    """

    seed: int
    image: Tensor
    chain: Tensor
    step: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 56:
            raise ConfigError(f"seed must be between 0 and 2^56 - 1, got {self.seed}")

    def at(self, step: int) -> "Noise":
        """The noise of another step.

        Arguments:
            step: its number.

        Returns:
            The same rows at that step.
        """
        return replace(self, step=step)

    def normal(
        self, shape: tuple[int, ...], slot: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Standard normal numbers.

        Arguments:
            shape: of one row.
            slot: which stream of the step, 0 to 255.
            dtype: of the result.

        Returns:
            (B, *shape), on the rows' device.
        """
        size = math.prod(shape)
        words = self._words(-(-size // 4), slot)
        uniform = [(w.to(torch.float64) + 0.5) * 2.0**-32 for w in words]
        out = []
        for u, v in (uniform[:2], uniform[2:]):
            radius, angle = torch.sqrt(-2.0 * torch.log(u)), 2.0 * math.pi * v
            out += [radius * torch.cos(angle), radius * torch.sin(angle)]
        return torch.stack(out, -1).flatten(1)[:, :size].reshape(-1, *shape).to(dtype)

    def uniform(self, shape: tuple[int, ...], slot: int) -> Tensor:
        """Uniform numbers in (0, 1).

        Arguments:
            shape: of one row; () gives one number a row.
            slot: which stream of the step.

        Returns:
            (B, *shape) float64.
        """
        size = math.prod(shape)
        words = torch.stack(self._words(-(-size // 4), slot), -1).flatten(1)[:, :size]
        return ((words.to(torch.float64) + 0.5) * 2.0**-32).reshape(-1, *shape)

    def _words(self, blocks: int, slot: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows = self.image.shape[0]
        block = torch.arange(blocks, device=self.image.device).expand(rows, blocks)
        step = torch.full_like(block, self.step)
        chain, image = self.chain[:, None].expand_as(block), self.image[:, None].expand_as(block)
        return philox(
            (block, step, chain, image), (self.seed & _MASK, (self.seed >> 32) | (slot << 24))
        )


def rows(
    seed: int, num_images: int, num_chains: int = 1, device: torch.device | str = "cpu"
) -> Noise:
    """Noise for num_images x num_chains rows, image-major.

    Arguments:
        seed: 0 to 2^56 - 1.
        num_images: images.
        num_chains: chains per image.
        device: where the numbers are made.

    Returns:
        The noise of step 0.
    """
    image = torch.arange(num_images, device=device).repeat_interleave(num_chains)
    chain = torch.arange(num_chains, device=device).repeat(num_images)
    return Noise(seed, image, chain)
