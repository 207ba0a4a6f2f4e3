"""The training loop: its steps, its rate, its noise, and what stops it."""

import math
from pathlib import Path

import pytest
import torch
from tiny_training import IMAGES, Weight, descend, settings, tiny, training
from torch import Tensor, nn

from noisewalk.errors import ConfigError, DivergedError
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.train.loop import generator_of, train
from noisewalk.priors.train.losses.diffusion import DiffusionLoss
from noisewalk.priors.train.processes import Processes
from noisewalk.priors.train.recipe import TrainSettings


def test_checkpoints_come_at_intervals_and_at_the_end(tmp_path: Path) -> None:
    for progress in train(
        Weight(), descend, IMAGES, settings(checkpoint_seconds=1e9), tmp_path / "rare" / "c.pt"
    ):
        assert (tmp_path / "rare" / "c.pt").exists() == (progress.step == 6)
    for _ in train(Weight(), descend, IMAGES, settings(), tmp_path / "often" / "c.pt"):
        assert (tmp_path / "often" / "c.pt").exists()


def test_no_images_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no images"):
        list(train(Weight(), descend, IMAGES[:0], settings(), tmp_path / "c.pt"))


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
    averaged = {v.dtype for v in progress.ema.weights.values()}
    assert {p.dtype for p in network.parameters()} == averaged == {torch.float32}


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
