import base64
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from noisewalk.errors import ConfigError
from noisewalk.report import render

VOID = {"meta", "link", "img", "input", "br", "hr"}
FETCHING = {
    "src",
    "srcset",
    "href",
    "poster",
    "data",
    "action",
    "formaction",
    "background",
    "xlink:href",
}
HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)> \" ' & http://evil.example"
)


class Page(HTMLParser):
    """Elements, ids, text; fails on a tag that does not close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        if self.open:
            raise ValueError(f"never closed: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise ValueError(f"unexpected </{tag}>")

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def pictures(self) -> dict[str, Image.Image]:
        """By alternative text, decoded."""
        found = {}
        for img in self.all("img"):
            head, _, code = img["src"].partition(",")
            assert head == "data:image/png;base64"
            found[img["alt"]] = Image.open(io.BytesIO(base64.b64decode(code, validate=True)))
        return found


def test_tags_balance_and_ids_are_unique(make):
    for data in (
        make(),
        [make(), make(shape=(3, 8, 6))],
        make(truth=None, acceptance_rate=None, settings=[], samples=np.zeros((3, 0, 1, 8, 8))),
    ):
        page = Page(render(data))
        ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
        assert max(ids.values()) == 1
        assert len(page.all("title")) == len(page.all("h1")) == len(page.all("main")) == 1


def test_nothing_is_fetched(make):
    html = render([make(notes=["read"]), make(residual=np.zeros((1, 8, 8)))])
    for _, attributes in Page(html).elements:
        for name in FETCHING & attributes.keys():
            assert attributes[name].startswith(("data:image/png;base64,", "#"))
    assert not re.search(
        r"https?:|//[a-z]|@import|url\(|fetch\(|XMLHttpRequest|import\(",
        re.sub(r"base64,[A-Za-z0-9+/=]+", "", html),
    )


def test_links_lead_to_anchors_of_the_page(make):
    page = Page(render([make(), make()]))
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    targets = {a["href"].removeprefix("#") for a in page.all("a")}
    assert {"image-1", "image-2", "image-1-r_hat_max"} <= targets <= ids
    assert {
        attributes["aria-labelledby"]
        for _, attributes in page.elements
        if "aria-labelledby" in attributes
    } <= ids


def test_every_number_of_the_summary_is_there_exactly_and_readably(make):
    data = make()
    page = Page(render(data))
    exact = {d["value"] for d in page.all("data")}
    assert {str(value) for value in data.summary.values()} <= exact
    for text in (
        "41287",
        "10.25",
        "31 min 14 s",
        "0.6181",
        "1.012",
        "213.7",
        "0.07317",
        "38.44",
        "1.044",
        "26.32",
        "23.03",
        "0.9135",
        "7.125",
    ):
        assert text in page.text


def test_hostile_text_stays_text(make):
    page = Page(
        render(
            make(
                title=HOSTILE,
                notes=[HOSTILE],
                settings=[
                    (
                        HOSTILE,
                        [(HOSTILE, HOSTILE), ("command", HOSTILE), ("nested", {HOSTILE: HOSTILE})],
                    )
                ],
                summary={HOSTILE: HOSTILE, "chi2": HOSTILE},
                value_range=(0.0, 1.0, HOSTILE),
            )
        )
    )
    plain = Page(render(make()))
    assert len(page.all("script")) == len(plain.all("script"))
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert page.text.count(HOSTILE) >= 10
    unit = next(
        json.loads(s)["unit"]
        for s in re.findall(
            r'class="pixels">(.*?)</script>', render(make(value_range=(0.0, 1.0, HOSTILE)))
        )
    )
    assert unit == HOSTILE


def test_missing_numbers_show_a_dash_and_the_reason(make):
    summary = {
        "r_hat_max": float("nan"),
        "chi2": None,
        "nfe": None,
        "extra": None,
        "other": np.float32("inf"),
    }
    page = Page(render(make(summary=summary, truth=None)))
    assert "nan" not in {d["value"] for d in page.all("data")}
    for reason in (
        "Not a finite number (nan)",
        "Needs a Gaussian likelihood",
        "Not counted.",
        "The truth is not known.",
        "Not given.",
        "(inf)",
    ):
        assert reason in page.text
    assert page.text.count("–") >= 8


def test_pixels_that_are_not_finite_become_transparent(make):
    data = make()
    data.mean[0, 2, 3] = np.nan
    mean = Page(render(data)).pictures()["Mean: 8 × 8 pixels, scale from −1 to 1"]
    alpha = np.asarray(mean)[..., 3]
    assert alpha[2, 3] == 0
    assert (alpha == 0).sum() == 1


def test_traces_that_are_not_finite_are_survived(make):
    nll = make().nll
    nll[0, 5:9], nll[1] = np.nan, np.inf
    page = Page(render(make(nll=nll, acceptance_rate=np.full_like(nll, np.nan))))
    assert "4 draws without a finite misfit" in page.text
    assert "40 draws without a finite misfit" in page.text
    assert "Acceptance: no finite value" in page.text


@pytest.mark.parametrize(
    "shape", [(), (50,), (5, 7), (2, 3, 4, 5), (1, 6, 6), (2, 6, 6), (3, 6, 6), (5, 6, 6)]
)
def test_a_measurement_of_any_shape_is_shown(make, shape):
    y = np.random.default_rng(1).poisson(20, shape).astype(float)
    page = Page(render(make(measurement=y, measurement_unit="counts", residual=np.zeros(shape))))
    assert "Measurement" in page.text
    assert "counts" in page.text
    pictures = [alt for alt in page.pictures() if alt.startswith("Measurement")]
    assert len(pictures) == (len(shape) >= 2)


def test_pictures_have_the_size_and_the_pixels_of_the_arrays(make):
    x = np.linspace(-1, 1, 3 * 8 * 6).reshape(3, 8, 6)
    pictures = Page(
        render(make(shape=(3, 8, 6), truth=x, measurement=np.zeros((3, 4, 3))))
    ).pictures()
    truth = pictures["Truth: 6 × 8 pixels, scale from −1 to 1"]
    np.testing.assert_array_equal(
        np.asarray(truth),
        np.moveaxis(np.rint(np.arange(144) / 143 * 255), 0, -1).reshape(3, 8, 6).transpose(1, 2, 0),
    )
    assert pictures["Measurement: 3 × 4 pixels, scale from −1 to 1"].size == (3, 4)
    assert pictures["Chain 3, draw 2"].size == (6, 8)


def test_unobserved_entries_are_transparent_whatever_they_hold(make):
    observed = np.zeros((1, 8, 8), bool)
    observed[0, :, :3] = True
    y = np.where(observed, 0.0, np.nan)
    page = Page(render(make(measurement=y, observed=observed)))
    alpha = np.asarray(page.pictures()["Measurement: 8 × 8 pixels, scale from −1 to 1"])[..., 3]
    np.testing.assert_array_equal(alpha == 255, observed[0])
    assert "24 of 64 observed" in page.text
    assert "Hatched" in page.text


def test_colour_bars_are_in_the_users_unit(make):
    data = make(std=np.full((1, 8, 8), 0.25), value_range=(180.0, 320.0, "K"))
    pictures = Page(render(data)).pictures()
    assert (
        "Uncertainty: 8 × 8 pixels, scale from 0 to 18 K" in pictures
    )  # 0.25 * 70 K = 17.5 K, rounded up to two digits
    assert "Mean: 8 × 8 pixels, scale from 180 to 320 K" in pictures


def test_values_under_the_pointer_are_the_arrays_to_16_bits(make):
    data = make(value_range=(100.0, 300.0, "mJy"))
    layers = json.loads(re.findall(r'class="pixels">(.*?)</script>', render(data))[0])["layers"]
    for name, wanted in (
        ("mean", 200 + 100 * data.mean),
        ("truth", 200 + 100 * data.truth),
        ("std", 100 * data.std),
        ("measurement", 200 + 100 * data.measurement),
    ):
        layer = layers[name]
        levels = np.frombuffer(base64.b64decode(layer["data"]), "<u2").reshape(layer["shape"])
        np.testing.assert_allclose(
            layer["start"] + layer["step"] * levels, wanted, rtol=0, atol=0.51 * layer["step"]
        )


def test_notes_come_before_the_pictures(make):
    html = render(make(notes=["R-hat 1.9: the chains have not mixed"]))
    assert html.index("R-hat 1.9: the chains have not mixed") < html.index("<img")
    assert 'class="notes"' not in render(make())


def test_every_picture_has_an_alternative_text_or_is_decoration(make):
    for img in Page(render([make(), make()])).all("img"):
        assert img["alt"] or (img["width"], img["height"]) in {("256", "1"), ("64", "64")}


def test_particles_are_one_section_without_traces(make):
    page = Page(render(make(chains=9, draws=1, shown=1)))
    assert "Particle 9" in page.text
    assert "Chain 1" not in page.text
    assert "no trace" in page.text


def test_the_command_is_shown_and_the_settings_are_tables(make):
    page = Page(render(make()))
    assert "noisewalk sample boot.png --seed 0" in page.text
    assert "HMC(step_size=0.5)" in page.text
    assert page.text.count("command") == 0


def test_rendering_is_pure_and_deterministic(make):
    data = make()
    before = data.mean.copy()
    assert render(data) == render(data)
    np.testing.assert_array_equal(data.mean, before)


def test_no_image_is_an_error():
    with pytest.raises(ConfigError, match="no images"):
        render([])
