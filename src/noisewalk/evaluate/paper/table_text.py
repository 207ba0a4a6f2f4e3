"""A table as Markdown, LaTeX and JSON."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from ...storage.atomic import write_whole
from ..metrics.pixel import WINDOW, WINDOW_STD
from .methods import METHODS
from .tables import Columns, Layout

MARKDOWN = {"best": "**{}**", "second": "_{}_", "dm": "{} *", "": "{}"}
LATEX = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "dm": "%s$^*$", "": "%s"}
EXTRACTED = ("fd", "kid", "diversity_score", "vendi")
"""Columns whose heads name the extractor."""
FEWEST_FOR_DISTANCE = 200  # images; FD and KID of fewer are named with their number
FEWEST_FOR_ERROR = 4  # images; a row of fewer has no standard error
FEWER = "†"  # marks a row of fewer images


def write(found: dict[str, Any], layout: Layout, folder: Path) -> str:
    """Write table.md, table.tex and table.json of what `collect` gave, and return the Markdown."""
    text, data = markdown(found, layout), json.dumps(found, indent=1) + "\n"
    for ending, content in {"json": data, "tex": latex(found, layout), "md": text}.items():
        write_whole(folder / f"table.{ending}", partial(Path.write_text, data=content))
    return text


def markdown(found: dict[str, Any], layout: Layout) -> str:
    """The table in the paper's layout, the columns beside it, and notes."""
    counts = f"{found['num_images']} images x {found['num_samples']} samples"
    lines = [f"# {found['title']}: {found['prior']}, {counts}", ""]
    lines += _grid_lines(found, list(found["rows"]), layout.columns, True)
    for task in found["rows"]:
        lines += [f"## {found['tasks'][task]['title']}", ""]
        lines += _grid_lines(found, [task], layout.beside, False)
    return "\n".join([*lines, "## Notes", "", *notes(found), ""])


