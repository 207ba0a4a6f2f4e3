"""What a caller says of weights is checked, and said to be wrong in words."""

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.priors.request import Request, checked_backend, checked_dtype, usable_device


def request(**said: object) -> Request:
    usual = {"label": None, "device": torch.device("cpu"), "dtype": torch.float32, "kind": None}
    more = {"size": None, "head_channels": None, "prompt": None, "compile": False}
    return Request(**{**usual, **more, **said})  # type: ignore[arg-type]


def test_what_a_prior_is_must_not_be_said_otherwise() -> None:
    request(kind="edm", size=32, head_channels=8).check("p", "edm", 32, 8)
    with pytest.raises(ConfigError, match="size of p is 32, got 64: leave size out"):
        request(size=64).check("p", "edm", 32)
    with pytest.raises(ConfigError, match="p has no head_channels, got 8"):
        request(head_channels=8).check("p", "edm", 32)
    with pytest.raises(ConfigError, match="p takes no prompt"):
        request(prompt="").check_prompt("p")


def test_a_network_is_placed_in_its_type() -> None:
    layer = request(dtype=torch.bfloat16).placed(torch.nn.Linear(2, 2))
    assert layer.weight.dtype == torch.bfloat16


def test_device_type_and_backend_are_those_of_torch() -> None:
    assert usable_device("cpu") == torch.device("cpu")
    assert checked_dtype(torch.float16) is torch.float16
    assert (checked_backend(True), checked_backend("aot_eager")) == (True, "aot_eager")
    with pytest.raises(ConfigError, match="device 'nowhere' cannot be used here"):
        usable_device("nowhere")
    with pytest.raises(ConfigError, match="dtype must be a floating-point one"):
        checked_dtype(torch.int8)
    with pytest.raises(ConfigError, match=r"unknown backend 'fast': choose one of .*inductor"):
        checked_backend("fast")
