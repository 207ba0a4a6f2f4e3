"""A posterior in a notebook: its parts escaped, gaps transparent."""

import torch

import noisewalk as nw


class Odd:
    """An operator whose name is markup."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def __repr__(self) -> str:
        return "<b>odd</b>"


def test_a_posterior_shows_its_measurement_and_its_parts() -> None:
    y = torch.zeros(2, 1, 4, 4)
    observed = torch.ones(1, 4, 4, dtype=torch.bool)
    observed[0, 0] = False
    phi = nw.maps.Warp((1, 4, 4), 0.5)
    target = nw.NoisePosterior(phi, Odd(), nw.likelihoods.Gaussian(0.1), y, observed)
    page = target._repr_html_()
    assert page.count("<img") == 1
    assert "24 of 32" in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page
    assert "<b>odd" not in page


def test_a_vector_has_no_picture() -> None:
    phi, y = nw.maps.Affine(torch.eye(2)), torch.zeros(1, 2)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(1.0), y)
    assert "<img" not in target._repr_html_()
