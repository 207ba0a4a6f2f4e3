"""The training loop: its rate, its steps, and that a training killed at any step and resumed is the
uninterrupted one, bit for bit."""

import dataclasses
import math
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from noisewalk.errors import ConfigError, DivergedError, WeightsError
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.train.diffusion import DiffusionLoss
from noisewalk.priors.train.distill import DistillLoss
from noisewalk.priors.train.export import new_network
from noisewalk.priors.train.loop import TrainProgress, TrainSettings, generator_of, train
from noisewalk.priors.train.processes import Processes

IMAGES = torch.randint(
    0, 256, (16, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)
ALWAYS = 0.0
"""checkpoint_seconds that write one after each step."""


def tiny(seed: int) -> nn.Module:
    return new_network(8, 1, {"widths": (32,), "attention": (), "unshuffle": 1}, seed)


def settings(steps: int = 6, **others: Any) -> TrainSettings:
    return TrainSettings(
        **{
            "num_images": 4 * steps,
            "batch_size": 4,
            "lr_warmup": 2,
            "lr_hold": 4,
            "checkpoint_seconds": ALWAYS,
            **others,
        }
    )


def training(network: nn.Module, folder: Path, chosen: TrainSettings):
    return train(
        network,
        DiffusionLoss(NetworkDenoiser(network, "edm", (1, 8, 8))),
        IMAGES,
        chosen,
        folder / "checkpoint.pt",
    )


class Weight(nn.Module):
    """One number."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros((), dtype=torch.float64))


def descend(network: nn.Module, x: Tensor, generator: torch.Generator, done: float) -> Tensor:
    return network.value.expand(len(x))


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


def test_checkpoints_come_at_intervals_and_at_the_end(tmp_path: Path) -> None:
    for progress in train(
        Weight(), descend, IMAGES, settings(checkpoint_seconds=1e9), tmp_path / "rare" / "c.pt"
    ):
        assert (tmp_path / "rare" / "c.pt").exists() == (progress.step == 6)
    for _ in train(Weight(), descend, IMAGES, settings(), tmp_path / "often" / "c.pt"):
        assert (tmp_path / "often" / "c.pt").exists()


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


def test_no_images_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no images"):
        list(train(Weight(), descend, IMAGES[:0], settings(), tmp_path / "c.pt"))


NOT_ALLOWED: list[dict[str, Any]] = [
    *(
        {name: value}
        for name in ("num_images", "batch_size", "lr_hold")
        for value in (0, -1, 1.5, True)
    ),
    *({"lr": value} for value in (0.0, -1.0, math.nan, math.inf)),
    *({"lr_decay": value} for value in (-0.1, 1.1, math.nan)),
    *({"seed": value} for value in (-1, 2**32)),
    {"lr_warmup": -5},
    {"ema_gamma": -1.0},
    {"augment": "mirror"},
    {"checkpoint_seconds": -1.0},
    {"checkpoint_seconds": math.nan},
]


@pytest.mark.parametrize("bad", NOT_ALLOWED, ids=str)
def test_settings_that_are_not_allowed_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        settings(**{"steps": 1, **bad})


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


def test_images_are_turned_by_the_augmentation_alone(tmp_path: Path) -> None:
    seen: dict[str, list[Tensor]] = {"none": [], "flip": []}
    for symmetry, kept in seen.items():

        def watch(
            network: nn.Module,
            x: Tensor,
            generator: torch.Generator,
            done: float,
            kept: list[Tensor] = kept,
        ) -> Tensor:
            kept.append(x)
            return descend(network, x, generator, done)

        list(
            train(
                Weight(),
                watch,
                IMAGES,
                settings(steps=4, augment=symmetry),
                tmp_path / f"{symmetry}.pt",
            )
        )
    plain, turned = torch.cat(seen["none"]), torch.cat(seen["flip"])
    same, flipped = ((turned == x).flatten(1).all(1) for x in (plain, plain.flip(-1)))
    assert (same | flipped).all()
    assert same.any()
    assert flipped.any()


def test_a_loss_that_is_no_number_stops_the_training_before_it_reaches_weights_and_checkpoint(
    tmp_path: Path,
) -> None:
    def explode(network: nn.Module, x: Tensor, generator: torch.Generator, done: float) -> Tensor:
        return descend(network, x, generator, done) / (0.0 if done > 0.5 else 1.0)

    network = Weight()
    with pytest.raises(
        DivergedError, match=r"the loss is .* at step 4.*smaller learning rate \(--lr\)"
    ):
        list(train(network, explode, IMAGES, settings(6), tmp_path / "c.pt"))
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    assert state["step"] == 3
    assert torch.equal(network.value.detach(), state["network"]["value"])
    assert math.isfinite(float(network.value.detach()))


def test_a_batch_that_processes_cannot_share_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match="a batch of 4 images cannot be shared evenly by 3 processes: choose a multiple of 3",
    ):
        next(
            train(
                Weight(), descend, IMAGES, settings(), tmp_path / "c.pt", Three(torch.device("cpu"))
            )
        )


class Three(Processes):
    """Three processes as far as sharing goes."""

    count = 3


def test_processes_draw_noise_of_their_own() -> None:
    first = [
        torch.randint(2**62, (), generator=generator_of(seed, k, rank)).item()
        for seed in (0, 1)
        for k in range(20)
        for rank in range(8)
    ]
    assert len(set(first)) == 320


def test_the_generators_of_different_seeds_and_steps_differ_and_of_seed_0_are_the_steps() -> None:
    first = [
        torch.randint(2**62, (), generator=generator_of(seed, k)).item()
        for seed in (0, 1, 2, 3, 2**32 - 1)
        for k in range(40)
    ]
    assert len(set(first)) == 200
    assert first[:40] == [
        torch.randint(2**62, (), generator=torch.Generator().manual_seed(k)).item()
        for k in range(40)
    ]


def test_the_seed_sets_noise_and_order(tmp_path: Path) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def watch(network: nn.Module, x: Tensor, generator: torch.Generator, done: float) -> Tensor:
        seen.append((x, torch.randn(8, generator=generator)))
        return descend(network, x, generator, done)

    for seed in (0, 1):
        list(train(Weight(), watch, IMAGES, settings(1, seed=seed), tmp_path / f"{seed}.pt"))
    assert not torch.equal(seen[0][0], seen[1][0])
    assert not torch.equal(seen[0][1], seen[1][1])


def test_the_rate_rises_linearly_holds_and_falls_as_one_over_the_root() -> None:
    chosen = TrainSettings(1, lr=0.02, lr_warmup=10, lr_hold=100)
    expected = {1: 0.002, 5: 0.01, 10: 0.02, 11: 0.02, 100: 0.02, 400: 0.01, 2500: 0.004}
    assert {k: chosen.learning_rate(k) for k in expected} == pytest.approx(expected, rel=1e-12)


def test_the_rate_falls_to_nothing_over_the_last_share() -> None:
    chosen = TrainSettings(400, 4, lr=0.02, lr_warmup=0, lr_hold=1000, lr_decay=0.2)
    expected = {1: 0.02, 80: 0.02, 81: 0.02, 91: 0.01, 100: 0.001}
    assert {k: chosen.learning_rate(k) for k in expected} == pytest.approx(expected, rel=1e-12)


def test_a_step_whose_gradient_is_no_number_is_left_out(tmp_path: Path) -> None:
    def bad_at(*steps: int):
        def loss(network: nn.Module, x: Tensor, generator: torch.Generator, done: float) -> Tensor:
            value = descend(network, x, generator, done)
            if round(done * 60) in steps:
                value.register_hook(lambda grad: grad * math.nan)
            return value

        return loss

    network, moved = Weight(), []
    for _ in train(network, bad_at(3, 4), IMAGES, settings(60), tmp_path / "c.pt"):
        moved.append(float(network.value.detach()))
    assert moved[1] == moved[2] == moved[3] != moved[4]
    assert all(math.isfinite(value) for value in moved)
    with pytest.raises(DivergedError, match="gradient is not finite in 20 steps up to 29"):
        list(train(Weight(), bad_at(*range(10, 61)), IMAGES, settings(60), tmp_path / "lost.pt"))
    assert math.isfinite(
        float(torch.load(tmp_path / "lost.pt", weights_only=True)["network"]["value"])
    )


@pytest.mark.parametrize(("bfloat16", "channels_last"), [(False, True), (True, False)])
def test_weights_lie_as_the_arithmetic_likes_them(
    tmp_path: Path, bfloat16: bool, channels_last: bool
) -> None:
    network = tiny(0)
    list(training(network, tmp_path, settings(1, bfloat16=bfloat16)))
    kernels = [p for p in network.parameters() if p.ndim == 4 and min(p.shape) > 1]
    assert all(p.is_contiguous(memory_format=torch.channels_last) == channels_last for p in kernels)


def test_a_rate_without_warm_up_starts_full() -> None:
    assert TrainSettings(1, lr=0.02, lr_warmup=0).learning_rate(1) == 0.02


def test_each_step_uses_its_rate(tmp_path: Path) -> None:
    # Under a constant gradient of 1 Adam's step is the rate itself, up to its epsilon of 1e-8.
    chosen, network, sum_of_rates = settings(12, lr=0.01), Weight(), 0.0
    for progress in train(network, descend, IMAGES, chosen, tmp_path / "c.pt"):
        sum_of_rates += chosen.learning_rate(progress.step)
        assert float(network.value.detach()) == pytest.approx(-sum_of_rates, rel=1e-5)


def test_the_average_covers_every_step(tmp_path: Path) -> None:
    network, values = Weight(), []
    for progress in train(network, descend, IMAGES, settings(ema_gamma=2.0), tmp_path / "c.pt"):
        values.append(float(network.value.detach()))
        expected = (
            sum(v * (t**3 - (t - 1) ** 3) for t, v in enumerate(values, 1)) / progress.step**3
        )
        assert float(progress.ema.weights["value"]) == pytest.approx(expected, rel=1e-12)


def test_the_loss_sees_clean_batches_and_the_share_done(tmp_path: Path) -> None:
    shares, seen = [], []

    def watch(network: nn.Module, x: Tensor, generator: torch.Generator, done: float) -> Tensor:
        assert x.shape == (4, 1, 8, 8)
        assert x.dtype == torch.float32
        seen.append(x)
        shares.append(done)
        return descend(network, x, generator, done)

    progress = list(train(Weight(), watch, IMAGES, settings(num_images=22), tmp_path / "c.pt"))
    assert [p.step for p in progress] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]  # 22 images in batches of 4, the last one whole
    assert [p.images for p in progress] == [4, 8, 12, 16, 20, 24]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= 1 / 6
    assert 5 / 6 <= shares[-1] <= 1
    known = {(image.double() / 255 * 2 - 1).float().numpy().round(5).tobytes() for image in IMAGES}
    rows = [row.numpy().round(5).tobytes() for x in seen for row in x]
    assert set(rows) <= known
    assert len(set(rows)) > 8  # 24 draws of 16 images: 12.6 on average, standard deviation 1.2


def test_the_noise_of_each_step_is_new_and_a_function_of_the_step(tmp_path: Path) -> None:
    def watch(kept: list[Tensor]):
        def loss(network: nn.Module, x: Tensor, generator: torch.Generator, done: float) -> Tensor:
            kept.append(torch.randn(8, generator=generator))
            return descend(network, x, generator, done)

        return loss

    first, second = [], []
    state = torch.get_rng_state()
    list(train(Weight(), watch(first), IMAGES, settings(), tmp_path / "a.pt"))
    torch.manual_seed(99)
    assert not torch.equal(torch.get_rng_state(), state)
    moved = torch.get_rng_state()
    list(train(Weight(), watch(second), IMAGES, settings(), tmp_path / "b.pt"))
    assert torch.equal(torch.get_rng_state(), moved)
    torch.set_rng_state(state)
    assert torch.equal(torch.stack(first), torch.stack(second))
    assert len(torch.unique(torch.stack(first))) == 48


@pytest.mark.parametrize("bfloat16", [False, True])
def test_bfloat16_is_the_networks_arithmetic_alone(tmp_path: Path, bfloat16: bool) -> None:
    def watch(network: nn.Module, x: Tensor, generator: torch.Generator, done: float) -> Tensor:
        assert torch.is_autocast_enabled("cpu") == bfloat16
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        return descend(network, x, generator, done)

    list(train(Weight(), watch, IMAGES, settings(1, bfloat16=bfloat16), tmp_path / "c.pt"))
    network = tiny(0)
    (progress,) = training(network, tmp_path / "unet", settings(1, bfloat16=bfloat16))
    assert math.isfinite(progress.loss)
    assert (
        {p.dtype for p in network.parameters()}
        == {v.dtype for v in progress.ema.weights.values()}
        == {torch.float32}
    )


def test_the_loss_falls_on_a_toy_set(tmp_path: Path) -> None:
    network = tiny(0)
    loss = DiffusionLoss(NetworkDenoiser(network, "edm", (1, 8, 8)))
    toy = torch.full((1, 1, 8, 8), 200, dtype=torch.uint8)
    toy[..., 4:] = 20

    def measured() -> float:
        with torch.no_grad():  # the same noise before and after
            return float(
                loss(
                    network,
                    (toy / 127.5 - 1).expand(64, 1, 8, 8),
                    torch.Generator().manual_seed(7),
                    0.0,
                ).mean()
            )

    before = measured()
    progress = list(
        train(network, loss, toy, TrainSettings(40 * 8, 8, lr=2e-3, lr_warmup=5), tmp_path / "c.pt")
    )
    assert len(progress) == 40
    assert measured() < 0.5 * before
