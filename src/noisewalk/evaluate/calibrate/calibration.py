"""What a calibration found: the truth's ranks, p-values, coverage, and their plot."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..diagnostics.ranks import Coverage, Tarp

NUM_PROJECTIONS = 4
PROJECTIONS = tuple(f"projection {k}" for k in range(NUM_PROJECTIONS))
QUANTITIES = ("nll", "log posterior", "|z|^2", "mean of x", *PROJECTIONS)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of the truth.

    Arguments:
        test: "exactness" or "converged".
        kernel: what was tested.
        ranks: (problem, quantity) 0 to num_draws.
        num_draws: places besides the truth's.
        p_values: (quantity,), and TARP's last for "converged", all adjusted by Holm's method.
        acceptance_rate: mean over transitions.
        nfe: network calls.
        tarp: expected coverage of x, for "converged".
        coverage: of the intervals of every quantity, for "converged".
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

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the p-values belong to: the ranked quantities, and TARP."""
        return QUANTITIES if self.tarp is None else (*QUANTITIES, "TARP of x")

    def __repr__(self) -> str:
        worst = int(self.p_values.argmin())
        return (
            f"Calibration({self.test}, {len(self.ranks)} problems, {self.kernel}: smallest p "
            f"{float(self.p_values[worst]):.3g} ({self.quantities[worst]}))"
        )

    def plot(self) -> Any:
        """Ranks' distribution functions minus the uniform one, and for "converged" the coverage.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.figure import Figure

        inside, distances = self.coverage, self.tarp
        covered = [] if inside is None or distances is None else [(inside, distances)]
        figure = Figure(figsize=(12 if covered else 7, 4), layout="constrained")
        left, *right = figure.subplots(1, 1 + len(covered), squeeze=False)[0]
        self._plot_ranks(left)
        for axes, found in zip(right, covered, strict=True):
            self._plot_coverage(axes, *found)
        return figure

    def _plot_ranks(self, axes: Any) -> None:
        places = torch.arange(self.num_draws + 1)
        across, uniform = places / self.num_draws, (places + 1.0) / (self.num_draws + 1)
        self._plot_band(axes, across, uniform, torch.zeros_like(uniform), step="post")
        for k, name in enumerate(QUANTITIES):
            curve = (self.ranks[:, k, None] <= places).double().mean(0) - uniform
            axes.step(across, curve, where="post", label=f"{name}, p {self.p_values[k].item():.2g}")
        axes.set(xlabel="rank of the truth / largest rank", ylabel="share of problems - uniform")
        axes.legend(fontsize=7, ncols=2)

    def _plot_coverage(self, axes: Any, inside: Coverage, tarp: Tarp) -> None:
        levels = torch.linspace(0, 1, 101, dtype=torch.float64)
        self._plot_band(axes, levels, levels, levels)
        label = f"TARP of x, p {float(self.p_values[-1]):.2g}"
        axes.plot(tarp.credibility, tarp.coverage, "k", label=label)
        for name, shares in zip(QUANTITIES, inside.empirical.T, strict=True):
            axes.plot(inside.nominal, shares, "o-", label=name, markersize=3, linewidth=0.8)
        axes.set(xlabel="nominal coverage", ylabel="share of problems whose truth is inside")
        axes.legend(fontsize=7)

    def _plot_band(
        self, axes: Any, across: Tensor, share: Tensor, centre: Tensor, step: str | None = None
    ) -> None:
        """Where the share of problems would be for 95 % of exact samplers, around a centre."""
        band = 1.96 * (share * (1 - share) / len(self.ranks)).sqrt()
        style = {"color": "0.85", "step": step, "label": "95 % of exact samplers"}
        axes.fill_between(across, centre - band, centre + band, **style)
