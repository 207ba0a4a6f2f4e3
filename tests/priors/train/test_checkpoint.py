"""Checkpoints: a training killed at any step and resumed is the uninterrupted one, bit for bit, and
one that belongs to another training is refused."""

import dataclasses
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import IMAGES, Weight, descend, settings, tiny, training
from torch import nn

from noisewalk.errors import ConfigError, WeightsError
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.train.loop import TrainProgress, train
from noisewalk.priors.train.losses.consistency import DistillLoss
from noisewalk.priors.train.losses.diffusion import DiffusionLoss
from noisewalk.priors.train.processes import Processes
from noisewalk.priors.train.recipe import TrainSettings


class Uninterrupted:
    """A whole training of six steps."""

    def __init__(self, folder: Path) -> None:
        self.network = tiny(1)
        self.progress: list[TrainProgress] = list(training(self.network, folder, settings()))
        self.losses = [p.loss for p in self.progress]
        self.average = self.progress[-1].ema.weights


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    return Uninterrupted(tmp_path_factory.mktemp("whole"))


def check_same(whole: Uninterrupted, network: nn.Module, rest: list[TrainProgress]) -> None:
    assert [p.loss for p in rest] == whole.losses[-len(rest) :]
    for key, value in whole.network.state_dict().items():
        assert torch.equal(network.state_dict()[key], value), key
        assert torch.equal(rest[-1].ema.weights[key], whole.average[key]), key


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_a_killed_training_resumes_to_the_same_bits(
    whole: Uninterrupted, tmp_path: Path, steps: int
) -> None:
    killed = training(tiny(1), tmp_path, settings())
    assert [p.step for p in islice(killed, steps)] == list(range(1, steps + 1))
    killed.close()
    network = tiny(2)  # what it starts from does not matter: the checkpoint decides
    rest = list(training(network, tmp_path, settings()))
    assert [p.step for p in rest] == list(range(steps + 1, 7))
    check_same(whole, network, rest)


def test_a_checkpoint_of_another_device_resumes_to_the_same_bits(
    whole: Uninterrupted, tmp_path: Path
) -> None:
    # CUDA's steps are fused, and its weights and moments lie in another order
    run = training(tiny(1), tmp_path, settings())
    for _ in range(3):
        next(run)
    run.close()
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["optimizer"]["param_groups"][0]["fused"] = True
    for held in state["optimizer"]["state"].values():
        held |= {key: value.contiguous() for key, value in held.items()}
    state["ema"] = {key: value.contiguous() for key, value in state["ema"].items()}
    torch.save(state, tmp_path / "checkpoint.pt")
    network = tiny(2)
    check_same(whole, network, list(training(network, tmp_path, settings())))


@pytest.mark.gpu
def test_a_training_on_cuda_resumes_to_the_same_losses(tmp_path: Path) -> None:
    def on_cuda(network: nn.Module, folder: Path):
        loss = DiffusionLoss(NetworkDenoiser(network, "edm", (1, 8, 8)))
        return train(
            network,
            loss,
            IMAGES,
            settings(),
            folder / "checkpoint.pt",
            Processes(torch.device("cuda")),
        )

    uninterrupted = [p.loss for p in on_cuda(tiny(1), tmp_path / "whole")]
    run = on_cuda(tiny(1), tmp_path / "cut")
    first = [next(run).loss for _ in range(3)]
    run.close()
    assert first + [p.loss for p in on_cuda(tiny(2), tmp_path / "cut")] == pytest.approx(
        uninterrupted, rel=1e-4
    )


def test_a_training_killed_long_after_its_checkpoint_repeats_the_lost_steps(
    whole: Uninterrupted, tmp_path: Path
) -> None:
    killed = training(tiny(1), tmp_path, settings())
    next(killed)
    next(killed)
    shutil.copy(tmp_path / "checkpoint.pt", tmp_path / "old.pt")
    next(killed)
    killed.close()
    shutil.copy(tmp_path / "old.pt", tmp_path / "checkpoint.pt")
    network = tiny(1)
    check_same(whole, network, list(training(network, tmp_path, settings())))


