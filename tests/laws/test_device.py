"""Law: device, type and compiler change the speed, and the numbers by rounding alone.

Needs a GPU: pytest -m gpu tests/laws/test_device.py
"""

import copy

import pytest
import torch

import noisewalk as nw

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch.cuda finds no GPU here"),
]
HALVES = (torch.float16, torch.bfloat16)


def target_of(**settings: object) -> nw.NoisePosterior:
    """A posterior on the CPU in float32, but for the network's settings."""
    prior = nw.load_prior("fashion32", **settings)  # type: ignore[arg-type]
    device = settings.get("device", "cpu")
    y = torch.zeros(1, 1, 8, 8, device=device)  # type: ignore[call-overload]
    return nw.NoisePosterior(
        prior.map(), nw.operators.AveragePool(4), nw.likelihoods.Gaussian(0.3), y
    )


@pytest.fixture(scope="module")
def reference() -> tuple[torch.Tensor, nw.types.State]:
    z = nw.noise.rows(1, 2).normal((1, 32, 32), nw.noise.INIT)
    return z, target_of()(z)


def check(state: nw.types.State, wanted: nw.types.State, tolerance: float) -> None:
    assert {part.device.type for part in state} == {"cuda"}
    assert (state.x.dtype, state.grad.dtype, state.nll.dtype) == (
        torch.float32,
        torch.float32,
        torch.float64,
    )
    for name in ("x", "grad"):
        found, right = getattr(state, name).cpu(), getattr(wanted, name)
        assert float((found - right).norm() / right.norm()) < tolerance, name


def test_a_loaded_and_a_moved_posterior_agree_with_the_cpu(reference) -> None:
    z, wanted = reference
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        check(target_of(device="cuda")(z.cuda()), wanted, 1e-3)
        moved = target_of().to("cuda")
        check(moved(z.cuda()), wanted, 1e-3)
        double = target_of().to("cuda", torch.float64)(z.cuda().double())
    assert float((double.x.cpu() - wanted.x).abs().max()) < 1e-3
    v = torch.ones_like(z, device="cuda")
    assert moved.linearize(z.cuda())[1](v).isfinite().all()


@pytest.mark.parametrize("dtype", HALVES)
def test_a_network_in_half_precision_agrees_to_its_rounding(reference, dtype) -> None:
    z, wanted = reference
    check(target_of(device="cuda", dtype=dtype)(z.cuda()), wanted, 32 * torch.finfo(dtype).eps)


@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_compiled_network_agrees(reference, dtype) -> None:
    z, wanted = reference
    target = target_of(device="cuda", dtype=dtype, compile=True)
    check(target(z.cuda()), wanted, max(1e-2, 32 * torch.finfo(dtype).eps))
    v = torch.ones_like(z, device="cuda")
    assert target.linearize(z.cuda())[1](v).isfinite().all()


def test_sampling_on_the_gpu_ends_on_it() -> None:
    target = target_of(device="cuda", dtype=torch.bfloat16)
    short = {"num_draws": 1, "num_chains": 2, "num_warmup": 2, "thin": 1}
    run = nw.sample(copy.copy(target), **short, warm_start=None, progress=False)
    assert run.draws.isfinite().all()
