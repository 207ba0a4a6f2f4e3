"""`noisewalk doctor`: clean is 0, damaged is 3, no run is 2."""

import pytest
import torch

import noisewalk as nw
from noisewalk.maps import Warp


@pytest.fixture
def x_file(tmp_path):
    phi, y = Warp((1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(0.5), y)
    nw.sample(target, nw.EllipticalSlice(), 4, 2, store=tmp_path / "run", progress=False)
    return tmp_path / "run/run.zarr/x/c.0.0.0.0.0.0"


def test_a_damaged_run_is_found_refused_and_repaired(noisewalk, refused, x_file):
    assert noisewalk("doctor", "run")[:2] == (0, "run is clean: 4 draws\n")
    data = bytearray(x_file.read_bytes())
    data[2 * 2 * 16 * 4 + 5] ^= 1  # in draw 2 of 2 chains of 16 pixels
    x_file.write_bytes(data)
    code, out, err = noisewalk("doctor", "run")
    assert (code, err) == (3, "")
    assert "draw 2 of x is damaged" in out
    assert "2 of 4 good" in out
    told = refused("export", "run", "--to", "mean.npy")
    assert "draw 2 of x" in told
    assert str(x_file.relative_to(x_file.parents[3])) in told
    code, out, _ = noisewalk("doctor", "run", "--repair")
    assert (code, "2 of 4 draws are kept" in out) == (0, True)
    assert noisewalk("doctor", "run")[:2] == (0, "run is clean: 2 draws\n")
    assert noisewalk("export", "run", "--to", "mean.npy")[0] == 0


def test_what_is_no_run_is_refused(refused, noisewalk, x_file):
    assert "absent" in refused("doctor", "absent")
    assert "no run" in refused("doctor", ".") or "not a run" in refused("doctor", ".")
    x_file.parents[1].joinpath("zarr.json").write_text("{}")
    code, out, _ = noisewalk("doctor", "run")
    assert (code, "restore it from a copy" in out) == (3, True)
    assert "cannot be repaired" in refused("doctor", "run", "--repair")
