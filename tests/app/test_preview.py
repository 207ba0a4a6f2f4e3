"""The preview shows the measurement that the command would restore."""

import base64
from dataclasses import replace

import numpy as np
import pytest
from tiny_runs import half

from noisewalk.app import choices as of
from noisewalk.app.preview import canvas_of, mask_from, picture_of, preview_of
from noisewalk.errors import ConfigError


def test_every_problem_has_a_measurement_and_a_command(boot, root):
    seen = set()
    for problem in of.PROBLEMS:
        found = preview_of(replace(boot, problem=problem, mask=half()), root)
        assert found.size == (32, 32)
        assert found.command.startswith("noisewalk sample ankle-boot.png --prior fashion32")
        assert found.y in picture_of(found)
        assert found.truth
        seen.add(found.y)
    assert len(seen) == len(of.PROBLEMS)
    assert not list(root.glob("tmp*"))


def test_a_measurement_of_ones_own_is_shown_without_a_truth(boot, root):
    np.save(root / "y.npy", np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8))
    chosen = replace(
        boot, file=root / "y.npy", kind=of.MEASURED, problem=of.DOWNSAMPLE, sigma_y=0.1
    )
    found = preview_of(chosen, root)
    assert found.truth is None
    assert found.size == (32, 32)
    assert 'data-width="8"' not in canvas_of(replace(boot, problem=of.PAINT), root)


def test_a_malformed_file_gives_a_sentence_without_the_folders_of_the_machine(boot, root):
    bad = root / "uploads" / "bad.png"
    bad.write_bytes(b"\x89PNG nothing")
    with pytest.raises(ConfigError, match=r"^bad\.png cannot be read as \.png") as caught:
        preview_of(replace(boot, file=bad), root)
    assert str(root) not in str(caught.value)


def test_the_canvas_has_the_size_of_the_image(boot, root):
    html = canvas_of(replace(boot, problem=of.PAINT), root)
    assert 'data-width="32" data-height="32"' in html
    assert "aria-label" in html


def test_a_painted_mask_comes_back_and_a_damaged_one_is_refused():
    mask = half((5, 7))
    bits = base64.b64encode(np.packbits(mask).tobytes()).decode()
    assert (mask_from(bits, "7x5") == mask).all()
    assert mask_from("", "") is None
    for bits_, size in ((bits, "700x500"), ("%", "7x5"), (bits, "7"), (bits, "0x5")):
        with pytest.raises(ConfigError, match="damaged"):
            mask_from(bits_, size)
