"""A training as a command runs it: killed and run again, with sheets and a loss on the way."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import IMAGES, recipe

from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.load import load_prior
from noisewalk.priors.train import run
from noisewalk.priors.train.export import write_sheet
from noisewalk.priors.train.losses.consistency import DistillLoss
from noisewalk.priors.train.run import log_loss, run_training


def test_a_training_that_is_killed_and_run_again_writes_the_same_prior(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_training(recipe("consistency"), IMAGES, tmp_path / "whole")
    evaluate, calls = DistillLoss.__call__, []

    def killed(*args: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*args)

    with monkeypatch.context() as patch:
        patch.setattr(DistillLoss, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            run_training(recipe("consistency"), IMAGES, tmp_path / "killed")
    assert not (tmp_path / "killed" / "card.json").exists()
    run_training(recipe("consistency", seed=5), IMAGES, tmp_path / "killed")
    cards = [load_prior(tmp_path / name).card for name in ("whole", "killed")]
    assert cards[0] == cards[1]
    assert cards[0]["images_seen"] == 12
    assert str(tmp_path / "killed") in capsys.readouterr().out.replace("\n", "")
    (tmp_path / "whole" / "card.json").unlink()
    run_training(
        recipe("consistency", seed=5), IMAGES, tmp_path / "whole"
    )  # the training was complete: only the prior is written again
    assert load_prior(tmp_path / "whole").card == cards[0]


def test_sheets_on_the_way_show_the_average_and_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_training(recipe("consistency"), IMAGES, tmp_path / "plain")
    monkeypatch.setattr(run, "SHEET_SECONDS", 0.0)
    shown: list[tuple[int, dict[str, torch.Tensor]]] = []

    def watched(denoiser: NetworkDenoiser, weights: dict[str, torch.Tensor], path: Path) -> None:
        write_sheet(denoiser, weights, path)
        shown.append((path.stat().st_size, {k: v.clone() for k, v in weights.items()}))

    for module in ("run", "export"):
        monkeypatch.setattr(f"noisewalk.priors.train.{module}.write_sheet", watched)
    run_training(recipe("consistency"), IMAGES, tmp_path / "watched")
    assert len(shown) == 4  # after each of three steps, and with the prior
    assert all(size > 0 for size, _ in shown)
    assert not torch.equal(shown[0][1]["conv_in.weight"], shown[1][1]["conv_in.weight"])
    assert load_prior(tmp_path / "watched").card == load_prior(tmp_path / "plain").card
    assert (tmp_path / "watched" / "samples.png").read_bytes() == (
        tmp_path / "plain" / "samples.png"
    ).read_bytes()


def test_the_loss_of_held_out_images_is_logged_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SHEET_SECONDS", 0.0)
    run_training(recipe("consistency"), IMAGES, tmp_path, held_out=IMAGES[:5])
    header, *lines = (tmp_path / "loss.csv").read_text().splitlines()
    assert header == "images_seen,held_out_loss"
    assert [line.split(",")[0] for line in lines] == ["4", "8", "12"]
    run_training(recipe("consistency"), IMAGES, tmp_path, held_out=IMAGES[:5])
    assert (tmp_path / "loss.csv").read_text().splitlines() == [
        header,
        *lines,
    ]  # the same weights under the same noise
    assert lines[0].split(",")[1] != lines[2].split(",")[1]


def test_held_out_images_are_taken_from_all_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MOST_HELD_OUT", 2)
    logged = []
    for chosen in ([0, 1, 2, 3, 4], [0, 5, 5, 3, 5], [0, 1, 2, 5, 4]):
        log_loss(recipe(), recipe().denoiser.network, 4, IMAGES[chosen], tmp_path)
        logged.append((tmp_path / "loss.csv").read_text())
    assert logged[0] == logged[1] != logged[2]  # the first and the fourth of five
