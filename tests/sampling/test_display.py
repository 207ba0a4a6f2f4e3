"""A run in a notebook: pictures, verdict and five numbers."""

import torch
from picture_runs import exact

import noisewalk as nw


def test_a_run_shows_pictures_a_verdict_and_five_numbers():
    draws, target, truth = exact()
    run = nw.Run(draws, target, truth, nfe=1234, seconds=5.0)
    page = run._repr_html_()
    assert page.count("data:image/png;base64,") == page.count("<img") == 7
    assert run.summary()["verdict_reason"].split(".")[0] in page
    for part in ("4 x 8", "1,234", "5.0 s", "chi-square", "PSNR of the mean"):
        assert part in page


def test_what_is_not_known_is_a_dash():
    page = nw.Run(torch.zeros(1, 2, 3, 4))._repr_html_()
    assert "<img" not in page
    assert "not counted" in page
    assert "–" in page
    assert "no draws yet" in nw.Run({"x": torch.zeros(1, 2, 0, 4)})._repr_html_()
