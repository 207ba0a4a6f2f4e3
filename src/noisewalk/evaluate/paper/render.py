"""A table as Markdown, LaTeX and JSON."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from ...storage.atomic import write_whole
from ..metrics.pixel import WINDOW, WINDOW_STD
from .presets import METHODS
from .tables import Layout


def write(found: dict[str, Any], layout: Layout, folder: Path) -> str:
    """Write table.md, table.tex and table.json.

    Arguments:
        found: from `collect`.
        layout: the table.
        folder: where.

    Returns:
        The Markdown.
    """
    text = markdown(found, layout)
    for ending, content in (
        ("json", json.dumps(found, indent=1) + "\n"),
        ("tex", latex(found, layout)),
        ("md", text),
    ):
        write_whole(folder / f"table.{ending}", partial(Path.write_text, data=content))
    return text


def label_of(found: dict[str, Any], task: str, name: str) -> str:
    """A row's name, with the number of its images where it has fewer than the table."""
    rows = [found["rows"][key].get(name, {}) for key in ([task] if task else found["rows"])]
    counts = {
        row["num_images"] - row["failed"] for row in rows if row and not row.get("missing")
    } - {found["num_images"]}
    return METHODS[name].label + (
        f", {' or '.join(str(n) for n in sorted(counts))} images" if counts else ""
    )


def heads_of(found: dict[str, Any], columns: dict[str, tuple[str, int, int]]) -> dict[str, str]:
    """What the columns are called, extractors named and without Greek arrows."""
    names = {key: head for key, (head, _, _) in columns.items()}
    seen = {
        key: found["extractors"].get(key, found["extractor"])
        for key in ("fd", "kid", "diversity_score", "similarity", "vendi")
    }
    names |= {
        key: f"{names[key]} ({seen[key] or 'no extractor'})"
        for key in ("fd", "kid", "diversity_score", "vendi")
        if key in names
    }
    if "fd" in names and seen["fd"] == "inception-v3":
        names["fd"] = "FID"
    names |= {
        key: f"{names[key]} ({found['lpips_net'] or 'not computed'})"
        for key in ("lpips", "pairwise_lpips")
        if key in names
    }
    if "similarity" in names:
        names["similarity"] = (
            "CLIP similarity"
            if seen["similarity"] == "clip-vit-b32"
            else f"cosine similarity ({seen['similarity'] or 'no extractor'})"
        )
    if "coverage" in names:
        names["coverage"] = f"coverage ({found['nominal_coverage']:.3f})"
    return names


def marks(found: dict[str, Any], task: str, key: str, sign: int) -> dict[str, str]:
    """Which rows are the best CM method, the second best and the best DM method, as in the paper;
    rows of fewer images do not compete.

    Arguments:
        found: from `collect`.
        task: group of columns.
        key: column.
        sign: 1 where higher is better, -1 where lower is, 0 for no mark.

    Returns:
        "best", "second" or "dm" by method.
    """
    out: dict[str, str] = {}
    rows = found["rows"][task]
    ranked = {
        name: sign * row[key][0]
        for name, row in rows.items()
        if not row.get("missing") and row[key][0] is not None
    }
    ranked = {
        name: value
        for name, value in ranked.items()
        if sign and rows[name]["num_images"] == found["num_images"]
    }
    both = (("cm dm", ("best", "second")),)
    for backbones, names in (
        both if found["overall"] else (("cm", ("best", "second")), ("dm", ("dm",)))
    ):
        order = sorted(
            (n for n in ranked if METHODS[n].backbone in backbones), key=lambda n: -ranked[n]
        )
        out |= dict(zip(order, names, strict=False))
    return out


def _text(row: dict[str, Any], key: str, digits: int) -> str:
    if row.get("missing"):
        return "n/a"
    value, error = row[key]
    return (
        "n/a"
        if value is None
        else f"{value:.{digits}f}"
        + ("" if error is None or key == "nfe" else f" ± {error:.{digits}f}")
    )


def markdown(found: dict[str, Any], layout: Layout) -> str:
    """The table in the paper's layout, the columns beside it, and what has to be known to read
    them."""
    lines = [
        f"# {found['title']}: {found['prior']}, {found['num_images']} images x "
        f"{found['num_samples']} samples",
        "",
    ]
    lines += _grid_lines(found, list(found["rows"]), layout.columns, True)
    for task in found["rows"]:
        lines += [
            f"## {found['tasks'][task]['title']}",
            "",
            *_grid_lines(found, [task], layout.beside, False),
        ]
    return "\n".join([*lines, "## Notes", "", *notes(found), ""])


