"""Flags that would do nothing, or contradict each other, are refused in one line."""

import pytest

from stream import parse_arguments


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--segment", "10m"], "--segment is about a recording: add --output"),
        (["--preset", "slow"], "--preset is about a recording: add --output"),
        (["--token", "s" * 20], "--token is about the page: add --serve"),
        (["--behind-proxy"], "--behind-proxy is about the page: add --serve"),
        (["--keep", "30d", "--report", "r.html"], "--keep is about files: add --output"),
        (["--keep", "30d", "--events", "-"], "--keep is about files: add --output"),
        (["--mqtt-qos", "2"], "--mqtt-qos is about a broker: add --mqtt"),
        (["--home-assistant"], "--home-assistant is told by a broker: add --mqtt"),
        (["--webhook-secret", "x"], "--webhook-secret signs what is posted: add --webhook"),
        (["--json"], "--json is about what is checked here: add --doctor"),
        (["--lawful-purpose", " "], "--lawful-purpose is empty"),
        (["--anonymous", "--people", "p.csv"], "which --anonymous forbids; leave one out"),
        (["--anonymous", "--events-full", "e.jsonl"], "of each face; leave one out"),
        (["--anonymous", "--remember", "5m"], "which --anonymous forbids; leave one out"),
        (["--replay", "e.jsonl", "--remember", "5m"], "--replay asks none; leave one out"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--src", "sample", *flags])
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        ["--output", "o.mp4", "--segment", "10m", "--preset", "veryfast", "--keep", "1d"],
        ["--serve", "8080", "--token", "s" * 20],
        ["--report", "r.html", "--hours", "h.csv", "--keep", "30d"],
        ["--mqtt", "mqtt://h/p", "--mqtt-qos", "2", "--home-assistant"],
        ["--webhook", "http://h/p", "--webhook-secret", "x"],
        ["--doctor", "--json"],
    ],
)
def test_flags_with_what_they_are_about_are_taken(flags: list[str]) -> None:
    assert parse_arguments(["--src", "sample", *flags]).src
