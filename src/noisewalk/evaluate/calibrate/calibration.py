"""What a calibration found: the truth's ranks, p-values, coverage, and their plot."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..diagnostics.ranks import Coverage, Tarp

NUM_PROJECTIONS = 4
QUANTITIES = (
    "nll",
    "log posterior",
    "|z|^2",
    "mean of x",
    *(f"projection {k}" for k in range(NUM_PROJECTIONS)),
)


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
        """The ranks' distribution functions minus the uniform one; for "converged" the coverage of
        intervals and TARP's beside them.

        The grey band holds 95 % of exact samplers at each place.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.figure import Figure

        if self.coverage is None or self.tarp is None:
            figure = Figure(figsize=(7, 4), layout="constrained")
            self._plot_ranks(figure.subplots())
            return figure
        figure = Figure(figsize=(12, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        self._plot_ranks(left)
        self._plot_coverage(right, self.coverage, self.tarp)
        return figure

    def _plot_ranks(self, axes: Any) -> None:
        places = torch.arange(self.num_draws + 1)
        uniform = (places + 1.0) / (self.num_draws + 1)
        band = 1.96 * (uniform * (1 - uniform) / len(self.ranks)).sqrt()
        axes.fill_between(
            places / self.num_draws,
            -band,
            band,
            color="0.85",
            step="post",
            label="95 % of exact samplers",
        )
        for k, name in enumerate(QUANTITIES):
            curve = (self.ranks[:, k, None] <= places).double().mean(0) - uniform
            axes.step(
                places / self.num_draws,
                curve,
                where="post",
                label=f"{name}, p {float(self.p_values[k]):.2g}",
            )
        axes.set_xlabel("rank of the truth / largest rank")
        axes.set_ylabel("share of problems - uniform")
        axes.legend(fontsize=7, ncols=2)

    def _plot_coverage(self, axes: Any, coverage: Coverage, tarp: Tarp) -> None:
        levels = torch.linspace(0, 1, 101, dtype=torch.float64)
        band = 1.96 * (levels * (1 - levels) / len(self.ranks)).sqrt()
        axes.fill_between(
            levels, levels - band, levels + band, color="0.85", label="95 % of exact samplers"
        )
        axes.plot(
            tarp.credibility,
            tarp.coverage,
            "k",
            label=f"TARP of x, p {float(self.p_values[-1]):.2g}",
        )
        for k, name in enumerate(QUANTITIES):
            axes.plot(
                coverage.nominal,
                coverage.empirical[:, k],
                "o-",
                markersize=3,
                linewidth=0.8,
                label=name,
            )
        axes.set_xlabel("nominal coverage")
        axes.set_ylabel("share of problems whose truth is inside")
        axes.legend(fontsize=7)
