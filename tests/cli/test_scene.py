"""Scenes that are larger than the prior's images, from the command line."""

from pathlib import Path

import numpy as np
import pytest
import torch

import noisewalk as nw

ONE = "--kernel ei --step-size 1e-4 --start prior --chains 1 --num-draws 1 --thin 1"
TINY = ["--prior", "fashion32", "--sigma-y", "0.1", *ONE.split(), "--out", "run"]


@pytest.fixture
def scene(noisewalk):
    """A clean image of 40 x 48 pixels, in a folder of its own."""
    np.save("x.npy", np.random.default_rng(0).uniform(-1, 1, (40, 48)).astype(np.float32))
    return noisewalk


def test_a_simulated_scene_is_one_field(scene):
    code, out, err = scene("sample", "x.npy", "--simulate", "--operator", "avgpool:factor=4", *TINY)
    assert (code, err) == (0, "")
    run = nw.open_run("run")
    assert run.draws.shape[3:] == run.z.shape[3:] == (1, 40, 48)
    assert run.y.shape == (1, 1, 10, 12)
    cost = next(line for line in out.splitlines() if "NFE about" in line)
    assert "GB of memory" in cost
    assert any(unit in cost for unit in ("seconds", "minutes", "hours"))
    assert out.index("NFE about") < out.index("into run")
    assert np.load("run/mean.npy").shape == (1, 40, 48)


@pytest.mark.parametrize(
    ("operator", "size"),
    [
        ("avgpool:factor=4", (10, 12)),
        ("avgpool:factor=3,edge=crop", (13, 16)),
        ("blur:std=1+avgpool:factor=4", (10, 12)),
        ("conv:psf.npy,normalize=true,boundary=valid", (36, 46)),
        ("phase:oversample=1", (50, 60)),
        ("identity", (40, 48)),
    ],
)
def test_the_size_of_x_follows_from_what_is_measured(scene, operator, size):
    np.save("psf.npy", np.ones((5, 3)))
    np.save("y.npy", np.random.default_rng(1).uniform(-0.9, 0.9, size).astype(np.float32))
    assert scene("sample", "y.npy", "--operator", operator, *TINY)[0] == 0
    assert nw.open_run("run").draws.shape[3:] == (1, 40, 48)


def test_windows_make_the_same_kind_of_field(scene):
    words = ["sample", "x.npy", "--simulate", "--operator", "identity", *TINY]
    code, _, err = scene(*words, "--window", 32)
    assert code == 2
    assert "a window of 32 is too small for margins of 40 at both edges: give window=" in err
    assert scene(*words, "--window", 32, "--margin", 4)[0] == 0
    phi = nw.load_prior("fashion32").map(shape=(40, 48), window=32, margin=4)
    run = nw.open_run("run")
    torch.testing.assert_close(run.draws[0, 0], phi(run.z[0, 0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(36, 48), (40, 50)])
def test_sides_that_the_network_cannot_make_name_the_nearest_and_fit(scene, refused, shape):
    np.save("x.npy", np.zeros(shape, np.float32))
    for flags in (["--simulate"], []):
        line = refused("sample", "x.npy", *flags, "--operator", "identity", *TINY)
        assert "multiples of 4" in line or "multiples of 8" in line
        assert "the nearest are" in line
        assert "--fit crop, resize or pad" in line
    assert not Path("run").exists()


def test_a_smaller_image_is_refused_as_before(scene, refused):
    np.save("x.npy", np.zeros((16, 64), np.float32))
    assert "give --fit" in refused("sample", "x.npy", "--simulate", "--operator", "identity", *TINY)
