"""The page in a real browser: what it shows equals what was fed in."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import axe_core_python
import cv2
import pytest

from people.crowd import Crowd
from people.zones import Layout
from program.cameras import Camera
from program.layouts import Draughtsman
from structures import FrameResult, Gender, SourceState
from tests.chromium import Page, browser, chromium_or_skip
from tests.walks import DOOR, HALL
from tests.web_parts import frames, person, result, served, write
from web.controls import Controls
from web.streaming import webrtc_is_available
from web.view import WebView

pytestmark = pytest.mark.browser

TOKEN = "a secret of the test"
SIZES = {"desk": (1400, 900), "tablet": (768, 1024), "phone": (390, 844)}
READY = "document.querySelectorAll('#rows tr').length > 0"
ROWS = "[...document.querySelectorAll('#rows tr')].map(r => [...r.cells].map(c => c.innerText))"
SHIFT = """new Promise((resolve) => {
    let shift = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
    setTimeout(() => resolve(shift), 1500);
})"""
# The contrast of every element's own text with what lies behind it, as WCAG 2 defines it.
CONTRAST = """(() => {
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b]
        .map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] > 0.8) return colour;
        }
        return [255, 255, 255];
    };
    const poor = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !element.checkVisibility() || element.closest("script, noscript")) continue;
        const style = getComputedStyle(element);
        const ink = element.closest("svg") ? style.fill : style.color;
        const [a, b] = [light(parse(ink)), light(behind(element))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) poor.push(`${element.tagName} ${element.textContent} ${ratio.toFixed(2)}`);
    }
    return poor;
})()"""


@pytest.fixture(autouse=True)
def _chromium() -> None:
    chromium_or_skip()


def shown(
    view: WebView,
    page_work: Callable[[Page], Awaitable[None]],
    folder: Path,
    url: str | None = None,
    size: str = "desk",
    dark: bool = False,
    make: Callable[..., FrameResult] | None = None,
) -> None:
    """Write frames until `page_work(page)` has done its part in a browser."""

    async def go() -> None:
        stop = asyncio.Event()
        writing = asyncio.ensure_future(frames(view, stop, make=make or result))
        try:
            async with browser(folder) as page:
                await page.open(url or view.url, SIZES[size], dark)
                await page_work(page)
                assert page.complaints == []
        finally:
            stop.set()
            await writing

    asyncio.run(go())


def crowd(index: int, arrived_s: float | None = None, **more: Any) -> FrameResult:
    people = {i: person(34.0) for i in (1, 2, 3)} | {4: person(61.0, Gender.MALE), 5: None}
    return result(index, people, fps=24.94, dropped=3, **more)


def with_shapes(*cameras: str) -> dict[str, Any]:
    """What `served` needs for a page of cameras with lines and zones, which can draw more."""
    people = Crowd()
    for camera in cameras:
        people.lay_out(camera, Layout((DOOR, HALL)))
    named = [Camera(camera or "0", "0", is_named=bool(camera)) for camera in cameras]
    drawer = Draughtsman(people, named, None, lambda _: None)
    return {"crowd": people, "controls": Controls(people, drawer=drawer)}


def text(selector: str) -> str:
    return f"document.querySelector({selector!r}).textContent"


def test_the_figures_on_the_page_are_those_fed_in(tmp_path: Path) -> None:
    async def work(page: Page) -> None:
        await page.until(READY)
        tiles = [await page.value(text(f"#{name}")) for name in ("now", "today", "fps", "dropped")]
        assert tiles == ["5", "5", "24.9", "3"]
        assert await page.value(text("#state")) == "live"
        bars = await page.value(
            "[...document.querySelectorAll('#groups rect')].map(b => ({...b.dataset}))"
        )
        assert bars == [
            {"band": "30-39", "gender": "female", "people": "3"},
            {"band": "60-69", "gender": "male", "people": "1"},
        ]
        rows = await page.value(ROWS)
        assert sorted(row[:3] for row in rows) == [
            ["#1", "34 ± 4", "female"], ["#2", "34 ± 4", "female"], ["#3", "34 ± 4", "female"],
            ["#4", "61 ± 4", "male"], ["#5", "–", "–"],
        ]  # fmt: skip
        await page.until("document.querySelector('.screen canvas').width === 64")

    with served(title="film.mp4") as view:
        shown(view, work, tmp_path, make=crowd)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_screen_holds_still_and_can_be_read(
    tmp_path: Path, size: str, dark: bool
) -> None:
    picture = tmp_path / "page.png"

    async def work(page: Page) -> None:
        await page.until(READY)
        assert await page.value(SHIFT) == 0
        wide = "document.documentElement.scrollWidth - innerWidth"
        assert await page.value(wide) <= 0
        inner = "(() => { const s = document.querySelector('.scroll'); "
        assert await page.value(inner + "return s.scrollWidth - s.clientWidth; })()") <= 0
        assert await page.value(CONTRAST) == []
        await page.screenshot(picture)

    with served(title="film.mp4", **with_shapes("")) as view:
        write(view, crowd(0))
        shown(view, work, tmp_path / "profile", size=size, dark=dark, make=crowd)
    image = cv2.imread(str(picture))
    assert image is not None and image.shape[:2] == SIZES[size][::-1]
    assert (float(image[2, 2].mean()) < 100) == dark


AXE = Path(axe_core_python.__file__).with_name("axe.min.js")
FAULTS = """axe.run().then((told) => told.violations.flatMap(
    (fault) => fault.nodes.map((node) => `${fault.id}: ${node.target}`)))"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_fault(tmp_path: Path, size: str, dark: bool) -> None:
    async def work(page: Page) -> None:
        await page.until(READY)
        await page.value("document.querySelectorAll('details').forEach((d) => d.open = true)")
        await page.value("document.querySelector('figcaption button[title^=Draw]').click()")
        await page.value(f"{AXE.read_text('utf-8')}; null")
        assert await page.value(FAULTS) == []

    def make(index: int, **more: Any) -> FrameResult:
        return crowd(index, **({"camera": f"camera {index % 3}"} | more))

    with served(**with_shapes("camera 0", "camera 1", "camera 2")) as view:
        shown(view, work, tmp_path, size=size, dark=dark, make=make)


