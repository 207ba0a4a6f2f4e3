"""The page in a real browser: Debian's chromium, headless, driven by Playwright.

NOISEWALK_SCREENSHOTS=1 writes docs/images/app*.png.
"""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from noisewalk.app import choices as of
from noisewalk.app.rooms import rooms
from noisewalk.app.serve import FORBIDDING, launch

CHROMIUM = Path("/usr/bin/chromium")
SHOTS = Path(__file__).parents[2] / "docs/images"
TINY = {"chains": 2, "warm_start": 2, "num_warmup": 2, "thin": 1, "num_draws": 3}
LONG = 120_000  # milliseconds: a busy machine is slow, and nothing is timed
pytestmark = [
    pytest.mark.slow,  # minutes in a browser
    pytest.mark.filterwarnings("ignore"),  # of gradio, starlette and their threads
]


def missing():
    """Why there is no browser; "" where there is one."""
    try:
        import gradio  # noqa: F401
        import playwright.sync_api  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed"
    return "" if CHROMIUM.is_file() else f"{CHROMIUM} is not installed (apt-get install chromium)"


@pytest.fixture(scope="module")
def app():
    """The running page, with its folder."""
    if reason := missing():
        print(f"\nthe page is not tested in a browser: {reason}", file=sys.__stderr__)
        pytest.skip(reason)
    shots = "NOISEWALK_SCREENSHOTS" in os.environ
    with pytest.MonkeyPatch.context() as patch, rooms() as root:
        if not shots:
            patch.setitem(of.SETTINGS, of.QUICK, TINY)
        patch.setitem(of.SETTINGS, of.CAREFUL, TINY | {"num_draws": 5000})
        made = launch(root, None, False, ["fashion32"], "cpu")
        yield made, root
        made.close(verbose=False)


