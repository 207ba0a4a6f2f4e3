"""What a map holds for each image follows the rows of the batch, wherever it is held."""

import pytest
import torch
from torch import Tensor, nn

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.maps.per_image import Labels, for_image, for_rows, labels_of, num_images


class Shifted(nn.Module):
    """x plus the row's label."""

    def __init__(self, label: int | Labels | None) -> None:
        super().__init__()
        self.label = label

    def forward(self, x: Tensor) -> Tensor:
        labels = labels_of(self.label, x)
        return x if labels is None else x + labels[:, None]


def test_rows_are_image_major_until_they_are_said() -> None:
    labels, x = Labels((3, 5)), torch.zeros(4, 1)
    assert labels.of(x).tolist() == [3, 3, 5, 5]
    assert for_rows(labels, torch.tensor([1, 0, 1])).of(x[:3]).tolist() == [5, 3, 5]
    assert labels_of(7, x).tolist() == [7, 7, 7, 7]  # type: ignore[union-attr]
    assert labels_of(None, x) is None
    with pytest.raises(ConfigError, match="label has 2 classes, one per image, and z has 3 rows"):
        labels.of(x[:3])


def test_labels_are_found_inside_maps_and_modules() -> None:
    inner = nw.maps.Generator(Shifted(Labels((3, 5))), (2,), (2,))
    phi = nw.maps.RepresentationError(nw.maps.Latent(inner, nn.Identity(), (2,)), 0.1)
    assert num_images(phi) == 2
    made = for_rows(phi, torch.tensor([1]))(torch.zeros(1, 4))
    assert made.tolist() == [[5.0, 5.0]]
    assert phi(torch.zeros(2, 4)).tolist() == [[3.0, 3.0], [5.0, 5.0]]  # it is as it was


def test_a_map_that_is_alike_for_all_images_stays_the_same_object() -> None:
    phi = nw.maps.Generator(Shifted(4), (2,), (2,))
    assert num_images(phi) is None
    assert for_rows(phi, torch.tensor([0])) is phi


@pytest.mark.parametrize("microbatch", [None, 1, 2, 5])
def test_a_posterior_gives_each_chain_the_label_of_its_image(microbatch: int | None) -> None:
    phi = nw.maps.Generator(Shifted(Labels((3, 5, 8))), (2,), (2,))
    y = torch.zeros(3, 2)
    target = nw.NoisePosterior(phi, lambda x: x, nw.likelihoods.Gaussian(0.5), y, None, microbatch)
    z = torch.zeros(6, 2)
    wanted = [3.0, 3.0, 5.0, 5.0, 8.0, 8.0]
    assert target(z).x[:, 0].tolist() == wanted
    assert target.value(z[3:4], torch.tensor([3]), 6).x[:, 0].tolist() == [5.0]
    assert target.evaluate(z[:2], torch.tensor([2, 0])).x[:, 0].tolist() == [8.0, 3.0]
    mean, jvp, vjp = target.linearize(z)
    assert mean[:, 0].tolist() == wanted
    assert torch.equal(jvp(torch.ones(12, 2)), torch.ones(12, 2))
    assert torch.equal(vjp(torch.ones(6, 2)), torch.ones(6, 2))
    more = target.with_measurements(torch.zeros(6, 2))  # two of each image
    assert more(z).x[:, 0].tolist() == wanted
    assert target.jacobian == "forward"


def test_another_number_of_images_is_refused() -> None:
    phi = nw.maps.Generator(Shifted(Labels((3, 5))), (2,), (2,))
    with pytest.raises(ConfigError, match="a label for each of 2 images, and y has 3"):
        nw.NoisePosterior(phi, lambda x: x, nw.likelihoods.Gaussian(0.5), torch.zeros(3, 2))


def test_the_map_of_one_image_has_its_class_alone() -> None:
    phi = nw.maps.Generator(Shifted(Labels((3, 5))), (2,), (2,))
    alone = for_image(phi, 1)
    z = torch.randn(4, 2)
    assert torch.equal(alone(z[:1]), phi(z[[0, 0]])[1:])
    assert num_images(alone) is None
    assert num_images(phi) == 2
    assert for_image(alone, 0) is alone
