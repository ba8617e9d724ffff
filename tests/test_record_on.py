"""`--record-on` as the program takes it: flags, files of several cameras, deleting."""

import json
import os
from pathlib import Path

import pytest

from errors import SourceError
from outputs.keeping import Keeper, Limit, Output
from outputs.recording.clips import told_beside
from outputs.recording.h264 import is_recording
from people.triggers import parse_triggers
from program.clips import clip_path
from program.config import read_config, to_toml
from program.endpoints import OutputOptions
from stream import main, parse_arguments
from tests.fakes import ListSource, film
from tests.recordings import names, read
from tests.test_clips import record, shots, told
from tests.test_stream import QUICK, one_line, reading, run_main

ZONE = "--zone=door=0.1,0.1,0.9,0.1,0.9,0.9,0.1,0.9"
LINE = "--line=way=0.1,0.5,0.9,0.5"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--record-on", "person"], "is about a recording: add --output FILE.mp4"),
        (["--record-on", "zone:door"], "is about a recording: add --output FILE.mp4"),
        (["--output=o.mp4", "--record-on", "person", "--segment", "10m"], "leave one out"),
        (["--output=o.mp4", "--record-on", "person", "--anonymous"], "which --anonymous forbids"),
        (["--output=o.mp4", "--record-on", "attention>3s"], "add --attention"),
        (["--output=o.mp4", "--record-on", "attention", "--attention"], "in quotes"),
        (["--output=o.mp4", "--record-on", ""], "want person, zone:NAME"),
        (["--output=o.mp4", "--record-on", "zone:door"], "there is none; add --zone door=..."),
        (["--output=o.mp4", "--record-on", "zone:dor", ZONE], "there are door; add --zone dor"),
        (["--output=o.mp4", "--record-on", "line:door", ZONE, LINE], "this line, there are way"),
        (["--output=o.mp4", "--record-on=person", "--record-on=zone:x", ZONE], "--zone x=..."),
    ],
)
def test_flags_that_contradict_each_other_are_one_line_with_the_remedy(
    flags: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse_arguments(["--no-window", *flags])
    assert end.value.code == 2
    error = one_line(capsys)
    assert reason in error and "record-on" in error


def test_several_triggers_are_given_with_commas_or_one_by_one() -> None:
    want = parse_triggers("zone:door,attention>3s,person")
    given = [["zone:door,attention>3s", "person"], ["zone:door", "attention>3s,person,person"]]
    for words in given:
        flags = [f"--record-on={word}" for word in words]
        options = parse_arguments(["--output=o.mp4", "--attention", ZONE, *flags])
        assert OutputOptions(record_on=options.record_on).triggers == want


def test_a_file_of_flags_keeps_them(tmp_path: Path) -> None:
    flags = ["--output=o.mp4", "--attention", ZONE, "--record-on=zone:door,attention>3s"]
    path = tmp_path / "f.toml"
    path.write_text(to_toml(parse_arguments(flags).asked))
    assert "record-on" in path.read_text() and read_config(path).given["record_on"]
    again = parse_arguments(["--config", str(path)])
    assert again.record_on == parse_arguments(flags).record_on
    path.write_text('output = "o.mp4"\nrecord-on = "person"\n')
    assert parse_arguments(["--config", str(path)]).record_on == [parse_triggers("person")]


def test_a_zone_of_one_camera_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_text(
        'output = "o.mp4"\nrecord-on = ["zone:door"]\n[cameras.a]\nsrc = "0"\n'
        '[cameras.b]\nsrc = "1"\nzone = "door=0.1,0.1,0.9,0.1,0.9,0.9"\n'
    )
    assert parse_arguments(["--config", str(path)]).output


def test_a_film_gives_a_clip_and_what_is_told_of_it(tmp_path: Path) -> None:
    arguments = ["--output", str(tmp_path / "o.mp4"), "--record-on=zone:door", ZONE]
    source = ListSource(film(60))  # a face is in the middle of the picture all the time
    assert run_main("--no-window", *arguments, factories=reading(source)) == 0
    assert names(tmp_path) == ["o-001.json", "o-001.mp4"]
    assert len(read(tmp_path / "o-001.mp4")) == 60
    record = told(tmp_path / "o-001.mp4")
    assert record["triggers"][0]["trigger"] == "zone:door" and record["end_s"] == 59 / 25
    assert record["people"][0]["zones"]["door"] > 1


def test_each_camera_has_clips_of_its_own(tmp_path: Path) -> None:
    sources = [f"--src={name}=test:64x48@10,duration=2" for name in ("hall", "yard")]
    arguments = [*sources, "--no-window", "--output", str(tmp_path / "o.mp4")]
    assert run_main(*arguments, "--record-on=person", factories=QUICK) == 0
    clips = sorted(tmp_path.glob("*.mp4"))
    assert [path.name[:7] for path in clips] == ["o-hall-", "o-yard-"]
    assert [told(path)["camera"] for path in clips] == ["hall", "yard"]
    assert [read(path)[0].width for path in clips] == [64, 64]


def test_a_camera_is_not_named_out_of_its_folder() -> None:
    assert clip_path("a/o.mp4", "test:64x48@10,/../b") == Path("a/o-test-64x48-10-b.mp4")
    assert clip_path("a/o.mp4", "") == Path("a/o.mp4")


def test_a_camera_that_fails_leaves_its_clip_whole(tmp_path: Path) -> None:
    source = ListSource(film(30), is_live=True, error=SourceError("unplugged"))
    arguments = ["--output", str(tmp_path / "o.mp4"), "--record-on=person"]
    assert run_main("--no-window", *arguments, factories=reading(source)) == 2
    (path,) = tmp_path.glob("*.mp4")
    assert is_recording(path) and [each["id"] for each in told(path)["people"]] == [1]


@pytest.mark.parametrize("name", ["o-001.mp4", "o-001.json"])
def test_a_film_replaces_no_clip_that_this_program_did_not_make(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text('{"of": "the user"}\n')
    arguments = ["--output", str(tmp_path / "o.mp4"), "--record-on=person"]
    assert run_main("--no-window", *arguments, factories=reading(ListSource(film(3)))) == 2
    assert f"{name}: is there already, and this program did not make it" in one_line(capsys)
    assert names(tmp_path) == [name]


def test_what_is_told_of_a_clip_is_deleted_with_it_and_nothing_of_others(tmp_path: Path) -> None:
    for i in (1, 2):
        record(tmp_path / "cam.mp4", shots((1, 2), end_s=5))
        for suffix in (".mp4", ".json"):
            old = tmp_path / f"cam-2026010{i}-120000{suffix}"
            (tmp_path / f"cam-001{suffix}").rename(old)
            os.utime(old, (1, 1))
    foreign = tmp_path / "cam-20260102-120000.json"
    foreign.write_text(json.dumps({"of": "the user"}))
    (tmp_path / "cam-20260103-120000.json").write_text("{}")
    sink = record(tmp_path / "cam.mp4", [])
    output = Output("recording", tmp_path / "cam.mp4", is_recording, sink, told_beside)
    keeper = Keeper([output], Limit(seconds=3600))
    keeper.look()
    keeper.close()
    assert names(tmp_path) == ["cam-20260102-120000.json", "cam-20260103-120000.json"]


def test_the_files_of_all_cameras_are_counted(tmp_path: Path) -> None:
    outputs = []
    for name in ("a", "b"):
        record(tmp_path / f"cam-{name}.mp4", shots((1, 2), end_s=5))
        (tmp_path / f"cam-{name}-001.mp4").rename(tmp_path / f"cam-{name}-20260101-120000.mp4")
        path = tmp_path / f"cam-{name}.mp4"
        outputs.append(Output("recording", path, is_recording, record(path, [])))
    keeper = Keeper(outputs)
    keeper.look()
    total = sum(path.stat().st_size for path in tmp_path.glob("*.mp4"))
    assert keeper.storage().bytes == {"recording": total}
    keeper.close()


@pytest.mark.slow
def test_the_sample_gives_a_clip_of_who_looked_this_way(tmp_path: Path) -> None:
    output = tmp_path / "o.mp4"
    arguments = ["--src", "sample", "--no-window", "--attention", "--output", str(output)]
    assert main([*arguments, "--record-on", "attention>1s"]) == 0
    record = told(tmp_path / "o-001.mp4")
    seconds = {each["id"]: each["attention_s"] for each in record["people"]}
    assert all(seconds[number] > 1 for number in record["triggers"][0]["ids"])
    shown = read(tmp_path / "o-001.mp4")
    assert shown[-1].time == pytest.approx(record["end_s"] - record["begin_s"], abs=0.05)
