"""examples/clouds.py on a tiny random prior and a random scene."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.train.export import write_prior
from noisewalk.priors.train.losses.diffusion import DiffusionLoss
from noisewalk.priors.train.network import new_network
from noisewalk.priors.train.recipe import Recipe, TrainSettings

Load = Callable[[str], ModuleType]
SIDE = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random prior of 8 x 8 colour images, a scene of 40 x 40 with an empty corner."""
    folder = tmp_path_factory.mktemp("clouds")
    for channels, name in ((3, "prior"), (1, "grey")):
        network = new_network(SIDE, channels, (32,))
        loss = DiffusionLoss(NetworkDenoiser(network, "edm", (channels, SIDE, SIDE)))
        denoiser = NetworkDenoiser(network, "consistency", (channels, SIDE, SIDE))
        write_prior(
            Recipe(denoiser, loss, TrainSettings(1), "none", {"data": "random"}),
            network.state_dict(),
            0,
            folder / name,
        )
    scene = np.random.default_rng(0).integers(1, 256, (40, 40, 3), np.uint8)
    scene[:4, :4] = 0
    np.savez(folder / "scenes.npz", random=scene)
    return folder


def run(
    module: ModuleType, folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *words: str
) -> None:
    given = [
        "--prior",
        str(folder / "prior"),
        "--scene",
        "random",
        "--corner",
        "6",
        "10",
        "--size",
        "20",
        "--overlap",
        "4",
        "--length",
        "4",
    ]
    few = ["--samples", "3", "--steps", "4", "6", "2", "--shadow", "2", "3", "--out", str(out)]
    monkeypatch.setattr(
        sys, "argv", ["clouds.py", str(folder / "scenes.npz"), *given, *few, *words]
    )
    module.main()


def test_the_whole_example(
    example: Load,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("skimage")
    module = example("clouds")
    run(module, folder, tmp_path / "out", monkeypatch)
    printed = capsys.readouterr().out
    assert "biharmonic" in printed
    assert "tiles have to be drawn" in printed
    with np.load(tmp_path / "out" / "clouds.npz") as saved:
        hidden, samples, truth = saved["hidden"], saved["samples"], saved["truth"]
        assert samples.shape == (3, 20, 20, 3)
        assert 0.2 < hidden.mean() < 0.6
        np.testing.assert_allclose(
            samples[:, ~hidden],
            np.broadcast_to(truth[~hidden], (3, *truth[~hidden].shape)),
            rtol=1e-6,
            atol=1e-8,
        )  # stays
        assert np.isfinite(samples).all()
        assert samples.min() >= 0.0
        assert samples.max() <= np.float32(module.SCALE.high)
        assert (saved["std"][hidden] > 0.0).mean() > 0.9
        scene = np.load(folder / "scenes.npz")["random"][6:26, 10:30]
        np.testing.assert_allclose(truth, scene / 255.0 * module.SCALE.high, rtol=1e-6)
        error = float(np.sqrt(np.square(samples.mean(0) - truth)[hidden].mean()))
    found = json.loads((tmp_path / "out" / "clouds.json").read_text())
    assert found["rmse"]["mean of samples"] == pytest.approx(error, rel=1e-4)
    assert found["psnr"]["mean of samples"] == pytest.approx(
        20 * math.log10(module.SCALE.high / error), rel=1e-4
    )
    assert found["nominal"] == 0.5
    assert (tmp_path / "out" / "clouds.png").stat().st_size > 10_000
    runs = sorted(path.name for path in (tmp_path / "out" / "tiles").iterdir())
    assert len(runs) == len(found["tiles"])
    assert any("seam" in tile for tile in found["tiles"])

    times = {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / "out" / "tiles").glob("*/run.zarr/[xz]/**/*")
    }
    assert times
    run(module, folder, tmp_path / "out", monkeypatch)  # every tile is there
    with np.load(tmp_path / "out" / "clouds.npz") as again:
        assert np.array_equal(again["samples"], samples)
    assert times == {path: path.stat().st_mtime_ns for path in times}


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--scene", "224078"), "no scene '224078': choose --scene from random"),
        (("--corner", "30", "30"), "leave scene random"),
        (("--corner", "-2", "10"), "leave scene random"),
        (("--corner", "0", "0"), "pixels are empty in this part"),
        (("--size", "6"), "smaller than a tile of 8"),
        (("--share", "1.5"), "--share between 0 and 1"),
        (("--prior", "{grey}"), "square images with red, green and blue"),
    ],
)
def test_bad_input(
    example: Load,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    match: str,
) -> None:
    with pytest.raises(SystemExit, match=match):
        run(
            example("clouds"),
            folder,
            tmp_path,
            monkeypatch,
            *(word.format(grey=folder / "grey") for word in words),
        )


def test_clouds_hide_the_share_and_shadows_are_moved_clouds(example: Load) -> None:
    opacity, shadow = example("clouds").clouds((64, 64), 0.3, 8.0, (5, -7), 3)
    assert float((opacity > 0).double().mean()) == pytest.approx(0.3, abs=1 / 64)
    assert torch.equal(shadow, opacity.roll((5, -7), (0, 1)))
    again, _ = example("clouds").clouds((64, 64), 0.3, 8.0, (0, 0), 3)
    assert torch.equal(opacity, again)
    assert opacity.min() == 0.0
    assert opacity.max() == 1.0


def test_carried_pixels_bind_the_next_tile(example: Load, folder: Path, tmp_path: Path) -> None:
    """A tile whose window is known everywhere, half of it by a neighbour, is drawn with residuals
    of the stated noise."""
    module = example("clouds")
    phi = nw.load_prior(str(folder / "prior")).map()
    with torch.no_grad():
        window = phi(torch.randn(2, *phi.shape, generator=torch.Generator().manual_seed(0)))
    gaps = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    gaps[:, 4:] = True
    args = type(
        "Args",
        (),
        {"seam": 0.01, "sigma": 0.01, "steps": (200, 60, 5), "lr": 0.05, "step_size": 0.05},
    )()
    _, summary = module.sample_tile(phi, window, gaps, args, 0, tmp_path)
    assert summary["seam"] == pytest.approx(0.01, rel=0.5)
