"""`Run`: the draws of a sampler, what they cost and what they say; `open_run` reads one back."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError, StoreError

DRAW_ARRAYS = ("x", "z", "nll", "acceptance_rate", "accepted", "diverging", "step_size", "chi2")
FIXED_ARRAYS = ("y", "num_observed", "observed", "truth", "early_x", "early_lp", "tried_again")
CALIBRATION = "calibration.json"  # what `nw.calibrate` leaves in a run's folder


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """Draws and what they cost; the leading axes of every array are (image, chain, draw).

    Arguments:
        arrays: anybody's draws (image, chain, draw, *x), x in [-1, 1]; or by name, tensors or lazy
            arrays: x, z, nll, acceptance_rate, accepted, diverging, step_size, chi2, of which x
            alone is enough.
        target: the posterior that the draws are meant to be of: it gives chi-square, the
            likelihood and the measurement, without a network call; None: not given.
        truth: (image, *x) clean images: they give PSNR, SSIM, energy score and coverage; None: not
            known.
        nfe: network calls of all rows, warm start, warm-up and rejected moves included; 0: not
            counted.
        seconds: wall time.
        thin: transitions per kept draw.
        complete: whether every requested draw is there.
        spec: how the run was made.
        y: (image, *y) measurement.
        num_observed: (image,) observed entries of each measurement.
        observed: bool, broadcastable to y, False where y is not observed; None: everywhere.
        log_evidence: (image,) for tempered SMC, else None.
        memory: (image,) for tempered SMC, else None: the correlation of the particles right after a
            resampling with those after their moves, at the worst temperature.
        log_evidence_error: (image,) for tempered SMC, else None: its standard error; from about 0.5
            on it says only that the error is large.
        early_x: (image, chain, *x) where each chain was when the adaptation stopped; None: not
            kept.
        early_lp: (image, chain) `lp` there.
        tried_again: (image, chain) which chains began from where another one had ended; None: none.
        calibrated: whether `nw.calibrate` around this measurement has passed; None: it has not been
            run.
        folder: of a stored run; None in memory.

    Raises:
        ConfigError: the draws, the target and the truth do not fit together.

    Example:
        >>> nw.Run({"x": torch.zeros(1, 4, 10, 2)}, nfe=40, seconds=1.0)
        Run(1 image, 4 chains, 10 draws of shape (2,), 40 network calls)
        >>> phi, y = nw.maps.Affine(torch.eye(2), torch.zeros(2)), torch.zeros(1, 2)
        >>> target = nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(1.0), y)
        >>> nw.Run(torch.ones(1, 4, 10, 2), target).summary()["chi2"]
        1.0
    """

    arrays: Any
    target: Any = None
    truth: Tensor | None = None
    nfe: int = 0
    seconds: float = 0.0
    thin: int = 1
    complete: bool = True
    spec: Mapping[str, Any] = field(default_factory=dict)
    y: Tensor | None = None
    num_observed: Tensor | None = None
    observed: Tensor | None = None
    log_evidence: Tensor | None = None
    memory: Tensor | None = None
    log_evidence_error: Tensor | None = None
    early_x: Tensor | None = None
    early_lp: Tensor | None = None
    tried_again: Tensor | None = None
    calibrated: bool | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        named = isinstance(self.arrays, Mapping) and self.target is None and self.truth is None
        if named and not any(isinstance(part, np.ndarray) for part in self.arrays.values()):
            return  # as the samplers here make it
        from .foreign import completed

        vars(self).update(completed(self))

    def __repr__(self) -> str:
        counted = zip(self.draws.shape[:3], ("image", "chain", "draw"), strict=True)
        counts = ", ".join(f"{count} {name}{'s' * (count != 1)}" for count, name in counted)
        cost = f"{self.nfe:,} network calls{'' if self.complete else ', not complete'}"
        return f"Run({counts} of shape {tuple(self.draws.shape[3:])}, {cost})"

    @property
    def draws(self) -> Any:
        """(image, chain, draw, *x) tensor; of a stored run a lazy array that indexes like one."""
        return self.arrays["x"]

    @property
    def z(self) -> Any:
        """(image, chain, draw, *shape) positions in noise space, lazy like `draws`."""
        return self.arrays["z"]

    @property
    def nll(self) -> Any:
        """(image, chain, draw) L_y(x), every constant included, lazy like `draws`."""
        return self.arrays["nll"]

    @property
    def lp(self) -> Tensor:
        """(image, chain, draw) log posterior density in noise space up to a constant,
        -nll - |z|^2 / 2."""
        z = self.z
        norms = [
            z[:, :, k].to(torch.float64).flatten(2).square().sum(-1) for k in range(z.shape[2])
        ]
        return -self.nll[...] - 0.5 * (torch.stack(norms, 2) if norms else 0.0)

    @property
    def mean(self) -> Tensor:
        """(image, *x) posterior mean over chains and draws."""
        return self._moments()[0]

    @property
    def std(self) -> Tensor:
        """(image, *x) posterior standard deviation over chains and draws."""
        return self._moments()[1]

    def note_calibration(self, passed: bool) -> None:
        """Let the verdict know whether a calibration around this measurement has passed."""
        object.__setattr__(self, "calibrated", passed)

    def summary(self) -> dict[str, Any]:
        """Whether the draws can be trusted, their cost and their diagnostics, as words and plain
        numbers, of the worst image where there are several; NaN where there are too few draws to
        say."""
        from .summary import summary_of

        return summary_of(self)

    def to_arviz(self) -> Any:
        """The run as an xarray.DataTree, as ArviZ makes it: posterior (x and z with dims chain,
        draw, image, ...), sample_stats and observed_data; needs the extra `arviz`."""
        from .arviz import tree_of

        return tree_of(self)

    def to_xarray(self) -> Any:
        """The run as an xarray.Dataset with the variables draws (image, chain, draw, band, y, x),
        in the unit of the file that the measurement came from, and measurement."""
        from .export import dataset_of

        return dataset_of(self)

    def plot(
        self,
        kind: str = "overview",
        image: int = 0,
        pixel: tuple[int, int] | None = None,
        band: int = 0,
    ) -> Any:
        """A figure of one image: "overview" (measurement, mean, uncertainty, draws, and the truth
        where it is known), "draws", "trace", "rank" (do the chains agree?), "calibration" (does
        the spread hold the truth?) or "pixel" (the histogram of one).

        Arguments:
            kind: which figure.
            image: number of the image.
            pixel: (row, column) of "pixel"; None: the most uncertain one.
            band: of "pixel".

        Returns:
            A matplotlib Figure, which pyplot does not know of; a notebook shows it.

        Raises:
            ConfigError: an unknown kind, no draws, or a calibration without a truth.
        """
        from .figures import figure_of

        return figure_of(self, kind, image, pixel, band)

    def report(self, path: str | Path, title: str | None = None) -> Path:
        """Write the run's report, one self-contained page; a stored run's also stands in its
        folder, with its pictures.

        Arguments:
            path: a file that ends in .html, or a folder, which gets report.html.
            title: one line that names the problem; None: the run's own.

        Returns:
            The path of the page.

        Raises:
            ConfigError: no draws, or x is no image.
            StoreError: the path cannot be written to.
        """
        from .. import report
        from .page import report_arguments, write_page

        if self.folder is not None:
            page = report.build_report(self.folder, title).read_text(encoding="utf-8")
        else:
            page = report.render([report.ReportData(**x) for x in report_arguments(self, title)])
        return write_page(Path(path), page)

    def _repr_html_(self) -> str:
        from .display import html_of

        return html_of(self)

    def export(self, path: str | Path, what: str = "mean", like: Any = None) -> None:
        """Write a result in the format of the path's ending, never clipped.

        `what` is "mean", "std", "quantiles" (5, 50 and 95 %), "draws" or an event such as
        "probability: x > 0.2". The unit, the WCS and the geographic tags are those of the file
        that the measurement came from: a run of the command line knows it, `like` is that of
        `nw.files.open`. The endings are .fits .tif .nc .zarr .npy .npz and, of the mean, .png.
        """
        from .export import export

        export(self, path, what, like)

    def _moments(self) -> tuple[Tensor, Tensor]:
        draws = self.draws
        count = draws.shape[1] * draws.shape[2]
        if count == 0:
            raise ConfigError("the run has no draws yet: no mean and no standard deviation")
        total, centre = 0.0, draws[:, :1, 0].to(torch.float64)
        square: Any = 0.0
        for k in range(draws.shape[2]):  # draw by draw: a stored run may be larger than memory
            x = draws[:, :, k].to(torch.float64) - centre
            total, square = total + x.sum(1), square + x.square().sum(1)
        mean: Any = total / count
        variance = (square - count * mean**2).clamp(min=0) / max(1, count - 1)
        return (centre[:, 0] + mean).to(torch.float32), variance.sqrt().to(torch.float32)


def open_run(folder: str | Path) -> Run:
    """Read a stored run, finished or not, also while it is being written.

    Arguments:
        folder: the run's folder, or its address, such as `s3://bucket/run`, of which a copy is
            fetched.

    Returns:
        The run; its draws are read when they are indexed.

    Raises:
        StoreError: no run there, or a corrupt one.

    Example:
        >>> nw.open_run("no-such-folder")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        noisewalk.errors.StoreError: no-such-folder holds no run that has started: start it
    """
    from ..storage.remote import copied

    with copied(folder) as place:
        return _opened(place)


def _opened(folder: Path) -> Run:
    from ..storage.store import open_store

    stored = open_store(folder)
    if lost := [name for name in DRAW_ARRAYS if name not in stored.arrays]:
        raise StoreError(f"{folder} has lost its arrays {', '.join(lost)}: restore it from a copy")
    arrays = {name: stored.arrays[name] for name in DRAW_ARRAYS}
    fixed: dict[str, Any] = {
        name: stored.arrays[name][...] for name in FIXED_ARRAYS if name in stored.arrays
    }
    fixed["calibrated"] = _calibrated(folder, tuple(arrays["x"].shape[:3]))
    thin = stored.spec.get("plan", {}).get("thin", 1)
    run = made(arrays, stored.sampler, thin, stored.complete, stored.spec, fixed)
    return replace(run, folder=stored.folder)


def made(
    arrays: Mapping[str, Any],
    sampler: Mapping[str, Any] | None,
    thin: int,
    complete: bool,
    spec: Mapping[str, Any],
    fixed: Mapping[str, Any],
) -> Run:
    """The run of a plan, from its draws and the last state of its sampler."""
    state = dict(sampler or {})
    told: dict[str, Any] = {
        key: state.get(key) for key in ("log_evidence", "memory", "log_evidence_error")
    }
    cost: dict[str, Any] = {"nfe": state.get("nfe", 0), "seconds": state.get("seconds", 0.0)}
    kept: dict[str, Any] = {
        name: fixed[name] for name in (*FIXED_ARRAYS, "calibrated") if name in fixed
    }
    return Run(arrays, **cost, thin=thin, complete=complete, spec=spec, **told, **kept)


def _calibrated(folder: Path, shape: tuple[int, ...]) -> bool | None:
    """Whether a calibration of these draws has passed; None without one, where it is too small to
    count, and where the run has grown since."""
    path = folder / CALIBRATION
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        passed, judged = found["passed"], tuple(found["run_shape"])
        counts = found["counts"] is True
    except (OSError, ValueError, KeyError, TypeError) as error:
        lost = f"{path} is not a calibration's result ({error}) and is not read"
        warnings.warn(f"{lost}: run the calibration again", stacklevel=4)
        return None
    return passed is True if counts and judged == shape else None
