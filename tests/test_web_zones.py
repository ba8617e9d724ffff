"""Lines and zones on the page: numbers, and what may be drawn from it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from people.crowd import Crowd
from people.zones import as_text
from program.cameras import Camera
from program.layouts import Draughtsman
from tests.chromium import Page, browser, chromium_or_skip
from tests.walks import DOOR, DOWN, HALL, Place
from tests.web_parts import ask, frames, result, served
from web.controls import Controls

LINE = {"camera": "", "name": "", "points": [[0.1, 0.5], [0.9, 0.5]]}


def drawing(crowd: Crowd) -> Controls:
    """Controls with which lines and zones can be drawn into the only camera."""
    return Controls(crowd, drawer=Draughtsman(crowd, [Camera("0", "0")], None, lambda _: None))


def wish(view: Any, **wishes: Any) -> tuple[int, str]:
    status, _, answer = ask(view, "settings", "POST", data=json.dumps(wishes))
    return status, answer


def test_the_state_has_shapes_and_numbers() -> None:
    place = Place(DOOR, HALL)
    with served(crowd=place.crowd) as view:
        place.sinks.append(view)
        place.watch({1: DOWN})
        camera = json.loads(ask(view, "state.json")[2])["cameras"][0]
        assert [shape["kind"] for shape in camera["shapes"]] == ["line", "zone"]
        assert camera["shapes"][0]["points"] == [[0.25, 0.5], [0.75, 0.5]]
        assert (camera["lines"]["door"]["in"], camera["zones"]["hall"]["entered"]) == (1, 1)


def test_lines_are_drawn_and_erased_from_the_page() -> None:
    crowd = Crowd()
    with served(crowd=crowd, controls=drawing(crowd)) as view:
        assert wish(view, draw=LINE)[0] == 200
        assert [as_text(shape) for shape in crowd.layout("").shapes] == ["line1=0.1,0.5,0.9,0.5"]
        assert wish(view, erase={"camera": "", "name": "line1"})[0] == 200
        assert not crowd.layout("").shapes


@pytest.mark.parametrize(
    "wishes",
    [
        {"draw": []},
        {"draw": {}},
        {"draw": LINE | {"points": [[0.1, 0.5]]}},
        {"draw": LINE | {"points": [[0.1, 0.5], [7, 0.5]]}},
        {"draw": LINE | {"points": [[0.1, 0.5], [None, 0.5]]}},
        {"draw": LINE | {"points": [[0.1, 0.5], [0.9, float("nan")]]}},
        {"draw": LINE | {"points": [[i / 999, 0.5] for i in range(999)]}},
        {"draw": LINE | {"points": "ab"}},
        {"draw": LINE | {"points": [[10**400, 0.5], [0.9, 0.5]]}},
        {"draw": LINE, "erase": {"camera": "", "name": "gone"}},
        {"draw": LINE | {"name": "<b>"}},
        {"draw": LINE | {"name": 3}},
        {"draw": LINE | {"camera": "yard"}},
        {"draw": LINE | {"more": 1}},
        {"erase": {"camera": "", "name": "door"}},
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(wishes: dict[str, Any]) -> None:
    crowd = Crowd()
    with served(crowd=crowd, controls=drawing(crowd)) as view:
        status, answer = wish(view, **wishes)
        assert status == 400 and answer.strip() and not crowd.layout("").shapes


def test_who_may_not_draw_is_refused() -> None:
    crowd = Crowd()
    with served(crowd=crowd) as view:
        assert wish(view, draw=LINE)[0] == 400 and not crowd.layout("").shapes


def points_at(*places: tuple[float, float]) -> str:
    """A script that taps on the picture at places given in fractions of it."""
    return f"""(() => {{
        const svg = document.querySelector(".shapes"), box = svg.getBoundingClientRect();
        for (const [x, y] of {json.dumps(places)}) {{
            const at = {{ clientX: box.x + x * box.width, clientY: box.y + y * box.height }};
            svg.dispatchEvent(new PointerEvent("pointerup", {{ ...at, bubbles: true }}));
        }}
    }})()"""


@pytest.mark.browser
def test_a_finger_draws_and_what_is_refused_is_told(tmp_path: Path) -> None:
    chromium_or_skip()
    crowd = Crowd()

    async def work(page: Page) -> None:
        pen = "document.querySelector('figcaption button[title^=Draw]')"
        await page.until(f"{pen} !== null && document.querySelector('.screen').clientWidth > 0")
        await page.value(f"{pen}.click()")
        corners = [(0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8)]
        await page.value(points_at(*corners, corners[0]))
        await page.until("document.querySelector('.tools p').textContent.includes('cross')")
        await page.value("[...document.querySelectorAll('.tools button')][2].click()")
        await page.value(f"{pen}.click()")
        await page.value(points_at((0.2, 0.2), (0.8, 0.2), (0.5, 0.8), (0.2, 0.2)))
        await page.until("document.querySelector('#shapes b')?.textContent === 'zone1'")
        assert await page.value("document.querySelector('.tools').hidden")

    async def go(make: Callable[..., Any] = result) -> None:
        stop = asyncio.Event()
        writing = asyncio.ensure_future(frames(view, stop, make=make))
        try:
            async with browser(tmp_path) as page:
                await page.open(view.url, (1000, 700))
                await work(page)
                refused = [each for each in page.complaints if "400" not in each]
                assert refused == []
        finally:
            stop.set()
            await writing

    with served(crowd=crowd, controls=drawing(crowd)) as view:
        asyncio.run(go())
    (zone,) = crowd.layout("").shapes
    assert [pytest.approx(point, abs=0.01) for point in ((0.2, 0.2), (0.8, 0.2), (0.5, 0.8))] == [
        *zone.points
    ]
