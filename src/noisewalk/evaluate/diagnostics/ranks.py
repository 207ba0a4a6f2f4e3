"""Calibration from simulated problems: truth from the prior, draws from the sampler under test.

References: Talts, Betancourt, Simpson, Vehtari and Gelman, Validating Bayesian Inference Algorithms
with Simulation-Based Calibration, 2018; Lemos, Coogan, Hezaveh and Perreault-Levasseur,
Sampling-Based Accuracy Testing of Posterior Estimators, 2023; Holm, A simple sequentially rejective
multiple test procedure, 1979.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..._checks import whole
from ..._intake import plain
from ...errors import ConfigError
from ...noise import JITTER, PROBE, rows


class Ranks(NamedTuple):
    """Ranks of the truth and whether they are uniform."""

    ranks: Tensor  # (problem, ...) 0 to L, ties broken at random
    num_draws: int  # L
    p_values: Tensor  # (...) of a chi-square test of uniformity


class Tarp(NamedTuple):
    """Expected coverage: how often the credible region of a level holds the truth."""

    credibility: Tensor  # (level,) nominal, ascending from 0 to 1
    coverage: Tensor  # (level,)
    p_value: float  # of Kolmogorov and Smirnov's test against the diagonal


class Coverage(NamedTuple):
    """Coverage of equal-tailed intervals."""

    nominal: Tensor  # (level,) of exact draws
    empirical: Tensor  # (level, ...) over problems
    standard_error: Tensor  # (level, ...)


def sbc(truth: Tensor, draws: Tensor, seed: int = 0, num_bins: int | None = None) -> Ranks:
    """Rank of the truth among L draws, for each quantity on its own: uniform on 0..L when exact.

    Arguments:
        truth: (problem, ...).
        draws: (problem, draw, ...), independent within a problem (thin them).
        seed: of the ties' breaking.
        num_bins: of the test, at most L + 1; None: up to 20, with 10 problems or more in each.

    Returns:
        Ranks and p-values.

    Raises:
        ConfigError: shapes that do not fit, or too few problems for two bins.

    Example:
        >>> x = torch.randn(200, 10, 1, generator=torch.Generator().manual_seed(0))
        >>> bool(nw.diagnostics.sbc(truth=x[:, 0], draws=x[:, 1:]).p_values > 0.01)
        True
    """
    truth, draws = _checked(truth, draws)
    problems, count = draws.shape[:2]
    below, ties = (draws < truth[:, None]).sum(1), (draws == truth[:, None]).sum(1)
    uniform = rows(seed, problems).uniform(tuple(truth.shape[1:]), JITTER).to(draws.device)
    ranks = below + (uniform * (ties + 1)).long()
    bins = min(count + 1, 20, problems // 10) if num_bins is None else num_bins
    if num_bins is None and bins < 2:
        raise ConfigError(f"sbc needs at least 20 problems, got {problems}: simulate more problems")
    bins = whole("num_bins", bins, 2, count + 1)
    edges = torch.arange(count + 1, device=ranks.device) * bins // (count + 1)
    share = torch.bincount(edges, minlength=bins).double() / (count + 1)
    counts = torch.nn.functional.one_hot(edges[ranks], bins).sum(0).double()
    chi2 = ((counts - problems * share) ** 2 / (problems * share)).sum(-1)
    p_values = torch.special.gammaincc(torch.full_like(chi2, (bins - 1) / 2), chi2 / 2)
    return Ranks(ranks, count, p_values)


def tarp(truth: Tensor, draws: Tensor, references: Tensor | None = None, seed: int = 0) -> Tarp:
    """Expected coverage of the regions around random reference points.

    The share of draws closer to the reference than the truth is uniform when exact. References that
    depend on y also show samplers that ignore the measurement.

    Arguments:
        truth: (problem, ...).
        draws: (problem, draw, ...).
        references: (problem, ...), independent of the truth given y; None: normal, as the truths.
        seed: of the references and ties.

    Returns:
        The curve and its p-value.

    Raises:
        ConfigError: shapes that do not fit.

    Example:
        >>> x = torch.randn(200, 10, 3, generator=torch.Generator().manual_seed(0))
        >>> nw.diagnostics.tarp(truth=x[:, 0], draws=x[:, 1:]).p_value > 0.01
        True
    """
    truth, draws = _checked(truth, draws)
    noise = rows(seed, len(truth))
    if references is None:
        normal = noise.normal(tuple(truth.shape[1:]), PROBE, torch.float64).to(truth.device)
        references = truth.mean(0) + truth.std(0) * normal
    references = plain("references", references)
    if references.shape != truth.shape:
        wanted, found = tuple(truth.shape), tuple(references.shape)
        raise ConfigError(f"references must have the truths' shape {wanted}, got {found}")
    reference = references.to(truth)
    own = (truth - reference).reshape(len(truth), -1).square().sum(1)
    others = (draws - reference[:, None]).reshape(*draws.shape[:2], -1).square().sum(2)
    count = others.shape[1]
    below, ties = (others < own[:, None]).sum(1), (others == own[:, None]).sum(1)
    # Uniform on (0, L + 1) for exact draws.
    place = below + noise.uniform((), JITTER).to(truth) * (ties + 1)
    share = (place / (count + 1)).sort().values
    levels = torch.linspace(0, 1, 101, dtype=torch.float64, device=share.device)
    curve = torch.searchsorted(share, levels, right=True).double() / len(share)
    return Tarp(levels, curve, _kolmogorov(share))


def coverage(truth: Tensor, draws: Tensor, num_levels: int = 9) -> Coverage:
    """How often equal-tailed intervals hold the truth.

    The interval between the k-th smallest and the k-th largest of L draws covers a further exact
    draw with probability (L + 1 - 2 k) / (L + 1), whatever the distribution: of a truth that equals
    some draws, the share of the places that it could have among them counts.

    Arguments:
        truth: (problem, ...).
        draws: (problem, draw, ...), L at least 2.
        num_levels: intervals, spread over the order statistics there are.

    Returns:
        Nominal and empirical coverage with its standard error over problems.

    Raises:
        ConfigError: shapes that do not fit, or fewer than two draws.

    Example:
        >>> x = torch.randn(200, 20, generator=torch.Generator().manual_seed(0))
        >>> found = nw.diagnostics.coverage(truth=x[:, 0], draws=x[:, 1:])
        >>> bool(((found.empirical - found.nominal).abs() < 4 * found.standard_error).all())
        True
    """
    truth, draws = _checked(truth, draws)
    count = draws.shape[1]
    if count < 2:
        raise ConfigError(f"an interval needs at least two draws, got {count}")
    below, equal = (draws < truth[:, None]).sum(1), (draws == truth[:, None]).sum(1)
    levels = torch.linspace(1, count // 2, whole("num_levels", num_levels))
    ks = sorted({max(1, round(float(k))) for k in levels}, reverse=True)
    first, last = (torch.stack([part] * len(ks)) for part in (below, below + equal))
    k_of = torch.tensor(ks, device=below.device).view(-1, *[1] * below.ndim)
    places = (torch.minimum(last, count - k_of) - torch.maximum(first, k_of) + 1).clamp(min=0)
    inside = places.double() / (equal + 1)
    nominal = torch.tensor([(count + 1 - 2 * k) / (count + 1) for k in ks], dtype=torch.float64)
    return Coverage(nominal, inside.mean(1), inside.std(1) / len(truth) ** 0.5)


def holm(p_values: Tensor) -> Tensor:
    """Holm's adjusted p-values, float64: where those below a level are rejected, the probability
    of any false rejection is at most that level."""
    p_values = plain("p_values", p_values)
    flat = p_values.to(torch.float64).flatten()
    order = flat.argsort()
    steps = torch.arange(len(flat), 0, -1, device=flat.device) * flat[order]
    adjusted = torch.empty_like(flat)
    adjusted[order] = steps.cummax(0).values.clamp(max=1.0)
    return adjusted.reshape(p_values.shape)


def _kolmogorov(ordered: Tensor) -> float:
    """Asymptotic p-value of the Kolmogorov-Smirnov distance of ascending numbers from the uniform
    law (Stephens' finite-sample form)."""
    count = len(ordered)
    steps = torch.arange(count + 1, dtype=torch.float64, device=ordered.device) / count
    distance = float(torch.maximum(steps[1:] - ordered, ordered - steps[:-1]).max())
    scaled = (count**0.5 + 0.12 + 0.11 / count**0.5) * distance
    k = torch.arange(1, 101, dtype=torch.float64)
    return float((2 * ((-1) ** (k - 1) * torch.exp(-2 * k**2 * scaled**2)).sum()).clamp(0.0, 1.0))


def _checked(truth: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    truth, draws = plain("truth", truth), plain("draws", draws)
    fits = draws.ndim >= 2 and truth.shape == (draws.shape[0], *draws.shape[2:])
    if not fits or len(truth) < 2 or draws.shape[1] < 1:
        wanted = "(problem, ...) and draws (problem, draw, ...) with two problems or more"
        found = f"{tuple(truth.shape)} and {tuple(draws.shape)}"
        raise ConfigError(f"truth must be {wanted}, got {found}")
    if not bool(torch.isfinite(truth).all() and torch.isfinite(draws).all()):
        raise ConfigError("truth and draws must be finite: look for diverged chains")
    return truth.to(torch.float64), draws.to(torch.float64)
