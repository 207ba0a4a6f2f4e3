"""A small affine problem of two images, and settings of a short run of it."""

import torch

import noisewalk as nw


def target(y=None):
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    y = (
        torch.tensor([[0.3, -0.2, 0.5, 0.1], [1.0, 0.2, -0.4, 0.0]], dtype=torch.float64)
        if y is None
        else y
    )
    return nw.NoisePosterior(
        nw.maps.Affine(matrix), torch.nn.Identity(), nw.likelihoods.Gaussian(0.3), y
    )


def settings(**change):
    return {
        "num_draws": 6,
        "num_chains": 3,
        "num_warmup": 5,
        "thin": 2,
        "warm_start": nw.Adam(4),
        "adapt": nw.DualAveraging(),
        "progress": False,
        **change,
    }


KERNEL = nw.Langevin(0.01, "em", adjust=True)
