"""A compiled network gives the same images, gradients and J v, and is optional."""

import copy
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import noisewalk as nw
from noisewalk._autograd import forward


@pytest.fixture(scope="module")
def folder(unet: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import CMStochasticIterativeScheduler

    place = tmp_path_factory.mktemp("cm")
    unet.save_pretrained(place / "unet")
    CMStochasticIterativeScheduler().save_pretrained(place / "scheduler")
    return place


def check_same(folder: Path, compile: bool | str) -> None:
    """The compiled prior against the plain one."""
    plain, fast = nw.load_prior(folder), nw.load_prior(folder, compile=compile)
    parts = nw.operators.AveragePool(2), nw.likelihoods.Gaussian(0.3), torch.zeros(1, 1, 4, 4)
    target, compiled = (nw.NoisePosterior(p.map(), *parts) for p in (plain, fast))
    z = nw.noise.rows(1, 2).normal((1, 8, 8), nw.noise.INIT)
    wanted, got = target(z), compiled(z)
    torch.testing.assert_close(got.x, wanted.x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got.grad, wanted.grad, rtol=1e-3, atol=1e-3)
    assert compiled.jacobian == "forward"
    v = torch.ones_like(z)
    torch.testing.assert_close(compiled.linearize(z)[1](v), target.linearize(z)[1](v))
    torch.testing.assert_close(compiled.to(dtype=torch.float64)(z.double()).x.float(), wanted.x)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
def test_a_traced_network_is_the_network(folder: Path) -> None:
    check_same(folder, "aot_eager")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++"))), reason="torch.compile needs a C++ compiler"
)
def test_a_compiled_network_is_the_network(folder: Path) -> None:
    check_same(folder, True)


def test_copies_and_jv_are_of_the_network_as_it_is(folder: Path) -> None:
    plain, fast = nw.load_prior(folder), nw.load_prior(folder, compile=True)
    network: Any = fast.denoiser.network  # type: ignore[union-attr]
    assert network._compiled_call_impl is not None
    assert plain.denoiser.network._compiled_call_impl is None  # type: ignore[union-attr]
    for copied in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        assert copied._compiled_call_impl is None  # other processes start with the plain network
    assert repr(plain.map()) == repr(fast.map())  # of one run's facts
    z, v = (nw.noise.rows(k, 1).normal((1, 8, 8), nw.noise.INIT) for k in (0, 1))
    import torch._dynamo  # what the first compiled call does

    assert torch.equal(forward(fast.map(), z, v), forward(plain.map(), z, v))
