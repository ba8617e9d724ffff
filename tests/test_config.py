"""A configuration file holds what the flags hold, and what the flags say wins."""

import contextlib
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

import stream
from program.config import FLAGS, Config, read_config, to_toml
from stream import Factories, parse_arguments
from tests.assemblies import scripted
from tests.fakes import ListSource, ScriptedDetector, film

FACE = [10.0, 8.0, 40.0, 44.0]
EVERYTHING = [
    *("--src", "door=rtsp://joe:s3cr@t@door/1?token=abc", "--src", "0", "--src", "env:HALL"),
    *("--width", "640", "--height", "480", "--max-frames", "9", "--max-latency", "99.5"),
    *("--line", "gate=0.1,0.5,0.9,0.5", "--line", "b=0,0,1,1", "--zone", "hall=0,0,1,0,1,1"),
    *("--keep-trying", "--detector", "dlib", "--min-face", "30", "--upsample", "1"),
    *("--estimator", "ssrnet", "--weights", "ssrnet_fairface", "--engine", "openvino"),
    *("--device", "cpu", "--precision", "float32", "--threads", "2", "--attributes", "age"),
    *("--detect-every", "auto", "--max-age", "5", "--min-hits", "1", "--blur"),
    *("--labels", "short", "--line-width", "3", "--font", "f.ttf", "--hud", "all", "--attention"),
    *("--no-window", "--output", "o.mp4", "--segment", "10m", "--preset", "veryfast"),
    *("--events", "-", "--keep", "30d", "--keep", "5GB", "--people", "o \"1\"\\.csv"),
    *("--hours", "h.csv", "--lawful-purpose", "a study", "--remember", "90s"),
    *("--events-full", "f.jsonl", "--report", "r.html"),
    *("--serve", "0.0.0.0:8080", "--token", "007", "--tls", "a.pem", "b.pem", "--behind-proxy"),
    *("--mqtt", "mqtt://host/faces", "--mqtt-qos", "2", "--home-assistant", "--webhook", "http://host/é"),
    *("--webhook-secret", "1.50", "--stills", "stills", "--file-mode", "0640", "--verbose"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HALL", "rtsp://hall/1")
    return tmp_path


def parsed(*arguments: str) -> dict[str, object]:
    """What the program makes of a command line, but for where it stood."""
    found = vars(parse_arguments(list(arguments)))
    return {name: found[name] for name in found if name not in ("config", "asked")}


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        parse_arguments(list(arguments))
    text = capsys.readouterr().err
    assert end.value.code == 2 and text.count("\n") == 1, text
    return text


def test_what_was_printed_asks_for_the_same(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_flags = {name for name in FLAGS if f"--{name.replace('_', '-')}" not in EVERYTHING}
    assert new_flags <= {"anonymous", "replay", "record_on"}, "put the new flag into EVERYTHING"
    assert stream.main([*EVERYTHING, "--print-config"]) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and "password" in err and "s3cr" not in err
    (here / "faces.toml").write_text(out)
    assert parsed("--config", "faces.toml") == parsed(*EVERYTHING)
    assert stream.main(["--config", "faces.toml", "--print-config"]) == 0
    assert capsys.readouterr().out == out
    assert tomllib.loads(out)["src"][2] == "env:HALL"  # and not what the variable holds


def test_a_comment_names_every_flag_that_was_not_given() -> None:
    text = to_toml(Config())
    lines = [line.removeprefix("# ") for line in text.splitlines()[1:]]
    usual = tomllib.loads("\n".join(lines))
    assert {name.replace("-", "_") for name in usual} == set(FLAGS)
    assert (usual["min-face"], usual["no-window"], usual["detector"]) == (40, False, "mtcnn")
    assert tomllib.loads(text) == {}


def test_flags_beside_the_file_win(here: Path) -> None:
    (here / "f.toml").write_text(
        'min-face = 30\nblur = "blur"\nkeep = ["1d"]\nevents = "e.jsonl"\nsrc = "1"\n'
        '[cameras.door]\nsrc = "2"\nwidth = 640\nheight = 480\n'
    )
    file = parse_arguments(["--config", "f.toml", "--width=320", "--min-face=50", "--keep=2GB"])
    assert (file.min_face, file.blur, len(file.keep)) == (50, "blur", 1)
    door = file.cameras[1]
    assert (door.name, door.source.width, door.source.height) == ("door", 320, 480)
    only = parse_arguments(["--config", "f.toml", "--src", "hall=3"])
    assert [camera.name for camera in only.cameras] == ["hall"]


def test_cameras_have_settings_of_their_own(here: Path) -> None:
    (here / "f.toml").write_text(
        'max_frames = 9\n[cameras.door]\nsrc = "rtsp://door/1"\nblur = true\n'
        '[cameras."Tür"]\nsrc = "0"\ndetect-every = 3\nmax-frames = 5\n'
    )
    door, tuer = parse_arguments(["--config", "f.toml"]).cameras
    assert (door.tracking.blur, door.tracking.detect_every) == ("pixelate", 1)
    assert (tuer.tracking.blur, tuer.tracking.detect_every) == ("", 3)
    assert (door.source.max_frames, tuer.source.max_frames, tuer.name) == (9, 5, "Tür")
    config = read_config("f.toml")
    (here / "again.toml").write_text(to_toml(config))
    assert read_config("again.toml") == config


def test_paths_in_the_file_are_seen_from_its_folder(here: Path) -> None:
    folder = here / "etc"
    folder.mkdir()
    (folder / "own.onnx").touch()
    (folder / "f.toml").write_text(
        'src = ["film.mp4", "0", "a=b.mp4", "rtsp://h/x", "sample", "test:", "/abs.mp4", '
        '"chaos:bad.mp4?drop=1", "chaos:~/f.mp4", "a:b.mp4", "env:HALL", "~/f.mp4"]\n'
        'output = "o.mp4"\nevents = "-"\n'
        'people = "../p.csv"\nhours = "h.csv"\nreport = "r.html"\n'
        'stills = "."\nweights = "own.onnx"\n'
    )
    given = read_config(Path("etc") / "f.toml").given
    assert given["src"] == [
        *("etc/film.mp4", "0", "a=etc/b.mp4", "rtsp://h/x", "sample", "test:", "/abs.mp4"),
        *("chaos:etc/bad.mp4?drop=1", "chaos:~/f.mp4", "etc/a:b.mp4", "env:HALL", "~/f.mp4"),
    ]  # fmt: skip
    assert [
        given[name]
        for name in ("output", "events", "people", "hours", "report", "stills", "weights")
    ] == [*("etc/o.mp4", "-", "etc/../p.csv", "etc/h.csv", "etc/r.html", "etc", "etc/own.onnx")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("min-fase = 40", "faces.toml: unknown key min-fase; did you mean min-face?"),
        ("qwertz = 1", "unknown key qwertz; --help has all flags"),
        ("config = 'x'", "unknown key config"),
        ("min-face = 40\nmin_face = 50", "min_face stands there twice"),
        ("min-face = 3", "min-face: want a number of at least 20, got '3'"),
        ("min-face = [40, 50]", "min-face: want a text or number"),
        ("detector = 'yolo'", "detector: invalid choice: 'yolo'"),
        ("no-window = 'yes'", "no-window: want true or false"),
        ("file-mode = 0o640", 'file-mode: TOML makes 416 of that; want a text, such as "0640"'),
        ("keep = [true]", "keep: want a text or number or a list of them"),
        ("serve = 1979-05-27", "serve: want a text or number"),
        ("tls = 'cert.pem'", "tls: expected 2 arguments"),
        ("min-face = ", "is no TOML: Invalid value"),
        ("[cameras.a]\nsrc='0'\n[cameras.a]\nsrc='1'", "Cannot declare ('cameras', 'a') twice"),
        ("src=['a=0']\n[cameras.a]\nsrc='1'", "2 cameras are called a"),
        ("[cameras.a]\nwidth=640", "cameras.a: want one src"),
        ("[cameras.a]\nsrc=['0', '1']", "cameras.a: want one src"),
        ("[cameras.a]\nsrc='0'\nwidht=640", "unknown key widht; did you mean width?"),
        ("[cameras.a]\nsrc='0'\nevents='e'", "cameras.a: events is for all cameras together"),
        ("[cameras.a]\nsrc='0'\nwidth=1", "cameras.a: width: want a number of at least 16"),
        ("[cameras.'front door']\nsrc='0'", "a name has letters, digits, - and _"),
        ("cameras = 3", "cameras: want a table for each"),
        ("[cameras]\ndoor='0'", "cameras: want a table for each"),
        ("segment = '10m'", "--segment is about a recording"),
        ("src = 'env:NOBODY'", "env:NOBODY: there is no such variable"),
        ("\udcff", "is no TOML: no text"),
        ("a = " + "[" * 5000, "is no TOML"),
        ("#" * 2**21, "is too large"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(
    text: str, words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "faces.toml").write_text(text, "utf-8", "surrogateescape")
    assert words in refusal(capsys, "--config", "faces.toml")


@pytest.mark.parametrize("path", ["none.toml", ".", "", "/dev/zero", "folder/none.toml"])
def test_a_file_that_cannot_be_read_is_one_line(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (path or ".") in refusal(capsys, "--config", path)


def test_no_secret_of_the_file_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "f.toml").write_text("src = 'rtsp://joe:s3cret@door/'\ntoken = ['s3cret']\n")
    assert "s3cret" not in refusal(capsys, "--config", "f.toml")
    (here / "f.toml").write_text("[cameras.a]\nsrc = '0'\nblur = 'rtsp://joe:s3cret@door/'\n")
    assert "s3cret" not in refusal(capsys, "--config", "f.toml")


def test_a_name_that_is_no_utf_8_cannot_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert stream.main(["--src", "film\udcff.mp4", "--print-config"]) == 2
    assert "no UTF-8" in capsys.readouterr().err


def test_each_camera_of_a_run_has_its_name_and_its_settings(here: Path) -> None:
    (here / "f.toml").write_text(
        "events = 'e.jsonl'\nno-window = true\n"
        "[cameras.door]\nsrc = '1'\nmax-frames = 3\n[cameras.hall]\nsrc = '2'\n"
    )
    quick = Factories(assembly=scripted(lambda: ScriptedDetector([[FACE]] * 100)))
    quick = replace(quick, source=lambda *_, **__: ListSource(film(6)))
    with contextlib.chdir(here):
        assert stream.main(["--config", "f.toml"], quick) == 0
    records = [json.loads(line) for line in (here / "e.jsonl").read_text().splitlines()]
    frames = [record["camera"] for record in records if record["type"] == "frame"]
    assert (frames.count("door"), frames.count("hall"), len(frames)) == (3, 6, 9)
