"""What can be downloaded of a run: its folder as a zip, its report, its results as files."""

import shutil
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigError, NoisewalkError
from ..files.export import ENDINGS
from ..report.build import build_report
from ..sampling.run import open_run
from .choices import command_of
from .job import Job

WHAT = ("mean", "std", "quantiles")


def results_of(job: Job) -> list[str]:
    """The paths of the run folder as a zip, of the report and of the results in the format of the
    input; of a picture, whose format cannot hold the uncertainty, also as NumPy arrays. None for a
    run without a draw."""
    folder = job.run
    try:
        if not open_run(folder).draws.shape[2]:
            return []
        if not (folder / "report.html").is_file():  # the run was stopped
            build_report(folder)
        made = [folder / "report.html", *_exported(job)]
    except NoisewalkError:
        return []
    (job.folder / "command.txt").write_text(command_of(job.words) + "\n", encoding="utf-8")
    archive = job.folder.parent / "noisewalk-run"
    return [shutil.make_archive(str(archive), "zip", job.folder), *map(str, made)]


def _exported(job: Job) -> list[Path]:
    """The results, in a folder beside the run."""
    file = Path(job.words[1].split("[")[0])
    ending = file.suffix.lower()
    endings = [ending if ending in ENDINGS else ".fits" if ".fit" in file.name else ".png"]
    if endings == [".png"]:
        endings.append(".npy")
    run, folder = open_run(job.run), job.folder / "results"
    folder.mkdir(exist_ok=True)
    made = []
    for what in WHAT:
        for end in endings:
            path = folder / f"{what}{end}"
            with suppress(ConfigError):  # a PNG holds the mean alone
                run.export(path, what)
                made.append(path)
    return made
