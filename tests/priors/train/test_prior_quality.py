"""benchmarks/prior_quality.py on tiny random networks: what it writes into its report and into the
cards."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.load import load_prior
from noisewalk.priors.train.export import write_prior
from noisewalk.priors.train.losses.diffusion import DiffusionLoss
from noisewalk.priors.train.network import new_network
from noisewalk.priors.train.recipe import Recipe, TrainSettings

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "prior_quality.py"
SIZES = {
    "num-samples": 24,
    "tune": 20,
    "num-steps": 2,
    "num-neighbours": 20,
    "num-inverted": 3,
    "inversion-steps": 4,
    "batch-size": 12,
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prior_quality", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks its module up
    spec.loader.exec_module(module)
    module.EXTRACTORS |= {
        "corners": lambda x: x[..., :2, :2].flatten(1),
        "rows": lambda x: x.mean((1, 3)),
    }
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two random priors, 60 training images, 30 test images of which one is a training image."""
    folder = tmp_path_factory.mktemp("quality")
    for kind in ("edm", "consistency"):
        network = new_network(8, 1, (32,))
        denoiser = NetworkDenoiser(network, kind, (1, 8, 8))
        loss = DiffusionLoss(NetworkDenoiser(network, "edm", (1, 8, 8)))
        write_prior(
            Recipe(denoiser, loss, TrainSettings(1), "none", {"data": "random"}),
            network.state_dict(),
            0,
            folder / kind,
        )
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8), np.uint8)
    images[65] = images[7]
    np.savez(folder / "train.npz", images=images[:60])
    np.savez(folder / "test.npz", images=images[60:])
    return folder


def measure(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report, and the cards that took it over."""
    cards = [
        shutil.copy(folder / kind / "card.json", folder / f"{kind}.json")
        for kind in ("edm", "consistency")
    ]
    given: dict[str, Any] = {
        "student": folder / "consistency",
        "teacher": folder / "edm",
        "train": folder / "train.npz",
        "test": folder / "test.npz",
    }
    given |= {"out": folder / "out.json", **SIZES, **changes}
    words = [
        str(word)
        for key, value in given.items()
        for word in (f"--{key}", *(value if isinstance(value, list) else [value]))
    ]
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "prior_quality.py",
            *words,
            "--midpoints",
            "0.5",
            "2",
            "--extractors",
            "corners",
            "rows",
            "--cards",
            *map(str, cards),
        ],
    )
    script.main()
    return json.loads((folder / "out.json").read_text()), [
        json.loads(Path(card).read_text()) for card in cards
    ]


def test_the_report_holds_every_number_and_the_cards_take_it_over(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    report, (teacher, student) = measure(script, folder, monkeypatch)
    two = f"2 steps, midpoint {report['midpoint']:g}"
    assert report["midpoint"] in (0.5, 2.0)
    assert list(report["rows"]) == ["training images", "1 step", two, "teacher, 2 Heun steps"]
    for name, row in report["rows"].items():
        assert row.keys() >= {"kid", "kid_se", "fd"}
        assert row["rows"].keys() == {"kid", "kid_se", "fd"}
        assert row["rows"]["kid"] != row["kid"]
        assert ("seconds" in row) == (name != "training images")
    assert (report["extractor"], report["num_test"], report["num_test_in_train"]) == (
        "corners",
        24,
        1,
    )
    about = report["neighbours"]
    assert (
        about["num_images"],
        about["num_train"],
        about["num_train_features"],
        about["symmetry"],
    ) == (20, 60, 60, "none")
    assert list(about["rows"]) == list(report["rows"])[1:]
    for row in about["rows"].values():
        assert set(row) == {"pixels", "features"}
        for values in row.values():
            assert values["held_out_q01"] <= values["held_out_median"]
            assert 0 <= values["share_below"] <= 1
    inversion = report["inversion"]
    assert {key: inversion[key] for key in ("num_images", "num_steps", "lr", "prior_weight")} == {
        "num_images": 3,
        "num_steps": 4,
        "lr": 0.01,
        "prior_weight": 0.0,
    }
    assert list(inversion["rows"]) == ["1 step", two]
    for row in inversion["rows"].values():
        assert row.keys() == {
            "psnr",
            "psnr_se",
            "z_squared_per_dim",
            "z_squared_per_dim_se",
            "seconds",
        }
    kept = {key: value for key, value in report.items() if key != "midpoint"}
    assert teacher["quality"] == student["quality"] == kept
    assert student["midpoint"] == report["midpoint"]
    assert "midpoint" not in teacher
    assert "1 of the 30 test images are among the training images" in capsys.readouterr().out


def test_a_prior_that_copies_is_found_out_in_pixels_and_features(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with np.load(folder / "train.npz") as archive:
        images = torch.from_numpy(archive["images"])[:, None].float() / 127.5 - 1
    draw = script.draw
    monkeypatch.setattr(
        script,
        "draw",
        lambda phi, shape, count, *rest: (
            images[:count].flip(-1) if phi.nfe == 1 else draw(phi, shape, count, *rest)
        ),
    )
    few = {"num-inverted": 0, "feature-pool": 60}
    turned, _ = measure(script, folder, monkeypatch, symmetry="flip", **few)
    plain, _ = measure(script, folder, monkeypatch, **few)
    for space in ("pixels", "features"):
        assert turned["neighbours"]["rows"]["1 step"][space]["mean"] == pytest.approx(0.0, abs=1e-5)
        assert (
            turned["neighbours"]["rows"]["1 step"][space]["share_below"] >= 0.9
        )  # one held-out image is a copy too
        assert plain["neighbours"]["rows"]["1 step"][space]["mean"] > 0.1
    assert "inversion" not in turned


def test_the_numbers_are_those_of_the_samples_and_neighbours_may_be_left_out(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, (_, student) = measure(
        script, folder, monkeypatch, tune=0, **{"num-neighbours": 0, "num-inverted": 0}
    )
    assert "neighbours" not in report
    assert "midpoint_source" not in student
    assert report["midpoint"] == 1.0  # the card's
    phi = load_prior(folder / "consistency").map()
    samples = script.draw(phi, (1, 8, 8), 24, 12, 0)
    with np.load(folder / "test.npz") as archive:
        order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
        held_out = (torch.from_numpy(archive["images"])[:, None].float() / 127.5 - 1)[order][:24]
    expected = script.score(samples[..., :2, :2].flatten(1), held_out[..., :2, :2].flatten(1))
    assert {key: report["rows"]["1 step"][key] for key in expected} == pytest.approx(
        expected, rel=1e-4
    )


def test_the_second_extractor_averages_vgg16s_last_convolution(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = [torch.zeros(2, 4, 8, 8), torch.arange(2 * 3 * 4.0).view(2, 3, 2, 2)]
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(script, "_vgg16", lambda: lambda x: seen.append(x) or maps)
    found = script.embed(3.0 * torch.ones(2, 1, 16, 16), "vgg16")
    torch.testing.assert_close(found, maps[-1].flatten(2).mean(2))
    assert seen[0].shape == (2, 3, 16, 16)
    assert float(seen[0].max()) == 1.0
