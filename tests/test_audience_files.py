"""The audience report of files: as a command, and written by a run."""

import json
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from outputs.audience import AudienceWriter
from people.crowd import Crowd
from people.records import Record, Recorder
from people.report.__main__ import main
from people.report.page import is_report
from people.report.reading import find_files, read_events
from people.report.tally import NEWEST, Tally
from tests.audiences import read, week, write
from tests.results import passers_by, result, track, write_all
from tests.test_audience import left

FRAME = b'{"schema":2,"type":"frame","run":"a","camera":"","utc":"x","tracks":[]}\n'


def told_by(files: Sequence[str | Path], output: Path, capsys: pytest.CaptureFixture[str],
            code: int = 0) -> list[str]:  # fmt: skip
    """What the command says on stderr; its page is `output`."""
    assert main([*map(str, files), "--output", str(output)]) == code
    said = capsys.readouterr()
    assert said.out == ""
    return [line.removeprefix("python -m people.report: ") for line in said.err.splitlines()]


def page(path: Path) -> str:
    """A page without the moment at which it was made."""
    head, _, rest = path.read_text().partition("Made ")
    return head + rest.partition(" by ")[2]


def counted(paths: Sequence[Path]) -> int:
    tally = Tally()
    for path in paths:
        read_events(path, tally, lambda text: None)
    return sum(camera.hours.total() for camera in tally.cameras.values())


def test_files_a_folder_and_a_pattern_give_the_same_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write(tmp_path, week(0, an_hour=3))
    ways: list[Sequence[str | Path]] = [paths, paths[::-1], [tmp_path], [f"{tmp_path}/*.jsonl"]]
    for i, names in enumerate(ways):
        assert told_by(names, tmp_path / f"{i}.html", capsys) == []
    assert len({page(tmp_path / f"{i}.html") for i in range(4)}) == 1
    assert is_report(tmp_path / "0.html")


def test_frames_are_passed_over_and_change_nothing(tmp_path: Path) -> None:
    (one,) = write(tmp_path, week(0, an_hour=2))[:1]
    want = counted([one])
    assert want == sum(record["type"] == "person" for record in read(one))
    one.write_bytes(b"".join(FRAME * 3 + line for line in one.read_bytes().splitlines(True)))
    assert counted([one]) == want
    spaced = one.with_name("spaced.jsonl")  # as another program would write them
    spaced.write_text("\n".join(map(json.dumps, read(one))))
    assert counted([spaced]) == want


def test_a_file_that_is_cut_in_the_middle_loses_that_record_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = write(tmp_path, week(0, an_hour=2))
    everybody = counted([first, *others])
    lines = first.read_bytes().splitlines(keepends=True)
    people = [i for i, line in enumerate(lines) if b'"type":"person"' in line]
    lines[people[0]] = lines[people[0]][:40] + b"\n"
    lines[people[1]] = b"\x00\xff{[[" + b"[" * 100_000 + b"\n"
    lines[people[2]] = b"[1, 2]\n"
    first.write_bytes(b"".join(lines)[:-5])  # an aggregate record
    said = told_by([tmp_path], tmp_path / "r.html", capsys)
    assert said == [f"{first}: line {people[0] + 1} and 3 more: cut off or no record; left out"]
    assert counted([first, *others]) == everybody - 3


def test_the_same_records_count_once_however_they_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = write(tmp_path, week(0, an_hour=2))
    want = counted([first, *others])
    copy, link, both = (tmp_path / name for name in ("copy.jsonl", "link.jsonl", "both.jsonl"))
    copy.write_bytes(first.read_bytes()[:3000])
    link.symlink_to(first)
    both.write_bytes(first.read_bytes() + others[0].read_bytes())
    said = told_by([first, *others, first, copy, link, both], tmp_path / "r.html", capsys)
    assert f"{first}: is named twice; it counts once" in said
    assert f"{link}: is named twice; it counts once" in said
    assert sum("are in other files, too; they count once" in line for line in said) >= 2
    files, useless = find_files([str(tmp_path)], lambda text: None)
    assert (counted(files), useless) == (want, 0)


def test_a_damaged_record_costs_that_record_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, week(0, an_hour=2))[0]
    whole, good = counted([path]), path.read_text().splitlines()
    number = next(record for record in read(path) if record["type"] == "aggregate")
    damages: list[Record] = [
        {"confusion": [[-5] * 10] * 10},
        {"step": 5, "hours": [{"begins": "x", "entered": 5}]},
        {"utc": "0001-01-01T00:00:00+00:00"},
        {"camera": 5},
    ]
    damaged = [json.dumps(number | damage) for damage in damages]
    path.write_text("\n".join([*good[:5], *damaged, *good[5:]]))
    said = told_by([path], tmp_path / "r.html", capsys)
    assert said == [f"{path}: line 6 and 3 more: cut off or no record; left out"]
    assert counted([path]) == whole