def _grid_lines(
    found: dict[str, Any], tasks: list[str], columns: dict[str, tuple[str, int, int]], marked: bool
) -> list[str]:
    style = {"best": "**{}**", "second": "_{}_", "dm": "{} *", "": "{}"}
    heads = heads_of(found, columns)
    titles = [
        f"{found['tasks'][task]['title']}: {heads[key]}" if marked else heads[key]
        for task in tasks
        for key in columns
    ]
    lines = ["| Method | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    best = {
        (task, key): marks(found, task, key, sign if marked else 0)
        for task in tasks
        for key, (_, sign, _) in columns.items()
    }
    for name in found["rows"][tasks[0]]:
        cells = [
            style[best[task, key].get(name, "")].format(
                _text(found["rows"][task][name], key, digits)
            )
            for task in tasks
            for key, (_, _, digits) in columns.items()
        ]
        lines.append(
            f"| {label_of(found, tasks[0] if len(tasks) == 1 else '', name)} | "
            + " | ".join(cells)
            + " |"
        )
    return [*lines, ""]


def notes(found: dict[str, Any]) -> list[str]:
    """What stands below a table."""
    floor, reference = found["reference"]["fd_of_halves"], found["reference"]["images"]
    n = found["num_samples"]
    halves, truths, independent = (
        "n/a" if value is None else f"{value:.{digits}f}"
        for value, digits in (
            (floor, 1),
            (found["reference"]["fd_of_truths"], 1),
            (found["r_hat_of_independent"], 2),
        )
    )
    best = (
        "Bold: best method; italic: second best"
        if found["overall"]
        else "Bold: best CM method; italic: second best; *: best DM method"
    )
    distance = (
        "FID and KID: features of inception-v3"
        if found["extractor"] == "inception-v3"
        else f"FD and KID: features of {found['extractor']}, not FID"
    )
    out = [
        f"{best}. ±: standard error over images. n/a: see below.",
        "FD and KID: without --extractor there are none."
        if found["extractor"] is None
        else f"{distance}; against {reference or 'no'} images ({found['reference']['source']}; the "
        "paper does "
        "not name its reference). "
        f"FD of the two halves of the reference: {halves}; of the true images, each as often "
        f"as it has samples: {truths}. "
        "It depends on the number of images, so rows of fewer have none, and has no standard "
        "error. KID: one sample of each image at a time, averaged.",
        f"Coverage: pixels whose true value lies between the smallest and largest of {n} "
        f"samples, in grey levels; nominal {found['nominal_coverage']:.3f}; "
        "it also measures how well the prior fits. Images vary where more than a twentieth of "
        "the pool is not black. "
        "s / sample: wall time on this machine, beside whatever else it did, images batched "
        "and threads as each row says. R-hat: median over an image's "
        "pixels and projections, a chain alone taken as two, its halves; of as few but "
        f"independent draws it is {independent}; ± by the bootstrap. "
        f"SSIM: a Gaussian window of {WINDOW} pixels, standard deviation {WINDOW_STD:g}.",
    ]
    for task, about in found["tasks"].items():
        out.append(
            f"{about['title']}: {about['operator']}, sigma_y "
            f"{about['sigma_y']:g}{'; ' + about['note'] if about['note'] else ''}."
        )
        for name, row in found["rows"][task].items():
            if row.get("missing"):
                out.append(f"- {METHODS[name].label}: n/a, {row['missing']}.")
                continue
            fewer = (
                f"; {row['num_images']} of the images"
                if row["num_images"] < found["num_images"]
                else ""
            )
            failed = f"; {row['failed']} images without finite samples" if row["failed"] else ""
            threads = "/".join(
                str(number) for number in sorted({cell["threads"] for cell in row["images"]})
            )
            batched = (
                f"; {max(cell['batch'] for cell in row['images'])} images a batch, threads "
                f"{threads}"
            )
            out.append(f"- {METHODS[name].label}: {row['preset']}{fewer}{failed}{batched}.")
    return [f"{line}\n" if not line.startswith("- ") else line for line in out]


def latex(found: dict[str, Any], layout: Layout) -> str:
    """The table in the paper's layout, for booktabs."""
    columns, style = (
        layout.columns,
        {"best": r"\textbf{%s}", "second": r"\underline{%s}", "dm": "%s$^*$", "": "%s"},
    )
    heads, tasks = heads_of(found, columns), list(found["rows"])
    arrow = {1: r" $\uparrow$", -1: r" $\downarrow$", 0: ""}
    groups = " & ".join(
        rf"\multicolumn{{{len(columns)}}}{{c}}{{{_escape(found['tasks'][task]['title'])}}}"
        for task in tasks
    )
    inner = " & ".join(
        _escape(heads[key]) + arrow[columns[key][1]] for _ in tasks for key in columns
    )
    lines = [
        r"\begin{tabular}{l" + ("c" * len(columns)) * len(tasks) + "}",
        r"\toprule",
        rf"Method & {groups} \\",
        rf" & {inner} \\",
        r"\midrule",
    ]
    for name in found["rows"][tasks[0]]:
        cells = []
        for task in tasks:
            for key, (_, sign, digits) in columns.items():
                text = _text(found["rows"][task][name], key, digits).replace(" ± ", r" $\pm$ ")
                cells.append(style[marks(found, task, key, sign).get(name, "")] % text)
        lines.append(rf"{label_of(found, '', name)} & {' & '.join(cells)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _escape(text: str) -> str:
    return text.replace("%", r"\%").replace("_", r"\_")
