"""The files of a report."""

import numpy as np
import pytest

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.report import build_report


def test_the_page_of_a_run_takes_a_title_and_a_unit(target, sampled) -> None:
    folder = sampled(target)
    run = nw.open_run(folder)
    page = build_report(folder, "Flux of a field", (0.0, 10.0)).read_text(encoding="utf-8")
    assert "Flux of a field" in page
    mean, std = (np.load(folder / f"{name}.npy") for name in ("mean", "std"))
    np.testing.assert_allclose(mean, 5.0 + 5.0 * run.mean[0].numpy(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(std, 5.0 * run.std[0].numpy(), rtol=1e-6, atol=1e-7)
    assert mean.dtype == np.float32
    with pytest.raises(ConfigError, match="value range"):
        build_report(folder, value_range=(1.0, 1.0))


def test_a_range_that_falls_gives_falling_values(target, sampled) -> None:
    folder = sampled(target)
    run = nw.open_run(folder)
    build_report(folder, value_range=(255.0, 0.0))
    mean, std = (np.load(folder / f"{name}.npy") for name in ("mean", "std"))
    np.testing.assert_allclose(mean, 127.5 - 127.5 * run.mean[0].numpy(), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(std, 127.5 * run.std[0].numpy(), rtol=1e-5, atol=1e-5)
