"""What training images show before a training."""

import pytest
import torch
from torch import Tensor

from noisewalk.errors import ConfigError
from noisewalk.priors.train import check_images as module
from noisewalk.priors.train.check_images import check_images


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randint(
        0, 256, (count, 1, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8
    )


def names(x: Tensor, prefix: str = "a") -> list[str]:
    return [f"{prefix}{i}.png" for i in range(len(x))]


def test_many_different_images_need_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images(module.FEW)
    assert check_images(x, names(x), images(50, 1), names(images(50), "b")) == []
    assert len(check_images(x[1:], names(x[1:]))) == 1


def test_few_images_are_told_by_their_number_of_different_ones() -> None:
    x = images(12).repeat(100, 1, 1, 1)
    copies, few = check_images(x, names(x))
    assert few.startswith("12 different images are few")
    assert copies.startswith("1188 of 1200 images are copies")


def test_copies_are_counted_and_the_first_ones_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", 0)
    x = images(10)
    x[7] = x[2]
    (warning,) = check_images(x, names(x))
    assert warning.startswith("1 of 10 images are copies of another one")
    assert "a7.png of a2.png" in warning
    x[4:] = x[0]
    (warning,) = check_images(x, names(x))
    assert "6 of 10" in warning
    assert "a6.png of a0.png; and 3 more" in warning


@pytest.mark.parametrize(("empty", "warned"), [(0, False), (2, False), (8, True)])
def test_a_wide_empty_frame_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, empty: int, warned: bool
) -> None:
    monkeypatch.setattr(module, "FEW", 0)
    x = torch.nn.functional.pad(images(50).repeat(1, 1, 7, 7), [empty] * 4)
    side = 28 + 2 * empty
    expected = (
        f"all images are empty but for 28x28 of their {side}x{side} pixels, and so samples will "
        "be: a smaller --size fits them"
    )
    assert check_images(x, names(x)) == [expected] * warned


def test_one_changed_pixel_is_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", 0)
    x = images(1).repeat(2, 1, 1, 1)
    x[1, 0, 3, 3] ^= 1
    assert check_images(x, names(x)) == []


def test_held_out_images_among_the_training_images_are_refused_with_both_names() -> None:
    x, held_out = images(20), images(5, 1)
    held_out[3] = x[11]
    with pytest.raises(
        ConfigError,
        match=r"^1 of the 5 held-out images are among the training images.*b3\.png is a11\.png$",
    ):
        check_images(x, names(x), held_out, names(held_out, "b"))
    assert (
        len(check_images(x, names(x), held_out[:3], names(held_out[:3], "b"))) == 1
    )  # few; copies within the held-out set are no matter


@pytest.mark.parametrize("count", [1, 5])
def test_images_that_are_all_the_same_are_refused(count: int) -> None:
    x = images(1).repeat(count, 1, 1, 1)
    with pytest.raises(
        ConfigError, match=rf"at least two different images.*got {count}, all the same"
    ):
        check_images(x, names(x))
