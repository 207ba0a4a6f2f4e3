"""Symmetries of the data: each image of a batch is turned by one of them, drawn uniformly.

- "flip": left and right may change places, as in photographs.
- "dihedral": the eight flips and quarter turns of a square, for images without an up such as those
  of satellites and microscopes. Three independent swaps (left and right, top and bottom, rows and
  columns) make each of the eight equally likely.
"""

import torch
from torch import Tensor

SYMMETRIES = {"none": 1, "flip": 2, "dihedral": 8}  # and the images that each makes of one


def augment(images: Tensor, symmetry: str, generator: torch.Generator) -> Tensor:
    """Turn each image at random, by draws on the CPU; "none" draws nothing."""
    if symmetry == "none":
        return images
    swaps = (torch.rand(3, len(images), 1, 1, 1, generator=generator) < 0.5).to(images.device)
    images = torch.where(swaps[0], images.flip(-1), images)
    if symmetry == "dihedral":
        images = torch.where(swaps[1], images.flip(-2), images)
        images = torch.where(swaps[2], images.transpose(-2, -1), images)
    return images


def orbit(images: Tensor, symmetry: str) -> Tensor:
    """All turned copies (k, N, C, H, W) of each image, the images themselves first."""
    copies = [images]
    if symmetry != "none":
        copies += [x.flip(-1) for x in copies]
    if symmetry == "dihedral":
        copies += [x.flip(-2) for x in copies]
        copies += [x.transpose(-2, -1) for x in copies]
    return torch.stack(copies)
