"""Chains whose autocorrelation is known, and the estimators."""

import math

import numpy as np

from noisewalk.evaluate.diagnostics import ess_bulk, ess_tail, mcse_mean, r_hat

ESTIMATORS = [r_hat, ess_bulk, ess_tail, mcse_mean]


def ar1(num_chains, num_draws, num_pixels, rho, seed=0):
    """Stationary, unit variance."""
    rng = np.random.default_rng(seed)
    e = rng.normal(size=(num_chains, num_draws, num_pixels))
    x = e.copy()
    for t in range(1, num_draws):
        x[:, t] = rho * x[:, t - 1] + math.sqrt(1 - rho**2) * e[:, t]
    return x
