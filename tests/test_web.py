"""The page's server: what it answers, to whom, and that nobody waits for anybody."""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest

from people.crowd import Crowd
from structures import Gender, HeadPose, Image, SourceState, SourceStatus
from tests.web_parts import (
    SAFETY_S,
    ask,
    frames,
    person,
    result,
    served,
    until,
    watching,
    write,
)
from web.board import Board
from web.server import MAX_CLIENTS
from web.streaming import LONGEST_SIDE, LiveImages, shrunk
from web.view import WebView

TOKEN = "a secret of the test"
PATHS = (
    "",
    "state.json",
    "metrics",
    "healthz",
    "events",
    "stream.mjpeg",
    "snapshot.jpg",
    "page.js",
)


@pytest.fixture
def view() -> Iterator[WebView]:
    threads = threading.active_count()
    with served(title="film.mp4", estimates=lambda: (12, 30)) as view:
        yield view
    assert threading.active_count() == threads


def state_of(view: WebView) -> dict[str, Any]:
    return json.loads(ask(view, "state.json")[2])


def decoded(data: bytes) -> Image:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


# the page and its figures


def test_the_page_and_its_files_come_without_anything_from_elsewhere(view: WebView) -> None:
    status, headers, page = ask(view, "")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    for name in re.findall(r'(?:src|href)="([^"#]+)"', page):
        if name != "stream.mjpeg":
            assert ask(view, name)[0] == 200
            assert "//" not in name


def test_the_state_tells_what_was_written(view: WebView) -> None:
    people = {1: person(34.2), 2: person(61.0, Gender.MALE, samples=3), 3: None}
    write(view, result(7, people, arrived_s=time.monotonic(), fps=24.94, dropped=3, load="x"))
    state = state_of(view)
    assert (state["title"], state["people_now"], state["people_today"]) == ("film.mp4", 3, 3)
    camera = state["cameras"][0]
    assert (camera["fps"], camera["dropped"], camera["state"], camera["load"]) == (
        24.9,
        3,
        "live",
        "x",
    )
    assert 0 <= camera["frame_age_ms"] < 1e3 * SAFETY_S
    told = {(g["gender"], g["band"]): g["people"] for g in state["groups"] if g["people"]}
    assert told == {("female", "30-39"): 1, ("male", "60-69"): 1}
    rows = {row["id"]: row for row in state["people"]}
    assert (rows[2]["age_years"], rows[2]["gender"], rows[2]["samples"]) == (61.0, "male", 3)
    assert "age_years" not in rows[3]
    assert state["problem"] == ""


def test_the_page_holds_the_state_of_its_moment_and_no_title_can_end_the_script() -> None:
    with served(title="</script><b>") as view:
        page = ask(view, "")[2]
    found = re.search(r'<script type="application/json" id="first">(.*?)</script>', page)
    assert found and json.loads(found[1])["title"] == "</script><b>"


def test_only_the_attributes_asked_for_are_told() -> None:
    with served(crowd=Crowd(["age"])) as view:
        write(view, result(0, {1: person()}))
        state = state_of(view)
        assert state["genders"] == [""]
        assert "gender" not in state["people"][0]
        assert "female" not in ask(view, "metrics")[2]


def test_who_looked_this_way_is_told_where_it_is_asked_for(view: WebView) -> None:
    crowd, poses = Crowd(attention=True), {1: HeadPose(0, 0), 2: HeadPose(80, 0)}
    with served(crowd=crowd) as looking:
        for i in range(11):
            write(looking, result(i, {1: person(), 2: person()}, poses=poses))
        write(looking, result(11, {3: person()}))
        state, text = json.loads(ask(looking, "state.json")[2]), ask(looking, "metrics")[2]
    assert (state["attention"]["watchers"], state["attention"]["people"]) == (1, 2)
    rows = {row["id"]: row.get("attention_s") for row in state["people"]}
    assert rows == {1: 0.4, 2: 0.0, 3: None}
    for line in ("opportunities_total", "watchers_total", "attention_seconds_total"):
        assert f'faces_{line}{{camera=""}}' in text
    assert json.loads(ask(view, "state.json")[2])["attention"] is None
    assert "faces_watchers" not in ask(view, "metrics")[2]


def test_a_film_has_no_frame_age(view: WebView) -> None:
    write(view, result(0))
    assert state_of(view)["cameras"][0]["frame_age_ms"] is None
    assert "faces_frame_age_seconds{" not in ask(view, "metrics")[2]


