import re
from collections import Counter

import numpy as np
import pytest
from page_reader import Page, facts_of

from noisewalk.errors import ConfigError
from noisewalk.report import render

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
VERDICT = {
    "verdict": "do not trust",
    "verdict_cause": "memory",
    "verdict_reason": "The chains remember (correlation 0.6). Run longer chains: --thin 40.",
}


def test_tags_balance_and_ids_are_unique(make):
    for data in (
        make(),
        [make(), make(shape=(3, 8, 6)), make(shape=(5, 8, 6))],
        make(truth=None, acceptance_rate=None, settings=[], samples=np.zeros((3, 0, 1, 8, 8))),
    ):
        page = Page(render(data))
        ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
        assert max(ids.values()) == 1
        assert len(page.all("title")) == len(page.all("h1")) == len(page.all("main")) == 1


def test_no_other_host_is_asked_for_anything(make):
    html = render([make(notes=["read"], files=["mean.npy"]), make(residual=np.zeros((1, 8, 8)))])
    for _, attributes in Page(html).elements:
        for name in FETCHING & attributes.keys():
            assert attributes[name].startswith(("data:image/png;base64,", "#", "mean.npy"))
    assert not re.search(
        r"https?:|//[a-z]|@import|url\(|fetch\(|XMLHttpRequest|import\(",
        re.sub(r"[A-Za-z0-9+/=]{60,}", "", html),
    )


def test_links_lead_to_anchors_of_the_page(make):
    page = Page(render([make(), make()]))
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    targets = {a["href"].removeprefix("#") for a in page.all("a")}
    assert {"image-1", "image-2"} == targets
    assert {"image-1", "image-2", "image-1-r_hat_max"} <= ids
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
    hostile = make(
        title=HOSTILE,
        label=HOSTILE,
        how=HOSTILE,
        bands=[HOSTILE],
        files=[HOSTILE],
        notes=[HOSTILE],
        settings=[
            (HOSTILE, [(HOSTILE, HOSTILE), ("command", HOSTILE), ("nested", {HOSTILE: HOSTILE})])
        ],
        summary={HOSTILE: HOSTILE, "verdict": HOSTILE, "verdict_reason": HOSTILE},
        value_range=(0.0, 1.0, HOSTILE),
    )
    html = render(hostile)
    page, plain = Page(html), Page(render(make()))
    assert len(page.all("script")) == len(plain.all("script"))
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert page.text.count(HOSTILE) >= 9
    facts = facts_of(html)
    assert facts["unit"] == HOSTILE
    assert facts["bands"] == [HOSTILE]


def test_what_is_missing_is_not_a_row_but_for_r_hat_and_ess(make):
    summary = {"r_hat_max": float("nan"), "chi2": None, "nfe": None, "extra": None, "psnr": None}
    page = Page(render(make(summary=summary, truth=None, draws=7)))
    for gone in ("truth is not known", "Not counted", "Not given", "PSNR", "χ²", "extra", "nan"):
        assert gone not in page.text
    assert page.text.count("Needs at least 20 draws in each chain. Here each has 7.") == 3
    assert "–" in page.text


def test_no_cell_is_empty(make):
    for data in (make(), make(truth=None, summary=VERDICT | {"likelihood": "gaussian"})):
        assert not re.search(r"<t[dh][^>]*>\s*</t[dh]>", render(data))


def test_the_page_answers_in_the_order_in_which_a_person_asks(make):
    html = render(make(summary=VERDICT | {"r_hat_max": 1.9}, notes=["A note"]))
    order = (
        "<h1>Do not use the uncertainty map: the chains still remember where they started.</h1>",
        "run longer chains: <code>--thin</code> 40.",
        "Measurement</figcaption>",
        "Mean</figcaption>",
        "Uncertainty</figcaption>",
        "Draw 3</figcaption>",
        "A note",
        "correlation 0.6",
        "R-hat</th>",
        "Settings</h2>",
    )
    places = [html.index(text) for text in order]
    assert places == sorted(places)


def test_there_is_no_jargon_before_the_first_picture(make):
    html = render(make(summary=VERDICT | {"r_hat_max": 1.9}))
    before = Page(html[: html.index("</section>") + 10] + "</article></main></body></html>").text
    for word in ("R-hat", "ESS", "χ²", "PSNR", "NFE", "correlation", "acceptance"):
        assert word not in before


def test_the_page_of_several_images_says_how_many_may_be_used(make):
    good = {"verdict": "trust", "verdict_reason": "The chains agree.", "verdict_cause": "settled"}
    page = Page(render([make(summary=good), make(summary=VERDICT)]))
    assert "You may use the uncertainty maps of 1 of these 2 images." in page.text
    assert page.all("header")[1]["class"] == "top verdict good"
    assert page.all("header")[2]["class"] == "top verdict bad"


def test_every_picture_has_an_alternative_text_or_is_decoration(make):
    for img in Page(render([make(), make()])).all("img"):
        assert img["alt"] or (img["width"], img["height"]) in {("256", "1"), ("64", "64")}


def test_every_control_has_a_name(make):
    page = render(make())
    for tag in re.findall(r"<input[^>]*>", page):
        assert "aria-label" in tag or f"<label>Black {tag}" in page or "<label>" in page
    assert all(
        attributes["aria-label"] or attributes["aria-labelledby"]
        for _, attributes in Page(page).elements
        if attributes.get("role") in ("application", "group", "tablist")
    )


def test_rendering_is_pure_and_deterministic(make):
    data = make()
    before = data.mean.copy()
    assert render(data) == render(data)
    np.testing.assert_array_equal(data.mean, before)


def test_no_image_is_an_error():
    with pytest.raises(ConfigError, match="no images"):
        render([])


def test_a_page_is_small_however_many_draws_there_are(make):
    """Noise, which does not compress: 25 draws of 256 x 256 pixels in colour."""
    data = make((3, 256, 256), chains=5, draws=5, shown=5)
    assert len(render(data)) < 5e6
    some, more = (len(render(make(chains=8, draws=n, shown=n // 100))) for n in (1000, 4000))
    assert abs(more - some) < 0.1 * some
