"""`noisewalk export`: from a run folder to a file, or one line."""

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk.maps import Warp


@pytest.fixture
def stored(tmp_path):
    phi, y = Warp((1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(0.5), y)
    return nw.sample(target, nw.EllipticalSlice(), 4, 2, store=tmp_path / "run", progress=False)


def test_a_result_is_written(noisewalk, stored):
    assert noisewalk("export", "run", "--what", "std", "--to", "std.npy")[:2] == (0, "std.npy\n")
    np.testing.assert_allclose(np.load("std.npy"), stored.std.numpy(), rtol=1e-6)
    assert noisewalk("export", "run", "--to", "mean.npz")[0] == 0
    np.testing.assert_allclose(np.load("mean.npz")["mean"], stored.mean.numpy(), rtol=1e-6)


def test_what_cannot_be_is_refused(refused, stored):
    assert "choose one of mean" in refused("export", "run", "--what", "mode", "--to", "a.npy")
    assert "'.gif'" in refused("export", "run", "--to", "a.gif")
    assert "--to" in refused("export", "run")
    assert "no run" in refused("export", "absent", "--to", "a.npy")