def test_health_is_good_while_live_and_names_the_reason_when_not(view: WebView) -> None:
    assert ask(view, "healthz")[::2] == (503, "no frame has come yet\n")
    write(view, result(0))
    assert ask(view, "healthz")[::2] == (200, "live\n")
    view.refresh(None, result(0, state=SourceState.STALLED, detail="nothing for 3 s"))
    assert ask(view, "healthz")[::2] == (503, "stalled: nothing for 3 s\n")
    view.refresh(None, result(0, state=SourceState.FAILED, detail="wrong password"))
    assert ask(view, "healthz")[::2] == (503, "failed: wrong password\n")
    write(view, result(1))
    assert ask(view, "healthz")[0] == 200


def test_a_film_that_has_ended_is_neither_live_nor_ill_and_its_clock_stands(view: WebView) -> None:
    last = result(0, {1: person(), 2: person()})
    write(view, last)
    assert state_of(view)["people_now"] == 2
    for _ in range(2):
        view.refresh(None, replace(last, status=SourceStatus(SourceState.ENDED, "2 people")))
    assert ask(view, "healthz")[::2] == (200, "ended\n")
    time.sleep(0.3)  # a state is made four times a second
    states = [state_of(view)]
    time.sleep(0.3)
    states.append(state_of(view))
    assert [state["people_now"] for state in states] == [0, 0]
    assert states[0]["now_s"] == states[1]["now_s"] and states[0]["problem"] == ""
    assert states[0]["cameras"][0]["detail"] == "2 people"
    text = ask(view, "metrics")[2]
    assert 'faces_source_state{camera="",state="ended"} 1.0' in text
    assert 'faces_people_now{camera=""} 0.0' in text


def test_while_one_camera_is_live_the_page_is(view: WebView) -> None:
    write(view, result(0, camera="door"))
    write(view, result(0, camera="film", state=SourceState.ENDED))
    assert ask(view, "healthz")[::2] == (200, "live\n")


def test_one_camera_of_several_that_fails_is_named(view: WebView) -> None:
    write(view, result(0, camera="door"))
    write(view, result(0, camera="yard", state=SourceState.RECONNECTING))
    assert ask(view, "healthz")[::2] == (503, "yard: reconnecting\n")
    assert state_of(view)["people_now_known"]


def test_metrics_follow_the_text_format(view: WebView) -> None:
    write(view, result(0, {i: person() for i in (1, 2)}, fps=24.5, dropped=4, camera='a"b\\'))
    write(view, result(1, epoch=1, fps=24.5, dropped=4, camera='a"b\\'))
    status, headers, text = ask(view, "metrics")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    sample = re.compile(r'(faces_[a-z_]+)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)+\})? (-?[0-9.e+]+)')
    kinds, values = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kinds[name] = line.split()
        elif not line.startswith("# HELP"):
            found = sample.fullmatch(line)
            assert found, line
            assert found[1] in kinds, "TYPE comes before the samples"
            values[found[1] + (found[2] or "")] = float(found[3])
    camera = r'camera="a\"b\\"'
    assert values[f"faces_frames_per_second{{{camera}}}"] == 24.5
    assert values[f"faces_frames_dropped_total{{{camera}}}"] == 4
    assert values[f"faces_frames_processed_total{{{camera}}}"] == 2
    assert values[f'faces_source_state{{{camera},state="live"}}'] == 1
    assert values['faces_people_total{age_band="30-39",gender="female"}'] == 2
    assert values["faces_people_seen_total"] == 2
    assert (values["faces_estimates_made_total"], values["faces_estimates_saved_total"]) == (12, 30)
    assert all(kind == "counter" for name, kind in kinds.items() if name.endswith("_total"))


# pictures


def test_pictures_are_wanted_only_while_somebody_watches(view: WebView) -> None:
    async def go() -> None:
        assert not view.wants_picture
        async with watching(view):
            await until(lambda: view.wants_picture)
        await until(lambda: not view.wants_picture)

    asyncio.run(go())


def test_a_stream_shows_the_frames_written(view: WebView) -> None:
    async def go() -> None:
        async with watching(view) as watcher:
            await until(lambda: view.wants_picture)
            for index in (3, 90):
                write(view, result(index))
                shown, data = await watcher.part()
                assert shown == index
                assert abs(float(decoded(data).mean()) - index) < 2

    asyncio.run(go())