def test_a_kill_while_the_checkpoint_is_written_costs_one_checkpoint(
    whole: Uninterrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = training(tiny(1), tmp_path, settings())
    next(killed)
    next(killed)

    def cut(state: Any, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", cut)
        with pytest.raises(KeyboardInterrupt):
            next(killed)
    network = tiny(1)
    rest = list(training(network, tmp_path, settings()))
    assert [p.step for p in rest] == [3, 4, 5, 6]
    check_same(whole, network, rest)


def test_a_finished_training_may_be_made_longer_and_checkpointed_otherwise(
    whole: Uninterrupted, tmp_path: Path
) -> None:
    network = tiny(1)
    assert len(list(training(network, tmp_path, settings(steps=4, checkpoint_seconds=1e9)))) == 4
    check_same(whole, network, list(training(network, tmp_path, settings())))


def test_a_finished_training_does_nothing_but_load(whole: Uninterrupted, tmp_path: Path) -> None:
    list(training(tiny(1), tmp_path, settings()))
    network = tiny(2)
    assert list(training(network, tmp_path, settings())) == []
    for key, value in whole.network.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)


OTHERS = {
    "batch_size": 2,
    "lr": 2e-3,
    "lr_hold": 5,
    "lr_warmup": 3,
    "ema_gamma": 6.94,
    "seed": 1,
    "bfloat16": True,
    "augment": "flip",
    "lr_decay": 0.5,
    "start": "a prior's",
}


@pytest.mark.parametrize(
    "name",
    [
        f.name
        for f in dataclasses.fields(TrainSettings)
        if f.name not in ("num_images", "checkpoint_seconds")
    ],
)
def test_resuming_with_another_setting_is_refused_with_both_values(
    tmp_path: Path, name: str
) -> None:
    chosen, checkpoint = settings(), tmp_path / "checkpoint.pt"
    next(train(Weight(), descend, IMAGES, chosen, checkpoint))
    content = checkpoint.read_bytes()
    with pytest.raises(ConfigError) as error:
        next(
            train(
                Weight(),
                descend,
                IMAGES,
                dataclasses.replace(chosen, **{name: OTHERS[name]}),
                checkpoint,
            )
        )
    for text in (
        str(checkpoint),
        f"{name}={getattr(chosen, name)}",
        f"{name}={OTHERS[name]}",
        "--out",
    ):
        assert text in str(error.value)
    assert "\n" not in str(error.value)
    assert checkpoint.read_bytes() == content


def kept_losses(play) -> dict[str, Any]:
    """Losses around one network under training; each but the first differs from it in what its name
    says."""
    student, teacher, other = (
        play("consistency", torch.mul, (1, 8, 8)),
        play("edm", torch.mul, (1, 8, 8)),
        play("edm", torch.mul, (1, 8, 8)),
    )
    other.network.shift.data.fill_(0.1)
    first = DistillLoss(student, teacher, "ct")
    changes = {
        "recipe": {"recipe": "cd"},
        "p_mean": {"p_mean": 1.0},
        "teacher": {"teacher": other},
        "denoiser": {"denoiser": dataclasses.replace(student, sigma_max=70.0)},
    }
    return {
        "": first,
        "loss": DiffusionLoss(dataclasses.replace(student, kind="edm")),
        **{k: dataclasses.replace(first, **v) for k, v in changes.items()},
    }


@pytest.mark.parametrize("name", ["loss", "recipe", "p_mean", "teacher", "denoiser"])
def test_resuming_with_another_loss_is_refused_with_what_differs(
    play, tmp_path: Path, name: str
) -> None:
    losses = kept_losses(play)
    network = losses[""].denoiser.network
    list(train(network, losses[""], IMAGES, settings(1), tmp_path / "c.pt"))
    with pytest.raises(
        ConfigError, match=rf"c\.pt was made with {name}=.*, now {name}=.*--out"
    ) as error:
        list(train(network, losses[name], IMAGES, settings(2), tmp_path / "c.pt"))
    assert "\n" not in str(error.value)
    assert (
        len(list(train(network, losses[""], IMAGES, settings(2), tmp_path / "c.pt"))) == 1
    )  # its own weights moved, and may


def test_a_checkpoint_older_than_the_distances_was_made_with_the_only_one_there_was(
    play, tmp_path: Path
) -> None:
    loss, checkpoint = kept_losses(play)[""], tmp_path / "c.pt"
    list(train(loss.denoiser.network, loss, IMAGES, settings(1), checkpoint))
    state = torch.load(checkpoint, weights_only=True)
    del state["record"]["distance"]
    torch.save(state, checkpoint)
    with pytest.raises(ConfigError, match="distance='huber', now distance='lpips-alex'"):
        list(
            train(
                loss.denoiser.network,
                dataclasses.replace(loss, distance="lpips-alex"),
                IMAGES,
                settings(2),
                checkpoint,
            )
        )
    assert len(list(train(loss.denoiser.network, loss, IMAGES, settings(2), checkpoint))) == 1


def test_resuming_with_other_images_is_refused(tmp_path: Path) -> None:
    list(train(Weight(), descend, IMAGES, settings(1), tmp_path / "c.pt"))
    for images in (IMAGES[:-1], IMAGES.flip(0)):
        with pytest.raises(ConfigError, match=r"c\.pt was made with images=Tensor\[16, 1, 8, 8\]#"):
            list(train(Weight(), descend, images, settings(2), tmp_path / "c.pt"))


def test_a_shorter_training_than_the_checkpoint_is_refused(tmp_path: Path) -> None:
    list(training(tiny(1), tmp_path, settings(3)))
    assert not list(training(tiny(1), tmp_path, settings(3, num_images=11)))  # the same three steps
    with pytest.raises(ConfigError, match="has seen 12 images and --num-images asks for 8"):
        list(training(tiny(1), tmp_path, settings(2)))


def test_a_checkpoint_from_before_the_record_is_resumed_to_the_same_bits(
    whole: Uninterrupted, tmp_path: Path
) -> None:
    list(training(tiny(1), tmp_path, settings(2)))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del state["record"]
    torch.save(state, tmp_path / "checkpoint.pt")
    network = tiny(2)
    check_same(whole, network, list(training(network, tmp_path, settings())))
    assert "record" in torch.load(tmp_path / "checkpoint.pt", weights_only=True)


@pytest.mark.parametrize(
    "content", [b"", b"half", bytes(100), b"\x80\x02}h\x07", "cut", "foreign", "part"]
)
def test_a_checkpoint_that_cannot_be_read_is_named_with_what_to_do(
    tmp_path: Path, content: bytes | str
) -> None:
    path = tmp_path / "c.pt"
    list(train(Weight(), descend, IMAGES, settings(1), path))
    if content == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif isinstance(content, str):
        state = torch.load(path, weights_only=True)
        torch.save({"a": 1} if content == "foreign" else {**state, "settings": None}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"c\.pt.*remove it to start anew") as error:
        list(train(Weight(), descend, IMAGES, settings(2), path))
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_another_network_is_told_in_one_line(tmp_path: Path) -> None:
    list(train(Weight(), descend, IMAGES, settings(1), tmp_path / "c.pt"))
    network = Weight()
    network.value = nn.Parameter(torch.zeros(2))
    with pytest.raises(ConfigError, match=r"c\.pt holds another network.*--out.*value") as error:
        list(train(network, descend, IMAGES, settings(2), tmp_path / "c.pt"))
    assert "\n" not in str(error.value)


def test_a_checkpoint_from_before_a_setting_did_what_was_done_then(
    whole: Uninterrupted, tmp_path: Path
) -> None:
    list(training(tiny(1), tmp_path, settings(2)))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del state["settings"]["augment"], state["settings"]["start"]
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(ConfigError, match="made with augment=none, now augment=flip"):
        next(training(tiny(2), tmp_path, settings(augment="flip")))
    network = tiny(2)
    check_same(whole, network, list(training(network, tmp_path, settings(start="unknown then"))))
