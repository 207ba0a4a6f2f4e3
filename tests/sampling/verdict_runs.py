"""Runs of chains on a Gaussian posterior, with what is asked for wrong with them."""

import torch

import noisewalk as nw

CALIBRATED = {"operator": "avgpool", "factor": [2, 4], "sigma_y": [0.05, 0.2]}
PROBLEM = {"prior": "toy", "operator": "avgpool:factor=4", "sigma_y": 150.0}
"""With its level as it was typed, in the unit of a file."""
RECIPE = {"num_steps": 80, "optimizer": "lbfgs", "num_candidates": 1}


def run(
    chains=16,
    draws=1,
    images=1,
    shape=(1, 16, 16),
    rho=0.0,
    shift=0.0,
    start="RandomizedStarts",
    exact=True,
    settling=31,
    chi2=1.0,
    seed=0,
    num_observed=1000,
    problem=None,
    sigma_y=0.1,
    midpoints=(),
    network=None,
    operator=None,
    steps=80,
    early=True,
    **changes,
):
    """Draws that remember `rho` of the early state and have moved by `shift` since."""
    noise = torch.randn(
        images, chains, draws + 1, *shape, generator=torch.Generator().manual_seed(seed)
    )
    first, fresh = noise[:, :, 0], noise[:, :, 1:]
    x = rho * first[:, :, None] + (1 - rho**2) ** 0.5 * fresh + shift
    size = images, chains, draws
    arrays = {
        "x": x,
        "z": x - shift,
        "nll": torch.zeros(size, dtype=torch.float64),
        "accepted": torch.ones(size, dtype=torch.bool),
        "diverging": torch.zeros(size, dtype=torch.bool),
        "chi2": torch.full(size, chi2),
    }
    kernel = {"name": "HMC", "exact": exact, "step_size": 0.1}
    warm_start = None if start is None else {**RECIPE, "name": start, "num_steps": steps}
    plan = {"name": "Chains", "warm_start": warm_start, "thin": 1, "kernel": kernel}
    plan["num_settling"] = settling
    spec = {
        "plan": plan,
        "likelihood": {"name": "Gaussian", "sigma_y": sigma_y},
        "map": {"name": "Consistency", "midpoints": list(midpoints), "denoiser": network or {}},
        "operator": operator or {},
        "problem": problem or {},
    }
    lp = -0.5 * first.double().flatten(2).square().sum(-1)
    given = {
        "nfe": 100,
        "seconds": 1.0,
        "spec": spec,
        "num_observed": torch.full((images,), num_observed),
        "y": torch.zeros(images, 1, 25, 40),
        "early_x": first if early else None,
        "early_lp": lp if early else None,
    }
    return nw.Run(arrays, **{**given, **changes})
