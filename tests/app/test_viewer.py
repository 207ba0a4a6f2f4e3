"""The viewer holds the draws, the mean, the uncertainty and the verdict."""

import base64
import io
import re

import numpy as np
from PIL import Image
from tiny_runs import store_tiny_run

from noisewalk.app.viewer import MOST_DRAWS, stack, verdict_html, view_of


def pictures(html):
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


def test_a_run_is_seen_with_a_verdict(tmp_path, preview):
    view = view_of(store_tiny_run(tmp_path / "run"), preview)
    assert view.num_draws == 6
    assert "nw-verdict" in view.verdict
    assert "6 draws so far" in view.verdict
    assert 'data-count="6" data-width="4" data-height="4"' in view.html
    assert pictures(view.html)[0].shape == (24, 4)


def test_the_stack_keeps_the_order_the_values_and_the_unit(preview):
    draws = np.linspace(-1, 1, 5)[:, None, None, None] * np.ones((1, 1, 4, 4))
    html = stack(draws, draws[2], draws[0] * 0 + 0.1, preview, 10.0, 5.0, "K<")
    sheet = pictures(html)[0]
    assert sheet[::4, 0].tolist() == [0, 64, 128, 191, 255]
    assert 'data-black="5" data-white="15" data-unit="K&lt;"' in html
    assert html.count("nw-hold") == 3


def test_many_draws_are_thinned_and_large_images_more_so(preview):
    for side, most in ((4, MOST_DRAWS), (256, 12)):
        draws = np.zeros((200, 1, side, side), dtype=np.float32)
        html = stack(draws, draws[0], draws[0], preview)
        assert f'data-count="{most}"' in html


def test_a_verdict_that_does_not_trust_says_what_to_do():
    told = {"verdict": "check", "verdict_cause": "short", "verdict_reason": "A. --chains 16 helps."}
    assert "nw-warn" in verdict_html(told, 0, "Do this & that.")
    assert "Do this &amp; that." in verdict_html(told, 0, "Do this & that.")
    assert "Do this" not in verdict_html({"verdict": "trust"}, 0, "Do this.")
