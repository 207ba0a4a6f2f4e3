"""A moved copy has every tensor elsewhere, shares none of its settings, and leaves the original."""

import torch
from torch import nn

from noisewalk._moved import moved

META = torch.device("meta")


class Held:
    """An object of any class."""

    def __init__(self) -> None:
        self.single = torch.ones(2)
        self.again = self.single
        self.complex = torch.ones(2, dtype=torch.complex64)
        self.whole = torch.ones(2, dtype=torch.long)
        self.network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.half = nn.Linear(2, 2).to(torch.bfloat16)
        self.parts = {"a": [torch.ones(1)], "f": len}


def test_types_follow_but_those_of_halves_and_whole_numbers() -> None:
    held = Held()
    new = moved(held, None, torch.float64)
    assert (new.single.dtype, new.complex.dtype) == (torch.float64, torch.complex128)
    assert (new.whole.dtype, new.half.weight.dtype) == (torch.long, torch.bfloat16)
    assert new.parts["a"][0].dtype == new.network[0].weight.dtype == torch.float64
    assert new.network[1].running_mean.dtype == torch.float64
    assert new.single is new.again
    assert (held.single.dtype, held.network[0].weight.dtype) == (torch.float32, torch.float32)
    assert isinstance(new.network[0].weight, nn.Parameter)
    assert moved(new, None, torch.float32).complex.dtype == torch.complex64


def test_a_device_is_that_of_all_tensors() -> None:
    new = moved(Held(), META, None)
    found = [
        new.single,
        new.complex,
        new.whole,
        new.parts["a"][0],
        *new.network.state_dict().values(),
    ]
    assert {tensor.device for tensor in [*found, new.half.weight]} == {META}
    assert new.network[0].weight.dtype == torch.float32


def test_what_need_not_move_is_shared() -> None:
    held = Held()
    new = moved(held, torch.device("cpu"), torch.float32)
    assert new.network[0].weight.data_ptr() == held.network[0].weight.data_ptr()
    assert new.network is not held.network