@pytest.fixture(scope="module")
def browser(app):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = {"executable_path": str(CHROMIUM), "args": ["--no-sandbox"]}
        chromium = playwright.chromium.launch(**options)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(app, browser):
    """Opens the page for a new visitor; at the end, no visitor has asked another host for anything
    or met an error of a script."""
    foreign, faults, contexts, address = [], [], [], app[0].local_url

    def open_page(width=1440, scheme="light"):
        size = {"width": width, "height": 1000}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.set_default_timeout(LONG)
        page.on(
            "request",
            lambda r: (
                None if r.url.startswith((address, "data:", "blob:")) else foreign.append(r.url)
            ),
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#nw-measurement img")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert (foreign, faults) == ([], [])


def paint(page):
    """Choose to paint, and paint a stroke."""
    page.get_by_label("A missing region, which I paint").check()
    page.wait_for_selector(".nw-paint[data-ready] canvas")
    page.wait_for_selector("text=Paint the region")
    canvas = page.locator(".nw-paint canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.35, box["y"] + box["height"] * 0.4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.65, steps=4)
    page.mouse.up()
    page.wait_for_selector("#nw-measurement img")


def shown(page, selector=".nw-viewer canvas"):
    """The pixels of a canvas."""
    return page.eval_on_selector(selector, "canvas => canvas.toDataURL()")


def serious(page):
    """What axe-core finds that is serious or worse; skips without it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is missing")
    found = axe.Axe().run(page).response["violations"]
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def test_upload_paint_run_look_and_download(app, visit, tmp_path):
    page = visit()
    pixels = np.linspace(-1, 1, 32, dtype=np.float32)
    np.save(tmp_path / "my ramp.npy", np.maximum.outer(pixels, pixels))
    page.set_input_files("#nw-upload input[type=file]", tmp_path / "my ramp.npy")
    page.wait_for_function("document.querySelector('#nw-command textarea, #nw-measurement img')")
    page.wait_for_function(
        "document.querySelector('input[type=radio][value=\"My own file\"]').checked"
    )
    paint(page)
    page.click("#nw-sample")
    page.wait_for_selector("text=Done.")
    page.wait_for_selector("#nw-files a")
    assert page.locator(".nw-verdict").count() == 1
    assert page.locator(".nw-spread").is_visible()
    first = shown(page)
    page.locator(".nw-slide").press("ArrowRight")
    assert shown(page) != first
    page.locator(".nw-blink").click()
    page.wait_for_function(
        "(seen) => document.querySelector('.nw-name').textContent !== seen",
        arg=page.locator(".nw-name").text_content(),
    )
    page.locator(".nw-blink").click()
    hold = page.locator(".nw-hold[data-name=truth]")
    hold.hover()
    page.mouse.down()
    assert page.locator(".nw-name").text_content() == "The truth"
    page.mouse.up()
    assert "Draw" in page.locator(".nw-name").text_content()
    page.locator(".nw-viewer canvas").click()
    assert "over 6 draws" in page.locator(".nw-pixel").inner_text()
    with page.expect_download() as download:
        page.locator("#nw-files a").first.click()
    assert download.value.path().read_bytes()[:2] == b"PK"
    assert serious(page) == []


def test_cancel_keeps_what_is_there(visit):
    page = visit()
    page.get_by_label("Careful").check()
    page.click("#nw-sample")
    page.wait_for_selector(".nw-viewer")
    page.click("#nw-cancel")
    page.wait_for_selector("text=What was drawn before is kept.")
    assert page.locator(".nw-viewer").count() == 1
    assert page.locator("#nw-files a").count() > 2


def test_a_malformed_file_gives_a_sentence(visit, tmp_path):
    page = visit()
    (tmp_path / "bad.png").write_bytes(b"\x89PNG and nothing more")
    page.set_input_files("#nw-upload input[type=file]", tmp_path / "bad.png")
    page.wait_for_selector("#nw-measurement .nw-error")
    told = page.locator("#nw-measurement .nw-error").inner_text()
    assert told.startswith("Bad.png cannot be read")
    page.click("#nw-sample")
    page.wait_for_selector("#nw-status .nw-error")


def test_two_visitors_wait_for_each_other_and_see_their_own_draws(visit):
    pages = [visit(), visit(width=390, scheme="dark")]
    pages[1].get_by_label("Checked shirt").check()
    pages[1].wait_for_function(
        "document.querySelector('#nw-command textarea')?.value.includes('shirt') ?? true"
    )
    for page in pages:
        page.click("#nw-sample")
    for page in pages:
        page.wait_for_selector("text=Done.")
    assert shown(pages[0]) != shown(pages[1])
    width = pages[1].evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    assert serious(pages[1]) == []


def test_no_file_outside_its_folder_is_served_and_no_other_host_is_allowed(app):
    address = app[0].local_url.rstrip("/")
    for path in ("/etc/passwd", str(Path(__file__)), f"{app[1]}/../etc/passwd"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/gradio_api/file={path}")
        assert refused.value.code in (403, 404)
    with urllib.request.urlopen(address) as answer:
        html = answer.read().decode()
        assert answer.headers["Content-Security-Policy"] == FORBIDDING
    assert "fonts.g" not in html
    assert app[0].share_url is None
    assert address.startswith("http://127.0.0.1:")


@pytest.mark.skipif("NOISEWALK_SCREENSHOTS" not in os.environ, reason="only where it is asked for")
@pytest.mark.parametrize(
    ("name", "width", "scheme", "box"),
    [
        ("app.png", 1440, "light", (130, 0, 1180, 1120)),
        ("app-dark.png", 1440, "dark", (130, 0, 1180, 1120)),
        ("app-phone.png", 390, "light", (0, 0, 390, 2800)),
    ],
)
def test_the_screenshots_of_the_documentation(visit, name, width, scheme, box):
    from PIL import Image

    page, path = visit(width, scheme), SHOTS / name
    page.get_by_label("Sandal").check()
    paint(page)
    page.click("#nw-sample")
    page.wait_for_selector("text=Done.")
    page.locator(".nw-viewer canvas").click()
    clip = dict(zip(("x", "y", "width", "height"), box, strict=True))
    page.screenshot(path=path, clip=clip, full_page=True)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)
