"""What is drawn on the CPU is used on the network's device: on a device without numbers, mixing the
two is an error."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.train.losses.consistency import DistillLoss
from noisewalk.priors.train.losses.continuous_consistency import TangentLoss
from noisewalk.priors.train.losses.diffusion import DiffusionLoss
from noisewalk.priors.train.losses.trajectory import TrajectoryLoss
from noisewalk.priors.train.network import new_network
from noisewalk.priors.train.trajectories import teacher_trajectories

ELSEWHERE = torch.device("meta")


def denoiser(kind: str, unshuffle: int = 2) -> NetworkDenoiser:
    network = new_network(8, 1, (32,), unshuffle=unshuffle).to(ELSEWHERE)
    return NetworkDenoiser(network, kind, (1, 8, 8), unshuffle=unshuffle)


@pytest.mark.parametrize("name", ["diffusion", "cd", "ct", "trajectory"])
def test_a_loss_is_computed_where_its_network_is(name: str) -> None:
    student, teacher = denoiser("edm" if name == "diffusion" else "consistency"), denoiser("edm")
    losses = {
        "diffusion": lambda: DiffusionLoss(student),
        "cd": lambda: DistillLoss(student, teacher, "cd"),
        "ct": lambda: DistillLoss(student, teacher, "ct"),
        "trajectory": lambda: TrajectoryLoss(
            student, torch.zeros(3, 4, 1, 8, 8, dtype=torch.float16)
        ),
    }
    x = torch.zeros(4, 1, 8, 8, device=ELSEWHERE)
    value = losses[name]()(student.network, x, torch.Generator().manual_seed(0), 0.5)
    assert (value.device, value.shape) == (ELSEWHERE, (4,))
    value.mean().backward()
    assert all(
        p.grad is not None and p.grad.device == ELSEWHERE for p in student.network.parameters()
    )


@pytest.mark.parametrize("name", ["diffusion", "cd", "ct", "scd"])
def test_levels_do_not_depend_on_how_the_device_draws_its_noise(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Seen(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, t, class_labels=None):
            seen.append(t.detach().clone())
            return SimpleNamespace(sample=x * self.weight)

    levels = []
    for drawn in (1, 3):
        seen: list[torch.Tensor] = []

        def noise(x: torch.Tensor, generator: torch.Generator, drawn: int = drawn) -> torch.Tensor:
            torch.rand(drawn, generator=generator)
            return torch.ones_like(x)

        for module in ("diffusion", "consistency", "continuous_consistency"):
            monkeypatch.setattr(f"noisewalk.priors.train.losses.{module}.unit_noise", noise)
        student = NetworkDenoiser(
            Seen(), "edm" if name == "diffusion" else "consistency", (1, 8, 8)
        )
        teacher = NetworkDenoiser(Seen(), "edm", (1, 8, 8))
        loss = (
            DiffusionLoss(student)
            if name == "diffusion"
            else TangentLoss(student, teacher)
            if name == "scd"
            else DistillLoss(student, teacher, name)
        )
        loss(student.network, torch.zeros(5, 1, 8, 8), torch.Generator().manual_seed(0), 0.5)
        levels.append(torch.stack([t.double() for t in seen]))
    assert torch.equal(*levels)


@pytest.mark.parametrize("name", ["diffusion", "cd", "ct", "scd", "trajectory"])
def test_a_loss_is_computed_in_bfloat16(name: str) -> None:
    def real(kind: str) -> NetworkDenoiser:
        return NetworkDenoiser(new_network(8, 1, (32,), unshuffle=2), kind, (1, 8, 8), unshuffle=2)

    student, teacher = real("edm" if name == "diffusion" else "consistency"), real("edm")
    losses = {
        "diffusion": lambda: DiffusionLoss(student),
        "cd": lambda: DistillLoss(student, teacher, "cd"),
        "ct": lambda: DistillLoss(student, teacher, "ct"),
        "scd": lambda: TangentLoss(student, teacher),
        "trajectory": lambda: TrajectoryLoss(
            student, torch.rand(3, 4, 1, 8, 8).half(), augment="dihedral"
        ),
    }
    loss, x = losses[name](), torch.rand(4, 1, 8, 8)
    values = []
    for rounded in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            value = loss(student.network, x, torch.Generator().manual_seed(0), 0.5)
        value.mean().backward()
        values.append(float(value.detach().mean()))
        assert not [
            name
            for name, weight in student.network.named_parameters()
            if weight.grad is None or not weight.grad.any()
        ]
        student.network.zero_grad()
    assert values[1] == pytest.approx(values[0], rel=0.1)


def test_the_device_without_numbers_refuses_a_mix() -> None:
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(3, device=ELSEWHERE) + torch.zeros(3)


def test_trajectories_are_made_where_the_teacher_is_and_kept_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[torch.device] = []
    forward = NetworkDenoiser.__call__

    def watched(self: NetworkDenoiser, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        asked.append(x.device)
        return forward(self, x, sigma)

    monkeypatch.setattr(NetworkDenoiser, "__call__", watched)
    monkeypatch.setattr(
        "noisewalk._repr._digest", lambda tensors, text="": "0" * 8
    )  # nothing can be read from that device
    monkeypatch.setattr(
        torch, "autocast", lambda device, dtype, enabled: nullcontext()
    )  # there is none for that device
    with pytest.raises(
        NotImplementedError, match="meta"
    ):  # moving the result to the CPU is what needs numbers
        teacher_trajectories(denoiser("edm"), 2, 3, tmp_path / "t", batch_size=2)
    assert set(asked) == {ELSEWHERE}
