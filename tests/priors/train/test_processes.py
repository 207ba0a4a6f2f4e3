"""One training by several processes: two of them, started by torchrun on the CPU, do the arithmetic
of one whose batch is both shares."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from noisewalk.errors import ConfigError, MissingExtraError
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.train.data import to_unit
from noisewalk.priors.train.loop import generator_of, train
from noisewalk.priors.train.losses.diffusion import DiffusionLoss
from noisewalk.priors.train.network import new_network
from noisewalk.priors.train.processes import ALONE, join
from noisewalk.priors.train.recipe import TrainSettings

IMAGES = torch.randint(
    0, 256, (16, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)
SETTINGS = TrainSettings(6 * 4, 4, lr_warmup=2, lr_hold=3, checkpoint_seconds=0.0, seed=3)

WORKER = """
import json, sys
from itertools import islice
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_processes import IMAGES, SETTINGS, tiny
from noisewalk.errors import ConfigError
from noisewalk.priors.train.loop import train
from noisewalk.priors.train.processes import join

folder = Path(sys.argv[1])
with join("cpu") as processes:
    told = {name: getattr(processes, name) for name in ("count", "rank", "first")}
    told["device"] = str(processes.device)
    for name, parts in {"whole": [6], "killed": [2, 4]}.items():
        for steps in parts:
            network, loss = tiny(processes.rank)  # the weights of the first process count
            run = train(network, loss, IMAGES, SETTINGS, folder / name / "checkpoint.pt", processes)
            told[name] = [p.loss for p in islice(run, steps)]
            processes.accelerator.wait_for_everyone()
    with processes.first_goes_ahead():
        if processes.first:
            (folder / "made").touch()
        told["made"] = (folder / "made").exists()
(folder / f"{told['rank']}.json").write_text(json.dumps(told))
"""


def tiny(seed: int) -> tuple[nn.Module, DiffusionLoss]:
    network = new_network(8, 1, (32,), seed=seed)
    return network, DiffusionLoss(NetworkDenoiser(network, "edm", (1, 8, 8)))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes trained."""
    if find_spec("accelerate") is None:
        pytest.skip("accelerate is not installed")
    folder = tmp_path_factory.mktemp("pair")
    (folder / "worker.py").write_text(WORKER)
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, folder / "worker.py", folder, Path(__file__).parent],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder


def told(pair: Path) -> list[dict[str, Any]]:
    return [json.loads((pair / f"{rank}.json").read_text()) for rank in (0, 1)]


def state(pair: Path, name: str) -> dict[str, Any]:
    return torch.load(pair / name / "checkpoint.pt", weights_only=True)


def test_each_process_knows_its_place_and_the_first_one_goes_ahead(pair: Path) -> None:
    for rank, said in enumerate(told(pair)):
        assert (said["count"], said["rank"], said["first"], said["device"], said["made"]) == (
            2,
            rank,
            rank == 0,
            "cpu",
            True,
        )


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As each process of `pair` has: the threads set the order of sums, and Adam's first steps turn
    a tiny gradient's rounding into whole steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_two_processes_do_the_steps_of_one_whose_batch_is_both_shares(
    pair: Path, tmp_path: Path
) -> None:
    network, loss = tiny(0)

    def both(network: nn.Module, x: Tensor, generator: torch.Generator, done: float) -> Tensor:
        values = []
        for rank in (0, 1):
            own = generator_of(SETTINGS.seed, round(done * 6), rank)
            batch = to_unit(IMAGES[torch.randint(len(IMAGES), (2,), generator=own)])
            values.append(loss(network, batch, own, done))
        return torch.cat(values)

    alone = list(train(network, both, IMAGES, SETTINGS, tmp_path / "c.pt"))
    first, second = told(pair)
    assert first["whole"] == second["whole"] == pytest.approx([p.loss for p in alone], rel=1e-4)
    shared = state(pair, "whole")
    for (
        key,
        value,
    ) in (
        network.state_dict().items()
    ):  # the same sums in another order; six steps of Adam move a weight by up to 5e-3
        torch.testing.assert_close(shared["network"][key], value, rtol=0, atol=1e-4)
        torch.testing.assert_close(
            shared["ema"][key], alone[-1].ema.weights[key], rtol=0, atol=1e-4
        )


def test_a_shared_training_that_is_killed_resumes_to_the_same_bits(pair: Path) -> None:
    first, _ = told(pair)
    assert first["killed"] == first["whole"][2:]
    whole, killed = state(pair, "whole"), state(pair, "killed")
    assert killed["step"] == 6
    for part in ("network", "ema"):
        for key, value in whole[part].items():
            assert torch.equal(killed[part][key], value), key


def test_without_a_launcher_one_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join("cpu") as processes:
        assert processes == ALONE
        assert (processes.count, processes.rank, processes.first, processes.share(7)) == (
            1,
            0,
            True,
            7,
        )


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_a_device_that_cannot_be_used_is_told(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ConfigError, match=f"device '{device}' cannot be used here"), join(device):
        pass


def test_several_processes_without_accelerate_are_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with (
        pytest.raises(MissingExtraError, match=r"accelerate.*pip install 'noisewalk\[train\]'"),
        join("cpu"),
    ):
        pass


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("cuda:1", "one device each.*cpu or cuda, got 'cuda:1'"),
        ("cuda", "2 processes were started for 0 GPUs"),
    ],
)
def test_several_processes_want_a_gpu_each(
    device: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("accelerate")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match=says), join(device):
        pass
