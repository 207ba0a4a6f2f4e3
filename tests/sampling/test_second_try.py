"""Which chains try once more, and from where."""

import torch

from noisewalk.sampling.second_try import better, far, sources


def test_a_minimum_is_far_by_its_image_and_by_the_larger_of_two_margins():
    f = torch.tensor([10.0, 30.0, 90.0, torch.nan, 10.0, 140.0, 220.0, 60.0]).double()
    found = far(f, torch.tensor([50, 800]))  # 6 sqrt(25) = 30, 0.2 * 50 = 10; 120 and 160
    assert found.tolist() == [[False, False, True, True], [False, False, True, False]]


def test_second_tries_begin_at_all_the_other_chains_in_turn():
    again = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 1, 0]]).bool()
    assert sources(again).tolist() == [1, 4, 1, 5]


def test_the_lower_minimum_stays():
    memory = {"z": torch.ones(3, 2), "f": torch.tensor([1.0, 5.0, 5.0])}
    first = {"z": torch.zeros(3, 2), "f": torch.tensor([2.0, 4.0, torch.nan])}
    assert better({"memory": memory, "first": first})["memory"]["z"][:, 0].tolist() == [1, 0, 1]
    assert better({"memory": memory})["memory"]["z"] is memory["z"]