def test_what_is_no_use_is_told_in_a_line_each_and_the_rest_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (good,) = write(tmp_path, week(0, an_hour=2))[:1]
    film, empty, newer = (tmp_path / name for name in ("film.mp4", "empty.jsonl", "newer.jsonl"))
    film.write_bytes(bytes(range(256)) * 1000)
    empty.touch()
    newer.write_text(good.read_text().replace('"schema":2', '"schema":3'))
    missing = tmp_path / "missing.jsonl"
    said = told_by([good, film, empty, newer, missing], tmp_path / "r.html", capsys, code=2)
    assert len(said) == 4
    holds_none = "holds no events; give files that --events has written"
    assert f"{film}: {holds_none}" in said and f"{empty}: {holds_none}" in said
    assert f"{missing}: no such file, or a folder without .jsonl files" in said
    assert any(line.startswith(f"{newer}: ") and "are not of version 2" in line for line in said)
    alone = told_by([good], tmp_path / "alone.html", capsys)
    assert alone == [] and page(tmp_path / "alone.html") == page(tmp_path / "r.html")


def test_a_pipe_is_refused_and_never_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    said = told_by([pipe, "/dev/zero", "x" * 5000], tmp_path / "r.html", capsys, code=2)
    refused = "is a pipe or a device; name an ordinary file"
    assert said[:2] == [f"{pipe}: {refused}", f"/dev/zero: {refused}"]


def test_with_nothing_to_report_no_page_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = told_by([tmp_path], tmp_path / "r.html", capsys, code=2)
    assert said[-1] == "there is nothing to report; no page was made"
    assert list(tmp_path.iterdir()) == []


def test_a_page_never_replaces_what_this_program_did_not_make(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (good,) = write(tmp_path, week(0, an_hour=2))[:1]
    own = tmp_path / "own.html"
    own.write_text("<p>mine</p>")
    (line,) = told_by([good], own, capsys, code=2)
    assert "this program did not make it" in line and own.read_text() == "<p>mine</p>"
    (line,) = told_by([good], tmp_path / "r.txt", capsys, code=2)
    assert "the name must end in .html" in line
    told_by([good], tmp_path / "r.html", capsys)
    told_by([good], tmp_path / "r.html", capsys)  # its own one is replaced
    events = tmp_path / "e.html"
    events.write_bytes(good.read_bytes())
    assert told_by([events], events, capsys, code=2) and events.read_bytes() == good.read_bytes()


def test_memory_does_not_grow_with_the_frames(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "long.jsonl"
    records = week(0, an_hour=20).records[0]
    with path.open("wb") as file:
        for i, record in enumerate(records):
            file.write(FRAME * 400 + json.dumps(record | {"id": i + 1}).encode() + b"\n")
    tracemalloc.start()
    assert counted([path]) > 200
    assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 4
    tracemalloc.stop()


def test_memory_of_a_live_run_does_not_grow_with_the_people() -> None:
    import tracemalloc

    def person(number: int) -> Record:
        return left(64 * number, number / 60)  # the worst ids: no two share an array

    def held(first: int, last: int) -> int:
        for number in range(first, last):
            tally.add(person(number))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    tally = Tally(NEWEST)
    before = held(1, NEWEST + 200)
    assert held(NEWEST + 200, 4 * NEWEST) - before < 50_000
    tracemalloc.stop()
    tally.add(person(4 * NEWEST - 1))
    assert tally.repeated == 1  # the newest are known


# Written by a run


def test_a_run_writes_the_page_of_its_own_people_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    sink = AudienceWriter(path, Recorder(Crowd()))
    for one in passers_by(7):
        sink.write(None, one)
    assert not path.exists()
    sink.close()
    sink.close()
    assert is_report(path) and "<strong>7</strong>" in path.read_text()


def test_an_anonymous_run_tells_only_fives(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    write_all(AudienceWriter(path, Recorder(Crowd(anonymous=True))), passers_by(13))
    assert "<strong>10</strong>" in path.read_text() and "is anonymous" in path.read_text()


def test_of_a_live_source_the_page_is_renewed_every_ten_minutes(tmp_path: Path) -> None:
    now_s = 0.0
    path = tmp_path / "r.html"
    sink = AudienceWriter(path, Recorder(Crowd()), live=True, clock=lambda: now_s)
    written = []
    for minute in range(0, 25):
        now_s = 60.0 * minute
        for one in passers_by(2, first_id=10 * minute + 1):
            sink.write(None, one)
        if path.exists():
            written.append((minute, path.read_text()))
    assert [minute for minute, _ in written] == list(range(1, 25))
    changes = [b[0] for a, b in pairwise(written) if a[1] != b[1]]
    assert changes == [11, 21]
    sink.close()
    assert [each.name for each in tmp_path.iterdir()] == ["r.html"]


def test_a_live_page_that_is_there_is_kept_and_the_new_one_named_after_the_time(
    tmp_path: Path,
) -> None:
    path = tmp_path / "r.html"
    path.write_text("of an earlier run")
    write_all(AudienceWriter(path, Recorder(Crowd()), live=True), passers_by(6))
    assert path.read_text() == "of an earlier run"
    assert sum(map(is_report, tmp_path.iterdir())) == 1


def test_a_full_disk_costs_the_page_only(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    sink = AudienceWriter(folder / "r.html", Recorder(Crowd()))
    sink.write(None, result(0, [track(1)]))
    folder.rmdir()
    sink.close()
    assert sink.failed is not None and "cannot be written" in str(sink.failed)


def test_a_run_that_saw_no_frame_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_text("of an earlier run")
    AudienceWriter(path, Recorder(Crowd())).close()
    assert path.read_text() == "of an earlier run"