def test_everything_to_be_used_has_a_name(tmp_path: Path) -> None:
    unnamed = """[...document.querySelectorAll("a, button, input, img, video, svg, [role=region]")]
        .filter((e) => !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby")
            || e.hasAttribute("alt") || e.getAttribute("aria-hidden") || e.textContent.trim()
            || e.labels?.length)).map((e) => e.outerHTML)"""

    async def work(page: Page) -> None:
        await page.until(READY)
        assert await page.value(unnamed) == []

    with served() as view:
        shown(view, work, tmp_path, make=crowd)


def test_a_frozen_source_leaves_the_page_responsive_and_says_so(tmp_path: Path) -> None:
    async def go() -> None:
        async with browser(tmp_path) as page:
            await page.open(view.url)
            stalled = crowd(0, state=SourceState.STALLED, detail="nothing for 3 s")
            async with asyncio.timeout(30):
                while not await page.value("document.querySelector('.veil')?.innerText"):
                    view.refresh(stalled.frame.image, stalled)
            assert await page.value(text("#state")) == "stalled"
            assert await page.value(text(".veil")) == "stalled: nothing for 3 s"
            assert await page.value(text("#now")) == "–"
            await page.value("document.querySelector('input[value=day]').click()")
            assert await page.value(text("#timeline")) != ""

    with served() as view:
        write(view, crowd(0))
        asyncio.run(go())


def test_with_the_token_in_the_address_the_page_works_and_hides_it(tmp_path: Path) -> None:
    async def work(page: Page) -> None:
        await page.until(READY)
        assert await page.value("location.search") == ""
        await page.until("document.querySelector('.screen canvas').width === 64")
        await page.call("Page.navigate", url=view.url)
        await page.until(READY)

    with served(token=TOKEN) as view:
        url = f"{view.url}?token={TOKEN.replace(' ', '+')}"
        shown(view, work, tmp_path, url, make=crowd)


def test_the_form_lets_in_who_types_the_token(tmp_path: Path) -> None:
    async def work(page: Page) -> None:
        await page.until("document.querySelector('#token') !== null")
        await page.value(f"document.querySelector('#token').value = {TOKEN!r}")
        await page.value("document.querySelector('button').click()")
        await page.until(READY)
        page.complaints.clear()  # the browser notes the answer 401

    with served(token=TOKEN) as view:
        shown(view, work, tmp_path, make=crowd)


@pytest.mark.parametrize("cameras", [2, 6])
def test_several_cameras_stand_side_by_side(tmp_path: Path, cameras: int) -> None:
    def make(index: int, **more: Any) -> FrameResult:
        return crowd(index, camera=f"camera {index % cameras}", **more)

    async def work(page: Page) -> None:
        await page.until(f"document.querySelectorAll('.camera').length === {cameras}")
        all_there = "[...document.querySelectorAll('.screen canvas')].every(i => i.width === 64)"
        await page.until(all_there)
        assert await page.value(text("#now")) == str(5 * cameras)

    with served() as view:
        shown(view, work, tmp_path, make=make)


