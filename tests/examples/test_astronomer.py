"""The astronomer's script: FITS in, FITS out in the same place."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import noisewalk as nw

fits = pytest.importorskip("astropy.io.fits")
WORDS = "--chains 2 --num-draws 1 --num-warmup 2 --thin 2 --warm-start 8"
SHORT = WORDS.split()


def test_an_exposure_is_deconvolved_where_it_was(
    example: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = example("astronomer")
    monkeypatch.setattr(sys, "argv", ["astronomer.py", "--out", str(tmp_path), "--", *SHORT])
    script.main()
    out = capsys.readouterr().out
    assert "x is convolved with the kernel, and noise is added" in out
    assert "has the WCS of the exposure" in out
    run = nw.open_run(tmp_path / "restored")
    with fits.open(tmp_path / "obs.fits") as file:
        flags = file["DQ"].data
    hidden = int((flags & 0b1001 > 0).sum())
    assert run.num_observed.tolist() == [48 * 80 - hidden]
    assert f"missing: {hidden} of 3,840" in out
    mean, header = fits.getdata(tmp_path / "restored/mean.fits", header=True)
    assert header["BUNIT"] == "MJy/sr"
    np.testing.assert_allclose(mean, 20 + 20 * run.mean[0, 0].numpy(), rtol=1e-5, atol=1e-4)
    with fits.open(tmp_path / "restored/quantiles.fits") as file:
        assert [hdu.name for hdu in file[1:]] == ["Q05", "Q50", "Q95"]
