"""The page in a real browser: Debian's chromium, driven by Playwright, where both are there."""

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.fast.network import FastNetwork, Widths, constrain, relax
from pipeline.fast.painter import torch_painter
from pipeline.live.page import Page
from pipeline.live.painting import Mix, paint_stream
from pipeline.live.reader import Reader
from pipeline.live.sources import parse_source
from tests.clips import make_clip
from tests.pictures import scene

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install '.[browser]'")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which Debian has as a package")
PATIENCE_MS = 15_000


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A page on which a clip plays; what differs between frames is a bright bar that moves."""
    frames = []
    for i in range(25):
        frame = np.array(scene(128, 72, seed=3))
        frame[:, 5 * i : 5 * i + 5] = 255
        frames.append(frame)
    clip = make_clip(tmp_path / "clip.mp4", frames)
    network = relax(constrain(FastNetwork(Widths(fine=4, coarse=6, blocks=1), ("dots", "great-waves"))))
    painter, previewer = (torch_painter(network, torch.device("cpu")) for _ in range(2))
    mix, stop = Mix({"dots": 1.0}, 1.0), threading.Event()
    with (
        Page("127.0.0.1", 0, "clip.mp4", previewer, mix) as page,
        Reader(parse_source(str(clip)), again=True) as reader,
    ):
        painting = threading.Thread(
            target=paint_stream, args=(reader.newest(), painter, lambda: page.mix, None, page, stop)
        )
        painting.start()
        yield page
        stop.set()
        painting.join()


@pytest.fixture
def tab(page: Page) -> Iterator[Any]:
    """A browser that looks at the page and has nothing to complain of."""
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.on("console", lambda message: complaints.extend([message.text] if message.type == "error" else []))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.set_default_timeout(PATIENCE_MS)
        tab.goto(page.address)
        tab.get_by_text("Live", exact=True).wait_for()
        yield tab
        browser.close()
    assert not complaints


def pixels(tab: Any) -> "np.ndarray[Any, Any]":
    """What the canvas shows, (H, W, 4)."""
    values = tab.evaluate(
        "() => { const c = document.querySelector('canvas');"
        " return [c.width, c.height, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }"
    )
    width, height, *levels = values
    return np.array(levels, np.uint8).reshape(height, width, 4)


def test_the_picture_moves_and_is_compared_with_the_keyboard(tab: Any) -> None:
    painted = pixels(tab)
    assert painted.shape == (72, 128, 4)
    tab.wait_for_timeout(200)
    assert not np.array_equal(painted, pixels(tab))
    slider = tab.get_by_label("How much of the picture is shown as it is")
    slider.focus()
    tab.keyboard.press("End")
    playwright.expect(slider).to_have_value("100")
    reference = np.asarray(scene(128, 72, seed=3), float)
    difference = np.median(np.abs(pixels(tab)[..., :3] - reference))
    assert difference < 12
    assert np.median(np.abs(painted[..., :3] - reference)) > difference


def test_styles_are_picked_mixed_and_weakened(tab: Any, page: Page) -> None:
    tab.get_by_role("button", name="Great waves").click()
    playwright.expect(tab.locator("#styles [aria-pressed=true]")).to_have_text("Great waves")
    tab.get_by_label("Dots").fill("50")
    tab.get_by_label("Of the painting over the picture").fill("40")
    for _ in range(100):
        if page.mix == Mix({"dots": 0.5, "great-waves": 1.0}, 0.4):
            break
        tab.wait_for_timeout(50)
    else:
        pytest.fail(f"{page.mix} is painted")
    playwright.expect(tab.get_by_text("33 %")).to_have_count(1)
    playwright.expect(tab.locator("#styles img")).to_have_count(2)


def test_other_viewers_follow(tab: Any) -> None:
    other = tab.context.browser.new_context().new_page()
    other.goto(tab.url)
    other.get_by_text("Live", exact=True).wait_for()
    tab.get_by_role("button", name="Great waves").click()
    playwright.expect(other.locator("#weight-great-waves")).to_have_value("100")
    tab.get_by_text("Live", exact=True).wait_for()


def test_one_style_has_to_be_left(tab: Any, page: Page) -> None:
    tab.get_by_label("Dots").fill("0")
    tab.get_by_text("One of the styles should be above 0.").wait_for()
    assert page.mix.weights == {"dots": 1.0}


def test_figures_are_told(tab: Any) -> None:
    playwright.expect(tab.locator("#latency")).to_have_text(re.compile("[0-9]+"))
    assert float(tab.locator("#fps").inner_text()) > 0


def test_nothing_sticks_out_on_a_telephone(tab: Any) -> None:
    tab.set_viewport_size({"width": 360, "height": 740})
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