LABELS = "[...document.querySelectorAll('.face span:not([hidden])')].map(s => s.textContent)"


def test_the_page_draws_the_labels_as_it_is_told(tmp_path: Path) -> None:
    def make(index: int, **more: Any) -> FrameResult:
        return result(index, {1: person(34.0), 2: person(61.0, Gender.MALE)}, missed=[2], **more)

    async def work(page: Page) -> None:
        await page.until(f"{LABELS}.length === 1")
        assert await page.value(LABELS) == ["#1 female 34"]  # who is missed has no label
        await page.value("document.querySelector('input[value=full]').click()")
        assert await page.value(LABELS) == ["#1 female 34 ±4"]
        assert await page.value("document.querySelectorAll('.face.missed').length") == 1
        await page.value("document.querySelector('input[value=short]').click()")
        assert await page.value(LABELS) == ["F 34"]
        await page.value("document.querySelector('input[value=none]').click()")
        assert await page.value(LABELS) == []  # boxes only
        assert await page.value("document.querySelectorAll('.face').length") == 2

    with served() as view:
        shown(view, work, tmp_path, make=make)


def test_a_camera_is_enlarged_by_a_click_and_escape_undoes_it(tmp_path: Path) -> None:
    wide = "[...document.querySelectorAll('.camera')].map(c => Math.round(c.clientWidth))"

    async def work(page: Page) -> None:
        await page.until("document.querySelectorAll('.camera').length === 4")
        before = await page.value(wide)
        await page.value("document.querySelectorAll('.screen')[2].click()")
        after = await page.value(wide)
        assert after[2] > 1.8 * before[2]
        assert after[0] == after[1] == after[3]
        await page.value("dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))")
        assert await page.value(wide) == before

    def make(index: int, **more: Any) -> FrameResult:
        return result(index, {1: person()}, f"camera {index % 4}", **more)

    with served() as view:
        shown(view, work, tmp_path, make=make)


def test_the_settings_reach_the_program(tmp_path: Path) -> None:
    async def work(page: Page) -> None:
        await page.until(READY)
        assert await page.value("document.querySelector('.tile.warn') === null")
        # At once, as the page writes what holds into a field that nobody is typing in.
        await page.value(
            "document.querySelector('#warn').value = 5;"
            "document.querySelector('#warn').dispatchEvent(new Event('change'))"
        )
        await page.until("document.querySelector('.tile.warn #now') !== null")
        assert await page.value("document.querySelector('#hide-label').checkVisibility()") is False

    with served() as view:
        shown(view, work, tmp_path, make=crowd)


def test_an_anonymous_page_has_neither_picture_nor_table(tmp_path: Path) -> None:
    async def work(page: Page) -> None:
        await page.until("document.querySelector('#now')?.textContent === '5'")
        assert await page.value("document.querySelector('.view').checkVisibility()") is False
        assert await page.value("document.querySelector('#people').checkVisibility()") is False
        assert await page.value("document.querySelectorAll('.screen canvas').length") == 0
        assert await page.value(text("#legend")) == "female < 5male < 5unsure < 5"

    crowd_of_a_minute = Crowd(anonymous=True, clock=lambda: 60 * time.monotonic())
    with served(crowd=crowd_of_a_minute) as view:
        shown(view, work, tmp_path, make=crowd)


def test_webrtc_shows_the_picture_and_goes_back_to_jpeg(tmp_path: Path) -> None:
    if not webrtc_is_available():
        pytest.skip("aiortc is not installed, or TensorFlow is in this process")

    def make(index: int, **more: Any) -> FrameResult:
        return result(index, {1: person()}, **more)

    async def work(page: Page) -> None:
        await page.until(READY)
        await page.value("document.querySelector('input[value=webrtc]').click()")
        await page.until("document.querySelector('video')?.videoWidth === 64")
        start = await page.value("document.querySelector('video').currentTime")
        await page.until(f"document.querySelector('video').currentTime > {start}")
        await page.value("document.querySelector('input[value=jpeg]').click()")
        await page.until("document.querySelector('.screen canvas')?.width === 64")
        deadline = time.monotonic() + 20
        while view._board.viewers != 1 and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert view._board.viewers == 1

    with served() as view:
        shown(view, work, tmp_path, make=make)