def latex(found: dict[str, Any], layout: Layout) -> str:
    """The table in the paper's layout, for booktabs."""
    columns, tasks = layout.columns, list(found["rows"])
    heads, count = heads_of(found, columns), len(layout.columns)
    arrow = {1: r" $\uparrow$", -1: r" $\downarrow$", 0: ""}
    titles = (_escape(found["tasks"][task]["title"]) for task in tasks)
    groups = " & ".join(rf"\multicolumn{{{count}}}{{c}}{{{title}}}" for title in titles)
    inner = [_escape(heads[key]) + arrow[sign] for key, (_, sign, _) in columns.items()]
    lines = [
        r"\begin{tabular}{l" + "c" * count * len(tasks) + "}",
        r"\toprule",
        rf"Method & {groups} \\",
        rf" & {' & '.join(inner * len(tasks))} \\",
        r"\midrule",
    ]
    for name in found["rows"][tasks[0]]:
        cells = []
        for task in tasks:
            for key, (_, sign, digits) in columns.items():
                text = _text(found["rows"][task][name], key, digits).replace(" ± ", r" $\pm$ ")
                cells.append(LATEX[marks(found, task, key, sign).get(name, "")] % text)
        label = label_of(found, "", name).replace(f" {FEWER}", r"$^\dagger$")
        lines.append(rf"{label} & {' & '.join(cells)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def label_of(found: dict[str, Any], task: str, name: str) -> str:
    """A row's name, with its number of images where that is smaller, for a task or ("") for all."""
    rows = [found["rows"][key].get(name, {}) for key in ([task] if task else found["rows"])]
    counts = {row["num_images"] - row["failed"] for row in rows if row and not row.get("missing")}
    fewer = " or ".join(str(count) for count in sorted(counts - {found["num_images"]}))
    return METHODS[name].label + (f", {fewer} images {FEWER}" if fewer else "")


def heads_of(found: dict[str, Any], columns: Columns) -> dict[str, str]:
    """What the columns are called, with the networks that they are computed by."""
    names = {key: head for key, (head, _, _) in columns.items()}
    usual, others, count = found["extractor"], found["extractors"], found["num_images"]
    few = f"{count} images" if count < FEWEST_FOR_DISTANCE else ""
    for key in names:
        seen = others.get(key, usual)
        if key == "fd" and seen == "inception-v3":
            names[key] = f"FID ({few})" if few else "FID"
        elif key in EXTRACTED:
            about = (seen or "no extractor", few if key in ("fd", "kid") and seen else "")
            names[key] += f" ({', '.join(word for word in about if word)})"
        elif key == "similarity":
            other = f"cosine similarity ({seen or 'no extractor'})"
            names[key] = "CLIP similarity" if seen == "clip-vit-b32" else other
        elif key in ("lpips", "pairwise_lpips"):
            names[key] += f" ({found['lpips_net'] or 'not computed'})"
        elif key == "coverage":
            names[key] = f"coverage ({found['nominal_coverage']:.3f})"
    return names


def marks(found: dict[str, Any], task: str, key: str, sign: int) -> dict[str, str]:
    """Which rows are the "best" CM method, the "second" best and the best "dm" method, as in the
    paper; nothing is marked where the sign is 0, and rows of fewer images do not compete."""
    out: dict[str, str] = {}
    rows = {k: row for k, row in found["rows"][task].items() if sign and not row.get("missing")}
    whole = {k: row[key][0] for k, row in rows.items() if row["num_images"] == found["num_images"]}
    ranked = {name: -sign * value for name, value in whole.items() if value is not None}
    first = ("best", "second")
    groups = {"cm dm": first} if found["overall"] else {"cm": first, "dm": ("dm",)}
    for backbones, words in groups.items():
        inside = [name for name in ranked if METHODS[name].backbone in backbones]
        out |= dict(zip(sorted(inside, key=ranked.__getitem__), words, strict=False))
    return out


def notes(found: dict[str, Any]) -> list[str]:
    """What stands below a table."""
    best = "Bold: best CM method; italic: second best; *: best DM method"
    if found["overall"]:
        best = "Bold: best method; italic: second best"
    out = [
        f"{best}. ±: standard error over images, of {FEWEST_FOR_ERROR} or more. n/a: see below. "
        f"{FEWER}: on fewer images than the other rows, and so not to be compared with them.\n",
        f"{_distances(found)}\n",
        f"{_columns(found)}\n",
    ]
    for task, about in found["tasks"].items():
        note = f"; {about['note']}" if about["note"] else ""
        problem = f"{about['operator']}, sigma_y {about['sigma_y']:g}"
        out.append(f"{about['title']}: {problem}{note}.\n")
        for name, row in found["rows"][task].items():
            out.append(f"- {METHODS[name].label}: {_row_note(row, found['num_images'])}.")
    return out


def _distances(found: dict[str, Any]) -> str:
    if found["extractor"] is None:
        return "FD and KID: without --extractor there are none."
    reference = found["reference"]
    inception = found["extractor"] == "inception-v3"
    names, which = ("FID", "") if inception else ("FD", ", not FID")
    halves, truths = (_or_na(reference[key], 1) for key in ("fd_of_halves", "fd_of_truths"))
    return (
        f"{names} and KID: features of {found['extractor']}{which}; against "
        f"{reference['images'] or 'no'} images ({reference['source']}; the paper does not name its "
        f"reference). FD of the two halves of the reference: {halves}; of the true images, each as "
        f"often as it has samples: {truths}. It depends on the number of images, so rows of fewer "
        f"have none, and has no standard error; of less than {FEWEST_FOR_DISTANCE} images both are "
        "named with their number. KID: one sample of each image at a time, averaged."
    )


def _columns(found: dict[str, Any]) -> str:
    independent = _or_na(found["r_hat_of_independent"], 2)
    return (
        "Coverage: pixels whose true value lies between the smallest and largest of "
        f"{found['num_samples']} samples, in grey levels; nominal {found['nominal_coverage']:.3f}; "
        "it also measures how well the prior fits. Images vary where more than a twentieth of the "
        "pool is not black. s / sample: wall time on this machine, beside whatever else it did, "
        "images batched and threads as each row says. R-hat: median over an image's pixels and "
        "projections, a chain alone taken as two, its halves; of as few but independent draws it "
        f"is {independent}; ± by the bootstrap. SSIM: a Gaussian window of {WINDOW} pixels, "
        f"standard deviation {WINDOW_STD:g}."
    )


def _row_note(row: dict[str, Any], num_images: int) -> str:
    if row.get("missing"):
        return f"n/a, {row['missing']}"
    fewer = f"; {row['num_images']} of the images" if row["num_images"] < num_images else ""
    failed = f"; {row['failed']} images without finite samples" if row["failed"] else ""
    threads = "/".join(str(n) for n in sorted({cell["threads"] for cell in row["images"]}))
    batch = max(cell["batch"] for cell in row["images"])
    return f"{row['preset']}{fewer}{failed}; {batch} images a batch, threads {threads}"


def _grid_lines(found: dict[str, Any], tasks: list[str], columns: Columns, full: bool) -> list[str]:
    """A Markdown table with the tasks side by side; a full one has their titles and marks."""
    heads, places = heads_of(found, columns), [(task, key) for task in tasks for key in columns]
    prefix = {task: f"{found['tasks'][task]['title']}: " if full else "" for task in tasks}
    titles = [prefix[task] + heads[key] for task, key in places]
    signs = {key: sign if full else 0 for key, (_, sign, _) in columns.items()}
    best = {(task, key): marks(found, task, key, signs[key]) for task, key in places}
    lines = [f"| Method | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for name in found["rows"][tasks[0]]:
        cells = [label_of(found, tasks[0] if len(tasks) == 1 else "", name)]
        for task, key in places:
            text = _text(found["rows"][task][name], key, columns[key][2])
            cells.append(MARKDOWN[best[task, key].get(name, "")].format(text))
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _text(row: dict[str, Any], key: str, digits: int) -> str:
    """A cell: its number, with the standard error where it has one."""
    if row.get("missing"):
        return "n/a"
    value, error = row[key]
    few = row["num_images"] - row["failed"] < FEWEST_FOR_ERROR
    if value is None or error is None or key == "nfe" or few:
        return _or_na(value, digits)
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _or_na(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def _escape(text: str) -> str:
    return text.replace("%", r"\%").replace("_", r"\_")
