"""The report in a real browser: point at a pixel, click it, move it by the keyboard."""

import sys
from pathlib import Path

import numpy as np
import pytest

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SIDE = 8


@pytest.fixture
def opened(make, tmp_path):
    """The page of a small report, from disk, with the faults and the requests to others."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.is_file():
        reason = f"{CHROMIUM} is not installed (apt-get install chromium)"
        print(f"\nthe report is not tested in a browser: {reason}", file=sys.__stderr__)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    from noisewalk.report.html import render

    data, faults = make(shape=(1, SIDE, SIDE)), []
    (tmp_path / "report.html").write_text(render(data))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: faults.append(asked.url) if is_foreign(asked) else None)
        page.goto((tmp_path / "report.html").as_uri())
        page.wait_for_selector("figure[data-layer=mean] canvas")
        yield page, data
        browser.close()
    assert faults == []


def is_foreign(asked):
    return not asked.url.startswith(("file:", "data:", "blob:"))


def point(page, row, column):
    """Move the mouse to a pixel of the mean."""
    pane = page.locator("figure[data-layer=mean] .pane")
    pane.scroll_into_view_if_needed()
    box = pane.bounding_box()
    x = box["x"] + box["width"] * (column + 0.5) / SIDE
    y = box["y"] + box["height"] * (row + 0.5) / SIDE
    page.mouse.move(x, y)
    return x, y


def number(text):
    return float(text.replace("\u2212", "-").split()[0])


def test_pointing_at_a_pixel_reads_it_and_leaving_puts_it_back(opened):
    page, data = opened
    most = divmod(int(np.asarray(data.std)[0].argmax()), SIDE)
    assert page.locator(".pixel .where").inner_text() == f"Row {most[0]}, column {most[1]}"
    assert page.locator("#readout").is_hidden()
    point(page, 2, 5)
    readout = page.locator("#readout")
    assert readout.is_visible()
    assert "Row 2, column 5" in readout.inner_text()
    assert page.locator(".pixel .where").inner_text() == "Row 2, column 5"
    page.mouse.move(2, 2)
    page.wait_for_selector("#readout", state="hidden")
    assert page.locator(".pixel .where").inner_text() == f"Row {most[0]}, column {most[1]}"


def test_a_click_keeps_the_pixel_and_shows_its_values_and_histogram(opened):
    page, data = opened
    page.mouse.click(*point(page, 6, 1))
    page.mouse.move(2, 2)
    page.wait_for_selector("#readout", state="hidden")
    assert page.locator(".pixel .where").inner_text() == "Row 6, column 1"
    named = dict(
        zip(
            page.locator(".pixel .values dt").all_inner_texts(),
            page.locator(".pixel .values dd").all_inner_texts(),
            strict=True,
        )
    )
    mean = next(text for name, text in named.items() if name.lower().startswith("mean"))
    assert number(mean) == pytest.approx(float(np.asarray(data.mean)[0, 6, 1]), abs=0.01)
    assert page.locator(".histogram svg").count() == 1
    assert page.locator("figure[data-layer=mean] .cross").is_visible()


def test_the_arrow_keys_move_the_pixel_of_the_large_picture(opened):
    page, _ = opened
    page.mouse.click(*point(page, 6, 1))
    page.locator("section.closer .pane").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    assert page.locator(".pixel .where").inner_text() == "Row 5, column 2"


def test_what_the_script_reads_is_not_shown(opened):
    assert '"numDraws"' in opened[0].content()
    assert '"numDraws"' not in opened[0].inner_text("body")
