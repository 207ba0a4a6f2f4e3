"""Runs and masks that cost nothing."""

import numpy as np
import torch

import noisewalk as nw


def store_tiny_run(folder, num_draws=3):
    """A run of 2 chains on 4 x 4 pixels."""
    phi, y = nw.maps.Warp((1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(0.1), y)
    how = {"warm_start": None, "store": folder, "progress": False}
    return nw.sample(target, nw.EllipticalSlice(), num_draws, 2, **how)


def half(shape=(32, 32)):
    """A mask that is painted on the left."""
    mask = np.zeros(shape, dtype=bool)
    mask[:, : shape[1] // 2] = True
    return mask