def test_a_picture_is_encoded_once_however_many_watch() -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        board = Board(loop.call_soon, Crowd())
        pictures = LiveImages(board)
        board.watch()
        waiting = [asyncio.ensure_future(pictures.next_jpeg(None, 0)) for _ in range(5)]
        await asyncio.sleep(0)
        one = result(4)
        board.post(one.frame.image, one, new_frame=True)
        jpegs = await asyncio.gather(*waiting)
        assert len({id(jpeg) for jpeg in jpegs}) == 1
        assert pictures.encoded == 1

    asyncio.run(go())


def test_clients_that_never_read_do_not_slow_one_that_does(view: WebView) -> None:
    """Each picture is larger than what the stuck connections can hold after a few."""
    noise = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8)

    async def go() -> None:
        address = view.url.removeprefix("http://").rstrip("/").split(":")
        stuck = [socket.create_connection((address[0], int(address[1]))) for _ in range(4)]
        for client in stuck:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stop = asyncio.Event()
        async with watching(view) as watcher:
            await until(lambda: view._board.viewers == 5)
            writing = asyncio.ensure_future(frames_of(noise, stop))
            seen = [(await watcher.part())[0] for _ in range(20)]
            stop.set()
            await writing
        for client in stuck:
            client.close()
        assert seen == sorted(set(seen))

    async def frames_of(picture: Image, stop: asyncio.Event) -> None:
        index = 0
        while not stop.is_set():
            view.write(picture, result(index))
            index += 1
            await asyncio.sleep(0.005)

    asyncio.run(go())


def test_a_still_is_the_newest_picture_in_its_full_size(view: WebView) -> None:
    large = np.full((32, LONGEST_SIDE + 160, 3), 77, np.uint8)

    async def go() -> None:
        async with aiohttp.ClientSession() as session:
            asked = asyncio.ensure_future(session.get(view.url + "snapshot.jpg"))
            await until(lambda: view.wants_picture)
            view.write(large, result(5))
            answer = await asked
            assert answer.headers["Content-Type"] == "image/jpeg"
            assert re.search(
                r'filename="still-[\d-]+-5\.jpg"', answer.headers["Content-Disposition"]
            )
            picture = decoded(await answer.read())
            assert picture.shape == large.shape
            assert abs(float(picture.mean()) - 77) < 2

    asyncio.run(go())


def test_a_stalled_source_still_shows_its_last_picture_with_the_new_status(view: WebView) -> None:
    async def go() -> None:
        async with watching(view) as watcher:
            await until(lambda: view.wants_picture)
            write(view, result(1))
            await watcher.part()
            stalled = result(1, state=SourceState.STALLED, detail="nothing for 2 s")
            view.refresh(stalled.frame.image, stalled)
            assert (await watcher.part())[0] == 1

    asyncio.run(go())
    assert state_of(view)["cameras"][0]["detail"] == "nothing for 2 s"


def test_each_camera_has_a_stream_of_its_own(view: WebView) -> None:
    write(view, result(0, camera="a"))
    write(view, result(0, camera="b & c"))

    async def go() -> None:
        async with watching(view, "?camera=b%20%26%20c") as watcher:
            await until(lambda: view.wants_picture)
            write(view, result(10, camera="a"))
            write(view, result(20, camera="b & c"))
            assert (await watcher.part())[0] == 20

    asyncio.run(go())
    assert [camera["name"] for camera in state_of(view)["cameras"]] == ["a", "b & c"]
    assert ask(view, "stream.mjpeg?camera=x")[0] == 404


def test_large_pictures_are_shrunk_and_small_ones_left_alone() -> None:
    small = np.zeros((48, 64, 3), np.uint8)
    assert shrunk(small) is small
    assert shrunk(np.zeros((3000, 1000, 3), np.uint8)).shape == (LONGEST_SIDE, 427, 3)


def test_writing_never_waits_for_the_server(view: WebView) -> None:
    blocked = threading.Event()
    view._loop.soon(lambda: blocked.wait(SAFETY_S))
    for index in range(200):
        write(view, result(index, {1: person()}))
    assert not blocked.is_set()
    blocked.set()
    assert state_of(view)["people_today"] == 1


# events


