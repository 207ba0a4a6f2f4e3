"""The functions that the page's widgets call."""

from dataclasses import fields

import pytest

from noisewalk.app import choices as of
from noisewalk.app.choices import Choices
from noisewalk.app.page import AFRESH, FIELDS, OWN, Page, choices_from, priors_here
from noisewalk.errors import ConfigError

USUAL = {
    "source": "Sandal", "upload": None, "kind": of.CLEAN, "prior": "fashion32",
    "problem": of.BLUR, "std": 1.5, "factor": 4, "sigma_y": 12, "effort": of.QUICK, "seed": 0,
    "mask": "", "fit": "resize", "low": None, "high": None, "label": None, "missing": "",
    "bands": "", "part": "",
}  # fmt: skip


def values(**changes):
    return tuple((USUAL | changes)[name] for name in FIELDS)


@pytest.fixture
def page(root):
    return Page(root, ["fashion32"], "cpu")


def test_the_fields_are_those_of_the_choices():
    own = {field.name for field in fields(Choices)} - {"file", "device"}
    assert set(FIELDS) - {"source", "upload"} == own
    assert set(AFRESH) < set(FIELDS)


def test_only_priors_with_weights_are_offered_and_those_given_come_first():
    found = priors_here(("own.py:make",))
    assert found[0] == "own.py:make"
    assert {"fashion32", "satellite64"} <= set(found)
    assert not any("/" in name for name in found[1:])


def test_the_page_shows_the_measurement_or_a_sentence(page):
    html, command = page.measurement(*values())
    assert "<img" in html
    assert command.startswith("noisewalk sample sandal.png")
    painting = values(problem=of.PAINT)
    canvas, mask, html, command = page.canvas(*painting)
    assert "<canvas" in canvas
    assert "Paint the region" in html
    assert (mask, command) == ("", "")
    for changes in ({"sigma_y": None}, {"prior": "/etc"}, {"source": OWN}, {"mask": "3x3:%"}):
        assert 'role="alert"' in page.measurement(*values(**changes))[0]
        assert 'role="alert"' in page.begin("a", *values(**changes))
    assert "image" not in page.canvas(*values(source=OWN))[0]


def test_a_file_that_was_not_uploaded_here_is_refused(root):
    for path in ("/etc/passwd", str(root / "uploads" / ".." / "x.png")):
        with pytest.raises(ConfigError, match="not uploaded here"):
            choices_from(root, "cpu", USUAL | {"source": OWN, "upload": path})
    own = str(root / "uploads" / "y.npy")
    assert choices_from(root, "cpu", USUAL | {"source": OWN, "upload": own}).file.name == "y.npy"


def test_sample_and_cancel_answer_with_a_sentence(page):
    assert page.begin("a", *values()) == "Waiting for its turn."
    assert page.cancel("a").startswith("Cancelled")
    assert page.cancel("a") == "Nothing is running."
