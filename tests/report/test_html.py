import json
import re
from collections import Counter

import numpy as np
import pytest
from page_reader import Page

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


def test_notes_come_before_the_pictures(make):
    html = render(make(notes=["R-hat 1.9: the chains have not mixed"]))
    assert html.index("R-hat 1.9: the chains have not mixed") < html.index("<img")
    assert 'class="notes"' not in render(make())


def test_every_picture_has_an_alternative_text_or_is_decoration(make):
    for img in Page(render([make(), make()])).all("img"):
        assert img["alt"] or (img["width"], img["height"]) in {("256", "1"), ("64", "64")}


def test_rendering_is_pure_and_deterministic(make):
    data = make()
    before = data.mean.copy()
    assert render(data) == render(data)
    np.testing.assert_array_equal(data.mean, before)


def test_no_image_is_an_error():
    with pytest.raises(ConfigError, match="no images"):
        render([])


def test_the_verdict_comes_first_with_its_reason(make):
    summary = {"verdict": "do not trust", "verdict_reason": HOSTILE, "r_hat_max": 1.9, "chi2": 9.0}
    html = render([make(summary=summary), make(summary={"verdict": "trust", "chi2": 9.0})])
    page = Page(html)
    assert len(page.all("p")) > 2
    assert html.index('class="ruling"') < html.index('class="chips"') < html.index('class="panel')
    assert HOSTILE in page.text
    assert html.count('class="ruling"') == 2
    assert 'href="#image-1-r_hat_max"' not in html  # no second voice among the chips
    assert 'href="#image-2-chi2"' not in html
    assert 'href="#image-1-chi2"' in html