def test_events_are_the_records_of_frames(view: WebView) -> None:
    async def go() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.get(view.url + "events") as answer,
        ):
            assert answer.headers["Content-Type"] == "text/event-stream"
            stop = asyncio.Event()
            writing = asyncio.ensure_future(
                frames(view, stop, make=lambda i, **more: result(i, {4: person()}, **more))
            )
            records: list[dict[str, Any]] = []
            while len(records) < 3:
                line = await answer.content.readline()
                if line.startswith(b"data: "):
                    records.append(json.loads(line.removeprefix(b"data: ")))
            stop.set()
            await writing
        indices = [record["index"] for record in records]
        assert indices == sorted(set(indices))
        assert records[0]["tracks"][0]["id"] == 4
        assert records[0]["tracks"][0]["age_years"] == 34.2

    asyncio.run(go())


# who may


def test_with_a_token_everything_wants_it() -> None:
    with served(token=TOKEN) as view:
        for path in PATHS:
            status, _, text = ask(view, path)
            assert status == 401, path
            assert "state.json" not in text
            wrong = {"Authorization": "Bearer wrong one!"}
            assert ask(view, path, headers=wrong)[0] == 401


def test_the_token_comes_in_the_address_once_and_then_in_a_cookie(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    with served(token=TOKEN) as view:
        status, headers, _ = ask(view, "", params={"token": TOKEN})
        assert (status, headers["Location"]) == (303, "/")
        cookie = headers["Set-Cookie"]
        assert "Max-Age=" in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        name, _, value = cookie.partition(";")[0].partition("=")
        assert ask(view, "state.json", cookies={name: value})[0] == 200
        assert ask(view, "state.json", cookies={name: value + "0"})[0] == 401
        assert ask(view, "state.json", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
        assert TOKEN not in view.url
    assert TOKEN not in caplog.text + "".join(capfd.readouterr())
    assert TOKEN.replace(" ", "+") not in caplog.text


def test_the_form_takes_the_token_and_refuses_a_wrong_one() -> None:
    with served(token=TOKEN) as view:
        status, headers, _ = ask(view, "login", "POST", data={"token": TOKEN})
        assert (status, headers["Location"]) == (303, "/")
        assert "Set-Cookie" in headers
        status, headers, _ = ask(view, "login", "POST", data={"token": "a wrong one"})
        assert (status, headers["Location"]) == (303, "/#wrong")
        assert "Set-Cookie" not in headers


def test_a_foreign_name_for_this_machine_is_refused(view: WebView) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1"):
        assert ask(view, "state.json", headers={"Host": host})[0] in (400, 421), host
    for host in ("localhost:99", "127.0.0.1", "[::1]:80"):
        assert ask(view, "state.json", headers={"Host": host})[0] == 200, host


def test_another_site_cannot_post(view: WebView) -> None:
    foreign = {"Origin": "http://evil.example"}
    assert ask(view, "offer", "POST", headers=foreign, json={"sdp": ""})[0] in (403, 404)
    assert ask(view, "login", "POST", headers=foreign, data={})[0] == 403


@pytest.mark.parametrize("path", ["", "nowhere", "metrics", "snapshot.jpg?camera=x"])
def test_every_answer_tells_browsers_to_be_careful(view: WebView, path: str) -> None:
    headers = ask(view, path)[1]
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "faces"


@pytest.mark.parametrize(
    "path",
    ["/../view.py", "/static/../view.py", "/%2e%2e/view.py", "//etc/passwd", "/index.html/.."],
)
def test_no_path_leads_out_of_the_page(view: WebView, path: str) -> None:
    host, port = view.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        assert client.makefile("rb").readline().split()[1] == b"404"


def test_only_so_many_may_watch(view: WebView) -> None:
    async def go() -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            answers = [await session.get(view.url + "events") for _ in range(MAX_CLIENTS + 1)]
            assert [answer.status for answer in answers] == [200] * MAX_CLIENTS + [503]
            for answer in answers:
                answer.close()

    asyncio.run(go())


# the end


def test_closing_ends_every_answer_and_may_be_done_again() -> None:
    async def go() -> None:
        with served() as view:
            async with watching(view) as watcher:
                await until(lambda: view.wants_picture)
                view.close()
                view.close()
                assert view.closed
                with pytest.raises((aiohttp.ClientError, asyncio.IncompleteReadError, ValueError)):
                    for _ in range(3):
                        await watcher.part()
                write(view, result(1))

    asyncio.run(go())
