"""Ethnicity of people on cameras needs a purpose; a sign says what happens."""

import argparse
import json
import re
from pathlib import Path

import pytest

import stream
from errors import SinkError
from program.law import write_notice
from sources.open import is_camera
from stream import parse_arguments
from tests.test_stream import one_line, run_main

LIVE = [
    "0",
    "/dev/video2",
    "rtsp://door/stream",
    "RTSPS://user:secret@door/stream",
    "udp://@:1234",
    "srt://door:9000",
]
STORED = ["film.mp4", "photos/", "http://door/film.mp4", "test:", "chaos:film.mp4", "sample"]
ETHNICITY = ["--no-window", "--attributes", "age,ethnicity"]


@pytest.mark.parametrize("source", LIVE)
def test_ethnicity_on_a_camera_needs_a_purpose(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_camera(source)
    assert run_main("--src", source, *ETHNICITY) == 2
    line = one_line(capsys)
    assert "--lawful-purpose" in line
    assert "5(1)(g)" in line
    assert "no legal basis" in line
    assert "secret" not in line


@pytest.mark.parametrize("source", STORED)
def test_stored_media_are_no_cameras(source: str) -> None:
    assert not is_camera(source)


def test_a_film_among_cameras_does_not_excuse_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("--src", "sample", "--src", "rtsp://door/x", *ETHNICITY) == 2
    assert "--lawful-purpose" in one_line(capsys)


def test_an_empty_purpose_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("--src", "0", *ETHNICITY, "--lawful-purpose", "  ") == 2
    assert "--lawful-purpose is empty" in one_line(capsys)


def test_the_purpose_is_kept_in_the_records(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    pattern = "test:64x48@5,duration=1"
    arguments = ["--src", pattern, "--events", str(events), "--lawful-purpose", "study 17"]
    assert stream.main([*arguments, "--no-window"]) == 0
    records = [json.loads(line) for line in events.read_text().splitlines()]
    kept = [each.get("lawful_purpose") for each in records if each["type"] == "source"]
    assert kept
    assert set(kept) == {"study 17"}


def signed(tmp_path: Path, *arguments: str) -> str:
    """The text of the sign of a run."""
    write_notice(str(tmp_path / "sign.html"), parse_arguments(arguments))
    return (tmp_path / "sign.html").read_text("utf-8")


def test_the_sign_says_what_the_flags_do(tmp_path: Path) -> None:
    plain = signed(tmp_path, "--src", "0")
    assert "estimates age and gender" in plain
    assert "not recorded" in plain
    kept = signed(tmp_path, "--src", "0", "--output", "a.mp4", "--people", "p.csv", "--blur")
    assert "recorded with faces hidden" in kept
    assert "time of each visit" in kept
    groups = signed(tmp_path, "--src", "0", "--anonymous", "--events", "e.jsonl")
    assert "groups of five" in groups
    assert "groups of five" in signed(tmp_path, "--src", "0", "--report", "r.html")
    assert "time of each visit" not in groups
    assert "head is turned" in signed(tmp_path, "--src", "0", "--attention")
    assert "recognises" not in plain + kept + groups
    assert "head is turned" not in plain + kept + groups
    assert "come back within 30 minutes" in signed(tmp_path, "--src", "0", "--remember", "30m")


def test_the_sign_holds_the_purpose_as_text(tmp_path: Path) -> None:
    sign = signed(tmp_path, "--attributes", "ethnicity", "--lawful-purpose", "<b>study</b> & $x")
    assert "&lt;b&gt;study&lt;/b&gt; &amp; $x" in sign
    assert not re.search(r"\$(mark|what|points|purpose)", sign)


def test_the_sign_replaces_only_a_sign(tmp_path: Path) -> None:
    signed(tmp_path, "--src", "0")
    signed(tmp_path, "--src", "0")
    other = tmp_path / "mine.html"
    other.write_text("<!doctype html><p>mine")
    with pytest.raises(SinkError, match="did not make it"):
        write_notice(str(other), argparse.Namespace(attributes=("age",)))
    assert "mine" in other.read_text()


def test_the_command_writes_the_sign_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sign.html"
    assert run_main("--src", "nowhere.mp4", "--notice", str(path)) == 0
    assert "print it" in one_line(capsys)
    assert "<h1>" in path.read_text()
