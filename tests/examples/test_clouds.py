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
Saved = dict[str, np.ndarray]
SIDE = 8
FEW = "--num-chains 3 --num-steps 4 --num-warmup 2 --thin 2 --size 20 --length 4 --window 16"


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
    card = json.loads((folder / "prior" / "card.json").read_text())
    (folder / "prior" / "card.json").write_text(json.dumps({**card, "margin": 4}))
    scene = np.random.default_rng(0).integers(1, 256, (40, 40, 3), np.uint8)
    scene[:4, :4] = 0
    np.savez(folder / "scenes.npz", random=scene)
    return folder


@pytest.fixture
def run(
    example: Load, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Saved, dict]]:
    """The script with these words: what it has saved."""

    def call(*words: str, scenes: bool = True) -> tuple[Saved, dict]:
        given = ["--prior", str(folder / "prior"), *FEW.split(), "--out", str(tmp_path / "out")]
        part = [str(folder / "scenes.npz"), "--scene", "random", "--corner", "6", "10"]
        monkeypatch.setattr(sys, "argv", ["clouds.py", *(part if scenes else ()), *given, *words])
        example("clouds").main()
        found = json.loads((tmp_path / "out" / "clouds.json").read_text())
        with np.load(tmp_path / "out" / "clouds.npz") as saved:
            return dict(saved), found

    return call


def test_a_scene_is_filled_and_the_same_command_goes_on(
    run: Callable[..., tuple[Saved, dict]],
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("skimage")
    saved, found = run()
    printed = capsys.readouterr().out
    assert "biharmonic" in printed
    assert "3 samples; NFE" in printed
    hidden, samples, truth = saved["hidden"], saved["samples"], saved["truth"]
    assert samples.shape == (3, 20, 20, 3)
    assert hidden.sum() == 100  # a quarter
    scene = np.load(folder / "scenes.npz")["random"][6:26, 10:30]
    np.testing.assert_allclose(truth, scene / 255.0 * 0.2, rtol=1e-6)
    seen = np.broadcast_to(truth[~hidden], (3, *truth[~hidden].shape))
    np.testing.assert_allclose(samples[:, ~hidden], seen, rtol=1e-5, atol=1e-7)  # stays
    assert samples.min() >= 0.0
    assert samples.max() <= np.float32(0.2)
    assert (saved["std"][hidden] > 0.0).mean() > 0.9
    error = float(np.sqrt(np.square(samples.mean(0) - truth)[hidden].mean()))
    assert found["rmse"]["mean of samples"] == pytest.approx(error, rel=1e-4)
    assert found["psnr"]["mean of samples"] == pytest.approx(20 * math.log10(0.2 / error), rel=1e-4)
    assert found["rmse"]["truth"] == 0.0
    assert (tmp_path / "out" / "clouds.png").stat().st_size > 10_000

    paths = list((tmp_path / "out" / "run" / "run.zarr").glob("[xz]/**/*"))
    assert paths
    times = {path: path.stat().st_mtime_ns for path in paths}
    again, _ = run()  # every sample is there
    assert np.array_equal(again["samples"], samples)
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_a_simulated_scene_needs_no_file(
    run: Callable[..., tuple[Saved, dict]], folder: Path
) -> None:
    pytest.importorskip("skimage")
    saved, found = run("--simulated", scenes=False)
    phi = nw.load_prior(str(folder / "prior")).map(shape=(20, 20), window=16)
    with torch.no_grad():
        x = phi(nw.noise.rows(1, 1).normal(phi.shape, nw.noise.INIT))[0]
    assert saved["truth"] == pytest.approx(0.1 * (x.movedim(0, -1).numpy() + 1), rel=1e-5)
    assert (saved["std"] > 0).all()  # not only in the gaps
    assert len(found["coverage"]) == 3


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--scene", "224078"), "no scene '224078': choose --scene from random"),
        (("--corner", "30", "30"), "leave scene random"),
        (("--corner", "-2", "10"), "leave scene random"),
        (("--corner", "0", "0"), "pixels are empty in this part"),
        (("--share", "1.5"), "share"),
        (("--prior", "{grey}"), "red, green and blue"),
        (("--num-chains", "1"), "2"),
        (("--simulated",), "2"),
    ],
)
def test_bad_input(
    run: Callable[..., tuple[Saved, dict]], folder: Path, words: tuple[str, ...], match: str
) -> None:
    with pytest.raises(SystemExit, match=match):
        run(*(word.format(grey=folder / "grey") for word in words))


def test_exact_samples_are_covered_as_they_say(example: Load) -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(7, 3, 100, 100, generator=generator, dtype=torch.float64)
    hidden = torch.ones(100, 100, dtype=torch.bool)
    hidden[0] = False
    found = example("clouds").scores(draws[:6], {}, draws[6], hidden)
    for share, level in zip(found["coverage"], (0.5, 0.8, 0.9), strict=True):
        assert share == pytest.approx(level, abs=5 * math.sqrt(level * (1 - level) / 3 / 9900))
    assert found["rmse"]["one sample"] == pytest.approx(math.sqrt(2), rel=0.02)
    assert found["std"] == pytest.approx(1.0, rel=0.02)


def test_the_seam_is_the_step_beside_the_gaps(example: Load) -> None:
    module = example("clouds")
    hidden = torch.zeros(8, 8, dtype=torch.bool)
    hidden[2:5, 3:6] = True
    filled = torch.where(hidden, 0.5, torch.zeros(2, 3, 8, 8, dtype=torch.float64))
    assert module.step(filled, hidden) == 0.5
    assert module.step(torch.ones(3, 8, 8), hidden) == 0.0
    away = torch.full((2, 3, 8, 8), 9.0)
    away[..., 1:6, 2:7] = 0.25  # the gap and its rim
    assert module.seam(away, torch.zeros(3, 8, 8), hidden) == 0.25
