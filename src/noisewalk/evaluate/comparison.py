"""The table of a comparison: as text, for pandas, for a notebook; and its figure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any, NamedTuple

from .. import _pictures as pictures
from ..errors import MissingExtraError
from ..sampling.run import Run
from ..sampling.scores import SCORED
from ..sampling.view import view_of
from .cells import Cell, cells_of

GOAL = "goal"


class Column(NamedTuple):
    """A column: what it is called, how its numbers are written, and which ones are better."""

    head: str
    how: str
    better: str = ""  # "high", "low", "goal" (near a value) or "" (nothing is marked)
    factor: float = 1.0  # of the number that is printed


COLUMNS = {
    "verdict": Column("verdict", ",.0f"),
    "jump_per_call": Column("jump / 1,000 calls", ".3g", "high", 1000.0),
    "jump_per_second": Column("jump / s", ".3g", "high"),
    "ess_per_call": Column("ESS / 1,000 calls", ".3g", "high", 1000.0),
    "ess_per_second": Column("ESS / s", ".3g", "high"),
    "r_hat": Column("R-hat", ",.2f", "low"),
    "drift": Column("drift", ",.2f", "low"),
    "memory": Column("memory", ",.2f", "low"),
    "chi2": Column("chi-square", ",.2f", GOAL),
    "psnr": Column("PSNR, dB", ",.2f", "high"),
    "ssim": Column("SSIM", ",.3f", "high"),
    "lpips": Column("LPIPS", ",.3f", "low"),
    "energy_score": Column("energy score", ",.3f", "low"),
    "coverage": Column("coverage", ",.2f", GOAL),
    "num_draws": Column("draws", ",.0f"),
    "nfe": Column("calls", ",.0f", "low"),
    "seconds": Column("time, s", ",.1f", "low"),
}
"""What is told of each entry, in this order; `drift_p` and `memory_p` stand beside theirs."""
ERRORS = 2.0  # standard errors by which the best must differ


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `nw.compare` found.

    Arguments:
        runs: by name, the runs of the entries, with the target and the truth.
        budget: network calls that an entry could spend; None: no budget.

    Example:
        >>> noise = torch.randn(2, 1, 4, 5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> found = nw.compare({"a": nw.Run(noise[0]), "b": nw.Run(noise[1])})
        >>> found
        Comparison(a: check, b: check)
        >>> found.to_markdown().splitlines()[0][:38]
        '| entry | verdict | jump / 1,000 calls'
    """

    runs: Mapping[str, Run]
    budget: int | None = None

    def __repr__(self) -> str:
        told = (f"{name}: {cells['verdict'].value}" for name, cells in self.table.items())
        return f"Comparison({', '.join(told)})"

    @cached_property
    def table(self) -> dict[str, dict[str, Cell]]:
        """By entry and column, a number with its standard error, or the reason for its lack."""
        return {name: cells_of(run, self.num_scored) for name, run in self.runs.items()}

    @property
    def num_scored(self) -> int:
        """Draws of each image by which every entry is scored."""
        counts = (run.draws.shape[1] * run.draws.shape[2] for run in self.runs.values())
        return min(SCORED, *counts)

    def best(self, key: str) -> set[str]:
        """The entries that are best in a column: the first one, and those within two standard
        errors of it; none where all are."""
        better = COLUMNS[key].better
        ranked = {name: c for name, c in self._column(key).items() if isinstance(c.value, float)}
        if not better or len(ranked) < 2:
            return set()
        costs = {name: self._cost(name, key, cell) for name, cell in ranked.items()}
        first = min(costs, key=costs.__getitem__)

        def near(name: str) -> bool:
            errors = [ranked[one].error for one in (first, name)]
            known = [error for error in errors if error is not None]
            slack = ERRORS * math.hypot(*known) if len(known) == 2 else 0.0
            return costs[name] - costs[first] <= slack

        found = {name for name in ranked if near(name)}
        return set() if len(found) == len(ranked) else found

    def to_pandas(self) -> Any:
        """A pandas DataFrame: a row an entry, every number beside its standard error, `*_se`; NaN
        where there is none."""
        try:
            import pandas
        except ImportError as error:
            raise MissingExtraError("pandas", "arviz") from error
        rows: dict[str, dict[str, Any]] = {}
        for name, cells in self.table.items():
            rows[name] = {}
            for key, cell in cells.items():
                text = isinstance(cell.value, str)
                rows[name][key] = math.nan if cell.value is None else cell.value
                if not text:
                    rows[name][f"{key}_se"] = math.nan if cell.error is None else cell.error
        frame = pandas.DataFrame.from_dict(rows, orient="index")
        frame.index.name = "entry"
        return frame[_kept(frame)]

    def to_markdown(self) -> str:
        """The table in Markdown, the best in bold, and what it says below it."""
        heads = ["entry", *(column.head for column in COLUMNS.values())]
        lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for name in self.runs:
            texts = [self._text(name, key) for key in COLUMNS]
            marked = [
                f"**{text}**" if name in self.best(key) else text
                for key, text in zip(COLUMNS, texts, strict=True)
            ]
            lines.append(f"| {' | '.join(_cell(text) for text in (name, *marked))} |")
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes), ""])

    @property
    def notes(self) -> list[str]:
        """What stands below the table: what the columns are, and the reasons for every dash."""
        out = [
            "±: standard error, over the images, or over the chains of one image. Bold: the best, "
            "with what is within two standard errors of it.",
            "Jump and ESS are medians over 64 random projections of x, of one image's chains; the "
            "calls and the time include the warm-up.",
            f"PSNR, SSIM, LPIPS (of the mean), energy score and coverage are those of "
            f"{self.num_scored} draws of each image, evenly spread.",
        ]
        nominal = next(
            (c["coverage_nominal"].value for c in self.table.values() if c["coverage"].value), None
        )
        if isinstance(nominal, float):
            out.append(f"Coverage of exact draws is {nominal:.2f}, chi-square about 1.")
        if self.budget is not None:
            out.append(f"Functions could spend about {self.budget:,} network calls.")
        for why, heads in self._reasons().items():
            places = "; ".join(f"{name}: {', '.join(each)}" for name, each in heads.items())
            out.append(f"–: {why} ({places}).")
        return out

    def _repr_html_(self) -> str:
        some = [k for k in COLUMNS if any(c.value is not None for c in self._column(k).values())]
        cell = "padding:2px 6px;text-align:right;vertical-align:middle"
        heads = "".join(f'<th style="{cell}">{escape(COLUMNS[key].head)}</th>' for key in some)
        rows = ""
        for name in self.runs:
            told = ""
            for key in some:
                text = escape(self._text(name, key))
                text = f"<b>{text}</b>" if name in self.best(key) else text
                told += f'<td style="{cell};white-space:nowrap">{text}</td>'
            label = f'<th style="{cell};text-align:left">{escape(name)}</th>'
            shown = f'<td style="{cell};white-space:nowrap">{self._thumbnails(name)}</td>'
            rows += f"<tr>{label}{shown}{told}</tr>"
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return (
            '<div style="font-size:12px;overflow-x:auto"><table><thead><tr><th></th>'
            f'<th style="{cell}">mean, uncertainty</th>{heads}</tr></thead><tbody>{rows}</tbody>'
            f'</table></div><ul style="font-size:12px;max-width:60em;opacity:.8">{notes}</ul>'
        )

    def plot(self, image: int = 0) -> Any:
        """The means, uncertainties and draws of one image side by side, a column an entry.

        Arguments:
            image: number of the image.

        Returns:
            A matplotlib Figure.
        """
        from .comparison_figure import side_by_side

        return side_by_side(self.runs, image)

    def _column(self, key: str) -> dict[str, Cell]:
        return {name: cells[key] for name, cells in self.table.items()}

    def _cost(self, name: str, key: str, cell: Cell) -> float:
        """What the best has least of."""
        value, better = float(cell.value or 0.0), COLUMNS[key].better
        if better == GOAL:
            nominal = self.table[name]["coverage_nominal"].value if key == "coverage" else 1.0
            return abs(value - float(nominal or 0.0))
        return -value if better == "high" else value

    def _text(self, name: str, key: str) -> str:
        cell, column = self.table[name][key], COLUMNS[key]
        if not isinstance(cell.value, float):
            return "–" if cell.value is None else cell.value
        shown = f"{cell.value * column.factor:{column.how}}"
        p = self.table[name].get(f"{key}_p", Cell(None)).value
        if isinstance(p, float):
            return f"{shown} (p {p:.2g})"
        if cell.error is None:
            return shown
        return f"{shown} ± {cell.error * column.factor:{column.how.replace('.3g', '.2g')}}"

    def _reasons(self) -> dict[str, dict[str, list[str]]]:
        """The columns of every entry that lack a number, by the reason."""
        out: dict[str, dict[str, list[str]]] = {}
        for name, cells in self.table.items():
            for key, column in COLUMNS.items():
                if cells[key].value is None:
                    out.setdefault(cells[key].why, {}).setdefault(name, []).append(column.head)
        return out

    def _thumbnails(self, name: str) -> str:
        view = view_of(self.runs[name], 0, 1)
        if not view.is_picture:
            return ""
        shown = pictures.shades(view.mean, *view.limits), pictures.heat(view.spread, view.top)
        style = "height:56px;image-rendering:pixelated;margin-right:3px"
        up = view.origin == "lower"
        sources = (pictures.uri(pixels[::-1] if up else pixels) for pixels in shown)
        return "".join(f'<img src="{source}" alt="" style="{style}">' for source in sources)


def _cell(text: str) -> str:
    """A text that does not end its cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())


def _kept(frame: Any) -> list[str]:
    """The columns: every number, and the errors that some entry has."""
    return [c for c in frame.columns if not c.endswith("_se") or frame[c].notna().any()]
