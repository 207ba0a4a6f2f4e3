"""The command line in this process."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisewalk.cli.demo.images import held_out_images
from noisewalk.cli.main import main
from noisewalk.priors import load

sys.path.insert(0, str(Path(__file__).parent))  # the tests share `trainings`

READ_ONCE = functools.cache(load.load_prior)


@pytest.fixture
def noisewalk(tmp_path, monkeypatch, capsys):
    """`noisewalk` in an empty folder; returns the exit status, the output and the errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "load_prior", READ_ONCE)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["noisewalk", *map(str, words)])
        with pytest.raises(SystemExit) as ended:  # anything else would be a traceback
            main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def refused(noisewalk):
    """A call that is refused with exit status 2; returns its one line."""

    def run(*words):
        code, _, err = noisewalk(*words)
        assert code == 2, err
        (line,) = err.splitlines()
        assert line.startswith("error: ")
        assert len(line) > len("error: ") + 20
        return line

    return run


@pytest.fixture
def sample(refused, tmp_path):
    """`noisewalk sample`, with options that are right unless changed, refused in one line before a
    run begins."""
    np.save(tmp_path / "y.npy", np.zeros((1, 32, 32), np.float32))

    def run(input="y.npy", *flags, **change):
        usual = {"prior": "fashion32", "operator": "hdr:factor=2", "sigma_y": 0.1, "out": "run"}
        short = {"chains": 1, "num_draws": 1, "warm_start": 0}
        given = {**usual, **short, **change}
        pairs = [(f"--{k.replace('_', '-')}", v) for k, v in given.items() if v is not None]
        return refused("sample", input, *(word for pair in pairs for word in pair), *flags)

    yield run
    assert not Path("run", "run.zarr").exists()


@pytest.fixture
def boot(tmp_path):
    """A clean image of fashion32."""
    Image.fromarray(held_out_images(1)[0, ..., 0]).save(tmp_path / "boot.png")
    return "boot.png"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six images of a training."""
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8))
    return path
