"""The answer that brings the frames of all cameras, and what the page may change."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest

from people.crowd import Crowd
from structures import FrameResult
from tests.web_parts import ask, person, result, served, write
from web.controls import Controls
from web.thumbnails import SIDE, Thumbnails
from web.view import WebView

Part = tuple[dict[str, Any], bytes]


async def live_parts(view: WebView, query: str = "") -> AsyncIterator[Part]:
    """The parts of /live: head and JPEG file."""
    async with aiohttp.ClientSession() as session, session.get(f"{view.url}live{query}") as answer:
        while True:
            lengths = struct.unpack(">II", await answer.content.readexactly(8))
            head, file = [await answer.content.readexactly(length) for length in lengths]
            yield json.loads(head), file


def newest(view: WebView, results: list[FrameResult], query: str = "") -> dict[str, Part]:
    """The first part of each camera once all `results` are written."""

    async def go() -> dict[str, Part]:
        for one in results:
            write(view, one)
        found: dict[str, Part] = {}
        async with asyncio.timeout(20):
            async for head, file in live_parts(view, query):
                found[head["camera"]] = head, file
                if len(found) == len({one.camera for one in results}):
                    return found
        raise AssertionError("no parts")

    return asyncio.run(go())


def test_one_answer_brings_all_cameras_with_what_the_page_draws() -> None:
    results = [result(7, {3: person(34.2)}, "door"), result(9, {4: None}, "yard", missed=[4])]
    with served() as view:
        found = newest(view, results)
    head, file = found["door"]
    assert head["index"] == 7
    (face,) = head["faces"]
    assert face["labels"]["full"] == ["#3 female 34 ±4"]
    assert face["labels"]["short"] == ["F 34"]
    width, height = results[0].frame.size_wh
    want = [1 / width, 2 / height, 30 / width, 40 / height]
    assert face["box"] == pytest.approx(want, abs=1e-4)
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert abs(float(image.mean()) - 7) < 1  # without anything drawn into it
    assert found["yard"][0]["faces"][0]["missed"] is True


def test_nothing_is_drawn_for_the_page_alone() -> None:
    async def go(view: WebView) -> bool:
        write(view, result(0))
        parts = live_parts(view)
        await anext(parts)
        wanted = view.wants_picture
        await parts.aclose()  # type: ignore[attr-defined]
        return wanted

    with served() as view:
        assert asyncio.run(go(view)) is False


def test_an_anonymous_page_has_no_live_pictures_and_no_faces() -> None:
    with served(anonymous=True) as view:
        write(view, result(0, {1: person()}))
        assert ask(view, "live")[0] == 404
        assert ask(view, "face.jpg?camera=&id=1")[0] == 404


def test_a_person_has_a_picture_from_the_best_look() -> None:
    with served() as view:
        write(view, result(40, {1: person()}))
        (row,) = json.loads(ask(view, "state.json")[2])["people"]
        assert row["face"] == 1
        status, headers, _ = ask(view, "face.jpg?camera=&id=1")
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        for wrong in ("id=2", "id=x", "camera=door&id=1", f"id={10**20}", ""):
            assert ask(view, f"face.jpg?{wrong}")[0] == 404


def test_pictures_of_people_are_few_and_gone_once_faces_are_hidden() -> None:
    faces = Thumbnails(most=2)
    for track_id in (1, 2, 3):
        faces.note(result(0, {track_id: person()}))
    assert [faces.turn("", track_id) for track_id in (1, 2, 3)] == [0, 1, 1]
    image = faces.get("", 3)
    assert image is not None
    assert image.shape == (SIDE, SIDE, 3)
    faces.note(result(1, {}, hidden=True))  # nobody is there
    assert faces.get("", 3) is None
    faces.note(result(2, {3: person()}))
    assert faces.turn("", 3) == 1


def test_a_camera_that_hides_faces_takes_none_from_the_others() -> None:
    faces = Thumbnails(most=9)
    for camera in ("door", "yard"):
        faces.note(result(0, {1: person()}, camera))
    faces.note(result(1, {1: person()}, "yard", hidden=True))
    assert faces.turn("door", 1) == 1
    assert faces.turn("yard", 1) == 0


def test_hiding_faces_takes_their_pictures_back_at_once() -> None:
    crowd = Crowd()
    with served(crowd=crowd, controls=Controls(crowd, hide=lambda _: None)) as view:
        write(view, result(0, {1: person()}))
        assert ask(view, "face.jpg?camera=&id=1")[0] == 200
        assert posted(view, '{"warn_from": 3}')[0] == 200
        assert ask(view, "face.jpg?camera=&id=1")[0] == 200
        status, text = posted(view, '{"hide": true}')  # and no frame comes any more
        assert status == 200
        assert json.loads(text)["people"][0]["face"] == 0
        assert ask(view, "face.jpg?camera=&id=1")[0] == 404


def posted(view: WebView, body: str) -> tuple[int, str]:
    """The status and text of a change of settings."""
    status, _, text = ask(view, "settings", "POST", data=body)
    return status, text


def test_settings_are_changed_for_all_viewers() -> None:
    told: list[bool] = []
    crowd = Crowd()
    with served(crowd=crowd, controls=Controls(crowd, hide=told.append)) as view:
        write(view, result(0, {1: person()}))
        status, text = posted(view, '{"warn_from": 12, "hide": true}')
        assert status == 200
        shared = {"hides": True, "fixed": False, "warn_from": 12, "draws": False}
        assert json.loads(text)["settings"] == shared
        assert told == [True]
        assert posted(view, '{"warn_from": null}')[0] == 200
        assert json.loads(ask(view, "state.json")[2])["settings"]["warn_from"] is None


@pytest.mark.parametrize(
    "body",
    [
        "", "[]", "null", "{", '{"hide": 1.5}', '{"hide": "yes"}', '{"warn_from": 0}',
        '{"warn_from": true}', '{"warn_from": 1e9}', '{"reset": false}', '{"token": "x"}',
        '{"hide": true}', "[" * 5000,
    ],
)  # fmt: skip
def test_a_bad_change_is_refused_and_changes_nothing(body: str) -> None:
    with served() as view:
        before = json.loads(ask(view, "state.json")[2])["settings"]
        assert posted(view, body)[0] == 400
        assert json.loads(ask(view, "state.json")[2])["settings"] == before


def test_faces_hidden_since_the_start_stay_hidden() -> None:
    controls = Controls(Crowd(), hides=True, hide=lambda _: pytest.fail("was asked"))
    with pytest.raises(ValueError, match="at the start"):
        controls.change({"hide": False})
    assert controls.state()["hides"]


def test_counting_from_zero_keeps_those_in_view() -> None:
    crowd = Crowd()
    crowd.update(result(0, {1: person(), 2: person()}))
    crowd.update(result(1, {2: person()}))
    assert crowd.summary().seen == 2
    Controls(crowd).change({"reset": True})
    assert crowd.summary().seen == 1
    assert crowd.summary().newest[0].track_id == 2


def test_the_settings_want_the_token() -> None:
    with served(token="a secret of the test") as view:
        assert posted(view, '{"warn_from": 3}')[0] == 401
