"""`load_measurement` gives what it gave in noisewalk 0.1, and warns."""

from pathlib import Path

import numpy as np
import pytest
import torch

import noisewalk as nw


def test_the_old_reader_gives_its_old_three_results(tmp_path: Path) -> None:
    values = np.full((2, 2), 0.5, np.float32)
    values[0, 0] = np.nan
    np.save(path := tmp_path / "y.npy", values)
    np.save(mask := tmp_path / "mask.npy", np.isfinite(values))
    with pytest.warns(FutureWarning, match=r"load_measurement is now noisewalk\.files\.open"):
        read = nw.files.load_measurement
    for missing in ("nan", mask):
        y, observed, bounds = read(path, (1, 2, 2), missing=missing)
        assert torch.equal(observed, torch.tensor([[[False, True], [True, True]]]))
        assert torch.equal(y, 0.5 * observed)
        assert (bounds.low, bounds.high) == (-1.0, 1.0)
    np.save(path, np.full((2, 2), 3, np.uint8))
    y, observed, _ = read(path, (1, 2, 2), nw.files.ValueRange(0.0, 3.0))
    assert observed is None
    assert torch.equal(y, torch.ones(1, 2, 2))
