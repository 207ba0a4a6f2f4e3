"""What a calibration found: the truth's ranks, p-values, coverage, and their plot."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..diagnostics.ranks import Coverage, Tarp

NUM_PROJECTIONS = 4
PROJECTIONS = tuple(f"projection {k}" for k in range(NUM_PROJECTIONS))
LEVEL = 0.01  # Holm-adjusted p-values below it reject
QUANTITIES = ("nll", "log posterior", "|z|^2", "mean of x", *PROJECTIONS)
EXCHANGED = ("shift of x", "spread of x")
LEAST_TRUTHS, LEAST_CHAINS = 16, 8
"""Different truths and chains a problem from which on a calibration counts for a run's verdict."""
DISTANCE = "distance of x"
"""From the mean of the truth and the draws of its problem."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of the truth.

    Arguments:
        test: "exactness", "converged" or "around" (the measurement of a run).
        kernel: what was tested.
        ranks: (problem, quantity) 0 to num_draws.
        num_draws: places besides the truth's.
        p_values: (quantity,), then TARP's for "converged" and those of the shift and the spread of
            x for "around", all adjusted by Holm's method.
        acceptance_rate: mean over transitions.
        nfe: network calls.
        tarp: expected coverage of x, for "converged".
        coverage: of the intervals of every quantity, for "converged" and "around".
        num_truths: different truths, for "around", where several problems may share one.
        run_shape: (images, chains, draws) of the run that it judges, for "around".
    """

    test: str
    kernel: Any
    ranks: Tensor
    num_draws: int
    p_values: Tensor
    acceptance_rate: float
    nfe: int
    tarp: Tarp | None = None
    coverage: Coverage | None = None
    num_truths: int | None = None
    run_shape: tuple[int, int, int] | None = None

    @property
    def ranked(self) -> tuple[str, ...]:
        """What the ranks belong to."""
        return (*QUANTITIES, DISTANCE) if self.test == "around" else QUANTITIES

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the p-values belong to: the ranked quantities, and TARP or the tests of all of x."""
        more = EXCHANGED if self.test == "around" else () if self.tarp is None else ("TARP of x",)
        return (*self.ranked, *more)

    @property
    def p_value(self) -> float:
        """The smallest of the adjusted p-values."""
        return float(self.p_values.min())

    @property
    def passed(self) -> bool:
        """Whether nothing is rejected at the 1 % level."""
        return self.p_value >= LEVEL

    @property
    def counts(self) -> bool:
        """Whether it judges a run, for "around": a fault is found, or there was enough to find it
        with."""
        large = (self.num_truths or 0) >= LEAST_TRUTHS and self.num_draws >= LEAST_CHAINS
        return self.test == "around" and (large or not self.passed)

    @property
    def too_little(self) -> str:
        """What a calibration that does not count lacks."""
        return (
            f"{self.num_truths} different truths of {LEAST_TRUTHS} (a run of {LEAST_TRUTHS} chains "
            f"has them), {self.num_draws} chains a problem of {LEAST_CHAINS}"
        )

    def __repr__(self) -> str:
        worst = int(self.p_values.argmin())
        return (
            f"Calibration({self.test}, {len(self.ranks)} problems, {self.kernel}: smallest p "
            f"{float(self.p_values[worst]):.3g} ({self.quantities[worst]}))"
        )

    def plot(self) -> Any:
        """Ranks' distribution functions minus the uniform one, and the coverage where it is known.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.figure import Figure

        covered = [] if self.coverage is None else [self.coverage]
        figure = Figure(figsize=(12 if covered else 7, 4), layout="constrained")
        left, *right = figure.subplots(1, 1 + len(covered), squeeze=False)[0]
        self._plot_ranks(left)
        for axes, inside in zip(right, covered, strict=True):
            self._plot_coverage(axes, inside)
        return figure

    def _plot_ranks(self, axes: Any) -> None:
        places = torch.arange(self.num_draws + 1)
        across, uniform = places / self.num_draws, (places + 1.0) / (self.num_draws + 1)
        self._plot_band(axes, across, uniform, torch.zeros_like(uniform), step="post")
        for k, name in enumerate(self.ranked):
            curve = (self.ranks[:, k, None] <= places).double().mean(0) - uniform
            axes.step(across, curve, where="post", label=f"{name}, p {self.p_values[k].item():.2g}")
        axes.set(xlabel="rank of the truth / largest rank", ylabel="share of problems - uniform")
        axes.legend(fontsize=7, ncols=2)

    def _plot_coverage(self, axes: Any, inside: Coverage) -> None:
        levels = torch.linspace(0, 1, 101, dtype=torch.float64)
        self._plot_band(axes, levels, levels, levels)
        if self.tarp is not None:
            label = f"TARP of x, p {float(self.p_values[-1]):.2g}"
            axes.plot(self.tarp.credibility, self.tarp.coverage, "k", label=label)
        for name, shares in zip(self.ranked, inside.empirical.T, strict=True):
            axes.plot(inside.nominal, shares, "o-", label=name, markersize=3, linewidth=0.8)
        axes.set(xlabel="nominal coverage", ylabel="share of problems whose truth is inside")
        axes.legend(fontsize=7)

    def _plot_band(
        self, axes: Any, across: Tensor, share: Tensor, centre: Tensor, step: str | None = None
    ) -> None:
        """Where the share of problems would be for 95 % of exact samplers, around a centre."""
        band = 1.96 * (share * (1 - share) / (self.num_truths or len(self.ranks))).sqrt()
        style = {"color": "0.85", "step": step, "label": "95 % of exact samplers"}
        axes.fill_between(across, centre - band, centre + band, **style)
