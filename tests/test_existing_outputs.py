"""What becomes of outputs that are there already: the rule of docs/events.md."""

import json
from pathlib import Path

import pytest

from files import sole_writer
from outputs.recording.h264 import is_recording
from tests.fakes import ListSource, film
from tests.recordings import read
from tests.test_stream import one_line, reading, run_main

NAMES = {
    "--output": "o.mp4",
    "--events": "o.jsonl",
    "--people": "o.csv",
    "--hours": "h.csv",
    "--report": "r.html",
}


def run(folder: Path, *, live: bool, count: int = 12, flags: dict[str, str] = NAMES) -> int:
    outputs = [text for flag, name in flags.items() for text in (flag, str(folder / name))]
    source = ListSource(film(count), is_live=live)
    return run_main("--no-window", *outputs, factories=reading(source))


def runs_of(path: Path) -> list[str]:
    """The runs of the records, in the order of their first ones."""
    return list(dict.fromkeys(json.loads(line)["run"] for line in path.read_text().splitlines()))


def test_outputs_of_a_film_are_replaced_with_a_line_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, live=False, count=20) == 0
    first = runs_of(tmp_path / "o.jsonl")
    assert "earlier run" not in capsys.readouterr().err
    assert run(tmp_path, live=False) == 0
    told = capsys.readouterr().err
    for name in NAMES.values():
        assert f"{tmp_path / name}: replaces that of an earlier run" in told
    assert len(runs_of(tmp_path / "o.jsonl")) == 1 and runs_of(tmp_path / "o.jsonl") != first
    assert len(read(tmp_path / "o.mp4")) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES.values())


@pytest.mark.parametrize("flag", NAMES)
@pytest.mark.parametrize("segment", [False, True])
def test_a_film_replaces_nothing_that_this_program_did_not_make(
    flag: str, segment: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / NAMES[flag]
    foreign = path.with_stem("o-001") if segment and flag == "--output" else path
    foreign.write_text('{"of": "the user"}\n')
    arguments = [flag, str(path)]
    if segment:
        arguments += ["--output", str(tmp_path / "o.mp4"), "--segment", "10s"]
    source = reading(ListSource(film(3)))
    assert run_main("--no-window", *arguments, factories=source) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{foreign}: is there already, and this program did not make it; move it" in error
    assert foreign.read_text() == '{"of": "the user"}\n'
    assert list(tmp_path.iterdir()) == [foreign]


def test_an_empty_file_may_be_replaced(tmp_path: Path) -> None:
    for name in NAMES.values():
        (tmp_path / name).touch()
    assert run(tmp_path, live=False) == 0
    assert is_recording(tmp_path / "o.mp4")


def test_a_camera_that_is_started_again_loses_nothing_and_asks_nothing(tmp_path: Path) -> None:
    count = 6  # pictures: fewer than the live recorder's queue holds, so that none is left out
    for _ in range(3):
        assert run(tmp_path, live=True, count=count) == 0
    lines = (tmp_path / "o.jsonl").read_text().splitlines()
    assert len(runs_of(tmp_path / "o.jsonl")) == 3
    sources = [record["source"] for record in map(json.loads, lines) if record["type"] == "source"]
    assert [source["state"] for source in sources].count("online") == 2
    for suffix in (".mp4", ".csv"):
        files = list(tmp_path.glob(f"o*{suffix}"))
        assert len(files) == 3
        assert len({path.stat().st_ino for path in files}) == 3
    assert all(len(read(path)) == count for path in tmp_path.glob("*.mp4"))


def test_a_camera_keeps_what_this_program_did_not_make(tmp_path: Path) -> None:
    for name in NAMES.values():
        (tmp_path / name).write_text("of the user\n")
    assert run(tmp_path, live=True) == 0
    assert all((tmp_path / name).read_text() == "of the user\n" for name in NAMES.values())
    assert sorted(path.suffix for path in tmp_path.glob("o-*")) == [".csv", ".jsonl", ".mp4"]


def test_a_record_that_was_cut_short_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    assert run(tmp_path, live=True, flags={"--events": path.name}) == 0
    path.write_bytes(path.read_bytes()[:-20])
    before = path.read_text().splitlines()
    assert run(tmp_path, live=True, flags={"--events": path.name}) == 0
    after = path.read_text().splitlines()
    assert after[: len(before)] == before
    assert json.loads(after[len(before)])["source"]["state"] == "online"


def test_two_runs_do_not_write_the_same_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fcntl")
    for flag, name in NAMES.items():
        with sole_writer([tmp_path / name]):
            assert run(tmp_path, live=True) == 2, flag
        error = capsys.readouterr().err
        assert error == (
            f"stream.py: {tmp_path / name}: another run writes it; "
            "wait for its end or choose another name\n"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_missing_font_is_one_line_before_any_output_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, live=False)
    before = (tmp_path / "o.mp4").read_bytes()
    capsys.readouterr()
    flags = NAMES | {"--font": "none.ttf"}
    assert run(tmp_path, live=False, flags=flags) == 2
    assert "none.ttf" in one_line(capsys)
    assert (tmp_path / "o.mp4").read_bytes() == before
